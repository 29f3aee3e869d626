"""What `benchmarks/tracing.py` compares: for each tool a function that builds a model without weights and captures it.

Every function takes a model type of transformers, builds its default config on `meta`, gives the model the inputs that
`trace` makes up, and returns the number of nodes that it found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

DEPTH = 100


def default_config(model_type: str) -> Any:
    """Default configuration of a transformers model type."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]()


def run_trace(model_type: str) -> int:
    """Builds and traces; number of nodes."""
    from processing_archbert.tracing_archbert import trace

    return trace(default_config(model_type)).num_nodes


def _model_on_meta(model_type: str) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The model without weights, and its inputs on `meta`."""
    from transformers import AutoModel

    from processing_archbert.dummy_inputs_config_archbert import config_inputs
    from processing_archbert.tracing_mirror_archbert import traceable_config

    config = traceable_config(default_config(model_type))
    with torch.device("meta"):
        model = AutoModel.from_config(config).eval()
    return model, {k: v.to("meta") for k, v in next(iter(config_inputs(config, model))).items()}


def run_export(model_type: str) -> int:
    """Builds on meta and exports with `strict=False`; number of nodes."""
    model, inputs = _model_on_meta(model_type)
    return len(torch.export.export(model, (), inputs, strict=False).graph.nodes)


def run_fake_export(model_type: str) -> int:
    """As `run_export`, with fake tensors instead of meta tensors, for models that read values."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoModel

    from processing_archbert.dummy_inputs_config_archbert import config_inputs
    from processing_archbert.tracing_mirror_archbert import traceable_config

    config = traceable_config(default_config(model_type))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model = AutoModel.from_config(config).eval()
        inputs = {
            k: torch.empty(v.shape, dtype=v.dtype) if v.device.type == "meta" else mode.from_tensor(v)
            for k, v in next(iter(config_inputs(config, model))).items()
        }
    return len(torch.export.export(model, (), inputs, strict=False).graph.nodes)


def run_torchview(model_type: str) -> int:
    """Builds on meta and draws with all modules and functions, without rendering; number of nodes."""
    from torchview import draw_graph

    model, inputs = _model_on_meta(model_type)
    with torch.no_grad():
        graph = draw_graph(model, input_data=inputs, device="meta", depth=DEPTH, expand_nested=True,
                           hide_module_functions=False)  # fmt: skip
    return len({node for edge in graph.edge_list for node in edge})


def run_floor(model_type: str) -> int:
    """Builds on meta and runs the forward pass; nothing is captured."""
    model, inputs = _model_on_meta(model_type)
    with torch.no_grad():
        model(**inputs)
    return 0


def run_torchinfo(model_type: str) -> int:
    """Builds on meta and summarizes; number of lines, which are modules: there is no graph."""
    from torchinfo import summary

    model, inputs = _model_on_meta(model_type)
    return len(summary(model, input_data=inputs, device="meta", verbose=0, depth=DEPTH).summary_list)


def run_fx(model_type: str) -> int:
    """Builds on meta and traces symbolically; number of nodes, which have no shapes."""
    model, _ = _model_on_meta(model_type)
    return len(torch.fx.symbolic_trace(model).graph.nodes)


TOOLS: dict[str, tuple[Callable[[str], int], ...]] = {
    "trace": (run_trace,),
    "export": (run_export, run_fake_export),
    "torchview": (run_torchview,),
    "floor": (run_floor,),
    "torchinfo": (run_torchinfo,),
    "fx": (run_fx,),
}
"""Tool -> its ways, the first that works is measured."""


def choose(tool: str, model_type: str) -> tuple[Callable[[], int] | None, int | str]:
    """The first way of a tool that works for a model, and its index; None and the reasons where all fail.

    Finding out runs each way once, which warms it up.
    """
    reasons = []
    for index, function in enumerate(TOOLS[tool]):
        try:
            function(model_type)
            return functools.partial(function, model_type), index
        except Exception as error:
            text = " ".join(str(error).split())[:160]
            reasons.append(f"{function.__name__}: {type(error).__name__}: {text}")
    return None, "; ".join(reasons)


def import_all(model_type: str) -> None:
    """Imports the tools and the code of the model, so that a first call can be timed without it."""
    import importlib

    from transformers import MODEL_MAPPING

    for name in ("torch.export", "torch.fx", "torchview", "torchinfo", "transformers.modeling_utils",
                 "processing_archbert.sources_archbert"):  # fmt: skip
        importlib.import_module(name)
    MODEL_MAPPING[type(default_config(model_type))]

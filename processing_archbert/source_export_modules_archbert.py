"""Modules of an exported program: a tree of stand-ins made of its weights' names, and which calls are one node.

The program names a module's class but does not hold it, and no class of a stranger is ever imported: `torch.nn`'s own
classes are looked up in torch, any other is known by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .ops_archbert import canonical_module_op
from .source_export_program_archbert import Call, ModuleCall
from .tracing_modules_archbert import AttributeRow, call_options, layer_attributes, leaf_op, module_shape

MAX_PATH_PARTS = 64

_TORCH_MODULES = "torch.nn.modules."
_PARAMETRIZED = "torch.nn.utils.parametrize.Parametrized"
_PRODUCTS = ("bmm", "matmul")
_RECURRENT = ("LSTM", "GRU", "RNN")
_RECURRENT_WEIGHT = re.compile(r"weight_ih_l(\d+)(_reverse)?")


class Conv1D(nn.Module):
    """Stand-in for a linear layer whose weight is stored as (in, out)."""


class WeightTree(nn.Module):
    """Stand-in for a network: its modules hold the weights that the program names.

    Args:
        weights: path -> meta tensor (an `nn.Parameter` where it is one); tied ones are the same object.
        kinds: path of a module -> class name, where it matters for shapes.

    Raises:
        ValueError: a path has too many parts.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], kinds: Mapping[str, str]) -> None:
        super().__init__()
        for path, tensor in weights.items():
            *parts, last = path.split(".")
            if len(parts) > MAX_PATH_PARTS:
                raise ValueError(f"a weight's name has {len(parts) + 1} parts")
            module: nn.Module = self
            for depth, part in enumerate(parts, 1):
                child = module._modules.get(part)
                if child is None:
                    kind = kinds.get(".".join(parts[:depth]), "")
                    child = module._modules[part] = Conv1D() if kind.endswith(".Conv1D") else nn.Module()
                module = child
            if isinstance(tensor, nn.Parameter):
                module._parameters[last] = tensor
            else:
                module._buffers[last] = tensor

    def find(self, path: str) -> nn.Module | None:
        """The module at a path; None where it has no weights."""
        module: nn.Module | None = self
        for part in path.split(".") if path else ():
            module = module._modules.get(part) if module is not None else None
        return module


def folded_call(call: Call, tree: WeightTree) -> tuple[ModuleCall, str] | None:
    """The outermost module call around a node that is one node of the graph, and its op; None outside of any."""
    for entry in call.stack:
        op = _leaf_op(entry, tree)
        if op is not None:
            return entry, op
    return None


def _leaf_op(entry: ModuleCall, tree: WeightTree) -> str | None:
    kind = entry.kind
    class_name = kind.rpartition(".")[2]
    if kind.startswith(_PARAMETRIZED):
        kind, class_name = f"{_TORCH_MODULES}{class_name[12:]}", class_name[12:]
    module = tree.find(entry.path)
    children = [] if module is None else list(module.children())
    if kind.startswith(_TORCH_MODULES):
        cls = getattr(nn, class_name, None) or getattr(nn.modules.linear, class_name, None)
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            return None
        probe = cls.__new__(cls)
        nn.Module.__init__(probe)
        recurses = children and not entry.kind.startswith(_PARAMETRIZED)
        if recurses and cls is not nn.MultiheadAttention and not issubclass(cls, nn.RNNBase):
            return None
        return leaf_op(probe)
    if any(True for child in children for _ in child.parameters()):
        return None
    op = canonical_module_op(class_name)
    if op == "Linear" and (module is None or "weight" not in module._parameters):
        return None
    return op


def is_torch_class(entry: ModuleCall) -> bool:
    """Whether a module call is one of torch's own layers."""
    return entry.kind.startswith((_TORCH_MODULES, _PARAMETRIZED))


def folded_shape(entry: ModuleCall, op: str, tree: WeightTree, read: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Shape values of a folded module; `read` are the arguments of what it calls, by name."""
    module = tree.find(entry.path)
    weight = read.get("weight")
    own = module is not None and any(True for _ in module.parameters())
    if isinstance(weight, torch.Tensor) and (not own or entry.kind.startswith(_PARAMETRIZED)):
        module = nn.Module()
        module._buffers["weight"] = weight
    return module_shape(module, op) if module is not None else (0, 0, 0, 0)


def folded_attributes(
    op: str, module: nn.Module | None, read: Mapping[str, Any], sizes: Sequence[tuple[str, torch.Size, torch.Size]]
) -> list[int]:
    """Attribute row of a folded module.

    Args:
        op: its op.
        module: its stand-in; None where it has no weights.
        read: arguments of what it calls, by name.
        sizes: of what it calls: name, sizes of the first argument and of the result.
    """
    if op in _RECURRENT:
        names = map(_RECURRENT_WEIGHT.fullmatch, module._parameters if module is not None else ())
        found = [match for match in names if match]
        layers = 1 + max((int(match[1]) for match in found), default=0)
        return layer_attributes(op, {"num_layers": layers, "bidirectional": any(match[2] for match in found)})
    if op == "MultiheadAttention":
        return _attention_attributes(module, read, sizes)
    if op == "RotaryEmbedding" or not sizes:
        return AttributeRow().values
    return layer_attributes(op, function_options(op, read, sizes))


def function_options(
    op: str, read: Mapping[str, Any], sizes: Sequence[tuple[str, torch.Size, torch.Size]]
) -> dict[str, Any]:
    """Options of a layer or function call, named as in `torch.nn`, from the arguments of the aten calls it makes."""
    options = {key: value for key, value in read.items() if value is not None}
    before, after = sizes[0][1], sizes[-1][2]
    if op == "Upsample":
        options["size"] = options.pop("output_size", None)
        options["scale_factor"] = options.pop("scale_factors", None)
        if options["size"] is None and options["scale_factor"] is None:
            options["scale_factor"] = _enlargement([size[1] for size in sizes], after)
    elif op in ("PixelShuffle", "PixelUnshuffle") and len(before) == len(after) > 2:
        options["upscale_factor"] = max(before[-1], after[-1]) // max(1, min(before[-1], after[-1]))
    elif op == "GroupNorm" and "group" in options:
        options["num_groups"] = options["group"]
    elif op == "ChannelShuffle" and "groups" not in options and len(before) > 1:
        options["groups"] = max((s[2][1] for s in sizes if len(s[2]) == len(before) + 1), default=0)
    elif op.startswith("Adaptive") and "output_size" not in options:
        options["output_size"] = tuple(after[-int(op[-2]) :])
    if op.startswith("Conv") and "weight" not in options and "kernel_size" not in options:
        return options
    return call_options(op, (), options)


def _enlargement(given: Sequence[Sequence[int]], made: Sequence[int]) -> int | None:
    """How many times as wide the result is as the first argument with as many dimensions."""
    width = next((int(size[-1]) for size in given if len(size) == len(made) > 2), 0)
    return int(made[-1]) // width if width and made[-1] % width == 0 else None


def _attention_attributes(
    module: nn.Module | None, read: Mapping[str, Any], sizes: Sequence[tuple[str, torch.Size, torch.Size]]
) -> list[int]:
    projection = module._modules.get("out_proj") if module is not None else None
    weight = projection._parameters.get("weight") if projection is not None else None
    end = next((i for i, (name, _, _) in enumerate(sizes) if "softmax" in name), len(sizes))
    products = [before for name, before, _ in sizes[end::-1] if name in _PRODUCTS or "scaled_dot" in name]
    products += [size[1] for size in sizes if size[0] == "baddbmm" and len(size[1]) > 2]
    head_dim = 0
    if weight is not None and weight.dim() == 2:
        candidates = [size[-1] for size in products if size and weight.shape[1] % max(1, size[-1]) == 0]
        splits = [after for name, _, after in sizes if name in ("view", "reshape") and len(after) in (3, 4)]
        candidates += [size[-1] for size in splits if weight.shape[1] % max(1, size[-1]) == 0]
        head_dim = candidates[0] if candidates else 0
    heads = weight.shape[1] // head_dim if weight is not None and head_dim else 0
    return layer_attributes(
        "MultiheadAttention", {"num_heads": heads, "head_dim": head_dim, "is_causal": read.get("is_causal") is True}
    )


def plain_function(call: Call) -> str:
    """Name of the torch function that an aten call stands for, where nothing else says which it was."""
    parts = call.target.split(".")
    name = parts[3] if len(parts) > 3 and parts[2] == "aten" else parts[-1]
    return _ATEN.get(name, "scaled_dot_product_attention" if "scaled_dot_product" in name else name)


_ATEN: dict[str, str] = {
    "native_layer_norm": "layer_norm", "_native_batch_norm_legit_no_training": "batch_norm",
    "_native_batch_norm_legit": "batch_norm", "_native_batch_norm_legit_functional": "batch_norm",
    "native_batch_norm": "batch_norm", "cudnn_batch_norm": "batch_norm", "_batch_norm_with_update": "batch_norm",
    "_batch_norm_no_update": "batch_norm", "native_group_norm": "group_norm", "_fused_rms_norm": "rms_norm",
    "_softmax": "softmax", "_safe_softmax": "softmax", "_log_softmax": "log_softmax",
    "max_pool1d_with_indices": "max_pool1d", "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d", "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "adaptive_avg_pool3d", "_unsafe_view": "view", "_to_copy": "to", "_unsafe_index": "index",
    "upsample_nearest1d": "interpolate", "upsample_nearest2d": "interpolate", "upsample_nearest3d": "interpolate",
    "_upsample_nearest_exact2d": "interpolate", "upsample_linear1d": "interpolate",
    "upsample_bilinear2d": "interpolate", "upsample_bicubic2d": "interpolate", "upsample_trilinear3d": "interpolate",
    "im2col": "unfold", "col2im": "fold", "constant_pad_nd": "pad", "reflection_pad2d": "pad",
    "replication_pad2d": "pad", "native_dropout": "dropout", "lift_fresh_copy": "clone", "_conj": "conj",
    "slice_scatter": "__setitem__", "select_scatter": "__setitem__", "index_put": "__setitem__",
    "copy": "copy_", "numpy_T": "t", "matmul": "matmul", "_reshape_copy": "reshape", "_reshape_alias": "reshape",
    "rnn_tanh": "rnn", "rnn_relu": "rnn", "alias_copy": "alias", "permute_copy": "permute",
}  # fmt: skip
"""aten name -> torch function, where they differ."""


def convolution_function(call: Call, weight: torch.Tensor) -> str:
    """Name of the torch function behind `aten.convolution`."""
    transposed = "_transpose" if call.arguments.get("transposed") else ""
    return f"conv{transposed}{min(max(weight.dim() - 2, 1), 3)}d"

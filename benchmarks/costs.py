"""FLOPs by `graph.flops` beside torch's own counter, on small networks of twenty-four families at two sizes each.

    python benchmarks/costs.py [--output benchmarks/results/costs.json] [--only NAME ...] [--overhead TYPE ...]

The graph is traced once, at its own made-up inputs, and asked for sizes that it was not traced at. The counter,
`torch.utils.flop_counter.FlopCounterMode`, watches the network run on the CPU with random weights at these sizes;
attention runs as plain products there, because the counter does not know torch's fused kernel for the CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import transformers  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from processing_archbert import load_architecture, trace  # noqa: E402

Sizes = dict[str, int]


class Case(NamedTuple):
    """A small network: model type, options of its configuration, inputs at given sizes, and the sizes to compare."""

    model_type: str
    options: dict[str, Any]
    inputs: Callable[[Sizes], dict[str, torch.Tensor]]
    sizes: tuple[Sizes, Sizes]


def _ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(5, 90, (rows, length))


def _text(s: Sizes) -> dict[str, torch.Tensor]:
    return {"input_ids": _ids(s["batch"], s["sequence"])}


def _pair(s: Sizes) -> dict[str, torch.Tensor]:
    return {**_text(s), "decoder_input_ids": _ids(s["batch"], s["target"])}


def _image(s: Sizes) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(s["batch"], 3, s["image"], s["image"])}


def _both(s: Sizes) -> dict[str, torch.Tensor]:
    return {**_text(s), **_image(s)}


def _sound(s: Sizes) -> dict[str, torch.Tensor]:
    return {"input_values": torch.randn(s["batch"], s["sequence"])}


def _spectrum(s: Sizes) -> dict[str, torch.Tensor]:
    return {"input_features": torch.randn(s["batch"], 80, 200), "decoder_input_ids": _ids(s["batch"], s["target"])}


_WIDTH: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 100,
}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_ENCODER_DECODER = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "vocab_size": 100,
    **_SPECIAL,
    "decoder_start_token_id": 2,
}
_CAUSAL = _WIDTH | _SPECIAL | {"num_key_value_heads": 2}
_TEXTS: tuple[Sizes, Sizes] = ({"batch": 2, "sequence": 24}, {"batch": 3, "sequence": 57})
_PAIRS: tuple[Sizes, Sizes] = ({"batch": 2, "sequence": 24, "target": 9}, {"batch": 3, "sequence": 57, "target": 31})
_IMAGES: tuple[Sizes, Sizes] = ({"batch": 2, "image": 128}, {"batch": 3, "image": 192})
_FIXED: tuple[Sizes, Sizes] = ({"batch": 2, "image": 64}, {"batch": 5, "image": 64})
_VISION = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "image_size": 64,
    "patch_size": 16,
}

CASES: tuple[Case, ...] = (
    Case("bert", _WIDTH, _text, _TEXTS),
    Case("deberta-v2", _WIDTH | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, _text, _TEXTS),
    Case("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100} | _SPECIAL, _text, _TEXTS),
    Case("llama", _CAUSAL, _text, _TEXTS),
    Case("qwen2", _CAUSAL, _text, _TEXTS),
    Case("gemma", _CAUSAL | {"head_dim": 16}, _text, _TEXTS),
    Case("mistral", _CAUSAL | {"sliding_window": 16}, _text, _TEXTS),
    Case("mixtral", _CAUSAL | {"num_local_experts": 4}, _text, _TEXTS),
    Case("falcon", _WIDTH | _SPECIAL, _text, _TEXTS),
    Case(
        "mamba",
        {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100, "state_size": 8} | _SPECIAL,
        _text,
        _TEXTS,
    ),
    Case(
        "t5",
        {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4, "vocab_size": 100},
        _pair,
        _PAIRS,
    ),
    Case("bart", _ENCODER_DECODER, _pair, _PAIRS),
    Case(
        "whisper",
        _ENCODER_DECODER | {"max_source_positions": 100},
        _spectrum,
        ({"batch": 2, "target": 9}, {"batch": 3, "target": 31}),
    ),
    Case(
        "wav2vec2",
        _WIDTH | {"num_conv_pos_embeddings": 16},
        _sound,
        ({"batch": 2, "sequence": 32000}, {"batch": 3, "sequence": 48000}),
    ),
    Case("resnet", {"embedding_size": 16, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 2, 1]}, _image, _IMAGES),
    Case("convnext", {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}, _image, _IMAGES),
    Case("mobilenet_v2", {}, _image, _IMAGES),
    Case(
        "regnet",
        {"embedding_size": 16, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 2, 1], "groups_width": 16},
        _image,
        _IMAGES,
    ),
    Case("vit", _VISION, _image, _FIXED),
    Case("dinov2", {k: v for k, v in _VISION.items() if k != "intermediate_size"}, _image, _IMAGES),
    Case(
        "swin",
        {"embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 4], "image_size": 224},
        _image,
        ({"batch": 2, "image": 224}, {"batch": 3, "image": 448}),
    ),
    Case("segformer", {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]}, _image, _IMAGES),
    Case(
        "clip",
        {"text_config": _WIDTH | _SPECIAL, "vision_config": _VISION, "projection_dim": 32},
        _both,
        ({"batch": 2, "sequence": 24, "image": 64}, {"batch": 3, "sequence": 57, "image": 64}),
    ),
    Case(
        "detr",
        _ENCODER_DECODER
        | {
            "num_queries": 20,
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone": None,
            "backbone_config": {
                "model_type": "resnet",
                "embedding_size": 16,
                "hidden_sizes": [32, 64, 96, 128],
                "depths": [1, 1, 2, 1],
                "out_features": ["stage4"],
            },
        },
        _image,
        ({"batch": 2, "image": 256}, {"batch": 3, "image": 384}),
    ),
)


def compare(case: Case) -> dict[str, Any]:
    """What the graph and the counter say at both sizes; `mode` tells how attention ran for the counter."""
    config = transformers.AutoConfig.for_model(case.model_type, **case.options)
    begin = time.perf_counter()
    graph = trace(config, costs=True)
    seconds = time.perf_counter() - begin
    torch.manual_seed(0)
    config._experts_implementation = "eager"  # the counter does not know grouped products of matrices
    model = transformers.AutoModel.from_config(config).eval().requires_grad_(False)
    rows = []
    for sizes in case.sizes:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel([SDPBackend.MATH]), counter:
            model(**case.inputs(sizes))
        counted, ours = counter.get_total_flops(), graph.flops(**sizes)
        rows.append({"sizes": sizes, "graph": ours, "counter": counted, "ratio": round(ours / counted, 6)})
    return {"network": case.model_type, "seconds": round(seconds, 2), "exact": graph.costs["exact"], "rows": rows}


def overhead(types: tuple[str, ...], repeats: int = 3) -> dict[str, Any]:
    """Seconds of reading without and with costs, taken in turns, and the size of the JSON; medians."""
    result = {}
    for name in types:
        times: dict[bool, list[float]] = {False: [], True: []}
        graphs = {}
        for _ in range(repeats):
            for costs in (False, True):
                begin = time.perf_counter()
                graphs[costs] = load_architecture(name, costs=costs)
                times[costs].append(time.perf_counter() - begin)
        plain, full = (sorted(times[costs])[repeats // 2] for costs in (False, True))
        result[name] = {
            "seconds": round(plain, 3),
            "seconds_with_costs": round(full, 3),
            "json_bytes": len(graphs[False].to_json()),
            "json_bytes_with_costs": len(graphs[True].to_json()),
        }
    return result


def main() -> None:
    """Prints one line for each network and size, and writes all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "costs.json")
    parser.add_argument(
        "--only", nargs="*", default=None, help="these alone; the others stay as they are in the output"
    )
    parser.add_argument("--overhead", nargs="*", default=[], help="model types whose reading is timed as well")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    results = []
    for case in CASES:
        if arguments.only is not None and case.model_type not in arguments.only:
            continue
        try:
            results.append(compare(case))
        except (RuntimeError, ValueError) as error:
            print(f"{case.model_type:14} {type(error).__name__}: {str(error)[:300]}")
            continue
        for row in results[-1]["rows"]:
            sizes = ", ".join(f"{k} {v}" for k, v in row["sizes"].items())
            print(f"{case.model_type:14} {sizes:38} {row['graph']:>14,} {row['counter']:>14,} {row['ratio']:.4f}")
    output: Path = arguments.output
    before = json.loads(output.read_text(encoding="utf-8")) if arguments.only is not None and output.exists() else {}
    rows = {entry["network"]: entry for entry in [*before.get("networks", []), *results]}
    report = {
        "command": "python benchmarks/costs.py",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "networks": [rows[case.model_type] for case in CASES if case.model_type in rows],
        "overhead": before.get("overhead", {}) | overhead(tuple(arguments.overhead)),
    }
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

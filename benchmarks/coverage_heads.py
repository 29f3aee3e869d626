"""Which heads can be traced: every `AutoModelFor*` class of transformers, for families of every kind.

    python benchmarks/coverage_heads.py [--records runs/coverage/heads.jsonl] [--output benchmarks/results/...json]

One record for each class and family that it knows, as `benchmarks/coverage.py` makes them; the table gives, for every
class, the families whose graph is complete, incomplete (with what it misses) or could not be traced (with the reason).
The sweep can be stopped and resumed, and cut into slices by `--seconds`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from processing_archbert import ArchitectureGraph, trace  # noqa: E402

FAMILIES = tuple(
    """bert roberta albert deberta-v2 electra longformer xlnet funnel perceiver bart t5 mbart led pegasus gpt2 llama
    qwen2 mistral mixtral falcon mamba vit beit swin convnext resnet mobilevit segformer dpt deit focalnet detr
    deformable_detr rf_detr yolos mask2former maskformer oneformer clip siglip blip blip-2 vilt llava paligemma
    idefics3 qwen2_vl git lxmert layoutlm layoutlmv3 tapas wav2vec2 hubert wavlm whisper speech_to_text speecht5
    seamless_m4t
    qwen2_audio videomae vivit vjepa2 sam owlvit grounding-dino superpoint superglue lightglue timesfm swin2sr vitmatte
    vitpose sapiens2 glpn depth_anything zoedepth upernet fastspeech2_conformer vits csm dac parakeet_ctc parakeet_rnnt
    parakeet_tdt slanext pp_ocrv5_mobile_rec pp_doclayout_v3 colpali gemma3 qwen3_5""".split()
)
"""Families of text, vision, sound, time series and their combinations: for every class at least one that it knows."""

Record = dict[str, Any]


def head_classes() -> dict[str, Any]:
    """The `AutoModelFor*` classes of transformers by name."""
    from transformers.models.auto import modeling_auto

    return {name: getattr(modeling_auto, name) for name in dir(modeling_auto) if name.startswith("AutoModelFor")}


def head_names() -> list[str]:
    """`class/family` for every class and every one of `FAMILIES` that it knows."""
    names = []
    for name, auto in head_classes().items():
        known = set(auto._model_mapping._model_mapping)
        names += [f"{name}/{family}" for family in FAMILIES if family in known]
    return names


def trace_head(name: str) -> ArchitectureGraph:
    """The graph of a `class/family`, from the family's default configuration."""
    from transformers import CONFIG_MAPPING

    auto, _, family = name.partition("/")
    return trace(CONFIG_MAPPING[family](), name=name, model_class=head_classes()[auto])


def build_head(name: str) -> torch.nn.Module:
    """A plain model of a `class/family` on `meta`, made by transformers alone."""
    from transformers import CONFIG_MAPPING

    auto, _, family = name.partition("/")
    with torch.device("meta"):
        return head_classes()[auto].from_config(CONFIG_MAPPING[family]())


def table(records: dict[str, Record]) -> Record:
    """Counts, and for every class its families: those that are complete, and the others with the reason."""
    from benchmarks.coverage import STATUSES, missing_words

    rows: dict[str, Record] = {}
    for name, record in sorted(records.items()):
        auto, _, family = name.partition("/")
        row = rows.setdefault(auto, {"complete": []})
        if record["status"] == "complete":
            row["complete"].append(family)
        else:
            row.setdefault(record["status"], {})[family] = record["error"] or missing_words(record)
    counts = {status: sum(r["status"] == status for r in records.values()) for status in STATUSES}
    return {
        "command": "python benchmarks/coverage_heads.py",
        "classes": len(rows),
        "families": len({name.partition("/")[2] for name in records}),
        "pairs": len(records),
        "statuses": counts,
        "table": rows,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=ROOT / "runs" / "coverage" / "heads.jsonl")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "coverage-heads.json")
    parser.add_argument("--names", nargs="+", help="only these, as class/family")
    parser.add_argument("--again", action="store_true", help="also those that have a record")
    parser.add_argument("--jobs", type=int, default=1, help="processes at the same time")
    parser.add_argument("--seconds", type=float, help="start no further one after this time")
    return parser


def main() -> None:
    """Sweeps, writes the table, and prints the counts."""
    from benchmarks.coverage import read_records, sweep

    arguments = _parser().parse_args()
    arguments.records.parent.mkdir(parents=True, exist_ok=True)
    done = {} if arguments.again else read_records(arguments.records)
    names = [name for name in arguments.names or head_names() if name not in done]
    torch.set_num_threads(1)
    deadline = time.monotonic() + arguments.seconds if arguments.seconds else None
    results = sweep("heads", names, arguments.jobs, 120.0, 16 * 2**30, deadline)
    with arguments.records.open("a", encoding="utf-8") as file, tqdm(total=len(names), unit="model") as bar:
        for record in results:
            file.write(json.dumps(record) + "\n")
            file.flush()
            bar.set_postfix_str(f"{record['name']}: {record['status']}")
            bar.update()
    known = set(head_names())
    result = table({n: r for n, r in read_records(arguments.records).items() if n in known})
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["statuses"]))


if __name__ == "__main__":
    main()

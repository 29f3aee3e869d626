"""Do graphs of two versions of transformers answer alike? Do eager and fused attention?

    pip install --target OLD --no-deps transformers==5.0.0 "huggingface_hub<2" "tokenizers<0.23" ...
    python benchmarks/drift.py --old OLD [--models bert vit] [--work FOLDER]

* One hundred networks: the zoo of the examples at two sizes each, and forty-one more model types at default sizes.
  Their configs are written once, by the older version, as a `config.json` on the Hub is, and read by both.
* Compared are facts: every answer of the closed list of questions, the number of layers of every kind, parameters, and
  what attention and experts say (heads, kv heads, window, causal, experts, top-k).
* Each version runs in processes of its own; what they find is kept in the work folder, so that an interrupted run goes
  on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

MORE = (
    "beit", "bit", "blip", "bloom", "camembert", "canine", "clap", "codegen", "convbert", "ctrl", "cvt",
    "data2vec-audio", "data2vec-text", "deberta", "deberta-v2", "dpt", "ernie", "falcon", "fnet", "focalnet",
    "gemma", "gemma2", "gptj", "hubert", "imagegpt", "layoutlm", "levit", "longformer", "mamba", "mbart", "mistral",
    "mobilevit", "olmo", "pegasus", "qwen3", "siglip", "vit_mae", "gpt_neo", "starcoder2", "granite", "xlm-roberta",
)  # fmt: skip
"""Model types at their default size, beside the zoo."""

LEFT_OUT = ("segformer-small",)
"""Networks of the zoo that the older version refuses to build: its attention heads do not divide its width."""

ATTRIBUTES = ("num_heads", "num_kv_heads", "head_dim", "window", "causal", "num_experts", "top_k")
RUNS = ("old", "new", "eager")
"""The older version, the newer one, and the newer one with eager attention."""

PAIRS = {"versions": ("old", "new"), "attention": ("eager", "new")}
GOAL = 0.98

_POSITION_BIAS = (
    "The older version adds the causal mask to the learned position bias, so that no known value shows it, and its "
    "modules do not say that they are causal."
)
REASONS: dict[str, str] = {
    "t5-default": _POSITION_BIAS,
    "t5-small": _POSITION_BIAS,
    "mamba-default": "The newer version multiplies by the weight of dt_proj (matmul) where the older calls the layer.",
}
"""Network -> why its facts differ, where they do."""


def network_names() -> list[str]:
    """Names of the hundred networks: `family-size`."""
    from zoo import FAMILIES, SIZES

    zoo = [f"{family}-{size}" for family in FAMILIES for size in SIZES]
    return [name for name in zoo if name not in LEFT_OUT] + [f"{name}-default" for name in MORE]


def write_config(name: str) -> dict[str, Any]:
    """The config of a network as JSON values, by the version of transformers of this process."""
    from transformers import AutoConfig

    from zoo import FAMILIES

    family, _, size = name.rpartition("-")
    return AutoConfig.for_model(family, **(FAMILIES[family] if size == "small" else {})).to_dict()


def read_config(values: dict[str, Any]) -> Any:
    """The config of such values, by the version of transformers of this process."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kept = {key: value for key, value in values.items() if key != "transformers_version"}
    return CONFIG_MAPPING[values["model_type"]].from_dict(kept)


def facts_of(graph: Any) -> dict[str, Any]:
    """Every fact that is compared, by name."""
    from processing_archbert import GraphFacts
    from processing_archbert.questions_archbert import QUESTION_TYPES

    facts = GraphFacts(graph)
    found: dict[str, Any] = {
        f"{kind} {subject}".strip(): list(facts.answer(kind, subject).value)
        for kind, subjects in QUESTION_TYPES.items()
        for subject in subjects or ("",)
    }
    found |= {f"number of {kind}": count for kind, count in facts.layer_counts().items()}
    found |= {name: list(facts.attribute_values(name).value) for name in ATTRIBUTES}
    return found | {"number of layers": facts.num_layers().value, "parameters": facts.parameters().value}


def collect(run: str, names: list[str], work: Path, seconds: float) -> None:
    """Writes the facts of networks that are not there yet, until the time is over."""
    from processing_archbert import trace

    start = time.monotonic()
    for name in names:
        path, config_path = work / run / f"{name}.json", work / "configs" / f"{name}.json"
        if path.exists() or (run != "old" and not config_path.exists()):
            continue
        try:
            if run == "old" and not config_path.exists():
                config_path.write_text(json.dumps(write_config(name)), encoding="utf-8")
            config = read_config(json.loads(config_path.read_text(encoding="utf-8")))
            if run == "eager":
                config._attn_implementation = "eager"
            result: dict[str, Any] = {"facts": facts_of(graph := trace(config)), "hash": graph.graph_hash}
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        path.write_text(json.dumps(result), encoding="utf-8")
        if time.monotonic() - start > seconds:
            return


def compare(mine: dict[str, Any], other: dict[str, Any]) -> tuple[int, int, list[str]]:
    """Equal facts, all facts, and the names and values of those that differ; an absent count is 0."""
    names = sorted({*mine, *other})
    missing: Any = 0
    different = [n for n in names if mine.get(n, missing) != other.get(n, missing)]
    return len(names) - len(different), len(names), [f"{n}: {mine.get(n, 0)} -> {other.get(n, 0)}" for n in different]


def compare_runs(pair: str, names: list[str], work: Path) -> dict[str, Any]:
    """The comparison of two runs over all networks."""
    equal = total = 0
    networks = {}
    hashes: Counter[bool] = Counter()
    for name in names:
        results = [json.loads((work / run / f"{name}.json").read_text(encoding="utf-8")) for run in PAIRS[pair]]
        errors = [r["error"] for r in results if "error" in r]
        if errors:
            networks[name] = {"error": errors[0]}
            continue
        same, count, different = compare(results[0]["facts"], results[1]["facts"])
        equal, total = equal + same, total + count
        hashes[results[0]["hash"] == results[1]["hash"]] += 1
        if different:
            networks[name] = {"different": different, "reason": REASONS.get(name, "")}
    compared = sum(hashes.values())
    return {
        "runs": list(PAIRS[pair]),
        "networks": compared,
        "equal_share": equal / total if total else 0.0,
        "facts": total,
        "networks_without_difference": compared - sum("different" in n for n in networks.values()),
        "networks_with_equal_hash": hashes[True],
        "not_equal": networks,
    }


def start_collecting(run: str, arguments: argparse.Namespace) -> None:
    """Runs `collect` in a process of its own, with the older version first on the path where it is asked for."""
    (arguments.work / run).mkdir(parents=True, exist_ok=True)
    (arguments.work / "configs").mkdir(exist_ok=True)
    path = [str(arguments.old)] if run == "old" else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, str(ROOT), str(ROOT / "examples")])}
    command = [sys.executable, "-W", "ignore", __file__, "--collect", run, "--work", str(arguments.work),
               "--seconds", str(arguments.seconds), "--models", *arguments.models]  # fmt: skip
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)


def version_of(path: Path | None) -> str:
    """The version of transformers in a folder, or the one of this process."""
    if path is None:
        import transformers

        return str(transformers.__version__)
    return next(path.glob("transformers-*.dist-info")).name.split("-")[1].removesuffix(".dist")


def main() -> None:
    """Collects, compares, prints and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="folder with the older version of transformers")
    parser.add_argument("--models", nargs="+", default=network_names(), metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "drift")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop each collection after so long")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "drift.json")
    parser.add_argument("--collect", choices=RUNS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collect:
        collect(arguments.collect, arguments.models, arguments.work, arguments.seconds)
        return
    for run in RUNS:
        start_collecting(run, arguments)
    missing = [(r, n) for r in RUNS for n in arguments.models if not (arguments.work / r / f"{n}.json").exists()]
    if missing:
        print(f"{len(missing)} of {len(RUNS) * len(arguments.models)} graphs are missing; run it again to go on")
        return
    pairs = {pair: compare_runs(pair, arguments.models, arguments.work) for pair in PAIRS}
    for pair, result in pairs.items():
        print(f"{pair}: {result['equal_share']:.2%} of {result['facts']} facts of {result['networks']} networks equal")
        for name, entry in result["not_equal"].items():
            print(f"  {name}: {entry.get('error') or '; '.join(entry['different'][:6])}")
    result = {"command": "python benchmarks/drift.py --old OLD", "goal": GOAL,
              "transformers": {"old": version_of(arguments.old), "new": version_of(None)}, **pairs}  # fmt: skip
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""benchmarks/coverage.py, its stored results, and what they promise: coverage, exceptions, op types and their leak."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from benchmarks import coverage
from benchmarks.op_leak import compare, family, hits, is_torch_name, labelled
from processing_archbert import ArchitectureGraph
from processing_archbert.ops_archbert import EXTRACTION_VERSION, OPS
from processing_archbert.tracing_archbert import JOINS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
EXCEPTIONS = json.loads((ROOT / "tests" / "coverage_exceptions.json").read_text(encoding="utf-8"))
PATHS = {source: RESULTS / f"coverage-{source}.json" for source in coverage.SOURCES}
SUMMARIES = {source: coverage.read_summary(path) for source, path in PATHS.items() if path.exists()}
STORED = SUMMARIES["transformers"]
LIBRARIES = ("torch", "torchvision", "timm", "transformers", "huggingface", "diffusers", "onnx", "keras", "tensorflow")
# Operations of the literature whose names share a word with a model's.
SHARED_WORDS = {"RotaryEmbedding": "embedding", "roi_align": "align", "ps_roi_align": "align"}


def graph_of(ops: list[str], edges: list[tuple[int, int]], **fields: object) -> ArchitectureGraph:
    return ArchitectureGraph.build(ops, edges, **fields)


def words_of(op_type: str) -> set[str]:
    """The words of an op type, lower case, and the whole without separators."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", op_type)
    return {part.lower() for part in parts} | {re.sub(r"[^a-z0-9]", "", op_type.lower())}


def test_every_model_type_has_a_record() -> None:
    assert set(STORED["status"]) == set(MODEL_MAPPING_NAMES)
    assert STORED["models"] == len(MODEL_MAPPING_NAMES) == sum(STORED["statuses"].values())


@pytest.mark.parametrize("source", sorted(set(SUMMARIES) & set(EXCEPTIONS)))
def test_what_is_not_complete_is_the_stored_list_with_its_reasons(source: str) -> None:
    statuses = {name: status for name, status in SUMMARIES[source]["status"].items() if status != "complete"}
    assert statuses == {name: entry["status"] for name, entry in EXCEPTIONS[source].items()}
    assert all(len(entry["reason"]) > 10 for entry in EXCEPTIONS[source].values())


def test_coverage_of_what_can_be_instantiated() -> None:
    possible = [status for status in STORED["status"].values() if status != "no instance"]
    connected = [status for status in possible if status not in ("failed", "disconnected")]
    assert len(connected) >= 0.99 * len(possible)
    assert not {"unmarked", "disconnected"} & set(possible)
    assert STORED["share connected"] == round(len(connected) / len(possible), 4)
    whole, beside = possible.count("complete"), possible.count("parts")
    assert STORED["share complete"] == round((whole + beside) / len(possible), 4) >= SHARE_COMPLETE
    assert STORED["share complete in one run"] == round(whole / len(possible), 4) >= SHARE_IN_ONE_RUN


SHARE_COMPLETE = 0.95
SHARE_IN_ONE_RUN = 0.89
SAMPLE = (
    "albert", "bert", "clip", "convnext", "deberta-v2", "dinov2", "gpt2", "gpt_neo", "mamba", "mobilevit", "resnet",
    "segformer", "swinv2", "t5", "vit", "wav2vec2", "whisper",
)  # fmt: skip


def test_a_sample_traced_now_agrees_with_the_stored_results() -> None:
    for name in SAMPLE:
        record = coverage.measure("transformers", name)
        assert record["status"] == STORED["status"][name], record
        assert sorted(record["ops"]) == STORED["ops"][name], name
        assert (record["error"], record["used_share"] >= coverage.COMPLETE_SHARE) == ("", True)


@pytest.mark.parametrize("status", ["parts", "no instance"])
def test_a_sample_of_exceptions_is_still_one(status: str) -> None:
    small = {"parts": "flava", "no instance": "esm"}[status]
    record = coverage.measure("transformers", small)
    assert record["status"] == status == EXCEPTIONS["transformers"][small]["status"]
    assert record["error"] if status == "no instance" else record["incomplete"]


def test_no_op_type_contains_the_name_of_a_model_or_library() -> None:
    names = {re.sub(r"[^a-z0-9]", "", name.lower()) for summary in SUMMARIES.values() for name in summary["status"]}
    names |= {family(name) for summary in SUMMARIES.values() for name in summary["status"]}
    names = {name for name in names if len(name) > 2}
    ops = {op for summary in SUMMARIES.values() for found in summary["ops"].values() for op in found} | set(OPS)
    for op in sorted(ops):
        words = words_of(op)
        assert not words & set(LIBRARIES), op
        if is_torch_name(op):  # torch's own names are general, whatever models are called
            continue
        shared = (words & names) - {SHARED_WORDS.get(op, "")}
        inside = {name for name in names if len(name) > 4 and name in "".join(sorted(words, key=len)[-1:])}
        assert not shared | (inside - set(SHARED_WORDS.values())), (op, shared, inside)


def test_op_types_of_models_are_in_the_table() -> None:
    outside = {op for found in STORED["ops"].values() for op in found} - set(OPS)
    assert outside == set()
    assert EXTRACTION_VERSION == 2


def test_op_types_leak_no_more_of_the_family_than_those_of_torch_within_two_points() -> None:
    figures = compare(STORED["ops"])
    assert figures["models"] > 200 and figures["families"] > 30
    assert figures["95% interval"][0] <= 0.0 and figures["difference in points"] <= 2.0


def test_a_leak_would_be_seen() -> None:
    op_sets = {f"{kind}_{i}": ["Linear", f"{kind.title()}Block"] for kind in ("aaa", "bbb", "ccc") for i in range(4)}
    figures = compare(op_sets)
    assert figures["accuracy, all op types"] == 100.0 and figures["difference in points"] > 50
    assert labelled({"qwen2": [], "qwen2_moe": [], "qwen3-x": [], "bert": []}) == dict.fromkeys(
        ["qwen2", "qwen2_moe", "qwen3-x"], "qwen"
    )
    assert hits({"a1": ["x"], "a2": ["x"], "b1": ["y"]}, {"a1": "a", "a2": "a", "b1": "b"}).tolist()[:2] == [
        True,
        True,
    ]


def test_statuses_tell_connection_and_completeness() -> None:
    line = [(0, 1), (1, 2)]
    ops = ["input", "Linear", "output"]
    assert coverage.describe(graph_of(ops, line, node_parameters=[0, 9, 0]))["status"] == "complete"
    parts = {"node_parameters": [0, 9, 0], "unused_parameters": 1, "num_parameters": 10}
    assert coverage.describe(graph_of(ops, line, **parts))["status"] == "unmarked"
    marked = coverage.describe(graph_of(ops, line, incomplete=("tower",), guesses=("a: item",), **parts))
    assert (marked["status"], marked["used_share"], marked["guesses"]) == ("incomplete", 0.9, 1)
    beside = coverage.describe(graph_of(ops, line, incomplete=(JOINS,), node_parameters=[0, 9, 0]))
    assert (beside["status"], beside["used_share"]) == ("parts", 1.0)
    assert coverage.describe(graph_of(ops, line, incomplete=(JOINS,), **parts))["status"] == "incomplete"
    loose = coverage.describe(graph_of(["input", "parameter", "output"], [(1, 2)]))
    assert (loose["status"], loose["connected"]) == ("disconnected", False)


def crash(source: str, name: str) -> dict:
    """Stands in for `measure`: one model hangs, one dies, one is well."""
    if name == "hangs":
        time.sleep(60)
    if name == "dies":
        raise SystemExit(3)
    return {"source": source, "name": name, "status": "complete", "error": "", "seconds": 0.0}


def test_a_model_that_hangs_or_dies_costs_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "measure", crash)
    names = ["hangs", "dies", "well"]
    records = {r["name"]: r for r in coverage.sweep("transformers", names, jobs=2, time_limit=3, memory=1 << 36)}
    assert {name: record["status"] for name, record in records.items()} == {
        "hangs": "failed", "dies": "failed", "well": "complete",
    }  # fmt: skip
    assert "stopped after 3 seconds" in records["hangs"]["error"] and "exit code 3" in records["dies"]["error"]


def test_records_are_resumed_and_summaries_read_back(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    lines = [
        {"name": "a", "status": "failed", "error": "x", "seconds": 1},
        {"name": "a", "status": "complete", "error": "", "seconds": 1, "connected": True, "ops": {"Linear": 2}},
        {"name": "b", "status": "no instance", "error": "y", "seconds": 1},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"name": "c", "sta', encoding="utf-8")
    records = coverage.read_records(path)
    assert {name: record["status"] for name, record in records.items()} == {"a": "complete", "b": "no instance"}
    summary = coverage.summarize("timm", records)
    coverage.write_summary(tmp_path / "summary.json", summary)
    assert coverage.read_summary(tmp_path / "summary.json") == summary
    assert (summary["can be instantiated"], summary["share complete"], summary["ops"]) == (1, 1.0, {"a": ["Linear"]})


def test_shards_cover_every_model_once() -> None:
    names = coverage.model_names("transformers")
    parser = coverage._parser()
    parts = [
        coverage._selected(parser.parse_args(["--shard", f"{i}/3"]), {names[0]: {"status": "failed"}})
        for i in (1, 2, 3)
    ]
    assert sorted(name for part in parts for name in part) == names[1:]
    assert np.ptp([len(part) for part in parts]) <= 1

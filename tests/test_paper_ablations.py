"""The ablations of question answering and captioning: what a run sees, its files, and their tables."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "examples"))

import caption_evaluation  # noqa: E402
import captions  # noqa: E402
import multitask  # noqa: E402
import paper_runs  # noqa: E402
import paper_tables  # noqa: E402
import run_captioning  # noqa: E402
import run_paper_ablations  # noqa: E402
from tiny_checkpoint import tiny_tokenizer  # noqa: E402
from tiny_tvhf import write_tiny_tvhf  # noqa: E402

from dataset_scripts.autonet.generate_autonet import generate  # noqa: E402
from modeling_archbert import ArchBertConfig  # noqa: E402
from processing_archbert import ArchBertGraphFeatureExtractor, ArchBertProcessor, trace  # noqa: E402
from processing_archbert.stated_facts_archbert import STATED_KINDS  # noqa: E402

RESULTS = REPOSITORY / "benchmarks" / "results" / "paper"
RUNS = (*paper_runs.AQA_RUNS, *paper_runs.AC_RUNS)


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """`accelerate` keeps its state for the whole process."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.fixture(scope="module")
def autonet(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("autonet")
    generate(6, 3, 0, folder, size="tiny")
    return str(folder)


def arguments(folder: Path, data: str, **changes: Any) -> run_paper_ablations.AblationArguments:
    defaults: dict[str, Any] = {
        "data": data, "output_dir": str(folder / "run"), "results": str(folder / "results"), "cpu": True, "threads": 1,
        "cache_dir": str(folder / "cache"), "text_from": str(REPOSITORY / "hub" / "models" / "archbert-mini"),
        "time_budget": 0.01, "graphs_per_step": 2, "questions_per_step": 3, "caption_graphs_per_step": 2,
        "captions_per_step": 2, "limit_questions": 2, "limit_captions": 2,
    }  # fmt: skip
    return run_paper_ablations.AblationArguments(**defaults | changes)


@pytest.fixture(scope="module")
def collated() -> tuple[ArchBertProcessor, list[Any]]:
    """A processor as captioning needs it, and two networks that differ in every way."""
    extractor = ArchBertGraphFeatureExtractor(exact_numbers=True, stated_facts=True)
    networks = [
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 1)),
    ]
    encodings = [extractor.encode(trace(network, torch.zeros(1, 3, 8, 8))) for network in networks]
    return ArchBertProcessor(extractor, tiny_tokenizer()), encodings


@pytest.mark.parametrize(
    ("field", "absent", "zero"),
    [
        ("use_shapes", {"node_shapes"}, {"node_sizes"}),
        ("use_edges", {"edge_index", "edge_mask"}, {"graph_counts"}),
        ("use_attributes", {"node_attributes"}, set()),
        ("use_graph_token", {"graph_features"}, set()),
    ],
)
def test_a_run_is_not_given_what_it_is_without(collated: Any, field: str, absent: set[str], zero: set[str]) -> None:
    processor, encodings = collated
    off = {field: False, **({"use_op_histogram": False} if field == "use_graph_token" else {})}
    whole = dict(processor.collate(["a text"], encodings))
    config = ArchBertConfig.from_preset("mini", **off)
    seen = paper_runs.SeenProcessor(processor, config).collate(["a text"], encodings)
    assert set(whole) - set(seen) >= absent and set(seen) <= set(whole)
    assert all(whole[name].any() and not seen[name].any() for name in zero)
    assert all(torch.equal(seen[name], whole[name]) for name in set(seen) - zero - {"stated_facts"})
    everything = paper_runs.SeenProcessor(processor, ArchBertConfig.from_preset("mini")).collate(None, encodings)
    assert set(everything) == set(processor.collate(None, encodings))


def test_what_captions_state_lacks_what_a_run_is_without(collated: Any) -> None:
    processor, encodings = collated
    whole = processor.collate(None, encodings)["stated_facts"]

    def kinds(rows: torch.Tensor) -> set[str]:
        return {STATED_KINDS[kind] for kind in rows[..., 0].flatten().tolist()} - {""}

    def seen(field: str) -> torch.Tensor:
        config = ArchBertConfig.from_preset("mini", **{field: False})
        return paper_runs.SeenProcessor(processor, config).collate(None, encodings)["stated_facts"]

    first = STATED_KINDS.index("first layer")
    assert kinds(whole) >= {"first layer", "first kernel", "last layer", "kernel", "follows"}
    assert kinds(seen("use_edges")) == {"kernel"}
    assert kinds(seen("use_attributes")) == {"first layer", "last layer", "follows"}
    assert kinds(seen("use_shapes")) == kinds(whole)
    assert whole[whole[..., 0] == first][:, 3].all() and not seen("use_shapes")[whole[..., 0] == first][:, 3].any()
    kernels = whole[..., 0] == STATED_KINDS.index("kernel")
    assert torch.equal(seen("use_shapes")[kernels], whole[kernels])


def test_a_blind_run_is_given_the_same_graph_for_every_architecture(collated: Any) -> None:
    processor, encodings = collated
    blind = paper_runs.SeenProcessor(processor, ArchBertConfig.from_preset("mini"), blind=True)
    first, second = blind.collate(["a text"], encodings), blind.collate(["a text"], encodings[::-1])
    for name in first:
        assert torch.equal(first[name], second[name]), name
        if name not in ("input_ids", "attention_mask"):
            assert torch.equal(first[name][0], first[name][1]), name
    assert blind.tokenizer is processor.tokenizer


def test_runs_are_the_rows_of_the_tables_and_have_files_of_their_own() -> None:
    for task, library in (("AQA", "autonet"), ("AC", "autonet"), ("AC", "tvhf")):
        names = [run.name for run in RUNS if run.task == task and run.library == library]
        assert sorted(names) == sorted(paper_tables.ROWS[task])
    files = [run.file_name(0) for run in (*RUNS, *paper_runs.RUNS)]
    assert len(set(files)) == len(files) and "ac-without-mam-tvhf-0.json" in files
    assert [run.name for run in RUNS if run.blind] == ["uni-modal"] * 3


def test_answers_make_a_file_once_and_its_row(tmp_path: Path, autonet: str, capsys: Any) -> None:
    given = arguments(tmp_path, autonet, tasks="AQA", runs="preset paper,uni-modal")
    made = run_paper_ablations.main(given)
    assert [one["name"] for one in made] == ["preset paper", "uni-modal"]
    assert [one["learning_rate"] for one in made] == [1e-3, 5e-4] == [given.paper_learning_rate, given.learning_rate]
    files = sorted(path.name for path in Path(given.results).iterdir())
    assert files == ["aqa-preset-paper-autonet-0.json", "aqa-uni-modal-autonet-0.json"]
    assert run_paper_ablations.main(given) == []
    found = json.loads((Path(given.results) / files[1]).read_text())
    assert found["task"] == "AQA" and found["training_data"] == "5 architectures"
    assert found["data"].startswith("2 architectures, ") and len(found["AQA"]["exact_match_95"]) == 2
    assert paper_tables.read_runs(Path(given.results)) == {}, "the tables of AR must not take them"
    found["AQA"]["exact_match_95"] = [40.0, 49.0]
    (Path(given.results) / files[1]).write_text(json.dumps(found))
    page = paper_tables.table_2_answers(paper_tables.read_runs(Path(given.results), "AQA"))
    assert "lies within ± 4.5 points" in page
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    assert f"| {found['AQA']['exact_match']:.1f} |" in rows["uni-modal"] and "| 55.8 / 61.8 |" in rows["uni-modal"]
    assert rows["without edge"].startswith("| without edge | not run |")
    prior = found["floors"]["question-only prior (type)"]["exact_match"]
    assert rows["*question-only prior (type)*"].startswith(f"| *question-only prior (type)* | {prior:.1f} |")


def test_another_seed_takes_as_many_steps_as_the_stored_ones(tmp_path: Path, autonet: str) -> None:
    given = arguments(tmp_path, autonet, tasks="AQA", runs="uni-modal", seeds="2", as_many_steps=True)
    with pytest.raises(ValueError, match="no run 'uni-modal' \\(autonet\\) of another seed"):
        run_paper_ablations.main(given)
    run = next(run for run in paper_runs.AQA_RUNS if run.name == "uni-modal")
    folder = Path(given.results)
    folder.mkdir()
    for seed, steps, counted in ((0, 2, True), (1, 5, True), (3, 90, False)):
        stored = {"seed": seed, "steps": steps, "as_many_steps": not counted}
        (folder / run.file_name(seed)).write_text(json.dumps(stored))
    (made,) = run_paper_ablations.main(given)
    assert made["steps"] == 4 and made["as_many_steps"] is True and made["seed"] == 2
    assert made["cpu_seconds"] > given.time_budget, "it must not end with the time"
    timed = {("uni-modal", "autonet"): [{"cpu_seconds": 150.0}, made]}
    assert paper_tables._minutes(timed) == "2.5"
    for seed in (0, 1):
        (folder / run.file_name(seed)).write_text(json.dumps({"seed": seed, "steps": 7, "as_many_steps": True}))
    assert paper_runs.steps_of_others(folder, run, 2) == 35  # the mean of 7, 7 and 90


def test_learning_rates_are_tried_on_kept_architectures_and_leave_no_file(tmp_path: Path, autonet: str) -> None:
    given = arguments(tmp_path, autonet, tasks="AQA", runs="ArchBERT", rates="1e-4,1e-3")
    tried = run_paper_ablations.main(given)
    assert [one["rate"] for one in tried] == [1e-4, 1e-3] and "exact_match" in tried[0]
    assert not Path(given.results).exists()
    with pytest.raises(ValueError, match="there is no run 'nothing'"):
        run_paper_ablations.main(arguments(tmp_path, autonet, runs="nothing"))


def test_captions_of_both_data_sets_make_files_and_rows(
    tmp_path: Path, autonet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_evaluation, "GENERATION", {"max_new_tokens": 5})
    real = str(write_tiny_tvhf(tmp_path / "tvhf"))
    given = arguments(tmp_path, autonet, real_data=real, tasks="AC", runs="uni-modal,without MAM")
    made = run_paper_ablations.main(given)
    assert {one["learning_rate"] for one in made} == {given.caption_learning_rate}
    assert [(one["name"], one["library"]) for one in made] == [
        ("without MAM", "autonet"), ("uni-modal", "autonet"), ("without MAM", "tvhf"), ("uni-modal", "tvhf"),
    ]  # fmt: skip
    for one in made:
        assert one["floors"]["one reference against the others"]["claim_precision"] == 100
        assert one["data"] == "2 architectures, a sentence each"
        if one["name"] == "uni-modal":
            assert len(set(one["AC"]["examples"])) == 1, "it can tell graphs apart"
    page = paper_tables.table_3(paper_tables.read_runs(Path(given.results), "AC"))
    assert "### Table 3, AC on AutoNet" in page and "### Table 3, AC on real networks" in page
    row = next(line for line in page.splitlines() if line.startswith("| uni-modal |"))
    assert f"| {made[1]['AC']['claim_precision']:.1f} |" in row and row.endswith("| 40 / 30 / 38 |")
    assert "| *constant caption* |" in page


def test_steps_can_have_captions_of_one_length_only(autonet: str, collated: Any) -> None:
    train = run_captioning.load_captioned(autonet, "train", None, "unused")
    rows = [train.rows.of([graph]) for graph in range(3)]
    config = ArchBertConfig.from_preset("mini", max_caption_length=96)
    known = {row["text"].lower(): row["length"] for found in rows for row in found}
    for seed in range(4):
        batch = captions.caption_batch(
            collated[0], config, rows, 4, np.random.default_rng(seed), shares=[0.0, 1.0, 0.0]
        )  # fmt: skip
        texts = collated[0].decode_captions(batch["caption_labels"].clamp(min=0))
        lengths = {known[full] for text in texts for full in known if full.startswith(text.lower()[:40])}
        assert "paragraph" in lengths


def test_the_page_points_to_the_ablations() -> None:
    page = (REPOSITORY / "docs" / "paper.md").read_text(encoding="utf-8")
    for name in ("Figure 4", "Table 2", "Table 3"):
        line = next(line for line in page.splitlines() if line.startswith(f"| {name},"))
        assert "results/paper" in line and "make reproduce RUN=1" in line, line


@pytest.mark.parametrize(
    ("task", "library", "heading"),
    [
        ("AQA", "autonet", "Table 2, AQA, ablations on AutoNet"),
        ("AC", "autonet", "Table 3, AC on AutoNet"),
        ("AC", "tvhf", "Table 3, AC on real networks"),
    ],
)
def test_the_page_has_every_row_with_its_result_or_says_that_it_was_not_run(
    task: str, library: str, heading: str
) -> None:
    page = (REPOSITORY / "docs" / "paper.md").read_text(encoding="utf-8")
    part = page.split(f"### {heading}\n")[1].split("\n#")[0]
    stored = False
    for run in (run for run in RUNS if (run.task, run.library) == (task, library)):
        row = next(line for line in part.splitlines() if line.startswith(f"| {run.name} |"))
        exists = any(RESULTS.glob(run.file_name(0).replace("-0.json", "-*.json")))
        assert ("not run" in row) != exists, row
        stored = stored or exists
    assert ("\n| *" in part) == stored, "floors stand beside every number"


def test_results_of_ablations_are_of_their_runs_and_have_no_paths_of_a_machine() -> None:
    known = {(run.task, run.name, run.library): run for run in RUNS}
    found = [path for path in RESULTS.glob("a*.json") if path.name.startswith(("aqa-", "ac-"))]
    assert {path.name for path in found} >= {run.file_name(0) for run in paper_runs.AQA_RUNS}
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(tmp|work|home|root)/", text), path.name
        one = json.loads(text)
        run = known[one["task"], one["name"], one["library"]]
        assert path.name == run.file_name(one["seed"]) and one["overrides"] == dict(run.overrides)
        assert one["floors"] and one["steps"] and one["cpu_seconds"] >= 150


def test_reproduce_makes_the_ablations_too() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\nreproduce:")[1].split("\n\n")[0]
    assert "examples/run_paper_ablations.py" in recipe and "examples/run_paper_tables.py" in recipe


def test_networks_without_captions_are_drawn_again(collated: Any) -> None:
    processor, encodings = collated
    caption = {"text": "It is a network.", "length": "sentence", "style": "plain", "claims": "[]"}
    described = SimpleNamespace(of=lambda chosen: [caption] if chosen == [1] else [])
    config = ArchBertConfig.from_preset("mini", max_caption_length=16)
    made = (encodings, described, processor, config)
    shares = [float(length == "sentence") for length in captions.LENGTHS]
    blocks = multitask.CaptionBlocks(*made, graphs=1, captions=1, shares=shares)
    assert all("caption_labels" in blocks(number) for number in range(20))
    described.of = lambda chosen: []
    with pytest.raises(ValueError, match="none of 100 networks that were drawn has a caption"):
        blocks(0)

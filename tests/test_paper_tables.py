"""The runs and tables behind docs/paper.md."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import paper_runs
import paper_tables
import run_paper_tables
import show_calibration
import show_embeddings
import summary_table
from tiny_checkpoint import tiny_tokenizer

from archbert.verification import DECIDED
from processing_archbert import ArchBertGraphFeatureExtractor, ArchBertProcessor, trace

REPOSITORY = Path(__file__).resolve().parents[1]


def run(name: str, seed: int, f1: float, library: str = "tvhf") -> dict[str, Any]:
    figures = {lib: {"F1": f1, "MCC": f1 / 100, "AUROC": f1 + 1} for lib in paper_tables.LIBRARIES}
    return {"name": name, "library": library, "seed": seed, "cpu_seconds": 150.0,
            "AR": figures, "AR at 0.5": figures, "ACD": figures, "ACD at 0.5": figures}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "paper"
    folder.mkdir()
    for number, one in enumerate([run("ArchBERT", 0, 60.0), run("ArchBERT", 1, 64.0), run("preset paper", 0, 40.0)]):
        (folder / f"{number}.json").write_text(json.dumps(one))
    return folder


def test_seeds_are_joined_and_what_was_not_run_is_said(results: Path) -> None:
    runs = paper_tables.read_runs(results)
    assert paper_tables.figure(runs["ArchBERT", "tvhf"], "AR", "tv", "F1") == "62.0 ± 2.8"
    assert paper_tables.figure(runs["preset paper", "tvhf"], "AR", "tv", "F1") == "40.0"
    floors = {config: {"paper_validation": {"all": {}}} for config in ("descriptions", "clones")}
    page = paper_tables.table_2(runs, floors)
    assert "| ArchBERT | 62.0 ± 2.8 | 0.62 ± 0.03 |" in page and "| without edge | not run |" in page
    assert "| TVHF | AR | preset paper | 40.0 | 40.0 | 40.0 |  |" in paper_tables.table_5(runs)
    assert "| TV | AR | ArchBERT | not run | not run | not run | 85.05 / 3.82 / 28.78 |" in paper_tables.table_5(runs)


def test_computed_facts_have_a_column_of_their_own_where_they_were_measured(results: Path) -> None:
    floors = {"descriptions": {"paper_validation": {"all": {"always true": {"F1": 13.0, "MCC": 0.0, "AUROC": 50.0}}}},
              "clones": {"paper_validation": {"all": {}}}}  # fmt: skip
    for seed in (0, 1):
        measured = run("ArchBERT", seed, 60.0) | {"AR product": run("", 0, 70.0 + 2 * seed)["AR"]}
        (results / f"{seed}.json").write_text(json.dumps(measured))
    runs = paper_tables.read_runs(results)
    reasoning, clones = paper_tables.table_2(runs, floors).split("### Table 2, ACD")
    assert "| method | F1 | F1, product | MCC |" in reasoning and "product" not in clones
    assert "| ArchBERT | 60.0 ± 0.0 | 71.0 ± 1.4 | 0.60 ± 0.00 |" in reasoning
    assert "| preset paper | 40.0 | not run | 0.40 |" in reasoning
    assert "| *always true* | 13.0 | | 0.00 | 50.0 | | | |" in reasoning
    assert "| TVHF | AR | ArchBERT, product | 71.0 ± 1.4 | 71.0 ± 1.4 |" in paper_tables.table_5(runs)
    assert len({line.count("|") for line in reasoning.splitlines() if line.startswith("|")}) == 1


def test_runs_that_had_more_time_have_a_row_for_each_learning_rate(tmp_path: Path) -> None:
    for rate, f1 in ((5e-4, 52.4), (1e-4, 51.8)):
        (tmp_path / f"{rate:g}").mkdir()
        one = run("ArchBERT", 0, f1) | {"learning_rate": rate, "steps": 1475, "cpu_seconds": 1500.0}
        (tmp_path / f"{rate:g}" / "archbert-tvhf-0.json").write_text(json.dumps(one))
    known = {paper_tables.REMEMBERED: {"F1": 73.1, "MCC": 0.712, "AUROC": 92.6}}
    page = paper_tables.table_2_longer(
        paper_tables.read_runs(tmp_path), {"descriptions": {"paper_validation": {"all": known}}}
    )
    rows = page.splitlines()[-3:]
    assert rows[0].startswith("| ArchBERT | 0.0001 | 1475 | 51.8 | not run | 0.52 |")
    assert rows[1].startswith("| ArchBERT | 0.0005 | 1475 | 52.4 |")
    assert rows[2] == "| *nearest training pairs* | | | 73.1 | | 0.71 | 92.6 | | |" and "25 CPU minutes" in page


def test_log_odds_of_the_product_are_fitted_on_what_facts_leave_open() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.3
    cosines = 0.2 + 0.01 * (truth * 1.5 + rng.normal(size=4000))  # log odds of 1.5 a unit, in a narrow range
    rows = [{"arch_id": "a", "text": str(i), "label": int(right)} for i, right in enumerate(truth)]
    decided = np.where(np.arange(4000) < 500, -DECIDED, 0.0)
    cosines[:500] = -1  # would spoil the fit
    evidence: Any = lambda asked: decided[[int(row["text"]) for row in asked]]  # noqa: E731
    product = run_paper_tables.Product(evidence, cosines, rows)
    odds = product(cosines, rows)
    assert (odds[:500] < -DECIDED / 2).all()
    step = np.diff(product(np.array([0.2, 0.21]), rows[600:602]))[0]
    assert step == pytest.approx(1.5, abs=0.15)
    assert (1 / (1 + np.exp(-odds[500:]))).mean() == pytest.approx(truth[500:].mean(), abs=0.02)


def test_tables_go_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{paper_tables.BEGIN}\nold\n{paper_tables.END}\nafter\n")
    for _ in range(2):
        paper_tables.write_page(page, "new \\1")
        assert page.read_text() == f"before\n{paper_tables.BEGIN}\n\nnew \\1\n\n{paper_tables.END}\nafter\n"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has neither lines"):
        paper_tables.write_page(page, "new")


def test_the_page_has_the_stored_tables() -> None:
    page = (REPOSITORY / "docs" / "paper.md").read_text(encoding="utf-8")
    shown = page.split(paper_tables.BEGIN)[1].split(paper_tables.END)[0]
    assert shown.strip() == paper_tables.all_tables().strip()


def test_the_readme_has_the_summary_of_stored_results(tmp_path: Path) -> None:
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = page.split(paper_tables.SUMMARY_BEGIN)[1].split(paper_tables.SUMMARY_END)[0].strip()
    assert shown == summary_table.summary(paper_tables.RESULTS)
    rows = [line.split(" | ") for line in shown.splitlines()[2:]]
    assert len(rows) == len(summary_table.ROWS) and {len(row) for row in rows} == {5}
    for row in rows:
        assert re.fullmatch(r"\d+\.\d", row[1]) and re.fullmatch(r"\d+\.\d \(.+\)", row[2]), row
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{paper_tables.SUMMARY_BEGIN}\nold\n{paper_tables.SUMMARY_END}\nb\n")
    paper_tables.write_page(readme, "tables", "short")
    assert readme.read_text() == f"a\n{paper_tables.SUMMARY_BEGIN}\n\nshort\n\n{paper_tables.SUMMARY_END}\nb\n"


def test_a_floor_of_a_summary_reads_no_facts_and_no_reference() -> None:
    lines = summary_table.summary(paper_tables.RESULTS).splitlines()
    floors = [line.split(" | ")[2] for line in lines[2:]]
    assert not [floor for floor in floors if "fact program" in floor or "reference" in floor or "ArchBERT" in floor]


def test_every_figure_and_table_of_the_paper_has_its_result() -> None:
    page = (REPOSITORY / "docs" / "paper.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| (Figure|Table)s? \d", line)]
    named = [line.split("|")[1] for line in rows]
    for kind, count in (("Figure", 11), ("Table", 10)):
        found: set[int] = set()
        for cell in named:
            if cell.strip().startswith(kind):
                numbers = [int(n) for n in re.findall(r"\d+", cell.split(",")[0])]
                found |= set(range(numbers[0], numbers[-1] + 1)) if " to " in cell else set(numbers)
        assert found == set(range(1, count + 1)), kind
    for line in rows:
        links = re.findall(r"\]\(([^)]+)\)", line)
        assert links and all((REPOSITORY / "docs" / link).exists() for link in links), line


def test_runs_have_different_names_and_known_fields() -> None:
    from modeling_archbert import ArchBertConfig

    names = [one.file_name(0) for one in paper_runs.RUNS]
    assert len(set(names)) == len(names) and "without-edge-and-shape-tvhf-0.json" in names
    fields = set(ArchBertConfig().to_dict())
    assert all(set(one.overrides) <= fields for one in paper_runs.RUNS)


def test_blocks_hold_as_many_right_as_wrong_pairs_of_their_rows() -> None:
    networks = [torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(depth)]) for depth in (1, 2, 3)]
    extractor = ArchBertGraphFeatureExtractor()
    encodings = [extractor.encode(trace(network, torch.zeros(1, 4))) for network in networks]
    pool = SimpleNamespace(
        index={name: i for i, name in enumerate("abc")}, encodings=encodings,
        tokens=np.array([encoding.num_tokens for encoding in encodings]),
    )  # fmt: skip
    rows = [{"arch_id": name, "text": f"text {name} {i}", "label": i % 2} for name in "abc" for i in range(4)]
    blocks = paper_runs.PairBlocks(
        pool,
        rows,
        ArchBertProcessor(extractor, tiny_tokenizer()),
        graphs=2,
        pairs=6,
        seed=0,  # type: ignore[arg-type]
    )
    batch, again = blocks(3), blocks(3)
    assert all(torch.equal(batch[key], again[key]) for key in batch)
    labels = batch["similarity_labels"]
    assert len(labels) == 6 and labels.sum() == 3
    assert len(batch["node_ids"]) == 2 and int(batch["architecture_index"].max()) <= 1
    assert int(batch["text_index"].max()) + 1 == len(batch["input_ids"])


def test_principal_axes_are_those_of_the_greatest_spread() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 5)) * np.array([1, 9, 1, 4, 1]) + 3
    centre, axes = show_embeddings.principal_axes(points)
    assert np.allclose(centre, points.mean(axis=0)) and axes.shape == (2, 5)
    assert np.abs(axes).argmax(axis=1).tolist() == [1, 3] and np.allclose(axes @ axes.T, np.eye(2))


def test_groups_are_drawn_whole() -> None:
    rows = [
        {"group": g, "label": i, "kind": kind}
        for g, kind in (("x", "size"), ("y", "purpose"), ("z", "size"))
        for i in (0, 1)
    ]
    rows = rows[:-1]
    assert [(a["group"], a["label"], b["label"]) for a, b in show_embeddings.drawn_groups(rows, 5, 0)] == [("x", 1, 0)]


def test_reliability_and_risk_are_those_of_the_definitions() -> None:
    truth = np.array([True, True, False, False, True, False])
    bins, gap = show_calibration.reliability(np.array([0.91, 0.99, 0.95, 0.02, 0.5, 0.04]), truth)
    assert [b["count"] for b in bins] == [2, 1, 3] and bins[2] == {"probability": 0.95, "true": 0.6667, "count": 3}
    assert gap == pytest.approx((2 * 0.03 + 0.5 + 3 * (0.95 - 0.6667)) / 6, abs=1e-3)
    logits = np.array([[2.0, -3.0], [0.1, -0.1], [-9.0, 9.0]])
    p = 1 / (1 + np.exp(-np.abs(logits)))
    assert show_calibration.confidence(logits) == pytest.approx(p.prod(axis=1))
    curve = show_calibration.risk_curve(show_calibration.confidence(logits), np.array([True, False, True]))
    assert curve == pytest.approx([0, 0, 1 / 3])
    assert (show_calibration.at(curve, 0.67), show_calibration.at(curve, 1.0)) == pytest.approx((0, 1 / 3))


def test_errors_are_counted_by_type_and_by_what_was_said(tmp_path: Path) -> None:
    rows = [{"question_type": "width", "answers": ["3"]}] * 3 + [{"question_type": "more", "answers": ["a", "b"]}]
    given = [["3"], ["5"], ["5"], []]
    found = show_calibration.errors(rows, given, np.array([True, False, False, False]))
    assert found["wrong, % by type"] == {"more": 100.0, "width": 66.7}
    assert found["confusions"][0] == {"type": "width", "right": "3", "said": "5", "count": 2}
    assert found["confusions"][1]["said"] == "no answer"
    picture = tmp_path / "deep" / "calibration.png"
    bins = show_calibration.reliability(np.array([0.2, 0.9]), np.array([False, True]))[0]
    show_calibration.draw(str(picture), {"head": bins}, {"x": np.zeros(40)}, {"x": found["wrong, % by type"]})
    assert picture.read_bytes().startswith(b"\x89PNG")

"""Model cards and README tables: every number comes from a results file, metadata is valid, the markers hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from archbert.model_card import (
    NO_RESULTS,
    RESULTS_BEGIN,
    RESULTS_END,
    main,
    read_results,
    results_markdown,
    update_readme,
    write_model_card,
)

TABLE = {
    "title": "AQA on unseen architectures",
    "rows": [
        {"method": "cross-attention", "exact match": 97.93, "samples-F1": 99.1, "questions": 12000},
        {"method": "question-only prior", "exact match": 57.04},
    ],
    "command": "examples/run_aqa.py --seed 0",
    "seed": 0,
    "hardware": "2 CPU cores",
}


def test_tables_show_every_number_with_its_provenance() -> None:
    text = results_markdown([TABLE])
    assert "| cross-attention | 97.9 | 99.1 | 12,000 |" in text
    assert "| question-only prior | 57.0 | – | – |" in text
    assert "command: `examples/run_aqa.py --seed 0`; seed: `0`; hardware: `2 CPU cores`" in text


def test_an_object_without_rows_becomes_a_table_of_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "aqa_results.json").write_text(json.dumps({"validation": {"exact_match": 0.5}, "note": "x"}))
    text = results_markdown(read_results([tmp_path / "aqa_results.json"]))
    assert text.startswith("### aqa results\n")
    assert "| validation.exact_match | 0.5 |" in text


def test_card_has_valid_metadata_the_two_ways_of_loading_and_the_results(tmp_path: Path) -> None:
    folder = tmp_path / "archbert-tiny"
    folder.mkdir()
    config = {"hidden_size": 256, "num_hidden_layers": 4, "id2label": {0: "MaxPool2d", 1: "ReLU"}}
    path = write_model_card(folder, config, TABLE, {"architectures": 2000, "seed": 0})
    card = ModelCard.load(path)
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    assert card.data.datasets == ["archbert/autonet"]
    text = card.text
    assert text.index("from archbert import pipeline") < text.index("trust_remote_code=True")
    assert 'model="archbert/archbert-tiny"' in text
    assert "| cross-attention | 97.9 |" in text
    assert "- architectures: 2000" in text
    assert "closed list of 2 answers" in text
    assert "| Hidden size | 256 |" in text


def test_a_card_names_its_origin_and_its_figures_as_the_hub_reads_them(tmp_path: Path) -> None:
    tables = [
        {"title": "AR on real networks, test, structure and size", "split": "test", "data": "TVHF, descriptions",
         "rows": [{"method": "ArchBERT, product", "group_accuracy": "63 (53.7 to 71.9)", "F1": 80.9},
                  {"method": "ops x words", "group_accuracy": 17.5}],
         "base_model": "owner/encoder", "trained_on": {"AutoNet": "all of it", "TVHF": "training split"}},
        {"title": "AQA on real networks, questions of today (aqa_modern)",
         "rows": [{"method": "ArchBERT, alone", "split": "test_new", "macro": 96.4}]},
        {"title": "AR on real networks, sentences that people wrote (test_human)", "split": "test_human",
         "rows": [{"method": "ArchBERT, product", "group_accuracy": "48.6 (35.3 to 63)"}]},
        {"title": "AC on unseen AutoNet architectures, full",
         "rows": [{"method": "ArchBERT", "claim precision": 90.2}]},
        {"title": "Losses", "rows": [{"loss": "answer", "first tenth": 0.1}]},
    ]  # fmt: skip
    (tmp_path / "calibration.png").write_bytes(b"")
    card = ModelCard.load(write_model_card(tmp_path, {"decoder_layers": 2}, tables, name="archbert-tiny"))
    assert card.data.base_model == "owner/encoder" and card.data.datasets == ["archbert/autonet", "archbert/tvhf"]
    found = [(r.dataset_type, r.dataset_config, r.dataset_split, r.metric_type, r.metric_value)
             for r in card.data.eval_results]  # fmt: skip
    assert found == [
        ("archbert/tvhf", "descriptions", "test", "accuracy", 63.0),
        ("archbert/tvhf", "aqa_modern", "test_new", "exact_match", 96.4),
        ("archbert/tvhf", "test_human", "test", "accuracy", 48.6),
        ("archbert/autonet", "captions", None, "precision", 90.2),
    ]
    assert card.data.model_name == "archbert-tiny" and card.data.eval_results[0].metric_name.endswith("product")
    text = card.text.replace("\n", " ")
    assert "nor endorsed by them" in text and text.index("nor endorsed") < text.index("## Use it")
    assert "- TVHF: training split" in text and "generated and on real networks" in text
    assert "](calibration.png)" in text and "embeddings.png" not in text and "describes networks" in text


def test_the_published_cards_are_whole() -> None:
    for folder in sorted((Path(__file__).parents[1] / "hub" / "models").iterdir()):
        card = ModelCard.load(folder / "README.md")
        assert card.data.eval_results and card.data.datasets, folder
        titles = [table["title"] for table in json.loads((folder / "results.json").read_text())]
        assert len(set(titles)) == len(titles), f"{folder} has a table twice"
        pictures = re.findall(r"\]\((\w+\.png)\)", card.text)
        assert sorted(pictures) == sorted(path.name for path in folder.glob("*.png"))


def test_a_card_without_results_says_so(tmp_path: Path) -> None:
    assert NO_RESULTS in write_model_card(tmp_path, {}).read_text(encoding="utf-8")


def test_readme_results_are_replaced_between_the_markers_only(tmp_path: Path) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results.json"
    readme.write_text(f"before\n{RESULTS_BEGIN}\nold\n{RESULTS_END}\nafter\n", encoding="utf-8")
    results.write_text(json.dumps([TABLE]))
    assert update_readme(readme, [results])
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{RESULTS_BEGIN}\n### AQA") and text.endswith(f"{RESULTS_END}\nafter\n")
    assert "old" not in text
    assert not update_readme(readme, [results]), "a second run changes nothing"


@pytest.mark.parametrize("text", ["no markers", f"{RESULTS_END}{RESULTS_BEGIN}", RESULTS_BEGIN * 2 + RESULTS_END])
def test_a_readme_without_one_pair_of_markers_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    (tmp_path / "results.json").write_text(json.dumps(TABLE))
    with pytest.raises(ValueError, match="results:begin"):
        update_readme(tmp_path / "README.md", [tmp_path / "results.json"])


def test_the_command_line_names_a_broken_results_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text(f"{RESULTS_BEGIN}\n{RESULTS_END}")
    (tmp_path / "results.json").write_text("{")
    arguments = ["--readme", str(tmp_path / "README.md"), "--results", str(tmp_path / "results.json")]
    assert main(arguments) == 1
    assert "results.json is no JSON" in capsys.readouterr().err


def test_the_page_of_results_is_what_the_stored_results_say(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    stored, runs = root / "benchmarks" / "results", root / "benchmarks" / "results" / "runs"
    published = [
        runs / f"published-{split}-{task}.json" for task in ("aqa", "reasoning") for split in ("validation", "test")
    ]
    page = tmp_path / "results.md"
    page.write_bytes((root / "docs" / "results.md").read_bytes())
    assert not update_readme(page, [*published, *(stored / f"{name}.json" for name in ("aqa", "tracing", "training"))])

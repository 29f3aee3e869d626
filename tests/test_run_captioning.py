"""The captioning script on a tiny AutoNet: what a step holds, floors and ceiling, resuming, what is saved."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file
from transformers import HfArgumentParser

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import caption_evaluation  # noqa: E402
import captions  # noqa: E402
import run_captioning  # noqa: E402
from tiny_tvhf import write_tiny_tvhf  # noqa: E402

import archbert  # noqa: E402
from dataset_scripts.autonet import build_tokenizer  # noqa: E402
from dataset_scripts.autonet.generate_autonet import generate  # noqa: E402
from modeling_archbert import ArchBertForPreTraining  # noqa: E402
from processing_archbert import ArchBertProcessor  # noqa: E402

SMALL = {
    "text_config": {
        "vocab_size": 500,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    },
    "number_embedding_size": 4,
    "relevance_size": 8,
    "fusion_intermediate_size": 16,
}


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """`accelerate` keeps its state for the whole process."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Few English words for the tokenizer, and captions of few word pieces: untrained models write to the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_tokenizer, "english_words", lambda: Counter({"network": 9, "the": 9}))
        patch.setattr(caption_evaluation, "GENERATION", {"max_new_tokens": 5})
        yield


@pytest.fixture(scope="module")
def autonet(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("autonet")
    generate(6, 3, 0, folder, size="tiny")
    return str(folder)


def arguments(data: str, folder: Path, **changes: Any) -> run_captioning.CaptioningArguments:
    defaults: dict[str, Any] = {
        "data": data, "output_dir": str(folder), "cache_dir": str(folder.parent / "cache"), "cpu": True,
        "overrides": json.dumps(SMALL), "max_steps": 2, "threads": 1, "graphs_per_step": 2, "captions_per_step": 3,
    }  # fmt: skip
    return run_captioning.CaptioningArguments(**defaults | changes)


@pytest.fixture(scope="module")
def trained(autonet: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("runs") / "trained"
    tables = run_captioning.main(arguments(autonet, folder, save_steps=1))
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    return folder, tables


def test_a_run_gives_a_table_for_each_length_and_a_folder_that_writes(trained: Any, autonet: str) -> None:
    folder, tables = trained
    assert [table["title"].rsplit(", ", 1)[1] for table in tables] == list(captions.LENGTHS)
    for table in tables:
        rows = {row["method"]: row for row in table["rows"]}
        assert list(rows) == [
            caption_evaluation.MODEL, caption_evaluation.PRODUCT, caption_evaluation.CONSTANT,
            caption_evaluation.NEAREST, caption_evaluation.CEILING,
        ]  # fmt: skip
        assert rows[caption_evaluation.PRODUCT]["claim precision"] == 100
        assert rows[caption_evaluation.CEILING]["claim precision"] == 100
        floor, ceiling = rows[caption_evaluation.CONSTANT], rows[caption_evaluation.CEILING]
        assert floor["claim precision"] < 100 and floor["ROUGE-2"] < ceiling["ROUGE-2"]
        assert table["results"][caption_evaluation.MODEL]["count"] == 3
    write = archbert.pipeline("architecture-captioning", model=str(folder), device="cpu")
    found = write({"architecture": "resnet", "length": "full", "style": "technical"}, mode="product", max_new_tokens=4)
    assert found["caption"].startswith("A convolutional network")
    assert ArchBertProcessor.from_pretrained(folder).feature_extractor.exact_numbers is True


def test_a_resumed_run_equals_one_that_was_never_interrupted(trained: Any, autonet: str, tmp_path: Path) -> None:
    folder, again = trained[0], tmp_path / "again"
    shutil.copytree(folder / "checkpoints" / "step-1", again / "checkpoints" / "step-1")
    run_captioning.main(arguments(autonet, again, resume=True))
    whole, resumed = load_file(folder / "model.safetensors"), load_file(again / "model.safetensors")
    half = load_file(again / "checkpoints" / "step-1" / "model.safetensors")
    assert any(name.startswith("decoder.layers.") for name in whole)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert any(not torch.equal(half[name], whole[name]) for name in half)


def test_with_only_the_decoder_everything_else_stays(trained: Any, autonet: str, tmp_path: Path) -> None:
    before = load_file(trained[0] / "model.safetensors")
    run_captioning.main(arguments(autonet, tmp_path / "more", init_from=str(trained[0]), only_decoder=True, seed=3))
    after = load_file(tmp_path / "more" / "model.safetensors")
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed and all(name.startswith("decoder.") for name in changed)


def test_real_networks_without_captions_are_not_evaluated(trained: Any, tmp_path: Path) -> None:
    data = write_tiny_tvhf(tmp_path / "tvhf")
    file = next((data / "captions").glob("validation-*.parquet"))
    rows = pq.read_table(file)
    networks = pc.unique(rows["arch_id"])
    pq.write_table(rows.filter(pc.not_equal(rows["arch_id"], networks[0])), file)
    changes = {"init_from": str(trained[0]), "max_steps": 0, "eval_split": "validation"}
    tables = run_captioning.main(arguments(str(data), tmp_path / "run", **changes))
    assert {table["data"] for table in tables} == {f"{len(networks) - 1} architectures, one caption each"}


def test_captions_of_further_splits_can_be_measured(trained: Any, tmp_path: Path) -> None:
    data = write_tiny_tvhf(tmp_path / "tvhf")
    for file in list(data.glob("*/test-*.parquet")):
        shutil.copy(file, file.with_name(file.name.replace("test-", "test_new-")))
    given = {"data": data, "init_from": trained[0], "output_dir": tmp_path / "run", "cache_dir": tmp_path,
             "eval_split": "test_new", "max_steps": 0, "threads": 1, "cpu": True}  # fmt: skip
    words = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
    parser = HfArgumentParser(run_captioning.CaptioningArguments)
    tables = run_captioning.main(parser.parse_args_into_dataclasses(words)[0])
    assert {table["title"].split(", ")[1] for table in tables} == {"test_new"}


def test_a_step_has_captions_of_one_length_with_their_graph_and_kind(autonet: str, trained: Any) -> None:
    model, processor = (
        ArchBertForPreTraining.from_pretrained(trained[0]),
        ArchBertProcessor.from_pretrained(trained[0]),
    )
    split = run_captioning.load_captioned(autonet, "train", None, "unused")
    rows = [split.rows.of([graph]) for graph in range(3)]
    seen = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        batch = captions.caption_batch(processor, model.config, rows, 4, rng)
        texts = processor.decode_captions(batch["caption_labels"].clamp(min=0))
        lengths = set()
        for text, graph, kind in zip(texts, batch["caption_index"].tolist(), batch["caption_kind_ids"], strict=True):
            known = {row["text"].lower(): row for row in rows[graph]}[text.lower()]
            lengths.add(known["length"])
            assert int(kind) in (0, 1 + captions.KINDS.index(f"{known['length']} {known['style']}"))
        assert len(lengths) == 1
        seen |= lengths
        counts = Counter(batch["caption_index"].tolist())
        assert max(counts.values()) - min(counts[graph] for graph in range(3)) <= 1
    assert seen == set(captions.LENGTHS)

"""The training scripts on a tiny AutoNet: blocks, resuming, several processes, calibration, what is saved."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import calibration  # noqa: E402
import run_multitask  # noqa: E402

import blocks  # noqa: E402
import evaluation  # noqa: E402
import new_model  # noqa: E402
import run_aqa  # noqa: E402
import run_pretraining  # noqa: E402
import training_loop  # noqa: E402
import zoo  # noqa: E402
from dataset_scripts.autonet import build_tokenizer  # noqa: E402
from dataset_scripts.autonet.generate_autonet import generate  # noqa: E402
from modeling_archbert import ArchBertForSequenceClassification, ArchBertModel  # noqa: E402
from processing_archbert import ANSWERS, ArchBertProcessor, ArchitectureGraph, GraphFacts  # noqa: E402

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


@pytest.fixture(scope="session", autouse=True)
def few_english_words() -> Iterator[None]:
    """The tokenizer reads the docstrings of torch and transformers otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_tokenizer, "english_words", lambda: Counter({"network": 9, "the": 9}))
        yield


@pytest.fixture(scope="session")
def autonet(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("autonet")
    generate(10, 5, 0, folder, size="tiny", num_test=5)
    return str(folder)


@pytest.fixture(scope="session")
def train(autonet: str) -> blocks.Split:
    return blocks.load_split(autonet, "train")


@pytest.fixture(scope="session")
def processor(train: blocks.Split) -> ArchBertProcessor:
    processor = new_model.new_processor(new_model.new_config("mini", SMALL), new_model.train_tokenizer(["a b"], 500))
    train.encode(processor)
    return processor


def aqa_arguments(data: str, folder: Path, **changes: Any) -> run_aqa.AqaArguments:
    defaults: dict[str, Any] = {
        "data": data, "output_dir": str(folder), "cache_dir": str(folder), "overrides": json.dumps(SMALL),
        "max_steps": 2, "graphs_per_step": 3, "questions_per_step": 6, "cpu": True,
    }  # fmt: skip
    return run_aqa.AqaArguments(**defaults | changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


# Blocks


def test_a_folder_that_was_made_anew_is_read_anew(tmp_path: Path) -> None:
    from datasets import Dataset

    folder = tmp_path / "autonet" / "aqa"
    folder.mkdir(parents=True)
    for question in ("the first one?", "another one?"):
        Dataset.from_list([{"question": question}]).to_parquet(folder / "train-00000-of-00001.parquet")
        assert list(blocks.load_rows(str(folder.parent), "aqa", "train")["question"]) == [question]
    with pytest.raises(FileNotFoundError, match="validation"):
        blocks.load_rows(str(folder.parent), "aqa", "validation")


def test_every_pair_of_a_block_has_the_truth_of_its_graph(train: blocks.Split, processor: ArchBertProcessor) -> None:
    maker = blocks.Blocks(train, processor, graphs=3, questions=5)
    batch, chosen = maker(4), maker.chosen_graphs(4)
    asked = {row["question"]: row for row in train.question_rows()}
    texts = [processor.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in batch["input_ids"]]
    assert batch["labels"].shape == (15, len(ANSWERS))
    for text, place, labels in zip(batch["text_index"], batch["architecture_index"], batch["labels"], strict=True):
        row = next(row for question, row in asked.items() if question.lower() == texts[text])
        truth = train.facts[chosen[place]].answer(row["question_type"], row["subject"]).value
        known = {answer for answer in truth if answer in blocks.ANSWER_IDS}
        assert {ANSWERS[i] for i in labels.nonzero().flatten()} == known


def test_descriptions_are_balanced_and_follow_their_claims(train: blocks.Split, processor: ArchBertProcessor) -> None:
    maker = blocks.Blocks(train, processor, graphs=8, questions=2, descriptions=16)
    batch, chosen = maker(0), maker.chosen_graphs(0)
    questions = 2 * 8
    labels = batch["similarity_labels"]
    assert labels[:questions].isnan().all() and not labels[questions:].isnan().any()
    assert (batch["labels"][questions:] == blocks.IGNORED).all()
    by_text: dict[int, list[tuple[float, float]]] = {}
    weights = batch["similarity_weights"][questions:].tolist()
    for text, label, weight in zip(
        batch["text_index"][questions:].tolist(), labels[questions:].tolist(), weights, strict=True
    ):
        by_text.setdefault(text, []).append((label, weight))
    one_sided = [rows for rows in by_text.values() if len(rows) == 1]
    assert len(one_sided) <= 16 * blocks.ONE_SIDED_SHARE < len(by_text)
    for rows in by_text.values():
        if len(rows) > 1:  # every graph of the block, and the text alone says nothing
            assert len(rows) == 8
            assert sum(w for label, w in rows if label == 1) == pytest.approx(4)
            assert sum(w for label, w in rows if label == 0) == pytest.approx(4)
    claims = {row["text"].lower(): json.loads(row["claims"]) for row in train.description_rows()}
    for text, place, label in zip(
        batch["text_index"][questions:], batch["architecture_index"][questions:], labels[questions:], strict=True
    ):
        words = processor.tokenizer.decode(batch["input_ids"][text], skip_special_tokens=True).strip()
        claimed = next((c for t, c in claims.items() if t == words), None)
        if claimed is not None:  # a text longer than max_text_length is cut
            assert train.facts[chosen[place]].all_hold(claimed) is bool(label)


def test_a_block_depends_on_its_number_and_the_seed_alone(train: blocks.Split, processor: ArchBertProcessor) -> None:
    def maker(seed: int) -> blocks.Blocks:
        return blocks.Blocks(train, processor, graphs=5, questions=4, descriptions=4, seed=seed, op_replacement=0.5)

    one, two = maker(1), maker(1)
    two(0)
    first, second = one(3), two(3)
    assert all(torch.equal(first[key].nan_to_num(), second[key].nan_to_num()) for key in first)
    assert not torch.equal(maker(2)(3)["node_ids"], first["node_ids"])
    assert sorted(one.chosen_graphs(0) + one.chosen_graphs(1)) == list(range(10))  # an epoch sees every graph once


def test_blocks_without_texts_are_refused(train: blocks.Split, processor: ArchBertProcessor) -> None:
    with pytest.raises(ValueError, match="neither questions nor descriptions"):
        blocks.Blocks(train, processor, graphs=4)


# Training


def test_aqa_run_leaves_a_model_results_and_a_card(autonet: str, tmp_path: Path) -> None:
    tables = run_aqa.main(aqa_arguments(autonet, tmp_path, descriptions_per_step=4, op_replacement=0.5))
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved == json.loads(json.dumps(tables))
    assert saved[0]["seed"] == 0 and saved[0]["count"] == len(blocks.load_split(autonet, "validation").question_rows())
    assert saved[0]["prior_exact_match"] >= saved[0]["type_prior"]["exact_match"] > 0
    assert len(saved[0]["by_question_type"]) == 10
    assert "AQA on unseen AutoNet architectures" in (tmp_path / "README.md").read_text()
    model = ArchBertForSequenceClassification.from_pretrained(tmp_path).eval()
    processor = ArchBertProcessor.from_pretrained(tmp_path)
    graph = blocks.load_split(autonet, "validation").facts[0].graph
    with torch.no_grad():
        logits = model(**processor(text=["which pooling is used?"], architectures=[graph])).logits
    assert logits.shape == (1, len(ANSWERS)) and logits.isfinite().all()


def test_a_model_says_what_it_was_made_from(tmp_path: Path) -> None:
    for name in ("autonet", "tvhf"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
    given: dict[str, Any] = {"data": str(tmp_path / "autonet"), "limit_train": 1000}
    found = training_loop.origin(training_loop.TrainingArguments(**given, text_encoder="owner/encoder"))
    digest = hashlib.sha256(b"autonet").hexdigest()
    assert found["base_model"] == "owner/encoder" and list(found["trained_on"]) == ["AutoNet"]
    assert (
        found["trained_on"]["AutoNet"].startswith("first 1,000 networks") and digest in found["trained_on"]["AutoNet"]
    )
    published = str(Path(__file__).parents[1] / "hub" / "models" / "archbert-mini")
    arguments = run_multitask.MultitaskArguments(real_data=str(tmp_path / "tvhf"), init_from=published)
    found = training_loop.origin(arguments)
    assert found["base_model"] == "archbert/archbert-mini" and list(found["trained_on"]) == ["TVHF"]
    given = {"data": "owner/autonet", "init_from": str(tmp_path)}
    assert training_loop.origin(training_loop.TrainingArguments(**given)) == {
        "trained_on": {"AutoNet": "training split of owner/autonet"}
    }, "no path of this machine"


def test_the_split_to_evaluate_on_can_be_chosen(autonet: str, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"max_steps": 0, "eval_split": "test"}
    (answers,) = run_aqa.main(aqa_arguments(autonet, tmp_path / "aqa", **chosen))
    test = blocks.load_split(autonet, "test")
    assert answers["title"] == "AQA on AutoNet architectures of unseen styles"
    assert answers["count"] == len(test.question_rows())
    styles = [row["style"] for row in blocks.load_rows(autonet, "architectures", "test")]
    assert not set(styles) & {row["style"] for row in blocks.load_rows(autonet, "architectures", "train")}


def test_resumed_run_equals_one_that_was_not_interrupted(autonet: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    common: dict[str, Any] = {
        "max_steps": 4,
        "gradient_accumulation_steps": 2,
        "save_steps": 3,
        "mam_loss_weight": 0.1,
    }
    run_aqa.main(aqa_arguments(autonet, whole, **common))
    shutil.copytree(whole / "checkpoints" / "step-3", cut / "checkpoints" / "step-3")
    run_aqa.main(aqa_arguments(autonet, cut, **common, resume=True))
    expected, found = weights(whole), weights(cut)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    state = json.loads((cut / "checkpoints" / "step-4" / training_loop.STATE_FILE).read_text())
    assert state["step"] == 4 and len(state["losses"]) == 1


def test_resuming_without_a_saved_state_says_so(autonet: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run once without --resume"):
        run_aqa.main(aqa_arguments(autonet, tmp_path, resume=True))


def test_a_loss_that_is_not_a_number_names_its_block_and_is_never_saved(
    autonet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = training_loop.Trainer._forward_backward

    def poisoned(trainer: training_loop.Trainer, batch: dict[str, Any], accumulated: int) -> torch.Tensor:
        loss = learn(trainer, batch, accumulated)
        return loss * float("nan") if trainer._block(accumulated) == 5 else loss

    monkeypatch.setattr(training_loop.Trainer, "_forward_backward", poisoned)
    arguments = aqa_arguments(autonet, tmp_path, max_steps=4, gradient_accumulation_steps=2, save_steps=1)
    with pytest.raises(FloatingPointError, match="The loss is nan at step 3, block 5 of seed 0; lower"):
        run_aqa.main(arguments)
    assert [path.name for path in training_loop.saved_states(tmp_path / "checkpoints")] == ["step-1", "step-2"]


def test_a_full_disk_leaves_the_state_before_whole(
    autonet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import Accelerator

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_aqa.main(aqa_arguments(autonet, whole, save_steps=1))
    with monkeypatch.context() as patch:
        save = Accelerator.save_state

        def full(accelerator: Accelerator, folder: str) -> None:
            save(accelerator, folder)
            if folder.endswith("step-2"):
                (Path(folder) / "model.safetensors").write_bytes(b"half")
                raise OSError(28, "No space left on device")

        patch.setattr(Accelerator, "save_state", full)
        with pytest.raises(OSError, match=r"No space left on device.*step-1 is whole: go on from it with --resume"):
            run_aqa.main(aqa_arguments(autonet, cut, save_steps=1))
    assert [path.name for path in (cut / "checkpoints").iterdir()] == ["step-1"]
    run_aqa.main(aqa_arguments(autonet, cut, save_steps=1, resume=True))
    assert all(torch.equal(weights(whole)[name], value) for name, value in weights(cut).items())


def test_a_training_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES.parent / "tests" / "faults" / "kill_training.py")]
    subprocess.run([*command, "--kills", "3", "--processes", "1", "--json", str(tmp_path / "result.json")], check=True)
    (result,) = json.loads((tmp_path / "result.json").read_text())["runs"]
    assert result["kills"] >= 3 and result["equal"] == result["ended"] >= 1


def test_two_processes_learn_what_one_learns_that_accumulates(autonet: str, tmp_path: Path) -> None:
    start, pair, single = (tmp_path / name for name in ("start", "pair", "single"))
    run_aqa.main(aqa_arguments(autonet, start, max_steps=1))
    changes: dict[str, Any] = {"init_from": str(start), "overrides": "{}"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    given = vars(aqa_arguments(autonet, pair, **changes))
    options = [part for name, value in given.items() if value is not None for part in (f"--{name}", str(value))]
    paths = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [*launch, str(EXAMPLES / "run_aqa.py"), *options],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    run_aqa.main(aqa_arguments(autonet, single, gradient_accumulation_steps=2, **changes))
    expected, found = weights(single), weights(pair)
    assert all(torch.allclose(expected[name], found[name], atol=1e-5) for name in expected)
    results = [json.loads((folder / "results.json").read_text())[0] for folder in (pair, single)]
    assert results[0]["hardware"].startswith("2 x ")
    assert results[0]["rows"] == results[1]["rows"]


def test_time_budget_ends_a_run(autonet: str, tmp_path: Path) -> None:
    tables = run_aqa.main(aqa_arguments(autonet, tmp_path, max_steps=None, time_budget=0.5))
    assert tables[0]["steps"] >= 1
    assert tables[0]["training_seconds"] >= 0.5


def test_pretraining_then_questions_with_the_product_fusion(autonet: str, tmp_path: Path) -> None:
    first, second = tmp_path / "pretraining", tmp_path / "aqa"
    shared = {f: getattr(aqa_arguments(autonet, first), f) for f in training_loop.TrainingArguments.__annotations__}
    tables = run_pretraining.main(run_pretraining.PreTrainingArguments(**shared, descriptions_per_step=8))
    assert [table["title"].split(", ")[1] for table in tables] == [
        "matched negatives",
        "the paper's kind of negatives",
    ]
    matched = tables[0]["results"]
    assert matched["always yes"]["prevalence"] == 50.0
    assert matched["text only (bag of words)"]["group_accuracy"] == 0.0
    config = ArchBertModel.from_pretrained(first).config
    assert (
        config.similarity_threshold
        == tables[0]["threshold"]
        == pytest.approx(-config.similarity_bias / config.similarity_scale)
    )
    run_aqa.main(
        aqa_arguments(autonet, second, init_from=str(first), overrides="{}", fusion="product", use_copy=False)
    )
    assert json.loads((second / "config.json").read_text())["fusion"] == "product"
    assert any(name.startswith("answer_head.product") for name in weights(second))


def test_paper_preset_sees_unfolded_graphs_of_at_most_512_nodes() -> None:
    tokenizer = new_model.train_tokenizer(["a b"], 500)
    processor = new_model.new_processor(new_model.new_config("paper", {}), tokenizer)
    chain = ArchitectureGraph.build(["input", *["ReLU"] * 700], edges=[(i, i + 1) for i in range(700)])
    assert processor.feature_extractor.encode(chain, fold=False).num_tokens == 512


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"warmup": 1.5}, "warmup is 1.5"), ({"graphs_per_step": 0}, "graphs_per_step is 0")],
)
def test_wrong_arguments_fail_before_anything_runs(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        aqa_arguments("nowhere", tmp_path, **changes)
    with pytest.raises(ValueError, match="--overrides is no JSON"):
        new_model.overrides_of("{num_gat_layers: 2}")


def test_schedule_rises_then_falls(tmp_path: Path) -> None:
    arguments = aqa_arguments("nowhere", tmp_path, warmup=0.1)
    factors = [training_loop.schedule_factor(p, arguments) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert factors == pytest.approx([1e-3, 0.5, 1.0, 0.5, 0.0])
    assert training_loop.schedule_factor(0.55, replace(arguments, schedule="constant")) == 1.0


# Evaluation


def test_logistic_calibration_finds_scale_and_bias() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(3 * scores - 1)))
    assert calibration.fit_logistic(scores, truth, 1.0, 0.0) == pytest.approx((3, -1), abs=0.15)


def test_logistic_calibration_of_scores_that_are_far_too_sure() -> None:
    rng = np.random.default_rng(0)
    scores = 20 * rng.normal(size=500)
    truth = rng.random(500) < 1 / (1 + np.exp(-scores / 20))
    assert calibration.fit_logistic(scores, truth, 1.0, 0.0) == pytest.approx((0.05, 0), abs=0.15)
    model = SimpleNamespace(config=SimpleNamespace())
    calibration.calibrate_reasoning(model, scores + 3, [{"label": int(label)} for label in truth])
    assert model.config.reasoning_scale == pytest.approx(0.05, abs=0.02)
    assert 0 < model.config.reasoning_threshold < 6


def test_best_threshold_lies_between_the_classes() -> None:
    assert calibration.best_threshold(np.array([0.1, 0.2, 0.6, 0.8]), np.array([0, 0, 1, 1])) == pytest.approx(0.4)
    assert calibration.best_threshold(np.array([0.1, 0.2]), np.array([1, 1])) < 0.1
    assert calibration.best_threshold(np.array([0.1, 0.2]), np.array([0, 0])) == 0.2
    with pytest.raises(ValueError, match="no statements to choose a threshold by"):
        calibration.best_threshold(np.array([]), np.array([]))


def test_prior_is_the_most_frequent_answer_of_the_question() -> None:
    rows = [{"question_type": "t", "subject": s, "answers": a} for s, a in
            (("x", ["A"]), ("x", ["A"]), ("y", ["B", "C"]), ("y", ["B", "C"]), ("y", ["B", "C"]))]  # fmt: skip
    prior = evaluation.QuestionPrior(rows)
    assert prior.predict(rows[:1], subjects=True) == [["A"]]
    assert prior.predict(rows[:1], subjects=False) == [["B", "C"]]
    assert prior.predict([{"question_type": "new", "subject": ""}], subjects=True) == [[]]


def test_text_floor_learns_words_but_not_matched_statements() -> None:
    train: list[dict[str, Any]] = [
        {"text": f"it has {word}", "label": int(word == "relu"), "group": ""} for word in ("relu", "gelu")
    ] * 20
    train += [{"text": "it has conv", "label": label, "group": "g"} for label in (0, 1)] * 20
    rows = [
        {"text": text, "group": group} for text, group in (("it has relu", ""), ("it has gelu", ""), ("conv", "g"))
    ]
    scores = evaluation.text_only_scores(train, rows)
    assert scores[0] > 0.9 and scores[1] < 0.1 and scores[2] == pytest.approx(0.5, abs=0.01)


# Real networks


@pytest.mark.parametrize("family", list(zoo.FAMILIES))
def test_small_networks_of_the_zoo_are_smaller(family: str) -> None:
    small, default = zoo.zoo_config(family, "small"), zoo.zoo_config(family, "default")
    assert small.model_type == default.model_type
    assert small.to_dict() != default.to_dict()


def test_zoo_has_thirty_families() -> None:
    assert len(zoo.FAMILIES) == 30
    with pytest.raises(ValueError, match="there is no tiny bert in the zoo"):
        zoo.zoo_config("bert", "tiny")


def test_zoo_questions_carry_the_truth_and_graphs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    families = {"distilbert": zoo.FAMILIES["distilbert"]}
    graphs = [graph for _, graph in zoo.zoo_graphs(tmp_path, families)]
    monkeypatch.setattr(zoo, "trace", None)
    again = [graph for _, graph in zoo.zoo_graphs(tmp_path, families)]
    assert [g.graph_hash for g in again] == [g.graph_hash for g in graphs]
    rows = zoo.zoo_questions(graphs, seed=1)
    assert rows == zoo.zoo_questions(graphs, seed=1)
    assert len(rows) == 2 * len(blocks.INTENTS)
    for row in rows:
        assert row["answers"] == GraphFacts(graphs[row["graph"]]).answer(row["question_type"], row["subject"]).value


def test_runs_of_several_seeds_are_joined():
    import summarize

    runs = [
        {"title": "AQA", "seed": seed, "command": "run", "training_seconds": 60.0 + seed, "steps": 7, "data": "a",
         "commit": seed,
         "rows": [{"method": "ours", "exact match": 90.0 + 2 * seed}, {"method": "prior", "exact match": 50.0}]}
        for seed in (0, 1, 2)
    ]  # fmt: skip
    (table,) = summarize.summarize(runs)
    assert table["rows"] == [
        {"method": "ours", "exact match": "92.0 ± 2.0", "runs": 3},
        {"method": "prior", "exact match": 50.0, "runs": 3},
    ]
    assert table["seeds"] == [0, 1, 2] and table["data"] == "a" and "commit" not in table
    assert table["notes"].startswith("7 training steps a run; they took 60 to 62 seconds")
    (evaluated,) = summarize.summarize([run | {"training_seconds": 0.0} for run in runs], trained=runs[:1])
    assert evaluated["notes"].startswith("7 training steps a run; they took 60 to 60 seconds")

"""Training of several tasks on a tiny AutoNet and a few networks of TVHF, and the evaluation of its tasks."""

from __future__ import annotations

import json
import shutil
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
import transformers
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import multitask
import multitask_loop
import real_claims
import real_evaluation
import real_networks
import real_statements
import run_clone_detection
import run_evidence
import run_multitask
import run_real_aqa
import run_reasoning
import run_search
from tiny_tvhf import write_tiny_tvhf

import blocks
from archbert.verification import DECIDED, PARTLY_RIGHT
from dataset_scripts.autonet import build_tokenizer
from dataset_scripts.autonet.claims_autonet import CLAIM_TYPES
from dataset_scripts.autonet.generate_autonet import generate
from dataset_scripts.tvhf.metrics_tvhf import read_rows
from modeling_archbert import ArchBertForPreTraining, ArchBertForSequenceClassification, ArchBertModel
from modeling_archbert.heads_archbert import clone_loss, contrastive_loss
from processing_archbert import ArchBertProcessor, trace

SIZES = {
    "text_config": {
        "vocab_size": 500, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16,
    },
    "number_embedding_size": 4, "relevance_size": 8, "fusion_intermediate_size": 16, "reasoning_numbers": True,
}  # fmt: skip
WEIGHTS = {"answers": 1, "statements": 1, "real": 1}


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """`accelerate` keeps its state for the whole process."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.fixture(scope="module", autouse=True)
def few_english_words() -> Iterator[None]:
    """The tokenizer reads the docstrings of torch and transformers otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_tokenizer, "english_words", lambda: Counter({"network": 9, "the": 9}))
        yield


@pytest.fixture(scope="module")
def autonet(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("autonet")
    generate(8, 2, 0, folder, size="tiny")
    return str(folder)


@pytest.fixture(scope="module")
def tvhf(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_tvhf(tmp_path_factory.mktemp("real") / "tvhf"))


@pytest.fixture(scope="module")
def networks(tvhf: str) -> real_networks.RealNetworks:
    return real_networks.load_real(tvhf, "train")


@pytest.fixture(scope="module")
def trained(autonet: str, tvhf: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of four steps, and its saved states."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run_multitask.main(arguments(autonet, tvhf, folder, save_steps=2))
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    return folder


def arguments(autonet: str, tvhf: str, folder: Path, **changes: Any) -> run_multitask.MultitaskArguments:
    defaults: dict[str, Any] = {
        "data": autonet, "real_data": tvhf, "output_dir": str(folder), "cache_dir": str(folder.parent / "cache"),
        "preset": "mini", "overrides": json.dumps(SIZES), "task_weights": json.dumps(WEIGHTS), "max_steps": 4,
        "graphs_per_step": 4, "questions_per_step": 4, "descriptions_per_step": 4, "real_graphs_per_step": 6,
        "real_statements_per_step": 8, "real_questions_per_step": 2, "captions_per_step": 4, "cpu": True, "threads": 1,
    }  # fmt: skip
    return run_multitask.MultitaskArguments(**defaults | changes)


def real_blocks(networks: real_networks.RealNetworks, processor: Any, **changes: Any) -> multitask.RealBlocks:
    networks.split.encode(processor)
    return multitask.RealBlocks(networks, processor, **{"graphs": 6, "statements": 8, "questions": 2} | changes)


# Losses


def test_clone_loss_falls_as_alike_architectures_approach() -> None:
    labels = torch.tensor([[torch.nan, 1.0, 0.0], [1.0, torch.nan, 0.0], [0.0, 0.0, torch.nan]])
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    together = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    assert clone_loss(together, labels) < 0.3 < clone_loss(apart, labels)
    swapped = clone_loss(apart[[1, 0, 2]], labels[[1, 0, 2]][:, [1, 0, 2]])
    assert swapped == pytest.approx(float(clone_loss(apart, labels)), abs=1e-6)
    nothing_known = clone_loss(apart.requires_grad_(), torch.full((3, 3), torch.nan))
    nothing_known.backward()
    assert float(nothing_known) == 0 and apart.grad is not None and bool((apart.grad == 0).all())


def test_contrastive_loss_is_the_chance_of_a_wrong_choice() -> None:
    similarity = torch.tensor([0.5, 0.5, -0.5, 0.9])
    labels = torch.tensor([1.0, 0.0, torch.nan, 1.0])
    texts = torch.tensor([0, 0, 0, 1])
    scale = torch.tensor(10.0)
    assert contrastive_loss(similarity, labels, texts, scale) == pytest.approx(
        np.log(2), abs=1e-5
    )  # text 1 decides nothing
    surer = contrastive_loss(torch.tensor([0.8, 0.2]), torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), scale)
    assert float(surer) == pytest.approx(np.log1p(np.exp(-6.0)), abs=1e-5)
    assert contrastive_loss(similarity, torch.full((4,), torch.nan), texts, scale) == 0


# Data


def test_statements_of_a_block_have_the_truth_of_the_matrix(
    networks: real_networks.RealNetworks, trained: Path
) -> None:
    processor = ArchBertProcessor.from_pretrained(trained)
    blocks = real_blocks(networks, processor, made=0.0, questions=0)
    rng = np.random.default_rng([0, 5, 3])
    chosen, matched = blocks.chosen_graphs(rng)
    stated = blocks._stated(rng, chosen, matched)
    batch = blocks(5)
    cells = {said.text: said.cells for said in networks.said}
    assert stated and len(chosen) == len(set(chosen.tolist()))
    expected = torch.from_numpy(np.concatenate([cells[text][chosen] for text in stated])).float()
    labels = batch["similarity_labels"]
    assert torch.equal(labels.isnan(), expected < 0)
    assert torch.equal(labels[expected >= 0], expected[expected >= 0])
    per_text = batch["similarity_weights"].view(len(stated), -1)
    truth = labels.view(len(stated), -1)
    for weights, row in zip(per_text, truth, strict=True):
        assert float(weights[row == 1].sum()) == pytest.approx(float(weights[row == 0].sum()))


def test_made_statements_are_true_of_what_all_their_facts_are(networks: real_networks.RealNetworks) -> None:
    facts = networks.facts
    assert len({fact.topic for fact in facts}) > 15
    made = real_statements.join_facts(np.random.default_rng(0), facts[:3])
    expected = np.stack([fact.cells for fact in facts[:3]])
    assert np.array_equal(made.cells == 1, (expected == 1).all(axis=0))
    assert np.array_equal(made.cells == 0, (expected == 0).any(axis=0))
    assert all(any(phrase.lower() in made.text.lower() for phrase in fact.phrases) for fact in facts[:3])
    depth = next(fact for fact in facts if fact.topic == "depth")
    values = [architecture.facts.value("depth") for architecture in networks.architectures]
    known = {i for i, value in enumerate(values) if value == depth.claim.number}
    assert known <= set(np.flatnonzero(depth.cells == 1).tolist()) or not known


def test_matched_groups_come_with_both_of_their_architectures(networks: Any, trained: Path) -> None:
    assert networks.groups
    for group in networks.groups:
        cells = networks.said[group.said].cells
        assert cells[group.right] == 1 and cells[group.wrong] == 0
    blocks = real_blocks(networks, ArchBertProcessor.from_pretrained(trained), matched=1.0)
    drawn = [blocks.chosen_graphs(np.random.default_rng(seed)) for seed in range(8)]
    assert any(matched for _, matched in drawn)
    for chosen, matched in drawn:
        for number in matched:
            here = networks.said[number].cells[chosen]
            assert (here == 1).any() and (here == 0).any()


def test_claims_of_a_sentence_follow_the_order_of_its_numbers() -> None:
    predicate = (
        "decoder.hidden == 768 and depth == 12 and rotary and parameters ~ 110M and contains(Conv2d) and heads > 3"
    )
    claims = real_claims.claims_said("Twelve RoPE layers, 768 wide, 110M parameters.", predicate)
    assert [(claim.kind, claim.number) for claim in claims] == [
        ("real: depth", 12.0), ("real: rotary", None), ("real: hidden", 768.0), ("real: parameters", 110e6),
        ("real: contains", None), ("real: heads", None),
    ]  # fmt: skip
    assert claims[4].subject == ("Conv2d",) and set(real_claims.CLAIM_KINDS) >= {claim.kind for claim in claims}
    assert real_claims.claims_of("kernel(Conv2d, 7x7)")[0].subject == ("Conv2d", "7*7")


def test_pairs_of_the_data_are_alike_as_labelled(networks: real_networks.RealNetworks) -> None:
    labels = networks.clone_labels()
    rows = real_networks.load_rows(str(networks.folder), "clones", "train")
    labelled = [row for row in rows if row["label"] in (0, 1) and row["arch_id_a"] != row["arch_id_b"]]
    assert {row["label"] for row in labelled} == {0, 1}
    for row in labelled:
        first, second = networks.index[row["arch_id_a"]], networks.index[row["arch_id_b"]]
        assert labels[first, second] == labels[second, first] == row["label"]


def test_blocks_of_pairs_hold_a_labelled_partner_of_either_side(
    networks: Any, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.split.encode(ArchBertProcessor.from_pretrained(trained))
    anchor, alike, other = np.argsort(networks.split.token_counts())[:3].tolist()
    pairs = [(alike, anchor, real_networks.ALIKE), (anchor, other, real_networks.UNALIKE), (alike, other, np.nan)]
    monkeypatch.setattr(networks, "clone_pairs", lambda: pairs)
    paired, plain = (
        real_blocks(networks, ArchBertProcessor.from_pretrained(trained), paired=share, graphs=9, matched=0.0)
        for share in (1.0, 0.0)
    )
    for seed in range(6):
        chosen, matched = paired.chosen_graphs(np.random.default_rng(seed))
        assert {anchor, alike, other} <= {*chosen.tolist()} and not matched
        assert len({*chosen.tolist()}) == len(chosen)
    drawn = [plain.chosen_graphs(np.random.default_rng(seed))[0] for seed in range(6)]
    assert not all({anchor, alike, other} <= {*chosen.tolist()} for chosen in drawn)


def test_blocks_depend_on_number_and_seed_alone(networks: real_networks.RealNetworks, trained: Path) -> None:
    processor = ArchBertProcessor.from_pretrained(trained)
    one, two, other = (real_blocks(networks, processor, seed=seed) for seed in (0, 0, 1))
    two(0)
    first, again = one(3), two(3)
    assert all(torch.equal(first[key].nan_to_num(), again[key].nan_to_num()) for key in first)
    assert not torch.equal(other(3)["input_ids"], first["input_ids"])


def test_tasks_are_drawn_by_weight() -> None:
    makers = {name: (lambda block, name=name: {name: block}) for name in ("a", "b", "c")}
    mixture = multitask.Mixture(makers, {"a": 1, "b": 3, "c": 0}, seed=1)  # type: ignore[arg-type]
    drawn = Counter(mixture.task(block) for block in range(800))
    assert set(drawn) == {"a", "b"} and drawn["b"] / drawn["a"] == pytest.approx(3, rel=0.3)
    assert mixture(7) == {mixture.task(7): 7}
    with pytest.raises(ValueError, match="no task 'd'; there are a, b, c"):
        multitask.Mixture(makers, {"d": 1})  # type: ignore[arg-type]
    for weights in ({"a": -1}, {"a": 0}, {}):
        with pytest.raises(ValueError, match="a positive number"):
            multitask.Mixture(makers, weights)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a JSON object is needed"):
        run_multitask.weights_of("real")


# Training


@pytest.mark.parametrize(
    ("task", "parts"),
    [
        ("answers", {"answer_loss", "mam_loss"}),
        ("statements", {"similarity_loss", "contrastive_loss", "reasoning_loss", "reading_loss", "mam_loss"}),
        ("real", {"similarity_loss", "contrastive_loss", "reasoning_loss", "clone_loss", "answer_loss", "mam_loss"}),
    ],
)
def test_a_step_of_each_task_has_its_losses(
    task: str, parts: set[str], autonet: str, tvhf: str, trained: Path, tmp_path: Path
) -> None:
    options = arguments(autonet, tvhf, tmp_path / "run", init_from=str(trained), overrides="{}")
    model, processor = run_multitask.model_of(options, (), run_multitask.model_overrides(options))
    train = run_multitask.load_split(autonet, "train").encode(processor)
    networks = real_networks.load_real(tvhf, "train")
    networks.split.encode(processor)
    torch.manual_seed(0)
    output = model.train()(**run_multitask.make_blocks(options, train, networks, processor)[task](1))
    assert parts <= {name for name, value in output.items() if name.endswith("_loss")}
    assert all(bool(output[part].isfinite()) for part in parts)
    output.loss.backward()
    assert model.archbert.graph_encoder.embeddings.op_embeddings.weight.grad.abs().sum() > 0


def test_a_loaded_head_learns_further_types_of_claims(trained: Path) -> None:
    model = ArchBertForPreTraining.from_pretrained(trained)
    before = model.reasoning_head.types.weight.detach().clone()
    multitask_loop.add_claim_types(model, [*multitask.REAL_CLAIM_TYPES, "another"])
    after = model.reasoning_head.types.weight
    assert model.config.claim_types == [*multitask.REAL_CLAIM_TYPES, "another"]
    assert torch.equal(after[:-1], before) and torch.allclose(after[-1], before[1:].mean(dim=0))
    multitask_loop.add_claim_types(model, multitask.REAL_CLAIM_TYPES)
    assert model.reasoning_head.types.weight is after


def test_resumed_run_equals_one_that_was_not_interrupted(
    autonet: str, tvhf: str, trained: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(trained / "checkpoints" / "step-2", cut / "checkpoints" / "step-2")
    run_multitask.main(arguments(autonet, tvhf, cut, save_steps=2, resume=True))
    expected, found = (load_file(folder / "model.safetensors") for folder in (trained, cut))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_one_folder_holds_every_head(trained: Path) -> None:
    whole = ArchBertForPreTraining.from_pretrained(trained)
    config = whole.config
    assert config.clone_threshold is not None and config.bimodal_clone_threshold is not None
    assert config.claim_types == list(multitask.REAL_CLAIM_TYPES)
    answering = ArchBertForSequenceClassification.from_pretrained(trained)
    base = ArchBertModel.from_pretrained(trained)
    for part, of_whole in ((answering.answer_head, whole.answer_head), (base, whole.archbert)):
        given = of_whole.state_dict()
        assert all(torch.equal(value, given[name]) for name, value in part.state_dict().items())
    losses = [json.loads(line) for line in (trained / "losses.jsonl").read_text().splitlines()]
    assert losses[0]["step"] == 0 and losses[0]["task"] in WEIGHTS


def test_pairs_get_a_label_from_the_checkpoint(trained: Path) -> None:
    from archbert import pipeline

    compare = pipeline("architecture-clone-detection", model=str(trained))
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    inputs = torch.zeros(1, 3, 16, 16)
    found = compare({"architectures": [network, network], "inputs": [inputs, inputs]})
    assert found["label"] in ("similar", "dissimilar") and found["threshold"] is not None
    assert found["score"] == pytest.approx(1.0, abs=1e-5)


def test_numbers_are_found_in_folded_graphs_as_in_unfolded_ones(networks: Any, trained: Path) -> None:
    model = ArchBertForPreTraining.from_pretrained(trained).eval()
    assert model.config.reasoning_numbers
    processor = ArchBertProcessor.from_pretrained(trained)
    graph = min((networks.split.facts[index].graph for index in range(4)), key=lambda graph: graph.num_nodes)
    text = ["It has 12 attention heads and a hidden size of 768."]
    torch.nn.init.normal_(model.reasoning_head.found.weight, std=9.0, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = [
            model(**processor(text=text, architectures=[graph], fold=fold)).reasoning_logits for fold in (False, True)
        ]
        torch.nn.init.zeros_(model.reasoning_head.found.weight)
        without = model(**processor(text=text, architectures=[graph])).reasoning_logits
    assert logits[0] == pytest.approx(float(logits[1]), abs=1e-4)
    assert float(without) != pytest.approx(float(logits[1]), abs=1e-6)


def test_the_head_copies_the_number_that_it_points_at(networks: Any, trained: Path) -> None:
    model = ArchBertForPreTraining.from_pretrained(trained).eval()
    batch = ArchBertProcessor.from_pretrained(trained)(text=["It has 12 heads.", "It has no number."])
    assert batch["text_numbers"].shape == batch["input_ids"].shape
    with torch.no_grad():
        one, two = (
            model.reasoning_head.read(model.archbert.encode_texts(**{**batch, "text_numbers": numbers}))
            for numbers in (batch["text_numbers"], torch.full_like(batch["text_numbers"], -1.0))
        )
    assert torch.allclose(one.values[0].exp(), torch.tensor(13.0)) and torch.allclose(
        one.pointed[0].sum(-1), torch.ones(4)
    )
    assert torch.equal(one.values[1], two.values[1]) and not torch.allclose(two.values[0].exp(), torch.tensor(13.0))


# Evaluation


def evaluate(
    script: Any, options: type, trained: Path, tvhf: str, folder: Path, **changes: Any
) -> list[dict[str, Any]]:
    """Run a script and return what it wrote."""
    defaults: dict[str, Any] = {
        "init_from": str(trained), "real_data": tvhf, "floors": str(Path(tvhf).parent / "floors.json"),
        "output_dir": str(folder), "cache_dir": str(folder / "cache"), "eval_splits": "test", "cpu": True,
        "threads": 1,
    }  # fmt: skip
    script.main(options(**defaults | changes))
    tables: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())
    return tables


def test_reasoning_is_evaluated_beside_its_floors(trained: Path, tvhf: str, tmp_path: Path) -> None:
    tables = evaluate(run_reasoning, run_reasoning.ReasoningArguments, trained, tvhf, tmp_path)
    (headline,) = [table for table in tables if table["part"] == "structure and size"]
    methods = {row["method"]: row for row in headline["rows"]}
    ways = {run_reasoning.COSINE, run_reasoning.HEAD, run_reasoning.BOTH, run_reasoning.PRODUCT}
    assert ways | {"a floor"} == set(methods)
    head = headline["results"][run_reasoning.HEAD]
    assert head["prevalence"] == 50.0 and head["groups"] * 2 == head["rows"]
    assert methods[run_reasoning.HEAD]["group_accuracy"] == head["group_accuracy"]
    assert methods["a floor"]["F1, 95%"] == "50 to 80" and headline["floors"] == ["a floor"]


def test_sentences_of_people_are_asked_of_networks_of_every_split(
    trained: Path, tvhf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [
        row | {"split_of_architecture": split, "mentions_name": split == "train"}
        for split in ("train", "test") for row in read_rows(tvhf, "descriptions", split)
    ]  # fmt: skip
    asked = [row for row in known if row["split_of_architecture"] == "test"]
    monkeypatch.setattr(run_reasoning, "human_rows", lambda *_: known)
    given = (run_reasoning, run_reasoning.ReasoningArguments, trained, tvhf)
    other = {"descriptions": {"test": {"structure and size": {"of other rows": {"rows": 1, "F1": 66.7}}}}}
    (tmp_path / "floors.json").write_text(json.dumps(other))
    tables = evaluate(*given, tmp_path / "people", eval_splits="test,test_human", floors=str(tmp_path / "floors.json"))
    assert all(table["floors"] == [] for table in tables), "a floor of other rows stands beside it"
    figures = {(table["split"], table["part"]): table["results"] for table in tables}
    assert {split for split, _ in figures} == {"test", "test_human", "test_human, with names"}
    part = "structure and size"
    assert figures["test_human", part] == figures["test", part], "the same statements"
    assert figures["test_human", part][run_reasoning.HEAD]["rows"] <= len(asked)
    monkeypatch.setattr(run_reasoning, "human_rows", lambda *_: [])
    with pytest.raises(ValueError, match="no sentence of test_human can be read"):
        evaluate(*given, tmp_path / "none", eval_splits="test_human")


def test_what_a_graph_shows_is_told_from_what_it_does_not(trained: Path, tvhf: str, tmp_path: Path) -> None:
    options = run_reasoning.ReasoningArguments(
        init_from=str(trained), real_data=tvhf, cache_dir=str(tmp_path), output_dir=str(tmp_path / "out"), threads=1,
        cpu=True,
    )  # fmt: skip
    networks = run_reasoning.open_task(options).networks("test")
    name = next(iter(networks.index))
    size = networks.split.facts[0].graph.num_parameters
    texts = (f"It has {size} parameters.", f"It has {2 * size + 1} parameters.", "People like it.",
             f"People like its {size} parameters.")  # fmt: skip
    found = real_evaluation.GraphEvidence([networks])([{"arch_id": name, "text": text} for text in texts])
    assert found.tolist() == [DECIDED, -DECIDED, 0.0, PARTLY_RIGHT]


@pytest.mark.parametrize(("unknown_ops", "evidence"), [(False, DECIDED), (True, 0.0)])
def test_hidden_ops_are_hidden_from_what_is_computed_too(unknown_ops: bool, evidence: float) -> None:
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=50
    )
    shown = SimpleNamespace(index={"llama": 0}, split=SimpleNamespace(facts=[SimpleNamespace(graph=trace(config))]))
    arguments = real_evaluation.RealTaskArguments(unknown_ops=unknown_ops)
    task = real_evaluation.RealTask(arguments, None, None, None, {})
    texts = ("It uses rotary position embeddings.", "It has two layers.")
    found = task.evidence(shown, [{"arch_id": "llama", "text": text} for text in texts])
    assert found.tolist() == [evidence, DECIDED]


def test_ops_that_torch_does_not_have_can_be_hidden(networks: Any, trained: Path) -> None:
    extractor = ArchBertProcessor.from_pretrained(trained).feature_extractor
    before = extractor.encode(networks.split.facts[0].graph)
    named = replace(before, op_names=("RotaryEmbedding", *before.op_names[1:]))
    after = real_evaluation.without_names(named)
    assert after.op_names == (real_evaluation.UNKNOWN, *before.op_names[1:])
    assert after.node_ids[0] == 1 and np.array_equal(after.node_ids[1:], before.node_ids[1:])


def test_clones_are_evaluated_at_both_thresholds(trained: Path, tvhf: str, tmp_path: Path) -> None:
    tables = evaluate(run_clone_detection, run_clone_detection.CloneArguments, trained, tvhf, tmp_path)
    pairs = next(table for table in tables if table["title"].startswith("ACD") and table["part"] == "all")
    stored = ArchBertModel.from_pretrained(trained).config.clone_threshold
    assert pairs["results"][run_clone_detection.CALIBRATED]["threshold"] == pytest.approx(stored, abs=1e-3)
    assert {"a floor", run_clone_detection.TUNED} <= {row["method"] for row in pairs["rows"]}
    assert any(table["title"].startswith("BACD") for table in tables)


def test_clones_are_learned_from_a_checkpoint_of_generated_networks_alone(
    trained: Path, tvhf: str, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    shutil.copytree(trained, before, ignore=shutil.ignore_patterns("checkpoints"))
    model = ArchBertForPreTraining.from_pretrained(before)
    head, known = model.reasoning_head, len(CLAIM_TYPES)
    fewer = torch.nn.Linear(head.types.in_features, 1 + known)
    fewer.load_state_dict({name: value[: 1 + known] for name, value in head.types.state_dict().items()})
    head.types, model.config.claim_types, model.config.clone_threshold = fewer, list(CLAIM_TYPES), None
    model.save_pretrained(before)
    tables = evaluate(
        run_clone_detection, run_clone_detection.CloneArguments, before, tvhf, tmp_path / "after", max_steps=2,
        graphs_per_step=6,
    )  # fmt: skip
    config = ArchBertModel.from_pretrained(tmp_path / "after").config
    assert {table["steps"] for table in tables} == {2} and config.clone_threshold is not None
    assert config.claim_types == list(multitask.REAL_CLAIM_TYPES)


def test_search_ranks_the_networks_of_the_pool(trained: Path, tvhf: str, tmp_path: Path) -> None:
    tables = evaluate(run_search, run_search.SearchArguments, trained, tvhf, tmp_path)
    for table in tables:
        found = table["results"][run_search.COSINE]
        assert 0 < found["nDCG@10"] <= 100 and found["nDCG@10_95"][0] <= found["nDCG@10"] <= found["nDCG@10_95"][1]
        assert 0 < table["results"][run_search.JUDGED]["nDCG@10"] <= 100
        assert 0 < table["results"][run_search.FACTS]["nDCG@10"] <= 100
    assert {table["part"].split(", ")[1] for table in tables} == {"split", "all"}


def test_judging_orders_only_the_first_of_what_a_query_ranks(trained: Path, tvhf: str, tmp_path: Path) -> None:
    options = run_search.SearchArguments(
        init_from=str(trained), real_data=tvhf, cache_dir=str(tmp_path), output_dir=str(tmp_path / "out"),
        threads=1, cpu=True, floors=str(Path(tvhf).parent / "floors.json"),
    )  # fmt: skip
    ranking = run_search.Ranking(run_search.open_task(options))
    rows = [row for row in ranking.task.rows("search", "test") if row["pool"] == "split"]
    cosines, judged = ranking.cosines(rows), ranking.judged(rows, 2)
    own = np.array([ranking.splits[name] == "test" for name in ranking.names])
    for before, after in zip(np.where(own, cosines, -np.inf), np.where(own, judged, -np.inf), strict=True):
        assert set(np.argsort(-before)[:2]) == set(np.argsort(-after)[:2])
        assert (np.argsort(-before)[2 : own.sum()] == np.argsort(-after)[2 : own.sum()]).all()


def test_questions_are_evaluated_by_type(trained: Path, tvhf: str, tmp_path: Path) -> None:
    (table,) = evaluate(run_real_aqa, run_real_aqa.RealAqaArguments, trained, tvhf, tmp_path)
    found = table["results"][run_real_aqa.MODEL]
    scores = [figures["score"] for figures in found["by_type"].values()]
    assert found["macro"] == pytest.approx(np.mean(scores), abs=0.1)
    assert {row["method"] for row in table["rows"]} == {run_real_aqa.MODEL, "a floor"}


def test_a_task_can_be_fine_tuned(trained: Path, tvhf: str, tmp_path: Path) -> None:
    sizes = {"max_steps": 2, "graphs_per_step": 4, "statements_per_step": 4}
    tables = evaluate(run_clone_detection, run_clone_detection.CloneArguments, trained, tvhf, tmp_path, **sizes)
    assert {table["steps"] for table in tables} == {2}
    before, after = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path))
    name = "archbert.graph_encoder.embeddings.op_embeddings.weight"
    assert not torch.equal(before[name], after[name])


def test_taken_out_nodes_join_their_neighbours() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 4, 1)
    )
    graph = trace(network, torch.zeros(1, 3, 16, 16))
    relu, pool = graph.op_types.index("ReLU"), graph.op_types.index("MaxPool2d")
    rest = run_evidence.without_nodes(graph, {relu, pool})
    assert rest.op_types == tuple(op for op in graph.op_types if op not in ("ReLU", "MaxPool2d"))
    first, second = (index for index, op in enumerate(rest.op_types) if op == "Conv2d")
    assert [first, second] in rest.edge_index.T.tolist()
    assert rest.num_parameters == graph.num_parameters
    assert run_evidence.without_nodes(graph, ()).edge_index.tolist() == graph.edge_index.tolist()


def test_evidence_is_measured_on_the_graph_without_it(trained: Path) -> None:
    model = ArchBertForSequenceClassification.from_pretrained(trained).eval()
    asker = run_evidence.Asker(model, ArchBertProcessor.from_pretrained(trained))
    graph = trace(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.MaxPool2d(2)), torch.zeros(1, 3, 16, 16))
    row = {"question": "which pooling is used?", "question_type": "pooling_types", "subject": "",
           "answers": ["MaxPool2d"]}  # fmt: skip
    pool, conv = graph.op_types.index("MaxPool2d"), graph.op_types.index("Conv2d")
    assert asker.without(graph, row, [pool]).truth and not asker.without(graph, row, [conv]).truth
    given, scores = asker.ask(graph, row["question"])
    assert scores.shape == (graph.num_nodes,) and all(answer in blocks.ANSWER_IDS for answer in given)


def test_missing_floors_say_how_to_make_them(trained: Path, tvhf: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="floors_tvhf --data FOLDER --out FILE"):
        evaluate(run_search, run_search.SearchArguments, trained, tvhf, tmp_path, floors=str(tmp_path / "none.json"))

"""The models: exactness under folding, padding and sharing; losses; loading and saving; errors that name the fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForPreTraining, AutoModelForSequenceClassification

from modeling_archbert import (
    ArchBertConfig,
    ArchBertForPreTraining,
    ArchBertForSequenceClassification,
    ArchBertModel,
)
from modeling_archbert.fusion_archbert import DILATED, PLAIN, SEPARABLE, PairLayout, convolution_kinds
from modeling_archbert.graph_inputs_archbert import GraphInputs
from modeling_archbert.heads_archbert import mask_nodes
from processing_archbert import ATTRIBUTES, ArchBertGraphFeatureExtractor, ArchitectureGraph

OPS = ("input", "output", "Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d", "Linear", "add", "cat")
SPECIALS = ("[PAD]", "[UNK]", "[MASK]", "[GRAPH]")
CONV, POOL = (len(SPECIALS) + OPS.index(op) for op in ("Conv2d", "MaxPool2d"))
LINKS = [
    [CONV, -1, -1, 3, 0], [POOL, -1, -1, 0, 0], [CONV, -1, -1, 1, 0], [CONV, -1, -1, 2, 0],
    [-1, 1, 1, 0, 1], [-1, 3, 3, 0, 1], [POOL, -1, -1, 0, 2], [-1, -1, -1, 0, 2], [-1, -1, -1, 0, -1],
]  # fmt: skip
TEXT = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def tiny_config(preset: str = "mini", **overrides: Any) -> ArchBertConfig:
    fields = {
        "ops": [*SPECIALS, *OPS],
        "gat_heads": 2,
        "id2label": {i: f"answer {i}" for i in range(len(LINKS))},
        "answer_links": LINKS,
        "text_config": TEXT,
    }
    return ArchBertConfig.from_preset(preset, **{**fields, **overrides})


def randomised(model: torch.nn.Module, seed: int = 0) -> Any:
    """Move every parameter, so that what starts at zero takes part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def random_graph(seed: int, cells: int | None = None) -> ArchitectureGraph:
    """A stem and a random cell again and again, so that folding has something to do; one op is in no vocabulary."""
    rng = np.random.default_rng(seed)
    size, repeats = int(rng.integers(2, 8)), cells or int(rng.integers(1, 12))
    kinds = rng.integers(2, len(OPS), size)
    names = [OPS[k] if rng.random() < 0.95 else "MyOwnBlock3d" for k in kinds]
    numbers = rng.choice([0, 1, 2, 3, 64, 512], (size, 4))
    attributes = rng.choice([0, 1, 2, 3], (size, len(ATTRIBUTES)))
    inner = [(s, t) for t in range(1, size) for s in range(t) if s == t - 1 or rng.random() < 0.3]
    ops, shapes, columns, edges = ["input"], [np.zeros(4, int)], [np.zeros(len(ATTRIBUTES), int)], []
    for repeat in range(repeats):
        start = len(ops)
        edges += [(start - 1, start)] + [(start + s, start + t) for s, t in inner]
        if repeat and rng.random() < 0.3:
            edges.append((start - size, start + size - 1))
        ops, shapes, columns = [*ops, *names], [*shapes, *numbers], [*columns, *attributes]
    edges.append((len(ops) - 1, len(ops)))
    return ArchitectureGraph.build(
        [*ops, "output"], edges, shapes=[*shapes, shapes[0]], attributes=[*columns, columns[0]]
    )


def extractor(**settings: Any) -> ArchBertGraphFeatureExtractor:
    return ArchBertGraphFeatureExtractor(ops=list(OPS), **{"max_nodes": 10_000, **settings})


def graph_batch(graphs: list[ArchitectureGraph], fold: bool = True, **settings: Any) -> dict[str, torch.Tensor]:
    """A batch in which the op outside the vocabulary has word pieces, as the processor gives it."""
    batch = dict(extractor(**settings)(graphs, fold=fold))
    unknown = (batch["node_ids"] == 1)[..., None] & (torch.arange(batch["op_piece_ids"].shape[-1]) < 3)
    batch["op_piece_ids"] = torch.arange(5, 5 + unknown.shape[-1]) * unknown
    batch["op_piece_mask"] = unknown.long()
    return batch


def texts(rows: int, seed: int = 0, length: int = 9) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, length + 1, (rows, 1), generator=generator)
    mask = (torch.arange(length) < lengths).long()
    return {"input_ids": torch.randint(5, 60, (rows, length), generator=generator) * mask, "attention_mask": mask}


@pytest.mark.parametrize(
    ("overrides", "direction"),
    [({}, "predecessors"), ({"fold_direction": "both"}, "both"), ({"preset": "paper"}, "predecessors")],
)
def test_folded_and_unfolded_graphs_have_one_embedding(overrides: dict, direction: str) -> None:
    model = randomised(ArchBertModel(tiny_config(**overrides)))
    with torch.no_grad():
        for start in range(0, 200, 20):
            graphs = [random_graph(seed) for seed in range(start, start + 20)]
            folded, unfolded = (graph_batch(graphs, fold, fold_direction=direction) for fold in (True, False))
            assert folded["node_ids"].shape[1] < unfolded["node_ids"].shape[1]
            difference = model.get_architecture_features(**folded) - model.get_architecture_features(**unfolded)
            assert difference.abs().max() < 1e-5


def test_folding_is_exact_for_a_graph_of_4000_nodes_and_for_its_answers() -> None:
    graphs = [random_graph(3, cells=4000 // (random_graph(3, cells=1).num_nodes - 2)), random_graph(4)]
    assert graphs[0].num_nodes > 3900
    model = randomised(ArchBertForSequenceClassification(tiny_config()))
    with torch.no_grad():
        outputs = [model(**texts(2), **graph_batch(graphs, fold)).logits for fold in (True, False)]
    assert (outputs[0] - outputs[1]).abs().max() < 1e-4 * outputs[0].abs().max()


@pytest.mark.parametrize("fusion", ["product", "cross_attention"])
def test_a_result_does_not_depend_on_the_batch_or_its_padding(fusion: str) -> None:
    model = randomised(ArchBertForSequenceClassification(tiny_config(fusion=fusion)))
    graphs, questions = [random_graph(seed) for seed in range(4)], texts(4)
    with torch.no_grad():
        together = model(**questions, **graph_batch(graphs)).logits
        for row, graph in enumerate(graphs):
            length = int(questions["attention_mask"][row].sum())
            question = {name: tensor[row : row + 1, :length] for name, tensor in questions.items()}
            alone = model(**question, **graph_batch([graph])).logits[0]
            assert (together[row] - alone).abs().max() < 1e-5


@pytest.mark.parametrize("fusion", ["product", "cross_attention"])
def test_shared_encodings_equal_repeated_ones(fusion: str) -> None:
    graphs, questions = graph_batch([random_graph(seed) for seed in range(3)]), texts(4)
    rows, asked = torch.tensor([2, 0, 0, 1, 2, 0]), torch.tensor([3, 1, 0, 3, 2, 1])
    repeated = {name: tensor[rows] for name, tensor in graphs.items()}
    repeated.update({name: tensor[asked] for name, tensor in questions.items()})
    model = randomised(ArchBertForSequenceClassification(tiny_config(fusion=fusion)))
    joint = randomised(ArchBertModel(tiny_config()))
    index = {"architecture_index": rows, "text_index": asked}
    with torch.no_grad():
        shared = model(**questions, **graphs, **index, output_evidence=True)
        explicit = model(**repeated, output_evidence=True)
        assert (shared.logits - explicit.logits).abs().max() < 1e-5
        assert (joint(**questions, **graphs, **index).similarity - joint(**repeated).similarity).abs().max() < 1e-5
    if fusion == "cross_attention":
        assert (shared.node_scores - explicit.node_scores).abs().max() < 1e-5


def test_pairs_are_spread_over_their_graphs_and_collected_again() -> None:
    rows = torch.tensor([2, 0, 2, 2, 0])
    layout = PairLayout.build(rows, 4)
    values = torch.randn(5, 3)
    table = layout.spread(values)
    assert table.shape == (4, 3, 3) and table[1].abs().sum() == 0
    assert torch.equal(layout.collect(table), values)


def test_either_side_may_be_absent() -> None:
    model = randomised(ArchBertModel(tiny_config()))
    graphs, questions = graph_batch([random_graph(0), random_graph(1)]), texts(3)
    both = model(**texts(2), **graphs)
    assert both.similarity.shape == (2,) and both.node_last_hidden_state.shape[:2] == graphs["node_ids"].shape
    assert model(**questions).architecture_embeds is None and model(**graphs).text_embeds is None
    assert torch.allclose(model.get_text_features(**questions), model(**questions).text_embeds)
    assert torch.allclose(model.get_architecture_features(**graphs), both.architecture_embeds, atol=1e-6)
    assert len(model(**texts(2), **graphs, return_dict=False)) == 5


def test_attention_implementations_agree() -> None:
    batch = {**texts(3), **graph_batch([random_graph(seed) for seed in range(3)])}
    outputs = []
    for implementation in ("eager", "sdpa"):
        config = tiny_config()
        config._attn_implementation = implementation
        torch.manual_seed(0)
        model = randomised(ArchBertForSequenceClassification(config))
        assert model.archbert.text.config._attn_implementation == implementation
        outputs.append(model(**batch).logits)
    assert (outputs[0] - outputs[1]).abs().max() < 1e-5


def test_convolution_kinds_are_read_from_attributes_and_predecessors() -> None:
    attributes = torch.zeros(1, 5, len(ATTRIBUTES), dtype=torch.long)
    columns = {name: index for index, name in enumerate(ATTRIBUTES)}
    attributes[..., [columns["kernel_h"], columns["kernel_w"], columns["groups"]]] = 1
    attributes[0, 0, columns["groups"]] = 16
    attributes[0, 2, columns["dilation_h"]] = 2
    shapes = torch.full((1, 5, 4), 16)
    shapes[0, 0, 1] = 1
    edges = torch.tensor([[[0, 1], [1, 2], [2, 3], [0, 4]]])
    graph = GraphInputs(torch.full((1, 5), CONV), edges, shapes, attributes, edge_mask=torch.tensor([[1, 1, 1, 0]]))
    assert convolution_kinds(graph)[0].tolist() == [0, SEPARABLE, DILATED, PLAIN, PLAIN]


def test_evidence_lies_on_nodes_that_are_linked_to_an_answer() -> None:
    model = randomised(ArchBertForSequenceClassification(tiny_config()))
    with torch.no_grad():
        model.answer_head.cross_attention.classifier.logits.bias.fill_(-1000)
        model.answer_head.cross_attention.classifier.logits.bias[1] = 1000  # only "MaxPool2d"
    batch = graph_batch([random_graph(seed) for seed in range(8)])
    scores = model(**texts(8), **batch, output_evidence=True).node_scores
    assert scores.shape == batch["node_ids"].shape and scores.max() > 0
    assert bool(((scores > 0) == (batch["node_ids"] == POOL)).all())


def test_calibration_is_applied_outside_training_only() -> None:
    model = randomised(ArchBertForSequenceClassification(tiny_config()))
    batch = {**texts(2), **graph_batch([random_graph(0), random_graph(1)])}
    plain = model(**batch).logits
    model.config.answer_scale, model.config.answer_bias = 2.0, 0.5
    assert torch.allclose(model(**batch).logits, plain * 2 + 0.5)
    assert torch.allclose(model.train()(**batch).logits, plain, atol=1e-5)
    pretrained = randomised(ArchBertForPreTraining(tiny_config(similarity_scale=3.0, similarity_bias=-1.0)))
    output = pretrained(**batch)
    assert torch.allclose(output.similarity_logits, output.similarity * 3 - 1)


def test_masks_vary_from_step_to_step_and_are_repeated_by_a_seed() -> None:
    config = tiny_config()
    batch = graph_batch([random_graph(seed) for seed in range(20)])
    graph = GraphInputs(**batch)
    torch.manual_seed(0)
    (first, labels), (second, _) = mask_nodes(graph, config), mask_nodes(graph, config)
    torch.manual_seed(0)
    again, _ = mask_nodes(graph, config)
    assert not torch.equal(first.node_ids, second.node_ids) and torch.equal(first.node_ids, again.node_ids)
    drawn, candidates = labels != -100, (batch["node_ids"] >= len(SPECIALS)) & batch["node_mask"].bool()
    assert bool((candidates | ~drawn).all()) and torch.equal(labels[drawn], batch["node_ids"][drawn])
    assert torch.equal(first.node_ids[~drawn], batch["node_ids"][~drawn])
    shares = [mask_nodes(graph, config)[1].ne(-100).sum() / candidates.sum() for _ in range(50)]
    assert 0.12 < float(torch.stack(shares).mean()) < 0.18


@pytest.mark.parametrize("shared", [True, False])
def test_pretraining_adds_up_its_losses(shared: bool) -> None:
    config = tiny_config(mam_shared_pass=shared, answer_loss_weight=3.0)
    model = ArchBertForPreTraining(config).train()
    batch = {**texts(4), **graph_batch([random_graph(seed) for seed in range(4)])}
    labels = torch.full((4, config.num_labels), -100.0)
    labels[1:3] = 0
    torch.manual_seed(0)
    output = model(**batch, similarity_labels=torch.tensor([1.0, float("nan"), 0.0, 1.0]), labels=labels)
    total = output.similarity_loss + output.reasoning_loss + 0.05 * output.mam_loss + 3 * output.answer_loss
    assert output.reasoning_logits.isnan().tolist() == [False, True, False, False]
    assert torch.allclose(output.loss, total) and bool(torch.isfinite(output.loss))
    output.loss.backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unused == []


def test_masked_nodes_of_the_collator_are_used_and_no_weight_means_no_masks() -> None:
    batch = {**texts(2), **graph_batch([random_graph(0), random_graph(1)])}
    given = torch.where(batch["node_ids"] == CONV, batch["node_ids"], -100)
    output = ArchBertForPreTraining(tiny_config()).eval()(**batch, mam_labels=given)
    assert output.mam_loss is not None and torch.equal(output.mam_labels, given)
    without = ArchBertForPreTraining(tiny_config(mam_loss_weight=0)).train()
    output = without(**batch, mam_labels=given, similarity_labels=torch.ones(2))
    assert output.mam_loss is None
    assert torch.allclose(output.loss, output.similarity_loss + output.reasoning_loss)


def test_mean_squared_error_of_the_cosine() -> None:
    model = randomised(ArchBertForPreTraining(tiny_config("paper")))
    batch = {**texts(2), **graph_batch([random_graph(0), random_graph(1)])}
    targets = torch.tensor([1.0, 0.25])
    output = model(**batch, similarity_labels=targets)
    assert torch.allclose(output.similarity_loss, ((output.similarity - targets) ** 2).mean())


def test_weights_say_how_much_a_pair_counts() -> None:
    model = randomised(ArchBertForPreTraining(tiny_config(mam_loss_weight=0)))
    batch = {**texts(3), **graph_batch([random_graph(seed) for seed in range(3)])}
    labels = torch.tensor([1.0, 0.0, 1.0])
    few = model(**batch, similarity_labels=torch.tensor([1.0, 0.0, float("nan")]))
    weighted = model(**batch, similarity_labels=labels, similarity_weights=torch.tensor([2.0, 2.0, 0.0]))
    for name in ("similarity_loss", "reasoning_loss"):
        assert torch.allclose(few[name], weighted[name])
    with pytest.raises(ValueError, match="similarity_weights has shape"):
        model(**batch, similarity_labels=labels, similarity_weights=torch.ones(2))


def test_reasoning_by_cross_attention_is_exact_under_folding_and_needs_its_fusion() -> None:
    model = randomised(ArchBertForPreTraining(tiny_config(mam_loss_weight=0))).eval()
    graphs = [random_graph(seed) for seed in range(6)]
    folded, unfolded = (model(**texts(6), **graph_batch(graphs, fold=fold)).reasoning_logits for fold in (True, False))
    assert torch.allclose(folded, unfolded, atol=1e-4) and folded.std() > 0
    with pytest.raises(Exception, match="use_reasoning_head"):
        ArchBertConfig(use_reasoning_head=True, fusion="product")


def learn_by_heart(model: torch.nn.Module, batch: dict[str, torch.Tensor], steps: int) -> float:
    """Train on one batch; the last loss as a share of the first."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses[-1] / losses[0]


@pytest.mark.parametrize("preset", ["paper", "mini"])
@pytest.mark.parametrize("fusion", ["product", "cross_attention"])
def test_a_tiny_batch_of_questions_is_learned_by_heart(preset: str, fusion: str) -> None:
    torch.manual_seed(0)
    model = ArchBertForSequenceClassification(tiny_config(preset, fusion=fusion))
    batch = {**texts(6), **graph_batch([random_graph(seed) for seed in range(3)])}
    batch["architecture_index"] = torch.tensor([0, 0, 1, 1, 2, 2])
    batch["labels"] = (torch.rand(6, len(LINKS)) < 0.3).float()
    assert learn_by_heart(model, batch, steps=160) < 0.1


@pytest.mark.parametrize("loss", ["mse", "sigmoid"])
def test_a_tiny_batch_of_statements_is_learned_by_heart(loss: str) -> None:
    torch.manual_seed(0)
    model = ArchBertForPreTraining(tiny_config(similarity_loss=loss, mam_loss_weight=0))
    batch = {**texts(6), **graph_batch([random_graph(seed) for seed in range(6)])}
    batch["similarity_labels"] = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    assert learn_by_heart(model, batch, steps=60) < 0.1


@pytest.mark.parametrize(
    ("problem", "labels"),
    [("single_label_classification", torch.tensor([1, 0])), ("regression", torch.rand(2, len(LINKS)))],
)
def test_other_problem_types(problem: str, labels: torch.Tensor) -> None:
    model = ArchBertForSequenceClassification(tiny_config(problem_type=problem))
    loss = model(**texts(2), **graph_batch([random_graph(0), random_graph(1)]), labels=labels).loss
    assert bool(torch.isfinite(loss))


def test_one_folder_serves_every_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = randomised(ArchBertForPreTraining(tiny_config()))
    whole.save_pretrained(tmp_path)
    batch = {**texts(2), **graph_batch([random_graph(0), random_graph(1)])}
    expected = whole(**batch, labels=torch.zeros(2, len(LINKS)))
    classes = {
        AutoModel: ArchBertModel,
        AutoModelForPreTraining: ArchBertForPreTraining,
        AutoModelForSequenceClassification: ArchBertForSequenceClassification,
    }
    for auto, cls in classes.items():
        model, report = auto.from_pretrained(tmp_path, output_loading_info=True)
        assert type(model) is cls
        assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
        output = model.eval()(**batch)
        if cls is ArchBertForSequenceClassification:
            assert torch.equal(output.logits, expected.logits)
        else:
            assert torch.equal(output.similarity, expected.similarity)


def test_what_a_checkpoint_lacks_is_initialised(tmp_path: Path) -> None:
    randomised(ArchBertModel(tiny_config())).save_pretrained(tmp_path)
    model = ArchBertForSequenceClassification.from_pretrained(tmp_path)
    assert all(bool(torch.isfinite(p).all()) and p.abs().max() < 10 for p in model.parameters())
    head = model.answer_head.cross_attention
    assert torch.equal(head.classifier.logits.bias, torch.full((len(LINKS),), -4.0))
    assert head.copy.links.tolist() == LINKS


def test_half_precision_weights_load_as_float32(tmp_path: Path) -> None:
    model = randomised(ArchBertForPreTraining(tiny_config()))
    model.half().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    assert config["dtype"] == "float16"
    path.write_text(json.dumps({**config, "dtype": "float32"}))
    loaded = ArchBertForPreTraining.from_pretrained(tmp_path)
    assert loaded.dtype == torch.float32
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name).float()), name


def test_lower_precisions_are_finite_and_close() -> None:
    model = randomised(ArchBertForPreTraining(tiny_config()))
    batch = {**texts(2), **graph_batch([random_graph(0), random_graph(1)])}
    labels = {"similarity_labels": torch.ones(2), "labels": torch.zeros(2, len(LINKS))}
    exact = model(**batch, **labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model.train()(**batch, **labels)
    mixed.loss.backward()
    assert (mixed.similarity - exact.similarity).abs().max() < 0.15
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
    low = model.eval().to(torch.bfloat16)(**batch)
    assert (low.similarity - exact.similarity).abs().max() < 0.15


def test_activation_checkpointing_changes_no_gradient() -> None:
    batch = {**texts(2), **graph_batch([random_graph(0), random_graph(1)])}
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = randomised(ArchBertForSequenceClassification(tiny_config())).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(**batch, labels=torch.ones(2, len(LINKS))).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_large_presets_build(preset: str) -> None:
    with torch.device("meta"):
        model = ArchBertForPreTraining(ArchBertConfig.from_preset(preset))
    expected = {"paper": 108e6, "small": 22e6}[preset]
    assert sum(parameter.numel() for parameter in model.parameters()) > expected


def test_mini_with_every_head_stays_below_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    links = [[4 + i, -1, -1, 0, i % 4] for i in range(220)]
    config = ArchBertConfig.from_preset("mini", num_ops=250, num_labels=220, answer_links=links)
    with torch.device("meta"):
        count = sum(p.numel() for p in ArchBertForPreTraining(config).parameters())
    with capsys.disabled():
        print(f" mini: {count:,} parameters", end="")
    assert 2 * count < 15_950_000  # bytes in float16; the file has a header as well


def bad_batches() -> list[Any]:
    def change(name: str, value: Any, message: str) -> Any:
        return pytest.param(name, value, message, id=f"{name}: {message}")

    return [
        change("node_ids", lambda t: t + 100, "node_ids holds .* allowed are 0 to 12"),
        change("node_ids", lambda t: t[:, :0], "at least one node"),
        change("node_shapes", lambda t: t + 300, "node_shapes holds .* 0 to 255"),
        change("node_shapes", lambda t: t[..., :3], "node_shapes has shape"),
        change("node_shapes", lambda _: None, "needs node_shapes"),
        change("node_attributes", lambda t: -t - 1, "node_attributes holds"),
        change("node_attributes", lambda t: t[..., :7], "node_attributes has shape"),
        change("edge_index", lambda t: t + 1000, "edge_index holds"),
        change("edge_index", lambda t: t.transpose(1, 2), "edge_index has shape"),
        change("edge_mask", lambda t: t[:, :-1], "edge_mask has shape"),
        change("graph_features", lambda _: None, "needs graph_features"),
        change("block_ids", lambda t: t + 1000, "block_ids holds"),
        change("node_mask", lambda t: t * 0, "has no nodes"),
        change("op_piece_mask", lambda _: None, "belong together"),
        change("fold_rounds", lambda t: t * 0 + 1, "folded with 1 rounds.* 2 layers"),
        change("input_ids", lambda t: t + 100, "input_ids holds"),
        change("input_ids", lambda t: t.repeat(1, 3), "max_position_embeddings is 16"),
        change("attention_mask", lambda t: t[:, :-1], "attention_mask has shape"),
        change("attention_mask", lambda t: t * 0, "is empty"),
        change("node_ids", lambda _: None, "no architecture without node_ids"),
        change("input_ids", lambda t: t[:1], "(attention_mask|1 texts cannot)"),
    ]


@pytest.mark.parametrize(("name", "value", "message"), bad_batches())
def test_a_wrong_batch_is_refused_with_what_is_wrong(name: str, value: Any, message: str) -> None:
    batch = {**texts(2), **graph_batch([random_graph(0), random_graph(1)])}
    batch[name] = value(batch[name])
    model = ArchBertModel(tiny_config()).eval()
    with pytest.raises(ValueError, match=message):
        model(**batch)


def test_pairs_that_do_not_exist_are_refused() -> None:
    batch = {**texts(3), **graph_batch([random_graph(0), random_graph(1)])}
    model = ArchBertModel(tiny_config()).eval()
    with pytest.raises(ValueError, match="3 texts cannot be paired with 2 architectures"):
        model(**batch)
    with pytest.raises(ValueError, match="architecture_index holds 2, there are 2 rows"):
        model(**batch, architecture_index=torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="both must be"):
        model(**batch, architecture_index=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="nothing to encode"):
        model()
    answering = ArchBertForSequenceClassification(tiny_config()).eval()
    with pytest.raises(ValueError, match="input_ids is absent"):
        answering(**graph_batch([random_graph(0)]))
    with pytest.raises(ValueError, match="labels has shape"):
        answering(**texts(1), **graph_batch([random_graph(0)]), labels=torch.zeros(1, 2))

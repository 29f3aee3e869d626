"""Metrics with intervals over clusters, the floors of TVHF that are measured with them, and what a fault is."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import transformers
from tiny_checkpoint import tiny_tokenizer

from dataset_scripts.release.cluster_metrics_release import (
    answer_metrics,
    auroc,
    best_threshold,
    binary_metrics,
    draw_weights,
    matthews,
    ranking_values,
)
from dataset_scripts.tvhf import floors_tvhf
from dataset_scripts.tvhf.bag_kernel_tvhf import BagKernel
from dataset_scripts.tvhf.card_floors_tvhf import floors_section
from dataset_scripts.tvhf.configs_tvhf import CONFIGS
from dataset_scripts.tvhf.floor_networks_tvhf import Bm25, Networks, printed_module, words_of
from dataset_scripts.tvhf.floors_tvhf import MAX_ONE_SIDED, MIN_ROWS, all_floors, faults, measured
from dataset_scripts.tvhf.metrics_tvhf import (
    HEADLINE,
    clone_metrics,
    description_metrics,
    iterate_networks,
    read_rows,
    search_metrics,
)
from dataset_scripts.tvhf.search_floors_tvhf import WL_NEAREST, WL_ROUND, _nearest_statements
from dataset_scripts.tvhf.similarity_tvhf import SentenceEncoder
from dataset_scripts.tvhf.training_pairs_floor_tvhf import EXPONENTS, TrainingPairs

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "tvhf_floors.json"
FOLDER = ROOT / "hub" / "datasets" / "tvhf"
PAIR = ("arch_id_a", "arch_id_b")
TAKEN = (("clones", PAIR, 5), ("bimodal_clones", PAIR, 2), ("descriptions", ("arch_id",), 8))
"""Config, its columns with networks, and how many of its smallest pairs of each label, or groups, are taken."""


def encode(texts: Sequence[str]) -> np.ndarray:
    """An encoder for tests: words, hashed into a hundred places."""
    found = np.full((len(texts), 100), 1e-3, dtype=np.float32)
    for row, words in enumerate(words_of(texts)):
        for word in words:
            found[row, sum(word.encode()) % 100] += 1
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def chosen() -> set[str]:
    """Networks that the smallest pairs, quartets and statements of every split are about."""
    sizes = {row["arch_id"]: len(row["op_types"]) for row in iterate_networks(FOLDER, ("op_types",))}
    found: set[str] = set()
    for split in ("train", "validation", "test", "test_new"):
        for config, keys, count in TAKEN:
            groups: dict[Any, set[str]] = {}
            for place, row in enumerate(read_rows(FOLDER, config, split)):
                if row["label"] >= 0 and row.get("relation") != "identical":
                    name = (row.get("group", place), row["label"] if config == "clones" else 0)
                    groups.setdefault(name, set()).update(row[key] for key in keys)
            for label in {label for _, label in groups}:
                of_label = [names for (_, other), names in groups.items() if other == label]
                of_label.sort(key=lambda names: (sum(sizes[name] for name in names), sorted(names)))
                found |= set().union(*of_label[:count])
    return found


def small_folder(target: Path) -> Path:
    """A few small networks of every split of TVHF, with their rows of all configs."""
    kept = chosen()
    for config in CONFIGS:
        for path in (FOLDER / config).glob("*-[0-9]*.parquet"):
            table = pq.read_table(path)
            rows = table.to_pylist()
            rows = kept_rows(rows, kept) if config not in ("sentences", "truth") else rows
            (target / config).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), target / config / path.name)
    return target


def kept_rows(rows: list[dict[str, Any]], kept: set[str]) -> list[dict[str, Any]]:
    """Rows of the networks that are kept, and of groups only whole ones."""

    def inside(row: dict[str, Any]) -> bool:
        return all(row[key] in kept for key in ("arch_id", "arch_id_a", "arch_id_b") if key in row)

    if "relevant" in (rows or [{}])[0]:
        cut = [row | {key: [n for n in row[key] if n in kept] for key in ("relevant", "ignored")} for row in rows]
        return [row for row in cut if row["relevant"]][::7][:30]
    if "graph_hash" in (rows or [{}])[0]:
        return [row for row in rows if inside(row)]
    broken = {row["group"] for row in rows if row.get("group") and not inside(row)}
    return [row for row in rows if inside(row) and not (row.get("group") and row["group"] in broken)][:300]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("tvhf"))


@pytest.fixture(scope="module")
def floors(folder: Path) -> dict[str, Any]:
    return all_floors(folder, encode)


def metric_of_evaluate() -> Any:
    spec = importlib.util.spec_from_file_location("ar_binary", ROOT / "metrics" / "ar_binary" / "ar_binary.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_those_of_the_published_metric() -> None:
    other, rng = metric_of_evaluate(), np.random.default_rng(2)
    labels = rng.integers(0, 2, 300)
    scores = np.round(labels * 0.4 + rng.normal(size=300), 1)  # with ties
    groups, clusters = [f"g{i // 2}" for i in range(300)], [f"c{i % 30}" for i in range(300)]
    found = binary_metrics(scores, labels, 0.25, clusters, groups)
    given = (scores > 0.25).astype(np.int64)
    assert found["AUROC"] == pytest.approx(100 * other.auroc(scores, labels), abs=0.05)
    assert found["AP"] == pytest.approx(100 * other.average_precision(scores, labels), abs=0.05)
    assert found["MCC"] == pytest.approx(other.matthews(given, labels), abs=5e-4)
    assert found["group_accuracy"] == pytest.approx(100 * other.group_accuracy(given == labels, groups)[0], abs=0.05)
    assert found["prevalence"] == pytest.approx(100 * labels.mean(), abs=0.05)
    for name in ("accuracy", "F1", "MCC", "AUROC", "AP", "group_accuracy"):
        low, high = found[f"{name}_95"]
        assert low < found[name] < high


def test_always_yes_and_a_right_answer() -> None:
    labels = np.array([1, 0] * 10)
    clusters = [f"c{i}" for i in range(20)]
    always = binary_metrics(np.ones(20), labels, 0.0, clusters)
    assert [always[name] for name in ("accuracy", "F1", "MCC", "AUROC", "AP")] == [50.0, 66.7, 0.0, 50.0, 50.0]
    right = binary_metrics(labels.astype(float), labels, 0.5, clusters)
    assert [right[name] for name in ("accuracy", "F1", "MCC", "AUROC", "AP")] == [100.0, 100.0, 1.0, 100.0, 100.0]


def test_matthews_and_threshold() -> None:
    true = np.array([True, True, False, False])
    assert matthews(true, true) == 1.0 and matthews(~true, true) == -1.0
    assert matthews(np.ones(4, bool), true) == 0.0
    assert matthews(np.array([True, False, False, False]), true) == pytest.approx(3**-0.5)
    assert best_threshold(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 0, 1])) == 3.5
    assert auroc(np.array([3.0, 1.0, 2.0]), np.array([1, 0, 1])) == 100.0


def test_intervals_grow_where_rows_share_a_cluster() -> None:
    rng = np.random.default_rng(1)
    right = np.repeat(rng.integers(0, 2, 20), 10)

    def width(clusters: list[str]) -> float:
        low, high = answer_metrics(right.tolist(), ["kind"] * 200, clusters)["macro_95"]
        return high - low

    assert width([f"c{i // 10}" for i in range(200)]) > 2 * width([f"c{i}" for i in range(200)])


def test_a_pair_counts_as_often_as_both_of_its_clusters() -> None:
    weights = draw_weights([("a", "b"), ("a",), ("b",), ("b", "b"), "c"])
    assert weights.shape == (1000, 5)
    assert (weights[:, 0] == weights[:, 1] * weights[:, 2]).all() and (weights[:, 2] == weights[:, 3]).all()
    assert (weights[:, [1, 2, 4]].sum(axis=1) == 3).all()


def test_rows_that_do_not_fit_are_refused() -> None:
    ones = np.ones(3)
    with pytest.raises(ValueError, match="'labels': 2"):
        binary_metrics(ones, np.array([1, 0]), 0.5, ["a"] * 3)
    with pytest.raises(ValueError, match="labels are 1 or 0"):
        binary_metrics(ones, np.array([1, 0, -1]), 0.5, ["a"] * 3)
    with pytest.raises(ValueError, match="score 1 is not"):
        binary_metrics(np.array([1, np.nan, 1]), np.array([1, 0, 1]), 0.5, ["a"] * 3)
    with pytest.raises(ValueError, match="something relevant"):
        ranking_values(np.ones((1, 2)), np.zeros((1, 2), bool), np.ones((1, 2), bool))
    with pytest.raises(FileNotFoundError, match="'dev'"):
        read_rows(FOLDER, "search", "dev")


def test_macro_is_the_mean_over_types() -> None:
    found = answer_metrics([1, 1, 1, 0], ["a", "a", "a", "b"], ["c1", "c2", "c3", "c4"])
    assert (found["macro"], found["micro"]) == (50.0, 75.0)
    assert found["by_type"]["a"]["rows"] == 3 and found["by_type"]["b"]["score"] == 0.0


def test_rankings() -> None:
    scores = np.array([[4.0, 3.0, 2.0, 1.0]])
    relevant = np.array([[False, True, False, True]])
    every = np.ones((1, 4), bool)
    found = ranking_values(scores, relevant, every)
    best = 1 + 1 / np.log2(3)
    assert found["nDCG@10"][0] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / best)
    assert found["MAP"][0] == pytest.approx((1 / 2 + 2 / 4) / 2) and found["R-precision"][0] == 0.5
    without_first = ranking_values(scores, relevant, np.array([[False, True, True, True]]))
    assert without_first["nDCG@10"][0] > found["nDCG@10"][0] and without_first["R-precision"][0] == 0.5


def test_parts_of_rows() -> None:
    clusters = {"a": "c1", "b": "c2"}
    rows = [
        {"arch_id": name, "label": label, "kind": kind, "group": f"{kind}{turn}"}
        for turn in range(3) for kind in ("structure", "purpose") for name, label in (("a", 1), ("b", 0))
    ]  # fmt: skip
    found = description_metrics(np.array([row["label"] for row in rows]), rows, 0.5, clusters)
    assert set(found) == {HEADLINE, "purpose"} and found[HEADLINE]["groups"] == 3
    assert found["purpose"]["group_accuracy"] == 100.0
    without = description_metrics(np.ones(12), [row | {"group": ""} for row in rows], 0.5, clusters)
    assert set(without) == {"all"} and without["all"]["rows"] == 12 and "group_accuracy" not in without["all"]
    pairs = [{"arch_id_a": "a", "arch_id_b": "b", "label": label, "relation": relation, "size_matched": False,
              "agrees_with_wl": True, "agrees_with_jaccard": True}
             for label, relation in ((1, "identical"), (1, "variant"), (0, "unrelated"))]  # fmt: skip
    parts = clone_metrics(np.array([1.0, 1.0, 0.0]), pairs, 0.5, clusters)
    assert {part: found["rows"] for part, found in parts.items()} == {"all": 3, "distinct graphs": 2}


def test_what_is_ignored_or_outside_of_the_pool_is_not_ranked() -> None:
    names, splits = ["a", "b", "c", "d"], {"a": "test", "b": "test", "c": "test", "d": "train"}
    row = {"kind": "sentence", "pool": "split", "split": "test", "relevant": ["b"], "ignored": ["a"]}
    clusters = dict.fromkeys(names, "c1")
    scores = np.array([[4.0, 2.0, 1.0, 3.0]])
    found = search_metrics(lambda rows: scores, [row], names, splits, clusters)["sentence, split"]
    assert found["MAP"] == 100.0
    whole = search_metrics(lambda rows: scores, [row | {"pool": "all"}], names, splits, clusters)
    assert whole["sentence, all"]["MAP"] == 50.0


def table(mcc: float, rows: int = MIN_ROWS) -> dict[str, Any]:
    return {"MCC": mcc, "MCC_95": [mcc - 0.1, mcc + 0.1], "rows": rows}


def test_one_sided_classifiers_above_the_limit_are_faults() -> None:
    def floors_with(**methods: dict[str, Any]) -> dict[str, Any]:
        named = {name.replace("_", " "): found for name, found in methods.items()}
        return {"descriptions": {"test": {HEADLINE: named}}, "clones": {}, "bimodal_clones": {}}

    above = MAX_ONE_SIDED + 0.05
    assert faults(floors_with(text_alone=table(0.1), ops_x_words=table(0.9))) == []
    assert faults(floors_with(text_alone=table(above))) == [
        "descriptions, test, structure and size: text alone has MCC 0.200 (0.1 to 0.3), 100 rows".replace(
            "(0.1 to 0.3)", f"({above - 0.1} to {above + 0.1})"
        )
    ]
    assert len(faults(floors_with(graph_alone=table(above), match_of_names=table(above)))) == 2
    assert faults(floors_with(text_alone=table(above, rows=MIN_ROWS - 1))) == []
    assert len(faults(floors_with(text_alone=table(above + 0.1, rows=MIN_ROWS - 1)))) == 1
    pairs = {"one network alone": table(above), "match of names": table(above)}
    found = {"clones": {"validation": {"all": pairs}, "paper_validation": {"all": pairs}, "test": {"all": pairs}}}
    assert [line.split(" has")[0] for line in faults(found)] == [
        "clones, test, all: one network alone", "clones, test, all: match of names"
    ]  # fmt: skip


def test_splits_that_are_measured() -> None:
    splits = ("train", "validation", "test", "paper_train", "paper_validation", "tv_train", "tv_validation", "tv_test",
              "tv_paper_validation")  # fmt: skip
    assert measured(splits) == ["validation", "test", "paper_validation", "tv_test"]


def test_bm25_prefers_rare_words_and_short_documents() -> None:
    bm25 = Bm25([["conv", "norm"], ["conv", "conv", "norm", "pool", "add"], ["attention", "norm"], ["norm"]])
    conv, rare = bm25.scores([["conv"], ["attention", "norm"]])
    assert conv.argmax() in (0, 1) and conv[2] == conv[3] == 0
    assert rare.argmax() == 2 and (rare > 0).all()


def test_a_query_finds_the_graphs_that_are_like_those_of_the_nearest_statement(folder: Path) -> None:
    networks = Networks(folder, encode)
    first, second = (
        next(n for n, counts in networks.counts.items() if op in counts) for op in ("Conv2d", "Embedding")
    )
    statements = [{"text": text, "arch_id": name, "label": label} for text, name, label in (
        ("It looks at pictures.", first, 1), ("Nobody knows.", second, 0), ("It reads letters.", second, 1),
    )]  # fmt: skip
    kernel = networks.kernels[WL_ROUND]
    rank = _nearest_statements(statements, networks)
    scores = rank([{"query": "It looks at many pictures."}, {"query": "It reads long letters."}])
    assert scores.shape == (2, len(networks.names)) and kernel[networks.index[first], networks.index[second]] < 1
    assert scores[0].argmax() == networks.index[first] and scores[1].argmax() == networks.index[second]


def test_a_sentence_encoder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "cache"))
    config = transformers.BertConfig(
        vocab_size=300, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "own")
    tiny_tokenizer().save_pretrained(tmp_path / "own")
    own = SentenceEncoder(str(tmp_path / "own"))
    found = own(["a network", "a longer network with layers", "a network"])
    assert found.shape == (3, 8) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6) and np.array_equal(found[0], found[2])
    assert np.allclose(own(["a longer network with layers"])[0], found[1], atol=1e-6), "kept"
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2
    with pytest.raises(OSError):
        SentenceEncoder(str(tmp_path / "none"))(["a network"])


def test_figures_of_another_encoder_are_not_taken_for_stored_ones(tmp_path: Path, folder: Path) -> None:
    stored = tmp_path / "floors.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floors_tvhf, "_tasks", lambda *_: {})
        patch.setattr(floors_tvhf, "faults", lambda _: [])
        digests = [
            all_floors(folder, encoder, stored=stored)["digest"] for encoder in (encode, SentenceEncoder("owner/code"))
        ]
    assert digests[1] == f"{digests[0]}, owner/code"


def test_a_printed_module_has_layers_and_their_sizes(folder: Path) -> None:
    networks = Networks(folder, encode)
    name = next(name for name, counts in networks.counts.items() if "Conv2d" in counts)
    graph = networks.graphs[name]
    node = graph.op_types.index("Conv2d")
    said = printed_module(graph)
    assert f"Conv2d({', '.join(str(n) for n in graph.shapes[node] if n)})" in said
    assert "input(" not in said and "add(" not in said


def test_every_task_has_floors_on_every_split(floors: dict[str, Any]) -> None:
    assert {"validation", "test", "test_seen_sentence", "test_new", "paper_validation"} <= set(floors["descriptions"])
    assert set(floors["aqa_hard"]) == set(floors["search"]) == {"validation", "test", "test_new"}
    headline = floors["descriptions"]["test"][HEADLINE]
    assert headline["always true"]["F1"] == 66.7 and headline["text alone"]["group_accuracy"] == 0.0
    assert headline["fact program, predicate given"]["accuracy"] == 100.0
    assert headline["fact program, text read"]["AUROC"] > 50.0
    pair = floors["clones"]["test"]["all"]
    assert {f"Weisfeiler-Lehman, k = {k}" for k in (1, 2, 3)} <= set(pair) and pair["always alike"]["MCC"] == 0.0
    assert floors["bimodal_clones"]["test"]["all"]["text alone"]["AUROC"] == 50.0
    assert all(found["queries"] for found in floors["search"]["test"]["sentence, split"].values())
    assert WL_NEAREST in floors["search"]["test"]["sentence, split"]
    for config in ("aqa", "aqa_modern"):
        test = floors[config]["test"]
        assert test["prior by type"]["macro"] >= test["most frequent answer"]["macro"]
    assert floors["aqa"]["test"]["fact program, text read"]["macro"] > floors["aqa"]["test"]["prior by type"]["macro"]


def test_the_card_shows_the_stored_floors() -> None:
    floors = json.loads(RESULTS.read_text())
    said = floors_section(floors)
    assert said in (FOLDER / "README.md").read_text()
    for name in ("ops x words", "BM25", "prior by type and subject", "Weisfeiler-Lehman, k = 3", "one network alone"):
        assert f"| {name} |" in said
    assert len(said.splitlines()) < 160
    assert "Above the limit are" in floors_section(floors | {"faults": ["clones, test, all: names"]})


def test_the_bag_kernel_learns_what_neither_side_tells_alone() -> None:
    networks = {f"{kind}{i}": {kind: 3 + i, "Linear": 5} for kind in ("Conv2d", "LSTM") for i in range(12)}
    said = {"Conv2d": "It convolves images.", "LSTM": "It is recurrent."}

    def made(start: int, stop: int) -> list[dict]:
        return [
            {"text": text, "arch_id": f"{kind}{i}", "label": int(kind == of), "group": f"{of}{i}"}
            for of, text in said.items() for kind in said for i in range(start, stop)
        ]  # fmt: skip

    kernel = BagKernel(networks)
    kernel.fit(made(0, 8), made(8, 10))
    test = made(10, 12)
    assert ((kernel.scores(test) > 0) == np.array([row["label"] == 1 for row in test])).all()


class LikeNetworks:
    """Networks by name: those of one family are like each other, and the encoder of words tells texts apart."""

    def __init__(self, families: dict[str, str]) -> None:
        self.names = list(families)
        self.index = {name: place for place, name in enumerate(self.names)}
        self.kernels = {3: np.array([[1.0 if a == b else 0.95 if families[a] == families[b] else 0.2
                                      for b in self.names] for a in self.names], dtype=np.float32)}  # fmt: skip
        self.encoder = encode


def test_memory_of_training_pairs_takes_the_label_of_what_is_most_like() -> None:
    families = {f"{family}{i}": family for family in ("resnet", "gpt") for i in range(6)}
    said = {"resnet": "a network that convolves images", "gpt": "words follow words here"}

    def made(numbers: Sequence[int]) -> list[dict[str, Any]]:
        return [
            {"text": text, "arch_id": f"{family}{i}", "label": int(family == of)}
            for of, text in said.items() for family in said for i in numbers
        ]  # fmt: skip

    networks: Any = LikeNetworks(families)
    memory = TrainingPairs(made(range(3)), made([3]), networks)
    unseen = made([4, 5])
    assert memory.exponents in EXPONENTS
    assert ((memory.scores(unseen) > 0.5) == np.array([row["label"] == 1 for row in unseen])).all()
    reworded = [row | {"text": row["text"].replace("a network that", "it")} for row in unseen]
    assert (memory.scores(reworded) > 0.5).tolist() == [row["label"] == 1 for row in reworded]


def test_memory_says_the_share_of_true_pairs_where_nothing_is_like() -> None:
    networks: Any = LikeNetworks({"a": "a", "b": "b"})
    networks.kernels[3][0, 1] = networks.kernels[3][1, 0] = 0.0
    rows = [{"text": "one", "arch_id": "a", "label": label} for label in (1, 0, 0, 0)]
    assert TrainingPairs(rows, rows, networks).scores([{"text": "one", "arch_id": "b"}]) == pytest.approx([0.25])

"""The runs behind the counterparts of the paper's Tables 2 and 5: which models are compared, and what they learn from.

All runs have the size of `mini`, the same text side to begin with, the same pairs, and the same CPU time. The rows are
descriptions of real networks in the paper's form (Algorithm 1: about one positive in fourteen).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from real_networks import RealNetworks, load_real
from transformers import AutoTokenizer

from dataset_scripts.tvhf.configs_tvhf import read_folder
from dataset_scripts.tvhf.table5_tvhf import read_table5
from modeling_archbert import ArchBertConfig, ArchBertForPreTraining
from new_model import new_config, new_processor

ARCHITECTURE_SPLITS = ("train", "validation", "test", "test_new")
LIBRARIES = ("tv", "hf", "tvhf")
ARCHBERT, PAPER = "ArchBERT", "preset paper"


@dataclass(frozen=True)
class PaperRun:
    """One model of a table.

    Attributes:
        name: as the table has it.
        preset: `"mini"` or `"paper"`, the latter at the size of `mini`.
        library: what it is trained on: `"tv"`, `"hf"` or `"tvhf"`.
        overrides: fields of the config.
    """

    name: str
    preset: str = "mini"
    library: str = "tvhf"
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def file_name(self, seed: int) -> str:
        """Name of the file with its results."""
        return f"{'-'.join(self.name.lower().split())}-{self.library}-{seed}.json"


ABLATIONS: tuple[PaperRun, ...] = (
    PaperRun("without shape", overrides={"use_shapes": False}),
    PaperRun("without edge", overrides={"use_edges": False}),
    PaperRun("without edge and shape", overrides={"use_edges": False, "use_shapes": False}),
    PaperRun("without MAM", overrides={"mam_loss_weight": 0.0}),
    PaperRun("without cross encoder", overrides={"use_cross_encoder": False}),
    PaperRun("without folding features", overrides={"use_node_features": False, "use_graph_token": False,
             "use_block_tokens": False, "use_op_histogram": False}),
    PaperRun("without attributes", overrides={"use_attributes": False}),
)  # fmt: skip
RUNS: tuple[PaperRun, ...] = (
    PaperRun(ARCHBERT),
    PaperRun(PAPER, "paper"),
    *ABLATIONS,
    *(
        PaperRun(name, preset, library)
        for library in ("tv", "hf")
        for name, preset in ((ARCHBERT, "mini"), (PAPER, "paper"))
    ),
)


class NetworkPool:
    """All architectures of TVHF as graph tokens, whatever split they are of.

    Attributes:
        index: number of each architecture by its `arch_id`.
        encodings: graph tokens, by number.
        clusters: cluster of each architecture by its `arch_id`.
        tokens: int64 (n,), tokens of each.
    """

    def __init__(self, folder: str, processor: Any, cache_dir: str | None, fold: bool = True) -> None:
        self.parts: list[RealNetworks] = [load_real(folder, name, cache_dir) for name in ARCHITECTURE_SPLITS]
        self.encodings: list[Any] = []
        self.clusters: dict[str, str] = {}
        for part in self.parts:
            part.split.encode(processor, fold)
            self.encodings += [part.split.encodings[number] for number in range(len(part.rows))]
            self.clusters |= dict(zip((row["arch_id"] for row in part.rows), part.clusters, strict=True))
        self.index = {name: number for number, name in enumerate(self.clusters)}
        self.tokens = np.array([encoding.num_tokens for encoding in self.encodings])


class PairBlocks:
    """Blocks of labelled pairs of a text and an architecture: as many that are right as that are wrong.

    Args:
        pool: the architectures.
        rows: with `arch_id`, `text` and `label`.
        processor: of the model.
        graphs: architectures per block, of like size.
        pairs: pairs per block, at most.
        seed: of what is drawn.
        op_replacement: part of the op types that are given by the pieces of their names.
    """

    def __init__(
        self, pool: NetworkPool, rows: Sequence[Mapping[str, Any]], processor: Any, *,
        graphs: int, pairs: int, seed: int, op_replacement: float = 0.0,
    ) -> None:  # fmt: skip
        self.pool, self.processor, self.pairs, self.op_replacement, self.seed = (
            pool, processor, pairs, op_replacement, seed,
        )  # fmt: skip
        self.rows: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for row in rows:
            self.rows[pool.index[row["arch_id"]]][int(row["label"])].append(row["text"])
        known = np.array(sorted(self.rows))
        self.order = known[np.argsort(pool.tokens[known], kind="stable")]
        self.graphs = min(graphs, len(known))

    def __call__(self, block: int) -> dict[str, torch.Tensor]:
        """The block of this number: keyword arguments of `ArchBertForPreTraining`."""
        rng = np.random.default_rng([self.seed, block, 5])
        width = min(len(self.order), 3 * self.graphs)
        first = int(rng.integers(len(self.order) - width + 1))
        chosen = rng.choice(self.order[first : first + width], self.graphs, replace=False).tolist()
        drawn: list[tuple[int, str, float]] = []
        for label in (1, 0):
            found = [
                (place, text, float(label)) for place, graph in enumerate(chosen) for text in self.rows[graph][label]
            ]
            drawn += [found[i] for i in rng.permutation(len(found))[: self.pairs // 2].tolist()]
        texts = {text: number for number, text in enumerate(dict.fromkeys(text for _, text, _ in drawn))}
        batch = self.processor.collate(
            list(texts), [self.pool.encodings[graph] for graph in chosen], op_replacement=self.op_replacement,
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
        )  # fmt: skip
        return dict(batch) | {
            "text_index": torch.tensor([texts[text] for _, text, _ in drawn]),
            "architecture_index": torch.tensor([place for place, _, _ in drawn]),
            "similarity_labels": torch.tensor([label for _, _, label in drawn]),
        }


def new_paper_model(run: PaperRun, text_from: str) -> tuple[ArchBertForPreTraining, Any]:
    """A new model of a run, of the size and with the text side of the checkpoint `text_from`, and its processor."""
    import archbert  # noqa: F401  the classes of the package, not the copies in the folder, are loaded

    known = ArchBertConfig.from_pretrained(text_from)
    sizes = known.get_text_config().to_dict()
    kept = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
            "max_position_embeddings", "hidden_dropout_prob", "attention_probs_dropout_prob")  # fmt: skip
    overrides: dict[str, Any] = {"text_config": {name: sizes[name] for name in kept}, "use_reasoning_head": False}
    if run.preset == "paper":
        overrides["gat_heads"] = known.gat_heads
    config = new_config(run.preset, overrides | dict(run.overrides))
    model = ArchBertForPreTraining(config)
    given = ArchBertForPreTraining.from_pretrained(text_from, dtype=torch.float32)
    model.archbert.text.load_state_dict(given.archbert.text.state_dict())
    return model, new_processor(config, AutoTokenizer.from_pretrained(text_from))


def pair_rows(folder: str, config: str, library: str, part: str) -> list[dict[str, Any]]:
    """Labelled rows of `descriptions` or `clones` of a library, in the paper's form: `"train"` or `"validation"`."""
    return read_table5(read_folder(folder), config, library, f"paper_{part}")

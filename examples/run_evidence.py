"""
Measures the evidence of answers: are the nodes that a checkpoint names for an answer those that make it true?

    accelerate launch examples/run_evidence.py --init_from hub/models/archbert-mini --data data/autonet

Of each question that is answered right by naming layers or kernels, the nodes with a score above one half are taken
out of the graph, their predecessors joined to their successors. `truth changes` is how often the true answer of what
is left is another one, `answer changes` how often the model's is; a draw of as many other nodes stands beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from blocks import ANSWER_IDS, find_data, load_split
from modeling_archbert import ArchBertForSequenceClassification
from new_model import load_model
from processing_archbert import ANSWERS, ArchitectureGraph, GraphFacts
from training_loop import TrainingArguments, make_accelerator, prepare, print_table, provenance

EVIDENCE = 0.5
"""Score from which a node is named."""
NAMED, DRAWN = "nodes that are named", "as many other nodes"


@dataclass
class EvidenceArguments(TrainingArguments):
    """Arguments of the measurement."""

    init_from: str | None = field(default="hub/models/archbert-mini", metadata={"help": "checkpoint to measure"})
    output_dir: str = field(default="runs/evidence", metadata={"help": "where the results are written"})
    questions: int = field(default=200, metadata={"help": "questions to measure on"})
    limit_validation: int | None = field(default=100, metadata={"help": "use so many architectures"})


class Changed(NamedTuple):
    """Whether the truth, the model's answer, and both, are others without some nodes."""

    truth: bool
    answer: bool
    both: bool


def main(arguments: EvidenceArguments) -> list[dict[str, Any]]:
    """Measure and save; returns the table."""
    accelerator = make_accelerator(arguments)
    prepare(arguments)
    data = find_data(arguments.data, arguments.cache_dir, arguments.seed)
    split = load_split(data, arguments.eval_split, arguments.limit_validation)
    model, processor = load_model(str(arguments.init_from), {})
    answering = ArchBertForSequenceClassification._from_config(model.config)
    answering.archbert, answering.answer_head = model.archbert, model.answer_head
    asker = Asker(answering.eval(), processor)
    rng = np.random.default_rng(arguments.seed)
    found: dict[str, list[Changed]] = {NAMED: [], DRAWN: []}
    rows = split.question_rows()
    for index in rng.permutation(len(rows)).tolist():
        if len(found[NAMED]) == arguments.questions:
            break
        graph = split.facts[rows[index]["graph"]].graph
        named = asker.evidence(graph, rows[index])
        others = np.setdiff1d(np.arange(graph.num_nodes), named)
        if len(named) and len(others):
            drawn = rng.choice(others, min(len(named), len(others)), replace=False)
            found[NAMED].append(asker.without(graph, rows[index], named))
            found[DRAWN].append(asker.without(graph, rows[index], drawn))
    table = {
        "title": "Evidence: answers without the nodes that are named for them",
        "data": f"AutoNet, {arguments.eval_split}: {len(found[NAMED])} questions that are answered right by naming",
        "rows": [{"without": name} | _shares(changes) for name, changes in found.items()],
        **provenance("run_evidence.py", accelerator, arguments.seed),
    }
    path = Path(arguments.output_dir) / "results.json"
    path.write_text(json.dumps([table], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print_table(table)
    return [table]


def _shares(changes: Sequence[Changed]) -> dict[str, float | None]:
    names = ("truth changes", "answer changes", "both change")
    if not changes:
        return dict.fromkeys(names)
    return dict(zip(names, (100 * np.array(changes, dtype=float).mean(axis=0)).round(1).tolist(), strict=True))


class Asker:
    """Asks a model questions about graphs.

    Args:
        model: `ArchBertForSequenceClassification`, in eval mode.
        processor: its processor.
    """

    def __init__(self, model: ArchBertForSequenceClassification, processor: Any) -> None:
        self.model, self.processor = model, processor
        links = np.array(model.config.answer_links)
        self._naming = {ANSWERS[index] for index in np.flatnonzero(links[:, -1] >= 0)}

    @torch.no_grad()
    def ask(self, graph: ArchitectureGraph, question: str) -> tuple[set[str], np.ndarray]:
        """The answers above one half, and the score of each node, float (nodes,)."""
        batch = self.processor(text=[question], architectures=[graph], return_tensors="pt", fold=False)
        output = self.model(**batch, output_evidence=True)
        given = {ANSWERS[index] for index in torch.nonzero(output.logits[0] > 0).flatten().tolist()}
        return given, output.node_scores[0].float().numpy()[: graph.num_nodes]

    def evidence(self, graph: ArchitectureGraph, row: dict[str, Any]) -> np.ndarray:
        """The nodes that are named for a right answer; none where it is wrong or names no layer or kernel."""
        truth = set(row["answers"])
        if not truth <= self._naming or not truth <= set(ANSWER_IDS):
            return np.zeros(0, dtype=np.int64)
        given, scores = self.ask(graph, row["question"])
        return np.flatnonzero(scores > EVIDENCE) if given == truth else np.zeros(0, dtype=np.int64)

    def without(self, graph: ArchitectureGraph, row: dict[str, Any], nodes: Collection[int]) -> Changed:
        """What changes when nodes are taken out of the graph."""
        rest = without_nodes(graph, {int(node) for node in nodes})
        truth = set(GraphFacts(rest).answer(row["question_type"], row["subject"]).value or ())
        given, _ = self.ask(rest, row["question"])
        changed = (truth != set(row["answers"]), given != set(row["answers"]))
        return Changed(*changed, all(changed))


def without_nodes(graph: ArchitectureGraph, nodes: Collection[int]) -> ArchitectureGraph:
    """A graph without some nodes; the predecessors of each are joined to its successors."""
    gone = set(nodes)
    into: dict[int, list[int]] = {}
    for source, target in graph.edge_index.T.tolist():
        reached = into.get(source, []) if source in gone else [source]
        into.setdefault(target, []).extend(one for one in reached if one not in into.get(target, ()))
    kept = [node for node in range(graph.num_nodes) if node not in gone]
    place = {node: number for number, node in enumerate(kept)}
    edges = [(place[source], place[target]) for target in kept for source in sorted(into.get(target, ()))]
    index = np.array(kept, dtype=np.int64)
    return ArchitectureGraph(
        op_types=tuple(graph.op_types[node] for node in kept),
        shapes=graph.shapes[index],
        attributes=graph.attributes[index],
        node_parameters=graph.node_parameters[index],
        edge_index=np.array(edges, dtype=np.int32).reshape(-1, 2).T,
        node_names=tuple(graph.node_names[node] for node in kept),
        name=graph.name,
        source=graph.source,
        num_parameters=int(graph.node_parameters[index].sum()) + graph.unused_parameters,
        unused_parameters=graph.unused_parameters,
    )


if __name__ == "__main__":
    main(HfArgumentParser(EvidenceArguments).parse_args_into_dataclasses()[0])

"""
Trains the head that says what a question asks for: one of the topics of `aqa_modern`, or none of them.

    python examples/run_question_topics.py --init_from hub/models/archbert-small --output_dir runs/topics

The text encoder stays as it is, so that every other task keeps its results; each question is encoded once, and the
head learns in a minute. The answer itself is looked up in the graph: numbers of real networks are never classes.

It learns from the wordings of TVHF's training split, and from `dataset_scripts/tvhf/question_wordings.tsv`: those of
four writers (a language model in four manners) who saw the training split's alone. Reported is how many questions of a
writer are read by a head that learned without that writer. How many answers are right, on networks and wordings that
nothing here has seen, is measured by run_product_aqa.py.
"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from tqdm.auto import tqdm
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from dataset_scripts.tvhf.metrics_tvhf import read_rows
from modeling_archbert import ArchBertForPreTraining
from modeling_archbert.fusion_archbert import mean_pool
from processing_archbert import ArchBertProcessor
from processing_archbert.topic_answers_archbert import TOPIC_NAMES
from training_loop import print_table, provenance

WORDINGS = Path(__file__).resolve().parents[1] / "dataset_scripts" / "tvhf" / "question_wordings.tsv"
NO_TOPIC = "none"
DATA_SET = "TVHF, train"
"""Writer of the wordings of the data set."""
OTHER_CONFIGS = ("aqa", "aqa_hard")
"""Configs whose questions are of no topic, but for those of `LIKE_TOPICS`."""
LIKE_TOPICS = ("parameters", "skip_count", "setting", "count", "count_category", "block_repeats")
"""Question types that ask, or may ask, for what is a topic too."""
SUBJECTS = (
    "this model", "the model", "it", "this network", "the network", "this architecture", "the architecture",
    "the given architecture", "this neural network", "the neural network", "this transformer", "the given model",
)  # fmt: skip
_TEXTS_AT_ONCE = 64
_SMOOTHING = 0.05


@dataclass
class TopicArguments:
    """Arguments of the head of topics."""

    init_from: str = field(default="hub/models/archbert-small", metadata={"help": "checkpoint that gets the head"})
    output_dir: str = field(default="runs/topics", metadata={"help": "where the checkpoint is written"})
    real_data: str = field(default="hub/datasets/tvhf", metadata={"help": "folder of TVHF"})
    others: int = field(default=1500, metadata={"help": "questions of no topic that are taken from the data set"})
    epochs: int = field(default=60, metadata={"help": "times that every wording is learned from"})
    batch_size: int = field(default=256, metadata={"help": "wordings of a step"})
    learning_rate: float = field(default=3e-3, metadata={"help": "highest learning rate"})
    weight_decay: float = field(default=0.01, metadata={"help": "of the head"})
    threads: int | None = field(default=None, metadata={"help": "threads of torch"})
    seed: int = field(default=0, metadata={"help": "of weights, order and subjects"})


class Wording(NamedTuple):
    """A question, its topic and who wrote it."""

    topic: str
    writer: str
    text: str


def main(arguments: TopicArguments) -> dict[str, Any]:
    """Train, report and save; returns the table."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    set_seed(arguments.seed)
    model = ArchBertForPreTraining.from_pretrained(arguments.init_from, dtype=torch.float32)
    processor = ArchBertProcessor.from_pretrained(arguments.init_from)
    wordings = read_wordings(Path(arguments.real_data), arguments.others, arguments.seed)
    topics = [name for name in TOPIC_NAMES if any(one.topic == name for one in wordings)]
    means = text_means(model.eval(), processor, [one.text for one in wordings])
    labels = torch.tensor([0 if one.topic == NO_TOPIC else 1 + topics.index(one.topic) for one in wordings])
    rows = [
        {"learned without": writer} | figures(model, topics, means, labels, [one.writer == writer for one in wordings],
                                              arguments)
        for writer in sorted({one.writer for one in wordings} - {DATA_SET})
    ]  # fmt: skip
    fit(model, topics, means, labels, arguments)
    table = {
        "title": "What questions ask for, read by the head of topics",
        "data": f"{len(wordings)} wordings, {len(topics)} topics and none",
        "rows": rows,
        **provenance("run_question_topics.py", Accelerator(cpu=True), arguments.seed),
    }
    model.save_pretrained(arguments.output_dir)
    processor.save_pretrained(arguments.output_dir)
    path = Path(arguments.output_dir) / "topics.json"
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print_table(table)
    print(f"\nSaved in {arguments.output_dir}; see run_product_aqa.py --model {arguments.output_dir}")
    return table


def read_wordings(data: Path, others: int, seed: int) -> list[Wording]:
    """All wordings to learn from, each with a subject for its `{S}`; none twice.

    Args:
        data: folder of TVHF.
        others: questions of `OTHER_CONFIGS`.
        seed: of subjects and of these questions.
    """
    rng = random.Random(seed)
    found = [
        Wording(row["question_type"], DATA_SET, row["question"]) for row in read_rows(data, "aqa_modern", "train")
    ]
    for config in OTHER_CONFIGS:
        rows = read_rows(data, config, "train")
        texts = sorted({row["question"] for row in rows if row["question_type"] not in LIKE_TOPICS})
        found += [
            Wording(NO_TOPIC, DATA_SET, text)
            for text in rng.sample(texts, min(len(texts), others // len(OTHER_CONFIGS)))
        ]
    for line in WORDINGS.read_text(encoding="utf-8").splitlines():
        topic, writer, text = line.split("\t")
        found.append(Wording(topic, writer, text.replace("{S}", rng.choice(SUBJECTS))))
    distinct = {one.text: one for one in found}
    unknown = sorted({one.topic for one in distinct.values()} - {*TOPIC_NAMES, NO_TOPIC})
    if unknown:
        raise ValueError(f"{WORDINGS.name} has the topic {unknown[0]!r}, which nothing answers")
    return list(distinct.values())


@torch.no_grad()
def text_means(model: ArchBertForPreTraining, processor: Any, texts: Sequence[str]) -> torch.Tensor:
    """Means `(U, d)` of the states of texts, float32."""
    found = torch.zeros(len(texts), model.config.hidden_size)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for start in tqdm(range(0, len(order), _TEXTS_AT_ONCE), desc="encoding questions", leave=False):
        places = order[start : start + _TEXTS_AT_ONCE]
        batch = processor.collate([texts[place] for place in places], None)
        encoding = model.archbert.encode_texts(batch["input_ids"], batch["attention_mask"])
        found[places] = mean_pool(encoding.states, encoding.mask).float()
    return found


def fit(
    model: ArchBertForPreTraining, topics: list[str], means: torch.Tensor, labels: torch.Tensor,
    arguments: TopicArguments,
) -> None:  # fmt: skip
    """Give the model a new head, trained on the means `(U, d)` of questions with `labels (U,)`; 0 is no topic."""
    set_seed(arguments.seed)
    model.add_topic_head(topics)
    head = model.topic_head
    assert head is not None
    head.train()
    steps = arguments.epochs * -(-len(means) // arguments.batch_size)
    optimizer = torch.optim.AdamW(head.parameters(), arguments.learning_rate, weight_decay=arguments.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(arguments.epochs):
        for places in torch.randperm(len(means)).split(arguments.batch_size):
            loss = nn.functional.cross_entropy(
                head.classify(means[places]), labels[places], label_smoothing=_SMOOTHING
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    head.eval()


def figures(
    model: ArchBertForPreTraining, topics: list[str], means: torch.Tensor, labels: torch.Tensor, held: list[bool],
    arguments: TopicArguments,
) -> dict[str, Any]:  # fmt: skip
    """Shares of the questions that are held out, which a head that learned from the others reads rightly."""
    kept = torch.tensor(held)
    fit(model, topics, means[~kept], labels[~kept], arguments)
    assert model.topic_head is not None
    with torch.no_grad():
        scores, read = model.topic_head.classify(means[kept]).softmax(dim=-1).max(dim=-1)
    truth, sure = labels[kept], scores >= 0.8
    asked = truth > 0
    by_topic: dict[int, list[bool]] = defaultdict(list)
    for topic, right in zip(truth[asked].tolist(), (read == truth)[asked].tolist(), strict=True):
        by_topic[topic].append(right)
    shares = {
        "right": (read == truth)[asked], "no topic, read as none": (read == truth)[~asked],
        "surer than 0.8": sure[asked], "right of these": (read == truth)[asked & sure],
        "no topic, surely read as one": ((read > 0) & sure)[~asked],
    }  # fmt: skip
    least = min(by_topic, key=lambda topic: sum(by_topic[topic]) / len(by_topic[topic]))
    return {name: round(100 * share.float().mean().item(), 1) for name, share in shares.items()} | {
        "least": round(100 * sum(by_topic[least]) / len(by_topic[least]), 1), "least of": topics[least - 1],
    }  # fmt: skip


if __name__ == "__main__":
    main(HfArgumentParser(TopicArguments).parse_args_into_dataclasses()[0])

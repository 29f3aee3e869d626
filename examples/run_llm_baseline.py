"""
Asks a language model the questions of TVHF: statements (AR), questions (AQA) and pairs (ACD), as a baseline.

    export API_KEY=...
    python examples/run_llm_baseline.py --base_url https://HOST/v1 --model NAME --task reasoning --shown module
    python examples/run_llm_baseline.py --base_url http://localhost:8000/v1 --model NAME --task questions --limit 300

Any endpoint with the chat completions of OpenAI will do. A network is shown as its printed module or as its config,
under the prompts below, which are frozen: their digest stands in the results. Nothing names the network but what is
shown. Answers are kept one by one in `--output_dir`, so that a run that was stopped goes on, and costs nothing twice.
An answer that cannot be read counts as wrong, and is counted by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from huggingface_hub import InferenceClient
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from dataset_scripts.tvhf.floor_networks_tvhf import printed_module
from dataset_scripts.tvhf.metrics_tvhf import (
    clone_metrics,
    description_metrics,
    question_metrics,
    read_clusters,
    read_rows,
)
from processing_archbert import ANSWERS, ArchitectureGraph
from training_loop import print_table

SYSTEM = "You read descriptions of neural network architectures and answer exactly, in the form that is asked for."
PROMPTS = {
    "reasoning": "A neural network:\n\n{network}\n\nStatement: {text}\n\nIs the statement right about this network? "
    "Answer with one word, yes or no.",
    "questions": "A neural network:\n\n{network}\n\nQuestion: {text}\n\nAnswer with a JSON list of strings, and "
    "nothing else. Allowed strings are: {answers}",
    "clones": "A neural network:\n\n{network}\n\nAnother one:\n\n{other}\n\nAre they variants of one architecture? "
    "Answer with one word, yes or no.",
}
CONFIGS = {"reasoning": "descriptions", "questions": "aqa", "clones": "clones"}
DIGEST = hashlib.sha256(json.dumps([SYSTEM, PROMPTS], sort_keys=True).encode()).hexdigest()[:16]
"""Of the prompts."""
UNREAD = -1.0
"""Score of an answer that is neither yes nor no."""
Ask = Callable[[str], str]


@dataclass
class LlmArguments:
    """Arguments of the baseline."""

    base_url: str = field(metadata={"help": "endpoint, up to and with /v1"})
    model: str = field(metadata={"help": "name of the model there"})
    task: Literal["reasoning", "questions", "clones"] = field(default="reasoning", metadata={"help": "what is asked"})
    shown: Literal["module", "config"] = field(default="module", metadata={"help": "how a network is shown"})
    real_data: str = field(default="hub/datasets/tvhf", metadata={"help": "folder of TVHF"})
    split: str = field(default="test", metadata={"help": "split of TVHF"})
    limit: int | None = field(default=None, metadata={"help": "so many rows, drawn by the seed; default: all"})
    seed: int = field(default=0, metadata={"help": "of the rows that are drawn"})
    max_characters: int = field(default=60_000, metadata={"help": "of a network that is shown; the rest is cut off"})
    max_tokens: int = field(default=512, metadata={"help": "of an answer"})
    timeout: float = field(default=120.0, metadata={"help": "seconds to wait for an answer"})
    api_key_variable: str = field(default="API_KEY", metadata={"help": "environment variable with the key, if any"})
    output_dir: str = field(default="runs/llm", metadata={"help": "folder of answers and results"})


def main(arguments: LlmArguments) -> dict[str, Any]:
    """Ask, evaluate and store; returns the table.

    Raises:
        ValueError: a network has no config to show.
        huggingface_hub.errors.HfHubHTTPError: the endpoint refused; the answers so far are kept.
    """
    client = InferenceClient(
        base_url=arguments.base_url, api_key=os.environ.get(arguments.api_key_variable) or "none",
        timeout=arguments.timeout,
    )  # fmt: skip
    rows = drawn_rows(arguments)
    networks = shown_networks(arguments, rows)
    folder = Path(arguments.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    kept = KeptAnswers(folder / "answers.jsonl", partial(asked, client, arguments))
    answers = [kept(prompt_of(arguments.task, row, networks)) for row in rows]
    figures, unread = evaluated(arguments, rows, answers)
    table = {
        "title": f"{arguments.model}, {arguments.task}, networks shown as {arguments.shown}",
        "data": f"TVHF, {CONFIGS[arguments.task]}, {arguments.split}: {len(rows)} rows",
        "rows": [{"method": arguments.model, **{k: v for k, v in figures.items() if isinstance(v, (int, float))},
                  "unread": unread}],
        "prompts": DIGEST, "shown": arguments.shown, "seed": arguments.seed, "results": figures,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print_table(table)
    return table


def drawn_rows(arguments: LlmArguments) -> list[dict[str, Any]]:
    """The rows that are asked: labelled ones, whole groups of statements where a limit is given."""
    rows = read_rows(Path(arguments.real_data), CONFIGS[arguments.task], arguments.split)
    rows = [row for row in rows if row.get("label", 0) in (0, 1)]
    if arguments.limit is None or arguments.limit >= len(rows):
        return rows
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for place, row in enumerate(rows):
        groups[group_of(row, place)].append(row)
    names, taken = list(groups), list[dict[str, Any]]()
    for place in np.random.default_rng(arguments.seed).permutation(len(names)).tolist():
        if len(taken) >= arguments.limit:
            break
        taken += groups[names[place]]
    return taken


def group_of(row: Mapping[str, Any], place: int) -> str:
    """The matched statements that a row belongs to; another row stands alone."""
    return str(row.get("group") or f"row {place}")


def shown_networks(arguments: LlmArguments, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """`arch_id` -> the text that a network is shown as."""
    names = {row[key] for row in rows for key in ("arch_id", "arch_id_a", "arch_id_b") if key in row}
    found = {}
    for split in ("train", "validation", "test", "test_new"):
        if not list(Path(arguments.real_data, "architectures").glob(f"{split}-[0-9]*")):
            continue
        for row in read_rows(Path(arguments.real_data), "architectures", split):
            if row["arch_id"] in names:
                found[row["arch_id"]] = network_text(row, arguments.shown)[: arguments.max_characters]
    return found


def network_text(row: Mapping[str, Any], shown: str) -> str:
    """A row of `architectures` as a text.

    Raises:
        ValueError: it is to be shown by its config and has none.
    """
    if shown == "module":
        return printed_module(ArchitectureGraph.from_row(row))
    if not row.get("config"):
        raise ValueError(f"{row['arch_id']} has no config; ask with --shown module")
    return str(row["config"])


def prompt_of(task: str, row: Mapping[str, Any], networks: Mapping[str, str]) -> str:
    """What is asked about a row."""
    if task == "clones":
        return PROMPTS[task].format(network=networks[row["arch_id_a"]], other=networks[row["arch_id_b"]])
    text = row["text"] if task == "reasoning" else row["question"]
    answers = "" if task == "reasoning" else json.dumps(ANSWERS)
    return PROMPTS[task].format(network=networks[row["arch_id"]], text=text, answers=answers)


def asked(client: InferenceClient, arguments: LlmArguments, prompt: str) -> str:
    """What the endpoint answers, at temperature 0."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
    found = client.chat_completion(
        messages, model=arguments.model, temperature=0.0, max_tokens=arguments.max_tokens, seed=arguments.seed
    )
    return str(found.choices[0].message.content or "")


class KeptAnswers:
    """Asks what was not asked before, and keeps every answer at once.

    Args:
        path: a file with a JSON object in each line; made if it is not there.
        ask: prompt -> answer.
    """

    def __init__(self, path: Path, ask: Ask) -> None:
        self.path, self.ask = path, ask
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.known = {line["prompt"]: line["answer"] for line in map(_line, lines) if line}

    def __call__(self, prompt: str) -> str:
        key = hashlib.sha256(f"{DIGEST}\n{prompt}".encode()).hexdigest()
        if key not in self.known:
            self.known[key] = self.ask(prompt)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"prompt": key, "answer": self.known[key]}, ensure_ascii=False) + "\n")
        return str(self.known[key])


def _line(text: str) -> dict[str, str]:
    """A line of kept answers; empty where a stop cut it short."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"prompt", "answer"} <= set(found) else {}


def evaluated(
    arguments: LlmArguments, rows: Sequence[dict[str, Any]], answers: Sequence[str]
) -> tuple[dict[str, Any], int]:
    """The figures, by the functions that measure everything else, and how many answers could not be read."""
    clusters = read_clusters(Path(arguments.real_data))
    if arguments.task == "questions":
        given = [given_list(answer) for answer in answers]
        right = [float(one is not None and one == set(row["answers"])) for one, row in zip(given, rows, strict=True)]
        return question_metrics(right, rows, clusters), sum(one is None for one in given)
    said = np.array([yes_or_no(answer) for answer in answers])
    labels = np.array([row["label"] for row in rows])
    scores = np.where(said == UNREAD, 1.0 - labels, said)  # what cannot be read is wrong
    measure = description_metrics if arguments.task == "reasoning" else clone_metrics
    parts = measure(scores, rows, 0.5, clusters)
    return parts.get("structure and size") or parts["all"], int((said == UNREAD).sum())


def yes_or_no(answer: str) -> float:
    """1 for yes, 0 for no, `UNREAD` for anything that is not plainly one of them."""
    words = set(re.findall(r"\b(?:yes|no)\b", answer.lower()))
    return UNREAD if len(words) != 1 else float(words == {"yes"})


def given_list(answer: str) -> set[str] | None:
    """The strings of the first JSON list in an answer; None where there is none."""
    found = re.search(r"\[[^\[\]]*\]", answer)
    try:
        values = json.loads(found[0]) if found else None
    except ValueError:
        return None
    return {str(value) for value in values} if isinstance(values, list) else None


if __name__ == "__main__":
    main(HfArgumentParser(LlmArguments).parse_args_into_dataclasses()[0])

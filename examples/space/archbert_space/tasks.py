"""The tasks: what a graph shows is computed and outranks the checkpoint, which predicts the rest, or nobody can tell.

Nothing here belongs to one user: every function depends on its arguments alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from archbert.answering import Answerer, read_by_checkpoint
from archbert.card_claims import read_claims
from archbert.cli_describe import described
from archbert.cli_output import CommandError
from archbert.cli_sources import Loaded
from archbert.description import in_bytes
from archbert.index import Hit
from archbert.verification import (
    RIGHT,
    WRONG,
    judge,
    statement_evidence,
    statement_holds,
    with_evidence,
)
from processing_archbert.graph_overview_archbert import parse_filter
from processing_archbert.network_numbers_archbert import QUANTITIES, NetworkNumbers
from processing_archbert.network_properties_archbert import LAYER_GROUPS, holds
from processing_archbert.number_questions_archbert import asks_costs, read_number
from processing_archbert.question_reading_archbert import names_something, read_question

from .checkpoint import Checkpoint
from .limits import Limits
from .networks import DemoError, Given, Network, Networks
from .pictures import Pictures
from .results import BAD, CANNOT_TELL, COMPUTED, GOOD, NEUTRAL, PREDICTED, Result, Score

PAPER_THRESHOLD = 0.5
"""Above which the paper calls two architectures similar; used where the checkpoint has no threshold of its own."""
MAX_HITS = 20
RELATIONS = {
    "identical": "The graphs are identical: an isomorphism was checked.",
    "same structure": "The same operations in the same order, with other sizes.",
    "changed": "Most of what both do corresponds.",
    "different": "The graphs have little in common.",
}
_ENGLISH = frozenset(
    "the has have with which are this it its uses use does how what network model contains there that than many any "
    "layer layers an".split()
)
_FOREIGN = frozenset(
    "der die das und ist wie viele hat ein eine mit für le la les est une des du il elle avec el los las tiene una "
    "con cuántas cuantas que wat heeft het een met di della quante".split()
)
_ASK_IN_ENGLISH = "This does not read as English, the one language that ArchBERT was trained on."


class Tasks:
    """The six tasks of the paper, and diff.

    Args:
        checkpoint: the models and the index.
        networks: reads networks.
        pictures: draws and compares them.
        limits: of texts.
    """

    def __init__(self, checkpoint: Checkpoint, networks: Networks, pictures: Pictures, limits: Limits) -> None:
        self.checkpoint, self.networks, self.pictures, self.limits = checkpoint, networks, pictures, limits

    def reasoning(self, given: Given, statement: str) -> Result:
        """AR: is a statement about a network right?

        Raises:
            DemoError: the statement is empty or too long, or the network cannot be read.
        """
        statement = self._text(statement, "statement", "It uses layer normalization.")
        network = self.networks.read(given)
        if not is_english(statement):
            return _untold(network, f'{_ASK_IN_ENGLISH} Write for example: "It uses layer normalization."')
        numbers = NetworkNumbers(network.graph)
        right, lines, nodes = computed_judgement(numbers, statement)
        data: dict[str, Any] = {"statement": statement, "network": network.name}
        if right is not None:
            data |= {"label": "correct" if right else "incorrect", "basis": COMPUTED, "explanation": lines}
            headline, tone = ("Correct", GOOD) if right else ("Incorrect", BAD)
            return Result(headline, COMPUTED, tone, (), tuple(lines), (), (network,), (nodes,), data)
        found, told = self._judged(network, numbers, statement)
        headline, tone = ("Correct", GOOD) if found["label"] == "correct" else ("Incorrect", BAD)
        low = -1.0 if found["method"] == "cosine" else 0.0
        score = (
            Score("cosine", found["score"], -1.0)
            if low
            else _probability("probability that it is right", found["score"])
        )
        data |= {**found, "basis": PREDICTED, "explanation": [*lines, told]}
        return Result(headline, PREDICTED, tone, (score,), (*lines, told), (), (network,), (nodes,), data)

    def _judged(self, network: Network, numbers: NetworkNumbers, statement: str) -> tuple[dict[str, Any], str]:
        """What the checkpoint makes of a statement that the graph does not decide, and how that came about."""
        found = dict(self.checkpoint.judge(network.graph, statement))
        evidence = statement_evidence(numbers, statement)
        if not evidence or found["method"] == "cosine":
            return found, f"The graph alone does not decide this; the checkpoint judged it ({found['method']})."
        found["score"] = with_evidence(found["score"], evidence)
        found["label"] = "correct" if found["score"] > 0.5 else "incorrect"
        return found, f"The graph does not decide the rest; the checkpoint judged it ({found['method']})."

    def clones(self, first: Given, second: Given, text: str | None = None) -> Result:
        """ACD: are two networks alike? BACD: are they, in the respect that a text names?

        Raises:
            DemoError: the text is empty or too long, or a network cannot be read or compared.
        """
        if text is not None:
            text = self._text(text, "text", "A transformer with layer normalization.")
            if not is_english(text):
                raise DemoError(f'{_ASK_IN_ENGLISH} Write for example: "A transformer with layer normalization."')
        pair = self.networks.read(first), self.networks.read(second)
        found = self.checkpoint.compare((pair[0].graph, pair[1].graph), text or "")
        threshold = PAPER_THRESHOLD if found["threshold"] is None else found["threshold"]
        similar, basis = found["score"] > threshold, PREDICTED
        scores = _clone_scores(found, pair, threshold)
        lines = [self._relation(*pair)]
        nodes: tuple[tuple[int, ...], ...] = ((), ())
        judged: list[dict[str, Any]] = []
        if text:
            numbers = [NetworkNumbers(network.graph) for network in pair]
            told = [computed_judgement(each, text) for each in numbers]
            nodes = (told[0][2], told[1][2])
            lines += [line for network, one in zip(pair, told, strict=True) for line in _holds_line(network, one[0])]
            if False in (told[0][0], told[1][0]) or (told[0][0] and told[1][0]):
                similar, basis = bool(told[0][0] and told[1][0]), COMPUTED
            elif self.checkpoint.judges:
                judged = [self._judged(*each, text)[0] for each in zip(pair, numbers, strict=True)]
                similar = all(one["label"] == "correct" for one in judged)
                scores += tuple(_probability(f"probability that it is right about {network.name}", one["score"])
                                for network, one in zip(pair, judged, strict=True))  # fmt: skip
                lines.append("The graphs do not decide this; they are alike in it where the text is right about both.")
        elif lines[0] == RELATIONS["identical"]:
            similar, basis = True, COMPUTED
        if found["threshold"] is None and basis == PREDICTED and not judged:
            lines.append(f"This checkpoint was not fitted on pairs; the threshold, {PAPER_THRESHOLD}, is the paper's.")
        data = {**found, "label": "similar" if similar else "dissimilar", "basis": basis, "threshold": threshold,
                "networks": [network.name for network in pair], "explanation": lines}  # fmt: skip
        if judged:  # the label rests on these, and not on the score
            data["probabilities"] = [one["score"] for one in judged]
        headline, tone = ("Similar", GOOD) if similar else ("Dissimilar", BAD)
        return Result(headline, basis, tone, scores, tuple(lines), (), pair, nodes, data)

    def question(self, given: Given, question: str) -> Result:
        """AQA: the answers to a question about a network.

        Raises:
            DemoError: the question is empty or too long, or the network cannot be read.
        """
        question = self._text(question, "question", "Which pooling layers are used?")
        read = read_question(question)
        network = self.networks.read(given, costs=asks_costs(question))
        if read is None and read_number(question) is None and not is_english(question):
            return _untold(network, f'{_ASK_IN_ENGLISH} Ask for example: "Which pooling layers are used?"')
        try:
            answered = Answerer(network.graph, predictor=self.checkpoint.answer).answer(question)
        except CommandError as error:
            raise DemoError(str(error)) from error
        data = answered.to_dict() | {"network": network.name}
        if answered.basis == CANNOT_TELL:
            return _untold(network, f"{answered.reason[:1].upper()}{answered.reason[1:]}.", data)
        scores = tuple(_probability(a.text, a.probability) for a in answered.answers if a.probability is not None)
        headline = ", ".join(answer.text for answer in answered.answers)
        lines = (read_by_checkpoint(answered.read_as),) if answered.read_as else ()
        return Result(headline, answered.basis, NEUTRAL, scores, lines, (), (network,), (answered.nodes,), data)

    def caption(self, given: Given) -> Result:
        """AC: a network in sentences, with its numbers.

        Raises:
            DemoError: the network cannot be read.
        """
        network = self.networks.read(given, costs=True)
        told = described(Loaded(network.name, network.graph, "", list(network.notes)))
        sentences = " ".join(map(str, told["sentences"]))
        data = {"network": network.name, "description": sentences, "numbers": told["numbers"], "facts": told["facts"]}
        facts = _fact_rows(told)
        found = self.checkpoint.caption(network.graph)
        if not found.get("caption"):
            note = f"{self.checkpoint.name} has no decoder, so this description is computed from the graph."
            data |= {"basis": COMPUTED}
            return Result(sentences, COMPUTED, NEUTRAL, (), (note,), facts, (network,), ((),), data)
        basis = COMPUTED if all(claim["basis"] == COMPUTED for claim in found["claims"]) else PREDICTED
        mended = sum(claim["mended"] for claim in found["claims"])
        note = f"Written by {self.checkpoint.name}; every claim was asked of the graph"
        note += f", {mended} put right and {len(found['removed'])} left out."
        data |= {**found, "basis": basis}
        lines = (note, f"Computed from the graph alone: {sentences}")
        return Result(found["caption"], basis, NEUTRAL, (), lines, facts, (network,), ((),), data)

    def search(self, query: str | Given, where: str = "", limit: int = 5) -> list[Hit]:
        """AS: the networks of the index that are nearest to a text or to a network.

        Args:
            query: a text in English, or a network.
            where: a filter on facts, such as `parameters<50M`.
            limit: how many, at most `MAX_HITS`.

        Raises:
            DemoError: the text or the filter is not good, or the network cannot be read.
        """
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 1 <= limit <= MAX_HITS:
            raise DemoError(f"{limit!r} networks are asked for; 1 to {MAX_HITS} are allowed.")
        sought: Any
        if isinstance(query, Given):
            sought = self.networks.read(query).graph
        else:
            sought = self._text(query, "query", "a small convolutional classifier")
            if not is_english(sought) and not _is_plain(sought):
                raise DemoError(f'{_ASK_IN_ENGLISH} Search for example: "a small convolutional classifier".')
        where = (where or "").strip()[: self.limits.text_characters]
        try:
            if where:
                parse_filter(where)
            return self.checkpoint.search(sought, int(limit), where)
        except (ValueError, CommandError) as error:
            raise DemoError(str(error)) from error

    def difference(self, first: Given, second: Given, detail: int = 0) -> tuple[Result, Mapping[str, Any]]:
        """What changed from one network to another, and what `Pictures.difference` gives.

        Raises:
            DemoError: a network cannot be read, or comparing takes too long.
        """
        pair = self.networks.read(first), self.networks.read(second)
        found = self.pictures.difference(*pair, detail)
        data = {name: found[name] for name in ("verdict", "likeness", "lines")} | {
            "basis": COMPUTED, "networks": [network.name for network in pair]}  # fmt: skip
        score = Score("share of nodes that correspond", found["likeness"])
        lines = tuple(found["lines"]) or (RELATIONS[found["verdict"]],)
        headline = str(found["heading"]).rstrip(":")
        return Result(headline, COMPUTED, NEUTRAL, (score,), lines, (), pair, ((), ()), data), found

    def _relation(self, first: Network, second: Network) -> str:
        return RELATIONS[self.pictures.difference(first, second)["verdict"]]

    def _text(self, text: Any, what: str, example: str) -> str:
        if not isinstance(text, str) or not text.strip():
            raise DemoError(f'The {what} is empty; write for example: "{example}"')
        allowed = self.limits.text_characters
        if len(text) > allowed:
            raise DemoError(f"The {what} has {len(text):,} characters; {allowed:,} are allowed.")
        return " ".join(text.split())


def is_english(text: str) -> bool:
    """Whether a text reads as English: by its small words, else by whether it names something of a network."""
    words = set(re.findall(r"[^\W\d_]+", text.lower()))
    if words & _ENGLISH and len(words & _ENGLISH) >= len(words & _FOREIGN):
        return True
    return not words & _FOREIGN and _is_plain(text) and names_something(text)


def _is_plain(text: str) -> bool:
    """Whether all letters of a text are ASCII, and there are some."""
    letters = [c for c in text if c.isalpha()]
    return bool(letters) and all(c.isascii() for c in letters)


def computed_judgement(numbers: NetworkNumbers, text: str) -> tuple[bool | None, list[str], tuple[int, ...]]:
    """What a graph shows of a statement.

    Args:
        numbers: the network.
        text: the statement.

    Returns:
        Whether it holds (None where the graph does not decide), what is right or wrong about it in words, and the
        indices of the nodes that show it.
    """
    lines: list[str] = []
    nodes: set[int] = set()
    for claim in (judge(numbers, claim) for claim in read_claims(text)):
        if claim.verdict not in (RIGHT, WRONG):
            continue
        shown = f": the graph shows {claim.shown}" if claim.shown else ""
        lines.append(f"\u201c{claim.claim.text}\u201d is {claim.verdict}{shown}.")
        nodes.update(_claim_nodes(numbers, claim.claim))
    return statement_holds(numbers, text), lines, tuple(sorted(nodes))


def _claim_nodes(numbers: NetworkNumbers, claim: Any) -> tuple[int, ...]:
    """The nodes that show what a claim is about; of a kind of layer that is not there, those that are instead."""
    if claim.kind in QUANTITIES:
        return tuple(numbers.number(claim.kind, claim.scope).nodes)
    if claim.kind != "holds":
        return ()
    found = tuple(holds(numbers, claim.name).nodes)
    if not found and claim.name in LAYER_GROUPS:
        return tuple(numbers.facts.layer_types(LAYER_GROUPS[claim.name][0]).nodes)
    return found


def _untold(network: Network, reason: str, data: dict[str, Any] | None = None) -> Result:
    plain = data or {"network": network.name, "basis": CANNOT_TELL, "reason": reason}
    return Result("Cannot tell", CANNOT_TELL, NEUTRAL, (), (reason,), (), (network,), ((),), plain)


def _holds_line(network: Network, right: bool | None) -> list[str]:
    if right is None:
        return []
    return [f"The text is {'right' if right else 'wrong'} about {network.name} (computed from the graph)."]


def _probability(name: str, value: float) -> Score:
    return Score(name, value, mark=0.5)


def _clone_scores(found: Mapping[str, Any], pair: tuple[Network, Network], threshold: float) -> tuple[Score, ...]:
    if "text_scores" not in found:
        return (Score("cosine of the two networks", found["score"], -1.0, mark=threshold),)
    return (
        Score("mean of both with the text", found["score"], -1.0, mark=threshold),
        Score(f"text and {pair[0].name}", found["text_scores"][0], -1.0),
        Score(f"text and {pair[1].name}", found["text_scores"][1], -1.0),
        Score("cosine of the two networks", found["architecture_score"], -1.0),
    )


def _fact_rows(told: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = told["facts"]
    rows = [(name, str(value)) for name, value in told["numbers"].items()]
    rows.append(("parameters", f"{facts['parameters']:,}"))
    rows.append(("weights", f"{in_bytes(facts['weight_bytes'])} in {facts['dtype']}"))
    if facts["flops"] is not None:
        rows.append(("FLOPs", f"{facts['flops']:,} ({told['costs_at']})"))
    if facts["kv_cache_bytes_per_token"]:
        rows.append(("cache", f"{in_bytes(facts['kv_cache_bytes_per_token'])} per token"))
    rows.append(("layers by kind", ", ".join(f"{count} {kind}" for kind, count in facts["layers"].items())))
    rows.append(("graph", f"{facts['nodes']:,} nodes, {facts['edges']:,} edges"))
    return tuple(rows)

"""The pipeline of question answering (AQA; paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .architecture_graph_archbert import ArchitectureGraph
from .network_numbers_archbert import NetworkNumbers
from .pipeline_base_archbert import ArchitecturePipeline, Remembered
from .questions_archbert import consistent
from .topic_answers_archbert import topic_answer
from .topic_questions_archbert import worded_topic

ANSWER_THRESHOLD = 0.5
NOT_SHOWN = "cannot tell"
"""The answer to a question whose topic the graph does not show with certainty."""


class ArchitectureQuestionAnsweringPipeline(ArchitecturePipeline):
    """Answers questions about neural architectures (AQA; paper, section 3.3).

    Load it with ``pipeline("architecture-question-answering", model=FOLDER_OR_ID, trust_remote_code=True)`` and call
    it with an item, or with a list, dataset or generator of items. An item is a dictionary with

    - ``architecture``: whatever `load_architecture` takes: an `ArchitectureGraph` (or its dictionary), an
      ``nn.Module``, a transformers config, a model type such as ``"bert"``, ``"timm:NAME"``, the path of a
      ``config.json``, of a saved graph or of a ``.onnx``, ``.pt2``, ``.safetensors`` or ``.gguf`` file, a folder, or a
      Hub id; or one of these with hints, as ``{"source": "model.gguf", "time_limit": 60}``;
    - ``inputs`` (optional): what the module is called with, where it cannot be made up; a tensor, a tuple or a
      dictionary of keyword arguments;
    - ``question``: a string; or ``questions``: several of them, for which the architecture is read once.

    Returns, for ``question``, a list ``[{"answer": "MaxPool2d", "score": 0.98}, ...]``, best first; for ``questions``
    one such list each. A list of items gives a list of results, a generator or dataset gives an iterator. Scores are
    independent probabilities (they need not sum to 1), equal to 1e-5 for every batch size.

    A checkpoint with ``question_topics`` also reads questions for a number or a name of the whole network ("how many
    KV heads?"): which topic it is, is predicted; the answer is looked up in the graph, and stands with its ``topic``
    and the probability of that reading, ``[{"answer": "8", "score": 0.97, "topic": "num_kv_heads"}]``.

    Call parameters (also accepted by ``pipeline``):

    - ``top_k``: how many answers to give. By default, all whose score is above 0.5, or the single best; that a network
      does not include something is said alone, or not at all where another answer is more likely.
    - ``topics``: whether questions may be read as one of ``question_topics``; True by default. With ``top_k`` they are
      not.
    - ``fold``: whether equal parts of the graph are folded into one token (exact, and faster); True by default.
    - ``truncation``: whether to cut a graph of more tokens than the processor's ``max_nodes`` instead of refusing it.
    - ``architecture_kwargs``: hints of `load_architecture` for all items (``task``, ``component``,
      ``trust_remote_code``, ``isolate``, ``time_limit``, ``memory_limit``); an item's own come before them.
    - ``batch_size``: how many questions are put through the model at once.

    Raises:
        ValueError: an item or a parameter is not as said above; the message names what was given and what is allowed.
        ArchitectureSourceError: an architecture cannot be read.
        ArchitectureTraceError: the network cannot be traced, or a limit was reached.
    """

    item_keys = ("architecture", "inputs", "question", "questions")
    example = '{"architecture": "resnet", "question": "Which pooling is used?"}'
    own_parameters = ("top_k", "topics")
    keeps_graph = True

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**parameters)
        if "top_k" in parameters:
            postprocess["top_k"] = _checked_top_k(parameters["top_k"])
        if "topics" in parameters:
            postprocess["topics"] = bool(parameters["topics"])
        return preprocess, forward, postprocess

    def _rows(
        self, item: Mapping[str, Any], remembered: Remembered | None, options: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        return self._text_rows(item, "question", remembered, options)

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        """Logits (B, number of answers) of a batch of questions, and of their topics where the model reads these."""
        kept = {name: model_inputs.pop(name) for name in ("several", "is_last", "text", "graph")}
        output = self.model(**model_inputs)
        topics = {} if output.topic_logits is None else {"topic_logits": output.topic_logits}
        return {"logits": output.logits, **topics, **kept}

    def postprocess(
        self, model_outputs: list[dict[str, Any]], top_k: int | None = None, topics: bool = True
    ) -> list[Any]:
        """The answers of one item, best first; one list for each question where it had ``questions``."""
        networks: dict[int, NetworkNumbers] = {}
        answers = []
        for output in model_outputs:
            looked_up = self._looked_up(output, networks) if topics and top_k is None else None
            answers.append(looked_up or self._answers(output["logits"][0], top_k))
        return answers if model_outputs[0]["several"] else answers[0]

    def _looked_up(self, output: dict[str, Any], networks: dict[int, NetworkNumbers]) -> list[dict[str, Any]] | None:
        """What the topic of a question is in the graph, or that the graph does not show it; None without a topic."""
        if "topic_logits" not in output:
            return None
        score, place = output["topic_logits"][0].float().softmax(dim=-1).max(dim=-1)
        if not int(place) or float(score) <= ANSWER_THRESHOLD:
            return None
        topic = self.model.config.question_topics[int(place) - 1]
        graph: ArchitectureGraph = output["graph"]
        question = worded_topic(output["text"], topic)
        if question is None:
            return None
        numbers = networks.setdefault(id(graph), NetworkNumbers(graph))
        found = topic_answer(numbers.profile, question)
        answers = (NOT_SHOWN,) if found is None else found.answers
        return [{"answer": answer, "score": float(score), "topic": topic} for answer in answers]

    def _answers(self, logits: torch.Tensor, top_k: int | None) -> list[dict[str, Any]]:
        sorted_logits, order = logits.float().sort(descending=True, stable=True)
        scores = sorted_logits.sigmoid()
        count = max(1, int((scores > ANSWER_THRESHOLD).sum())) if top_k is None else top_k
        labels = self.model.config.id2label
        answers = [
            {"answer": labels[index], "score": score}
            for index, score in zip(order[:count].tolist(), scores[:count].tolist(), strict=True)
        ]
        return answers if top_k else [answers[place] for place in consistent([a["answer"] for a in answers])]


def _checked_top_k(top_k: Any) -> int | None:
    if top_k is None:
        return None
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise ValueError(f"top_k is {top_k!r}; a positive integer is allowed, or None for all answers above 0.5.")
    return top_k

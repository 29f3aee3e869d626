"""The functions behind the API and the MCP tools; their docstrings are what a client reads.

`architecture` is everywhere the same: a model type of transformers such as "bert", a Hub id such as "owner/name", the
text of a config.json, or the text of a saved graph, as `read_file` gives it for an uploaded file.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from .networks import DemoError, given_text
from .tasks import Tasks

Endpoint = Callable[..., Any]
_KINDS = {str: "a text", int: "a whole number"}


def endpoints(tasks: Tasks, error_class: type[Exception]) -> dict[str, Endpoint]:
    """The functions of the API by name; what cannot be done is raised as `error_class`."""

    def answered(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except DemoError as error:
            raise error_class(str(error)) from None

    def architecture_reasoning(architecture: str, statement: str) -> dict:
        """Say whether a statement about a neural network architecture is right.

        Args:
            architecture: model type ("bert"), Hub id ("owner/name"), or the text of a config.json.
            statement: a statement in English, such as "It uses layer normalization."
        """
        return answered(lambda: tasks.reasoning(given_text(architecture), statement).data)

    def architecture_clone_detection(first: str, second: str, text: str = "") -> dict:
        """Say whether two neural network architectures are alike, with a text in the respect that it names.

        Args:
            first: model type ("bert"), Hub id ("owner/name"), or the text of a config.json.
            second: the other network, given in the same way.
            text: the respect in which they are compared, such as "It uses attention."; may be empty.
        """
        return answered(lambda: tasks.clones(given_text(first), given_text(second), text or None).data)

    def architecture_question_answering(architecture: str, question: str) -> dict:
        """Answer a question about a neural network architecture from its graph.

        Args:
            architecture: model type ("bert"), Hub id ("owner/name"), or the text of a config.json.
            question: a question in English, such as "How many attention heads are there?"
        """
        return answered(lambda: tasks.question(given_text(architecture), question).data)

    def architecture_captioning(architecture: str) -> dict:
        """Describe a neural network architecture in sentences, with its numbers.

        Args:
            architecture: model type ("bert"), Hub id ("owner/name"), or the text of a config.json.
        """
        return answered(lambda: tasks.caption(given_text(architecture)).data)

    def architecture_search(query: str, where: str = "", limit: int = 5) -> list:
        """Find neural network architectures by a description in English.

        Args:
            query: what is sought, such as "a small convolutional classifier".
            where: a filter on facts, such as "parameters<50M and attention_layers>0"; may be empty.
            limit: how many networks are given, at most 20.
        """
        return answered(lambda: [hit.to_dict() for hit in tasks.search(query, where, limit)])

    def architecture_diff(first: str, second: str) -> dict:
        """Say what changed from one neural network architecture to another.

        Args:
            first: model type ("bert"), Hub id ("owner/name"), or the text of a config.json.
            second: the other network, given in the same way.
        """
        return answered(lambda: tasks.difference(given_text(first), given_text(second))[0].data)

    def architecture_picture(architecture: str, detail: int = 0) -> str:
        """Draw a neural network architecture as SVG, repeated parts once.

        Args:
            architecture: model type ("bert"), Hub id ("owner/name"), or the text of a config.json.
            detail: levels of parts that are opened, 1 to 8; 0 for what is readable.
        """
        return answered(lambda: tasks.pictures.network(tasks.networks.read(given_text(architecture)), detail))

    functions = (
        architecture_reasoning, architecture_clone_detection, architecture_question_answering, architecture_captioning,
        architecture_search, architecture_diff, architecture_picture,
    )  # fmt: skip
    return {function.__name__: _checked(function, error_class) for function in functions}


def _checked(function: Endpoint, error_class: type[Exception]) -> Endpoint:
    """The function, which says which argument is of a wrong type; a request may hold anything that JSON can."""
    kinds, signature = get_type_hints(function), inspect.signature(function)

    @functools.wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        for name, value in signature.bind(*arguments, **named).arguments.items():
            if isinstance(value, bool) or not isinstance(value, kinds[name]):
                raise error_class(f"{name} is {type(value).__name__}; {_KINDS[kinds[name]]} is allowed.")
        return function(*arguments, **named)

    return checked

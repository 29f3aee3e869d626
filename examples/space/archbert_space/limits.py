"""What one user may ask for, and how much of the machine all of them get."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

VARIABLE_PREFIX = "ARCHBERT_SPACE_"


@dataclass(frozen=True)
class Limits:
    """Limits of the demo. Each can be set by an environment variable, such as `ARCHBERT_SPACE_UPLOAD_MIB=50`.

    Attributes:
        upload_mib: size of an uploaded file, in MiB.
        config_characters: length of a pasted config.
        text_characters: length of a statement, question or query.
        nodes: nodes of a network.
        boxes: boxes of a picture.
        seconds: time that reading, drawing or comparing may take, in a child process.
        memory_mib: memory of that child process, in MiB.
        at_once: requests that are worked on at the same time.
        waiting: requests that may wait; others are turned away with a message.
        remembered: networks that are kept after they were read.
    """

    upload_mib: int = 100
    config_characters: int = 200_000
    text_characters: int = 1_000
    nodes: int = 20_000
    boxes: int = 200
    seconds: int = 60
    memory_mib: int = 4_096
    at_once: int = 2
    waiting: int = 60
    remembered: int = 64

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{field.name} is {value!r}; a whole number of at least 1 is allowed.")

    def reached(self, what: str, memory: bool) -> str:
        """What a user is told when reading, drawing or comparing was stopped, for its memory or for its time."""
        limit = f"needed more than {self.memory_mib:,} MiB of memory" if memory else f"took more than {self.seconds} s"
        return f"{what} {limit} and was stopped. Give a smaller network, or use the command line."

    @classmethod
    def from_environment(cls) -> Limits:
        """The limits, with those that environment variables set.

        Raises:
            ValueError: a variable is no whole number of at least 1.
        """
        given = {}
        for field in fields(cls):
            name = f"{VARIABLE_PREFIX}{field.name.upper()}"
            text = os.environ.get(name, "")
            if text:
                if not text.isdecimal():
                    raise ValueError(f"{name} is {text!r}; a whole number of at least 1 is allowed.")
                given[field.name] = int(text)
        return cls(**given)

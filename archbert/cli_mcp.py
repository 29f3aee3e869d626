"""``archbert mcp``: the commands as tools for an assistant, by the Model Context Protocol over standard streams.

* A tool runs a command with ``--json`` and gives its objects; an error comes back as the message of the command.
* Tools read: none writes a file, runs code of a repository or unpickles anything. They run one after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from .cli_output import CommandError, Output
from .cli_sources import add_model_option, add_parser

INSTRUCTIONS = """\
Facts on neural architectures, read without weights. A SOURCE is a model type of transformers (bert), a Hub id
(owner/name), torchvision:NAME, timm:NAME, or a path of a config.json, .onnx, .pt2, .safetensors, .gguf or saved .json
file. Answers say their basis: computed from the graph, predicted by the model, or cannot_tell."""
Objects = list[dict[str, Any]]
SourceText = Annotated[str, "what names a network, such as bert, owner/name, timm:resnet50 or a path"]


def add_commands(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_parser(
        commands, "mcp", "serve the commands as tools for an assistant, over standard input and output",
        """
        archbert mcp

        In the configuration of an assistant: {"mcpServers": {"archbert": {"command": "archbert", "args": ["mcp"]}}}
        """,
    )  # fmt: skip
    add_model_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, output: Output) -> int:
    """Serve until the input ends.

    Raises:
        CommandError: the package `mcp` is missing.
    """
    try:
        import anyio
        from mcp.server.fastmcp import FastMCP
    except ImportError as error:
        raise CommandError(f"archbert mcp needs {error.name}: pip install 'archbert[mcp]'.") from error
    server = FastMCP("archbert", instructions=INSTRUCTIONS, log_level="ERROR")
    limiter = anyio.CapacityLimiter(1)
    for tool in tools(options.model):
        server.add_tool(_in_thread(tool, limiter))
    server.run("stdio")
    return 0


def call(command: str, positional: Sequence[str], **options: Any) -> Objects:
    """The objects that a command prints with ``--json``.

    Args:
        command: name of the command.
        positional: its arguments; none is taken for an option.
        **options: by their names with underscores; None leaves one out, a list repeats it.

    Raises:
        CommandError: the command cannot answer; the message says why.
    """
    from .cli import build_parser, error_message

    arguments = [command, "--json"]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                arguments.append(f"--{name.replace('_', '-')}={one}")
    messages, results = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            parsed = build_parser().parse_args([*arguments, "--", *positional])
        status = parsed.run(parsed, Output(json_lines=True, stream=results, messages=messages))
    except SystemExit as error:
        raise CommandError(messages.getvalue().strip()) from error
    except Exception as error:
        raise CommandError(error_message(error)) from error
    if status == 2:
        raise CommandError(messages.getvalue().strip())
    return [json.loads(line) for line in results.getvalue().splitlines()]


def tools(model: str | None) -> list[Callable[..., Objects]]:
    """The tools, as functions whose docstrings and annotations tell an assistant what they do.

    Args:
        model: the checkpoint; None for those that the commands use by themselves.
    """

    def describe(source: SourceText, image: int | None = None, sequence: int | None = None) -> Objects:
        """What a network is: sentences, layers, shapes, heads, parameters, FLOPs, cache, nearest known networks."""
        return call("describe", [source], image=image, sequence=sequence)

    def ask(source: SourceText, questions: Annotated[list[str], "questions in English"]) -> Objects:
        """Answers questions about a network; each answer has its basis, and the layers that show it."""
        return call("ask", [source, *questions], model=model)

    def verify(source: SourceText, card: Annotated[str, "path of a model card in Markdown"]) -> Objects:
        """Judges the sentences of a model card that speak of the architecture: right, wrong or cannot tell."""
        return call("verify", [source, card])

    def card(source: SourceText) -> Objects:
        """An architecture section for a model card, in Markdown, every fact computed."""
        return call("card", [source])

    def compare(
        a: SourceText, b: SourceText, texts: Annotated[list[str] | None, "statements, judged for both"] = None
    ) -> Objects:
        """How alike two networks are, and which statements hold of either."""
        return call("compare", [a, b], text=texts, model=model)

    def diff(a: SourceText, b: SourceText) -> Objects:
        """What changed from network A to network B."""
        return call("diff", [a, b])

    def search(
        query: Annotated[str, "a text in English, or what names a network"],
        filter: Annotated[str | None, 'facts that have to hold: "parameters<50M and attention_layers>0"'] = None,
        k: int = 10,
    ) -> Objects:
        """Finds known architectures by a text or by a network."""
        return call("search", [query], filter=filter, top_k=k, model=model)

    return [describe, ask, verify, card, compare, diff, search]


def _in_thread(tool: Callable[..., Objects], limiter: Any) -> Callable[..., Any]:
    """The tool as a coroutine, so that the server stays responsive; a limiter of 1 lets one tool run at a time."""
    from anyio import to_thread

    @functools.wraps(tool)
    async def run_tool(**arguments: Any) -> Objects:
        return await to_thread.run_sync(functools.partial(tool, **arguments), limiter=limiter)

    return run_tool

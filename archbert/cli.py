"""The command line: ``archbert COMMAND ...`` or ``python -m archbert COMMAND ...``.

* Exit status 0: answered. 1: a difference or a wrong sentence was found and ``--exit-code`` was given. 2: a source, a
  checkpoint or an argument is not good.
* A command's module is imported when it runs; parsing arguments imports none of the libraries.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Sequence
from importlib import import_module

from .cli_output import CommandError, Output

EXIT_BAD_SOURCE = 2
EXIT_INTERRUPTED = 130
COMMANDS: tuple[str, ...] = (
    "cli_describe", "cli_ask", "cli_diff", "cli_compare", "cli_card", "cli_verify", "cli_index", "cli_mcp",
)  # fmt: skip
"""Modules of commands, in the order of the help."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="archbert",
        description="Reads neural architectures, without their weights: describes, compares, checks and finds them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            SOURCE is a model type of transformers (bert), a Hub id (owner/name), torchvision:NAME, timm:NAME, a
            config.json or its folder, or a .onnx, .pt2, .safetensors, .gguf or saved .json file. Nothing is unpickled,
            and no weights are loaded.

            examples:
              archbert describe bert
              archbert ask llama "How many layers are there?" "Which normalization is used?"
              archbert diff bert roberta
              archbert verify bert README.md
            """),
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        import_module(f".{module}", __package__).add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Args:
        arguments: those of the process by default.
    """
    options = build_parser().parse_args(arguments)
    output = Output(json_lines=options.json)
    with warnings.catch_warnings():
        _be_quiet()
        try:
            return options.run(options, output)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            output.error("interrupted")
            return EXIT_INTERRUPTED
        except Exception as error:
            if options.debug:
                raise
            output.error(error_message(error))
            return EXIT_BAD_SOURCE


def error_message(error: Exception) -> str:
    """What is told of an error instead of its traceback."""
    if isinstance(error, (CommandError, ValueError, OSError)):
        return str(error)
    if type(error).__name__ == "ArchitectureTraceError":
        return str(error)
    if isinstance(error, ImportError):
        return f"{error} (pip install {error.name or 'the package that is named'})"
    return f"{type(error).__name__}: {error} (run it again with --debug for the whole traceback)"


def _be_quiet() -> None:
    """Only what the commands say is shown."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    for name in ("transformers", "huggingface_hub", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers = sys.modules.get("transformers")
    if transformers is not None:
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

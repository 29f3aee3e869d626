"""Makes the folder that is published as the loading script of `datasets` 3: one flat set of files.

    python -m dataset_scripts.autonet.script_autonet --out DIR

`datasets` 3 copies the modules that a script imports from its own folder and nothing else. So the modules of
`processing_archbert` and `dataset_scripts.release` that the generator needs are laid beside the script, imports of
those packages become relative, and the script names each of them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

FOLDER = Path(__file__).parent
PROCESSING = FOLDER.parents[1] / "processing_archbert"
RELEASE = FOLDER.parent / "release"
SCRIPT = "autonet.py"
_MARK = "# `datasets` 3 copies only"
_PROCESSING_IMPORT = re.compile(r"^from processing_archbert\.(\w+) import", re.MULTILINE)
_RELEASE_IMPORT = re.compile(r"^from dataset_scripts\.release\.(\w+) import", re.MULTILINE)
_SIBLING_IMPORT = re.compile(r"^from \.(?: import )?(\w+)", re.MULTILINE)


def write_script(output_dir: str | Path) -> list[str]:
    """Write the loading script with everything that it needs.

    Returns:
        The names of the files.

    Raises:
        FileNotFoundError: the package `processing_archbert` does not lie beside `dataset_scripts`.
    """
    output = Path(output_dir)
    output.mkdir(parents=True, exist_ok=True)
    own = _files(FOLDER, {"autonet"})
    release = _files(RELEASE, {name for text in own.values() for name in _RELEASE_IMPORT.findall(text)})
    processing = _files(PROCESSING, {name for text in own.values() for name in _PROCESSING_IMPORT.findall(text)})
    texts = {name: _RELEASE_IMPORT.sub(r"from .\1 import", text) for name, text in own.items()}
    texts = {name: _PROCESSING_IMPORT.sub(r"from .\1 import", text) for name, text in texts.items()}
    modules = [Path(name).stem for name in (*processing, *release)]
    named = "".join(f"from .{module} import __doc__ as _{module}\n" for module in modules)
    texts[SCRIPT] = texts[SCRIPT].replace(_MARK, f"{named}{_MARK}", 1)
    texts |= processing | release
    for name, text in sorted(texts.items()):
        (output / name).write_text(text, encoding="utf-8")
    (output / "README.md").write_bytes((FOLDER / "README.md").read_bytes())
    return [*sorted(texts), "README.md"]


def _files(folder: Path, modules: set[str]) -> dict[str, str]:
    """Modules of a folder and all that they import from it, as file name -> text."""
    texts: dict[str, str] = {}
    waiting = sorted(modules)
    while waiting:
        name = f"{waiting.pop()}.py"
        if name not in texts:
            texts[name] = (folder / name).read_text(encoding="utf-8")
            waiting += _SIBLING_IMPORT.findall(texts[name])
    return dict(sorted(texts.items()))


def main() -> None:
    """Command line of `write_script`."""
    parser = argparse.ArgumentParser(description="Write the loading script of AutoNet with all files that it needs.")
    parser.add_argument("--out", required=True, help="folder to write to")
    write_script(parser.parse_args().out)


if __name__ == "__main__":
    main()

"""Makes the folder that is published as the loading script of `datasets` 3: the script, and its card.

python -m dataset_scripts.tvhf.script_tvhf --out DIR
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

SCRIPT = Path(__file__).with_name("tvhf.py")
CARD = """---
pretty_name: TVHF
license: apache-2.0
---
# TVHF, the loading script

For `datasets` 3, by `load_dataset("archbert/tvhf", CONFIG, revision="script", trust_remote_code=True)`. It reads the
files of the branch `main`, where the card is.
"""


def write_script(output_dir: str | Path) -> list[str]:
    """Write the loading script and a card that says where the data are.

    Returns:
        The names of the files.
    """
    output = Path(output_dir)
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SCRIPT, output / SCRIPT.name)
    (output / "README.md").write_text(CARD, encoding="utf-8")
    return [SCRIPT.name, "README.md"]


def main() -> None:
    """Command line of `write_script`."""
    parser = argparse.ArgumentParser(description="Write the loading script of TVHF.")
    parser.add_argument("--out", required=True, help="folder to write to")
    write_script(parser.parse_args().out)


if __name__ == "__main__":
    main()

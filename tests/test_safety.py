"""What could run code that nobody asked for: calls that are forbidden everywhere, and what an import does."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("processing_archbert", "modeling_archbert", "archbert", "dataset_scripts", "metrics", "examples")
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}


def sources() -> list[Path]:
    return sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What in a module could run code out of data, as `line: what`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        yield from (f"{node.lineno}: import {name}" for name in names if name.split(".")[0] in UNSAFE_MODULES)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in UNSAFE_CALLS:
            yield f"{node.lineno}: {called}"
        if called in ("torch.load", "load_state_dict_from_url") and keywords.get("weights_only") != "True":
            yield f"{node.lineno}: {called} without weights_only=True"
        if keywords.get("shell", "False") != "False":
            yield f"{node.lineno}: {called} with a shell"
        if keywords.get("allow_pickle", "False") != "False":
            yield f"{node.lineno}: {called} with allow_pickle"


@pytest.mark.parametrize(
    "program",
    [
        "import pickle", "from pickle import loads", "eval(x)", "yaml.load(f)", "torch.load(p)",
        "np.load(p, allow_pickle=True)", "torch.load(p, weights_only=False)", "subprocess.run(c, shell=True)",
        "os.system(c)",
    ],
)  # fmt: skip
def test_the_search_finds_what_is_unsafe(program: str) -> None:
    assert list(unsafe(ast.parse(program)))


def test_nothing_runs_code_out_of_data() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{where}"
        for path in sources()
        for where in unsafe(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(sources()) > 150
    assert not found


_IMPORTS = """
import json, sys
sys.dont_write_bytecode = True
import torch, torch_geometric.nn, transformers.pipelines, transformers.modeling_utils, transformers.processing_utils
import transformers.generation, transformers.models.bert.modeling_bert, transformers.models.auto.modeling_auto
import networkx, numpy, safetensors.torch, tokenizers
seen = []
def hook(event, arguments):
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.fork", "socket.connect", "socket.getaddrinfo"):
        seen.append([event, str(arguments)[:200]])
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append([event, str(arguments)[:200]])
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink"):
        seen.append([event, str(arguments)[:200]])
sys.addaudithook(hook)
import importlib
from pathlib import Path
names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
print(json.dumps(seen))
"""


def test_an_import_writes_nothing_starts_nothing_and_calls_nobody() -> None:
    names = [
        f"{package}.{path.stem}"
        for package in ("processing_archbert", "modeling_archbert")
        for path in sorted((ROOT / package).glob("*_archbert.py"))
    ]
    assert len(names) > 60
    command = [sys.executable, "-c", _IMPORTS, *names, "archbert", "archbert.cli"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == []

"""Indexes: from models of a local Hub, interrupted and gone on with, by several processes; large ones; defaults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_hub import LocalHub, _Handler
from tiny_checkpoint import tiny_release
from transformers import BertConfig, LlamaConfig

import archbert.hub_configs as hub_configs
import benchmarks.search as search_benchmark
from archbert import cli_sources
from archbert.cli import main
from archbert.cli_output import CommandError, Output
from archbert.cli_sources import Loaded
from archbert.embedding import Embedder
from archbert.hub_configs import fetch_configs, parse_query
from archbert.index import EXACT_ROWS, NUMBERS, TEXTS, ArchitectureIndex, Entry, table_of
from archbert.index_building import KeptGraphs
from processing_archbert.sources_archbert import load_architecture

REPOSITORY = Path(__file__).parents[1]
SPACE = REPOSITORY / "examples" / "space"
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 300}


def bert(layers: int) -> BertConfig:
    return BertConfig(**SMALL, num_hidden_layers=layers)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    tiny_release(path)
    return path / "tiny"


@pytest.fixture(scope="module")
def index(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of two networks."""
    path = tmp_path_factory.mktemp("index")
    graphs = [(name, load_architecture(config)) for name, config in (("one", bert(1)), ("two", bert(2)))]
    built = ArchitectureIndex.build([Entry(name, graph, name) for name, graph in graphs], Embedder(str(checkpoint)))
    built.save(path)
    return path


class _FailingHandler(_Handler):
    """Breaks down at the third configuration until a file is there."""

    recovered = Path()

    def _answer(self) -> None:
        asked = sum(request.endswith("config.json") for request in self.server.requests)
        if "resolve" in self.path and asked >= 4 and not self.recovered.exists():
            self.server.requests.append("broken")
            self._error("", "out of order", status=503)
        else:
            super()._answer()


class FailingHub(LocalHub):
    handler = _FailingHandler


BUILDS = """
import sys
from pathlib import Path
import archbert.hub_configs as hub_configs
from archbert.cli import main
hub_configs.RETRY_SECONDS = (0.0,)
folder, checkpoint, recovered = sys.argv[1:]
common = ["index", "build", "--hub", "sort=downloads limit=9", "--rate", "1000", "--model", checkpoint, "--json"]
assert main([*common, "-o", folder + "/stopped"]) == 2
Path(recovered).touch()
assert main([*common[:3], "limit=3", *common[4:], "-o", folder + "/stopped"]) == 2
for name in ("stopped", "whole"):
    assert main([*common, "-o", f"{folder}/{name}"]) == 0
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_models_of_the_hub_are_listed_fetched_skipped_and_gone_on_with(checkpoint: Path, tmp_path: Path) -> None:
    """Only `config.json` is asked for; a Hub that breaks down costs nothing; the same bytes as without it."""
    repositories: dict[str, Path] = {}
    for name, config in (("org/one", bert(1)), ("org/two", bert(2)), ("org/again", bert(1))):
        repositories[name] = tmp_path / name
        config.save_pretrained(repositories[name])
        (repositories[name] / "model.safetensors").write_bytes(b"weights")
    for name, text in (
        ("org/no-config", None),
        ("org/no-json", "{"),
        ("org/own-code", '{"model_type": "unheard-of"}'),
    ):
        repositories[name] = tmp_path / name
        repositories[name].mkdir()
        (repositories[name] / "README.md").write_text("# model", encoding="utf-8")
        if text is not None:
            (repositories[name] / "config.json").write_text(text, encoding="utf-8")
    LlamaConfig(**SMALL, num_hidden_layers=1).save_pretrained(tmp_path / "org/last")
    repositories["org/last"] = tmp_path / "org/last"
    _FailingHandler.recovered = tmp_path / "recovered"
    with FailingHub(repositories) as hub:
        done = subprocess.run(
            [sys.executable, "-c", BUILDS, str(tmp_path), str(checkpoint), str(tmp_path / "recovered")],
            env=hub.environment(tmp_path / "home", PYTHONPATH=str(REPOSITORY)), cwd=tmp_path,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        asked = hub.requests
    assert done.returncode == 0, done.stderr[-3000:]
    assert "run the same command again" in done.stderr and "another query" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any("weights" in request or "safetensors" in request for request in asked)
    assert asked.count("GET /api/models") == 8  # four pages, once for each of the two folders
    fetched = [request for request in asked if request.startswith("GET") and request.endswith("config.json")]
    assert len(fetched) == len(set(fetched)) == 6
    stopped, whole = contents(tmp_path / "stopped"), contents(tmp_path / "whole")
    assert stopped == whole and set(whole) == {"index.json", "architectures.parquet", "skipped.jsonl"}
    reasons = {one["source"]: one["reason"] for one in map(json.loads, whole["skipped.jsonl"].splitlines())}
    assert set(reasons) == {"org/no-config", "org/no-json", "org/own-code"}
    assert "no config.json" in reasons["org/no-config"] and "unheard-of" in reasons["org/own-code"]
    names = ArchitectureIndex.load(tmp_path / "whole").table.select(["name", "aliases"]).to_pylist()
    assert names == [{"name": "org/one", "aliases": ["org/again"]}, {"name": "org/two", "aliases": []},
                     {"name": "org/last", "aliases": []}]  # fmt: skip


def test_queries_are_read_and_refused() -> None:
    assert parse_query("sort=likes limit=5 filter=a filter=b task=fill-mask") == {
        "sort": "likes", "limit": 5, "filter": ["a", "b"], "pipeline_tag": "fill-mask"}  # fmt: skip
    for query, said in (("downloads", "sort=..."), ("sort=size", "trending_score"), ("limit=0", "100,000")):
        with pytest.raises(CommandError, match=said):
            parse_query(query)


def test_the_rate_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a clock that only waiting moves: each configuration starts no earlier than the rate allows."""
    clock, starts = [100.0], []
    monkeypatch.setattr(hub_configs.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(hub_configs.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(hub_configs, "_fetch", lambda repository, path: starts.append(clock[0]))
    (tmp_path / "configs/here").mkdir(parents=True)
    (tmp_path / "configs/here/config.json").write_text("{}", encoding="utf-8")
    repositories = [hub_configs.Repository(name, None) for name in ("a", "here", "b", "c")]
    assert len(list(fetch_configs(repositories, tmp_path, rate=4.0))) == 4
    assert starts == [100.0, 100.25, 100.5]
    with pytest.raises(CommandError, match="--rate is 0"):
        list(fetch_configs(repositories, tmp_path, rate=0))


def test_several_processes_make_the_same_index(checkpoint: Path, tmp_path: Path) -> None:
    for layers in (3, 1, 2):
        bert(layers).save_pretrained(tmp_path / f"bert{layers}")
    sources = [str(tmp_path / f"bert{layers}") for layers in (3, 1, 2)]
    for jobs in ("1", "2"):
        arguments = ["index", "build", *sources, "no-such-type", "-o", str(tmp_path / jobs), "--jobs", jobs]
        assert main([*arguments, "--model", str(checkpoint)]) == 2
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    (reason,) = map(json.loads, (tmp_path / "1" / "skipped.jsonl").read_text(encoding="utf-8").splitlines())
    assert reason["source"] == "no-such-type"
    assert ArchitectureIndex.load(tmp_path / "1").table.column("source").to_pylist() == sources


@pytest.mark.skipif(os.name != "posix", reason="sends the interrupt of a terminal")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_leaves_one_line_and_no_processes(checkpoint: Path, tmp_path: Path, jobs: str) -> None:
    """Ctrl-C reaches every process of the terminal; the command ends with 130, and the same command goes on."""
    sources = []
    for layers in range(1, 61):
        BertConfig(**SMALL, num_hidden_layers=layers).save_pretrained(tmp_path / f"bert{layers}")
        sources.append(str(tmp_path / f"bert{layers}"))
    known = tmp_path / "known"
    command = [sys.executable, "-m", "archbert", "index", "build", *sources, "-o", str(known), "--jobs", jobs,
               "--model", str(checkpoint)]  # fmt: skip
    running = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    kept = known / ".unfinished" / "graphs.jsonl"
    while running.poll() is None and not (kept.is_file() and kept.stat().st_size):
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=300)
    assert (running.returncode, out, err) == (130, "", "error: interrupted\n")
    assert not (known / "index.json").exists()
    read = kept.read_text(encoding="utf-8").count("\n")
    assert 1 <= read < 60
    with pytest.raises(ProcessLookupError):  # nobody of its group is left
        for _ in range(600):
            os.killpg(running.pid, 0)
            time.sleep(0.1)
    with KeptGraphs(kept) as graphs:
        assert sources[0] in graphs and sources[-1] not in graphs


def test_a_line_that_was_cut_off_is_read_again(tmp_path: Path) -> None:
    graph = load_architecture(bert(1))
    path = tmp_path / "graphs.jsonl"
    with KeptGraphs(path) as kept:
        kept.add(Loaded("one", graph, "", []))
        kept.add(Loaded("none", None, "why", []))
        kept.add(Loaded("two", graph, "", []))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with KeptGraphs(path) as kept:
        assert "one" in kept and "none" in kept and "two" not in kept
        assert kept.get("one").graph.graph_hash == graph.graph_hash and kept.get("none").error == "why"
        kept.add(Loaded("two", graph, "", []))
    assert path.read_bytes() == whole


def synthetic(rows: int, width: int = 16) -> ArchitectureIndex:
    """An index of random vectors in clusters."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(200, width))[random.integers(0, 200, rows)] + 0.3 * random.normal(size=(rows, width))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    base: dict[str, Any] = dict.fromkeys(TEXTS, "") | dict.fromkeys(NUMBERS, 0) | {"aliases": []}
    table = table_of([base | {"name": str(i), "parameters": i, "graph_hash": str(i)} for i in range(rows)])
    return ArchitectureIndex(table, vectors, "model")


def test_a_large_index_finds_what_comparing_all_finds(tmp_path: Path) -> None:
    index = synthetic(EXACT_ROWS + 1000)
    index.save(tmp_path)
    loaded = ArchitectureIndex.load(tmp_path, "model")
    assert (tmp_path / "embedding.faiss").is_file() and len(loaded) == EXACT_ROWS + 1000
    shares = []
    for row in (0, 17, 4000, 50_999):
        exact = set(np.argsort(-(index.embeddings @ index.embeddings[row]))[:10].tolist())
        for searched in (index, loaded):
            found = searched.search(index.embeddings[row], k=10)
            assert found[0].score >= found[-1].score
            shares.append(len(exact & {int(hit.name) for hit in found}) / 10)
    assert np.mean(shares) > 0.8
    few = loaded.search(index.embeddings[3], k=3, where="parameters<100")
    assert few[0].name == "3" and all(int(hit.name) < 100 for hit in few)


def test_an_index_is_found_by_option_then_variable_then_clone(
    index: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(checkpoint)]
    monkeypatch.setenv("ARCHBERT_INDEX", str(tmp_path / "nowhere"))
    assert main(["search", "a network", "--index", str(index), *model]) == 0
    capsys.readouterr()
    assert main(["search", "two", "--index", str(index), "--json", *model]) == 0  # a name that only the index knows
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["two", "one"]
    assert main(["search", "a network", *model]) == 2
    assert "nowhere" in capsys.readouterr().err
    monkeypatch.setenv("ARCHBERT_INDEX", str(index))
    assert main(["search", "a network", *model]) == 0
    monkeypatch.delenv("ARCHBERT_INDEX")
    monkeypatch.setattr(cli_sources, "_CLONED_INDEX", index)
    assert main(["search", "a network", *model]) == 0
    monkeypatch.setattr(cli_sources, "_CLONED_INDEX", tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    capsys.readouterr()
    assert main(["search", "a network", *model]) == 2
    told = capsys.readouterr().err
    assert "--index" in told and "archbert/index" in told and "Traceback" not in told


SEARCHES = """
import sys
from pathlib import Path
from archbert import cli_sources
from archbert.cli import main
cli_sources._CLONED_INDEX = Path("none")
checkpoint, network, space = sys.argv[1:]
assert main(["describe", network, "--json", "--no-costs"]) == 0
assert main(["search", "a network", "--model", checkpoint, "--json"]) == 0
assert main(["describe", network, "--json", "--no-costs"]) == 0
from archbert.index import ArchitectureIndex
assert len(ArchitectureIndex.load("archbert/index")) == 2
sys.path.insert(0, space)
from archbert_space.checkpoint import Checkpoint
from archbert_space.limits import Limits
from archbert_space.networks import Networks
found = Checkpoint(Networks(Limits()), checkpoint).index
assert sorted(found.table.column("name").to_pylist()) == ["one", "two"]
"""


def test_the_index_of_the_hub_is_fetched_once_by_search(index: Path, checkpoint: Path, tmp_path: Path) -> None:
    """`describe` fetches nothing, and uses what `search` has fetched, as do the library and the demo page."""
    bert(2).save_pretrained(tmp_path / "bert2")
    with LocalHub({"datasets/archbert/index": index}) as hub:
        done = subprocess.run(
            [sys.executable, "-c", SEARCHES, str(checkpoint), str(tmp_path / "bert2"), str(SPACE)],
            env=hub.environment(tmp_path / "home", PYTHONPATH=str(REPOSITORY)), cwd=tmp_path,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        asked = hub.requests
    assert done.returncode == 0, done.stderr[-3000:]
    before, *hits, after = map(json.loads, done.stdout.splitlines())
    assert "nearest" not in before and [hit["name"] for hit in after["nearest"]] == ["two", "one"]
    assert {hit["name"] for hit in hits} == {"one", "two"}
    assert sum(request.startswith("GET") and request.endswith(".parquet") for request in asked) == 1


def test_describe_names_the_nearest_and_checks_that_the_index_fits(
    index: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network of the index needs no checkpoint; another one needs the checkpoint of the index."""
    for layers in (2, 3):
        bert(layers).save_pretrained(tmp_path / f"bert{layers}")
    known, other = (["describe", str(tmp_path / name), "--json", "--no-costs"] for name in ("bert2", "bert3"))
    named = ["--index", str(index)]
    monkeypatch.setenv("ARCHBERT_MODEL", str(tmp_path / "no-checkpoint"))
    assert main([*known, *named]) == 0
    found = json.loads(capsys.readouterr().out)["nearest"]
    assert [hit["name"] for hit in found] == ["two", "one"] and found[0]["score"] == pytest.approx(1, abs=1e-4)
    assert main([*other, *named]) == 2
    assert "no-checkpoint" in capsys.readouterr().err
    assert main([*other, *named, "--model", str(checkpoint), "--nearest", "1"]) == 0
    assert len(json.loads(capsys.readouterr().out)["nearest"]) == 1
    monkeypatch.setenv("ARCHBERT_MODEL", str(checkpoint))
    about = json.loads((index / "index.json").read_text(encoding="utf-8"))
    ill = tmp_path / "ill"
    ill.mkdir()
    (ill / "architectures.parquet").write_bytes((index / "architectures.parquet").read_bytes())
    for changed, said in (
        ({"model": "0123"}, "another checkpoint"),
        ({"extraction_version": 1}, "extraction version"),
    ):
        (ill / "index.json").write_text(json.dumps(about | changed), encoding="utf-8")
        assert main([*other, "--index", str(ill)]) == 2
        assert said in capsys.readouterr().err
        monkeypatch.setattr(
            cli_sources, "_CLONED_INDEX", ill
        )  # nobody named it: the description is given all the same
        assert main(other) == 0
        captured = capsys.readouterr()
        assert "nearest" not in json.loads(captured.out) and said in captured.err and "warning" in captured.err


def test_the_benchmark_counts_what_an_exact_search_finds() -> None:
    """On an exact index every search finds the ten best; interpolations have length 1 and follow the networks."""
    networks = synthetic(300).embeddings
    vectors = search_benchmark.interpolated(networks, 500)
    assert np.array_equal(vectors[:300], networks) and vectors.shape == (500, 16) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors[300:] @ networks.T).max(axis=1).min() > 0.5
    figures = search_benchmark.measure(vectors, {"networks in the index": networks[:20]}, 300, networks[20:30])
    assert figures["exact"] and figures["searches"]["networks in the index"]["recall@10"] == 1
    assert (figures["vectors"], figures["networks"], figures["width"]) == (500, 300, 16)


def test_less_than_one_process_is_refused() -> None:
    with pytest.raises(CommandError, match="--jobs is 0"):
        list(cli_sources.load_all(["bert"], {}, Output(), 0))

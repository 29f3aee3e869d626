"""Sentences that people wrote, stored as pointers: reading them, their labels, and what is refused."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_scripts.tvhf import human_docstrings_tvhf, human_rows_tvhf
from dataset_scripts.tvhf.human_docstrings_tvhf import (
    DocstringError,
    Pointer,
    docstring,
    plain_text,
    read_sentence,
    read_sentences,
)
from dataset_scripts.tvhf.human_rows_tvhf import SCHEMA, check_rows, human_rows, write_rows
from dataset_scripts.tvhf.human_sentences_tvhf import (
    FOLDER,
    HumanSentence,
    HumanSentenceError,
    load_human_sentences,
)
from dataset_scripts.tvhf.names_tvhf import NameFinder
from dataset_scripts.tvhf.registry_tvhf import load_registry
from dataset_scripts.tvhf.truth_tvhf import Architecture, load_architectures

ARCHITECTURES = Path(__file__).parents[1] / "hub" / "datasets" / "tvhf" / "architectures"
NAMES = (
    "alexnet", "bert", "bit", "convbert", "cvt", "densenet121", "levit", "maxvit_t", "mobilenet_v2", "pythia-160m",
    "r3d_18", "resnet", "resnet-18", "resnet-34", "roformer", "s3d", "squeezenet1_0", "squeezenet1_1", "swiftformer",
    "swinv2", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vit", "vit-base-patch32-384", "wide_resnet50_2",
)  # fmt: skip
SOURCE = '''"""A package.

Its networks have `twelve layers <https://example.org>`__ and 3x3 convolutions.
"""

class Block:
    """A residual block.

        Pre-norm attention.
    """

    def forward(self):
        """Runs."""
'''


@pytest.fixture(scope="module")
def sentences() -> list[HumanSentence]:
    return load_human_sentences()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file with the architectures of `NAMES`."""
    tables = [pq.read_table(file, filters=[("name", "in", NAMES)]) for file in sorted(ARCHITECTURES.glob("*.parquet"))]
    path = tmp_path_factory.mktemp("architectures") / "few.parquet"
    pq.write_table(pa.concat_tables(tables), path)
    return path


@pytest.fixture(scope="module")
def architectures(few: Path) -> list[Architecture]:
    return load_architectures(few, few.parent)


@pytest.fixture(scope="module")
def rows(sentences: list[HumanSentence], architectures: list[Architecture]) -> list[dict]:
    """Rows of the sentences that describe only architectures of `NAMES`."""
    described = [s for s in sentences if s.of and set(s.of) <= set(NAMES)]
    made, problems = human_rows(described, architectures)
    assert problems == [] and len(described) > 30
    return made


@pytest.fixture(scope="module")
def published() -> list[dict]:
    return pq.read_table(ARCHITECTURES.parent / "test_human").to_pylist()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Site-packages with a package `humanwords` of version 1.2.0 and a module `nets`."""
    (tmp_path / "humanwords").mkdir()
    (tmp_path / "humanwords" / "__init__.py").write_text("raise RuntimeError('must not be imported')\n")
    (tmp_path / "humanwords" / "nets.py").write_text(SOURCE)
    info = tmp_path / "humanwords-1.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: humanwords\nVersion: 1.2.0+cpu\n")
    human_docstrings_tvhf._package.cache_clear()
    return tmp_path


def _pointer(text: str, name: str = "humanwords.nets:", version: str = "1.2.0", start: int = 12) -> Pointer:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Pointer("humanwords", version, name, start, start + len(text), digest)


def test_sentence_is_read_without_importing_the_package(package: Path) -> None:
    span = "Its networks have `twelve layers <https://example.org>`__ and 3x3 convolutions."
    assert read_sentence(_pointer(span), [package]) == "Its networks have twelve layers and 3x3 convolutions."
    assert "humanwords" not in sys.modules


def test_docstrings_of_classes_and_methods_are_cleaned(package: Path) -> None:
    assert docstring("humanwords", "humanwords.nets:Block", [package]) == (
        "A residual block.\n\nPre-norm attention.", "1.2.0"
    )  # fmt: skip
    assert docstring("humanwords", "humanwords.nets:Block.forward", [package])[0] == "Runs."
    with pytest.raises(DocstringError, match=r"no docstring at humanwords\.nets:Missing"):
        docstring("humanwords", "humanwords.nets:Missing", [package])


def test_missing_package_names_what_to_install() -> None:
    pointer = Pointer("no_such_package_of_networks", "0.28.0", "no_such_package_of_networks.a:b", 0, 3, "0" * 64)
    with pytest.raises(DocstringError, match=r"pip install no_such_package_of_networks==0\.28\.0"):
        read_sentence(pointer)


def test_other_version_is_read_where_the_digest_proves_it(package: Path) -> None:
    good = _pointer("A residual block.", "humanwords.nets:Block", "9.9.9", start=0)
    assert read_sentence(good, [package]) == "A residual block."
    with pytest.raises(DocstringError, match=r"humanwords 1.2.0 says something else.*humanwords==9.9.9"):
        read_sentence(good._replace(start=1), [package])


def test_digest_that_does_not_match_is_never_guessed(package: Path) -> None:
    wrong = _pointer("A residual block!", "humanwords.nets:Block", start=0)
    right = _pointer("A residual block.", "humanwords.nets:Block", start=0)
    gone = right._replace(object="humanwords.other:Block")
    reading = read_sentences([p._asdict() for p in (wrong, right, gone)], [package])
    assert reading.texts == [None, "A residual block.", None]
    assert "1 of 3 sentences could be read" in reading.report()
    assert all("although the version is right" in problem for problem in reading.problems)
    with pytest.raises(DocstringError, match="1 of 3"):
        reading.all_texts()


@pytest.mark.parametrize(
    ("span", "text"),
    [
        ("SqueezeNet: <0.5MB size, `paper <https://arxiv.org/abs/1602.07360>`_", "SqueezeNet: <0.5MB size, paper"),
        ('from `"Dense nets" <https://arxiv.org/pdf/1.pdf>`', "from Dense nets"),
        ("a stack of [`BartEncoderLayer`]\n    layers", "a stack of BartEncoderLayer layers"),
        ("see [Attention](https://a.b/c) and ``x * 2``", "see Attention and x * 2"),
        ("See :class:`~torch.nn.Linear`; replaces `<sound>`", "See torch.nn.Linear; replaces <sound>"),
        ("has **no vision tower**", "has no vision tower"),
    ],
)
def test_plain_text(span: str, text: str) -> None:
    assert plain_text(span) == text


def test_sentences_of_transformers_are_read_from_the_installed_package(sentences: list[HumanSentence]) -> None:
    import transformers

    of_library = [s for s in sentences if s.pointer.package == "transformers"]
    assert len(of_library) > 200
    if transformers.__version__ != of_library[0].pointer.version:
        pytest.skip("the pointers are of another version of transformers")
    texts = read_sentences([s.pointer._asdict() for s in of_library]).all_texts()
    by_object = {s.pointer.object: text for s, text in zip(of_library, texts, strict=True)}
    block = by_object["transformers.models.lfm3_vl.modeling_lfm3_vl:Lfm3VlVisionShortConv"]
    assert "depthwise" in block and "convolution" in block
    registry = load_registry()
    finder = NameFinder({*registry.families, *registry.members})
    unmarked = [
        (s.place, name)
        for s, text in zip(of_library, texts, strict=True)
        if (name := finder.find(text)) and not s.mentions_name
    ]
    assert unmarked == []


def test_three_hundred_sentences_are_stored_without_their_words(sentences: list[HumanSentence]) -> None:
    packages = Counter(s.pointer.package for s in sentences)
    assert sum(packages.values()) >= 300
    assert set(packages) == {"torchvision", "timm", "transformers"} and min(packages.values()) >= 50
    allowed = {"package", "version", "licence", "sentences", "object", "span", "sha256", "kind", "predicate", "of",
               "mentions_name"}  # fmt: skip
    for file in FOLDER.glob("*.yaml"):
        keys = {line.lstrip("- ").partition(":")[0] for line in file.read_text(encoding="utf-8").splitlines()}
        assert keys <= allowed
    assert "text" not in SCHEMA.names


def test_labels_agree_with_the_matrix(rows: list[dict], architectures: list[Architecture]) -> None:
    assert check_rows(rows, architectures) == []
    labels = Counter(row["label"] for row in rows)
    assert labels[1] == labels[0] >= 20 and labels[None] > 0


def test_published_labels_agree_with_the_matrix(published: list[dict], architectures: list[Architecture]) -> None:
    known = {a.arch_id for a in architectures}
    found = [row for row in published if row["arch_id"] in known]
    assert len(found) > 30
    assert [problem for problem in check_rows(found, architectures) if "a group has" not in problem] == []


def test_published_rows_are_pairs_of_the_pointers(published: list[dict], sentences: list[HumanSentence]) -> None:
    by_id = {s.sentence_id: s for s in sentences}
    assert {row["sentence_id"] for row in published} == set(by_id)
    groups: dict[str, list[dict]] = defaultdict(list)
    for row in published:
        sentence = by_id[row["sentence_id"]]
        assert (row["object"], row["sha256"], row["predicate"]) == (*sentence.pointer[2:6:3], sentence.predicate)
        assert (row["label"] is None) == (not row["predicate"])
        if row["label"] is not None:
            groups[row["group"]].append(row)
    for first, second in groups.values():
        assert {first["label"], second["label"]} == {0, 1} and first["sentence_id"] == second["sentence_id"]
        assert first["arch_id"] != second["arch_id"]
    assert len(groups) >= 200
    assert {row["negative_kind"] for row in published if row["label"] == 0} == {"matched", "other_modality"}
    assert sum(row["split_of_architecture"] in ("test", "test_new") for row in published) > len(published) / 3


def test_wrong_label_and_wrong_split_are_found(rows: list[dict], architectures: list[Architecture]) -> None:
    labelled = next(row for row in rows if row["label"] == 1)
    free = next(row for row in rows if row["label"] is None)
    broken = [
        labelled | {"label": 0},
        labelled | {"arch_id": "hf-nothing"},
        labelled | {"split_of_architecture": "elsewhere"},
        free | {"label": 1},
    ]
    for row in broken:
        assert check_rows([row], architectures), row
    assert any("one true and one false" in problem for problem in check_rows([labelled], architectures))


def test_parquet_has_nullable_labels(tmp_path: Path, rows: list[dict]) -> None:
    table = pq.read_table(write_rows(rows, tmp_path))
    assert table.schema.equals(SCHEMA) and table.num_rows == len(rows)
    assert table.column("label").null_count == sum(row["label"] is None for row in rows)


ENTRY = """package: humanwords
version: 1.2.0
licence: MIT
sentences:
- object: humanwords.nets:Block
  span: [0, 17]
  sha256: "{digest}"
  kind: structure
  predicate: kind == convolutional
  of: [resnet]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: structure", "kind: origin", r":8: 'origin' is no kind"),
        ("[0, 17]", "[17, 0]", r":6: `span` is the first character"),
        ("nets:Block", "nets.Block", r":5: `object` is module:qualname"),
        ("  predicate: kind == convolutional\n  of: [resnet]\n", "", r":5: without a predicate `of`"),
        ("convolutional", "round", r":9: the predicate cannot be read"),
        ("kind == convolutional", "year == 2015", r":9: facts of the table"),
        ("  of: [resnet]", "  text: words", r":5: an entry has the keys"),
        ("licence: MIT\n", "", r":1: a file has the keys"),
    ],
)
def test_wrong_entries_are_named_with_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = ENTRY.format(digest="a" * 64)
    assert old in text
    (tmp_path / "humanwords.yaml").write_text(text.replace(old, new))
    with pytest.raises(HumanSentenceError, match=message):
        load_human_sentences(tmp_path)


def test_sentence_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    entry = ENTRY.format(digest="b" * 64)
    (tmp_path / "a.yaml").write_text(entry)
    (tmp_path / "b.yaml").write_text(entry)
    with pytest.raises(HumanSentenceError, match=r"b.yaml:5: the same text is at .*a.yaml:5"):
        load_human_sentences(tmp_path)
    with pytest.raises(HumanSentenceError, match="there are no files"):
        load_human_sentences(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("predicate", "of", "message"),
    [
        ("kind == convolutional", ("bert",), "the predicate is false of 'bert'"),
        ("kind == convolutional", ("no-such-net",), "there is no architecture 'no-such-net'"),
        ("parameters > 0", (), "false of no comparable architecture"),
    ],
)
def test_build_refuses_sentences_that_do_not_hold(
    architectures: list[Architecture], predicate: str, of: tuple[str, ...], message: str
) -> None:
    sentence = HumanSentence(Pointer("p", "1", "p:q", 0, 1, "c" * 64), "structure", predicate, of, False, "p.yaml:5")
    made, problems = human_rows([sentence], architectures)
    assert made == [] and len(problems) == 1
    assert problems[0].startswith("p.yaml:5: ") and message in problems[0]


def test_commands(tmp_path: Path, few: Path, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, entry in (("timm", ENTRY), ("transformers", ENTRY)):
        text = entry.format(digest=hashlib.sha256(name.encode()).hexdigest())
        (tmp_path / f"{name}.yaml").write_text(text.replace("package: humanwords", f"package: {name}"))
    options = ["--architectures", str(few), "--sentences", str(tmp_path), "--out", str(tmp_path)]
    assert human_rows_tvhf.main(options) == 0
    assert "2 sentences (timm 1, transformers 1)" in capsys.readouterr().out
    status = human_docstrings_tvhf.main(["--data", str(tmp_path), "--folder", str(package)])
    report = capsys.readouterr().out
    assert status == 1 and "0 of 4 sentences could be read." in report and "not: " in report
    assert human_docstrings_tvhf.main(["--data", str(package / "humanwords")]) == 1
    assert "has no config test_human" in capsys.readouterr().err

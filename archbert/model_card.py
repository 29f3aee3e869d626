"""Model cards, and the tables of docs/results.md, written from the JSON that the measuring scripts left.

A results file is a JSON object, or a list of them, each one a table with its provenance::

    {"title": "AQA on unseen AutoNet architectures",
     "rows": [{"method": "cross-attention", "exact match": 97.9, "samples-F1": 99.2}, ...],
     "data": "...", "training_data": "...", "trained_on": {"TVHF": "train; manifest.json ..."}, "base_model": "...",
     "notes": "...", "command": "...", "seed": 0, "commit": "...", "hardware": "...", "versions": {...}, "date": "..."}

Every row has the same first key, and a missing value is shown as a dash; further keys are kept, but not shown. An
object without ``rows`` is shown as a table of its numbers, nested names joined with dots. No number is typed by hand:
``python -m archbert.model_card --readme docs/results.md --results FILE...`` rewrites what stands between the markers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from .model_index import evaluation_results
from .names import NAMESPACE, TAG

RESULTS_BEGIN, RESULTS_END = "<!-- results:begin -->", "<!-- results:end -->"
PROVENANCE = ("command", "data", "seed", "seeds", "commit", "hardware", "versions", "date")
NO_RESULTS = "No results have been recorded yet."
CITATION = """```bibtex
@inproceedings{akbari2023archbert,
  title     = {{ArchBERT}: Bi-Modal Understanding of Neural Architectures and Natural Languages},
  author    = {Akbari, Mohammad and Ranjbar Alvar, Saeed and Kamranian, Behnam and Banitalebi-Dehkordi, Amin
               and Zhang, Yong},
  booktitle = {Proceedings of the 27th Conference on Computational Natural Language Learning (CoNLL)},
  year      = {2023}
}
```"""

PICTURES = {
    "embeddings.png": "Networks, statements and pairs in the joint space: two directions of most variance (PCA).",
    "calibration.png": "Which probabilities can be trusted, how many answers are wrong among the surest, and which "
    "answers are taken for which.",
}
"""Pictures beside a card -> what they show."""

_AUTONET = """AutoNet: generated cell networks that no one designed, with questions and descriptions from templates.
Every answer and every label is computed from the graph."""

_TVHF = """TVHF, the training split: real networks of transformers and torchvision, with sentences, queries, questions
and pairs whose labels follow from facts of the networks. What is measured on TVHF is about networks of other
clusters."""

Results = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_CARD = """---
{metadata}
---
# {name}

An independent re-implementation of the method of Akbari et al. (2023). It is not by the authors of the paper, nor
endorsed by them.

ArchBERT reads two languages: English, and neural architectures. This model takes the computational graph of a network
(no weights, no images) and a text: it answers questions, judges statements{describes} and tells how alike two
networks are, with probabilities.

## Use it

With the package (`pip install .` in a clone of the repository), which runs no code of this one:

```python
from archbert import pipeline

answer = pipeline(model="{repo}", revision="{tag}")
answer({{"architecture": "resnet", "question": "Which pooling layers are used in this model?"}})
```

Without it, with nothing but transformers and torch-geometric (this runs the code of this repository):

```python
from transformers import pipeline

answer = pipeline(
    "architecture-question-answering", model="{repo}", revision="{tag}", trust_remote_code=True
)
answer({{"architecture": "resnet", "question": "Which pooling layers are used in this model?"}})
```

`architecture` is an `nn.Module`, a transformers config, a `config.json`, a model type, a Hub id or an
`ArchitectureGraph`; nothing is downloaded but a config, and no weights are allocated. A module whose inputs cannot be
made up gets them as `inputs`. The result is a list such as `[{{"answer": "MaxPool2d", "score": 0.98}}]`, best first;
an answer is given when its score is above 0.5, and the best one where none is.

The tag `{tag}` never moves. The code files are those of the package: `python -m archbert.manifest {repo}` compares
them, and `code_manifest.json` lists their SHA-256. `reference.json` has the numbers that the model must give.

The same folder holds the pipelines `architecture-reasoning` (is a statement about a network correct?) and
`architecture-clone-detection` (are two networks alike?){captioning}.

## The model

{model}

## Results

{results}

{pictures}## Training data

{data}

## Limits

- Every answer is a prediction of the network, with a probability, from a closed list of {num_labels} answers. What the
  graph itself shows can be computed exactly and should be preferred where an error matters.{topics}
- {learned} Real networks have operations and
  sizes that it has seldom or never seen; the tables say what was measured on them, if it was.
- It reads structure. It knows nothing of weights, accuracy, data or licences of a network.
- Read every score beside its floor (the best constant answer for a type of question, and text alone): questions of a
  closed world can be guessed to a good part.
- Folded and unfolded graphs give the same result to 1e-5 in float32 and eval mode; other precisions do not promise it.

## Licence and citation

Apache-2.0. Please cite the paper whose method this is:

{citation}
"""


_LEARNED = "Trained on generated networks and on questions made from templates, in English."
_LEARNED_REAL = "Trained on generated and on real networks, on texts that programs and templates wrote, in English."

_TOPICS = """
- Of questions for one of {} numbers and names of the whole network it predicts which is asked for; the answer is
  looked up in the graph. A question that it reads wrongly gets the right answer to another one."""


def write_model_card(
    output_dir: str | os.PathLike[str],
    config: Any,
    results: Results | None = None,
    data: Mapping[str, Any] | str | None = None,
    *,
    name: str | None = None,
    repo_id: str | None = None,
) -> Path:
    """Write the README.md of a model folder.

    Args:
        output_dir: the folder.
        config: the model's config (an object with ``to_dict``, or the dictionary).
        results: tables as described at the top of this module.
        data: what it was trained on, as names and values or as a sentence; by default the ``training_data`` that a
            table records.
        name: name of the model; by default the folder's.
        repo_id: how the usage snippets name the model; by default ``NAMESPACE/NAME``.

    Returns:
        The path of the card.
    """
    values = config if isinstance(config, Mapping) else config.to_dict()
    name = name or Path(output_dir).resolve().name
    tables = [results] if isinstance(results, Mapping) else list(results or [])
    text = _CARD.format(
        metadata=_metadata(name, tables).to_yaml(),
        name=name,
        tag=TAG,
        repo=repo_id or f"{NAMESPACE}/{name}",
        model=_model_section(values),
        results=results_markdown(tables, heading="###"),
        pictures=_pictures_section(Path(output_dir)),
        data=_data_section(data if data is not None else _recorded_data(tables), tables),
        num_labels=len(values.get("id2label") or ()) or "known",
        learned=_LEARNED_REAL if _learned_real(tables) else _LEARNED,
        topics=_TOPICS.format(len(values["question_topics"])) if values.get("question_topics") else "",
        citation=CITATION,
        describes=", describes networks" if values.get("decoder_layers") else "",
        captioning=", and `architecture-captioning` (a description)" if values.get("decoder_layers") else "",
    )
    path = Path(output_dir) / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def read_results(paths: Iterable[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """The tables of several results files, in the order of the files; one without a title gets its file's name.

    Raises:
        ValueError: a file is no JSON, or holds neither an object nor a list of objects.
    """
    tables: list[dict[str, Any]] = []
    for path in map(Path, paths):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from None
        for table in content if isinstance(content, list) else [content]:
            if not isinstance(table, dict):
                raise ValueError(f"{path} holds {type(table).__name__}; an object, or a list of objects, is allowed.")
            tables.append({"title": path.stem.replace("_", " "), **table})
    return tables


def results_markdown(tables: Sequence[Mapping[str, Any]], heading: str = "###") -> str:
    """The tables as Markdown, each with what it was measured by."""
    return "\n\n".join(_table(table, heading) for table in tables) or NO_RESULTS


def update_readme(readme: str | os.PathLike[str], paths: Iterable[str | os.PathLike[str]]) -> bool:
    """Replace what stands between the markers of a README by the tables of results files.

    Returns:
        Whether the file changed.

    Raises:
        ValueError: the README has not exactly one pair of markers, or a results file cannot be read.
    """
    text = Path(readme).read_text(encoding="utf-8")
    if text.count(RESULTS_BEGIN) != 1 or text.count(RESULTS_END) != 1:
        raise ValueError(f"{readme} needs exactly one {RESULTS_BEGIN} and, after it, one {RESULTS_END}.")
    before, rest = text.split(RESULTS_BEGIN)
    if RESULTS_END not in rest:
        raise ValueError(f"{readme} has {RESULTS_END} before {RESULTS_BEGIN}.")
    written = results_markdown(read_results(paths))
    changed = f"{before}{RESULTS_BEGIN}\n{written}\n{RESULTS_END}{rest.split(RESULTS_END)[1]}"
    Path(readme).write_text(changed, encoding="utf-8")
    return changed != text


def _metadata(name: str, tables: Sequence[Mapping[str, Any]]) -> ModelCardData:
    names = ["autonet", "tvhf"] if _learned_real(tables) else ["autonet"]
    return ModelCardData(
        language="en",
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="graph-ml",
        tags=["archbert", "neural-architecture", "architecture-question-answering", "graph-attention"],
        base_model=next((table["base_model"] for table in tables if table.get("base_model")), None),
        datasets=[f"{NAMESPACE}/{dataset}" for dataset in names],
        metrics=["exact_match", "f1"],
        model_name=name,
        eval_results=evaluation_results(tables) or None,
    )


def _learned_real(tables: Sequence[Mapping[str, Any]]) -> bool:
    """Whether real networks were learned from: the tables say so, or were made by the training that does it."""
    return any(
        "TVHF" in table.get("trained_on", ()) or "run_multitask.py" in str(table.get("command", ""))
        for table in tables
    )  # fmt: skip


def _model_section(config: Mapping[str, Any]) -> str:
    """The sizes of the model, as far as the config names them."""
    text = config.get("text_config") if isinstance(config.get("text_config"), Mapping) else {}
    named = {
        "Transformer layers": _first(config, text, "num_hidden_layers"),
        "Hidden size": _first(config, text, "hidden_size"),
        "Attention heads": _first(config, text, "num_attention_heads"),
        "Graph attention layers": _first(config, {}, "num_gat_layers", "num_graph_layers"),
        "Text vocabulary": _first(config, text, "vocab_size"),
        "Fusion": config.get("fusion"),
        "Folding rounds": config.get("num_fold_rounds"),
        "Version of extraction": config.get("extraction_version"),
    }
    rows = [{"part": label, "value": value} for label, value in named.items() if value is not None]
    return _markdown_table(rows) if rows else "See config.json."


def _first(config: Mapping[str, Any], nested: Mapping[str, Any] | None, *names: str) -> Any:
    found = [source[name] for source in (config, nested or {}) for name in names if source.get(name) is not None]
    return found[0] if found else None


def _recorded_data(tables: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | str | None:
    """What the tables say that was trained on: `trained_on` of one, else `training_data`."""
    named = next((dict(table["trained_on"]) for table in tables if table.get("trained_on")), None)
    return named or next((str(table["training_data"]) for table in tables if table.get("training_data")), None)


def _data_section(data: Mapping[str, Any] | str | None, tables: Sequence[Mapping[str, Any]]) -> str:
    if isinstance(data, Mapping):
        data = "\n".join(f"- {label}: {_cell(value)}" for label, value in data.items())
    return "\n\n".join([_AUTONET, *([_TVHF] if _learned_real(tables) else []), *([data] if data else [])])


def _pictures_section(folder: Path) -> str:
    """The pictures that lie beside the card, with what they show; empty without any."""
    shown = [f"![{said}]({name})\n\n{said}" for name, said in PICTURES.items() if (folder / name).is_file()]
    return "\n\n".join(["## Pictures", *shown, ""]) if shown else ""


def _table(table: Mapping[str, Any], heading: str) -> str:
    rows = table.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        skipped = ("title", "notes", *PROVENANCE)
        rows = [{"": name, "value": value} for name, value in _numbers(table) if name not in skipped]
    parts = [f"{heading} {table.get('title', 'Results')}", _markdown_table(rows)]
    if table.get("notes"):
        parts.append(str(table["notes"]))
    provenance = [f"{name}: `{_cell(table[name])}`" for name in PROVENANCE if table.get(name) not in (None, "", [])]
    if provenance:
        parts.append("Measured by " + "; ".join(provenance) + ".")
    return "\n\n".join(parts)


def _markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)]]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _numbers(value: Any, prefix: str = "") -> Iterator[tuple[str, int | float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield prefix, value


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m archbert.model_card", description="Fill the results of a README.")
    parser.add_argument("--readme", default="docs/results.md", help="the file with the markers")
    parser.add_argument("--results", nargs="+", required=True, help="results files (JSON)")
    options = parser.parse_args(arguments)
    try:
        changed = update_readme(options.readme, options.results)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{options.readme}: {'updated' if changed else 'already up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

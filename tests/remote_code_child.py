"""Loads ArchBERT in a process of its own and writes what came out: ``remote_code_child.py SOURCE GRAPH OUTPUT MODE``.

Mode ``remote`` must not find the packages and loads SOURCE (a folder or a Hub id) with ``trust_remote_code=True``;
mode ``package`` imports ``archbert`` and loads without it, and then lets objects of both kinds meet.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("archbert", "modeling_archbert", "processing_archbert")
QUESTIONS = ["Which pooling is used?", "Which convolution layers are there?"]
TASKS = ("architecture-question-answering", "architecture-reasoning", "architecture-clone-detection")
CAPTIONING = "architecture-captioning"


class _Absent:
    """An import hook that makes a process behave as if the packages were not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in PACKAGES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def load(source: str, graph_text: str, trust: bool | None) -> dict[str, Any]:
    """Load all Auto classes and the pipeline, run them on one graph, and say what they are and give."""
    import torch
    import transformers

    options = {"trust_remote_code": True} if trust else {}
    names = ("AutoConfig", "AutoModel", "AutoModelForPreTraining", "AutoModelForSequenceClassification")
    names += ("AutoModelForSeq2SeqLM", "AutoProcessor", "AutoFeatureExtractor")
    loaded = {name: getattr(transformers, name).from_pretrained(source, **options) for name in names}
    graph = json.loads(graph_text)
    batch = loaded["AutoProcessor"](text=QUESTIONS, architectures=[graph, graph], return_tensors="pt")
    features = loaded["AutoFeatureExtractor"]([graph], return_tensors="pt")
    with torch.no_grad():
        base = loaded["AutoModel"](**batch)
        pretraining = loaded["AutoModelForPreTraining"](**batch)
        logits = loaded["AutoModelForSequenceClassification"](**batch).logits
    if trust:
        make: Any = transformers.pipeline
    else:
        import archbert

        make = archbert.pipeline
    answer, judge, compare, write = (
        make(task, model=source, device="cpu", **options) for task in (*TASKS, CAPTIONING)
    )
    items = [
        {"architecture": graph, "questions": QUESTIONS},
        {"architecture": torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()),
         "inputs": torch.zeros(1, 3, 8, 8), "question": QUESTIONS[0]},
    ]  # fmt: skip
    pair = {"architectures": [graph, items[1]["architecture"]], "inputs": [None, items[1]["inputs"]]}
    return {
        "modules": {name: type(thing).__module__ for name, thing in loaded.items()},
        "dtype": str(loaded["AutoModel"].dtype),
        "node_ids": features["node_ids"].tolist(),
        "similarity": base.similarity.tolist(),
        "pretraining_similarity": pretraining.similarity.tolist(),
        "logits": logits.tolist(),
        "answers": answer(items, top_k=3),
        "judgements": judge([{"architecture": graph, "statements": QUESTIONS}], batch_size=2),
        "comparisons": compare([{**pair, "text": text} for text in (None, QUESTIONS[0])], batch_size=3),
        "embeddings": [compare.encode(texts=QUESTIONS).tolist(), compare.encode(architectures=graph).tolist()],
        "captions": write([{"architecture": graph}, {"architecture": graph, "length": "sentence"}], batch_size=2),
        "checked": write({"architecture": graph}, mode="product"),
        "written": loaded["AutoModelForSeq2SeqLM"].generate(**features).tolist(),
        "pipelines": [type(pipe).__module__ for pipe in (answer, judge, compare, write)],
    }


def isolated(folder: Path, processor: Any) -> dict[str, Any]:
    """A config and a limit through the copy of the code that the processor is of, in child processes."""
    module = sys.modules[type(processor).__module__]
    graph = module.load_architecture(folder / "bert", isolate=True)
    try:
        module.load_architecture(folder / "endless", time_limit=1.0)
        stopped = ""
    except RuntimeError as error:
        stopped = f"{type(error).__module__}: {error}"
    return {
        "hash": graph.graph_hash,
        "copy": type(graph).__module__,
        "tokens": processor(architectures=str(folder / "bert"), return_tensors="pt")["node_ids"].tolist(),
        "stopped": stopped,
    }


def meet(source: str, graph_text: str) -> dict[str, Any]:
    """Objects of the package and of the remote code in one process, each given to the other."""
    import torch
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    from modeling_archbert import ArchBertForSequenceClassification
    from processing_archbert import ArchBertProcessor, ArchitectureGraph

    def remote(reference: str) -> Any:
        return get_class_from_dynamic_module(reference, source)

    graph = ArchitectureGraph.from_json(graph_text)
    remote_graph = remote("architecture_graph_archbert.ArchitectureGraph").from_json(graph_text)
    own = ArchBertProcessor.from_pretrained(source)
    extractor = remote("graph_features_archbert.ArchBertGraphFeatureExtractor").from_pretrained(source)
    theirs = remote("processing_archbert.ArchBertProcessor")(feature_extractor=extractor, tokenizer=own.tokenizer)
    model = ArchBertForSequenceClassification.from_pretrained(source)
    remote_model = remote("modeling_archbert.ArchBertForSequenceClassification").from_pretrained(source)
    results = {}
    for name, processor, given, used in (
        ("all of the package", own, graph, model),
        ("remote graph", own, remote_graph, model),
        ("remote processor", theirs, graph, model),
        ("remote model", own, graph, remote_model),
        ("all remote", theirs, remote_graph, remote_model),
    ):
        with torch.no_grad():
            batch = processor(text=QUESTIONS, architectures=[given, given], return_tensors="pt")
            results[name] = used(**batch).logits.tolist()
    assert type(remote_graph) is not type(graph)
    assert type(theirs) is not type(own)
    assert type(remote_model) is not type(model)
    return results


def main() -> None:
    """Run one mode and write its results as JSON."""
    source, graph_file, output, mode = sys.argv[1:]
    graph_text = Path(graph_file).read_text(encoding="utf-8")
    if mode == "remote":
        sys.meta_path.insert(0, _Absent())  # type: ignore[arg-type]
        results: dict[str, Any] = load(source, graph_text, trust=True)
    else:
        import archbert  # noqa: F401

        results = {**load(source, graph_text, trust=None), "meeting": meet(source, graph_text)}
    if Path(source).is_dir():
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(source, **({"trust_remote_code": True} if mode == "remote" else {}))
        results["isolated"] = isolated(Path(graph_file).parent, processor)
    Path(output).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()

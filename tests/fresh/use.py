"""Uses everything that was published, where nothing of it is installed: ``python use.py ASKED.json TOLD.json``.

Runs in an environment that has the third-party packages only, in a folder elsewhere. ``ASKED.json`` names the
repositories and the revision of each, and whether the Hub can be reached; ``TOLD.json`` gets what came out.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OURS = ("archbert", "modeling_archbert", "processing_archbert", "dataset_scripts")
HEADS = ("AutoModel", "AutoModelForPreTraining", "AutoModelForSequenceClassification", "AutoModelForSeq2SeqLM")
TASKS: dict[str, dict[str, Any]] = {
    "architecture-question-answering": {"question": "Which activations are used?"},
    "architecture-reasoning": {"statement": "It has max pooling."},
    "architecture-clone-detection": {},
    "architecture-captioning": {},
}
METRICS: dict[str, dict[str, Any]] = {
    "aqa_match": {"predictions": [["ReLU"], ["3*3"]], "references": [["ReLU", "GELU"], ["3*3"]]},
    "ar_binary": {"predictions": [0.9, 0.2, 0.7], "references": [1, 0, 0], "groups": ["a", "a", ""]},
    "etran": {"references": [0, 1, 0, 1], "features": {"one": [[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.9, 0.2]],
                                                       "two": [[0.0, 0.1], [0.1, 0.0], [0.1, 0.1], [0.0, 0.2]]}},
}  # fmt: skip
"""Metrics that need none of our packages, and what is given to them."""


def options(asked: Mapping[str, Any]) -> dict[str, Any]:
    """How remote code is loaded: at a revision, and on purpose; not at all where the package is installed."""
    return {"revision": asked["revision"], **({} if asked["installed"] else {"trust_remote_code": True})}


def models(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Every Auto class of every model, and the numbers of its ``reference.json``."""
    import torch
    import transformers
    from huggingface_hub import hf_hub_download

    found: dict[str, Any] = {"modules": {}, "gaps": {}, "refused": {}}
    for model in asked["models"]:
        reference = json.loads(
            Path(hf_hub_download(model, "reference.json", revision=asked["revision"])).read_text(encoding="utf-8")
        )
        loaded = {}
        for name in ("AutoConfig", "AutoProcessor", "AutoFeatureExtractor", *HEADS):
            try:
                loaded[name] = getattr(transformers, name).from_pretrained(model, **options(asked))
            except ValueError as error:  # a checkpoint without a decoder says so
                if name != "AutoModelForSeq2SeqLM":
                    raise
                found["refused"][f"{model} {name}"] = str(error)
        found["modules"] |= {f"{model} {name}": type(thing).__module__ for name, thing in loaded.items()}
        loaded["AutoFeatureExtractor"](list(reference["graphs"].values()), return_tensors="pt")
        gaps = []
        with torch.no_grad():
            for name, graph in reference["graphs"].items():
                asked_batch, said_batch = (
                    loaded["AutoProcessor"](
                        text=texts, architectures=[graph] * len(texts), return_tensors="pt", fold=fold
                    )
                    for texts, fold in ((reference["questions"], True), (reference["statements"], False))
                )
                logits = loaded["AutoModelForSequenceClassification"](**asked_batch).logits
                judged = loaded["AutoModelForPreTraining"](**said_batch)
                cosines = loaded["AutoModel"](**said_batch).similarity
                pairs = [(logits, "logits"), (cosines, "similarity"), (judged.similarity, "similarity")]
                pairs += [(judged.reasoning_logits, "reasoning")] if "reasoning" in reference else []
                for values, kind in pairs:
                    gaps.append(float((values - torch.tensor(reference[kind][name])).abs().max()))
        found["gaps"][model] = max(gaps)
    return found


def pipelines(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What every pipeline says about networks that it traces itself; captions by the model that has a decoder."""
    import torch

    if asked["installed"]:
        from archbert import pipeline
    else:
        from transformers import pipeline
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    found = {}
    for task, item in TASKS.items():
        model = asked["models"][-1 if task == "architecture-captioning" else 0]
        pipe = pipeline(task, model=model, device="cpu", **options(asked))
        one = {"architecture": network, "inputs": torch.zeros(1, 3, 16, 16), **item}
        pair = {"architectures": ["bert", network], "inputs": [None, one["inputs"]]}
        found[task] = pipe(pair if task == "architecture-clone-detection" else one)
        found[f"{task}: of bert"] = pipe(pair if "clone" in task else {"architecture": "bert", **item})
    return found


def data_sets(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of every config and split of every data set and of the index; the first row also as a stream.

    Only the Hub says which configs there are: offline they have to be named.
    """
    from datasets import get_dataset_config_names, load_dataset

    found: dict[str, Any] = {"rows": {}, "streamed": 0, "configs": dict(asked["configs"])}
    for name in asked["datasets"]:
        if asked["online"]:
            found["configs"][name] = get_dataset_config_names(name, revision=asked["revision"])
        for config in found["configs"][name]:
            loaded = load_dataset(name, config, revision=asked["revision"])
            found["rows"] |= {f"{name} {config} {split}": len(rows) for split, rows in loaded.items()}
            if not asked["online"]:
                continue
            streamed = load_dataset(name, config, revision=asked["revision"], streaming=True)
            for split, rows in loaded.items():
                assert next(iter(streamed[split])) == rows[0], f"{name} {config} {split}: the stream differs"
                found["streamed"] += 1
    return found


def metrics(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What every metric computes."""
    import evaluate

    found = {}
    for name in asked["metrics"]:
        kind = {"module_type": "measurement"} if name.endswith("/etran") else {}
        metric = evaluate.load(name, revision=asked["revision"], **kind)
        given = METRICS.get(name.split("/")[1])
        found[name] = metric.compute(**given) if given else metric.name
    return found


def main() -> None:
    """Command line."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    there = [name for name in OURS if importlib.util.find_spec(name) is not None]
    assert there == (list(OURS[:3]) if asked["installed"] else []), f"on the path: {there}"
    if asked["installed"]:
        importlib.import_module("archbert")  # makes its classes known to transformers
    told = {"models": models(asked), "pipelines": pipelines(asked)}
    if not asked["installed"]:
        told |= {"data_sets": data_sets(asked), "metrics": metrics(asked)}
    Path(sys.argv[2]).write_text(json.dumps(told, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()

"""A truth check of graphs of torchvision: their parameters beside those that the library publishes with its weights.

    make zoo-env
    .zoo-env/bin/python benchmarks/zoo_parameters.py --records runs/coverage/torchvision.jsonl \\
        --output benchmarks/results/torchvision-parameters.json

The published numbers (`num_params` in the metadata of a network's weights) were counted by others, on networks with
weights. One of them has to be the number of parameters in the nodes of our graph, or of the whole network. Where all
weights belong to another network than the default one, the difference is said by name and counted: classifiers that
run only in training, and normalization whose parameters are frozen into buffers.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks.coverage import Record, read_records  # noqa: E402
from processing_archbert.source_zoo_archbert import build_torchvision  # noqa: E402

KINDS = (
    "equal",
    "equal in the graph",
    "equal without frozen normalization",
    "equal with the auxiliary classifier",
    "no published number",
    "different",
)


def published_parameters(name: str) -> list[int]:
    """`num_params` of all weights of a network, those of its default weights first."""
    import torchvision

    weights: Any = torchvision.models.get_model_weights(name)
    found = [weights.DEFAULT, *weights] if len(weights) else []
    return list(dict.fromkeys(int(w.meta["num_params"]) for w in found))


def auxiliary_parameters(name: str) -> int:
    """Parameters of the classifier that a network for segmentation has beside its own when it is trained."""
    import torchvision

    builder = torchvision.models.get_model_builder(name)
    if "aux_loss" not in inspect.signature(builder).parameters:
        return 0
    with torch.device("meta"):
        classifier = builder(weights=None, weights_backbone=None, aux_loss=True).aux_classifier
    return sum(p.numel() for p in classifier.parameters()) if classifier is not None else 0


def frozen_parameters(name: str) -> int:
    """Parameters of the normalization in the backbone of a network, which are buffers where it comes with weights."""
    backbone = getattr(build_torchvision(name)[0], "backbone", nn.Identity())
    body = getattr(backbone, "body", backbone)
    return sum(
        p.numel() for m in body.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) for p in m.parameters()
    )


def compare(name: str, record: Record) -> Record:
    """The row of one network: parameters of the network and in the graph, the published numbers, one of `KINDS`."""
    total, published = record["parameters"], published_parameters(name)
    used = round(record["used_share"] * total) if record["used_share"] < 1 else total
    if not published:
        kind = "no published number"
    elif total in published:
        kind = "equal"
    elif any(abs(number - used) <= total * 1e-6 for number in published):  # the record holds the share to six digits
        kind = "equal in the graph"
    elif total - frozen_parameters(name) in published:
        kind = "equal without frozen normalization"
    elif total + auxiliary_parameters(name) in published:
        kind = "equal with the auxiliary classifier"
    else:
        kind = "different"
    return {"parameters": total, "in graph": used, "published": published, "result": kind}


def main() -> None:
    """Compares every network of a sweep, prints the counts, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, required=True, help="JSONL file of benchmarks/coverage.py")
    parser.add_argument("--output", type=Path, help="where the table goes; default: none is written")
    arguments = parser.parse_args()
    records = read_records(arguments.records)
    table = {name: compare(name, record) for name, record in sorted(records.items()) if "parameters" in record}
    counts = {kind: sum(row["result"] == kind for row in table.values()) for kind in KINDS}
    print(json.dumps(counts, indent=1))
    for name, row in table.items():
        if row["result"] == "different":
            print(name, row)
    if arguments.output:
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(f'{{\n"counts": {json.dumps(counts)},\n"models": {{\n{rows}\n}}\n}}\n')


if __name__ == "__main__":
    main()

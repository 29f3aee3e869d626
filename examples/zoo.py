"""Sixty real networks that no one trained on: thirty families of transformers, each at default and at small size.

They are built from configs alone (nothing is downloaded, no weights are allocated) and traced once; the graphs are
kept as JSON in a folder. The truth of every question comes from the graph.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import AutoConfig, PretrainedConfig

import processing_archbert
from processing_archbert import ArchitectureGraph, GraphFacts, trace

_BERT_LIKE = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256}
_LLAMA_LIKE = {**_BERT_LIKE, "num_key_value_heads": 2}
_BART_LIKE = {
    "d_model": 128, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256,
}  # fmt: skip
_SMALL_TOWERS = {"text_config": {**_BERT_LIKE}, "vision_config": {**_BERT_LIKE, "patch_size": 16, "image_size": 64}}

FAMILIES: dict[str, dict[str, Any]] = {
    "resnet": {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 2, 1], "layer_type": "basic"},
    "convnext": {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 3, 1]},
    "convnextv2": {"hidden_sizes": [24, 48, 96, 192], "depths": [1, 2, 2, 1]},
    "regnet": {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 96], "depths": [1, 2, 3, 1], "groups_width": 16},
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.35},
    "efficientnet": {"width_coefficient": 0.5, "depth_coefficient": 1.0, "hidden_dim": 640},
    "poolformer": {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 2, 1]},
    "vit": {**_BERT_LIKE, "image_size": 64},
    "deit": {**_BERT_LIKE, "image_size": 64},
    "swin": {"embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8]},
    "dinov2": {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 70},
    "segformer": {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 1, 1]},
    "bert": _BERT_LIKE,
    "roberta": _BERT_LIKE,
    "albert": {**_BERT_LIKE, "embedding_size": 32},
    "distilbert": {"dim": 128, "n_layers": 2, "n_heads": 4, "hidden_dim": 256},
    "electra": {**_BERT_LIKE, "embedding_size": 64},
    "mpnet": _BERT_LIKE,
    "gpt2": {"n_embd": 128, "n_layer": 3, "n_head": 4},
    "gpt_neox": _BERT_LIKE,
    "opt": {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_dim": 256,
            "word_embed_proj_dim": 128},
    "llama": _LLAMA_LIKE,
    "qwen2": _LLAMA_LIKE,
    "mixtral": {**_LLAMA_LIKE, "num_local_experts": 4},
    "t5": {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4},
    "bart": _BART_LIKE,
    "whisper": _BART_LIKE,
    "wav2vec2": _BERT_LIKE,
    "clip": _SMALL_TOWERS,
}  # fmt: skip
"""Model type of transformers -> what the small network overrides in its default config."""

SIZES = ("default", "small")


def zoo_config(family: str, size: str) -> PretrainedConfig:
    """The config of one network of the zoo.

    Raises:
        ValueError: an unknown family or size.
    """
    if family not in FAMILIES or size not in SIZES:
        raise ValueError(f"there is no {size} {family} in the zoo; sizes: {', '.join(SIZES)}; "
                         f"families: {', '.join(FAMILIES)}")  # fmt: skip
    return AutoConfig.for_model(family, **(FAMILIES[family] if size == "small" else {}))


def zoo_graphs(
    cache_dir: str | Path, families: Mapping[str, Any] = FAMILIES
) -> Iterator[tuple[str, ArchitectureGraph]]:
    """Name and graph of every network; a graph that this version of the code has not made yet is traced."""
    folder = Path(cache_dir).expanduser() / "zoo" / _code_version()
    folder.mkdir(parents=True, exist_ok=True)
    names = [(family, size) for family in families for size in SIZES]
    for family, size in tqdm(names, desc="real networks", unit="network"):
        path = folder / f"{family}-{size}.json"
        if path.exists():
            yield path.stem, ArchitectureGraph.from_json(path.read_text(encoding="utf-8"))
            continue
        graph = trace(zoo_config(family, size), name=path.stem)
        path.write_text(graph.to_json(), encoding="utf-8")
        yield path.stem, graph


@cache
def _code_version() -> str:
    """Digest of the code that makes graphs: a changed tracer never meets the graphs of an older one."""
    folder = Path(str(processing_archbert.__file__)).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*_archbert.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def zoo_questions(graphs: list[ArchitectureGraph], seed: int = 0) -> list[dict[str, Any]]:
    """One question of every type and subject about every network, in the wordings of the validation split.

    Args:
        graphs: the networks.
        seed: of the wordings.

    Returns:
        Rows with `graph` (index), `question`, `question_type`, `subject`, `answers` (the truth, from the graph).
    """
    from dataset_scripts.autonet.questions_autonet import all_intents, sample_question

    rng = random.Random(seed)
    rows = []
    for index, graph in enumerate(graphs):
        facts = GraphFacts(graph)
        for question_type, subject in all_intents():
            rows.append({
                "graph": index,
                "question": sample_question(rng, question_type, subject, split="validation"),
                "question_type": question_type,
                "subject": subject,
                "answers": facts.answer(question_type, subject).value,
            })  # fmt: skip
    return rows

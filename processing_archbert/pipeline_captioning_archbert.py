"""The pipeline of captioning (AC; paper, section 5.5): a network, described in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .caption_checking_archbert import check_caption, read_claims
from .caption_rebuilding_archbert import CheckedCaption
from .caption_sureness_archbert import WrittenPieces, sure_caption
from .graph_facts_archbert import GraphFacts
from .pipeline_base_archbert import ArchitecturePipeline, Remembered
from .sources_archbert import described_source, load_architecture

MODEL, SURE, PRODUCT = MODES = "model", "sure", "product"
_GENERATION = ("num_beams", "length_penalty", "do_sample", "temperature", "top_k", "top_p", "max_new_tokens")
_REMEMBERED_GRAPHS = 16


class ArchitectureCaptioningPipeline(ArchitecturePipeline):
    """Describes neural architectures.

    Load it with ``pipeline("architecture-captioning", model=FOLDER_OR_ID, trust_remote_code=True)`` and call it with
    an item, or with a list, dataset or generator of items. An item is a dictionary with ``architecture`` and
    ``inputs`` as in `ArchitectureQuestionAnsweringPipeline`, and at will

    - ``length``: ``"sentence"``, ``"paragraph"`` (the default) or ``"full"``;
    - ``style``: ``"plain"`` (the default; "a 2d convolution layer") or ``"technical"`` ("a Conv2d layer").

    Both only where the checkpoint has such `caption_kinds`. Returns ``{"caption": ..., "claims": [...],
    "removed": [...]}``. Each claim is ``{"text", "claim", "basis", "mended"}``: the words, what they claim as
    `GraphFacts.holds` takes it, and what it rests on. What is in it depends on the call parameter ``mode``:

    - ``"model"`` (the default): what the model wrote; every claim has the basis ``"predicted"``;
    - ``"sure"``: the same without the phrases that the model is not sure of (`removed` has them, and what cannot be
      read), by the ``claim_thresholds`` of the checkpoint; every claim has the ``probability`` of its words, too;
    - ``"product"``: every claim is asked of the graph. What the graph contradicts is put right (`mended`) or left out,
      and so is what cannot be read (`removed` has both). The basis is ``"computed"``, or ``"predicted"``
      where the graph leaves it open because it misses a part of the network.

    Captions are the same for every batch size, but for sampled ones. Call parameters besides ``mode``: ``num_beams``,
    ``length_penalty``, ``do_sample``, ``temperature``, ``top_k``, ``top_p`` and ``max_new_tokens`` as in `generate`;
    ``fold``, ``truncation``, ``architecture_kwargs`` and ``batch_size`` as in `ArchitectureQuestionAnsweringPipeline`.

    Raises:
        ValueError: an item or a parameter is not as said above; the message names what was given and what is allowed.
        ArchitectureSourceError: an architecture cannot be read.
        ArchitectureTraceError: the network cannot be traced, or a limit was reached.
    """

    item_keys = ("architecture", "inputs", "length", "style")
    example = '{"architecture": "resnet", "length": "sentence"}'
    own_parameters = ("mode", *_GENERATION)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**parameters)
        if "mode" in parameters:
            mode = parameters["mode"]
            if mode not in MODES:
                raise ValueError(f"mode is {mode!r}; {MODEL!r}, {SURE!r} or {PRODUCT!r} is allowed.")
            if mode == SURE and not self.model.config.claim_thresholds:
                raise ValueError(
                    f"mode is {SURE!r}, but this checkpoint has no claim_thresholds; "
                    "examples/run_caption_thresholds.py fits them"
                )
            preprocess["checked"] = mode == PRODUCT
            forward["scored"] = mode == SURE
        forward |= {name: parameters[name] for name in _GENERATION if name in parameters}
        return preprocess, forward, postprocess

    def _rows(
        self, item: Mapping[str, Any], remembered: Remembered | None, options: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        options = dict(options)
        checked = options.pop("checked", False)
        kind = self._kind_id(item)
        architecture, inputs = self._architecture(item), item.get("inputs")
        if checked:
            architecture = self._graph(architecture, inputs, remembered, options.get("architecture_kwargs"))
            inputs = None
        tokens = self._tokens(architecture, inputs, remembered, options)
        row = {**tokens, "graph": architecture if checked else None, "is_last": True}
        yield row if kind is None else {**row, "decoder_kind_ids": torch.tensor([kind])}

    def _kind_id(self, item: Mapping[str, Any]) -> int | None:
        """What `generate` takes for the length and style of an item; None where the checkpoint knows no kinds."""
        kinds = self.model.config.caption_kinds
        asked = [item.get("length"), item.get("style")]
        if not kinds:
            if asked != [None, None]:
                raise ValueError("An item has a length or a style, but this checkpoint knows no kinds of captions.")
            return None
        kind = f"{asked[0] or 'paragraph'} {asked[1] or 'plain'}"
        if kind not in kinds:
            raise ValueError(f"An item asks for {kind!r} (length and style); there are {', '.join(kinds)}.")
        return 1 + kinds.index(kind)

    def _graph(self, architecture: Any, inputs: Any, remembered: Remembered | None, hints: Any) -> Any:
        """The graph of an architecture; of one that is remembered, that from before."""
        key = ("graph", architecture if isinstance(architecture, str) else id(architecture), id(inputs))
        if remembered is not None and key in remembered:
            return remembered[key][-1]
        source, known = described_source(architecture, hints)
        if inputs is not None:
            known["inputs"] = inputs
        graph = load_architecture(source, **known)
        if remembered is not None:
            remembered[key] = (architecture, inputs, graph)  # kept alive, so that no other object gets their id
            graphs = [known for known in remembered if known[0] == "graph"]
            if len(graphs) > _REMEMBERED_GRAPHS:
                remembered.pop(graphs[0])
        return graph

    def _forward(self, model_inputs: dict[str, Any], scored: bool = False, **generation: Any) -> dict[str, Any]:
        """Word pieces `(B, L)` of a batch of captions and, where they are `scored`, their log probabilities."""
        kept = {name: model_inputs.pop(name) for name in ("graph", "is_last")}
        if not scored:
            return {"sequences": self.model.generate(**model_inputs, **generation), **kept}
        sequences, log_probs = self.model.generate_scored(**model_inputs, **generation)
        return {"sequences": sequences, "log_probs": log_probs, **kept}

    def postprocess(self, model_outputs: list[dict[str, Any]]) -> dict[str, Any]:
        """The caption of one item, and its claims."""
        output = model_outputs[0]
        sequence, graph = output["sequences"], output["graph"]
        graph = graph[0] if isinstance(graph, list) else graph
        text = self.processor.decode_captions(sequence.reshape(1, -1))[0]
        if "log_probs" in output:
            written = written_pieces(self.processor, sequence.flatten(), output["log_probs"].flatten())
            checked = sure_caption(text, written, self.model.config.claim_thresholds)
        elif graph is None:
            checked = CheckedCaption(text, read_claims(text), [])
        else:
            checked = check_caption(text, GraphFacts(graph))
        claims = [{name: value for name, value in claim._asdict().items() if value is not None}
                  for claim in checked.claims]  # fmt: skip
        return {"caption": checked.text, "claims": claims, "removed": checked.removed}


def written_pieces(processor: Any, sequence: torch.Tensor, log_probs: torch.Tensor) -> WrittenPieces:
    """What one caption was written with.

    Args:
        processor: of the model.
        sequence: `(1 + L,)` int64, with the token before it; what stands behind the end is not read.
        log_probs: `(L,)`, of all but the first.
    """
    tokenizer = processor.tokenizer
    special = set(tokenizer.all_special_ids)
    pieces = [(piece, value) for piece, value in zip(sequence[1:].tolist(), log_probs.tolist(), strict=True)
              if piece not in special]  # fmt: skip

    def decode(some: list[int]) -> str:
        return str(processor.decode_captions([some])[0])

    return WrittenPieces(decode, [piece for piece, _ in pieces], [value for _, value in pieces])

"""Pairs of transformers configs that differ in known ways, and what a diff has to say of them.

`expected` of a pair: kind of change (and `@scope` where two towers could be meant) -> values before and after.
`implied`: kinds that follow from those and may be said as well; any other statement is false.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_S = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
_L = {**_S, "num_key_value_heads": 4, "vocab_size": 1000}
_B = {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
      "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128}  # fmt: skip
_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
_G = {"n_embd": 64, "n_layer": 2, "n_head": 4}
_R = {"embedding_size": 16, "hidden_sizes": [32, 64, 128, 256], "depths": [2, 2, 3, 2]}
_C = {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 3, 1]}
_W = {"embed_dim": 24, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8]}
_O = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 128, "word_embed_proj_dim": 64}
_V = {**_S, "image_size": 64}
_F = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1000, "multi_query": False}


class Pair(NamedTuple):
    """One pair: a family, the base config, what the second overrides, and the truth."""

    family: str
    base: dict[str, Any]
    change: dict[str, Any]
    expected: dict[str, tuple[Any, Any]]
    implied: tuple[str, ...] = ()
    tasks: tuple[str | None, str | None] = (None, None)

    @property
    def name(self) -> str:
        """`family: what changes`."""
        what = ", ".join(f"{key}={value}" for key, value in self.change.items())
        return f"{self.family}: {what or ' -> '.join(str(task) for task in self.tasks)}"


PAIRS: tuple[Pair, ...] = (
    Pair("bert", _S, {"num_hidden_layers": 5}, {"layers": (2, 5)}),
    Pair("bert", _S, {"hidden_size": 96}, {"width": (64, 96)}, ("head_size",)),
    Pair("bert", _S, {"num_attention_heads": 8}, {"heads": (4, 8)}, ("head_size",)),
    Pair("bert", _S, {"intermediate_size": 256}, {"intermediate": (128, 256)}),
    Pair("bert", _S, {"hidden_act": "relu"}, {"activation": (("GELU",), ("ReLU",))}),
    Pair("bert", _S, {"vocab_size": 999}, {"vocabulary": ((30522,), (999,))}),
    Pair("bert", _S, {"max_position_embeddings": 128}, {"positions": ((512,), (128,))}),
    Pair("bert", _S, {"num_hidden_layers": 4, "hidden_size": 128, "num_attention_heads": 8, "intermediate_size": 512},
         {"layers": (2, 4), "width": (64, 128), "heads": (4, 8), "intermediate": (128, 512)}),
    Pair("bert", _S, {}, {}),
    Pair("bert", _S, {}, {"added@head": (None, ["Linear 64 -> 2"])}, ("outputs",), (None, "text-classification")),
    Pair("roberta", _S, {"num_hidden_layers": 1}, {"layers": (2, 1)}),
    Pair("electra", {**_S, "embedding_size": 32}, {"num_hidden_layers": 3}, {"layers": (2, 3)}),
    Pair("distilbert", {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}, {"n_layers": 4},
         {"layers": (2, 4)}),
    Pair("distilbert", {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}, {"activation": "relu"},
         {"activation": (("GELU",), ("ReLU",))}),
    Pair("llama", _L, {"num_key_value_heads": 2}, {"kv_heads": (4, 2)}),
    Pair("llama", _L, {"num_key_value_heads": 1}, {"kv_heads": (4, 1)}),
    Pair("llama", _L, {"num_hidden_layers": 7}, {"layers": (2, 7)}),
    Pair("llama", _L, {"hidden_act": "gelu"}, {"activation": (("SiLU",), ("GELU",))}),
    Pair("llama", _L, {"hidden_size": 128, "head_dim": 32}, {"width": (64, 128)}, ("head_size",)),
    Pair("llama", _L, {"head_dim": 32}, {"head_size": (16, 32)}),
    Pair("llama", _L, {"tie_word_embeddings": True}, {"tied": (False, True)}, (), ("text-generation",) * 2),
    Pair("mistral", {**_L, "sliding_window": None}, {"sliding_window": 32}, {"window": (0, 32)}),
    Pair("mistral", {**_L, "sliding_window": 64}, {"sliding_window": 16}, {"window": (64, 16)}),
    Pair("qwen2", _L, {"intermediate_size": 192}, {"intermediate": (128, 192)}),
    Pair("mixtral", {**_L, "num_local_experts": 4}, {"num_local_experts": 8}, {"experts": (4, 8)}),
    Pair("mixtral", {**_L, "num_local_experts": 4}, {"num_experts_per_tok": 1}, {"top_k": (2, 1)}),
    Pair("gpt2", _G, {"activation_function": "relu"}, {"activation": (("GELU",), ("ReLU",))}),
    Pair("gpt2", _G, {"n_layer": 4}, {"layers": (2, 4)}),
    Pair("gpt2", _G, {"n_positions": 64}, {"positions": ((1024,), (64,))}),
    Pair("gpt2", _G, {"n_embd": 128}, {"width": (64, 128)}, ("head_size", "intermediate")),
    Pair("gpt_neox", _S, {"num_hidden_layers": 3}, {"layers": (2, 3)}),
    Pair("opt", _O, {"do_layer_norm_before": False}, {"norm_position": ("before", "after")}, ("removed@head",)),
    Pair("opt", _O, {"ffn_dim": 256}, {"intermediate": (128, 256)}),
    Pair("t5", _T5, {"num_layers": 4}, {"layers@encoder": (2, 4)}),
    Pair("t5", _T5, {"num_decoder_layers": 5}, {"layers@decoder": (2, 5)}),
    Pair("t5", _T5, {"num_layers": 1, "num_decoder_layers": 3}, {"layers@encoder": (2, 1), "layers@decoder": (2, 3)}),
    Pair("t5", _T5, {"feed_forward_proj": "gated-gelu"},
         {"gated": (False, True), "activation": (("ReLU",), ("GELU",))}),
    Pair("bart", _B, {"decoder_layers": 4}, {"layers@decoder": (2, 4)}),
    Pair("bart", _B, {"encoder_attention_heads": 8}, {"heads@encoder": (4, 8)}, ("head_size@encoder",)),
    Pair("bart", _B, {"decoder_ffn_dim": 256}, {"intermediate@decoder": (128, 256)}),
    Pair("whisper", _B, {"encoder_layers": 3}, {"layers@encoder": (2, 3)}),
    Pair("vit", _V, {"patch_size": 8}, {"stem": ((("16x16", 16, 16),), (("8x8", 8, 8),)),
         "positions": ((17,), (65,))}),
    Pair("vit", _V, {"num_hidden_layers": 3}, {"layers": (2, 3)}),
    Pair("vit", _V, {"num_channels": 1}, {"size@stem": (3, 1)}),
    Pair("resnet", _R, {"depths": [3, 4, 6, 3]}, {"layers": ((2, 2, 3, 2), (3, 4, 6, 3))}),
    Pair("resnet", _R, {"hidden_act": "gelu"}, {"activation": (("ReLU",), ("ReLU", "GELU"))},
         ("replaced",)),
    Pair("convnext", _C, {"depths": [2, 2, 5, 2]}, {"layers": ((1, 1, 3, 1), (2, 2, 5, 2))}),
    Pair("convnext", _C, {"hidden_sizes": [24, 48, 96, 192]}, {"width": ((16, 32, 64, 128), (24, 48, 96, 192))},
         ("intermediate",)),
    Pair("swin", _W, {"depths": [2, 2, 6, 2]}, {"layers": ((2, 2, 2, 2), (2, 2, 6, 2))}),
    Pair("swin", _W, {"num_heads": [2, 4, 8, 8]}, {"heads": ((1, 2, 4, 8), (2, 4, 8, 8))}, ("head_size",)),
    Pair("regnet", {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 96], "depths": [1, 2, 3, 1],
                    "groups_width": 16}, {"depths": [1, 2, 5, 2]}, {"layers": ((1, 2, 3, 1), (1, 2, 5, 2))}),
    Pair("poolformer", {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 2, 1]}, {"depths": [1, 1, 4, 1]},
         {"layers": ((1, 1, 2, 1), (1, 1, 4, 1))}),
    Pair("wav2vec2", _S, {"num_hidden_layers": 3}, {"layers": (2, 3)}),
    Pair("mamba", {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 1000}, {"num_hidden_layers": 4},
         {"layers": (2, 4)}),
)  # fmt: skip

UNSEEN: tuple[Pair, ...] = (
    Pair("albert", {**_S, "embedding_size": 32}, {"num_hidden_layers": 4}, {"layers": (2, 4)}),
    Pair("albert", {**_S, "embedding_size": 32}, {"embedding_size": 48}, {"size": (32, 48)}),
    Pair("deberta-v2", _S, {"num_hidden_layers": 3}, {"layers": (2, 3)}),
    Pair("deberta-v2", _S, {"intermediate_size": 256}, {"intermediate": (128, 256)}),
    Pair("xlm-roberta", {**_S, "vocab_size": 2000}, {"vocab_size": 1000}, {"vocabulary": ((2000,), (1000,))}),
    Pair("longformer", {**_S, "attention_window": 64}, {"num_hidden_layers": 3}, {"layers": (2, 3)}),
    Pair("longformer", {**_S, "attention_window": 64}, {"attention_window": 128}, {"window": (64, 128)}),
    Pair("mpnet", _S, {"hidden_act": "relu"}, {"activation": (("GELU",), ("ReLU",))}),
    Pair("falcon", _F, {"multi_query": True}, {"kv_heads": (4, 1)}),
    Pair("phi", _L, {"num_hidden_layers": 5}, {"layers": (2, 5)}),
    Pair("phi3", {**_L, "pad_token_id": 0, "sliding_window": None}, {"sliding_window": 32}, {"window": (0, 32)}),
    Pair("gemma", {**_L, "head_dim": 16}, {"head_dim": 32}, {"head_size": (16, 32)}),
    Pair("gemma2", {**_L, "head_dim": 16, "sliding_window": 64}, {"sliding_window": 16},
         {"window": (((64, 1), (0, 1)), ((16, 1), (0, 1)))}),
    Pair("olmo", _L, {"num_key_value_heads": 2}, {"kv_heads": (4, 2)}),
    Pair("bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 1000}, {"n_layer": 4},
         {"layers": (2, 4)}),
    Pair("mpt", {"d_model": 64, "n_layers": 2, "n_heads": 4, "vocab_size": 1000}, {"n_heads": 8}, {"heads": (4, 8)},
         ("head_size",)),
    Pair("gpt_bigcode", {**_G, "multi_query": False}, {"multi_query": True}, {"kv_heads": (4, 1)}),
    Pair("codegen", {**_G, "rotary_dim": 8, "n_inner": 128}, {"n_inner": 256}, {"intermediate": (128, 256)}),
    Pair("starcoder2", _L, {"hidden_act": "silu"}, {"activation": (("GELU",), ("SiLU",))}),
    Pair("qwen3_moe", {**_L, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
         {"num_experts": 8}, {"experts": (4, 8)}),
    Pair("rwkv", {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 1000}, {"num_hidden_layers": 3},
         {"layers": (2, 3)}),
    Pair("pegasus", _B, {"decoder_layers": 3}, {"layers@decoder": (2, 3)}),
    Pair("marian", {**_B, "pad_token_id": 0, "vocab_size": 1000}, {"d_model": 128}, {"width": (64, 128)},
         ("head_size",)),
    Pair("umt5", _T5, {"num_heads": 2}, {"heads": (4, 2)}),
    Pair("segformer", {"hidden_sizes": [16, 32, 64, 128], "depths": [2, 2, 2, 2], "num_attention_heads": [1, 2, 4, 8]},
         {"depths": [1, 2, 4, 2]}, {"layers": ((2, 2, 2, 2), (1, 2, 4, 2))}),
    Pair("dinov2", {**_V, "patch_size": 16}, {"mlp_ratio": 2}, {"intermediate": (256, 128)}),
    Pair("beit", _V, {"num_hidden_layers": 4}, {"layers": (2, 4)}),
    Pair("convnextv2", _C, {"depths": [1, 1, 5, 1]}, {"layers": ((1, 1, 3, 1), (1, 1, 5, 1))}),
    Pair("mobilenet_v2", {"depth_multiplier": 0.5}, {"hidden_act": "relu"}, {"activation": (("ReLU6",), ("ReLU",))},
         ("replaced",)),
    Pair("videomae", {**_V, "num_frames": 4}, {"num_attention_heads": 8}, {"heads": (4, 8)}, ("head_size",)),
    Pair("hubert", _S, {"intermediate_size": 256}, {"intermediate": (128, 256)}),
    Pair("clip", {"text_config": _S, "vision_config": _V}, {"vision_config": {**_V, "num_hidden_layers": 4}},
         {"layers@vision": (2, 4)}),
    Pair("clip", {"text_config": _S, "vision_config": _V}, {"text_config": {**_S, "intermediate_size": 256}},
         {"intermediate@text": (128, 256)}),
    Pair("detr", {"use_timm_backbone": False, "backbone": None, "d_model": 64, "encoder_layers": 2,
                  "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
                  "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
                  "backbone_config": {"model_type": "resnet", **_R, "out_features": ["stage4"]}},
         {"decoder_layers": 4}, {"layers@decoder": (2, 4)}),
)  # fmt: skip
"""Pairs of other families, whose truth was written down before a diff of any of them was made."""


def judge(pair: Pair, changes: Any) -> tuple[list[str], list[str]]:
    """Expected statements that are missing, and statements that are false.

    Args:
        pair: the pair.
        changes: the changes that a diff found.
    """
    found = {}
    for change in changes:
        for key in (change.kind, f"{change.kind}@{change.scope}"):
            found.setdefault(key, (change.a, change.b))
    missing = [key for key, values in pair.expected.items() if found.get(key) != values]
    allowed = {*pair.expected, *pair.implied}
    false = [c.text for c in changes if c.kind not in allowed and f"{c.kind}@{c.scope}" not in allowed]
    return missing, false

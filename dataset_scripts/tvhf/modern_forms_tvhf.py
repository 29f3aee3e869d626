"""Wordings of the questions of `aqa_modern`: forms of all splits, and forms that only validation and test have.

Slot `{part}`: a name of the network, or of one of its towers.
"""

from __future__ import annotations

import random

from dataset_scripts.autonet.questions_autonet import NETWORK_NAMES, is_held_out

Forms = tuple[tuple[str, ...], tuple[str, ...]]

MODERN_FORMS: dict[str, Forms] = {
    "attention_kind": (
        ("what kind of attention does {part} use?", "how are keys and values shared between the heads of {part}?",
         "is the attention of {part} multi-head, grouped-query, multi-query or latent?", "attention type of {part}?"),
        ("which variant of attention is {part} built with?",),
    ),
    "token_mixer": (
        ("what mixes information between positions in {part}?", "by which operation do positions of {part} exchange "
         "information?", "what is the token mixer of {part}?"),
        ("through what do the positions in {part} see each other?",),
    ),
    "num_heads": (
        ("how many attention heads does {part} have?", "what is the number of query heads in {part}?",
         "number of heads of {part}?", "into how many heads is the attention of {part} split?"),
        ("how many heads does each attention layer of {part} come with?",),
    ),
    "num_kv_heads": (
        ("how many key and value heads does {part} have?", "what is the number of kv heads in {part}?",
         "how many heads of {part} keep keys and values of their own?"),
        ("for how many heads does {part} store keys and values?",),
    ),
    "queries_per_kv_head": (
        ("how many query heads share one key and value head in {part}?",
         "what is the group size of the attention of {part}?",
         "how many query heads are there for each kv head of {part}?"),
        ("how many queries read the same keys in {part}?",),
    ),
    "head_size": (
        ("what is the size of an attention head in {part}?", "which head dimension does {part} use?",
         "how wide is one head of {part}?"),
        ("how many features does each head of {part} work on?",),
    ),
    "attention_width": (
        ("do all heads of {part} together have the width of the hidden state?",
         "is the number of heads times the head size equal to the hidden size in {part}?",
         "are the queries of {part} as wide as its hidden states?"),
        ("does multiplying heads by head size give the hidden size of {part}?",),
    ),
    "attention_window": (
        ("how large is the sliding window of the attention in {part}?",
         "how many tokens does local attention of {part} look at?", "what attention window does {part} have?"),
        ("over how many tokens does the window of {part} reach?",),
    ),
    "local_layers": (
        ("how many layers of {part} attend within a sliding window?",
         "what is the number of local attention layers in {part}?",
         "in how many layers is the attention of {part} limited to a window?"),
        ("how many layers of {part} cannot look beyond a window?",),
    ),
    "global_layers": (
        ("how many layers of {part} attend to the whole context?",
         "what is the number of full attention layers in {part}?",
         "in how many layers does {part} attend without a window?"),
        ("how many layers of {part} see everything before them?",),
    ),
    "is_causal": (
        ("is the attention of {part} causal?", "does {part} only attend to earlier positions?",
         "is a causal mask used in {part}?"),
        ("are later positions hidden from earlier ones in {part}?",),
    ),
    "qk_norm": (
        ("does {part} normalize queries and keys?", "is qk-norm used in {part}?",
         "are queries and keys of {part} normalized before their product?"),
        ("does a normalization stand between the projections and the attention of {part}?",),
    ),
    "cross_attention": (
        ("does {part} have cross-attention?", "is there any cross-attention in {part}?",
         "does some layer of {part} attend to the output of another tower?"),
        ("do queries and keys of any layer in {part} come from different towers?",),
    ),
    "attention_layers": (
        ("how many attention operations does {part} run?", "what is the number of attention layers in {part}?",
         "count the attention layers of {part}"),
        ("how often is attention computed in {part}?",),
    ),
    "latent_rank": (
        ("to what width does {part} compress keys and values for latent attention?",
         "what is the rank of the latent keys and values in {part}?", "how wide is the kv latent of {part}?"),
        ("how many features does the compressed cache of latent attention hold in {part}?",),
    ),
    "num_experts": (
        ("how many experts does {part} have?", "what is the number of experts in each mixture layer of {part}?",
         "between how many experts does the router of {part} choose?"),
        ("how many feed-forward experts stand side by side in {part}?",),
    ),
    "experts_per_token": (
        ("how many experts is a token sent to in {part}?", "what is the top-k of the router of {part}?",
         "how many experts of {part} are active for each token?"),
        ("how many experts work on one token in {part}?",),
    ),
    "shared_expert": (
        ("does {part} have a shared expert?", "is there an expert in {part} that every token passes?",
         "beside the routed experts, does {part} use a shared one?"),
        ("does any expert of {part} see all tokens?",),
    ),
    "norm_kind": (
        ("what kind of normalization stands in the layers of {part}?",
         "which normalization do the blocks of {part} use?",
         "with what are features normalized in the layers of {part}?"),
        ("which norm do the layers of {part} rely on most?",),
    ),
    "norm_place": (
        ("where is the normalization in the layers of {part}?", "is {part} pre-norm or post-norm?",
         "at which place do the layers of {part} normalize?"),
        ("do the layers of {part} normalize before a branch or after the addition?",),
    ),
    "layer_scale": (
        ("does {part} use layer scale?", "are branches of {part} scaled by a learned vector before they are added?",
         "is there a learned scale at the end of the branches of {part}?"),
        ("is what a branch of {part} adds multiplied with a learned vector?",),
    ),
    "hidden_size": (
        ("what is the hidden size of {part}?", "how wide are the hidden states of {part}?",
         "which model dimension does {part} have?"),
        ("how many features does each position have between the layers of {part}?",),
    ),
    "depth": (
        ("how many layers does {part} stack?", "how deep is {part} in blocks?",
         "what is the number of layers or residual blocks in {part}?"),
        ("how many blocks follow each other in {part}?",),
    ),
    "intermediate_size": (
        ("what is the intermediate size of the feed-forward layers in {part}?",
         "how wide is the inner layer of the feed-forward part of {part}?", "which ffn dimension does {part} have?"),
        ("to how many features does the feed-forward part of {part} expand?",),
    ),
    "expansion": (
        ("by what factor do the feed-forward layers of {part} widen their input?",
         "what is the expansion ratio of the feed-forward part of {part}?",
         "how many times the hidden size is the intermediate size of {part}?"),
        ("how many times wider than its input is the inner feed-forward layer of {part}?",),
    ),
    "gated_feed_forward": (
        ("is the feed-forward part of {part} gated?",
         "does {part} use a gated linear unit in its feed-forward layers?",
         "do the feed-forward layers of {part} multiply with a gate, as SwiGLU does?"),
        ("is there a gate in the feed-forward layers of {part}?",),
    ),
    "activation": (
        ("which activation function do the layers of {part} use?",
         "what is the activation inside the blocks of {part}?",
         "which nonlinearity stands in the feed-forward or convolution layers of {part}?"),
        ("with what function are features activated inside the layers of {part}?",),
    ),
    "position_encoding": (
        ("how does {part} encode positions?", "which position encoding does {part} use?",
         "what tells {part} the order of its input?"),
        ("by what means does {part} know positions?",),
    ),
    "position_table": (
        ("how many learned positions does {part} have?", "how many rows does the position table of {part} have?",
         "for how many positions has {part} learned embeddings?"),
        ("what is the length of the table of positions in {part}?",),
    ),
    "token_types": (
        ("how many token types does {part} tell apart?", "how many segment embeddings does {part} have?",
         "what is the number of token types of {part}?"),
        ("how many kinds of segments can be marked for {part}?",),
    ),
    "tied_embeddings": (
        ("are input and output embeddings of {part} tied?", "does the output layer of {part} share the weights of the "
         "embedding?", "is the word embedding of {part} used again at the output?"),
        ("does {part} use one matrix for both embedding and prediction?",),
    ),
    "vocabulary": (
        ("how large is the vocabulary of {part}?", "how many tokens are in the vocabulary of {part}?",
         "how many rows does the token embedding of {part} have?"),
        ("how many different tokens can {part} embed?",),
    ),
    "patch_size": (
        ("what patch size does {part} use?", "how large are the patches that {part} cuts an image into?",
         "what is the side of a patch in {part}?"),
        ("into squares of how many pixels does {part} cut its input?",),
    ),
    "stem_kernel": (
        ("what kernel size does the first convolution of {part} have?",
         "how large is the kernel of the stem of {part}?",
         "which kernel does the first convolution on the image use in {part}?"),
        ("how many pixels wide is the kernel that {part} meets the image with?",),
    ),
    "stem_stride": (
        ("what is the stride of the first convolution in {part}?", "with which stride does the stem of {part} run?",
         "by what stride does the first convolution of {part} shrink the image?"),
        ("how far does the first kernel of {part} move at each step?",),
    ),
    "form": (
        ("is {part} an encoder, a decoder, or both?", "what form of transformer is {part}?",
         "is {part} encoder-only, decoder-only or encoder-decoder?"),
        ("which parts of a transformer does {part} have?",),
    ),
    "architecture_kind": (
        ("what kind of network is {part}?", "is {part} convolutional, a transformer or something else?",
         "to which kind of architecture does {part} belong?"),
        ("what sort of architecture is {part}?",),
    ),
    "state_space": (
        ("does {part} have state space layers?", "are selective state space layers used in {part}?",
         "is there a state space model in {part}?"),
        ("does {part} scan its sequence with a state space?",),
    ),
    "num_towers": (
        ("how many towers does {part} have?", "of how many separate stacks of layers does {part} consist?",
         "what is the number of towers in {part}?"),
        ("into how many towers do the layers of {part} fall?",),
    ),
    "deeper_tower": (
        ("which tower of {part} has more layers?", "which is the deeper tower of {part}?",
         "which of the two towers of {part} is deeper?"),
        ("which tower of {part} stacks the greater number of layers?",),
    ),
    "kv_cache": (
        ("how many bytes of kv cache does {part} need for each token in 16 bit?",
         "what is the size of the key and value cache of {part} per token, in bytes at 16 bit?",
         "how many bytes do keys and values of one token take in {part} at half precision?"),
        ("in 16 bit, how many bytes do the keys and values of a single token fill in {part}?",),
    ),
    "parameters": (
        ("about how many parameters does {part} have?", "what is the number of parameters of {part}, to two digits?",
         "how large is {part} in parameters, roughly?"),
        ("rounded to two digits, how many weights does {part} learn?",),
    ),
    "weight_memory": (
        ("about how many bytes do the weights of {part} take in 16 bit?",
         "how much memory in bytes does {part} need for its weights at half precision, to two digits?",
         "what is the size of the weights of {part} in bytes at 16 bit, roughly?"),
        ("rounded to two digits, how many bytes hold the 16 bit weights of {part}?",),
    ),
    "flops_per_token": (
        ("about how many FLOPs do the weight matrices of {part} take for each token?",
         "how many FLOPs per token does {part} spend on its linear layers, to two digits?",
         "without attention scores, roughly how many FLOPs does {part} need for one token?"),
        ("rounded to two digits, what do the linear layers of {part} cost in FLOPs per token?",),
    ),
    "num_stages": (
        ("how many stages does {part} have?", "in how many stages does {part} process an image?",
         "what is the number of stages of {part}?"),
        ("at how many widths or resolutions do the blocks of {part} work?",),
    ),
    "block_kernels": (
        ("which kernel sizes do the convolutions inside the blocks of {part} have?",
         "what kernels are used inside the layers of {part}?", "name the kernel sizes within the blocks of {part}"),
        ("with which kernels do the blocks of {part} convolve?",),
    ),
    "head_pooling": (
        ("what pooling stands between the last convolution and the end of {part}?",
         "which pooling does the head of {part} use?", "how are features pooled at the end of {part}?"),
        ("by which pooling layer does {part} reduce its last feature map?",),
    ),
    "downsampling": (
        ("how many convolution and pooling layers of {part} have a stride above one?",
         "in how many layers does {part} reduce the resolution?", "count the strided layers of {part}"),
        ("how many convolutions and poolings make the map smaller in {part}?",),
    ),
    "depthwise_convolutions": (
        ("does {part} use depthwise convolutions?", "are there depthwise convolutions in {part}?",
         "does some convolution of {part} have one filter per channel?"),
        ("is any convolution of {part} depthwise?",),
    ),
    "grouped_convolutions": (
        ("does {part} have grouped convolutions other than depthwise ones?",
         "are channels convolved in groups of several in {part}?",
         "beside depthwise ones, does {part} use grouped convolutions?"),
        ("is any convolution of {part} split into groups of more than one channel?",),
    ),
    "dilated_convolutions": (
        ("does {part} use dilated convolutions?", "are there dilated convolutions in {part}?",
         "does some convolution of {part} have a dilation above one?"),
        ("is any convolution of {part} spread out by dilation?",),
    ),
    "transposed_convolutions": (
        ("does {part} use transposed convolutions?", "are there transposed convolutions in {part}?",
         "does {part} upsample by transposed convolution?"),
        ("is any convolution of {part} a transposed one?",),
    ),
    "skip_connections": (
        ("how many skip connections end in an addition in {part}?",
         "what is the number of identity shortcuts in {part}?",
         "how often does {part} add a value to what its layers made of it?"),
        ("how many additions of {part} close a residual connection?",),
    ),
    "num_inputs": (
        ("how many inputs does {part} take?", "how many tensors does {part} read?",
         "what is the number of inputs of {part}?"),
        ("how many tensors have to be given to {part}?",),
    ),
    "num_outputs": (
        ("how many outputs does {part} give?", "how many tensors does {part} return?",
         "what is the number of outputs of {part}?"),
        ("how many tensors come out of {part}?",),
    ),
    "input_kind": (
        ("what kind of input does {part} read?", "does {part} take tokens, an image or a signal?",
         "what is given to {part} as input?"),
        ("on what sort of data does {part} run?",),
    ),
}  # fmt: skip
"""Type -> forms of all splits, and forms that only validation and test have."""

_TOWER_NAMES: dict[str, tuple[str, ...]] = {
    "encoder": ("the encoder of {net}",),
    "decoder": ("the decoder of {net}",),
    "text": ("the text tower of {net}", "the language part of {net}"),
    "vision": ("the vision tower of {net}", "the image part of {net}"),
    "audio": ("the audio tower of {net}", "the sound part of {net}"),
}


def modern_forms(question_type: str, split: str) -> tuple[str, ...]:
    """Forms of a type that a split uses.

    Raises:
        KeyError: an unknown type.
        ValueError: an unknown split.
    """
    common, held_out = MODERN_FORMS[question_type]
    return common + (held_out if is_held_out(split) else ())


def say_modern(rng: random.Random, question_type: str, tower: str = "", split: str = "train") -> str:
    """A wording of a question on a network, or on one of its towers; errors as `modern_forms`."""
    net = rng.choice(NETWORK_NAMES)
    part = rng.choice(_TOWER_NAMES[tower]).format(net=net) if tower else net
    return rng.choice(modern_forms(question_type, split)).format(part=part)

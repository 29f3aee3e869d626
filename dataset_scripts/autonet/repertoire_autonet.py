"""The op types that generated networks are made of, with the works that they come from.

An op type is the name that the tracer writes into a graph. `measure_repertoire` counts in how many networks each of
them occurs; in the usual mix none of them is in fewer than `MIN_SHARE`. The networks of the `test` split have other
styles, but no other op types.
"""

from __future__ import annotations

from typing import NamedTuple

from processing_archbert.ops_archbert import op_category

MIN_SHARE = 0.005
"""The least share of the networks of the usual mix that an op type of the repertoire occurs in."""

GRAPH_ENDS: tuple[str, ...] = ("input", "output")
"""Nodes that every graph has; they are no operations, and not counted as part of the repertoire."""

_SOURCES: dict[str, str] = {
    # convolution
    "Conv1d": "Waibel et al. 1989, IEEE TASSP 37(3)",
    "Conv2d": "LeCun et al. 1998, Proc. IEEE 86(11)",
    "Conv3d": "Tran et al. 2014, arXiv 1412.0767",
    "ConvTranspose1d": "Donahue et al. 2018, arXiv 1802.04208",
    "ConvTranspose2d": "Zeiler et al. 2010, CVPR",
    # pooling
    "MaxPool1d": "Zhang et al. 2015, arXiv 1509.01626",
    "MaxPool2d": "Krizhevsky et al. 2012, NeurIPS 25",
    "MaxPool3d": "Tran et al. 2014, arXiv 1412.0767",
    "AvgPool1d": "Dai et al. 2020, arXiv 2006.03236",
    "AvgPool2d": "LeCun et al. 1998, Proc. IEEE 86(11)",
    "AvgPool3d": "Carreira and Zisserman 2017, arXiv 1705.07750",
    "AdaptiveAvgPool1d": "torch.nn",
    "AdaptiveAvgPool2d": "Lin et al. 2013, arXiv 1312.4400",
    "AdaptiveAvgPool3d": "Carreira and Zisserman 2017, arXiv 1705.07750",
    "AdaptiveMaxPool1d": "Kim 2014, arXiv 1408.5882",
    "AdaptiveMaxPool2d": "Woo et al. 2018, arXiv 1807.06521",
    "AdaptiveMaxPool3d": "torch.nn",
    "LPPool1d": "Sermanet et al. 2012, arXiv 1204.3968",
    "LPPool2d": "Sermanet et al. 2012, arXiv 1204.3968",
    # normalization
    "BatchNorm1d": "Ioffe and Szegedy 2015, arXiv 1502.03167",
    "BatchNorm2d": "Ioffe and Szegedy 2015, arXiv 1502.03167",
    "BatchNorm3d": "Ioffe and Szegedy 2015, arXiv 1502.03167",
    "InstanceNorm1d": "Ulyanov et al. 2016, arXiv 1607.08022",
    "InstanceNorm2d": "Ulyanov et al. 2016, arXiv 1607.08022",
    "InstanceNorm3d": "Ulyanov et al. 2016, arXiv 1607.08022",
    "LayerNorm": "Ba et al. 2016, arXiv 1607.06450",
    "GroupNorm": "Wu and He 2018, arXiv 1803.08494",
    "RMSNorm": "Zhang and Sennrich 2019, arXiv 1910.07467",
    "LocalResponseNorm": "Krizhevsky et al. 2012, NeurIPS 25",
    # activation
    "ReLU": "Nair and Hinton 2010, ICML",
    "ReLU6": "Howard et al. 2017, arXiv 1704.04861",
    "GELU": "Hendrycks and Gimpel 2016, arXiv 1606.08415",
    "SiLU": "Elfwing et al. 2017, arXiv 1702.03118",
    "Sigmoid": "Rumelhart et al. 1986, Nature 323",
    "Tanh": "LeCun et al. 1998, Proc. IEEE 86(11)",
    "ELU": "Clevert et al. 2015, arXiv 1511.07289",
    "CELU": "Barron 2017, arXiv 1704.07483",
    "SELU": "Klambauer et al. 2017, arXiv 1706.02515",
    "LeakyReLU": "Maas et al. 2013, ICML workshop on speech and language",
    "PReLU": "He et al. 2015, arXiv 1502.01852",
    "RReLU": "Xu et al. 2015, arXiv 1505.00853",
    "Mish": "Misra 2019, arXiv 1908.08681",
    "Hardswish": "Howard et al. 2019, arXiv 1905.02244",
    "Hardsigmoid": "Courbariaux et al. 2015, arXiv 1511.00363",
    "Hardtanh": "torch.nn",
    "Hardshrink": "Donoho and Johnstone 1994, Biometrika 81(3)",
    "Softshrink": "Donoho and Johnstone 1994, Biometrika 81(3)",
    "Tanhshrink": "torch.nn",
    "Softplus": "Dugas et al. 2000, NeurIPS 13",
    "Softsign": "Glorot and Bengio 2010, AISTATS",
    "LogSigmoid": "torch.nn",
    "GLU": "Dauphin et al. 2016, arXiv 1612.08083",
    "ReLUSquared": "So et al. 2021, arXiv 2109.08668",
    "Laplace": "Ma et al. 2022, arXiv 2209.10655",
    "Softmax": "Bridle 1990, NeurIPS 2",
    "LogSoftmax": "torch.nn",
    # linear, embedding, attention, recurrent
    "Linear": "Rosenblatt 1958, Psychological Review 65(6)",
    "Bilinear": "Socher et al. 2013, NeurIPS 26",
    "Embedding": "Bengio et al. 2003, JMLR 3",
    "EmbeddingBag": "Joulin et al. 2016, arXiv 1607.01759",
    "MultiheadAttention": "Vaswani et al. 2017, arXiv 1706.03762",
    "scaled_dot_product_attention": "Vaswani et al. 2017, arXiv 1706.03762",
    "RotaryEmbedding": "Su et al. 2021, arXiv 2104.09864",
    "LSTM": "Hochreiter and Schmidhuber 1997, Neural Computation 9(8)",
    "GRU": "Cho et al. 2014, arXiv 1406.1078",
    "RNN": "Elman 1990, Cognitive Science 14(2)",
    # change of size, rearrangement, comparison
    "Upsample": "Long et al. 2014, arXiv 1411.4038",
    "PixelShuffle": "Shi et al. 2016, arXiv 1609.05158",
    "PixelUnshuffle": "Ridnik et al. 2020, arXiv 2003.13630",
    "ChannelShuffle": "Zhang et al. 2017, arXiv 1707.01083",
    "pad": "torch.nn.functional",
    "CosineSimilarity": "Reimers and Gurevych 2019, arXiv 1908.10084",
    "normalize": "Radford et al. 2021, arXiv 2103.00020",
    "roll": "Liu et al. 2021, arXiv 2103.14030",
    "cat": "Huang et al. 2016, arXiv 1608.06993",
    "stack": "torch",
    "getitem": "torch",
    "scatter": "Fedus et al. 2021, arXiv 2101.03961",
    # arithmetic, reduction, signal, experts
    "add": "He et al. 2015, arXiv 1512.03385",
    "sub": "Yu et al. 2021, arXiv 2111.11418",
    "mul": "Hu et al. 2017, arXiv 1709.01507",
    "div": "torch",
    "matmul": "Vaswani et al. 2017, arXiv 1706.03762",
    "einsum": "torch",
    "neg": "Su et al. 2021, arXiv 2104.09864",
    "pow": "torch",
    "exp": "Gu and Dao 2023, arXiv 2312.00752",
    "abs": "Conneau et al. 2017, arXiv 1705.02364",
    "clamp": "torch",
    "mean": "torch",
    "sum": "Katharopoulos et al. 2020, arXiv 2006.16236",
    "amax": "Woo et al. 2018, arXiv 1807.06521",
    "norm": "Woo et al. 2023, arXiv 2301.00808",
    "cumsum": "Peng et al. 2023, arXiv 2305.13048",
    "topk": "Shazeer et al. 2017, arXiv 1701.06538",
    "fft2": "Lee-Thorp et al. 2021, arXiv 2105.03824",
    "grouped_mm": "Gale et al. 2022, arXiv 2211.15841",
}


class Operation(NamedTuple):
    """One row of the repertoire.

    Attributes:
        category: what kind of operation it is, as `processing_archbert.ops_archbert.op_category` says it.
        source: the work that introduced it, or made it known in this use; the part of torch where it has no such work.
    """

    category: str
    source: str


REPERTOIRE: dict[str, Operation] = {name: Operation(op_category(name), source) for name, source in _SOURCES.items()}
"""Op type -> category and source, for every operation that a generated network can have."""

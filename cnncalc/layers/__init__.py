"""All layers: `REGISTRY` by op name, and the classes for the Python API.

>>> from cnncalc.layers import Conv
>>> Conv(filters=96, kernel=11, stride=4)
Conv(filters=96, kernel=11, stride=4)
"""

from .activation import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .arithmetic import Abs, Clip, Exp, Max, Normalise, Power, Rescale, Sum
from .attention import Attention
from .base import REGISTRY, Fix, Layer, Misfit, Reach, Run, Shape
from .conv import Conv, ConvTranspose, DepthwiseConv, SeparableConv
from .dense import Dense, Linear, SoftmaxCrossEntropy
from .merge import Add, Average, Concat, Divide, Matmul, Maximum, Minimum, Multiply, Subtract
from .norm import (
    LRN,
    BatchNorm,
    Dropout,
    GroupNorm,
    Identity,
    LayerNorm,
    LayerScale,
    Scale,
    StochasticDepth,
)
from .opaque import Opaque
from .piecewise import (
    CELU,
    GLU,
    SELU,
    Hardshrink,
    Hardtanh,
    LogSigmoid,
    Softshrink,
    Softsign,
    Tanhshrink,
)
from .pool import (
    AdaptiveAvgPool,
    AvgPool,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    Subsample,
)
from .recurrent import GRU, LSTM
from .resample import Resize
from .reshape import ChannelShuffle, Flatten, Mean, Permute, Reshape
from .resize import Crop, Pad, PixelShuffle, Upsample
from .select import Chunk, Expand, Gather, Slice, Split, Squeeze, Unsqueeze
from .tokens import ClassToken, Constant, Embedding, Parameter, Positional
from .windows import Roll, WindowPartition, WindowReverse

RESERVED = frozenset({
    "conv", "depthwise_conv", "separable_conv", "conv_transpose", "maxpool", "avgpool",
    "global_avgpool", "global_maxpool", "adaptive_avgpool", "dense", "linear", "flatten",
    "reshape", "permute", "pad", "crop", "upsample", "pixel_shuffle", "channel_shuffle",
    "slice", "mean", "batchnorm", "layernorm", "groupnorm", "lrn", "scale", "subsample",
    "dropout", "identity", "relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "sigmoid",
    "tanh", "softmax", "log_softmax", "hardswish", "hardsigmoid", "prelu", "softplus", "mish",
    "attention", "embedding", "lstm", "gru", "concat", "add", "multiply", "matmul",
    "softmax_cross_entropy",
})  # fmt: skip
"""Ops whose names no block may take. Ops added since give way to a block of their name, so
that a spec written before them keeps its meaning."""

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "GRU",
    "LRN",
    "LSTM",
    "REGISTRY",
    "RESERVED",
    "SELU",
    "Abs",
    "AdaptiveAvgPool",
    "Add",
    "Attention",
    "Average",
    "AvgPool",
    "BatchNorm",
    "ChannelShuffle",
    "Chunk",
    "ClassToken",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "ConvTranspose",
    "Crop",
    "Dense",
    "DepthwiseConv",
    "Divide",
    "Dropout",
    "Embedding",
    "Exp",
    "Expand",
    "Fix",
    "Flatten",
    "Gather",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "Layer",
    "LayerNorm",
    "LayerScale",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "Matmul",
    "Max",
    "MaxPool",
    "Maximum",
    "Mean",
    "Minimum",
    "Misfit",
    "Mish",
    "Multiply",
    "Normalise",
    "Opaque",
    "PReLU",
    "Pad",
    "Parameter",
    "Permute",
    "PixelShuffle",
    "Positional",
    "Power",
    "ReLU",
    "ReLU6",
    "Reach",
    "Rescale",
    "Reshape",
    "Resize",
    "Roll",
    "Run",
    "Scale",
    "SeparableConv",
    "Shape",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Split",
    "Squeeze",
    "StochasticDepth",
    "Subsample",
    "Subtract",
    "Sum",
    "Tanh",
    "Tanhshrink",
    "Unsqueeze",
    "Upsample",
    "WindowPartition",
    "WindowReverse",
]

"""All layers: `REGISTRY` by op name, and the classes for the Python API.

>>> from cnncalc.layers import Conv
>>> Conv(filters=96, kernel=11, stride=4)
Conv(filters=96, kernel=11, stride=4)
"""

from .activation import (
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    LogSoftmax,
    Mish,
    PRelu,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from .base import REGISTRY, Fix, Layer, Misfit, Reach, Run, Shape
from .conv import Conv, ConvTranspose, DepthwiseConv, SeparableConv
from .dense import Dense, Linear, SoftmaxCrossEntropy
from .merge import Add, Concat, Multiply
from .norm import BatchNorm, Dropout, GroupNorm, Identity, LayerNorm, Lrn, Scale
from .pool import (
    AdaptiveAvgPool,
    AvgPool,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    Subsample,
)
from .reshape import ChannelShuffle, Flatten, Mean, Permute, Reshape, Slice
from .resize import Crop, Pad, PixelShuffle, Upsample

__all__ = [
    "REGISTRY",
    "AdaptiveAvgPool",
    "Add",
    "AvgPool",
    "BatchNorm",
    "ChannelShuffle",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Crop",
    "Dense",
    "DepthwiseConv",
    "Dropout",
    "Elu",
    "Fix",
    "Flatten",
    "Gelu",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "Linear",
    "LogSoftmax",
    "Lrn",
    "MaxPool",
    "Mean",
    "Misfit",
    "Mish",
    "Multiply",
    "PRelu",
    "Pad",
    "Permute",
    "PixelShuffle",
    "Reach",
    "Relu",
    "Relu6",
    "Reshape",
    "Run",
    "Scale",
    "SeparableConv",
    "Shape",
    "Sigmoid",
    "Silu",
    "Slice",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Subsample",
    "Tanh",
    "Upsample",
]

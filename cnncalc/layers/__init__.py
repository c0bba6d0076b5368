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
from .base import REGISTRY, Fix, Layer, Misfit, Reach, Run, Shape
from .conv import Conv, ConvTranspose, DepthwiseConv, SeparableConv
from .dense import Dense, Linear, SoftmaxCrossEntropy
from .merge import Add, Concat, Multiply
from .norm import LRN, BatchNorm, Dropout, GroupNorm, Identity, LayerNorm, Scale
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
    "ELU",
    "GELU",
    "LRN",
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
    "Fix",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool",
    "Mean",
    "Misfit",
    "Mish",
    "Multiply",
    "PReLU",
    "Pad",
    "Permute",
    "PixelShuffle",
    "ReLU",
    "ReLU6",
    "Reach",
    "Reshape",
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
    "Subsample",
    "Tanh",
    "Upsample",
]

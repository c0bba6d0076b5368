"""What each type of Caffe layer is in the spec language (caffe.proto, src/caffe/layers)."""

from collections.abc import Callable

from .joining import (
    concat,
    crop,
    eltwise,
    flatten,
    interp,
    normalise,
    reshape,
    shuffle,
    slice_,
    split,
    upsample,
)
from .reading import Entry, Net
from .values import (
    batchnorm,
    bias,
    bn,
    clip,
    dropout,
    elu,
    lrn,
    power,
    prelu,
    relu,
    scale,
    simple,
    softmax,
)
from .windows import convolution, inner_product, pooling

TABLE: dict[str, Callable[[Net, Entry], None]] = {
    "Convolution": convolution, "Deconvolution": convolution,
    "DepthwiseConvolution": convolution, "ConvolutionDepthwise": convolution,
    "Pooling": pooling, "InnerProduct": inner_product, "ReLU": relu, "PReLU": prelu, "ELU": elu,
    "Sigmoid": simple("sigmoid"), "TanH": simple("tanh"), "Softmax": softmax,
    "Bias": bias, "Clip": clip,
    "ReLU6": simple("relu6"), "Swish": simple("silu"), "AbsVal": simple("abs"),
    "BNLL": simple("softplus"), "HSigmoid": simple("hardsigmoid"), "Mish": simple("mish"),
    "LRN": lrn, "Dropout": dropout, "BatchNorm": batchnorm, "BN": bn, "Scale": scale,
    "Power": power, "Concat": concat, "Eltwise": eltwise, "Slice": slice_, "Split": split,
    "Flatten": flatten, "Reshape": reshape, "Crop": crop, "ShuffleChannel": shuffle,
    "Normalize": normalise, "Interp": interp, "Upsample": upsample,
}  # fmt: skip

"""The classic Caffe networks: every blob by Caffe's formulas, parameters as published.

    python tests/campaigns/caffe_nets.py [FOLDER...]

Without a folder the networks are written here, layer by layer from their papers, in the three
syntaxes of Caffe's files. With folders, all prototxts in them are read, a solver's passed over.
The blobs' shapes, weights and multiply-adds are computed a second time by a walker of its own,
from the formulas of conv_layer.cpp, base_conv_layer.cpp, deconv_layer.cpp, pooling_layer.cpp,
inner_product_layer.cpp, crop_layer.cpp, eltwise_layer.cpp and concat_layer.cpp; what the walker
does not know is said. The exit status is 1 where anything differs.
"""

import re
import sys
import tempfile
from math import ceil, floor, prod
from pathlib import Path

import cnncalc
from cnncalc.diagnostics import Problem
from cnncalc.importers import convert
from cnncalc.importers.caffe import draft

# --- the walker: Caffe's own formulas, channels first ---------------------------------------

TOKEN = re.compile(r'#[^\n]*|"[^"]*"|\'[^\']*\'|[{}:\[\],;<>]|[^\s{}:"\'#\[\],;<>]+')


def text_format(text):
    """Protobuf's text format: every field is a list of its values."""
    tokens = [t for t in TOKEN.findall(text) if t[0] not in "#,;"]
    at = 0

    def message(end):
        nonlocal at
        found = {}
        while at < len(tokens) and tokens[at] not in end:
            name = tokens[at]
            at += 1
            if tokens[at] == ":":
                at += 1
            values = found.setdefault(name, [])
            if tokens[at] in "{<":
                at += 1
                values.append(message("}>"))
            elif tokens[at] == "[":
                stop = tokens.index("]", at)
                values.extend(tokens[at + 1 : stop])
                at = stop
            else:
                values.append(tokens[at].strip("\"'"))
            at += 1
        return found

    return message("")


def numbers(p, name, default, rank, short=""):
    short = short or name
    found = p.get(name) or p.get(short + "_h", []) + p.get(short + "_w", [])
    found = [int(v) for v in found] or [default]
    return found * rank if len(found) == 1 else found


class Unknown(Exception):
    """A layer that the walker has no formula for."""


def windows(p, c, space):
    rank = len(space)
    k = numbers(p, "kernel_size", 0, rank, "kernel")
    s, pad = (numbers(p, name, 1 - i, rank) for i, name in enumerate(("stride", "pad")))
    d = numbers(p, "dilation", 1, rank)
    extent = [x * (n - 1) + 1 for n, x in zip(k, d, strict=True)]
    return k, s, pad, extent


def convolution(p, bottoms, transposed):
    c, *space = bottoms[0]
    k, s, pad, extent = windows(p, c, space)
    filters, groups = int(p["num_output"][0]), int(p.get("group", [1])[0])
    bias = p.get("bias_term", ["true"])[0] in ("true", "1")
    rows = list(zip(space, extent, s, pad, strict=True))
    if transposed:  # deconv_layer.cpp
        out = [b * (n - 1) + e - 2 * a for n, e, b, a in rows]
    else:  # conv_layer.cpp; C's division
        out = [int((n + 2 * a - e) / b) + 1 for n, e, b, a in rows]
    kernel = prod(k) * c * filters // groups
    return [filters, *out], kernel + filters * bias, kernel * prod(space if transposed else out)


def pooling(p, bottoms):
    c, *space = bottoms[0]
    if p.get("global_pooling", ["false"])[0] == "true":
        return [c] + [1] * len(space)
    k, s, pad, _ = windows(p, c, space)
    way = floor if p.get("round_mode", ["CEIL"])[0] in ("FLOOR", "1") else ceil
    out = []
    for n, kernel, step, a in zip(space, k, s, pad, strict=True):
        size = way((n + 2 * a - kernel) / step) + 1
        if any(pad) and (size - 1) * step >= n + a:
            size -= 1
        out.append(size)
    return [c, *out]


SAME = {"RELU", "PRELU", "ELU", "SIGMOID", "TANH", "LRN", "DROPOUT", "SOFTMAX", "BATCHNORM",
        "SCALE", "BN", "POWER", "ABSVAL", "BNLL", "SPLIT", "RELU6", "BIAS"}  # fmt: skip


def crop(layer, bottoms, trained):
    return [bottoms[0][0], *bottoms[1][1:]], 0, 0


def concat(layer, bottoms, trained):
    axis = int(layer.get("concat_param", [{}])[0].get("axis", [1])[0]) - 1
    out = list(bottoms[0])
    out[axis] = sum(b[axis] for b in bottoms)
    return out, 0, 0


def inner_product(layer, bottoms, trained):
    p = layer["inner_product_param"][0]
    units, bias = int(p["num_output"][0]), p.get("bias_term", ["true"])[0] == "true"
    return [units], prod(bottoms[0]) * units + units * bias, prod(bottoms[0]) * units


def upsample(layer, bottoms, trained):
    """upsample_layer.cpp of SegNet's Caffe."""
    p = layer["upsample_param"][0]
    c, *space = bottoms[0]
    if "upsample_h" in p:
        return [c, int(p["upsample_h"][0]), int(p["upsample_w"][0])], 0, 0
    less = [int(p.get("pad_out_" + side, ["false"])[0] == "true") for side in "hw"]
    return [c, *(n * int(p["scale"][0]) - a for n, a in zip(space, less, strict=True))], 0, 0


def same(layer, bottoms, trained):
    params = 0
    kind = layer["type"][0].upper()
    if kind == "SCALE" and len(bottoms) == 1:
        p = layer.get("scale_param", [{}])[0]
        params = bottoms[0][0] * (1 + (p.get("bias_term", ["false"])[0] == "true"))
    elif kind == "BN":
        params = 2 * bottoms[0][0]
    elif kind in ("PRELU", "BIAS"):
        params = bottoms[0][0]
    return bottoms[0], params, 0


KINDS = {
    "CROP": crop, "CONCAT": concat, "INNERPRODUCT": inner_product, "UPSAMPLE": upsample,
    "ELTWISE": lambda layer, bottoms, trained: (bottoms[0], 0, 0),
    "FLATTEN": lambda layer, bottoms, trained: ([prod(bottoms[0])], 0, 0),
    "POOLING": lambda layer, b, trained: (pooling(layer["pooling_param"][0], b), 0, 0),
    "CONVOLUTION": lambda layer, b, t: convolution(layer["convolution_param"][0], b, False),
    "DECONVOLUTION": lambda layer, b, t: convolution(layer["convolution_param"][0], b, True),
    **dict.fromkeys(SAME, same),
}  # fmt: skip
DATA = ("INPUT", "DATA", "IMAGEDATA", "HDF5DATA", "MEMORYDATA", "DUMMYDATA")
ENDS = ("ACCURACY", "SILENCE", "SOFTMAXWITHLOSS", "SOFTMAXLOSS", "EUCLIDEANLOSS",
        "SIGMOIDCROSSENTROPYLOSS", "CONTRASTIVELOSS")  # fmt: skip


def walked(text):
    """Shapes by the layers' names; parameters; multiply-adds."""
    net = text_format(text)
    blobs, dims = {}, [int(d) for d in net.get("input_dim", [])]
    for i, name in enumerate(net.get("input", [])):
        shape = net["input_shape"][i]["dim"] if "input_shape" in net else dims[4 * i : 4 * i + 4]
        blobs[name] = [int(d) for d in shape][1:]
    shapes, params, macs, shared = {}, 0, 0, set()
    for layer in net.get("layer", []) + net.get("layers", []):
        kind = layer["type"][0].upper().replace("_", "")
        phases = [rule.get("phase", ["TEST"])[0] for rule in layer.get("include", [])]
        if kind in ENDS or (phases and "TEST" not in phases):
            continue
        if kind in DATA:
            given = layer.get("input_param", layer.get("dummy_data_param", [{}]))[0]
            if "shape" not in given:
                raise Unknown(f"{kind} without a size")
            blobs[layer["top"][0]] = [int(d) for d in given["shape"][0]["dim"]][1:]
            continue
        if kind not in KINDS:
            raise Unknown(kind)
        names = tuple(p.get("name", [""])[0] for p in layer.get("param", []) if isinstance(p, dict))
        out, weights, products = KINDS[kind](layer, [blobs[b] for b in layer["bottom"]], None)
        if not (names and all(names) and names in shared):
            params += weights
        shared.add(names)
        macs += products
        for top in layer["top"]:
            blobs[top] = out
        shapes[layer["name"][0]] = out
    return shapes, params, macs


# --- the networks, written from their papers ------------------------------------------------


class Writer:
    """A prototxt, layer by layer; a layer reads the one before unless told otherwise."""

    def __init__(self, name, *shape, syntax="layer"):
        self.syntax, self.count = syntax, 0
        if syntax == "layer":
            dims = " ".join(f"dim: {n}" for n in (1, *shape))
            self.text = f'name: "{name}"\nlayer {{ name: "data" type: "Input" top: "data" '
            self.text += f"input_param {{ shape {{ {dims} }} }} }}\n"
        else:
            self.text = f'name: "{name}"\ninput: "data"\n'
            self.text += "".join(f"input_dim: {n}\n" for n in (1, *shape))
        self.at = "data"

    def layer(self, kind, name="", *bottoms, top="", param="", more="", **fields):
        self.count += 1
        name = name or f"{kind.lower()}{self.count}"
        top = top or name
        head = f'name: "{name}" type: "{kind}"'
        if self.syntax == "layers":
            old = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).upper()
            head = f'name: "{name}" type: {old}'.replace("RE_LU", "RELU").replace("TAN_H", "TANH")
        reads = " ".join(f'bottom: "{b}"' for b in bottoms or (self.at,))
        inner = " ".join(f"{k}: {v}" for k, v in fields.items())
        body = f" {param}_param {{ {inner} }}" if param else ""
        word = "layers" if self.syntax == "layers" else "layer"
        self.text += f'{word} {{ {head} {reads} top: "{top}"{body} {more}}}\n'
        self.at = top
        return top

    def conv(self, name, filters, k, *bottoms, relu=True, **fields):
        made = self.layer("Convolution", name, *bottoms, param="convolution",
                          num_output=filters, kernel_size=k, **fields)  # fmt: skip
        if relu:
            self.layer("ReLU", f"{name}/relu", top=made)
        return made

    def pool(self, name, k, s, *bottoms, way="MAX", **fields):
        return self.layer("Pooling", name, *bottoms, param="pooling", pool=way, kernel_size=k,
                          stride=s, **fields)  # fmt: skip

    def dense(self, name, units, relu=True, **more):
        made = self.layer("InnerProduct", name, param="inner_product", num_output=units, **more)
        if relu:
            self.layer("ReLU", f"{name}/relu", top=made)
            self.layer("Dropout", f"{name}/drop", top=made, param="dropout", dropout_ratio=0.5)
        return made

    def norm(self, name, *bottoms, relu=True, top=""):
        """Statistics, and the factor and shift behind them."""
        made = self.layer("BatchNorm", f"{name}/bn", *bottoms, top=top or f"{name}/bn")
        self.layer("Scale", f"{name}/scale", top=made, param="scale", bias_term="true")
        if relu:
            self.layer("ReLU", f"{name}/relu", top=made)
        return made

    def unit(self, name, filters, k, *bottoms, relu=True, **fields):
        made = self.conv(name, filters, k, *bottoms, relu=False, bias_term="false", **fields)
        return self.norm(name, top=made, relu=relu)


def lenet(syntax="layer"):
    w = Writer("LeNet", 1, 28, 28, syntax=syntax)
    w.conv("conv1", 20, 5, relu=False)
    w.pool("pool1", 2, 2)
    w.conv("conv2", 50, 5, relu=False)
    w.pool("pool2", 2, 2)
    w.layer("InnerProduct", "ip1", param="inner_product", num_output=500)
    w.layer("ReLU", "relu1", top="ip1")
    w.layer("InnerProduct", "ip2", param="inner_product", num_output=10)
    w.layer("Softmax", "prob")
    return w.text


def alexnet(norm_first, classes=1000):
    """AlexNet normalises before it pools, CaffeNet after."""
    w = Writer("AlexNet", 3, 227, 227, syntax="layers")

    def both(i):
        steps = [lambda: w.layer("LRN", f"norm{i}", param="lrn", local_size=5, alpha=0.0001,
                                 beta=0.75), lambda: w.pool(f"pool{i}", 3, 2)]  # fmt: skip
        for step in steps if norm_first else steps[::-1]:
            step()

    w.conv("conv1", 96, 11, stride=4)
    both(1)
    w.conv("conv2", 256, 5, pad=2, group=2)
    both(2)
    w.conv("conv3", 384, 3, pad=1)
    w.conv("conv4", 384, 3, pad=1, group=2)
    w.conv("conv5", 256, 3, pad=1, group=2)
    w.pool("pool5", 3, 2)
    w.dense("fc6", 4096)
    w.dense("fc7", 4096)
    w.dense("fc8", classes, relu=False)
    if classes == 1000:
        w.layer("Softmax", "prob")
    return w.text


def vgg(*depths):
    w = Writer("VGG", 3, 224, 224, syntax="layers")
    vgg_maps(w, depths)
    w.dense("fc6", 4096)
    w.dense("fc7", 4096)
    w.dense("fc8", 1000, relu=False)
    w.layer("Softmax", "prob")
    return w.text


def vgg_maps(w, depths, first=1):
    for i, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True), 1):
        for j in range(1, depth + 1):
            w.conv(f"conv{i}_{j}", width, 3, pad=first if i == j == 1 else 1)
        w.pool(f"pool{i}", 2, 2)


def nin():
    w = Writer("NIN", 3, 224, 224, syntax="layers")
    for i, (n, k, fields) in enumerate([
        (96, 11, {"stride": 4}), (256, 5, {"pad": 2}), (384, 3, {"pad": 1}), (1024, 3, {"pad": 1}),
    ], 1):  # fmt: skip
        w.conv(f"conv{i}", n, k, **fields)
        w.conv(f"cccp{i}a", n, 1)
        w.conv(f"cccp{i}b", 1000 if i == 4 else n, 1)
        if i < 4:
            w.pool(f"pool{i}", 3, 2)
    w.pool("pool4", 6, 1, way="AVE")
    w.layer("Softmax", "prob")
    return w.text


def squeezenet(version):
    w = Writer("SqueezeNet", 3, 227, 227)
    w.conv("conv1", *((96, 7) if version == 0 else (64, 3)), stride=2)
    pools = {1: 1, 4: 4, 8: 8} if version == 0 else {1: 1, 3: 3, 5: 5}
    w.pool("pool1", 3, 2)
    for i, s in enumerate((16, 16, 32, 32, 48, 48, 64, 64), 2):
        squeezed = w.conv(f"fire{i}/squeeze1x1", s, 1)
        a = w.conv(f"fire{i}/expand1x1", 4 * s, 1, squeezed)
        b = w.conv(f"fire{i}/expand3x3", 4 * s, 3, squeezed, pad=1)
        w.layer("Concat", f"fire{i}/concat", a, b)
        if i in pools:
            w.pool(f"pool{i}", 3, 2)
    w.layer("Dropout", "drop9", top=w.at, param="dropout", dropout_ratio=0.5)
    w.conv("conv10", 1000, 1)
    w.layer("Pooling", "pool10", param="pooling", pool="AVE", global_pooling="true")
    w.layer("Softmax", "prob")
    return w.text


def googlenet():
    w = Writer("GoogleNet", 3, 224, 224)
    w.conv("conv1", 64, 7, pad=3, stride=2)
    w.pool("pool1", 3, 2)
    w.layer("LRN", "norm1", param="lrn", local_size=5, alpha=0.0001, beta=0.75)
    w.conv("conv2/reduce", 64, 1)
    w.conv("conv2", 192, 3, pad=1)
    w.layer("LRN", "norm2", param="lrn", local_size=5, alpha=0.0001, beta=0.75)
    w.pool("pool2", 3, 2)
    table = {
        "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "pool3": None,
        "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128), "pool4": None,
        "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
    }  # fmt: skip
    for name, sizes in table.items():
        if sizes is None:
            w.pool(name, 3, 2)
            continue
        a, b, c, d, e, f = sizes
        at = w.at
        parts = [w.conv(f"{name}/1x1", a, 1, at)]
        w.conv(f"{name}/3x3_reduce", b, 1, at)
        parts.append(w.conv(f"{name}/3x3", c, 3, pad=1))
        w.conv(f"{name}/5x5_reduce", d, 1, at)
        parts.append(w.conv(f"{name}/5x5", e, 5, pad=2))
        w.pool(f"{name}/pool", 3, 1, at, pad=1)
        parts.append(w.conv(f"{name}/proj", f, 1))
        w.layer("Concat", f"{name}/output", *parts)
    w.pool("pool5", 7, 1, way="AVE")
    w.layer("Dropout", "drop", top=w.at, param="dropout", dropout_ratio=0.4)
    w.dense("classifier", 1000, relu=False)
    w.layer("Softmax", "prob")
    return w.text


def resnet(*depths):
    w = Writer("ResNet", 3, 224, 224, syntax="layer")
    w.unit("conv1", 64, 7, pad=3, stride=2)
    w.pool("pool1", 3, 2)
    for i, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512), strict=True), 2):
        for j in range(depth):
            at, name = w.at, f"res{i}{chr(97 + j) if depth < 7 else 'b' + str(j)}"
            stride = 2 if j == 0 and i > 2 else 1
            short = at
            if j == 0:
                short = w.unit(f"{name}_branch1", 4 * width, 1, at, relu=False, stride=stride)
            w.unit(f"{name}_branch2a", width, 1, at, stride=stride)
            w.unit(f"{name}_branch2b", width, 3, pad=1)
            last = w.unit(f"{name}_branch2c", 4 * width, 1, relu=False)
            w.layer("Eltwise", name, short, last)
            w.layer("ReLU", f"{name}_relu", top=name)
    w.pool("pool5", 7, 1, way="AVE")
    w.dense("fc1000", 1000, relu=False)
    w.layer("Softmax", "prob")
    return w.text


def mobilenet():
    w = Writer("MobileNet", 3, 224, 224)
    w.unit("conv1", 32, 3, pad=1, stride=2)
    c = 32
    for i, (n, s) in enumerate([(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
                                *[(512, 1)] * 5, (1024, 2), (1024, 1)]):  # fmt: skip
        w.unit(f"conv{i + 2}/dw", c, 3, pad=1, stride=s, group=c)
        w.unit(f"conv{i + 2}/sep", n, 1)
        c = n
    w.layer("Pooling", "pool6", param="pooling", pool="AVE", global_pooling="true")
    w.conv("fc7", 1000, 1, relu=False)
    w.layer("Softmax", "prob")
    return w.text


def mobilenet_v2():
    w = Writer("MobileNet-V2", 3, 224, 224)
    w.unit("conv1", 32, 3, pad=1, stride=2)
    c = 32
    for i, (t, n, times, stride) in enumerate([
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]):  # fmt: skip
        for j in range(times):
            at, name, s = w.at, f"conv{i}_{j}", stride if j == 0 else 1
            if t > 1:
                w.unit(f"{name}/expand", t * c, 1)
            w.unit(f"{name}/dwise", t * c, 3, pad=1, stride=s, group=t * c)
            last = w.unit(f"{name}/linear", n, 1, relu=False)
            if s == 1 and c == n:
                w.layer("Eltwise", f"block{i}_{j}", at, last)
            c = n
    w.unit("conv6_4", 1280, 1)
    w.layer("Pooling", "pool6", param="pooling", pool="AVE", global_pooling="true")
    w.conv("fc7", 1000, 1, relu=False)
    w.layer("Softmax", "prob")
    return w.text


def densenet():
    w = Writer("DenseNet-121", 3, 224, 224, syntax="input")
    w.unit("conv1", 64, 7, pad=3, stride=2)
    w.pool("pool1", 3, 2, pad=1, round_mode="FLOOR")
    width = 64
    for i, depth in enumerate((6, 12, 24, 16), 2):
        for j in range(1, depth + 1):
            at = w.at
            w.norm(f"conv{i}_{j}/x1", at)
            w.conv(f"conv{i}_{j}/x1", 128, 1, relu=False, bias_term="false")
            w.norm(f"conv{i}_{j}/x2")
            made = w.conv(f"conv{i}_{j}/x2", 32, 3, relu=False, bias_term="false", pad=1)
            w.layer("Concat", f"concat_{i}_{j}", at, made)
            width += 32
        w.norm(f"conv{i}_blk", w.at)
        if i < 5:
            width //= 2
            w.conv(f"conv{i}_blk", width, 1, relu=False, bias_term="false")
            w.pool(f"pool{i}", 2, 2, way="AVE")
    w.layer("Pooling", "pool5", param="pooling", pool="AVE", global_pooling="true")
    w.conv("fc6", 1000, 1, relu=False)
    return w.text


def cifar(full):
    w = Writer("CIFAR10", 3, 32, 32, syntax="layers")
    for i, n in enumerate((32, 32, 64), 1):
        w.conv(f"conv{i}", n, 5, relu=i > 1, pad=2)
        w.pool(f"pool{i}", 3, 2, way="MAX" if i == 1 else "AVE")
        if i == 1:
            w.layer("ReLU", "relu1", top="pool1")
        if full and i < 3:
            w.layer("LRN", f"norm{i}", param="lrn", local_size=3, alpha=5e-05, beta=0.75)
    if not full:
        w.dense("ip0", 64, relu=False)
    w.dense("ip1", 10, relu=False)
    w.layer("Softmax", "prob")
    return w.text


def autoencoder():
    w = Writer("MNISTAutoencoder", 1, 28, 28)
    w.layer("Flatten", "flatdata")
    for i, n in enumerate((1000, 500, 250, 30, 250, 500, 1000, 784)):
        made = w.dense(f"code{i}", n, relu=False)
        if i not in (3, 7):
            w.layer("Sigmoid", f"code{i}/neuron", made, top=f"code{i}/neuron")
    return w.text


def siamese():
    """Both images through the same weights, by the names of their parameters."""
    w = Writer("mnist_siamese", 1, 28, 28, syntax="input")
    w.text += 'input: "data_p"\n' + "".join(f"input_dim: {n}\n" for n in (1, 1, 28, 28))

    def shared(name):
        return f'param {{ name: "{name}_w" lr_mult: 1 }} param {{ name: "{name}_b" lr_mult: 2 }} '

    for p in ("", "_p"):
        w.at = "data" + p
        for i, n in enumerate((20, 50), 1):
            w.conv(f"conv{i}{p}", n, 5, relu=False, more=shared(f"conv{i}"))
            w.pool(f"pool{i}{p}", 2, 2)
        for name, n in (("ip1", 500), ("ip2", 10), ("feat", 2)):
            w.dense(name + p, n, relu=False, more=shared(name))
            if name == "ip1":
                w.layer("ReLU", f"relu1{p}", top=name + p)
    return w.text


def fcn(classes=21):
    """FCN-8s: VGG-16 with a border of 100, scores of three depths added, enlarged, cropped."""
    w = Writer("FCN-8s", 3, 500, 500, syntax="layer")
    vgg_maps(w, (2, 2, 3, 3, 3), first=100)
    w.conv("fc6", 4096, 7)
    w.conv("fc7", 4096, 1)
    at = w.conv("score_fr", classes, 1, relu=False)
    for pool, offset in (("pool4", 5), ("pool3", 9)):
        up = w.layer("Deconvolution", f"up_{pool}", at, param="convolution", num_output=classes,
                     kernel_size=4, stride=2, bias_term="false")  # fmt: skip
        w.conv(f"score_{pool}", classes, 1, pool, relu=False)
        cut = w.layer("Crop", f"score_{pool}c", w.at, up, param="crop", axis=2, offset=offset)
        at = w.layer("Eltwise", f"fuse_{pool}", up, cut, param="eltwise", operation="SUM")
    up = w.layer("Deconvolution", "upscore8", param="convolution", num_output=classes,
                 kernel_size=16, stride=8, bias_term="false")  # fmt: skip
    w.layer("Crop", "score", up, "data", param="crop", axis=2, offset=31)
    return w.text


def segnet():
    """SegNet-Basic: pools that keep the places of their maxima, and their reverse."""
    w = Writer("segnet", 3, 360, 480)
    w.layer("LRN", "norm", param="lrn", local_size=5, alpha=0.0001, beta=0.75)
    bn = {"bn_mode": "INFERENCE"}
    for i in range(1, 5):
        w.conv(f"conv{i}", 64, 7, relu=False, pad=3)
        w.layer("BN", f"conv{i}_bn", top=w.at, param="bn", **bn)
        w.layer("ReLU", f"relu{i}", top=w.at)
        w.pool(f"pool{i}", 2, 2, more=f'top: "pool{i}_mask" ')
    for i in range(4, 0, -1):
        more = {"pad_out_h": "true"} if i == 4 else {}
        w.layer(
            "Upsample", f"upsample{i}", w.at, f"pool{i}_mask", param="upsample", scale=2, **more
        )
        w.conv(f"conv_decode{i}", 64, 7, relu=False, pad=3)
        w.layer("BN", f"conv_decode{i}_bn", top=w.at, param="bn", **bn)
    w.conv("conv_classifier", 11, 1, relu=False)
    w.layer("Softmax", "prob")
    return w.text


# The text, and the parameters that papers, model cards or frameworks' ports publish.
NETWORKS = {
    "lenet": (lenet(), 431_080),
    "lenet, old": (lenet("layers"), 431_080),
    "bvlc_alexnet": (alexnet(True), 60_965_224),
    "bvlc_reference_caffenet": (alexnet(False), 60_965_224),
    "bvlc_reference_rcnn_ilsvrc13": (alexnet(False, 200), 57_687_624),
    "vgg16": (vgg(2, 2, 3, 3, 3), 138_357_544),
    "vgg19": (vgg(2, 2, 4, 4, 4), 143_667_240),
    "nin_imagenet": (nin(), 7_595_176),
    "squeezenet_v1.0": (squeezenet(0), 1_248_424),
    "squeezenet_v1.1": (squeezenet(1), 1_235_496),
    "bvlc_googlenet": (googlenet(), 6_998_552),
    "resnet50": (resnet(3, 4, 6, 3), 25_557_032),
    "resnet101": (resnet(3, 4, 23, 3), 44_549_160),
    "resnet152": (resnet(3, 8, 36, 3), 60_192_808),
    "mobilenet": (mobilenet(), 4_231_976),
    "mobilenet_v2": (mobilenet_v2(), 3_504_872),
    "densenet121": (densenet(), 7_978_856),
    "cifar10_quick": (cifar(False), 145_578),
    "cifar10_full": (cifar(True), 89_578),
    "mnist_autoencoder": (autoencoder(), 2_837_314),
    "mnist_siamese": (siamese(), 431_102),
    "voc-fcn8s": (fcn(), None),
    "segnet_basic": (segnet(), None),
}


def judge(name, text, published=None):
    """What differs, and how many layers were compared."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(text, encoding="utf-8")
        try:
            found, report = draft(str(path)), cnncalc.load(convert(str(path))).derive()
        except Problem as problem:
            return [str(problem)], 0
    wrong = [f"{d.code} {d.message}" for d in report.diagnostics if d.severity == "error"]
    wrong += [f"opaque {r.layer.values()['op']}" for r in report.layers if r.op == "opaque"]
    if published is not None and report.totals.params != published:
        wrong.append(f"{report.totals.params:,} parameters, published {published:,}")
    try:
        shapes, params, macs = walked(text)
    except Unknown as why:
        return [*wrong, f"not compared: {why}"], 0
    compared = 0
    for layer, (c, *space) in shapes.items():
        if layer not in found.shapes:
            continue
        compared += 1
        ours = found.shapes[layer]
        theirs = (*space, c)
        if ours != theirs and ours != tuple(n for n in theirs[:-1] if n != 1) + theirs[-1:]:
            wrong.append(f"{layer} is {ours}, by Caffe {theirs}")
    for what, ours, theirs in (("parameters", report.totals.params, params),
                               ("multiply-adds", report.totals.macs, macs)):  # fmt: skip
        if ours != theirs:
            wrong.append(f"{ours:,} {what}, by Caffe {theirs:,}")
    return wrong, compared


def main(folders):
    texts = dict(NETWORKS)
    if folders:
        paths = [p for folder in folders for p in sorted(Path(folder).rglob("*.prototxt"))]
        texts = {str(p): (p.read_text(encoding="utf-8"), None) for p in paths}
        texts = {n: v for n, v in texts.items() if re.search(r"\blayers?\s*\{", v[0])}
    bad = 0
    for name, (text, published) in texts.items():
        wrong, compared = judge(name, text, published)
        bad += bool(wrong)
        print(f"{name:30} {compared:4} layers  {'; '.join(wrong)[:300] or 'agree'}", flush=True)
    print(f"{len(texts) - bad} of {len(texts)} networks agree")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

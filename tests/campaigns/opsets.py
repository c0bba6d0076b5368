"""One network of every kind at every ONNX opset, imported and compared.

    python tests/campaigns/opsets.py [NAME...] [--opsets 7,9,20]

PyTorch's TorchScript exporter writes each small network at every opset it knows (7 to 20),
`onnx.version_converter` takes the last of them to the newest opset of the installed onnx. Forms
that no exporter writes any more (attributes that became inputs) are written by hand. Every
tensor's size is compared with ONNX Runtime's execution (with ONNX's own inference where it does
not know the opset yet), parameters with the module's, multiply-adds with PyTorch's own counter;
no operator may be left opaque. The exit status is 1 where anything differs.
"""

import contextlib
import io
import os
import sys
import tempfile
import warnings

sys.path.insert(0, os.path.dirname(__file__))

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

import cnncalc
from cnncalc.diagnostics import Problem
from cnncalc.importers import convert

FIRST, LAST_TORCH, NEWEST = 7, 20, onnx.defs.onnx_opset_version()


class Call(nn.Module):
    """A function of some modules."""

    def __init__(self, function, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def conv(c, n, k=3, **more):
    return nn.Conv2d(c, n, k, **{"padding": k // 2, **more})


def _squeeze(m, x):
    s = functional.adaptive_avg_pool2d(x, 1)
    return x * functional.hardsigmoid(m.up(functional.relu(m.down(s))))


def _view(m, x):
    y = m.conv(x)
    y = y.view(y.size(0), -1, y.size(2) * y.size(3)).mean(2)
    return m.fc(y)


def _parts(m, x):
    a, b = m.conv(x).chunk(2, dim=1)
    y = torch.cat([a[:, :, 1:], b[:, :, :-1]], 1)
    return y[:, 1:5, :-1:2, -7:] + x[:, :1, :7, :7].unsqueeze(0).squeeze(0)


def _shuffle(m, x):
    y = m.conv(x)
    n, c, h, w = y.shape
    return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def _joins(m, x):
    a, b = m.a(x), m.b(x)
    return torch.max(a - b, a * b) / 3 + 1


def networks():
    """Small networks, each with the least opset at which PyTorch exports it."""
    resize = {"scale_factor": 2, "mode": "nearest"}
    return {
        "conv-bn": (nn.Sequential(
            conv(3, 8, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            conv(8, 8, stride=2), nn.BatchNorm2d(8), nn.LeakyReLU(0.2),
            nn.Conv2d(8, 12, (3, 1), padding=(1, 0), dilation=(1, 1)), nn.ELU(), nn.PReLU(12)), 7),
        "pools": (nn.Sequential(
            nn.MaxPool2d(3, 2), conv(3, 4), nn.AvgPool2d(2), nn.MaxPool2d(3, 1, 1)), 7),
        "pools-ceil": (nn.Sequential(
            nn.MaxPool2d(3, 2, ceil_mode=True), conv(3, 4),
            nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
            nn.MaxPool2d(2, 2, 1, ceil_mode=True)), 10),
        "dilated-pool": (nn.Sequential(conv(3, 4), nn.MaxPool2d(3, 2, 1, dilation=2)), 10),
        "upsample": (nn.Sequential(conv(3, 4), nn.Upsample(**resize), conv(4, 4)), 8),
        "bilinear": (nn.Sequential(
            conv(3, 4), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)), 11),
        "resize-to": (Call(lambda m, x: functional.interpolate(
            m.conv(x), size=(10, 14), mode="bilinear", align_corners=True),
            conv=conv(3, 4, stride=2)), 11),
        "pad": (Call(lambda m, x: m.conv(functional.pad(m.pad(x), (0, -1, -1, 0))),
                     conv=conv(3, 4), pad=nn.ZeroPad2d((1, 2, 0, 1))), 7),
        "shortcut": (Call(lambda m, x: m.conv(x) + functional.pad(
            x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)), conv=conv(3, 6, stride=2)), 10),
        "reflect": (nn.Sequential(nn.ReflectionPad2d(2), conv(3, 4), nn.ReplicationPad2d(1)), 7),
        "flatten": (nn.Sequential(conv(3, 4, stride=4), nn.Flatten(), nn.Linear(64, 5)), 7),
        "view": (Call(_view, conv=conv(3, 4), fc=nn.Linear(4, 5)), 7),
        "parts": (Call(_parts, conv=conv(3, 8)), 9),
        "shuffle": (Call(_shuffle, conv=conv(3, 8)), 7),
        "hardswish": (nn.Sequential(
            conv(3, 4), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh()), 7),
        "squeeze-excite": (Call(_squeeze, down=conv(3, 2, 1), up=conv(2, 3, 1)), 7),
        "depthwise": (nn.Sequential(
            conv(3, 6, groups=3), nn.ReLU6(), conv(6, 8, 1), conv(8, 8, groups=8), nn.SiLU(),
            conv(8, 8, groups=2)), 7),
        "transposed": (nn.Sequential(
            conv(3, 4, stride=2), nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1),
            nn.Tanh(), nn.ConvTranspose2d(6, 6, 2, 2, groups=2, bias=False), nn.Sigmoid()), 7),
        "global": (nn.Sequential(
            conv(3, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1)), 7),
        "global-max": (nn.Sequential(
            conv(3, 4), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.LogSoftmax(1)), 8),
        "adaptive": (nn.Sequential(conv(3, 4), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
                                   nn.Linear(64, 3)), 7),
        "dropout": (nn.Sequential(
            conv(3, 4), nn.Dropout2d(0.2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(1024, 3)), 7),
        "lrn": (nn.Sequential(conv(3, 8), nn.LocalResponseNorm(5), nn.Softplus()), 7),
        "norms": (nn.Sequential(conv(3, 8), nn.GroupNorm(4, 8), nn.InstanceNorm2d(8, affine=True),
                                nn.GELU(), nn.Mish()), 9),
        "tokens": (nn.Sequential(conv(3, 8, stride=4), nn.Flatten(2), nn.LayerNorm(16),
                                 nn.Linear(16, 8), nn.GELU()), 9),
        "clip": (Call(lambda m, x: torch.clamp(torch.clamp(m.conv(x), min=0), -1, 0.5).abs(),
                      conv=conv(3, 4)), 7),
        "joins": (Call(_joins, a=conv(3, 4), b=conv(3, 4)), 8),
        "means": (Call(lambda m, x: m.fc(m.conv(x).mean((2, 3))), conv=conv(3, 4),
                       fc=nn.Linear(4, 2)), 7),
        "one-axis": (Call(lambda m, x: m.fc(m.pool(m.conv(x.flatten(2)).relu()).flatten(1)),
                          conv=nn.Conv1d(3, 4, 5, 2), pool=nn.MaxPool1d(3),
                          fc=nn.Linear(168, 2)), 9),
        "three-axes": (Call(lambda m, x: m.pool(m.conv(x.unsqueeze(2))),
                            conv=nn.Conv3d(3, 4, (1, 3, 3)), pool=nn.AvgPool3d((1, 2, 2))), 7),
        "pixel-shuffle": (nn.Sequential(conv(3, 8), nn.PixelShuffle(2)), 9),
    }  # fmt: skip


def _quiet():
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return stack


def exported(model, opset, training=False):
    """A module by PyTorch's TorchScript exporter."""
    buffer = io.BytesIO()
    mode = torch.onnx.TrainingMode
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(1, 3, 16, 16),), buffer, dynamo=False, opset_version=opset,
            training=mode.PRESERVE if training else mode.EVAL, do_constant_folding=not training,
        )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


def versions(name, model, least, wanted):
    """The module at every opset, (opset, whether constants are folded, model or what failed)."""
    last = None
    for opset in range(FIRST, NEWEST + 1):
        if opset < least or (opset not in wanted and opset != LAST_TORCH):
            continue
        for training in (False, True):
            if opset <= LAST_TORCH:
                try:
                    found = exported(model.eval(), opset, training)
                except Exception as error:
                    yield opset, f"torch: {str(error).strip().splitlines()[0][:70]}"
                    continue
                last = found if not training else last
            elif training or last is None:
                continue
            else:
                try:
                    found = onnx.version_converter.convert_version(last, opset)
                except Exception as error:
                    yield opset, f"onnx: {str(error).strip().splitlines()[0][:70]}"
                    continue
            if opset in wanted:
                yield opset, found


# --- forms that no exporter writes any more ---------------------------------------------------


def by_hand():
    """(name, least opset, greatest opset, nodes, constants): attributes that became inputs."""

    def node(op, inputs, **attributes):
        return helper.make_node(op, inputs.split(), ["y"], **attributes)

    def ints(*values):
        return np.array(values, np.int64)

    def floats(*values):
        return np.array(values, np.float32)

    vectors = {n: floats(1, 1, 1) for n in ("g", "b", "m", "v")}
    yield "batchnorm, spatial", 7, 8, [node("BatchNormalization", "x g b m v", spatial=1)], vectors
    yield "batchnorm", 9, 99, [node("BatchNormalization", "x g b m v")], vectors
    yield ("batchnorm, training", 14, 99, [helper.make_node(
        "BatchNormalization", ["x", "g", "b", "m", "v"], ["y", "rm", "rv"], training_mode=1)],
        vectors)  # fmt: skip
    yield "reshape", 7, 99, [node("Reshape", "x s")], {"s": ints(0, -1, 8)}
    yield "reshape, zero kept", 14, 99, [node("Reshape", "x s", allowzero=1)], {"s": ints(1, -1, 8)}
    yield "slice", 7, 9, [node("Slice", "x", axes=[2, 3], starts=[1, -4], ends=[9999, -1])], {}
    yield "slice, inputs", 10, 99, [node("Slice", "x s e a t")], {
        "s": ints(1, -4), "e": ints(2**63 - 1, -1), "a": ints(2, -1), "t": ints(2, 1)}  # fmt: skip
    yield "squeeze", 7, 12, [node("Squeeze", "u", axes=[0])], {"u": None}
    yield "squeeze, input", 13, 99, [node("Squeeze", "u a")], {"u": None, "a": ints(0)}
    yield "squeeze all", 7, 99, [node("Squeeze", "x")], {}
    yield "unsqueeze", 7, 10, [node("Unsqueeze", "x", axes=[2])], {}
    yield "unsqueeze, negative", 11, 12, [node("Unsqueeze", "x", axes=[-1])], {}
    yield "unsqueeze, input", 13, 99, [node("Unsqueeze", "x a")], {"a": ints(2)}
    yield "clip", 7, 10, [node("Clip", "x", min=0.0, max=6.0)], {}
    yield "clip, inputs", 11, 99, [node("Clip", "x l h")], {"l": np.float32(0), "h": np.float32(6)}
    yield "clip, one input", 11, 99, [helper.make_node("Clip", ["x", "", "h"], ["y"])], {
        "h": np.float32(6)}  # fmt: skip
    yield "upsample 7", 7, 8, [node("Upsample", "x", scales=[1.0, 1.0, 2.0, 3.0])], {}
    yield "upsample 9", 9, 9, [node("Upsample", "x s", mode="linear")], {"s": floats(1, 1, 2, 2)}
    yield "upsample, not whole", 7, 8, [node("Upsample", "x", scales=[1.0, 1.0, 1.3, 1.6])], {}
    yield "resize 10", 10, 10, [node("Resize", "x s")], {"s": floats(1, 1, 2, 0.5)}
    roi = {"r": np.zeros(0, np.float32)}
    yield (
        "resize 11",
        11,
        99,
        [
            node(
                "Resize", "x r s", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
            )
        ],
        {**roi, "s": floats(1, 1, 1.5, 2)},
    )
    yield "resize 11, to", 11, 99, [helper.make_node(
        "Resize", ["x", "r", "e", "n"], ["y"], mode="linear")], {
        **roi, "e": floats()[:0], "n": ints(1, 3, 5, 11)}  # fmt: skip
    yield "resize 13, no roi", 13, 99, [helper.make_node(
        "Resize", ["x", "", "s"], ["y"])], {"s": floats(1, 1, 2, 2)}  # fmt: skip
    yield "resize, cubic", 13, 99, [helper.make_node(
        "Resize", ["x", "", "", "n"], ["y"], mode="cubic")], {"n": ints(1, 3, 16, 12)}  # fmt: skip
    yield "resize 18, axes", 18, 99, [helper.make_node(
        "Resize", ["x", "", "s"], ["y"], axes=[2, 3])], {"s": floats(2, 3)}  # fmt: skip
    yield "resize 18, not larger", 18, 99, [helper.make_node(
        "Resize", ["x", "", "", "n"], ["y"], axes=[3, 2], mode="linear",
        keep_aspect_ratio_policy="not_larger")], {"n": ints(12, 20)}  # fmt: skip
    yield "resize 18, not smaller", 18, 99, [helper.make_node(
        "Resize", ["x", "", "", "n"], ["y"], axes=[2, 3], mode="linear",
        keep_aspect_ratio_policy="not_smaller")], {"n": ints(12, 20)}  # fmt: skip
    yield "pad", 7, 10, [node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="reflect")], {}
    yield "pad, input", 11, 99, [node("Pad", "x p")], {"p": ints(0, 0, 1, 2, 0, 0, 0, 1)}
    yield "pad channels", 11, 99, [node("Pad", "x p")], {"p": ints(0, 1, 1, 0, 0, 4, 0, 0)}
    yield "pad 18, axes", 18, 99, [helper.make_node("Pad", ["x", "p", "", "a"], ["y"])], {
        "p": ints(1, 2, 3, 0), "a": ints(-1, 2)}  # fmt: skip
    yield "sum", 7, 12, [node("ReduceSum", "x", axes=[2, 3], keepdims=0)], {}
    yield "sum, input", 13, 99, [node("ReduceSum", "x a", keepdims=0)], {"a": ints(2, 3)}
    yield "mean", 7, 17, [node("ReduceMean", "x", axes=[2, 3])], {}
    yield "mean, input", 18, 99, [node("ReduceMean", "x a")], {"a": ints(2, 3)}
    yield "max", 7, 17, [node("ReduceMax", "x", axes=[1], keepdims=0)], {}
    yield "min, input", 18, 99, [node("ReduceMin", "x a")], {"a": ints(1)}
    yield "norm", 7, 17, [node("ReduceL2", "x", axes=[1])], {}
    yield "softmax, coerced", 7, 12, [node("Softmax", "f", axis=1)], {"f": None}
    yield "softmax", 13, 99, [node("Softmax", "x", axis=1)], {}
    yield "hardmax", 13, 99, [node("Hardmax", "x", axis=1)], {}
    yield "dropout", 7, 11, [node("Dropout", "x", ratio=0.3)], {}
    yield "dropout, inputs", 12, 99, [node("Dropout", "x r t")], {
        "r": np.float32(0.3), "t": np.array(False)}  # fmt: skip
    yield "flatten, negative", 11, 99, [node("Flatten", "x", axis=-2)], {}
    yield "flatten 0", 9, 99, [node("Flatten", "x", axis=0)], {}
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield (
            f"pool, {auto}",
            7,
            99,
            [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], auto_pad=auto)],
            {},
        )
        yield (
            f"conv, {auto}",
            7,
            99,
            [node("Conv", "x w", strides=[3, 2], auto_pad=auto)],
            {"w": np.ones((4, 3, 3, 2), "f")},
        )
        yield f"transposed, {auto}", 7, 99, [
            node("ConvTranspose", "x w", strides=[2, 3], auto_pad=auto)], {
            "w": np.ones((3, 4, 3, 2), "f")}  # fmt: skip
    yield "transposed, to", 7, 99, [
        node("ConvTranspose", "x w", strides=[2, 3], output_shape=[17, 25])], {
        "w": np.ones((3, 4, 3, 3), "f")}  # fmt: skip
    yield "pool, with indices", 8, 99, [helper.make_node(
        "MaxPool", ["x"], ["y", "at"], kernel_shape=[2, 2], strides=[2, 2])], {}  # fmt: skip
    yield "average pool, dilated", 19, 99, [
        node("AveragePool", "x", kernel_shape=[3, 3], dilations=[2, 2], ceil_mode=1,
             strides=[2, 2])], {}  # fmt: skip
    yield "power pool", 7, 99, [node("LpPool", "x", kernel_shape=[2, 2], strides=[2, 2])], {}
    yield "global power pool", 7, 99, [node("GlobalLpPool", "x")], {}
    yield "split", 7, 12, [helper.make_node("Split", ["x"], ["y", "z"], axis=2, split=[3, 5])], {}
    yield "split, input", 13, 99, [helper.make_node("Split", ["x", "s"], ["y", "z"], axis=2)], {
        "s": ints(3, 5)}  # fmt: skip
    yield (
        "split 18",
        18,
        99,
        [helper.make_node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2)],
        {},
    )
    chunks = [helper.make_node("SplitToSequence", ["x", "n"], ["s"], axis=3),
              helper.make_node("SequenceAt", ["s", "i"], ["y"])]  # fmt: skip
    yield "sequence of chunks", 11, 99, chunks, {"n": np.int64(3), "i": np.int64(-1)}
    yield "sequence of parts", 11, 99, chunks, {"n": ints(2, 5, 1), "i": np.int64(1)}
    yield "gather by a table", 7, 99, [node("Gather", "f i", axis=1)], {
        "f": None, "i": np.arange(24).reshape(2, 3, 4)}  # fmt: skip
    yield "space to depth", 7, 99, [node("SpaceToDepth", "x", blocksize=2)], {}
    yield "depth to space", 7, 99, [node("DepthToSpace", "d", blocksize=2)], {"d": None}
    yield "prelu", 7, 99, [node("PRelu", "x s")], {"s": np.ones((3, 1, 1), "f")}
    yield "where", 9, 99, [node("Where", "c x k")], {
        "c": np.ones((1, 1, 1, 8), bool), "k": floats(0)}  # fmt: skip
    yield "gemm, no bias", 11, 99, [node("Gemm", "f w", transB=1)], {
        "f": None, "w": np.ones((5, 24), "f")}  # fmt: skip
    yield "gemm 7", 7, 10, [node("Gemm", "f w b")], {
        "f": None, "w": np.ones((24, 5), "f"), "b": floats(*range(1, 6))}  # fmt: skip
    yield "gather", 7, 99, [node("Gather", "x i", axis=2)], {"i": ints(0, 3, 1)}
    yield "gather, negative", 11, 99, [node("Gather", "x i", axis=-1)], {"i": ints(-1)}
    yield "tile", 7, 99, [node("Tile", "x t")], {"t": ints(1, 2, 1, 3)}
    yield "expand", 8, 99, [node("Expand", "o t")], {"o": None, "t": ints(1, 3, 4, 5)}
    yield "sum of three", 8, 99, [node("Sum", "x x x")], {}
    yield "mean of two", 8, 99, [node("Mean", "x x")], {}
    yield "power", 7, 99, [node("Pow", "x k")], {"k": floats(2)}
    yield "log softmax", 13, 99, [node("LogSoftmax", "x", axis=1)], {}
    yield "thresholded", 10, 99, [node("ThresholdedRelu", "x", alpha=0.5)], {}
    yield "selu", 7, 99, [node("Selu", "x")], {}
    yield "celu", 12, 99, [node("Celu", "x", alpha=2.0)], {}
    yield "gelu 20", 20, 99, [node("Gelu", "x", approximate="tanh")], {}
    yield "hardswish", 14, 99, [node("HardSwish", "x")], {}
    yield "mish", 18, 99, [node("Mish", "x")], {}
    yield "layer norm 17", 17, 99, [node("LayerNormalization", "x g b", axis=-1)], {
        "g": np.ones(8, "f"), "b": np.ones(8, "f")}  # fmt: skip
    yield "group norm 21", 21, 99, [node("GroupNormalization", "x g b", num_groups=3)], {
        "g": floats(1, 1, 1), "b": floats(1, 1, 1)}  # fmt: skip
    yield "rms norm 23", 23, 99, [node("RMSNormalization", "x g", axis=-1)], {"g": np.ones(8, "f")}
    yield "swish 24", 24, 99, [node("Swish", "x")], {}
    yield "attention 23", 23, 99, [node("Attention", "q q q", q_num_heads=2, kv_num_heads=2)], {
        "q": None}  # fmt: skip


SHAPES = {"x": (1, 3, 8, 8), "u": (1, 3, 8), "f": (1, 24), "d": (1, 8, 4, 4), "o": (1, 3, 1, 1),
          "q": (1, 6, 16)}  # fmt: skip


def model_of(nodes, constants, opset):
    """A graph around one operator: its input, the constants as initialisers."""
    read = {name for n in nodes for name in n.input}
    inputs = [n for n in SHAPES if n in read]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPES[n]) for n in inputs],
        [helper.make_tensor_value_info(next(iter(nodes[-1].output)), TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if v is not None],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


# --- the comparison ------------------------------------------------------------------------------


def judge(model, module=None, kept=()):
    """What differs, in a few words; empty where everything agrees."""
    import onnxruntime
    from torchvision_models import sizes

    onnxruntime.set_default_logger_severity(3)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        onnx.save(model, path)
        try:
            report = cnncalc.load(convert(path)).derive()
        except Problem as problem:
            return [str(problem)]
        wrong = [d.message for d in report.diagnostics if d.severity == "error"]
        opaque = {str(row.layer.values()["op"]) for row in report.layers if row.op == "opaque"}
        wrong += [f"opaque: {', '.join(sorted(opaque))}"] if opaque - set(kept) else []
        try:
            compared, differ = sizes(path, run=True)
        except Exception as error:  # an opset that ONNX Runtime does not know yet
            if "opset" not in str(error).lower() and "NOT_IMPLEMENTED" not in str(error):
                return [*wrong, f"not run: {str(error).strip().splitlines()[0][:90]}"]
            compared, differ = sizes(path)
        wrong += [f"size of {n}" for n in differ]
        wrong += [] if compared else ["nothing compared"]
    if module is not None:
        params = sum(p.numel() for p in module.parameters())
        merged = not any(n.op_type == "BatchNormalization" for n in model.graph.node)
        norms = any(isinstance(m, nn.BatchNorm2d) for m in module.modules())
        if report.totals.params != params and not (norms and merged):
            wrong.append(f"{report.totals.params} parameters of {params}")
        macs = counted(module)
        if report.totals.macs != macs:
            wrong.append(f"{report.totals.macs} MACs of {macs}")
    return wrong


def counted(module):
    """PyTorch's own count of multiply-adds."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 3, 16, 16))
    return counter.get_total_flops() // 2


OPAQUE = {
    "hardmax": {"Hardmax"}, "power pool": {"LpPool"}, "global power pool": {"GlobalLpPool"},
    "thresholded": {"ThresholdedRelu"}, "rms norm 23": {"RMSNormalization"},
}  # kept with their sizes and a warning  # fmt: skip


def main(argv):
    wanted = set(range(FIRST, NEWEST + 1))
    if "--opsets" in argv:
        at = argv.index("--opsets")
        wanted = {int(n) for n in argv[at + 1].split(",")}
        del argv[at : at + 2]
    right, failed, absent = 0, [], []
    for name, (module, least) in networks().items():
        if argv and name not in argv:
            continue
        for opset, model in versions(name, module, least, wanted):
            if isinstance(model, str):
                absent.append((name, opset, model))
                continue
            wrong = judge(model, module)
            right += not wrong
            if wrong:
                failed.append((name, opset))
                print(f"{name} at opset {opset}: {'; '.join(wrong)[:160]}", flush=True)
    for name, low, high, nodes, constants in by_hand():
        if argv and name not in argv:
            continue
        for opset in sorted(wanted):
            if low <= opset <= high:
                wrong = judge(model_of(nodes, constants, opset), kept=OPAQUE.get(name, ()))
                right += not wrong
                if wrong:
                    failed.append((name, opset))
                    print(f"{name} at opset {opset}: {'; '.join(wrong)[:160]}", flush=True)
    for name, opset, why in absent:
        print(f"not written: {name} at opset {opset}: {why}")
    print(f"opsets {min(wanted)} to {max(wanted)}: {right} models agree, {len(failed)} differ")
    return int(bool(failed) or not right)


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main(sys.argv[1:]))

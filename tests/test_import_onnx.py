"""ONNX files become specs: against ONNX's own shapes, PyTorch's counts, and hostile bytes."""

import io
import warnings

import onnx
import pytest
from onnx import TensorProto, helper

import cnncalc
from cnncalc.diagnostics import Problem
from cnncalc.importers import convert
from cnncalc.importers.onnx import reading
from cnncalc.importers.onnx.core import Converter
from cnncalc.importers.onnx.patterns import recognised
from cnncalc.importers.onnx.values import Tensor

torch = pytest.importorskip("torch")
nn = torch.nn


def saved(tmp_path, nodes, weights=(), inputs=(("x", [1, 3, 8, 8]),), outputs=("y",), opset=17):
    """A model file; weights are shapes alone, as if their data had been left out."""
    tensors = []
    for name, value in dict(weights).items():
        if isinstance(value, tuple):
            tensor = TensorProto(name=name, dims=value, data_type=TensorProto.FLOAT)
            tensor.data_location = TensorProto.EXTERNAL
        else:
            tensor = onnx.numpy_helper.from_array(value, name)
        tensors.append(tensor)
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


def exported(tmp_path, model, *images, **options):
    """A module through PyTorch's TorchScript exporter, its weights taken out again."""
    path = str(tmp_path / "model.onnx")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mode = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(model.eval(), images, buffer, dynamo=False, opset_version=17,
                          training=mode, do_constant_folding=False, **options)  # fmt: skip
    found = onnx.load_from_string(buffer.getvalue())
    for tensor in found.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
    onnx.save(found, path)
    return path


def agrees(path):
    """Every tensor's size, against ONNX's own shape inference; how many were compared."""
    model = reading.load(path)
    made = Converter(model, recognised(model), "model")
    draft = made.run()
    count = 0
    for name, value in made.values.items():
        theirs = made.inferred(name) if isinstance(value, Tensor) else None
        if theirs is not None:
            assert tuple(theirs) == value.sizes, name
            assert tuple(theirs[a] for a in value.order) == draft.shapes[value.ref], name
            count += 1
    return count


def trained(model):
    return sum(p.numel() for p in model.parameters())


class Residual(nn.Module):
    def __init__(self, c, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.skip = nn.Conv2d(c, out, 1, stride, bias=False) if stride > 1 or c != out else None

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.skip is None else self.skip(x)))


class Small(nn.Module):
    """A stem, residual blocks, a squeeze and excitation, a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish())
        self.blocks = nn.Sequential(
            Residual(8, 8, 1), Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 16, 1)
        )
        self.squeeze = nn.Conv2d(16, 4, 1)
        self.excite = nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        s = torch.nn.functional.adaptive_avg_pool2d(x, 1)
        x = x * torch.nn.functional.hardsigmoid(self.excite(torch.relu(self.squeeze(s))))
        return self.head(torch.flatten(torch.nn.functional.adaptive_avg_pool2d(x, 1), 1))


def test_a_residual_network_keeps_names_blocks_and_counts(tmp_path):
    model = Small()
    path = exported(tmp_path, model, torch.zeros(1, 3, 32, 32))
    assert agrees(path) > 20
    text = convert(path)
    report = cnncalc.check(path, run=False)
    assert report.ok, report.diagnostics
    assert report.totals.params == trained(model)
    assert "blocks:" in text
    assert "conv1" in text
    assert "dialect: onnx:17" in text
    assert report.layers[-1].output == (10,)
    assert not any(d.code == "W010" for d in report.diagnostics)


class Tokens(nn.Module):
    """Attention in the long form, layer scale, positions, a class token."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 17, 16))
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.gamma = nn.Parameter(torch.randn(16))
        self.up, self.down = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        a = ((q * 0.5) @ k.transpose(-2, -1)).softmax(-1)
        x = x + self.gamma * self.out((a @ v).transpose(1, 2).reshape(b, n, c))
        x = x + self.down(torch.nn.functional.gelu(self.up(self.norm(x))))
        return x[:, 0]


def test_attention_taken_apart(tmp_path):
    model = Tokens()
    path = exported(tmp_path, model, torch.zeros(1, 3, 16, 16))
    assert agrees(path) > 20
    report = cnncalc.check(path, run=False)
    assert report.ok, report.diagnostics
    assert report.totals.params == trained(model)
    ops = {row.op for row in report.layers}
    assert {"gelu", "layernorm", "class_token", "positional", "attention"} <= ops
    # qkv, out, up, down at 17 tokens; scores and weighted sums; patches
    tokens = 17 * (16 * 48 + 16 * 16 + 2 * 16 * 64) + 2 * 17 * 17 * 16 + 16 * 48 * 16
    assert report.totals.macs == tokens


class Windowed(nn.Module):
    """Scores of a 2x3 window with a number a head for every distance (Liu 2021)."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)
        self.relative_position_bias_table = nn.Parameter(torch.randn(15, 2))
        spots = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij"))
        spots = spots.flatten(1)
        far = (spots[:, :, None] - spots[:, None, :]).permute(1, 2, 0) + torch.tensor([1, 2])
        self.register_buffer("index", (far[:, :, 0] * 5 + far[:, :, 1]).flatten())

    def forward(self, x):
        q, k = (f(x).view(1, 6, 2, 4).transpose(1, 2) for f in (self.query, self.key))
        bias = self.relative_position_bias_table[self.index].view(6, 6, 2).permute(2, 0, 1)
        return (q @ k.transpose(-2, -1) + bias.unsqueeze(0)).softmax(-1)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_relative_position_bias_is_read_by_distance(tmp_path, swapped):
    import numpy as np

    from cnncalc.importers.onnx import draft

    model = Windowed()
    if swapped:  # an index that is not Swin's is not taken for it
        model.index = model.index.flip(0)
    path = exported(tmp_path, model, torch.zeros(1, 6, 8))
    report = cnncalc.check(path, run=False)
    assert report.totals.params == trained(model)
    assert ("opaque" in {row.op for row in report.layers}) == swapped
    if swapped:
        return
    assert agrees(path) > 5
    table = model.relative_position_bias_table.detach().numpy()
    made, items, read = table, draft(path).items, False
    for item in items.values():  # the moves behind the table, on its own values
        read = read or item.op == "parameter"
        if read and item.op == "reshape":
            made = made.reshape(item.fields["to"])
        elif read and item.op == "gather":
            made = np.take(made, item.fields["indices"], item.fields["axis"])
        elif read and item.op == "permute":
            made = made.transpose(item.fields["axes"])
        elif read and item.op == "add":
            break
    expected = table[model.index.numpy()].reshape(6, 6, 2).transpose(2, 0, 1)
    assert np.array_equal(made, expected)


def test_dynamic_axes_are_symbols(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
    path = exported(
        tmp_path, model, torch.zeros(1, 3, 32, 32), input_names=["x"], output_names=["y"],
        dynamic_axes={"x": {0: "batch", 2: "height", 3: "width"}},
    )  # fmt: skip
    report = cnncalc.check(path, run=False)
    assert set(report.symbols) == {"height", "width"}
    fixed = cnncalc.check(path, run=False, sets={"height": 33, "width": 47})
    assert fixed.layers[-1].output == (8, 12, 4) == tuple(
        model(torch.zeros(1, 3, 33, 47)).shape[i] for i in (2, 3, 1)
    )  # fmt: skip


def test_an_operator_that_is_not_covered_stays_opaque(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Einsum", ["a"], ["b"], equation="bchw->bhwc"),
        helper.make_node("Mystery", ["b"], ["c"], domain="acme"),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    report = cnncalc.check(saved(tmp_path, nodes, {"w": (4, 3, 3, 3)}), run=False)
    found = [d for d in report.diagnostics if d.code == "W010"]
    assert {"Einsum", "acme.Mystery"} == {d.message.split(": ")[1].split(" ")[0] for d in found}
    assert report.totals.params == 108
    assert report.status() == 0
    run = cnncalc.check(saved(tmp_path, nodes, {"w": (4, 3, 3, 3)}))
    assert run.run.status == "agrees"


def test_shared_weights_count_once(tmp_path):
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], **conv),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["y"], **conv),
    ]
    report = cnncalc.check(saved(tmp_path, nodes, {"w": (3, 3, 3, 3)}), run=False)
    assert report.ok
    assert report.totals.params == 81
    assert report.totals.macs == 2 * 81 * 64


def test_a_fixed_batch_is_taken_out(tmp_path):
    import numpy as np

    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["a"]),
        helper.make_node("Gemm", ["a", "w", "b"], ["y"], transB=1),
    ]
    weights = {"s": np.array([10, 192]), "w": (5, 192), "b": (5,)}
    path = saved(tmp_path, nodes, weights, [("x", [10, 3, 8, 8])])
    report = cnncalc.check(path, run=False)
    assert report.ok
    assert report.layers[-1].output == (5,)
    assert report.totals.params == 965


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[: len(data) // 2], "damaged or cut short"),
        (lambda data: b"", "no ONNX graph"),
        (lambda data: b"\xff" * 300, "damaged or cut short"),
    ],
)
def test_damaged_files(tmp_path, change, words):
    path = saved(tmp_path, [helper.make_node("Relu", ["x"], ["y"])])
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(change(data))
    report = cnncalc.check(path)
    assert report.status() == 2
    assert [d.code for d in report.diagnostics] == ["E021"]
    assert words in report.diagnostics[0].message


@pytest.mark.parametrize(
    ("nodes", "weights", "inputs", "words"),
    [
        ([("Relu", ["b"], ["a"]), ("Relu", ["a"], ["b"])], {}, None, "cycle"),
        ([("Relu", ["q"], ["y"])], {}, None, "nothing makes"),
        ([("Relu", ["x"], ["y"]), ("Relu", ["x"], ["y"])], {}, None, "two operators"),
        ([("Conv", ["x", "w"], ["y"])], {"w": (4, 3, 2**40, 1)}, None, "impossible size"),
        ([("Relu", ["x"], ["y"])], {}, [("x", [1, 2, 3, 4, 5, 6])], "more than 4"),
    ],
)
def test_graphs_that_make_no_sense(tmp_path, nodes, weights, inputs, words):
    made = [helper.make_node(op, a, b) for op, a, b in nodes]
    path = saved(tmp_path, made, weights, inputs or (("x", [1, 3, 8, 8]),))
    with pytest.raises(Problem) as caught:
        convert(path)
    assert words in caught.value.diagnostic.message
    assert cnncalc.check(path).status() == 2


def test_external_data_is_not_looked_for(tmp_path):
    path = saved(tmp_path, [helper.make_node("Conv", ["x", "w"], ["y"])], {"w": (4, 3, 3, 3)})
    model = onnx.load(path, load_external_data=False)
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    assert cnncalc.check(path, run=False).totals.params == 108

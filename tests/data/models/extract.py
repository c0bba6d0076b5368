"""Writes the facts of ONNX graphs as JSON: `python extract.py GRAPH.onnx... FOLDER`.

The graphs are torchvision 0.29's networks (and d2l's LeNet), exported from torch with the
weights reduced to their shapes: `*_ts` by the TorchScript exporter, `*_dynamo` by
torch.export, `*_bnfused` with batchnorm folded into the convolutions. For every node the
output shape is noted twice: `inferred` by onnx.shape_inference, and `executed` by running
the graph in ONNX Runtime, on random weights of the initialisers' shapes, with every
intermediate value as an output. `from` holds the nodes (or "input") that a node reads,
`weights` the shapes of the initialisers that it reads, as they are laid out in the graph.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WINDOW = ("kernel_shape", "strides", "pads", "dilations", "group", "ceil_mode", "auto_pad")


def materialised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with random numbers for every weight that it holds by shape only."""
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            assert tensor.data_type == TensorProto.FLOAT
            values = rng.uniform(0.01, 0.02, tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def inferred_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes that onnx.shape_inference finds from the input's alone."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    found = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True).graph
    return {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*found.value_info, *found.output)
    }


def executed_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of all values in a run of the graph, with the optimiser off."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    names = [name for node in whole.graph.node for name in node.output if name]
    del whole.graph.output[:]
    whole.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        whole.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    values = session.run(names, {given.name: np.ones(given.shape, np.float32)})
    return {name: list(np.shape(value)) for name, value in zip(names, values, strict=True)}


def facts(path: Path) -> dict[str, object]:
    """All there is to know about the sizes of one graph."""
    model = materialised(onnx.load(path, load_external_data=False))
    graph = model.graph
    weights = {t.name: list(t.dims) for t in graph.initializer}
    numbers = {
        t.name: numpy_helper.to_array(t).reshape(-1).tolist()
        for t in graph.initializer
        if t.data_type == TensorProto.INT64
    }
    given = graph.input[0]
    inferred, executed = inferred_shapes(model), executed_shapes(model)
    made: dict[str, int | str] = {given.name: "input"}
    nodes = []
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        window = {name: attributes[name] for name in WINDOW if name in attributes}
        if isinstance(window.get("auto_pad"), bytes):
            window["auto_pad"] = window["auto_pad"].decode()
        (output,) = node.output[:1]
        entry = {
            "op": node.op_type,
            "from": [made[name] for name in node.input if name in made],
            "inferred": inferred.get(output),
            "executed": executed[output],
            "weights": [weights[n] for n in node.input if n in weights and n not in numbers],
        }
        if window:
            entry["window"] = window
        made[output] = len(nodes)
        nodes.append(entry)
    return {
        "graph": path.name,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "dialect": f"onnx:{model.opset_import[0].version}",
        "runtime": f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}",
        "input": [d.dim_value for d in given.type.tensor_type.shape.dim],
        "nodes": nodes,
    }


def main() -> None:
    *paths, folder = map(Path, sys.argv[1:])
    for path in paths:
        found = facts(path)
        lines = ",\n".join("  " + json.dumps(node) for node in found.pop("nodes"))
        head = json.dumps(found, indent=1)[:-2]
        text = f'{head},\n "nodes": [\n{lines}\n ]\n}}\n'
        json.loads(text)
        (folder / (path.stem + ".json")).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

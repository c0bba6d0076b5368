"""All of torchvision's classification models, exported to ONNX and imported again.

    python tests/campaigns/torchvision_models.py FOLDER [ts|dynamo] [NAME...]

FOLDER holds or gets NAME_ts.onnx (see exporting.py). For every model: every tensor's size
against ONNX shape inference, trainable parameters against the published `num_params`,
multiply-adds against the published `_ops` (billions, three decimals). Prints one line a model
and the models that differ; the exit status is 1 where one does.

Inception v3's published count holds its auxiliary head, which an export for evaluation leaves
out: what it holds is added back from the module itself.
"""

import os
import sys
from decimal import ROUND_HALF_EVEN, Decimal

sys.path.insert(0, os.path.dirname(__file__))

import exporting

from cnncalc import load
from cnncalc.importers.onnx import convert, reading
from cnncalc.importers.onnx.core import Converter
from cnncalc.importers.onnx.patterns import recognised
from cnncalc.importers.onnx.values import Tensor


def executed(path, names):
    """The shapes of values as ONNX Runtime makes them, all weights zero."""
    import numpy as np
    import onnx
    import onnxruntime

    model = onnx.load(path, load_external_data=False)
    written = {o for node in model.graph.node for o in node.output}
    names = [name for name in names if name in written]  # not those inside composed operators
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            zeros = np.zeros(tuple(tensor.dims), kind)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    del model.graph.output[:]
    del model.graph.value_info[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (given,) = session.get_inputs()
    found = session.run(None, {given.name: np.zeros(given.shape, np.float32)})
    return {name: value.shape for name, value in zip(names, found, strict=True)}


def sizes(path, run=False):
    """Tensors compared with ONNX's inference, or a run; the names of those that differ.

    What the exporter itself wrote into a file goes before inference, and may be wrong (Swin's
    windows): where something differs the network is run.
    """
    model = reading.load(path)
    made = Converter(model, recognised(model), "model")
    draft = made.run()
    compared, wrong = 0, []
    names = [n for n, v in made.values.items() if isinstance(v, Tensor) and n not in model.inputs]
    names = [n for n in names if n not in made.sequences]
    shapes = executed(path, names) if run else {n: made.inferred(n) for n in names}
    for name in names:
        value, theirs = made.values[name], shapes.get(name)
        if theirs is None:
            continue
        compared += 1
        ours = tuple(value.sizes[a] for a in value.order)
        if tuple(theirs) != value.sizes or ours != draft.shapes[value.ref]:
            wrong.append(name)
    return sizes(path, run=True) if wrong and not run else (compared, wrong)


def left_out(name):
    """Parameters of heads that are not run in evaluation."""
    if name not in ("googlenet", "inception_v3"):
        return 0
    import torch

    with torch.device("meta"):
        model = exporting.torchvision_models().get_model(name, weights=None, init_weights=False)
    aux = [p.numel() for n, p in model.named_parameters() if n.lower().startswith("aux")]
    published = exporting.crop_of(name)[1]["num_params"]
    return sum(aux) if published == sum(p.numel() for p in model.parameters()) else 0


def judge(folder, style, name):
    path = os.path.join(folder, f"{name}_{style}.onnx")
    if not os.path.exists(path):
        return None
    report = load(convert(path)).derive()
    errors = [d.message for d in report.diagnostics if d.severity == "error"]
    meta = exporting.crop_of(name)[1]
    params = report.totals.params + left_out(name)
    billions = Decimal(report.totals.macs) / 10**9
    ops = billions.quantize(Decimal("0.001"), ROUND_HALF_EVEN)
    compared, wrong = sizes(path)
    opaque = sum(row.op == "opaque" for row in report.layers)
    good = params == meta["num_params"] and float(ops) == meta["_ops"] and not errors and not wrong
    line = (
        f"{name:22} {len(report.layers):5} layers {compared:5} sizes {len(wrong):4} differ  "
        f"{params:>11,} of {meta['num_params']:>11,}  {ops} of {meta['_ops']} G"
        f"  opaque {opaque:3}  {'ok' if good else 'DIFFERS ' + '; '.join(errors[:1] + wrong[:1])}"
    )
    print(line, flush=True)
    return good


def main(folder, style="ts", *wanted):
    verdicts = {name: judge(folder, style, name) for name in wanted or exporting.names()}
    good = [n for n, v in verdicts.items() if v]
    print(f"{len(good)} of {len(verdicts)} models agree in everything")
    for word, verdict in (("differ", False), ("not exported", None)):
        names = [n for n, v in verdicts.items() if v is verdict]
        if names:
            print(f"{word}: {', '.join(names)}")
    return int(len(good) < len(verdicts))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

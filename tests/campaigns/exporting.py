"""Exports torchvision's classification models to ONNX, one at a time, weights stripped.

    python tests/campaigns/exporting.py FOLDER STYLE [NAME...]

STYLE is `ts` (the TorchScript exporter) or `dynamo`. Runs as a process of its own for every
model, so that at most one model's weights are in memory.
"""

import os
import subprocess
import sys
import warnings

KEPT = 64  # values of an initialiser that stay: shape arithmetic needs the small ones


def torchvision_models():
    """The module, also beside a torch without CUDA, which lacks its compiled operators."""
    import torch

    warnings.simplefilter("ignore")
    try:
        import torchvision
    except RuntimeError:
        for name in [n for n in sys.modules if n.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for op in ("nms", "qnms"):
            library.define(op + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # definitions live as long as the library object
        import torchvision
    return torchvision.models


def names():
    models = torchvision_models()
    return models.list_models(module=models)


def crop_of(name):
    """The side of the square input that the first weights are evaluated on."""
    models = torchvision_models()
    weights = next(iter(models.get_model_weights(name)))
    return weights.transforms().crop_size[0], weights.meta


def build(name):
    import torch

    models = torchvision_models()
    torch.nn.init.trunc_normal_ = torch.nn.init.normal_ = lambda x, *a, **k: x
    torch.nn.init.kaiming_normal_ = torch.nn.init.kaiming_uniform_ = lambda x, *a, **k: x
    torch.nn.init.xavier_uniform_ = torch.nn.init.uniform_ = lambda x, *a, **k: x
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    least = crop_of(name)[1]["min_size"][0]
    if least > 224 and name.startswith(
        "vit"
    ):  # positions are of one size: weights trained on larger images
        extra["image_size"] = least
    return models.get_model(name, weights=None, **extra).eval()


def strip(model):
    """Takes the weights out; their shapes stay."""
    from onnx import TensorProto

    for tensor in model.graph.initializer:
        count = 1
        for dim in tensor.dims:
            count *= dim
        if count > KEPT or tensor.data_type not in (TensorProto.INT64, TensorProto.FLOAT):
            for field in ("raw_data", "float_data", "int64_data", "external_data"):
                tensor.ClearField(field)
            tensor.data_location = TensorProto.EXTERNAL
    return model


def export(name, path, style, size=None, fuse=False):
    import onnx
    import torch

    size = size or crop_of(name)[0]
    model = build(name)
    image = torch.zeros(1, 3, size, size)
    whole = path + ".whole"
    options = {"dynamo": style == "dynamo", "input_names": ["input"], "output_names": ["output"]}
    if style == "ts":
        mode = torch.onnx.TrainingMode
        options |= {"opset_version": 17, "training": mode.EVAL if fuse else mode.PRESERVE}
        options["do_constant_folding"] = fuse
    else:
        options |= {"external_data": True, "optimize": fuse, "verbose": False}
    torch.onnx.export(model, (image,), whole, **options)
    found = onnx.load(whole, load_external_data=False)
    onnx.save(strip(found), path)
    for left in (whole, whole + ".data"):
        if os.path.exists(left):
            os.unlink(left)


def main(folder, style, wanted):
    os.makedirs(folder, exist_ok=True)
    for name in wanted or names():
        path = os.path.join(folder, f"{name}_{style}.onnx")
        if os.path.exists(path):
            continue
        if len(wanted) == 1:
            export(name, path, style)
            continue
        done = subprocess.run([sys.executable, "-W", "ignore", __file__, folder, style, name])
        print(name, "ok" if done.returncode == 0 else "FAILED", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

"""ONNX's own shape inference, asked only where an operator is not covered."""

from collections.abc import Mapping
from typing import Any

from .reading import SMALL


def shapes(proto: Any) -> Mapping[str, tuple[Any, ...]]:
    """Shapes by value name: numbers, names of dynamic axes, or None for unknown ones."""
    from onnx import ModelProto, shape_inference

    light = ModelProto()
    light.CopyFrom(proto)
    for tensor in light.graph.initializer:
        if len(tensor.raw_data) > 8 * SMALL:
            for field in ("raw_data", "float_data", "int64_data", "int32_data", "double_data"):
                tensor.ClearField(field)
            tensor.data_location = 1
    try:
        found = shape_inference.infer_shapes(light, data_prop=True)
    except Exception:  # a model that it refuses: what the file itself says remains
        found = light
    graph = found.graph
    return {v.name: _dims(v) for v in (*graph.value_info, *graph.output, *graph.input)}


def _dims(value: Any) -> tuple[Any, ...]:
    return tuple(
        d.dim_value if d.HasField("dim_value") and 0 < d.dim_value <= 10**9 else d.dim_param or None
        for d in value.type.tensor_type.shape.dim
    )

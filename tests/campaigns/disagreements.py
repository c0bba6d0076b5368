"""Layers that frameworks size differently: README's table, reproduced.

    python tests/campaigns/disagreements.py [ID ...]

Runs each named layer (all, without a name) in the frameworks that can write it and prints what
comes out, or why it is refused. Exits with 1 if a framework no longer does what the table says.
"""

import sys
import warnings
from typing import Any, NamedTuple

import dialects
from dialects import Case, Outcome, Refused

REFUSED = "refused"


class Row(NamedTuple):
    """A layer, and the spatial sizes that each framework gives it."""

    words: str
    case: Case
    found: dict[str, tuple[int, ...] | str]


def _case(op: str, n: Any, k: int, s: int, pads: Any = ((0, 0),), **given: Any) -> Case:
    sizes = n if isinstance(n, tuple) else (n,)
    rank = len(sizes)
    pads = pads if isinstance(pads, str) else tuple(pads) * (rank // len(pads))
    dilation = (given.pop("dilation", 1),) * rank
    return Case(op, (*sizes, 1), (k,) * rank, (s,) * rank, pads, dilation, **given)


ROWS = {
    "pool-rounding": Row(
        "3x3 pool, stride 2, on 112x112: Caffe rounds up",
        _case("maxpool", (112, 112), 3, 2),
        {"torch": (55, 55), "jax": (55, 55), "onnx": (55, 55), "caffe": (56, 56)},
    ),
    "pool-start-in-padding": Row(
        "pool 2, stride 2, pad 1 on 1, rounding up: a window may not start in the padding",
        _case("maxpool", 1, 2, 2, ((1, 1),), rounding="ceil"),
        {"torch": (1,), "onnx": (1,), "onnx inference": (2,)},
    ),
    "pool-padding": Row(
        "pool 3, pad 2: torch allows half the kernel, ONNX Runtime less than the kernel",
        _case("maxpool", 9, 3, 2, ((2, 2),)),
        {"torch": REFUSED, "jax": (6,), "onnx": (6,)},
    ),
    "pool-padding-kernel": Row(
        "pool 1, pad 1: refused when run, sized by ONNX's inference",
        _case("maxpool", 3, 1, 1, ((1, 1),)),
        {"torch": REFUSED, "jax": (5,), "onnx": REFUSED, "onnx inference": (5,)},
    ),
    "same-stride": Row(
        "'same' with stride 2",
        _case("conv", 9, 3, 2, "same"),
        {"torch": REFUSED, "jax": (5,), "onnx": (5,), "keras": (5,)},
    ),
    "same-dilation": Row(
        "'same' with dilation 2, pooled: ONNX Runtime pads for the plain kernel",
        _case("maxpool", 8, 3, 1, "same", dilation=2),
        {"jax": (8,), "onnx": (6,), "onnx inference": (8,)},
    ),
    "same-symbolic": Row(
        "'same' with stride 2 on 9: ONNX Runtime's symbolic inference rounds H/2 down",
        _case("maxpool", 9, 3, 2, "same"),
        {"jax": (5,), "onnx": (5,), "onnx inference": (5,), "onnx symbolic": (4,)},
    ),
    "same-spare": Row(
        "'same', kernel 1, stride 2 on 2: input to spare, a negative padding",
        _case("maxpool", 2, 1, 2, "same"),
        {"jax": (1,), "onnx": REFUSED, "onnx inference": (1,), "keras": (1,)},
    ),
    "kernel-too-large": Row(
        "kernel 5 on 3",
        _case("maxpool", 3, 5, 1),
        {"torch": REFUSED, "jax": (0,), "onnx": REFUSED, "onnx inference": (-1,)},
    ),
    "kernel-too-large-stride": Row(
        "kernel 5 on 3, stride 3: C's division rounds toward zero",
        _case("conv", (3, 3), 5, 3),
        {"torch": REFUSED, "jax": (0, 0), "onnx": REFUSED, "caffe": (1, 1)},
    ),
    "transpose-output-pad": Row(
        "transposed 'valid' kernel 1, stride 2, output padding 1 on one axis only",
        Case("conv_transpose", (4, 4, 1), (1, 1), (2, 2), "valid", (1, 1), output_pad=(0, 1)),
        {"keras": (7, 8)},
    ),
    "transpose-no-output-pad": Row(
        "the same without: Keras fills each axis up to the stride",
        Case("conv_transpose", (4, 4, 1), (1, 1), (2, 2), "valid", (1, 1)),
        {"keras": (8, 8)},
    ),
}


def inferred(case: Case) -> Outcome:
    """ONNX's own shape inference, which runs nothing."""
    from onnx import shape_inference

    model = dialects.onnx_model(case)
    shape = shape_inference.infer_shapes(model, strict_mode=True).graph.output[0]
    sizes = [dim.dim_value for dim in shape.type.tensor_type.shape.dim]
    return (*sizes[2:], sizes[1])


def symbolic(case: Case) -> Outcome:
    """ONNX Runtime's symbolic shape inference, at these sizes."""
    import sympy
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    model = dialects.onnx_model(case)
    names = [f"n{i}" for i in range(case.rank)]
    for dim, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], names, strict=True):
        dim.dim_param = name
    shape = SymbolicShapeInference.infer_shapes(model, auto_merge=True).graph.output[0]
    forms = [sympy.sympify(dim.dim_param) for dim in shape.type.tensor_type.shape.dim[2:]]
    values = dict(zip(names, case.volume, strict=False))
    return (*(int(form.subs(values)) for form in forms), case.volume[-1])


RUN = {name: run for name, (_, run) in dialects.FRAMEWORKS.items()} | {
    "onnx inference": inferred,
    "onnx symbolic": symbolic,
}


def outcome(case: Case, framework: str) -> tuple[tuple[int, ...] | str, str]:
    """The spatial sizes or 'refused', and the reason in the framework's words."""
    try:
        return tuple(RUN[framework](case)[:-1]), ""
    except Refused as error:
        return REFUSED, str(error).strip().splitlines()[-1][:100]


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"no row {unknown[0]}; the rows are {', '.join(ROWS)}")
        return 2
    warnings.simplefilter("ignore")
    changed = 0
    for name in names or list(ROWS):
        row = ROWS[name]
        print(f"{name}: {row.words}")
        for framework, expected in row.found.items():
            found, why = outcome(row.case, framework)
            text = found if isinstance(found, str) else "x".join(map(str, found))
            differs = "" if found == expected else f"   <-- the table says {expected}"
            changed += bool(differs)
            print(f"  {framework:15}{text}{': ' + why if why else ''}{differs}")
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

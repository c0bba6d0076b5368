"""The one table of conventions, each with the source its rules were read from."""

from ..expr import nearest
from ..rows import Row
from . import rules, xla
from .core import Bug, Convention


def _op(*ops: str):  # type: ignore[no-untyped-def]
    return lambda row: row.op in ops


def _grouped(row: Row) -> bool:
    return row.op == "conv_transpose" and row.layer.values()["groups"] != 1


TRANSPOSED = Bug(
    "a transposed convolution is counted at its output positions, not at those of its input",
    _op("conv_transpose"),
)
ENTRIES = (
    Convention(
        "cnncalc", "cnncalc", "MACs", "the conventions of cnncalc's README", rules.nothing,
        rules.nothing, remark="multiply-adds of convolutions, dense layers and matrix products",
    ),
    Convention(
        "papers", "the papers", "FLOPs",
        "He 2015, table 1 (\"FLOPs (multiply-adds)\"); Howard 2017; Tan 2019; torchvision's _ops",
        rules.nothing, rules.nothing, remark="multiply-adds, called FLOPs",
    ),
    Convention(
        "torchinfo", "torchinfo 1.8.0", "mult-adds", "torchinfo/layer_info.py, calculate_macs",
        rules.torchinfo, rules.nothing, hooks=True,
        bugs=(
            TRANSPOSED,
            Bug("a linear layer over tokens or pixels is counted at one position only",
                _op("linear")),
            Bug("a normalisation counts one operation a parameter, not a value",
                _op("batchnorm", "layernorm", "groupnorm")),
        ),
    ),
    Convention(
        "thop", "thop 0.1.1", "MACs", "thop/vision/basic_hooks.py and calc_func.py",
        rules.thop, rules.thop_params, hooks=True,
        bugs=(
            TRANSPOSED,
            Bug("the parameters of modules without a rule are left out",
                lambda row: bool(rules.thop_params(row))),
        ),
    ),
    Convention(
        "ptflops-pytorch", "ptflops 0.7.5, backend pytorch", "MACs",
        "ptflops/pytorch_ops.py and pytorch_engine.py", rules.ptflops, rules.nothing, hooks=True,
        bugs=(
            Bug("modules whose functions are patched too are counted twice",
                _op("relu", "elu", "prelu", "gelu", "maxpool", "avgpool", "subsample",
                    "global_avgpool", "global_maxpool", "adaptive_avgpool", "upsample")),
        ),
    ),
    Convention(
        "ptflops-aten", "ptflops 0.7.5, backend aten", "MACs", "ptflops/aten_ops.py",
        rules.ptflops_aten, rules.nothing,
    ),
    Convention(
        "fvcore", "fvcore 0.1.5", "flops", "fvcore/nn/jit_handles.py and flop_count.py",
        rules.fvcore, rules.nothing, remark="one multiply-add is one flop",
        bugs=(Bug("a module that is called again is counted once",
                  lambda row: row.shared is not None),),
    ),
    Convention(
        "torch-flopcounter", "PyTorch 2.13 FlopCounterMode", "FLOPs",
        "torch/utils/flop_counter.py", rules.twice, rules.nothing,
    ),
    Convention(
        "calflops", "calflops 0.3.2", "FLOPs", "calflops/pytorch_ops.py", rules.calflops,
        rules.nothing,
        bugs=(
            Bug("a transposed convolution's bias is counted at the size that a convolution gives",
                lambda row: row.op == "conv_transpose" and "bias" in row.weights),
            Bug("a grouped transposed convolution is divided by its groups twice", _grouped),
            Bug("resizing is counted at the size of its input", _op("upsample")),
            Bug("the bias of a linear layer is left out",
                lambda row: row.op in ("dense", "linear") and "bias" in row.weights),
        ),
    ),
    Convention(
        "calflops-macs", "calflops 0.3.2", "MACs", "calflops/pytorch_ops.py", rules.calflops_macs,
        rules.nothing,
        bugs=(
            Bug("a grouped transposed convolution is divided by its groups twice", _grouped),
        ),
    ),
    Convention(
        "onnx-tool", "onnx-tool 1.0.1", "MACs", "onnx_tool/node.py", rules.onnx_tool,
        rules.all_arrays,
        bugs=(
            TRANSPOSED,
            Bug("a pool over other than two axes counts the first side of its window only",
                lambda row: row.op in ("maxpool", "avgpool") and len(row.windows) > 2),
        ),
        remark="instructions: exp 32, division 4, square root 24",
    ),
    Convention(
        "flax", "Flax 0.12 and XLA (tabulate, cost_analysis)", "flops",
        "flax/linen/summary.py: jax.jit(f).lower(x).cost_analysis(); hlo_cost_analysis.cc",
        xla.xla, rules.all_arrays, whole=lambda rows: {xla.ROUNDED: xla.rounding(rows)},
        remark="the program before it is optimised; exponentials and roots are none",
        bugs=(
            Bug("an exact GELU is counted as the 66 instructions of its error function",
                lambda row: row.op == "gelu" and not row.layer.values()["approximate"]),
        ),
    ),
    Convention(
        "keras", "Keras 3 (summary, count_params)", "MACs",
        "keras/src/utils/summary_utils.py: total = trainable + non-trainable", rules.nothing,
        rules.all_arrays, remark="Keras counts parameters only",
    ),
    Convention(
        "keras-adam", "Keras 3 (summary, compiled with Adam)", "MACs",
        "keras/src/utils/summary_utils.py: total = trainable + non-trainable + optimizer",
        rules.nothing, rules.all_arrays,
        remark="Adam keeps two moments a parameter, its step count and its learning rate",
    ),
)  # fmt: skip
ALIASES = {"xla": "flax", "jax": "flax"}
CONVENTIONS = {c.name: c for c in ENTRIES}


def convention(name: str) -> Convention:
    """The convention called `name`; KeyError says which there are."""
    name = name.strip().lower()
    found = CONVENTIONS.get(ALIASES.get(name, name))
    if found is None:
        near = nearest(name, list(CONVENTIONS))
        hint = f"did you mean '{near}'? " if near else ""
        raise KeyError(f"unknown convention '{name[:40]}'; {hint}known: {', '.join(CONVENTIONS)}")
    return found

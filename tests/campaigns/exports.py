"""Every example of every op written for a target, executed, and compared with the engine.

Run: python tests/campaigns/exports.py keras|flax|torch|onnx [OP...]; each needs its framework.
It prints what is refused and why, and what differs (exit status 1).
"""

import ast
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from export_values import Case

from cnncalc.exporters import ExportError, export
from cnncalc.layers import REGISTRY

DIALECTS = {"lstm": ("cs231n", "torch", "keras"), "gru": ("cs231n", "torch", "keras", "jax")}


def flax(case):
    """Shapes and counts of the traced module; values too of recurrence, and without weights."""
    import jax

    source = export(case.network, "flax")
    space = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), space)
    (*_, last) = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    model = space[last]()
    inputs = [jax.ShapeDtypeStruct(x.shape, "float32") for x in case.inputs]
    key = jax.random.key(0)
    found, held = jax.eval_shape(lambda k, *x: model.init_with_output(k, *x), key, *inputs)
    count = sum(math.prod(a.shape) for a in jax.tree.leaves(held.get("params", {})))
    assert count == case.report.totals.params
    assert found.shape == case.wanted.shape
    if not held or case.op in ("lstm", "gru"):
        found = {"params": {"it": recurrence(case.params)}} if held else {}
        case.compare(np.asarray(model.apply(found, *case.inputs)), last=True)


def recurrence(params):
    """The engine's arrays by the names of the exported module."""
    found = {}
    for name, array in params.items():
        side = "backward" if name.startswith("backward_") else "forward"
        name = name.removeprefix("backward_")
        if name in ("kernel", "bias"):
            found.setdefault(side, {})[name] = array
        else:
            found[f"{side}_recurrent" if name == "recurrent" else f"{side}_bias"] = array
    return found


def keras(case):
    case.compare(case.keras(), last=True)


RUNS = {"flax": flax, "keras": keras, "torch": lambda case: case.compare(case.torch()),
        "onnx": lambda case: case.compare(case.onnx())}  # fmt: skip


def main(target, *ops):
    right = wrong = 0
    for op in ops or REGISTRY:
        for dialect in DIALECTS.get(op, ("cs231n",)):
            for number in range(len(REGISTRY[op].examples)):
                try:
                    RUNS[target](Case(op, number, dialect))
                    right += 1
                except ExportError as error:
                    print(op, number, dialect, "refused:", error)
                except Exception as error:
                    wrong += 1
                    print(op, number, dialect, "WRONG:", " ".join(str(error).split())[:200])
    print(f"{target}: {right} agree, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

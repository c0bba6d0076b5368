"""Every bundled spec written for Flax (linen), traced, and compared with its derivation.

Run: python tests/campaigns/exports_jax.py [NAME...]; it needs flax.
"""

import ast
import math
import sys

import jax

import cnncalc
from cnncalc import bundled
from cnncalc.exporters import ExportError, export


def counted(tree):
    return sum(math.prod(a.shape) for a in jax.tree.leaves(tree))


def check(network):
    """Shapes and parameters of the exported module, traced without arrays."""
    report = network.derive()
    source = export(network, "flax")
    space = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), space)
    (*_, last) = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    inputs = [
        jax.ShapeDtypeStruct((2, *(n if isinstance(n, int) else 224 for n in shape)), "float32")
        for shape in report.input_shapes.values()
    ]
    model = space[last]()
    key = jax.random.key(0)
    found, variables = jax.eval_shape(lambda k, *x: model.init_with_output(k, *x), key, *inputs)
    outputs = found if isinstance(found, tuple) else (found,)
    assert counted(variables.get("params", {})) == report.totals.params
    assert counted(variables.get("batch_stats", {})) == report.totals.buffers
    if not report.symbols:
        assert [o.shape[1:] for o in outputs] == [report.row(n).output for n in report.outputs]
    return source


def main(names):
    bad = 0
    for name in names or bundled.names():
        try:
            check(cnncalc.load(name))
            print("ok     ", name)
        except ExportError as error:
            print("refused", name, error)
        except Exception as error:
            bad += 1
            print("WRONG  ", name, type(error).__name__, str(error)[:200])
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)

"""Bundled specs written for a target, imported again, and compared with their derivation.

Run: python tests/campaigns/roundtrip.py onnx|caffe|torch|keras [NAME...]; all specs without names.
`same` is the same network (PyTorch: with its symbols at 256); `totals` the same parameters,
buffers and multiply-adds, in other operators; `differs` is a fault (exit status 1).
"""

import ast
import sys
import tempfile
from pathlib import Path

import cnncalc
from cnncalc import bundled
from cnncalc.exporters import ExportError, export
from cnncalc.formula import substitute
from cnncalc.sameness import compare
from cnncalc.source import Source


def imported(network, report, target, folder):
    """The derivation of the imported export."""
    if target == "torch":
        from cnncalc.importers.torch import convert

        source = export(network, target)
        (folder / "exported_module.py").write_text(source, encoding="utf-8")
        sys.modules.pop("exported_module", None)
        sys.path[:0] = [str(folder)]
        (*_, last) = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
        inputs = ["x".join(str(n if isinstance(n, int) else 256) for n in shape)
                  for shape in report.input_shapes.values()]  # fmt: skip
        try:
            text = convert(f"exported_module:{last}", inputs)
        finally:
            sys.path.remove(str(folder))
        return cnncalc.load(Source(text)).derive()
    if target == "keras":
        from cnncalc.importers import convert

        space = {"__name__": "exported"}
        exec(compile(export(network, target), "exported.py", "exec"), space)
        path = folder / "net.json"
        path.write_text(space["build"]().to_json(), encoding="utf-8")
        return cnncalc.load(Source(convert(str(path)))).derive()
    path = folder / ("net.onnx" if target == "onnx" else "net.prototxt")
    if target == "onnx":
        from cnncalc.exporters.onnx import model

        path.write_bytes(model(network, report, weights=False).SerializeToString())
    else:
        path.write_text(export(network, target), encoding="utf-8")
    return cnncalc.load(str(path)).derive()


def at(name, size):
    """The derivation with its symbols at one size."""
    text = bundled.read(bundled.find(name)).text.replace("HxWx3", f"{size}x{size}x3")
    return cnncalc.load(Source(text)).derive()


def totals(report):
    """Of symbols at one size: formats keep their names, not their domains."""
    t = report.totals
    at = dict.fromkeys(report.symbols, 256)
    return tuple(substitute(n, at) for n in (t.params, t.buffers, t.macs))


def main(target, *names):
    sys.dont_write_bytecode = True
    wrong = 0
    for name in names or bundled.names():
        network = cnncalc.load(name)
        report = network.derive()
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = imported(network, report, target, Path(folder))
            except ExportError as error:
                print(name, "refused:", error)
                continue
            except Exception as error:
                wrong += 1
                print(name, "FAILS:", type(error).__name__, str(error)[:200])
                continue
        if target == "torch" and report.symbols:  # PyTorch's inputs are numbers
            report = at(name, 256)
        verdict = compare(report, found)
        kind = (
            "same" if verdict.same else "totals" if totals(report) == totals(found) else "differs"
        )
        wrong += kind == "differs"
        print(name, kind, "" if kind != "differs" else (totals(report), totals(found)), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

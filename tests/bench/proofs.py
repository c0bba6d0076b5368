"""Every bundled spec, made symbolic in H and W, compared with JAX at all sizes.

    python tests/bench/proofs.py [SPEC...]

The sizes of the input become symbols without a lower bound (only the axis L of sequences, D, H
and W of volumes) and what the spec expects at its own size is left out. Each spec has a fresh
process, and its seconds count from the end of `import jax`: what JAX prepares on its first trace
is in them. `proved`: every layer, at all sizes, JAX's symbolic shapes being equal to our closed
forms. `checked`: some layers were compared at single sizes; the last column names them.
The aim: every spec proved in under 2 s.
"""

import json
import subprocess
import sys
import time
from typing import Any

import yaml

sys.path.insert(0, __file__.rpartition("/")[0])
from machine import Line, machine, show

import cnncalc
from cnncalc import bundled

AIM = 2.0
AXES = {0: ("L",), 1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}


def symbolic(name: str) -> str:
    """The bundled spec `name` over symbols, without what it expects."""
    spec = yaml.safe_load(bundled.read(name).text)
    spec["layers"] = without_answers(spec["layers"])
    for key in ("expect", "budget"):
        spec.pop(key, None)
    sizes = str(spec["input"]).split("x")
    if all(size.isdigit() for size in sizes[:-1]):
        axes = AXES[len(sizes) - 1]
        spec["input"] = "x".join([*axes, *sizes[len(axes):]])  # fmt: skip
    for axis in sizes:
        spec.get("let", {}).pop(axis, None)
    return yaml.safe_dump(spec, sort_keys=False)


def without_answers(part: Any) -> Any:
    """A part of a spec without any `expect`."""
    if isinstance(part, list):
        return [without_answers(item) for item in part]
    if isinstance(part, dict):
        return {k: without_answers(v) for k, v in part.items() if k != "expect"}
    return part


def one(name: str) -> dict[str, Any]:
    """Seconds (of the clock, of the processor) and verdict, in this process."""
    import jax  # noqa: F401
    import numpy as np

    from cnncalc.jaxrun.allsizes import prove
    from cnncalc.jaxrun.runner import misfits

    text = symbolic(name)
    start = time.perf_counter()
    report = cnncalc.load(text).derive()
    derived, cpu = time.perf_counter(), time.process_time()
    found = prove(report, misfits(report), np.random.default_rng(0), lambda layer: None)
    cpu, end = time.process_time() - cpu, time.perf_counter()
    return {
        "layers": len(report.layers), "derived": derived - start, "seconds": end - derived,
        "cpu": cpu, "verdict": found.verdict, "detail": found.detail,
    }  # fmt: skip


def measured(name: str) -> dict[str, Any]:
    """`one`, in a process of its own."""
    command = [sys.executable, __file__, "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def lines(names: list[str] | None = None, verbose: bool = False) -> list[Line]:
    """The slowest spec, and how many are proved."""
    found = {}
    if verbose:
        print(f"{'spec':30}layers  derived   proof     CPU  verdict")
    for name in names or bundled.names():
        found[name] = row = measured(name)
        if verbose:
            detail = "" if row["verdict"] == "proved" else row["detail"].partition(": ")[2]
            print(
                f"{name:30}{row['layers']:6} {row['derived']:6.2f} s {row['seconds']:5.2f} s"
                f" {row['cpu']:5.2f} s  {row['verdict']:8} {detail}".rstrip(),
                flush=True,
            )
    slowest = max(found, key=lambda name: found[name]["seconds"])
    proved = sum(row["verdict"] == "proved" for row in found.values())
    quick = sum(row["seconds"] < AIM for row in found.values())
    return [
        Line("specs made symbolic in H and W, proved at all sizes", f"{proved} of {len(found)}",
             "", "all"),
        Line("of them within 2 s after imports", f"{quick} of {len(found)}", "", "all"),
        Line(f"the slowest of them, {slowest}", f"{found[slowest]['seconds']:.2f} s", "",
             f"under {AIM:.0f} s"),
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2])))
    else:
        print(machine("jax"))
        show(lines(sys.argv[1:], verbose=True))

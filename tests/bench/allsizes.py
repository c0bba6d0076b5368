"""Every bundled spec, made symbolic in H and W, compared with JAX at all sizes.

    python tests/bench/allsizes.py [SPEC...]

Each layer is traced with fresh symbols for its inputs, at least as large as the layer needs.
The aim: every spec under 2 s once JAX is imported. `proved` is by normal form; `checked` says
that some layers (`same` or (k-1)/2 padding over symbols) were compared at single sizes.
"""

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
from machine import Line, machine, show

import cnncalc

SPECS = Path(__file__).parents[2] / "specs"


def symbolic(path: Path) -> str | None:
    """The spec with H and W for the numbers of its input; None where it has no such input."""
    text = re.sub(r"^let: \{(.*)H: \d+, W: \d+\}", r"let: {\1}", path.read_text(), flags=re.M)
    text = re.sub(r"(let: \{.*), \}", r"\1}", text)
    found = re.search(r"^input: *\d+x\d+x(\d+)", text, re.M)
    return text.replace(found[0], f"input: HxWx{found[1]}", 1) if found else (
        text if "input: HxWx" in text else None
    )  # fmt: skip


def proof(text: str) -> tuple[float, str]:
    """Seconds and verdict."""
    import numpy as np

    from cnncalc.jaxrun.allsizes import prove

    report = cnncalc.load(text).derive()
    wrong = {d.layer for d in report.diagnostics if d.severity == "error" and d.layer}
    start = time.perf_counter()
    found = prove(report, frozenset(wrong), np.random.default_rng(0), lambda name: None)
    return time.perf_counter() - start, found.verdict


def lines(names: list[str] | None = None, verbose: bool = False) -> list[Line]:
    """The slowest spec, and how many are proved."""
    proof("{input: HxWx3, layers: [{conv: 3}, relu, {maxpool: 2}]}")
    times, verdicts = {}, {}
    for path in sorted(SPECS.glob("*.yaml")):
        text = symbolic(path)
        if text is None or (names and path.stem not in names):
            continue
        times[path.stem], verdicts[path.stem] = proof(text)
        if verbose:
            print(f"{path.stem:24} {times[path.stem]:6.2f} s  {verdicts[path.stem]}", flush=True)
    slowest = max(times, key=lambda name: times[name])
    proved = sum(v == "proved" for v in verdicts.values())
    return [
        Line("specs made symbolic in H and W, proved at all sizes", f"{proved} of {len(times)}",
             "", "all"),
        Line(f"the slowest of them, {slowest}", f"{times[slowest]:.2f} s", "", "under 2 s"),
    ]  # fmt: skip


if __name__ == "__main__":
    print(machine("jax"))
    show(lines(sys.argv[1:], verbose=True))

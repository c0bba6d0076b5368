"""Runs the benchmarks and writes the table in README's section on performance.

    python tests/bench/all.py [--rounds N] [--only closed_forms,sweep] [--tools PYTHON] [--quick]

With `--only`, the lines of the other scripts stay as they are. `--tools`: see `startup.py`.
`--quick` takes one round of each, and one network of `run.py`. The engine's training steps have
tables of their own: `engine.py`, `engine_jax.py`.
"""

import argparse
import importlib
import re
import sys
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
from machine import Line, machine, show

README = Path(__file__).parents[2] / "README.md"
SCRIPTS = ("closed_forms", "proofs", "sweep", "startup", "run")
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def measured(script: str, rounds: int, tools: str, quick: bool = False) -> list[Line]:
    given = {
        "proofs": (),
        "startup": (rounds, tools),
        "run": (rounds, tools, quick),
    }.get(script, (rounds,))
    return list(importlib.import_module(script).lines(*given))


def rows(script: str, lines: list[Line]) -> list[str]:
    cells = [(f"`{script}`", *line) for line in lines]
    return [f"| {' | '.join(c.replace('|', '/') for c in row)} |" for row in cells]


def write(found: dict[str, list[Line]]) -> None:
    """Replaces the rows of the scripts that ran."""
    text = README.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    table = ["| script | claim | medians | ratio | aim |", "|---|---|---|---|---|"]
    for script in SCRIPTS:
        kept = [line for line in old.splitlines() if line.startswith(f"| `{script}`")]
        table += rows(script, found[script]) if script in found else kept
    note = f"Measured on {machine('numpy', 'jax', 'torch')}."
    body = "\n".join([*table, "", re.sub(r"\s+", " ", note)])
    README.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(SCRIPTS))
    parser.add_argument("--tools", default=sys.executable)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    print(machine("numpy", "jax", "torch"))
    found = {}
    for script in options.only.split(","):
        found[script] = measured(script, rounds, options.tools, options.quick)
        show(found[script])
        write(found)


if __name__ == "__main__":
    main()

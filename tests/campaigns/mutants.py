"""Breaks the product's own code, one operator at a time, and looks whether the tests notice.

    python tests/campaigns/mutants.py [--sample 200] [--seed 0] [--only formula/] [--seconds 60]

A mutant changes one operator, comparison, constant, boolean or returned value of the modules
in `TARGETS`; the tests named beside them run with -x in a process forked from one that has
loaded pytest, NumPy and SymPy already, with the mutant's source in the module's place. No file
is written. A mutant that runs out of time counts as killed. Survivors are printed as a diff.
"""

import argparse
import ast
import contextlib
import copy
import difflib
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TARGETS = {
    "formula/core.py": ["test_formula.py", "test_expr.py", "test_chains.py"],
    "formula/rounding.py": ["test_formula.py", "test_chains.py"],
    "formula/division.py": ["test_formula.py", "test_chains.py"],
    "formula/bounds.py": ["test_formula.py"],
    "formula/rewrite.py": ["test_formula.py", "test_chains.py"],
    "dialects.py": ["test_dialects.py", "test_network.py", "test_rules.py"],
    "derive.py": ["test_network.py", "test_published.py", "test_memory.py"],
    "layers/conv.py": ["test_rules.py", "test_network.py", "test_published.py", "test_mistakes.py"],
    "layers/pool.py": [
        "test_dialects.py",
        "test_rules.py",
        "test_published.py",
        "test_mistakes.py",
    ],
    "layers/dense.py": [
        "test_network.py",
        "test_rules.py",
        "test_published.py",
        "test_mistakes.py",
    ],
    "marking.py": ["test_answers.py", "test_grade.py"],
    "homework/marking.py": ["test_grade.py", "test_homework.py"],
}
SWAPS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add,), ast.FloorDiv: (ast.Mult,),
    ast.Div: (ast.Mult,), ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,), ast.Or: (ast.And,),
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """(attribute, new value) of every mutation of one node."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        for swap in SWAPS.get(type(node.op), ()):
            yield "op", swap()
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for swap in SWAPS.get(type(node.ops[0]), ()):
            yield "ops", [swap()]
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int):
        yield "value", not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "value", ast.Constant(None)
    elif isinstance(node, ast.If):
        yield "test", ast.UnaryOp(ast.Not(), node.test)


def ignored(tree: ast.Module) -> set[int]:
    """Nodes of annotations and of raised messages, which say nothing of what is computed."""
    found: set[int] = set()
    for node in ast.walk(tree):
        for name in ("annotation", "returns", "exc"):
            part = getattr(node, name, None)
            if isinstance(part, ast.AST):
                found |= {id(n) for n in ast.walk(part)}
        if isinstance(node, ast.JoinedStr):
            found |= {id(n) for n in ast.walk(node)}
    return found


def mutants(text: str) -> list[str]:
    """All sources that differ in one place."""
    tree = ast.parse(text)
    skip, found = ignored(tree), []
    for at, node in enumerate(ast.walk(tree)):
        for name, value in () if id(node) in skip else changes(node):
            other = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(other)) if i == at)
            setattr(target, name, value)
            found.append(ast.unparse(ast.fix_missing_locations(other)))
    return found


class Instead(importlib.abc.MetaPathFinder):
    """Finds one module in a text in place of its file."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.path, self.text = name, path, text

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        found = importlib.util.spec_from_file_location(fullname, self.path)
        assert found is not None
        assert found.loader is not None
        found.loader.exec_module = lambda module: exec(  # type: ignore[method-assign]
            compile(self.text, str(self.path), "exec"), module.__dict__
        )
        return found


def killed(module: str, text: str, seconds: float) -> bool:
    """Whether a test fails, or does not come back."""
    child = os.fork()
    if not child:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in () if os.environ.get("SHOW") else (0, 1, 2):
            os.dup2(quiet, stream)
        import pytest

        name = "cnncalc." + module[:-3].replace("/", ".")
        sys.meta_path.insert(0, Instead(name, ROOT / "cnncalc" / module, text))
        sys.path.insert(0, str(ROOT))
        os.chdir(ROOT)
        files = [f"tests/{file}" for file in TARGETS[module]]
        try:
            status = pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", *files])
        except BaseException as error:
            print(repr(error))
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(status))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="Do the tests notice broken code?")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    os.environ["CI"] = "1"  # Hypothesis draws the same examples for all
    import numpy  # noqa: F401
    import pytest  # noqa: F401
    import sympy  # noqa: F401

    drawn: list[tuple[str, str, str]] = []
    for module in (m for m in TARGETS if given.only in m):
        text = (ROOT / "cnncalc" / module).read_text("utf-8")
        plain = ast.unparse(ast.parse(text))
        if killed(module, plain, 10 * given.seconds):
            print(f"{module}: its tests fail without a mutant")
            return 2
        drawn += [(module, plain, mutant) for mutant in mutants(text)]
    total, rng = len(drawn), random.Random(given.seed)
    drawn = rng.sample(drawn, min(given.sample, total))
    dead = 0
    for module, plain, mutant in drawn:
        if killed(module, mutant, given.seconds):
            dead += 1
            continue
        lines = difflib.unified_diff(
            plain.splitlines(), mutant.splitlines(), module, "mutant", n=1, lineterm=""
        )
        print("survived:", *lines, sep="\n", flush=True)
    print(f"{dead} of {len(drawn)} mutants killed ({dead / max(1, len(drawn)):.1%}) of {total:,}")
    return int(dead < 0.9 * len(drawn))


if __name__ == "__main__":
    sys.exit(main())

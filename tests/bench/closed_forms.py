"""Closed forms of deep chains: symbolic against plain integers, SymPy and symengine.

    python tests/bench/closed_forms.py [rounds]

1. A chain of 100 to 1,000 convolutions and pools (stride 4, 2, 2 repeated) over symbolic H, W,
   derived as `check` derives it, beside the same chain on integers large enough for it.
   Aims: at most 20 times the integers, time linear in the length.
2. The sizes alone, one axis. Nested SymPy floors (aim: 100x) are built at 100 layers, where they
   already take seconds; near 1,000 they overflow the interpreter's stack. Nested symengine floors
   (aim: 10x) at 1,000 layers: only built, with the last size printed and evaluated, with every
   size printed and evaluated. Nesting defers the work, one floor a size does it.
"""

import statistics
import sys
import time
from typing import Any

sys.path.insert(0, __file__.rpartition("/")[0])
from machine import Line, machine, show

import cnncalc
from cnncalc.derive import derive
from cnncalc.formula import Symbol, evaluate, slide

DEEP = 1000
LARGE = 10**410  # an input that 1,000 layers leave something of
STRIDES, KERNELS = (4, 2, 2), (11, 3, 3)


def chain(length: int) -> str:
    layers = []
    for i in range(length):
        k, s = KERNELS[i % 3], STRIDES[i % 3]
        pool = f"maxpool: {{kernel: {k}, stride: {s}}}"
        layers.append(pool if i % 3 == 2 else f"conv: {{filters: 8, kernel: {k}, stride: {s}}}")
    return "dialect: torch\ninput: HxWx3\nlayers:\n" + "".join(f"  - {x}\n" for x in layers)


def seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def derivation(length: int, symbolic: bool) -> float:
    """Seconds of one derivation: sizes, weights, MACs, memory, findings."""
    from cnncalc.rules import sizes

    graph = cnncalc.load(chain(length)).graph()
    large = 12 * 2 ** (4 * length // 3 + 8)
    shape = (Symbol("H"), Symbol("W"), 3) if symbolic else (large, large + 1, 3)
    sizes._judged.cache_clear()
    return seconds(lambda: derive(graph, {"input": shape}))


def sizes(size: Any, floor: Any, length: int) -> list[Any]:
    """The sizes of a chain as nested floors."""
    found = []
    for i in range(length):
        size = floor((size - KERNELS[i % 3]) / STRIDES[i % 3]) + 1
        found.append(size)
    return found


def ours(length: int) -> list[Any]:
    """The sizes of a chain, each with one floor."""
    size: Any = Symbol("H")
    found = []
    for i in range(length):
        size = slide(size, KERNELS[i % 3], STRIDES[i % 3], 0)
        found.append(size)
    return found


def used(forms: list[Any], value: Any) -> list[tuple[str, int]]:
    """What a closed form is for: its text, and its value at one input."""
    return [(str(x), int(value(x))) for x in forms]


def median(call: Any, rounds: int) -> float:
    return statistics.median(seconds(call) for _ in range(rounds))


def beside_sympy(rounds: int) -> Line:
    import sympy
    from sympy.core.cache import clear_cache

    few = 100

    def nested() -> None:
        clear_cache()  # otherwise later rounds read what the first one found
        sizes(sympy.Symbol("H"), sympy.floor, few)

    mine = median(lambda: ours(few), 9 * rounds)
    other = median(nested, rounds)
    return Line(f"{few} sizes, nested SymPy floors beside ours",
                f"{other:.2f} s, {1e3 * mine:.1f} ms", f"{other / mine:,.0f}x", "100x")  # fmt: skip


def beside_symengine(rounds: int) -> list[Line]:
    try:
        import symengine
    except ImportError:
        return [Line("symengine", "not installed", "", "10x")]

    def built() -> list[Any]:
        return sizes(symengine.Symbol("H"), symengine.floor, DEEP)

    def line(what: str, last: int, turns: int) -> Line:
        mine = median(lambda: used(ours(DEEP)[-last:], our_value) if last else ours(DEEP), turns)
        other = median(lambda: used(built()[-last:], their_value) if last else built(), turns)
        text = f"{1e3 * other:.1f} ms, {1e3 * mine:.1f} ms"
        return Line(what, text, f"{other / mine:.1f}x", "10x")

    def our_value(x: Any) -> Any:
        return evaluate(x, {"H": LARGE})

    def their_value(x: Any) -> Any:
        return x.subs("H", LARGE)

    assert [our_value(x) for x in ours(DEEP)] == [int(their_value(x)) for x in built()]
    return [
        line(f"{DEEP:,} sizes, nested symengine floors beside ours", 0, 9 * rounds),
        line("the same, the last one printed and evaluated", 1, 9 * rounds),
        line("the same, every one printed and evaluated", DEEP, rounds),
    ]


def lines(rounds: int = 3) -> list[Line]:
    """The claims and what was measured."""
    found = []
    times = {}
    for length in (100, DEEP):
        for symbolic in (True, False):
            call = [derivation(length, symbolic) for _ in range(rounds)]
            times[length, symbolic] = statistics.median(call)
    for length in (100, DEEP):
        form, whole = times[length, True], times[length, False]
        found.append(
            Line(f"{length:,} layers over H, W derived, beside integers",
                 f"{form:.2f} s, {whole:.2f} s", f"{form / whole:.1f}x", "at most 20x")
        )  # fmt: skip
    growth = times[DEEP, True] / times[100, True]
    found.append(Line("1,000 layers beside 100", "", f"{growth:.1f}x", "10x (linear)"))
    return [*found, beside_sympy(rounds), *beside_symengine(rounds)]


if __name__ == "__main__":
    print(machine("sympy", "symengine"))
    show(lines(int(sys.argv[1]) if len(sys.argv) > 1 else 3))

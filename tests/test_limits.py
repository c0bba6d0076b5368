"""Every limit of SECURITY.md: its code and its number are told, and one less is taken."""

import re
from pathlib import Path

import pytest

import cnncalc
from cnncalc.source import Source

SECURITY = (Path(__file__).parents[1] / "SECURITY.md").read_text("utf-8")
ROWS = {
    m[1]: (m[2], m[3])
    for m in re.finditer(r"^\| ([^|]+) \| ([\d,]+|none)[^|]* \| (E0\d\d) \|$", SECURITY, re.M)
    if m[3] in ("E010", "E011", "E012", "E013")
}


def conv(pad, head=""):
    return f"{head}input: 8x8x3\nlayers:\n  - conv: {{filters: 2, kernel: 3, pad: {pad}}}\n"


def spec(layer="relu", head="", input="8x8x3"):
    return f"{head}input: {input}\nlayers:\n  - {layer}\n"


def symbols(n):
    return spec(head="assume: {" + ", ".join(f"s{i}: {{}}" for i in range(n)) + "}\n")


def repeated(times, layers="identity"):
    return spec(f"repeat: {{times: {times}, layers: [{layers}]}}")


def terms(n):
    """A power with (n + 1)(n + 2)(n + 3)/6 terms."""
    return spec(f"dense: (H + W + V + 1)**{n}", "assume: {H: {}, W: {}, V: {}}\n")


def aliases(times):
    """Ten layers behind one name, `times` times."""
    ten = ", ".join(["identity"] * 10)
    return f"input: 4x4x1\nlayers:\n  - repeat: &a {{times: 10, layers: [{ten}]}}\n" + "".join(
        "  - repeat: *a\n" for _ in range(times)
    )


# Beyond the limit, and (where it is a number that can be reached) within it.
CASES = {
    "a spec's file": ("#" * 2_000_001, None),
    "depth of YAML": (spec(head="name: " + "[" * 65 + "]" * 65 + "\n"),
                      spec(head="name: " + "[" * 60 + "]" * 60 + "\n")),
    "values in a file": ("layers: [" + "x," * 200_001 + "x]", None),
    "an alias inside itself": ("input: 8x8x3\nlayers: &a [relu, *a]\n", None),
    "aliases that repeat layers": (aliases(200), None),
    "layers after unrolling": (repeated(20_001), repeated(20_000)),
    "items unrolled, blocks and repeats too": (repeated(99_999_999, ""), repeated(9, "")),
    "any size": (spec("dense: 10**12 + 1"), spec("dense: 10**12")),
    "axes of a volume": (spec(input="x".join("2" * 8)), spec(input="x".join("2" * 7))),
    "free symbols": (symbols(33), symbols(32)),
    "characters of an expression": (conv("1" + " " * 999 + "+1"), conv("1" + " " * 900 + "+1")),
    "nesting of an expression": (conv("(" * 64 + "1" + ")" * 64), conv("(" * 60 + "1" + ")" * 60)),
    "digits of a number": (conv("0*" + "9" * 41), conv("0*" + "9" * 40)),
    "an exponent": (conv("0*2**65"), conv("0*2**64")),
    "bits of a number in an expression": (conv("0*(2**33)**64"), conv("0*(2**31)**64")),
    "terms of an expression": (terms(30), terms(3)),
}  # fmt: skip


def found(text):
    errors = cnncalc.check(Source(text, "a.yaml"), run=False).diagnostics
    return [d for d in errors if d.severity == "error"]


def test_every_row_has_its_case():
    assert set(CASES) == set(ROWS)


@pytest.mark.parametrize("what", CASES)
def test_a_limit_has_its_code_and_says_what_it_is(what):
    limit, code = ROWS[what]
    over, within = CASES[what]
    told = found(over)
    assert code in {d.code for d in told}, told
    message = next(d.message for d in told if d.code == code)
    if limit != "none":
        assert limit in message or limit.replace(",", "") in message, message
    assert len(message) < 200
    if within is not None:
        assert not [d for d in found(within) if d.code == code], what

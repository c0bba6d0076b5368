"""Specs with one fault each: the code in the file's name is reported, as it always was."""

import json
import re
from os import environ
from pathlib import Path

import pytest

from cnncalc import __main__ as program
from cnncalc.checker import check
from cnncalc.layers import REGISTRY
from cnncalc.rules.codes import ENTRIES
from cnncalc.source import Source

ROOT = Path(__file__).parents[1]
ALL = sorted((ROOT / "specs" / "broken").glob("*.yaml"))
LEARNING = [path for path in ALL if path.name.startswith("r")]  # `grad` tells these
SPECS = [path for path in ALL if path not in LEARNING]
GOLDEN = ROOT / "tests" / "golden" / "broken"
STATUS = {"E": 2, "S": 1, "A": 1, "B": 1, "W": 0}
# Faults of the command line, of the surroundings, or of cnncalc itself.
NO_FILE = {"E002", "E020", "E021"} | {code for code in ENTRIES if code[0] == "R"}

each = pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)


def code_of(spec):
    return spec.name[:4].upper()


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line in the checkout and gives its status and output."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*argv):
        status = program.run(list(argv))
        return status, capsys.readouterr().out

    return run


@each
def test_output_and_status(spec, run):
    status, out = run("check", "--no-run", str(spec.relative_to(ROOT)))
    golden = GOLDEN / f"{spec.stem}.txt"
    if environ.get("CNNCALC_OVERWRITE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(out, "utf-8")
    assert out == golden.read_text("utf-8")
    assert status == STATUS[code_of(spec)[0]]
    assert f"[{code_of(spec)}]" in out
    assert max(map(len, out.splitlines())) <= 80


@each
def test_nothing_else_is_wrong(spec):
    """One fault gives one kind of diagnostic, apart from notes."""
    found = check(str(spec), run=False).diagnostics
    allowed = {"s002-kernel-too-large": {"W001"}, "e004-unknown-key": {"E017"}}
    codes = {d.code for d in found if d.severity != "note"} - allowed.get(spec.stem, set())
    assert codes == {code_of(spec)}


@pytest.mark.parametrize("spec", LEARNING, ids=lambda path: path.stem)
def test_gradients_that_a_designer_should_know_of(spec, run):
    """Whatever is dead or joined to nothing gets no gradient either."""
    status, out = run("grad", "--format", "json", str(spec.relative_to(ROOT)))
    found = {(d["code"], d["severity"]) for d in json.loads(out)["diagnostics"]}
    assert status == 0
    assert (code_of(spec), "warning") in found
    assert {code for code, _ in found} <= {code_of(spec), "R012"}
    assert ENTRIES[code_of(spec)].example == spec.read_text("utf-8").partition("\n")[2]


@pytest.mark.parametrize("spec", ALL, ids=lambda path: path.stem)
def test_the_comment_says_what_is_wrong(spec):
    comment, *rest = spec.read_text("utf-8").splitlines()
    assert re.fullmatch(r"# .{10,90}\.", comment)
    assert not any(line.startswith("#") for line in rest)


def test_there_is_a_spec_for_every_code():
    assert {code_of(spec) for spec in SPECS} == set(ENTRIES) - NO_FILE
    assert {code_of(spec) for spec in LEARNING} == {"R012", "R013", "R014", "R015"}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {spec.stem for spec in SPECS}


FIELD = re.compile(r"(\w+): (\[\[.*?\]\]|\[.*?\]|\w+)")


def mended(text, diagnostic):
    """The spec with each help line of the form `field: value fits` carried out."""
    line = text.splitlines()[diagnostic.span.line - 1] if diagnostic.help else ""
    for help_ in diagnostic.help:
        changes, fits, _ = help_.partition(" fits")
        named = FIELD.match(changes)
        if not fits or named is None or named[1] in REGISTRY:
            continue
        fixed = line
        for field, value in FIELD.findall(changes):
            given = re.compile(rf"\b{field}: (\[\[.*?\]\]|\[.*?\]|\w+)")
            if given.search(fixed):
                fixed = given.sub(f"{field}: {value}", fixed)
            else:
                fixed = fixed.replace("}", f", {field}: {value}}}", 1)
        if fixed != line:
            yield help_, text.replace(line, fixed, 1) if text.count(line) == 1 else None


@each
def test_offered_remedies_work(spec):
    text = spec.read_text("utf-8")
    found = check(str(spec), run=False).diagnostics
    first = next((d for d in found if d.code == code_of(spec)), None)
    repairs = mended(text, first) if first and first.severity != "note" and first.span else ()
    for help_, repaired in repairs if code_of(spec)[0] in "SW" else ():
        if repaired is None:
            continue
        after = check(Source(repaired, "mended.yaml"), run=False)
        same_place = [d for d in after.diagnostics if d.span and d.span.line == first.span.line]
        assert first.code not in {d.code for d in same_place}, help_
        assert not any(d.severity == "error" for d in same_place), help_


@pytest.mark.parametrize("code", sorted(ENTRIES))
def test_explain_documents_every_code(code, run):
    status, out = run("explain", code)
    assert status == 0
    assert out.startswith(f"{code}: ")


def test_files_that_cannot_be_read(tmp_path, run):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: R\xe9seau\ninput: 8x8x3\nlayers: [relu]\n".encode("latin-1"))
    for path in (latin, tmp_path, tmp_path / "missing.yaml"):
        status, out = run("check", "--no-run", str(path))
        assert (status, "[E002]" in out) == (2, True), out


def test_a_name_to_set_that_is_not_there(run):
    status, out = run("check", "--no-run", "--set", "q=3", "specs/lenet5.yaml")
    assert (status, "[E020]" in out) == (2, True)

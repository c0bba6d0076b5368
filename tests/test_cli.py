"""The command line: what is printed, where, and the exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from cnncalc import __main__, options
from cnncalc.bundled import names

SPEC = "input: 7x7x1\nlayers:\n  - conv: {filters: 1, kernel: 3, stride: STRIDE}\n"


def call(*argv: str, stdin: str = "", env: dict[str, str] | None = None, cwd: Path | None = None):
    """A whole process."""
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "cnncalc", *argv],
        input=stdin, capture_output=True, text=True, env=environment, cwd=cwd, check=False,
    )  # fmt: skip


@pytest.fixture
def run(capsys):
    """The command line in this process: status, standard output, standard error."""

    def call(*argv: str) -> tuple[int, str, str]:
        status = __main__.run(list(argv))
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def spec(tmp_path):
    def write(text: str, name: str = "x.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_check_status_and_streams(run, spec):
    good, bad = spec(SPEC.replace("STRIDE", "2")), spec(SPEC.replace("STRIDE", "3"), "y.yaml")
    assert run("check", good, "--no-run")[0] == 0
    status, out, err = run("check", bad, "--no-run")
    assert (status, err) == (1, "")
    assert f"--> {bad}:3:" in out
    assert "S001" in out
    assert run("check", good, bad, "--no-run")[0] == 1
    assert run("check", good, "nowhere.yaml", bad, "--no-run")[0] == 2


def test_check_runs_by_default(run, spec):
    status, out, _ = run("check", spec(SPEC.replace("STRIDE", "2")))
    assert status == 0
    assert "agrees" in out


@pytest.mark.parametrize(
    "argv",
    [
        ("check", "X", "--no-run", "--format", "json", "--set", "k=3", "--strict"),
        ("check", "--run-only-shapes", "X", "--batch=4", "--seed", "7", "--device", "cpu"),
        ("check", "X", "Y", "--select", "S001,W", "--ignore=W001", "--output", "f"),
        ("check", "X", "--dialect", "torch", "--dialect", "caffe"),
    ],
)
def test_the_quick_reader_equals_typer(argv, monkeypatch):
    seen = []
    monkeypatch.setattr("cnncalc.commands.check", lambda o: seen.append(o) or 0)
    assert __main__._typer(list(argv)) == 0
    assert seen == [options.quick(argv)]


@pytest.mark.parametrize(
    "argv",
    [("check",), ("check", "x", "--batch", "0"), ("check", "x", "--format", "xml"),
     ("check", "x", "--device", "abacus"), ("check", "x", "--no-rn"), ("check", "x", "--set"),
     ("layer", "7x7x1"), ("nonsense",), ("check", "x", "--batch", "many")],
)  # fmt: skip
def test_bad_options_are_refused(run, argv):
    assert options.quick(argv) is None
    status, _, err = run(*argv)
    assert status == 2
    assert "Traceback" not in err


def test_help_lists_the_commands():
    done = call("--help")
    assert done.returncode == 0
    for command in ("check", "layer", "explain", "diff", "specs", "schema"):
        assert command in done.stdout


LIGHT = """
import sys
from cnncalc.__main__ import run
status = run(sys.argv[1:])
heavy = sorted(m for m in ("jax", "jaxlib", "sympy", "numpy") if m in sys.modules)
print(status, heavy, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "argv", [("--help",), ("check", "vgg16", "--no-run"), ("check", "--help"), ("specs",),
             ("check", "googlenet", "--no-run", "--format", "json")]
)  # fmt: skip
def test_light_commands_load_neither_jax_nor_sympy(argv):
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *argv], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": root}, check=False,
    )  # fmt: skip
    assert done.stderr.strip().splitlines()[-1] == "0 []"


def test_import_is_light():
    code = "import sys, cnncalc; print([m for m in ('jax', 'sympy', 'yaml') if m in sys.modules])"
    assert call_python(code) == "[]"


def call_python(code: str) -> str:
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


def test_json_has_exactly_the_promised_keys(run, spec):
    _, out, _ = run("check", spec(SPEC.replace("STRIDE", "3")), "--no-run", "--format", "json")
    found = json.loads(out)
    assert set(found) == {
        "schema", "ok", "spec", "symbols", "layers", "totals", "expectations", "diagnostics", "run",
    }  # fmt: skip
    assert found["schema"] == "cnncalc.check/1"
    assert found["ok"] is False
    assert set(found["layers"][0]) == {
        "name", "op", "inputs", "input", "output", "params", "trainable", "buffers", "weights",
        "macs", "receptive_field", "jump", "assumed", "line", "run",
    }  # fmt: skip
    assert set(found["totals"]) == {
        "params", "trainable", "buffers", "macs", "activations", "peak_memory",
    }  # fmt: skip
    assert set(found["diagnostics"][0]) == {
        "code", "severity", "message", "layer", "line", "column", "help",
    }  # fmt: skip
    two = json.loads(run("check", "alexnet", "vgg16", "--no-run", "--format", "json")[1])
    assert [s["spec"]["name"] for s in two] == ["AlexNet (CS231n)", "VGG-16"]


def test_symbolic_json_parses_back(run):
    _, out, _ = run("check", "symbolic-vgg-block", "--no-run", "--format", "json")
    found = json.loads(out)
    assert found["layers"][-1]["output"] == ["H/2", "W/2", 64]
    assert found["symbols"]["H"] == {"min": 2, "max": 1024, "multiple_of": 2}


def test_output_file_is_written_whole(run, spec, tmp_path):
    target = tmp_path / "out.json"
    target.write_text("old")
    path = spec(SPEC.replace("STRIDE", "2"))
    assert run("check", path, "--no-run", "--format", "json", "--output", str(target))[1] == ""
    assert json.loads(target.read_text())["ok"] is True
    status, _, err = run("check", path, "--no-run", "--output", str(tmp_path / "no" / "where"))
    assert status == 2
    assert "cannot write" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "x.yaml"]


def test_dialects_side_by_side(run):
    status, out, _ = run(
        "check", "googlenet", "--no-run", "--dialect", "caffe", "--dialect", "torch"
    )
    assert "56x56x64" in out
    assert "55x55x64" in out
    assert status == 1  # its own answers are Caffe's
    status, out, _ = run("check", "vgg16", "--no-run", "--dialect", "torch", "--dialect", "caffe")
    assert status == 0


def test_select_ignore_strict(run, spec):
    path = spec("input: 9x9x1\ndialect: torch\nlayers:\n  - maxpool: 2\n")
    assert run("check", path, "--no-run")[0] == 0
    assert run("check", path, "--no-run", "--strict")[0] == 1
    assert run("check", path, "--no-run", "--strict", "--ignore", "W005")[0] == 0
    assert run("check", path, "--no-run", "--strict", "--select", "S")[0] == 0


def test_standard_input(tmp_path):
    done = call("check", "-", "--no-run", stdin=SPEC.replace("STRIDE", "3"))
    assert done.returncode == 1
    assert "<stdin>:3:" in done.stdout


def test_piped_output_is_plain():
    done = call("check", "lecture/exercise-1", "--no-run")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_ascii_locale():
    done = call("check", "lecture/exercise-1", "--no-run",
                env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})  # fmt: skip
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_broken_pipe_is_silent():
    root = str(Path(__file__).parent.parent)
    command = f"{sys.executable} -m cnncalc check resnet152 --no-run | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": root}, check=False,
    )  # fmt: skip
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("path", "part"),
    [("nowhere.yaml", "there is no file"), ("alexnt", "did you mean the bundled spec 'alexnet'"),
     (".", "is a folder"), ("bad.bin", "not UTF-8")],
)  # fmt: skip
def test_unreadable_files(run, tmp_path, monkeypatch, path, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.bin").write_bytes(b"input: \xff\xfe\x00")
    status, out, _ = run("check", path, "--no-run")
    assert status == 2
    assert part in out


def test_layer_answers_the_lectures_exercises(run):
    status, out, _ = run("layer", "32x32x3", "conv", "filters=10", "kernel=5", "stride=1", "pad=2")
    assert status == 0
    assert "32x32x10" in out
    assert "(5*5*3 + 1)*10 = 760" in out.replace(") * ", ")*")
    status, out, _ = run("layer", "7x7x1", "conv", "filters=1", "kernel=3", "stride=3")
    assert status == 1
    assert "S001" in out


@pytest.mark.parametrize(
    ("argv", "part"),
    [(("layer", "7x7x1", "conv", "filters"), "field=value"),
     (("explain", "Z999"), "Z999"), (("explain", "alexnet", "--layer", "CONV9"), "CONV"),
     (("specs", "alexnt"), "alexnet"), (("check", "alexnet", "--set", "k"), "name=value")],
)  # fmt: skip
def test_usage_errors_are_one_message(run, argv, part):
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert part in err


def test_explain_codes_and_specs(run):
    assert "stride" in run("explain", "S001")[1]
    assert "stride" in run("explain", "s001")[1]
    status, out, _ = run("explain", "alexnet", "--layer", "CONV1")
    assert status == 0
    assert "55" in out
    assert "34,944" in out or "34944" in out
    assert run("explain", "alexnet", "--format", "latex")[0] == 0


def test_diff(run):
    status, out, _ = run("diff", "vgg16", "vgg19")
    assert status == 0
    assert "138,357,544" in out
    assert "143,667,240" in out
    json.loads(run("diff", "alexnet", "alexnet-original", "--format", "json")[1])


def test_specs_and_schema(run):
    out = run("specs")[1]
    assert all(name in out for name in names())
    assert run("specs", "alexnet")[1].startswith("# yaml-language-server")
    schema = json.loads(run("schema")[1])
    jsonschema.Draft202012Validator.check_schema(schema)


def test_names_are_found_however_they_are_spelt(run):
    for name in ("AlexNet", "mobilenet-v2", "mobilenet_v2.yaml", "exercise-1"):
        assert run("check", name, "--no-run")[0] == 0

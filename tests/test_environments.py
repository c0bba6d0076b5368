"""Where it runs: no home, no terminal, a C locale, files and paths from Windows, `| head`."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from test_cli import call

import cnncalc
from cnncalc import __main__, report, source, writing
from cnncalc.report.sarif import uri

ROOT = Path(__file__).parents[1]
PROTOTXT = """input: "d"\r\ninput_dim: 1\r\ninput_dim: 3\r\ninput_dim: 9\r\ninput_dim: 9\r
layer { name: "c" type: "Convolution" bottom: "d" top: "c"\r
  convolution_param { num_output: 8 kernel_size: 3 } }\r
"""
NET = """name: réseau → ×
let: {k: 3}
input: 8x8x1
layers:
  - conv: {filters: k, kernel: 3}
    name: café
    expect: {output: 6x6x3, params: 31}
  - relu
  - dense: 3
  - softmax
"""
FEW = "input: 4x4x1\nlayers:\n  - conv: {filters: 1, kernel: 3}\n  - relu\n"
MISFIT = "input: 7x7x1\nlayers:\n  - conv: {filters: 1, kernel: 3, stride: 3}\n"
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}

# Every command that prints, with a good deal of it.
PRINTING = [
    *(f"check net.yaml lenet5 --no-run --format {f}"
      for f in ("table", "json", "csv", "markdown", "sarif", "junit", "github")),
    "check misfit.yaml --no-run", "check missing.yaml",
    "layer 7x7x1 conv filters=1 kernel=3 stride=2",
    *(f"explain net.yaml --format {f}" for f in ("text", "markdown", "latex")),
    "explain net.yaml --question", "explain S001", "diff net.yaml lenet5",
    "solve 32x32x3 conv filters=10 kernel=5 stride=? pad=? --output 32x32x10",
    "solve lenet5 --fits", "grade net.yaml ann.yaml ann.csv", "quiz --count 1",
    "train net.yaml --steps 2 --engine numpy", "grad few.yaml --engine symbolic --format latex",
    "sweep net.yaml --set k=1..400", "sweep net.yaml --set k=1..400 --format csv",
    "sweep net.yaml --set k=1..400 --format json", "filter m.csv --kernel mean",
    "import net.prototxt", "reconcile net.yaml", "export net.yaml --to torch",
    "specs", "specs alexnet", "schema", "doctor --format json", "--help", "--version",
]  # fmt: skip


@pytest.fixture
def here(tmp_path):
    for name, text in {
        "net.yaml": NET, "misfit.yaml": MISFIT, "few.yaml": FEW,
        "m.csv": "1,2,3\r\n4,5,6\r\n7,8,9\r\n",
        "net.prototxt": PROTOTXT, "ann.yaml": "student: Ann\r\nanswers: {café: {params: 31}}\r\n",
        "ann.csv": "student,layer,quantity,answer\r\nBeñ,café,params,30\r\n",
    }.items():  # fmt: skip
        mark = "" if name in ("net.yaml", "misfit.yaml", "few.yaml") else "\ufeff"
        (tmp_path / name).write_text(mark + text, encoding="utf-8", newline="")
    return tmp_path


MANY = """
import json, os, sys
import cnncalc, numpy, sympy, yaml
from cnncalc import __main__, cli, doctor, report
cnncalc.check("lenet5", run=False)  # its imports are done once
doctor._jax = lambda: {"error": "not asked"}  # a process of its own, for seconds
found = []
for line in json.loads(os.environ["COMMANDS"]):
    reading, said = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(said, 2)
        BEFORE
        sys.argv = ["cnncalc", *os.fsdecode(line.encode()).split()]
        __main__.main()
    os.close(said)
    with os.fdopen(reading, "rb") as file:
        text = file.read().decode()
    found.append([line, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text])
with open("found.json", "w") as file:
    json.dump(found, file)
"""


def each(commands, folder, before, env=None, **options):
    """(command, status, standard error) of each, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    environment["COMMANDS"] = json.dumps(commands)
    code = MANY.replace("BEFORE", before)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=folder, check=False,
        capture_output=True, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return json.loads((folder / "found.json").read_text()), done.stdout.decode("utf-8", "replace")


def test_whoever_stops_reading_is_not_told(here):
    """`| head`: the pipe is closed when the first line comes."""
    closed = "a, b = os.pipe(); os.close(a); os.dup2(b, 1)"
    for command, status, err in each(PRINTING, here, closed)[0]:
        notes = [n for n in err.splitlines() if not n.startswith(("unreadable:", "note:"))]
        assert not [n for n in notes if "points" not in n], (command, err)
        assert status in (0, 1, 2), command


def test_a_c_locale(here):
    """ASCII only: other signs stand for arrows and ticks; nothing fails for want of a letter."""
    (here / "é.yaml").write_text(MISFIT)
    more = ["check é.yaml --no-run", "check é.yaml --no-run --output é.csv --format csv",
            "check ö.yaml", "grade é.yaml é.yaml", "check net.yaml --no-run --output o.txt",
            "check é.yaml --no-run --format sarif --output é.sarif",
            "check é.yaml --no-run --format junit --output é.xml"]  # fmt: skip
    found, out = each([*PRINTING, *more], here, "pass", C_LOCALE)
    for command, status, err in found:
        assert "fault" not in err, (command, err)
        assert "Error" not in err, (command, err)
        unread = "missing" in command or "ö" in command or "grade é" in command
        wrong = re.match(r"check (é|misfit|net)|train", command)
        assert status == (2 if unread else 1 if wrong else 0), (command, err)
    assert "----------" in out
    assert "─" not in out
    assert "  + 30" in out or "\n  x " in out
    assert (here / "é.csv").read_text("utf-8").count("é.yaml") > 0
    assert "%C3%A9.yaml" in (here / "é.sarif").read_text("utf-8")
    assert "─" in (here / "o.txt").read_text("utf-8")


@pytest.mark.parametrize(
    "home", [{"HOME": None, "TERM": None}, {"HOME": "/proc/1/no"}], ids=["none", "read-only"]
)
def test_a_home_that_is_not_there_or_takes_no_files(home, here, monkeypatch):
    for name, value in home.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    commands = ["check resnet18 --no-run", "doctor", "specs",
                "train net.yaml --steps 2 --engine numpy --save w.safetensors",
                "sweep net.yaml --set k=1..4 --plot p.png -o s.parquet"]  # fmt: skip
    found, _ = each(commands, here, "pass", start_new_session=True)
    for command, status, err in found:
        assert status == ("train" in command), (command, err)
        assert not err or re.fullmatch(r"4 points, all fit \(.*s\)\n", err), (command, err)
    assert {"w.safetensors", "p.png", "s.parquet"} <= {p.name for p in here.iterdir()}


def test_a_run_without_home_and_terminal(here):
    env = {"HOME": "/proc/1/no", "TERM": "", **C_LOCALE}
    done = call("check", "lenet5", env=env, cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"C1 +conv +28x28x6 +156 +117,600  \+\n", done.stdout)


WAYS = {
    "BOM": "\ufeff" + MISFIT,
    "CRLF": MISFIT.replace("\n", "\r\n"),
    "both": "\ufeff" + MISFIT.replace("\n", "\r\n"),
    "CR": MISFIT.replace("\n", "\r"),
}


@pytest.mark.parametrize("way", WAYS)
def test_lines_and_columns_of_files_from_elsewhere(way, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(WAYS[way], encoding="utf-8", newline="")
    found = cnncalc.check(str(path), run=False)
    (wrong,) = [d for d in found.diagnostics if d.code == "S001"]
    assert wrong.span is not None
    assert (wrong.span.line, wrong.span.column) == (3, 43)
    shown = report.render([found], "table", width=90, color=False)
    assert " 3 |   - conv: {filters: 1, kernel: 3, stride: 3}\n" in shown
    assert "\r" not in shown
    first = tmp_path / "b.yaml"
    first.write_text(WAYS[way].replace("input", "inptu"), encoding="utf-8", newline="")
    (unknown,) = [d for d in cnncalc.check(str(first)).diagnostics if d.code == "E004"]
    assert unknown.span is not None
    assert (unknown.span.line, unknown.span.column, unknown.span.length) == (1, 1, 5)


WINDOWS = "C:\\My specs\\net.yaml"


def test_windows_paths_are_paths(tmp_path, monkeypatch, capsys):
    """A backslash or a drive's colon means nothing to the reading of an argument."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / WINDOWS).write_text(MISFIT)
    (tmp_path / "net.yaml").write_text(NET)
    assert __main__.run(["check", WINDOWS, "--no-run"]) == 1
    assert f"--> {WINDOWS}:3:43\n" in capsys.readouterr().out
    assert __main__.run(["check", WINDOWS, "--no-run", "--format", "github"]) == 1
    assert "file=C%3A\\My specs\\net.yaml,line=3,col=43" in capsys.readouterr().out
    for command in ("check", "explain", "train", "grad", "import", "diff x", "sweep --set k=1..2",
                    "export --to torch", "reconcile", "filter --kernel mean", "grade net.yaml",
                    "train lenet5 --data", "train lenet5 --resume"):  # fmt: skip
        for path in ("D:\\nets\\a.onnx", "..\\a.onnx", "D:/nets/a.onnx", "\\\\host\\share\\a"):
            name, *rest = command.split()
            words = [name, *rest, path] if rest and rest[-1][0] != "m" else [name, path, *rest]
            assert __main__.run(words) == 2
            told = "".join(capsys.readouterr())
            assert path in told, (words, told)
            assert "fault" not in told


def test_uris_of_windows_paths(monkeypatch):
    from pathlib import PureWindowsPath

    monkeypatch.setattr("cnncalc.report.sarif.PurePath", PureWindowsPath)
    assert uri(WINDOWS) == "file:///C:/My%20specs/net.yaml"
    assert uri("specs\\a b.yaml") == "specs/a%20b.yaml"


def test_names_that_no_encoding_holds():
    for path in ("\udcff.yaml", "\ud800.yaml"):
        found = cnncalc.check(source.Source(MISFIT, path), run=False)
        for format in ("table", "json", "csv", "markdown", "sarif", "junit", "github"):
            report.render([found], format, width=80, color=False).encode()


def test_signs_keep_their_width():
    assert all(len(plain) == 1 for plain in writing.PLAINER.values())


# --- what the package needs -------------------------------------------------------------

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
IMPORTED_AS = {"pyyaml": "yaml", "pillow": "PIL", "scikit-learn": "sklearn"}
# Run, not imported: tools, plugins, stubs; jax's plugins for other devices.
TOOLS = {"coverage", "mypy", "ruff", "pytest-xdist", "types-jsonschema", "types-pyyaml"}
OURS_OF_USERS = {"torch", "keras", "flax", "tensorflow"}  # the user's own, where he asks for it


def names(lines):
    return {re.split(r"[\[<>=~!; ]", line)[0].lower() for line in lines}


def modules(requirements):
    return {IMPORTED_AS.get(n, n.replace("-", "_")) for n in requirements}


def imported(*folders):
    """Top-level modules that the files import; those in text that is executed are not seen."""
    found = set()
    for path in (p for folder in folders for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
            elif (isinstance(node, ast.Call) and isinstance(node.args[0] if node.args else None,
                  ast.Constant) and "import" in ast.unparse(node.func)):  # fmt: skip
                found.add(str(node.args[0].value).partition(".")[0])
    return found


def test_every_dependency_is_used_and_every_import_declared():
    ours = imported("cnncalc") - set(sys.stdlib_module_names) - {"cnncalc", ""}
    required = modules(names(PROJECT["dependencies"]))
    optional = modules({n for e, lines in EXTRAS.items() if e != "test" for n in names(lines)})
    assert required | optional <= ours
    assert ours - required - optional <= OURS_OF_USERS | {"jaxlib"}


def test_what_the_tests_need_is_declared_and_used():
    local = {p.stem for p in (ROOT / "tests").rglob("*.py")}
    used = imported("tests", "cnncalc") - set(sys.stdlib_module_names)
    assert modules(names(EXTRAS["test"]) - TOOLS) - {"matplotlib", "pyarrow"} <= used
    everywhere = modules(names([*PROJECT["dependencies"], *EXTRAS["test"]]))
    needed = set()
    for path in (ROOT / "tests").glob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Import):
                needed |= {a.name.partition(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                needed.add(node.module.partition(".")[0])
    assert needed - set(sys.stdlib_module_names) - local - {"cnncalc"} <= everywhere


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"test"}))
def test_an_extra_is_importable_by_itself(extra):
    """Its modules are imported with nothing of the other extras there."""
    others = modules({n for e, lines in EXTRAS.items() if e != extra for n in names(lines)})
    own = modules(names(EXTRAS[extra]))
    missing = sorted(others - own - modules(names(PROJECT["dependencies"])) - NEEDED_BY_OTHERS)
    for name in own:
        if name != "jax":
            metadata.version(next(k for k in names(EXTRAS[extra]) if modules({k}) == {name}))
    code = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n" + "\n".join(
        f"import {name}" for name in sorted(own - {"jax"})
    ) + "\n" + USES.get(extra, "")  # fmt: skip
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False,
                          capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 0, done.stderr


NEEDED_BY_OTHERS = {"PIL"}  # matplotlib's own
# One use of ours of each extra.
USES = {
    "onnx": "import cnncalc.importers.onnx, cnncalc.exporters.onnx",
    "pictures": "from cnncalc import pixels; pixels.read_text",
    "train": "import cnncalc.training.saving, cnncalc.training.optimisers",
    "sweep": "import cnncalc.sweeping.plot, cnncalc.sweeping.files",
}

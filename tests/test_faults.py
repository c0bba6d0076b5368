"""Whatever happens while a file is written, it is the old one or the new one, never a part."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import call

from cnncalc import __main__, writing

ROOT = str(Path(__file__).parent.parent)
PROTOTXT = """input: "data"
input_dim: 1
input_dim: 3
input_dim: 32
input_dim: 32
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 8 kernel_size: 3 } }
"""
TINY = "input: 8x8x1\nlayers: [{conv: {filters: 2, kernel: 3}}, relu, {dense: 3}, softmax]\n"
SWEEP = ("sweep", "vgg11", "--set", "H=224,256")

WRITERS = {
    "check": ("out.json", ("check", "alexnet", "--no-run", "--format", "json", "--output")),
    "export": ("out.py", ("export", "lenet5", "--to", "torch", "-o")),
    "export onnx": ("out.onnx", ("export", "lenet5", "--to", "onnx", "-o")),
    "import": ("out.yaml", ("import", "net.prototxt", "-o")),
    "filter": ("out.csv", ("filter", "m.csv", "--kernel", "mean", "-o")),
    "sweep csv": ("out.csv", (*SWEEP, "-o")),
    "sweep json": ("out.json", (*SWEEP, "-o")),
    "sweep table": ("out.txt", (*SWEEP, "--format", "table", "-o")),
    "sweep plot": ("out.png", (*SWEEP, "--plot")),
    "grade": ("out.csv", ("grade", "key.yaml", "ann.yaml", "--format", "csv", "-o")),
    "train": ("out.safetensors", ("train", "tiny.yaml", "--steps", "2", "--engine", "numpy",
                                  "--save")),
}  # fmt: skip
OLD = b"what was there before\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with one input of every kind."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "net.prototxt": PROTOTXT, "m.csv": "1,2,3\n4,5,6\n7,8,9\n", "tiny.yaml": TINY,
        "key.yaml": "input: 8x8x3\nlayers:\n  - conv: {filters: 2, kernel: 3}\n"
                    "    expect: {output: 6x6x2}\n",
        "ann.yaml": "student: Ann\nanswers: {conv1: {output: 6x6x2}}\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


def untouched(folder: Path, name: str) -> None:
    """The old file as it was, and nothing beside it."""
    assert (folder / name).read_bytes() == OLD
    left = {p.name for p in folder.iterdir() if ".tmp" in p.name}
    assert not left


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("fault", ["full", "Ctrl-C", "SIGTERM", "memory"])
def test_the_old_file_stays(command, fault, here, monkeypatch, capsys):
    name, words = WRITERS[command]
    (here / name).write_bytes(OLD)

    def fail(handle: int) -> None:
        match fault:
            case "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case "Ctrl-C":
                raise KeyboardInterrupt
            case "SIGTERM":
                raise __main__.Terminated
            case _:
                raise MemoryError

    monkeypatch.setattr(os, "fsync", fail)
    status = __main__.run([*words, name])
    untouched(here, name)
    err = capsys.readouterr().err
    if fault == "full":
        assert (status, err.count("\n")) == (2, 1), err
        assert "No space left on device" in err
    else:
        assert status in ((2,) if fault == "memory" else (130, 143))
        assert ("memory ran out" in err) == (fault == "memory"), err


@pytest.mark.parametrize("command", WRITERS)
def test_the_new_file_is_whole_and_never_goes_through_a_link(command, here, capsys):
    name, words = WRITERS[command]
    victim = here / "victim"
    victim.write_bytes(OLD)
    for link in (name, f"{name}.part", f"{name}.part.json"):
        (here / link).symlink_to(victim)
    status = __main__.run([*words, name])
    assert status in (0, 1), capsys.readouterr().err
    assert victim.read_bytes() == OLD
    assert not (here / name).is_symlink()
    assert len((here / name).read_bytes()) > 0


KILLED = """
import os, signal, sys
from cnncalc import __main__
os.fsync = lambda handle: os.kill(os.getpid(), signal.{signal})
sys.argv = ["cnncalc", *{words}]
__main__.main()
"""


@pytest.mark.parametrize("command", ["check", "export", "sweep csv", "grade", "train"])
def test_killed_outright(command, here):
    name, words = WRITERS[command]
    (here / name).write_bytes(OLD)
    code = KILLED.format(signal="SIGKILL", words=[*words, name])
    env = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert (here / name).read_bytes() == OLD


@pytest.mark.parametrize("command", ["check", "export"])
def test_a_real_sigterm_tidies_up(command, here):
    name, words = WRITERS[command]
    (here / name).write_bytes(OLD)
    words = [*words, name]
    code = KILLED.format(signal="SIGTERM", words=words)
    env = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 143
    assert "Traceback" not in done.stderr
    untouched(here, name)


def test_a_real_limit_on_the_size_of_files(here):
    """As a full disk, but without one: the kernel refuses the bytes beyond the limit."""
    (here / "out.json").write_bytes(OLD)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from cnncalc import __main__\n"
        f"sys.argv = ['cnncalc', *{[*WRITERS['check'][1], 'out.json']}]\n__main__.main()"
    )
    env = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "error: cannot write 'out.json': File too large\n")
    untouched(here, "out.json")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_behind_the_standard_output(here):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cnncalc", "check", "alexnet", "--no-run"], stdout=full,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT}, check=False,
        )  # fmt: skip
    wanted = "error: cannot write to the standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, wanted)


LONG = ("specs", "check resnet152 --no-run", "sweep vgg11 --set H=224..9999 --format csv")


@pytest.mark.parametrize("command", LONG)
def test_a_reader_that_leaves_is_not_told(command):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "cnncalc", *command.split()], stdout=pipe,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT}, check=False,
        )  # fmt: skip
    assert done.stderr == ""


def test_a_closed_standard_output(here):
    line = f"{sys.executable} -m cnncalc schema >&-"
    env = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(line, shell=True, stderr=subprocess.PIPE, text=True, env=env, check=False)
    assert (done.returncode, done.stderr) == (2, "error: the standard output is closed\n")


def test_devices_and_streams_are_written_to_as_they_are(here):
    done = call("check", "alexnet", "--no-run", "--format", "csv", "--output", "/dev/stdout")
    assert done.stdout.startswith("spec,name")
    assert call("check", "alexnet", "--no-run", "--output", "/dev/null").returncode == 0
    assert call(*SWEEP, "--format", "csv", "-o", "/dev/null").returncode == 0
    assert not os.path.isfile("/dev/null")


def test_permissions_of_the_file_stay(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    writing.replace(str(path), b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("x" * 255)
    writing.replace(str(path), b"new")
    assert path.read_bytes() == b"new"

"""`cnncalc doctor`, and all that works while JAX does not."""

import json
import os
import sys
import tomllib
from pathlib import Path

import pytest
from test_cli import call

from cnncalc import doctor

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """An environment whose `jax` is as the parameter says."""

    def environment(body: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("shadow")
        (folder / "jax").mkdir()
        (folder / "jax" / "__init__.py").write_text(body)
        return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}

    return environment


WAYS = {
    "missing": ("raise ModuleNotFoundError(\"No module named 'jax'\")", "No module named 'jax'"),
    "broken": ("raise RuntimeError('jaxlib is version 0.1\\nbut this is \\x1b[31mnot')",
               "jaxlib is version 0.1"),
    "other": ("raise OSError('libcudart.so: cannot open shared object file')", "libcudart"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_without_a_working_jax(way, broken):
    body, reason = WAYS[way]
    env = broken(body)
    done = call("check", "lenet5", env=env)
    assert done.returncode == 2
    assert "R007" in done.stdout
    assert reason in done.stdout
    assert "--no-run" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert call("check", "lenet5", "--no-run", env=env).returncode == 0


def test_doctor_without_a_working_jax(broken):
    done = call("doctor", env=broken(WAYS["broken"][0]))
    assert (done.returncode, done.stderr) == (0, "")
    assert "devices" in done.stdout
    assert "JAX does not work, --no-run does:" in done.stdout
    assert "\x1b" not in done.stdout


def test_doctor_when_jax_takes_its_process_along(broken):
    env = broken("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert "it was ended by signal 11" in call("doctor", env=env).stdout


def test_a_platform_that_is_not_there():
    done = call("check", "lenet5", env={"JAX_PLATFORMS": "rocm"})
    assert done.returncode == 2
    assert "R005" in done.stdout
    assert "JAX_PLATFORMS" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_doctor_says_what_is_there(tmp_path):
    done = call("doctor", "--format", "json", env={"HOME": str(tmp_path)}, cwd=tmp_path)
    found = json.loads(done.stdout)
    import jax
    import numpy

    assert found["schema"] == "cnncalc.doctor/1"
    assert found["python"].endswith(sys.version.split()[0])
    assert found["packages"]["numpy"] == numpy.__version__
    assert found["packages"]["jax"] == jax.__version__
    assert len(found["jax"]["devices"]) == len(jax.devices())
    assert found["missing"] == []


def test_every_dependency_is_looked_for():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {p.name for p in doctor.packages() if not p.extra}
    assert names == {line.partition(">=")[0] for line in declared["dependencies"]}
    extras = {p.extra for p in doctor.packages()} - {""}
    assert {"onnx", "train", "sweep"} <= extras


def test_what_is_missing_is_named(monkeypatch):
    versions = {"numpy": "1.20.0", "rich": None, "onnx": None}
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: versions[n] if n in versions else real(n))
    monkeypatch.setattr(doctor, "_jax", lambda: {"error": "gone"})
    shown = doctor.text(doctor.examine())
    assert "numpy 1.20.0 is installed, >=" in shown
    assert "rich is not installed: pip install 'rich>=" in shown
    assert "onnx: pip install 'cnncalc[onnx]'" in shown
    assert "all that is needed is there" not in shown

"""Two real processes on loopback: the same loss, a death reported, training resumed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gloo collectives are for POSIX")

TINY = """\
name: tiny
input: 8x8x3
dialect: torch
layers:
  - dense: 64
  - relu
  - dense: 16
"""


def start(folder, port, process, *words, devices=2):
    flag = f"--xla_force_host_platform_device_count={devices}"
    env = os.environ | {"XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"}
    cluster = [] if port is None else ["--coordinator", f"127.0.0.1:{port}", "--processes", "2",
                                       "--process", str(process)]  # fmt: skip
    command = [sys.executable, "-m", "cnncalc", "train", "tiny.yaml", *words, *cluster]
    return subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def finish(process, seconds=240):
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def test_a_death_is_reported_and_training_goes_on_elsewhere(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    port, saved = free_port(), tmp_path / "run.safetensors"
    words = ["--mesh", "data=2,model=2", "--batch", "8", "--format", "json", "--save", saved.name]
    both = [
        start(tmp_path, port, i, *words, "--steps", "100000", "--save-every", "1") for i in (0, 1)
    ]
    try:
        limit = time.monotonic() + 240
        while not saved.exists() and time.monotonic() < limit:
            assert both[1].poll() is None, both[1].communicate()
            time.sleep(0.1)
        os.kill(both[1].pid, signal.SIGKILL)
        began = time.monotonic()
        status, out, err = finish(both[0], 60)
        took = time.monotonic() - began
    finally:
        for process in both:
            process.kill()
    finish(both[1], 60)
    assert (status, out) == (2, ""), err
    assert "process 1 of 2 has died: the run stops after step" in err
    assert "is saved: --resume run.safetensors goes on" in err
    assert "Traceback" not in err
    assert took < 30  # seconds; a quiet machine takes two
    # On one device, as far as two processes with two devices each got, and on.
    more = ["--resume", saved.name, "--steps", "100001", "--format", "json"]
    from safetensors import safe_open

    with safe_open(saved, "numpy") as file:
        step = json.loads(file.metadata()["cnncalc"])["step"]
        before = file.get_tensor("history/loss").tolist()
    more[3] = str(step + 2)
    status, out, err = finish(start(tmp_path, None, 0, *more, "--mesh", "data=1", devices=1))
    found = json.loads(out)
    assert found["resumed_at"] == step
    assert found["steps"] == step + 2
    assert found["losses"][:step] == before
    # The whole run again on one device: the same losses, those of two processes and the rest.
    alone = [
        "--engine",
        "jax",
        "--batch",
        "8",
        "--steps",
        str(min(step + 2, 5)),
        "--format",
        "json",
    ]
    one = json.loads(finish(start(tmp_path, None, 0, *alone, devices=1))[1])
    assert found["losses"][: len(one["losses"])] == pytest.approx(one["losses"], rel=1e-4)


def test_a_coordinator_that_dies_is_named(tmp_path):
    from cnncalc.scaling import cluster
    from cnncalc.scaling.mesh import Cluster

    code = (
        "import os, sys\n"
        "from cnncalc.scaling.cluster import supervised\n"
        "from cnncalc.scaling.mesh import Cluster\n"
        "def work():\n"
        "    print('some words', flush=True)\n"
        "    os.write(2, b'F0000 00:00:00 fatal\\n    @  0x7 stack\\nour own words\\n')\n"
        "    os.abort()\n"
        "sys.exit(supervised(Cluster('host:1234', 2, 1), work))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "some words\n")
    assert "our own words" in done.stderr
    assert "stack" not in done.stderr
    assert "JAX ended process 1 of 2: the coordinator at host:1234 (process 0)" in done.stderr
    assert cluster.died(Cluster("host:1234", 2, 0)) == "process 1 of 2 has died"

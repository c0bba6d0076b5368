"""Many devices: the derived placement against what JAX places, allots and sends."""

import json
import os
import subprocess
import sys

import pytest

import cnncalc
from cnncalc.scaling.mesh import Mesh, ScaleError, read_cluster, read_memory, read_mesh, read_scale
from cnncalc.scaling.plan import derive, gather, reduce
from cnncalc.source import Source

SMALL = """\
name: small
input: 12x12x3
dialect: torch
layers:
  - conv: {filters: 32, kernel: 3, pad: 1}
  - batchnorm
  - relu
  - maxpool: 2
  - conv: {filters: 64, kernel: 3, pad: 1}
  - relu
  - maxpool: 2
  - dense: 64
  - relu
  - dense: 16
"""
# Runs command lines in one process: each costs its work, not another start of JAX.
RUNNER = """
import contextlib, io, json, sys
from cnncalc.__main__ import run
found = []
for argv in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(argv)
    found.append([status, out.getvalue(), err.getvalue()])
json.dump(found, sys.stdout)
"""


def run_all(commands, folder, devices=8):
    """Exit status, output and errors of each command line, on so many virtual CPU devices."""
    flag = f"--xla_force_host_platform_device_count={devices}"
    env = os.environ | {"XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input=json.dumps(commands), capture_output=True,
        text=True, env=env, cwd=folder, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


TRAIN = ["train", "small.yaml", "--batch", "8", "--steps", "3", "--format", "json"]
MESHES = ("data=4,model=2", "data=8", "model=4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same three steps on one device and over meshes; and what is refused."""
    folder = tmp_path_factory.mktemp("meshes")
    (folder / "small.yaml").write_text(SMALL)
    commands = {"one": [*TRAIN, "--engine", "jax"]}
    commands |= {mesh: [*TRAIN, "--mesh", mesh] for mesh in MESHES}
    commands["text"] = [*TRAIN[:-2], "--mesh", "data=2,model=2", "--device-memory", "16GiB"]
    commands["check"] = ["check", "small.yaml", "--mesh", "data=4,model=2", "--format", "json",
                         "--dtype", "bfloat16", "--batch", "8"]  # fmt: skip
    commands["many"] = [*TRAIN, "--mesh", "data=8,model=2"]
    commands["uneven"] = [*TRAIN[:2], "--mesh", "data=4", "--batch", "10"]
    commands["narrow"] = [*TRAIN, "--mesh", "data=4", "--device-memory", "100KiB"]
    commands["numpy"] = [*TRAIN, "--mesh", "data=4", "--engine", "numpy"]
    return dict(zip(commands, run_all(list(commands.values()), folder), strict=True))


@pytest.mark.parametrize("mesh", MESHES)
def test_the_loss_is_that_of_one_device(trained, mesh):
    one, many = (json.loads(trained[name][1]) for name in ("one", mesh))
    assert len(many["losses"]) == 3
    assert many["losses"] == pytest.approx(one["losses"], rel=2e-5)
    assert many["losses"][2] < many["losses"][0]


@pytest.mark.parametrize("mesh", MESHES)
def test_what_jax_places_and_xla_allots_is_what_was_derived(trained, mesh):
    found = json.loads(trained[mesh][1])["placement"]
    derived, real = found["per_device"], found["measured"]
    for part in ("parameters", "optimizer_state", "buffers"):
        assert real[part] == derived[part]
    held = sum(derived[p] for p in ("parameters", "optimizer_state", "buffers", "inputs"))
    labels_and_counts = 4 * 8 + 16
    assert held <= real["arguments"] <= held + labels_and_counts
    # XLA reuses memory, and takes some of its own.
    kept = derived["gradients"] + derived["activations"]
    assert kept / 4 < real["temporaries"] < 4 * kept
    # What is not derived: the loss, and biases put together again.
    assert real["communication"] == pytest.approx(derived["communication"], rel=0.02)


def test_the_plan_is_printed_before_the_run(trained):
    status, out, _ = trained["text"]
    lines = out.splitlines()
    assert status == 1  # three steps do not learn a batch by heart
    assert lines[0].startswith("placement on data=2,model=2 (4 devices), batch 8, float32")
    assert any("divided over model (conv2/kernel, dense1/kernel)" in line for line in lines)
    assert any("with 16.0 GiB a device: it fits" in line for line in lines)
    run = next(i for i, line in enumerate(lines) if line.startswith("small:"))
    assert run > 3
    assert "placed by JAX: parameters, optimiser state, buffers" in lines[run + 1]


def test_what_cannot_be_is_refused_in_one_line(trained):
    for name, words in (
        ("many", "takes 16 devices, JAX finds 8 cpu devices"),
        ("uneven", "a batch of 10 does not divide over data=4: take 8 or 12"),
        ("narrow", "a device, more than 0.1 MiB; no mesh of 4 devices does"),
        ("numpy", "--mesh needs --engine jax"),
    ):
        status, out, err = trained[name]
        assert (status, out) == (2, "")
        assert words in err
    assert "--xla_force_host_platform_device_count=16" in trained["many"][2]


def test_check_runs_over_a_mesh(trained):
    status, out, err = trained["check"]
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert (found["run"]["status"], found["run"]["devices"]) == ("agrees", 8)
    assert found["run"]["dtype"] == "bfloat16"
    assert all(row["run"]["agrees"] for row in found["layers"])
    placed = found["placement"]
    for part in ("parameters", "buffers"):
        assert placed["measured"][part] == placed["per_device"][part]
    axes = {w["layer"]: w["axes"] for w in placed["weights"] if w["name"] == "kernel"}
    assert axes["conv2"] == [None, None, None, "model"]
    assert axes["conv1"] == [None] * 4


# --- precision ----------------------------------------------------------------------------


def doubled(times):
    return f"input: 4x4x2\nlayers:\n  - repeat: {{times: {times}, layers: [{{add: [[], []]}}]}}\n"


def run_in(dtype, text):
    return cnncalc.check(Source(text, "spec.yaml"), scale=read_scale(dtype=dtype))


def test_the_layer_that_overflows_is_named():
    """Standard normal values doubled 18 times pass float16's 65,504, and no other type's."""
    found = [d for d in run_in("float16", doubled(24)).diagnostics if d.severity == "error"]
    assert [d.code for d in found] == ["R016"]
    assert "overflow to infinity (above 65,504)" in found[0].message
    assert 14 <= int(found[0].layer.removeprefix("repeat1/").split("/")[0]) <= 18, found[0].layer
    for dtype in ("float32", "bfloat16"):
        report = run_in(dtype, doubled(24))
        assert report.ok
        assert report.run.dtype == dtype
    found = [d for d in run_in("bfloat16", doubled(136)).diagnostics if d.severity == "error"]
    assert [d.code for d in found] == ["R016"]
    assert "overflow to infinity (above 3.4e+38)" in found[0].message
    assert 125 <= int(found[0].layer.removeprefix("repeat1/").split("/")[0]) <= 129, found[0].layer


def test_training_in_a_narrow_type_learns():
    from cnncalc.training.loop import train
    from cnncalc.training.settings import TrainOptions

    report = cnncalc.load(SMALL).derive()
    losses = {}
    for name in ("float32", "bfloat16", "float16"):
        options = TrainOptions("small", engine="jax", steps=3, scale=read_scale(dtype=name))
        losses[name] = train(report, options).losses
    for name in ("bfloat16", "float16"):
        assert losses[name] == pytest.approx(losses["float32"], rel=0.05)
        assert losses[name] != losses["float32"]


# --- the derivation alone ---------------------------------------------------------------


def plan(mesh, batch=8, **more):
    return derive(cnncalc.load(SMALL).derive(), read_scale(mesh, **more), batch, "adam")


def test_parameters_are_those_of_the_spec_by_hand():
    found = plan("data=4,model=2").training
    divided = 9 * 32 * 64 + 3 * 3 * 64 * 64  # conv2's kernel, dense1's over 3x3x64 inputs
    copied = (27 * 32 + 32) + 2 * 32 + 64 + 64 + (64 * 16 + 16)
    assert found.parameters == 4 * (divided // 2 + copied)
    assert found.optimizer_state == 2 * found.parameters
    assert found.buffers == 4 * 2 * 32
    assert found.inputs == 4 * 2 * 12 * 12 * 3  # 2 of the 8 items


def test_more_devices_hold_less():
    one, data, model = (plan(m).training for m in ("data=1", "data=8", "model=8"))
    assert data.parameters == one.parameters
    assert data.activations * 8 == one.activations
    assert model.activations == one.activations
    assert model.parameters < one.parameters / 4
    assert one.sent.total == 0


def test_ring_bounds_are_those_published():
    """An all-reduce of S bytes sends 2 (p-1)/p S a device (Patarasuk and Yuan 2009)."""
    assert reduce(1 << 20, 8) == 2 * 7 * (1 << 17)
    assert gather(1 << 20, 8) == 7 * (1 << 17)
    assert reduce(100, 1) == gather(100, 1) == 0


def test_narrow_types_take_half():
    full, half = (plan("data=2", dtype=t) for t in ("float32", "bfloat16"))
    assert half.forward.total * 2 == full.forward.total
    assert half.training.parameters == full.training.parameters  # the originals stay float32
    assert half.training.gradients * 2 == full.training.gradients


def test_memory_tells_which_meshes_fit():
    report = cnncalc.load("vgg16").derive()
    found = derive(report, read_scale("data=8", device_memory="1.5GiB"), 8, "adam")
    assert found.fits is False
    assert found.fitting()
    assert all(mesh.model > 1 for mesh in found.fitting())
    assert [c.mesh.devices for c in found.choices] == [8] * 4


@pytest.mark.parametrize("text", ["", "4", "data", "data=0", "rows=2", "data=2,data=2", "data=x",
                                  "data=-1", "data=99999999"])  # fmt: skip
def test_bad_meshes(text):
    with pytest.raises(ScaleError):
        read_mesh(text)


def test_good_options():
    assert read_mesh("data=4, model=2") == Mesh(4, 2)
    assert read_memory("16GiB") == 16 << 30
    assert read_memory("80 GB") == 80 * 10**9
    assert read_cluster("host:1234", 2, 1) is not None


@pytest.mark.parametrize("given", [("h:1", 2, None), (None, 2, 0), ("h", 2, 0), ("h:0", 2, 0),
                                   ("h:99999", 2, 0), ("h:1", 2, 2), (":1", 2, 0)])  # fmt: skip
def test_bad_clusters(given):
    with pytest.raises(ScaleError):
        read_cluster(*given)

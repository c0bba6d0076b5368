"""`cnncalc train`: optimisers against optax, data and saved runs, and digits to 97%."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import cnncalc
from cnncalc import __main__
from cnncalc.execute import initialise
from cnncalc.source import Source
from cnncalc.stepmemory import step_bytes
from cnncalc.training import optimisers, saving
from cnncalc.training.data import guessing, order, random_batch, task_of
from cnncalc.training.engines import numpy_masks
from cnncalc.training.loop import train
from cnncalc.training.settings import TrainingError, TrainOptions

ENGINES = ("numpy", "jax")
DIGITS = """\
name: LeNet for digits
input: 8x8x1
layers:
  - conv: {filters: 16, kernel: 3, pad: 1}
  - relu
  - maxpool: 2
  - conv: {filters: 32, kernel: 3, pad: 1}
  - relu
  - maxpool: 2
  - dense: 64
  - relu
  - dense: 10
  - softmax
"""
SMALL = """\
name: small
input: 6x6x2
layers:
  - conv: {filters: 4, kernel: 3, bias: false}
  - batchnorm
  - relu
  - dropout: 0.25
  - dense: 3
"""
FLAT = "input: 5\nlayers: [dense: 32, relu, dense: 4]\n"


def derive(text):
    return cnncalc.load(Source(text, "spec.yaml")).derive()


def trained(text, **options):
    return train(derive(text), TrainOptions("spec.yaml", **options))


@pytest.fixture
def run(capsys):
    """The command line in this process: status, standard output, standard error."""

    def call(*argv):
        status = __main__.run(["train", *map(str, argv)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def spec(tmp_path):
    def write(text, name="spec.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def npz(tmp_path):
    def write(name="data.npz", **arrays):
        path = tmp_path / name
        np.savez(path, **arrays)
        return str(path)

    return write


@pytest.fixture
def small(npz):
    """Forty items of the small network, with classes that can be seen."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 40)
    x = random.standard_normal((40, 6, 6, 2)) + y[:, None, None, None]
    return npz(x=x, y=y, x_test=x[:7], y_test=y[:7])


# --- optimisers ----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("seed", [0, 1])
def test_optimisers_equal_optax(optimizer, seed):
    import jax
    import optax

    random = np.random.default_rng(seed)
    shapes = {"a": {"w": (3, 4), "b": (4,)}, "c/d": {"w": (2, 2, 3), "scale": ()}}

    def draw():
        return {o: {n: random.standard_normal(s) for n, s in t.items()} for o, t in shapes.items()}

    params, slots = draw(), {}
    slots = optimisers.fresh(optimizer, params)
    theirs = {"sgd": optax.sgd(0.05), "momentum": optax.sgd(0.05, momentum=0.9),
              "adam": optax.adam(0.05)}[optimizer]  # fmt: skip
    update = optimisers.numpy_update(optimizer, 0.05)
    with jax.enable_x64(True):
        reference = jax.tree.map(jax.numpy.array, params)
        state = theirs.init(reference)
        for step in range(1, 13):
            grads = draw()
            update(params, grads, slots, step)
            updates, state = theirs.update(grads, state, reference)
            reference = optax.apply_updates(reference, updates)
            for mine, other in zip(
                jax.tree.leaves(params), jax.tree.leaves(reference), strict=True
            ):
                np.testing.assert_allclose(mine, np.asarray(other), rtol=1e-6, atol=1e-9)


def test_the_engines_optax_is_optax_with_its_rate():
    """Scaled updates and a state made of our arrays: the step after 3 equals optax's own."""
    import jax
    import optax

    params = {"a": {"w": np.linspace(-1, 1, 6, dtype="float32")}}
    whole, state = optax.adam(0.05), optax.adam(0.05).init(params)
    ours, slots = optimisers.optax_transform("adam"), optimisers.fresh("adam", params)
    for step in range(4):
        grads = jax.tree.map(lambda p, k=step: np.cos(p + k), params)
        expected, state = whole.update(grads, state, params)
        after = ours.update(grads, optimisers.to_optax("adam", slots, step), params)
        np.testing.assert_allclose(-0.05 * after[0]["a"]["w"], expected["a"]["w"], rtol=1e-6)
        slots = optimisers.from_optax("adam", after[1])


# --- learning ------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_digits_reach_97_percent(engine, run, spec, npz):
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    x, y = (digits.images / 16).astype("float32"), digits.target
    places = np.random.default_rng(0).permutation(len(y))
    learn, test = places[:1437], places[1437:]
    data = npz(x=x[learn], y=y[learn], x_test=x[test], y_test=y[test])
    status, out, err = run(
        spec(DIGITS), "--data", data, "--engine", engine, "--epochs", 15, "--format", "json"
    )
    found = json.loads(out)
    assert (status, err, found["verdict"]) == (0, "", "learns")
    assert found["test_accuracy"] >= 0.97
    assert found["accuracy"] >= 0.97
    assert found["steps"] == len(found["losses"]) == 15 * (1437 // 32)


def test_the_first_steps_equal_a_network_written_in_jax():
    """Losses of five steps of Adam on one batch, against jax.nn, lax and optax alone."""
    import jax
    import jax.numpy as jnp
    import optax
    from jax import lax

    report = derive(DIGITS)
    params, _ = initialise(report, 3)
    data = random_batch(task_of(report), 8, 3)
    x, labels = data.train.inputs["input"], data.train.labels

    def conv(x, p):
        found = lax.conv_general_dilated(
            x, p["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(found + p["bias"])

    def pool(x):
        return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))

    def loss(p):
        y = pool(conv(pool(conv(x, p["conv1"])), p["conv2"])).reshape(8, -1)
        y = jax.nn.relu(y @ p["dense1"]["kernel"] + p["dense1"]["bias"])
        y = y @ p["dense2"]["kernel"] + p["dense2"]["bias"]
        return optax.softmax_cross_entropy_with_integer_labels(y, jnp.asarray(labels)).mean()

    both, adam = jax.jit(jax.value_and_grad(loss)), optax.adam(0.001)
    state, expected = adam.init(params), []
    for _ in range(5):
        value, grads = both(params)
        updates, state = adam.update(grads, state)
        params = optax.apply_updates(params, updates)
        expected.append(float(value))
    for engine in ENGINES:
        found = trained(DIGITS, engine=engine, seed=3, steps=5).losses
        np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_random_batch_is_learned_by_heart(engine, optimizer, run, spec):
    path = spec(SMALL)
    status, out, err = run(path, "--engine", engine, "--optimizer", optimizer)
    assert (status, err) == (0, "")
    assert out.startswith(f"small: 275 parameters on {engine}, one random batch of 8, {optimizer}")
    assert "(guessing: 1.099)" in out
    assert out.endswith(": it learns\n")


def test_a_network_that_cannot_learn(run, spec):
    status, out, _ = run(spec(FLAT), "--lr", "1e-9", "--steps", 20)
    assert status == 1
    assert out.endswith("it does not learn: the loss does not move at all, as where no gradient "
                        "reaches the parameters\n")  # fmt: skip
    status, out, _ = run(spec(FLAT), "--lr", "1e-3", "--steps", 60)
    assert (status, out.rpartition(": ")[2]) == (
        1,
        "not yet; the loss still falls, more --steps may do\n",
    )
    # A product with zero: nothing reaches the first layer, and the second knows no item.
    blind = "input: 5\nlayers: [{batchnorm: {eps: 1000000000000000000000000}}, dense: 4]\n"
    status, out, _ = run(spec(blind))
    assert (status, out.rpartition(": ")[2]) == (1, "it is no better than guessing\n")
    assert " in 200 steps" in out


def test_of_several_outputs_the_deepest_is_trained(run, spec):
    text = (
        "input: 5\nlayers:\n  - {dense: 32, name: trunk}\n  - {dense: 7, name: extra}\n"
        "  - {relu: {}, from: trunk, name: r}\n  - {dense: 4, name: main}\n"
        "outputs: [extra, main]\n"
    )
    status, out, _ = run(spec(text), "--steps", 1)
    assert (status, "guessing: 1.386" in out) == (1, True)
    assert "output 'main' of 2: loss from" in out
    assert out.endswith("it does not learn: one step shows nothing yet\n")


def test_classes_at_every_position(run, spec, npz):
    text = "input: 4x4x2\nlayers: [{conv: {filters: 3, kernel: 1}}]\n"
    random = np.random.default_rng(0)
    y = random.integers(0, 3, (16, 4, 4))
    x = np.stack([y == 0, y == 1], -1).astype("uint8") * 255
    status, out, _ = run(
        spec(text), "--data", npz(x=x, y=y), "--epochs", 60, "--lr", "0.1", "--format", "json"
    )
    found = json.loads(out)
    assert (status, found["accuracy"]) == (0, 1.0)
    assert run(spec(text), "--data", npz(x=x, y=y[:, 0, 0]))[2] == (
        "error: y has the shape 16: it takes classes, one a position, 4x4\n"
    )


def test_bytes_are_divided_by_255(npz):
    x = np.random.default_rng(0).integers(0, 256, (6, 5), "uint8")
    losses = [
        trained(FLAT, data=npz(x_train=pixels, y_train=Y), steps=3).losses
        for pixels in (x, (x / np.float32(255)).astype("float32"), x.astype("int32"))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_guessing_is_the_entropy_of_the_classes():
    assert guessing(np.arange(10), 10) == pytest.approx(np.log(10))
    assert guessing(np.array([1, 1, 1, 0]), 5) == pytest.approx(
        -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    )


# --- the same numbers ----------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_same_seed_same_numbers(engine, small):
    first, again, other = (
        trained(SMALL, data=small, engine=engine, steps=9, batch=8, seed=seed).losses
        for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("engine", ENGINES)
def test_running_statistics_follow_the_batches(engine, tmp_path):
    """After one step a tenth of the batch's mean, as lax computes it; saved with the run."""
    from jax import lax
    from safetensors.numpy import load_file

    report, saved = derive(SMALL), str(tmp_path / "run")
    trained(SMALL, engine=engine, steps=1, save=saved)
    x = random_batch(task_of(report), 8, 0).train.inputs["input"]
    kernel = initialise(report, 0)[0]["conv1"]["kernel"]
    y = lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = load_file(saved)
    np.testing.assert_allclose(
        found["buffers/batchnorm1/mean"], 0.1 * np.asarray(y).mean((0, 1, 2)), rtol=1e-4, atol=1e-6
    )
    var = np.asarray(y).var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(found["buffers/batchnorm1/var"], 0.9 + 0.1 * var, rtol=1e-4)


def test_large_convolutions_have_the_same_numbers_too(tmp_path, monkeypatch):
    """Large enough for the engine to share them out in chunks among threads."""
    monkeypatch.delenv("CNNCALC_THREADS", raising=False)
    layers = ["{conv: {filters: 32, kernel: 3, pad: 1}}", "relu"] * 2
    text = f"input: 48x48x16\nlayers: [{', '.join(layers)}, global_avgpool, dense: 4]\n"
    saved = [tmp_path / str(i) for i in range(3)]
    for path in saved:
        trained(text, steps=4, batch=16, save=str(path))
    assert len({path.read_bytes() for path in saved}) == 1
    assert "CNNCALC_THREADS" not in os.environ


def test_order_and_masks_depend_on_seed_and_step_alone():
    assert sorted(order(50, 1, 0)) == list(range(50))
    assert list(order(50, 1, 0)) != list(order(50, 1, 1))
    assert list(order(50, 1, 0)) != list(order(50, 2, 0))
    assert list(order(50, 1, 3)) == list(order(50, 1, 3))
    mask, same, other = numpy_masks(0, 1), numpy_masks(0, 1), numpy_masks(0, 2)
    first = mask((1000,), 0.25)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.7 < (first > 0).mean() < 0.8
    assert (first == same((1000,), 0.25)).all()
    assert (first != other((1000,), 0.25)).any()
    assert (first != mask((1000,), 0.25)).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_of_jax_drop_the_rate(engine):
    import jax

    from cnncalc.training.engines import jax_masks

    mask = jax_masks(jax.random.key(0))
    first, second = np.asarray(mask((2000,), 0.25)), np.asarray(mask((2000,), 0.25))
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.7 < (first > 0).mean() < 0.8
    assert (first != second).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_step_draws_masks_of_its_own(engine, npz):
    """Equal items, and a rate too small to move anything: only dropout changes the loss."""
    item = np.random.default_rng(0).standard_normal((1, 6, 6, 2))
    data = npz(x=item.repeat(8, 0), y=np.ones(8, int))
    how = {"data": data, "engine": engine, "batch": 8, "steps": 4, "lr": 1e-20}
    losses = trained(SMALL, **how).losses
    assert min(np.diff(sorted(losses))) > 1e-3
    assert np.ptp(trained(SMALL.replace("dropout: 0.25", "identity"), **how).losses) < 1e-5


@pytest.mark.parametrize(
    ("engine", "optimizer"), [("numpy", "momentum"), ("numpy", "adam"), ("jax", "adam")]
)
def test_resumed_equals_uninterrupted(engine, optimizer, small, tmp_path):
    """With dropout, running statistics and a new epoch on the way: bit for bit."""
    how = {"data": small, "engine": engine, "optimizer": optimizer, "batch": 8, "seed": 2}
    whole, part = str(tmp_path / "whole"), str(tmp_path / "part")
    full = trained(SMALL, steps=13, save=whole, **how)
    trained(SMALL, steps=7, save=part, **how)
    rest = trained(SMALL, steps=13, resume=part, data=small)
    assert rest.first_step == 7
    assert (rest.losses, rest.hits) == (full.losses, full.hits)
    assert rest.test_accuracy == full.test_accuracy
    assert Path(whole).read_bytes() == Path(part).read_bytes()


def test_a_saved_run_goes_on_with_the_other_engine(small, tmp_path):
    saved = str(tmp_path / "run")
    how = {"data": small, "batch": 8}
    text = SMALL.replace("  - dropout: 0.25\n", "")
    trained(text, steps=4, save=saved, engine="numpy", **how)
    full = trained(text, steps=8, engine="numpy", **how)
    rest = trained(text, steps=8, resume=saved, engine="jax", data=small)
    np.testing.assert_allclose(rest.losses, full.losses, rtol=1e-4)


def test_a_finished_run_is_only_judged(tmp_path):
    saved = str(tmp_path / "run")
    first = trained(FLAT, save=saved)
    again = trained(FLAT, resume=saved)
    assert (again.losses, again.verdict) == (first.losses, "learns")


# --- interruption --------------------------------------------------------------------


def start(*argv, **streams):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-m", "cnncalc", "train", *map(str, argv)], text=True, env=environment,
        stdout=subprocess.PIPE, **({"stderr": subprocess.PIPE} | streams),
    )  # fmt: skip


def wait_for(path, process):
    until = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_then_resumed(how, spec, small, tmp_path):
    path, saved = spec(SMALL), tmp_path / "run.safetensors"
    options = ("--data", small, "--steps", 200_000, "--batch", 8, "--seed", 4)
    process = start(path, *options, "--save", saved, "--save-every", 3)
    wait_for(saved, process)
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    report = derive(SMALL)
    step = saving.about(str(saved), report)["step"]
    if how == signal.SIGINT:
        assert (process.returncode, out) == (130, "")
        assert (
            err == f"interrupted after {step} steps: saved to {saved}; --resume {saved} goes on\n"
        )
    else:
        assert step % 3 == 0
    more = trained(SMALL, resume=str(saved), data=small, steps=step + 5)
    full = trained(SMALL, data=small, steps=step + 5, batch=8, seed=4)
    assert more.losses == full.losses


def test_interrupted_without_a_file(spec, small):
    process = start(spec(SMALL), "--data", small, "--steps", 500_000, "--format", "json")
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "not saved" in err
    assert json.loads(out)["verdict"] == "interrupted"


def test_a_save_leaves_the_old_file_until_it_is_whole(tmp_path, monkeypatch):
    saved = tmp_path / "run"
    trained(FLAT, save=str(saved), steps=2)
    before = saved.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TrainingError, match=r"cannot write .* No space left"):
        trained(FLAT, resume=str(saved), steps=4)
    assert saved.read_bytes() == before
    assert list(tmp_path.iterdir()) == [saved]


def test_the_bar_is_drawn_on_a_terminal(spec):
    master, slave = os.openpty()
    process = start(spec(FLAT), "--steps", "700", stderr=slave)
    out, _ = process.communicate(timeout=30)
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert "training" in shown
    assert "loss" in shown
    assert "accuracy" in shown
    assert out.endswith("it learns\n")


# --- the file ------------------------------------------------------------------------


def test_a_saved_run_is_plain_safetensors(tmp_path):
    from safetensors import safe_open

    saved = str(tmp_path / "run")
    result = trained(SMALL, steps=3, save=saved)
    with safe_open(saved, framework="numpy") as file:
        names = list(file.keys())
        about = json.loads(file.metadata()["cnncalc"])
        losses = list(file.get_tensor("history/loss"))
    assert {"params/conv1/kernel", "buffers/batchnorm1/mean", "optimizer/mu/dense1/bias"} < set(
        names
    )
    assert (about["step"], about["seed"], about["optimizer"]) == (3, 0, "adam")
    assert list(about) == sorted(about)
    assert losses == result.losses


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (SMALL.replace("filters: 4", "filters: 5"), {},
         "another network than this spec describes: conv1/kernel is 3x3x2x4 in the file and "
         "3x3x2x5 in the spec"),
        (SMALL.replace("0.25", "0.5"), {}, "a layer differs"),
        (SMALL.replace("dropout: 0.25", "tanh"), {}, "a layer differs"),
        (SMALL, {"optimizer": "sgd"}, "the saved run has optimizer adam, not sgd"),
        (SMALL, {"seed": 7}, "the saved run has seed 0, not 7"),
        (SMALL, {"batch": 3}, "the saved run has batch 8, not 3"),
        (SMALL, {"data": "SMALL"}, "the saved run trained on one random batch"),
    ],
)  # fmt: skip
def test_resuming_something_else_is_refused(text, options, message, tmp_path, small):
    saved = str(tmp_path / "run")
    trained(SMALL, steps=2, save=saved)
    if "data" in options:
        options = {"data": small}
    with pytest.raises(TrainingError, match=message):
        trained(text, resume=saved, **options)


def test_comments_do_not_make_another_network():
    assert saving.fingerprint(derive(SMALL)) == saving.fingerprint(derive("# hello\n" + SMALL))


def test_other_data_is_refused(small, npz, tmp_path):
    saved = str(tmp_path / "run")
    trained(SMALL, data=small, steps=2, batch=8, save=saved)
    with np.load(small) as arrays:
        other = npz("other.npz", x=arrays["x"] + 1, y=arrays["y"])
    with pytest.raises(TrainingError, match="has other data than the saved run trained on"):
        trained(SMALL, data=other, resume=saved, steps=4)
    with pytest.raises(TrainingError, match="trained on data: give them with --data"):
        trained(SMALL, resume=saved, steps=4)


def test_files_that_are_no_saved_run(tmp_path):
    from safetensors.numpy import save_file

    good, bad = tmp_path / "run", tmp_path / "bad"
    trained(FLAT, steps=2, save=str(good))
    content = good.read_bytes()
    for broken in (b"", b"nonsense", content[:-5], content[: len(content) // 2]):
        bad.write_bytes(broken)
        with pytest.raises(TrainingError, match="not a whole safetensors file"):
            trained(FLAT, resume=str(bad))
    with pytest.raises(TrainingError, match="No such file"):
        trained(FLAT, resume=str(tmp_path / "nowhere"))
    array = {"params/dense1/kernel": np.zeros(2, "float32")}
    for metadata in (None, {"cnncalc": "[1]"}, {"cnncalc": '{"schema": "cnncalc.train/1"}'}):
        save_file(array, str(bad), metadata=metadata)
        with pytest.raises(TrainingError, match="not saved by cnncalc train"):
            trained(FLAT, resume=str(bad))
    about = saving.about(str(good), derive(FLAT))
    save_file(array, str(bad), metadata={"cnncalc": json.dumps(about)})
    with pytest.raises(TrainingError, match="cannot resume"):
        trained(FLAT, resume=str(bad))


def test_a_file_that_cannot_be_written_is_found_out_first(tmp_path):
    with pytest.raises(TrainingError, match=r"cannot write .*No such file or directory"):
        trained(FLAT, save=str(tmp_path / "no" / "run"))
    with pytest.raises(TrainingError, match=r"cannot write .*Is a directory"):
        trained(FLAT, save=str(tmp_path))


# --- data ----------------------------------------------------------------------------

X, Y = np.zeros((6, 5)), np.arange(6) % 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "has no array y; it has x"),
        ({"a": X, "b": Y}, "has no array x and no y; it has a, b"),
        ({"x": X[:, :4], "y": Y}, "x has items of 4, the spec's input is 5"),
        ({"x": X[:5], "y": Y}, "x has 5 items, y has 6"),
        ({"x": X, "y": Y + 1}, r"the class 4, but 'dense2' answers with 4 classes \(0 to 3\)"),
        ({"x": X, "y": Y - 1}, "y has the class -1"),
        ({"x": X, "y": Y + 0.5}, "y must be whole numbers"),
        ({"x": X, "y": Y.astype(str)}, "y must be whole numbers"),
        ({"x": X, "y": np.eye(4)[Y]}, "y has the shape 6x4: it takes classes, one an item"),
        ({"x": X + np.nan, "y": Y}, "x has values that are not finite"),
        ({"x": X.astype(str), "y": Y}, "x must be numbers, not <U32"),
        ({"x": X[:0], "y": Y[:0]}, "has no items"),
        ({"x": X, "y": Y, "y_test": Y}, "has only y_test: tests need x_test and y_test"),
        ({"x": X, "y": Y, "x_test": X[:, 1:], "y_test": Y}, "x_test has items of 4"),
        ({"x": np.array([{}] * 6), "y": Y}, "the array x holds pickled Python objects"),
        ({"x": X, "y": np.array(Y, object)}, "the array y holds pickled Python objects"),
    ],
)  # fmt: skip
def test_bad_data_gets_one_message(arrays, message, npz):
    with pytest.raises(TrainingError, match=message):
        trained(FLAT, data=npz(**arrays))


def test_channels_first_gets_a_hint(npz):
    data = npz(x=np.zeros((6, 2, 6, 6)), y=Y % 3)
    with pytest.raises(TrainingError, match="channels come last"):
        trained(SMALL, data=data)


def test_files_that_are_no_npz(tmp_path, npz):
    path = tmp_path / "x.npz"
    with pytest.raises(TrainingError, match="No such file"):
        trained(FLAT, data=str(path))
    for content in (b"", b"PK nonsense", pickle.dumps({"x": 1})):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"not an \.npz file"):
            trained(FLAT, data=str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"nonsense")
        archive.writestr("y.npy", b"nonsense")
    with pytest.raises(TrainingError, match=r"the array [xy] cannot be read"):
        trained(FLAT, data=str(path))


def test_an_array_larger_than_its_file_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000, 5), }\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member)
        archive.writestr("y.npy", member)
    with pytest.raises(TrainingError, match="its header and its size disagree"):
        trained(FLAT, data=str(path))


def test_an_array_larger_than_memory_is_refused(npz, monkeypatch):
    data = npz(x=np.zeros((6000, 5)), y=np.zeros(6000, int))
    monkeypatch.setattr("cnncalc.jaxrun.memory.free_bytes", lambda device: 400_000)
    with pytest.raises(TrainingError, match=r"the array x has 0\.2 MiB, more than half"):
        trained(FLAT, data=data)


# --- the command line ----------------------------------------------------------------


def test_json(run, spec):
    status, out, err = run(spec(FLAT), "--format", "json", "--steps", 700, "--seed", 1)
    found = json.loads(out)
    assert (status, err, found["schema"], found["ok"]) == (0, "", "cnncalc.train/1", True)
    assert found["steps"] == len(found["losses"]) == len(found["accuracies"]) == 700
    assert found["accuracy"] == found["accuracies"][-1] == 1.0
    assert found["verdict"] == "learns"
    assert found["guessing"] == pytest.approx(np.log(4))
    assert found["losses"][-1] < 0.1 * np.log(4)
    assert found["seconds"] > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_that_is_not_finite_stops(engine, run, spec, tmp_path):
    saved = tmp_path / "run"
    status, out, err = run(
        spec(FLAT), "--engine", engine, "--optimizer", "sgd", "--lr", "1e30", "--save", saved
    )
    assert status == 1
    assert "stopped at step 2, not finite" in out
    assert err == (
        "error[R003]: at step 2 the loss or the parameters are not finite\n"
        "  = help: a smaller --lr than 1e+30 may help\n"
    )
    assert not saved.exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--epochs", 3), "--epochs needs --data"),
        (("--device", "cpu"), "--device needs --engine jax"),
        (("--lr", "0"), "--lr must be a number above 0"),
        (("--lr", "nan"), "--lr must be a number above 0"),
        (("--engine", "jax", "--device", "tpu"), "no tpu is present"),
        (("--engine", "cuda"), "not one of numpy, jax"),
        (("--batch", 0), "greater than or equal to 1"),
    ],
)
def test_bad_options(argv, message, run, spec):
    status, out, err = run(spec(FLAT), *argv)
    assert (status, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("input: 7x7x1\nlayers: [{conv: {filters: 3, kernel: 3, stride: 3}}]\n", 1, "S001"),
        ("input: 7x7x1\nlayers: [cnv: 3]\n", 2, "E003"),
        ("input: HxWx3\nlayers: [global_avgpool, dense: 4]\n", 2,
         "training needs numbers for H, W: give --set H=... --set W=..."),
        ("input: 7x7x1\nlayers: [relu]\n", 2, "there is nothing to train"),
        ("input: 7x7x1\nlayers: [{conv: {filters: 1, kernel: 3}}]\n", 2, "ends in 1 class"),
    ],
)  # fmt: skip
def test_specs_that_cannot_be_trained(text, status, message, run, spec):
    found, out, err = run(spec(text))
    assert (found, out) == (status, "")
    assert message in err


def test_symbols_are_set(run, spec):
    text = "input: HxWx3\nlayers: [{conv: {filters: 8, kernel: 3}}, relu, dense: 4]\n"
    assert run(spec(text), "--set", "H=6", "--set", "W=5")[0] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_is_asked_for_beforehand(engine, run, spec, monkeypatch):
    monkeypatch.setattr("cnncalc.jaxrun.memory.free_bytes", lambda device: 1 << 20)
    report = derive(DIGITS)
    p, one = 13_706, report.totals.training_memory
    step = 1000 * (one - 4 * 2 * p)
    if engine == "numpy":  # of the engine's own tape: see test_engine_memory
        step = step_bytes(report.layers, report.input_shapes, 1000)
    needed = 4 * 2 * p + 4 * 2 * p + step
    status, _, err = run(spec(DIGITS), "--batch", 1000, "--engine", engine)
    assert status == 2
    assert f"({needed:,} bytes), but 1.0 MiB are free on cpu" in err
    assert run(spec(DIGITS), "--batch", 2, "--steps", 1, "--engine", engine)[0] == 1


def test_missing_libraries(run, spec, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optax", None)
    status, _, err = run(spec(FLAT), "--engine", "jax")
    assert (status, err.count("\n")) == (2, 1)
    assert "needs optax, which is not installed: pip install 'cnncalc[train]'" in err
    assert run(spec(FLAT))[0] == 0
    monkeypatch.setitem(sys.modules, "safetensors", None)
    status, _, err = run(spec(FLAT), "--save", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "need safetensors, which is not installed: pip install 'cnncalc[train]'" in err


def test_the_command_line_stays_light():
    code = (
        "import sys, cnncalc.cli; heavy = {'numpy', 'jax', 'rich.progress', 'optax', "
        "'safetensors', 'cnncalc.training.loop'} & set(sys.modules); assert not heavy, heavy"
    )
    root = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": root})

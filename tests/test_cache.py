"""The compilation cache, its place and its bound; parameters drawn ahead."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import cnncalc
from cnncalc.jaxrun import cache, params
from cnncalc.jaxrun.params import Weight

SPEC = "input: 9x9x3\nlayers:\n  - conv: {filters: 7, kernel: 4}\n  - relu\n  - dense: 3\n"
# A process of its own: how many programs XLA compiled, and what the command said of it.
COUNT = """
import sys, jax._src.compiler as compiler
real, count = compiler.backend_compile_and_load, 0
def counting(*args, **named):
    global count
    count += 1
    return real(*args, **named)
compiler.backend_compile_and_load = counting
from cnncalc.__main__ import run
status = run(["check", "spec.yaml"])
print("compiled", count)
sys.exit(status)
"""


def compiled(folder, **env):
    """How many programs one run compiled; it must say nothing beside its report."""
    (folder / "spec.yaml").write_text(SPEC)
    done = subprocess.run(
        [sys.executable, "-c", COUNT], cwd=folder, capture_output=True, text=True, check=True,
        env=os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"} | env,
    )  # fmt: skip
    assert "agrees" in done.stdout
    assert done.stderr == ""
    return int(done.stdout.split()[-1])


def test_a_second_process_compiles_nothing(tmp_path):
    first = compiled(tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert first >= 3
    entries = list(tmp_path.glob("cnncalc/jax-*/*-cache"))
    assert len(entries) >= 3
    assert compiled(tmp_path, XDG_CACHE_HOME=str(tmp_path)) == 0
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:50])
    assert compiled(tmp_path, XDG_CACHE_HOME=str(tmp_path)) == first
    assert compiled(tmp_path, XDG_CACHE_HOME=str(tmp_path)) == 0  # they were written anew


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_the_folder_is_the_users_own(root):
    with cache.compilations():
        used = jax.config.jax_compilation_cache_dir
        assert Path(used).parent == root / "cnncalc"
        assert os.stat(used).st_mode & 0o077 == 0
    assert jax.config.jax_compilation_cache_dir is None
    (root / "cnncalc").chmod(0o777)
    with cache.compilations():
        assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize("given", ["/dev/null", "/proc/nowhere"])
def test_without_a_folder_there_is_no_cache(given, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    with cache.compilations():
        assert jax.config.jax_compilation_cache_dir is None
    assert cnncalc.check(cnncalc.load("lenet5")).run.status == "agrees"


def test_a_relative_folder_is_none(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "here")
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.home() is None


def test_a_cache_that_the_user_chose_stays(root):
    jax.config.update("jax_compilation_cache_dir", str(root / "mine"))
    try:
        with cache.compilations():
            assert jax.config.jax_compilation_cache_dir == str(root / "mine")
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
    assert not (root / "cnncalc").exists()


def test_the_oldest_go_first(tmp_path):
    (tmp_path / "jax-0").mkdir()
    for i in range(6):
        file = tmp_path / "jax-0" / f"{i}-cache"
        file.write_bytes(bytes(100))
        os.utime(file, (i, i))
    cache.prune(tmp_path, 350)
    assert sorted(p.name[0] for p in tmp_path.glob("*/*")) == ["3", "4", "5"]


# --- parameters ---------------------------------------------------------------------------


def test_drawn_ahead_or_now_they_are_the_same(monkeypatch):
    monkeypatch.setattr(params, "CHUNK", 1000)
    net = cnncalc.jaxrun.sizes.at(cnncalc.load("lenet5").derive(), {})
    drawn = params.Ahead(net, 5)
    seen = 0
    for row in net.rows:
        for key, shape in row.weights.items():
            values = drawn.take(row.name, key, Weight(shape))
            assert values.ctypes.data % params.ALIGNMENT == 0
            assert np.array_equal(values, params.make(row.name, key, Weight(shape), 5))
            assert not np.array_equal(values, params.make(row.name, key, Weight(shape), 6))
            assert len(np.unique(values)) > 0.9 * values.size  # no chunk repeats another
            if values.ndim > 1:
                bound = (3 / np.prod(shape[:-1])) ** 0.5
                assert abs(values).max() <= bound
                assert values.std() == pytest.approx(bound / 3**0.5, rel=0.1)
            seen += values.size
    drawn.stop()
    assert seen == sum(row.params for row in net.rows)


def test_what_was_not_foreseen_is_made_then():
    net = cnncalc.jaxrun.sizes.at(cnncalc.load("lenet5").derive(), {})
    row = next(row for row in net.rows if row.weights)
    drawn = params.Ahead(net, 5)
    shape = row.weights["kernel"]
    assert drawn.take(row.name, "gamma", Weight(shape)) is None
    assert drawn.take(row.name, "kernel", Weight(shape, fan_in=3)) is None
    drawn.stop()
    made = params.arrays({"kernel": Weight(shape)}, row.name, 5, drawn)
    assert np.array_equal(made["kernel"], params.make(row.name, "kernel", Weight(shape), 5))


def test_no_more_is_drawn_than_memory_allows():
    net = cnncalc.jaxrun.sizes.at(cnncalc.load("vgg16").derive(), {})
    assert params.ahead(net, 0, 1 << 30) is None
    assert params.ahead(net, 0, None) is None


@pytest.mark.parametrize("name", ["alexnet"])
def test_jax_takes_the_arena_over_without_a_copy(name):
    net = cnncalc.jaxrun.sizes.at(cnncalc.load(name).derive(), {})
    drawn = params.ahead(net, 0, 1 << 40)
    assert drawn is not None
    row = max(net.rows, key=lambda row: row.params)
    values = drawn.take(row.name, "kernel", Weight(row.weights["kernel"]))
    placed = jax.device_put(values, jax.devices("cpu")[0])
    assert placed.unsafe_buffer_pointer() == values.ctypes.data
    drawn.stop()

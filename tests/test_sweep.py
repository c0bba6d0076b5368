"""`cnncalc sweep`: every number against a derivation in numbers, and the files it writes."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc import __main__
from cnncalc.source import Source
from cnncalc.sweeping.grid import Axis, Grid, read_axis, sample
from cnncalc.sweeping.order import Front, Sorter, efficient
from cnncalc.sweeping.settings import Key, SweepError, SweepOptions
from cnncalc.sweeping.sweep import Sweep

ROOT = Path(__file__).parents[1]
SPECS = sorted(ROOT.glob("specs/*.yaml"))
TOTALS = ("params", "buffers", "macs", "activations", "peak_memory", "training_memory")


def run(capsys, *words):
    status = __main__.run(["sweep", *words])
    return status, *capsys.readouterr()


def rows_of(spec, *sets, **options):
    sweep = Sweep(SweepOptions(spec, set=sets, **options))
    return [row for block in sweep.blocks() for row in sweep.rows(block)]


def in_numbers(text, point):
    """The report of `check` at one point; input axes named by letter are written into the spec."""
    report = cnncalc.load(Source(text, "spec.yaml"), sets=point).derive()
    wrong = [d for d in report.diagnostics if d.severity == "error" and d.code[0] in "ES"]
    wrong += [d for d in report.diagnostics if d.message.endswith("(as expected)")]
    return report, {d.code for d in wrong}


def agree(text, sets, points):
    """Sweeps a spec text and compares a handful of points with `check` of the same text."""
    rows = rows_of(text, *sets, columns=(",".join(TOTALS),))
    names = [s.partition("=")[0] for s in sets]
    for row in random.Random(1).sample(rows, min(points, len(rows))):
        report, wrong = in_numbers(text, {n: row[n] for n in names})
        assert row["fits"] == (not wrong), (row, wrong)
        if wrong:
            assert row["misfit"].partition(" ")[0] in wrong
        if wrong - {"S001"}:
            assert row["params"] is None
            continue
        for name in TOTALS:
            assert row[name] == getattr(report.totals, name), (name, row)
        last = report.row(report.outputs[0]).output
        assert row["output"] == list(last)


def named_input(path):
    """The spec with H and W (or L) in place of the numbers of its input; None without any."""
    import re

    text = path.read_text()
    match = re.search(r"^input: *(\d+)x(\d+)x(\d+)", text, re.M)
    if match is None:
        return None
    return text.replace(match[0], f"input: HxWx{match[3]}", 1), int(match[1]), int(match[2])


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_bundled_spec_over_its_input_size(path, monkeypatch):
    monkeypatch.setattr("cnncalc.answers.MOST", 0)  # at other sizes every `expect` is wrong
    found = named_input(path)
    if found is None:
        pytest.skip("its input is not written in numbers")
    text, high, wide = found
    agree(text, (f"H={max(1, high - 4)}..{high + 5}", f"W={wide},{wide + 32},9"), 4)


def test_widths_of_resnet_beside_torch():
    torch = pytest.importorskip("torch")

    def bottleneck(c_in, c):
        conv = lambda a, b, k: torch.nn.Conv2d(a, b, k, bias=False)  # noqa: E731
        norm = torch.nn.BatchNorm2d
        found = [conv(c_in, c, 1), norm(c), conv(c, c, 3), norm(c), conv(c, 4 * c, 1), norm(4 * c)]
        return found + ([conv(c_in, 4 * c, 1), norm(4 * c)] if c_in != 4 * c else [])

    for row in rows_of("resnet50", "k=48..80:16"):
        k = row["k"]
        with torch.device("meta"):
            layers = [torch.nn.Conv2d(3, 64, 7, bias=False), torch.nn.BatchNorm2d(64)]
            c_in = 64
            for stage, depth in enumerate((3, 4, 6, 3)):
                c = k << stage
                for i in range(depth):
                    # the first bottleneck of a stage always projects its shortcut
                    layers += bottleneck(c_in, c)
                    if i == 0 and c_in == 4 * c:
                        layers += [torch.nn.Conv2d(c_in, c_in, 1, bias=False)]
                        layers += [torch.nn.BatchNorm2d(c_in)]
                    c_in = 4 * c
            layers.append(torch.nn.Linear(c_in, 1000))
            net = torch.nn.ModuleList(layers)
        assert row["params"] == sum(p.numel() for p in net.parameters())


KINDS = {
    "groups": ("let: {g: 2, k: 8}\ninput: 9x9x8\nlayers:\n"
               "  - conv: {filters: k, kernel: 3, groups: g}\n", ("g=1..6", "k=1..12")),
    "kernel": ("let: {f: 3, s: 1}\ninput: HxHx3\nlayers:\n"
               "  - conv: {filters: 4, kernel: f, stride: s, pad: (f-1)/2}\n  - maxpool: 2\n",
               ("f=1..7", "s=1..3", "H=1..12")),
    "same": ("dialect: keras\nlet: {f: 3, s: 1}\ninput: HxHx3\nlayers:\n"
             "  - conv: {filters: 4, kernel: f, stride: s, pad: same}\n",
             ("f=1..4", "s=1..3", "H=1..12")),
    "times": ("let: {n: 3, c: 4}\ninput: 16x16x3\nlayers:\n"
              "  - repeat: {times: n, layers: [{conv: {filters: c, kernel: 3}}, relu]}\n",
              ("n=1..9", "c=2,4")),
    "join": ("let: {a: 3, b: 3}\ninput: 16x16x3\nlayers:\n"
             "  - add: [[{conv: {filters: a, kernel: 1}}], [{conv: {filters: b, kernel: 1}}]]\n"
             "  - conv: {filters: 5, kernel: 1}\n", ("a=1..4", "b=1..4")),
    "reshape": ("let: {a: 4}\ninput: 8x8x3\nlayers:\n  - reshape: [a, a, -1]\n", ("a=1..16",)),
    "negative": ("let: {a: 4}\ninput: 8x8x3\nlayers:\n  - conv: {filters: a-3, kernel: 1}\n"
                 "  - dense: (a+1)/2\n", ("a=1..9",)),
    "crop": ("let: {a: 1}\ninput: HxHx3\nlayers:\n  - crop: a\n  - dense: 3\n",
             ("a=0..4", "H=4..9")),
    "ceil": ("dialect: caffe\ninput: HxHx3\nlayers:\n  - maxpool: {kernel: 3, stride: 2, pad: 1}\n"
             "  - maxpool: {kernel: 3, stride: 2}\n", ("H=1..40",)),
    "transpose": ("let: {p: 0}\ninput: HxHx3\nlayers:\n"
                  "  - conv_transpose: {filters: 2, kernel: 3, stride: 2, pad: p}\n",
                  ("p=0..4", "H=1..6")),
    "shuffle": ("let: {c: 8, r: 2}\ninput: 4x4xc\nlayers:\n  - pixel_shuffle: r\n",
                ("c=1..18", "r=1..3")),
    "shared": ("let: {c: 8}\ninput: 4x4xc\nlayers:\n  - conv: {filters: 4, kernel: 1}\n"
               "    name: a\n  - conv: {filters: 4, kernel: 1}\n    share: a\n", ("c=1..8",)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_where_sizes_stop_fitting(kind):
    text, sets = KINDS[kind]
    agree(text, sets, 60)


def test_numbers_beyond_64_bits_are_exact(tmp_path, capsys):
    text = "let: {k: 8}\ninput: HxHx3\nlayers:\n  - conv: {filters: k, kernel: 3, pad: 1}\n"
    spec = text + "  - conv: {filters: 1000*k, kernel: 3, pad: 1}\n"
    rows = rows_of(spec, "k=1000000,100000000", "H=100,1000000000", columns=("macs",))
    assert any(row["macs"] > 2**100 for row in rows)
    for row in rows:
        k, size = row["k"], row["H"] ** 2
        assert row["macs"] == size * 9 * 3 * k + size * 9 * k * 1000 * k
    path = tmp_path / "big.yaml"
    path.write_text(spec)
    words = ("k=1000000,100000000", "--set", "H=100,1000000000", "--sort", "-macs")
    status, out, _ = run(capsys, str(path), "--set", *words, "--format", "csv")
    macs = [int(line.split(",")[4]) for line in out.splitlines()[1:]]
    assert (status, macs) == (0, sorted(macs, reverse=True))
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    big = tmp_path / "big.parquet"
    assert run(capsys, str(path), "--set", *words, "-o", str(big))[0] == 0
    assert [int(v) for v in pq.read_table(big)["macs"].to_pylist()] == macs


def test_conditions_hold_for_what_is_kept(capsys):
    words = ("resnet50", "--set", "k=16..256:16", "--set", "H=64..512:32")
    status, out, err = run(capsys, *words, "--where", "params < 5M and macs < 600M",
                           "--format", "csv", "--sort", "macs")  # fmt: skip
    rows = list(csv.DictReader(out.splitlines()))
    every = rows_of("resnet50", "k=16..256:16", "H=64..512:32")
    kept = [r for r in every if r["params"] < 5_000_000 and r["macs"] < 600_000_000]
    assert (status, len(every), "240 points, all fit" in err) == (0, 240, True)
    assert [int(r["macs"]) for r in rows] == sorted(r["macs"] for r in kept)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("fits", 1), ("not fits", 39), ("H >= 227 and fits", 1), ("H = 230 or H == 231", 2),
        ("(H - 227) % 4 == 0", 10), ("2*H > 400 and not (H != 210)", 1), ("params/2 < 28.1e6", 0),
        ("params < 56.1M and H < 227", 27), ("height >= 1", 0), ("max(H, 230) == 230", 31),
    ],
)  # fmt: skip
def test_the_language_of_conditions(where, count):
    if "e6" in where or "height" in where:
        with pytest.raises(SweepError, match="--where"):
            rows_of("alexnet", "H=200..239", where=where)
        return
    assert len(rows_of("alexnet", "H=200..239", where=where)) == count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs names and values"),
        (("--set", "k"), "takes name=values"),
        (("--set", "k=9..3"), "holds no value"),
        (("--set", "k=1..2..3"), "a range is"),
        (("--set", "k=x"), "not a whole number"),
        (("--set", "k=1,1"), "given twice"),
        (("--set", "k=1,2", "--set", "k=3,4"), "given twice"),
        (("--set", "q=1..3"), "the spec has no such name"),
        (("--set", "k=1..3", "--where", "params <"), "expected a number or a name"),
        (("--set", "k=1..3", "--where", "param < 3"), "did you mean 'params'"),
        (("--set", "k=1..3", "--where", "params"), "not a condition"),
        (("--set", "k=1..3", "--where", "1 < k < 3"), "a < b and b < c"),
        (("--set", "k=1..3", "--where", "__import__('os')"), "unexpected character"),
        (("--set", "k=1..3", "--sort", "speed"), "there is no 'speed'"),
        (("--set", "k=1..3", "--format", "parquet"), "-o FILE"),
        (("--set", "k=1..3", "--plot", "a.txt"), "--plot writes"),
        (("--set", "k=0..999999", "--set", "H=1..9999999", "--set", "W=1..9999999"), "can be numb"),
        (("--set", "k=1..3", "-o", "no/such/folder.csv"), "cannot write"),
    ],
)
def test_what_makes_no_sense_is_one_message(words, message, capsys):
    status, out, err = run(capsys, "resnet50", *words)
    assert (status, out) == (2, ""), err
    assert message in err
    assert "Traceback" not in err


def test_assumed_domains_hold(capsys):
    spec = "{input: HxHx3, assume: {H: {min: 32, multiple_of: 32}}, layers: [{conv: 3}]}"
    with pytest.raises(SweepError, match="33 is no integer >= 32"):
        rows_of(spec, "H=32,33")


def test_an_interrupted_sweep_is_taken_up(tmp_path, monkeypatch, capsys):
    from cnncalc.sweeping import run as running

    words = ("resnet50", "--set", "k=1..300", "--set", "H=32..1000", "--where", "macs < 90M")
    for name in ("a.csv", "b.json"):
        whole, cut = tmp_path / name, tmp_path / f"cut-{name}"
        assert run(capsys, *words, "-o", str(whole))[0] == 0
        ticks = iter(range(10**6))

        def stop(self, *args, ticks=ticks, plain=running.Runner._tick):
            plain(self, *args)
            if next(ticks) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(running.Runner, "_tick", stop)
            status, _, err = run(capsys, *words, "-o", str(cut))
        assert status == 130
        assert "takes it up again" in err
        assert not cut.exists()
        status, _, err = run(capsys, *words, "-o", str(cut))
        assert (status, "taken up at point" in err) == (0, True)
        assert cut.read_bytes() == whole.read_bytes()
        assert not list(tmp_path.glob("*.part*"))


def test_json_and_parquet_hold_the_same_points(tmp_path, capsys):
    pq = pytest.importorskip("pyarrow.parquet")
    words = ("alexnet", "--set", "H=50..240", "--set", "C=1,3", "--columns", "params,peak_memory")
    for end in ("json", "parquet", "csv"):
        assert run(capsys, *words, "-o", str(tmp_path / f"a.{end}"))[0] == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["schema"] == "cnncalc.sweep/1"
    assert found["counts"] == {"points": 382, "fit": 12, "written": 382}
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == found["points"]
    lines = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [int(r["params"] or -1) for r in lines] == [
        r["params"] if r["params"] is not None else -1 for r in found["points"]
    ]
    assert {r["fits"] for r in lines} == {"true", "false"}


def test_a_sample_is_the_same_for_one_seed():
    one, two, other = (
        [(r["k"], r["H"]) for r in rows_of("resnet50", "k=1..999", "H=1..999", sample=50, seed=s)]
        for s in (7, 7, 8)
    )
    assert one == two != other
    assert len(set(one)) == 50
    assert np.array_equal(sample(10, 99, 0), np.arange(10))
    big = sample(10**12, 1000, 3)
    assert len(np.unique(big)) == 1000
    assert (np.diff(big) > 0).all()


def test_a_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for end in ("png", "svg"):
        path = tmp_path / f"a.{end}"
        words = ("resnet50", "--set", "k=16..64:16", "--pareto", "params,-k", "--plot", str(path))
        assert run(capsys, *words)[0] == 0
        assert path.stat().st_size > 3000


def test_jax_finds_the_same(capsys, monkeypatch):
    from cnncalc.sweeping import sharded

    monkeypatch.setattr(sharded, "EACH", 1024)
    made = []
    plain = sharded.Sharded.__init__
    monkeypatch.setattr(
        sharded.Sharded, "__init__", lambda self, *a: (made.append(1), plain(self, *a))[1]
    )
    words = ("resnet50", "--set", "k=16..64:16", "--set", "H=1..300", "--where", "macs < 900M",
             "--format", "csv")  # fmt: skip
    one, two = (run(capsys, *words, "--engine", engine) for engine in ("numpy", "jax"))
    assert one[:2] == two[:2]
    assert (one[0], len(made)) == (0, 1)


def test_grid_memory_is_bounded():
    code = """
import resource
from cnncalc.sweeping.settings import SweepOptions
from cnncalc.sweeping.sweep import Sweep
sweep = Sweep(SweepOptions("resnet50", set=("k=1..300", "H=1..300", "W=1..100"), where="params<1"))
for block in sweep.blocks():
    start = start if "start" in globals() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
"""
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(grown.stdout) < 30_000  # KiB, for nine million points


# --- laws ----------------------------------------------------------------------------


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=60), st.integers(1, 3),
       st.booleans())  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_the_front_is_what_brute_force_finds(points, count, wide):
    kind = object if wide else np.int64
    columns = [np.array([p[i] for p in points], dtype=kind) for i in range(count)]

    def beaten(p):
        others = [q[:count] for q in points]
        return any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in others)

    expected = [i for i, p in enumerate(points) if not beaten(p[:count])]
    assert efficient([c.astype(np.int64) for c in columns]).tolist() == expected
    front = Front(count)
    for low in range(0, len(points), 7):
        index = np.arange(low, min(low + 7, len(points)))
        front.add(index, [c[index] for c in columns])
    assert sorted(front.index.tolist()) == expected


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 40), st.data())
@settings(max_examples=150, deadline=None)
def test_boxes_cover_the_grid_in_order(shape, most, data):
    grid = Grid([Axis(f"n{i}", tuple(range(10 * i, 10 * i + n))) for i, n in enumerate(shape)])
    start = data.draw(st.integers(0, grid.total - 1))
    at = start
    for box in grid.boxes(start, most):
        assert (box.start, box.size <= max(most, 1)) == (at, True)
        values = grid.values(box)
        for name in grid.names:
            seen = np.broadcast_to(values[name], box.shape).ravel().tolist()
            assert seen == [grid.point(at + i)[name] for i in range(box.size)]
        at += box.size
    assert at == grid.total


def test_a_long_sort_goes_by_way_of_the_disk(monkeypatch):
    from cnncalc.sweeping import order

    monkeypatch.setattr(order, "RUN", 1000)
    sweep = Sweep(SweepOptions("resnet50", set=("k=1..40", "H=1..300"), sort=("-macs",)))
    sorter = Sorter((Key("macs", True), Key("H")))
    for block in sweep.blocks():
        sorter.add(block)
    assert len(sorter.runs) > 0
    found = np.concatenate(list(sorter.order()))
    sorter.close()
    macs = sweep.at(found).columns["macs"]
    assert len(np.unique(found)) == 12_000
    assert (np.diff(macs) <= 0).all()


@pytest.mark.parametrize("text", ["k=16..256:16", "k=1..1024*2", "k = 4 , 2", "k=1K..3K:1K"])
def test_values_as_written(text):
    found = list(read_axis(text).values)
    assert (
        found
        == {
            "k=16..256:16": list(range(16, 257, 16)),
            "k=1..1024*2": [2**i for i in range(11)],
            "k = 4 , 2": [4, 2],
            "k=1K..3K:1K": [1000, 2000, 3000],
        }[text]
    )

"""`cnncalc filter` against SciPy, PyTorch and Pillow, the lecture's 320."""

import io
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnncalc import __main__, filter, pixels
from cnncalc.filter import KERNELS, Job, Kernel
from cnncalc.pixels import Pixels

LECTURE = "lecture/worked-convolution"
NINE = "0*0 + 0*-1 + 0*0 + 0*-1 + 105*5 + 102*-1 + 0*0 + 103*-1 + 99*0 = 320"
ODD = Kernel("odd", "3x5", ((3, -1, 4, 1, -5), (9, 2, -6, 5, 3), (-5, 8, 9, -7, 9)), 7)
EVERY = [*KERNELS.values(), ODD]


@pytest.fixture
def run(capsys):
    """The command line in this process: status, standard output, standard error."""

    def call(*argv: str) -> tuple[int, str, str]:
        status = __main__.run(["filter", *map(str, argv)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes, name: str = "m.csv") -> str:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write


def matrix(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-300, 300, (rows, cols))


def of(values: np.ndarray, divisor: int = 1) -> Pixels:
    return Pixels("m", values[:, :, None], divisor)


def ours(job: Job) -> np.ndarray:
    out = job.output()
    return out.values[:, :, 0].astype(float) / out.divisor


def by_torch(values: np.ndarray, kernel: Kernel, pad: tuple[int, int]) -> np.ndarray:
    x = torch.tensor(values, dtype=torch.float64)[None, None]
    w = torch.tensor(kernel.weights, dtype=torch.float64)[None, None] / kernel.divisor
    return torch.nn.functional.conv2d(x, w, padding=pad)[0, 0].numpy()


# --- against others ----------------------------------------------------------------


@pytest.mark.parametrize("kernel", EVERY, ids=lambda k: k.name)
@pytest.mark.parametrize("pad", ["valid", "same", "0", "1", "3", "20"])
@pytest.mark.parametrize("flip", [False, True])
def test_filtering_equals_torch(kernel, pad, flip):
    values = matrix(9, 13)
    pads = filter.padding(pad, kernel)
    job = Job(of(values), kernel, flip, pads)
    expected = by_torch(values, kernel.turned() if flip else kernel, pads)
    assert job.size == expected.shape
    np.testing.assert_allclose(ours(job), expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("kernel", EVERY, ids=lambda k: k.name)
@pytest.mark.parametrize("flip", [False, True])
def test_filtering_equals_scipy(kernel, flip):
    ndimage = pytest.importorskip("scipy.ndimage")
    values = matrix(11, 8, seed=1)
    reference = ndimage.convolve if flip else ndimage.correlate
    weights = np.array(kernel.weights) / kernel.divisor
    expected = reference(values.astype(float), weights, mode="constant")
    job = Job(of(values), kernel, flip, filter.padding("same", kernel))
    np.testing.assert_allclose(ours(job), expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("flip", [False, True])
def test_turning_a_kernel_matters_where_it_is_said_to(flip):
    """So the comparisons above can fail: the wrong turn is far off."""
    values = matrix(9, 13)
    for kernel in EVERY:
        job = Job(of(values), kernel, flip)
        wrong = by_torch(values, kernel if flip else kernel.turned(), (0, 0))
        same = np.allclose(ours(job), wrong)
        assert same == (kernel.turning() == "same")
        if kernel.turning() == "negative":
            np.testing.assert_allclose(ours(job), -wrong, atol=1e-10)


@pytest.mark.parametrize("band", [1, 40, 1000])
def test_bands_make_no_difference(band, monkeypatch):
    values = matrix(23, 9)
    job = Job(of(values), ODD, False, (4, 4))
    whole = ours(job)
    monkeypatch.setattr(filter, "BAND", band)
    assert (ours(job) == whole).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_results_are_exact(data):
    """Any whole numbers, past what floats hold: the same as summing fractions."""
    size = st.integers(1, 5)
    rows, cols = data.draw(size), data.draw(size)
    f, g = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, 3]))
    big = st.integers(-(10 ** data.draw(st.sampled_from([2, 9, 15, 40]))), 10**18)
    grid = [[data.draw(big) for _ in range(cols)] for _ in range(rows)]
    weights = tuple(tuple(data.draw(st.integers(-9, 10**6)) for _ in range(g)) for _ in range(f))
    source = pixels.matrix("\n".join(",".join(map(str, row)) for row in grid), "m")
    job = Job(source, Kernel("k", "k", weights, 7), data.draw(st.booleans()), (1, 1))
    out = job.output()
    for i in range(job.size[0]):
        for j in range(job.size[1]):
            (cell,) = job.worked(i + 1, j + 1)
            assert cell.value == Fraction(int(out.values[i, j, 0]), out.divisor)


# --- the lecture's example ---------------------------------------------------------


def test_the_worked_convolution_is_320(run):
    status, out, err = run(LECTURE, "--kernel", "sharpen", "--explain", "1,1")
    assert (status, err) == (0, "")
    assert NINE in out.splitlines()
    assert "0 + 0 + 0 + 0 + 525 - 102 + 0 - 103 + 0 = 320" in out.splitlines()
    assert "counted from 1" in out
    assert "correlation and convolution agree" in out
    for pad in ("same", "1"):  # the same cell, one row and column further in
        assert NINE in run(LECTURE, "--kernel", "sharpen", "--explain", "2,2", "--pad", pad)[1]


def test_the_lecture_matrix_filtered(run):
    status, out, _ = run("worked-convolution", "--kernel", "sharpen", "--format", "csv")
    assert status == 0
    assert out == "320,206,198,188\n210,89,111,101\n205,85,111,101\n189,98,117,113\n"


def test_the_lectures_kernels():
    weights = {name: kernel.weights for name, kernel in KERNELS.items()}
    assert weights["mean"] == ((1, 1, 1),) * 3
    assert weights["gaussian"] == (
        (1, 4, 7, 4, 1), (4, 16, 26, 16, 4), (7, 26, 41, 26, 7), (4, 16, 26, 16, 4), (1, 4, 7, 4, 1)
    )  # fmt: skip
    assert weights["sobel"] == ((2, 1, 0), (1, 0, -1), (0, -1, -2))
    assert weights["edge"] == ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
    assert weights["sharpen"] == ((0, -1, 0), (-1, 5, -1), (0, -1, 0))
    for name in ("mean", "gaussian"):  # they keep brightness
        assert sum(map(sum, weights[name])) == KERNELS[name].divisor


def test_kernel_list(run):
    status, out, _ = run("--kernel", "list")
    assert status == 0
    for name in KERNELS:
        assert f"\n{name}\n" in "\n" + out
    assert "/ 273" in out


def test_worked_cells_of_several_kinds(run, file):
    _, out, _ = run(LECTURE, "--kernel", "mean", "--pad", "1", "--explain", "1,2")
    assert "(0*1 + 0*1 + 0*1 + 0*1 + 0*1 + 0*1 + 0*1 + 105*1 + 102*1) / 9 = 23" in out
    assert "3 of 9 cells are zero padding" in out
    _, out, _ = run(LECTURE, "--kernel", "gaussian", "--explain", "1,2")
    assert "+ 105*4 + 102*16 + 100*26 + 97*16 + 96*4\n" in out
    assert "25914 / 273 = 94.92308" in out
    _, out, _ = run(LECTURE, "--kernel", "sobel", "--explain", "1,1", "--flip")
    assert "turned by 180 degrees" in out
    assert "changes every sign" in out
    halves = file("0.5,1/3\n-1.25,2\n")
    _, out, _ = run(halves, "--kernel", file("-2", "k.csv"), "--explain", "2,1")
    assert "-1.25*-2 = 2.5\n" in out
    _, out, _ = run(halves, "--kernel", file("-2", "k.csv"), "--explain", "1,2")
    assert "(1/3)*-2 = -2/3\n" in out


def test_worked_cell_as_json(run):
    _, out, _ = run(LECTURE, "--kernel", "sharpen", "--explain", "1,1", "--format", "json")
    (cell,) = json.loads(out)["cells"]
    terms = [t for row in cell["terms"] for t in row]
    assert [t["product"] for t in terms] == [0, 0, 0, 0, 525, -102, 0, -103, 0]
    assert (cell["row"], cell["column"], cell["value"]) == (1, 1, 320)


# --- matrices ----------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ", ", ";", "\t", "  "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators(run, file, separator, end):
    rows = [["1", "-2"], ["0.5", "1e2"]]
    text = end.join(separator.join(row) for row in rows) + end
    _, out, _ = run(file(text), "--kernel", file("1", "k.csv"), "--format", "json")
    assert json.loads(out)["output"] == [[1, -2], [0.5, 100]]


def test_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf1 2\n3 4\n")))
    status, out, _ = run("-", "--kernel", "mean", "--pad", "same", "--format", "csv")
    value = "1.1111111111111111"
    assert (status, out) == (0, f"{value},{value}\n{value},{value}\n")


def test_text_is_aligned_and_read_again(run, file, tmp_path):
    source = file("1,20\n-300,4\n")
    one = file("1", "k.csv")
    _, out, _ = run(source, "--kernel", one)
    assert out == "   1 20\n-300  4\n"
    assert run(file(out, "again.txt"), "--kernel", one)[1] == out
    for name in ("o.csv", "o.json", "o.txt"):
        status, shown, _ = run(source, "--kernel", one, "-o", str(tmp_path / name))
        assert (status, shown) == (0, "")
    assert (tmp_path / "o.csv").read_text() == "1,20\n-300,4\n"
    assert json.loads((tmp_path / "o.json").read_text())["output"] == [[1, 20], [-300, 4]]
    assert (tmp_path / "o.txt").read_text() == out


def test_large_whole_numbers_stay_exact(run, file):
    big = 10**40 + 1
    source = file(f"{big},{-big},3\n")
    _, out, _ = run(source, "--kernel", file("1 1 1", "k.txt"), "--pad", "same", "--format", "csv")
    rows = out.splitlines()
    assert rows == [f"0,3,{3 - big}"]


def test_fractions_in_a_kernel_file(run, file):
    mean = file("1/9 1/9 1/9\n" * 3, "mean.txt")
    expected = run(LECTURE, "--kernel", "mean", "--format", "csv")[1]
    assert run(LECTURE, "--kernel", mean, "--format", "csv")[1] == expected


# --- pictures ----------------------------------------------------------------------


def load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (31, 22)) -> np.ndarray:
    channels = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    values = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(path)
    return values


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("pad", ["valid", "same"])
def test_pictures(run, tmp_path, mode, kernel, pad):
    values = picture(tmp_path / "in.png", mode)
    out = tmp_path / "out.png"
    status, shown, err = run(tmp_path / "in.png", "--kernel", kernel, "--pad", pad, "-o", out)
    assert (status, shown, err) == (0, "", "")
    found = load(out)
    planes = values.reshape((*values.shape[:2], -1))
    expected = np.stack(
        [by_torch(planes[:, :, c], KERNELS[kernel], filter.padding(pad, KERNELS[kernel]))
         for c in range(planes.shape[2])], axis=2,
    )  # fmt: skip
    expected = np.clip(np.floor(expected + 0.5 + 1e-9), 0, 255).reshape(found.shape)
    assert (found == expected).all()


@pytest.mark.parametrize("extension", ["png", "bmp", "tiff", "ppm"])
def test_identity_keeps_the_picture(run, file, tmp_path, extension):
    values = picture(tmp_path / f"in.{extension}")
    out = tmp_path / f"out.{extension}"
    assert run(tmp_path / f"in.{extension}", "--kernel", file("1"), "-o", out)[0] == 0
    assert (load(out) == values).all()


def test_grayscale_is_pillows(run, tmp_path):
    picture(tmp_path / "in.png", size=(200, 150))
    status, _, err = run(tmp_path / "in.png", "--gray", "-o", tmp_path / "out.png")
    assert (status, err) == (0, "")
    found = load(tmp_path / "out.png").astype(int)
    pillow = np.asarray(Image.fromarray(load(tmp_path / "in.png")).convert("L")).astype(int)
    assert abs(found - pillow).max() <= 1
    red = load(tmp_path / "in.png")[:, :, 0].astype(int)
    assert abs(red - pillow).max() > 50  # the comparison can fail


def test_primary_colours_in_gray(run, tmp_path):
    Image.fromarray(np.eye(3, dtype=np.uint8)[None] * 255).save(tmp_path / "in.png")
    run(tmp_path / "in.png", "--gray", "-o", tmp_path / "out.png")
    assert load(tmp_path / "out.png").tolist() == [[76, 150, 29]]


def test_worked_cell_of_a_picture(run, tmp_path):
    values = picture(tmp_path / "in.png").astype(int)
    _, out, _ = run(tmp_path / "in.png", "--kernel", "edge", "--explain", "2,3")
    for c, name in enumerate("RGB"):
        window = values[1:4, 2:5, c]
        total = (window * KERNELS["edge"].weights).sum()
        assert f"Channel {name}" in out
        byte = min(255, max(0, total))
        assert f" = {total}\nas a picture's value, rounded and kept in 0..255: {byte}\n" in out
    _, out, _ = run(tmp_path / "in.png", "--kernel", "edge", "--gray", "--explain", "2,3")
    assert "0.299 R + 0.587 G + 0.114 B" in out
    assert "Channel" not in out


def test_transparency_and_frames_are_noted(run, tmp_path):
    picture(tmp_path / "in.png", "RGBA")
    status, out, err = run(tmp_path / "in.png", "--kernel", "mean", "-o", tmp_path / "o.png")
    assert (status, out) == (0, "")
    assert "transparency" in err
    assert load(tmp_path / "o.png").shape == (20, 29, 3)


def test_a_camera_turned_picture_is_upright(run, file, tmp_path):
    values = picture(tmp_path / "x.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(values).save(tmp_path / "in.png", exif=exif)
    run(tmp_path / "in.png", "--kernel", file("1"), "-o", tmp_path / "o.png")
    assert (load(tmp_path / "o.png") == np.rot90(values, -1)).all()

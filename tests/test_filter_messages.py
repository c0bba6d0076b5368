"""`cnncalc filter`: one message on standard error, exit status 2, for all that cannot be done."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnncalc import __main__

LECTURE = "lecture/worked-convolution"


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


def picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (31, 22)) -> np.ndarray:
    channels = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    values = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(path)
    return values


def refused(done: tuple[int, str, str], *words: str) -> None:
    status, out, err = done
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "fault in cnncalc" not in err
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3,x\n", ["line 2, column 2", "'x' is not a number"]),
        ("1,2\n3\n", ["line 2, column 2", "1 number,", "2"]),
        ("1,2\n3,4,5\n", ["line 2, column 3", "3 numbers"]),
        ("1,,2\n", ["line 1, column 2", "no number"]),
        ("1,nan\n", ["'nan'"]),
        ("1,inf\n", ["'inf'"]),
        ("1_0\n", ["'1_0'"]),
        ("\u0663\n", ["not a number"]),
        ("1/0\n", ["divides by zero"]),
        ("1e101\n", ["out of range"]),
        ("1e-101\n", ["out of range"]),
        ("1e999999999\n", ["not a number"]),
        ("9" * 5000, ["not a number"]),
        ("", ["empty"]),
        ("# only a remark\n", ["no numbers"]),
        (b"\xff\xfe1\0,\0", ["not UTF-8"]),
        ("\n".join(f"1/{p}{'0' * 60}1" for p in (1, 3, 7)), ["no common denominator"]),
    ],
    ids=lambda v: repr(v)[:20],
)
def test_bad_matrices(run, file, text, words):
    refused(run(file(text), "--kernel", "mean", "--pad", "same"), *words)


def test_bad_kernels(run, file):
    refused(run(LECTURE, "--kernel", "guassian"), "did you mean 'gaussian'?")
    refused(run(LECTURE, "--kernel", file("1,2\n3,4\n")), "2x2", "odd")
    refused(run(LECTURE, "--kernel", file("1," * 6 + "1\n")), "1x7 kernel is larger", "6x6")
    refused(run(LECTURE, "--kernel", file("1 " * 201)), "too large")
    refused(run(LECTURE, "--kernel", file("a\n")), "line 1, column 1")
    refused(run(LECTURE), "--kernel is missing", "gaussian")
    refused(run("-", "--kernel", "-"), "not both")
    refused(run(), "needs a picture or a matrix")


def test_bad_places_pads_and_files(run, file, tmp_path):
    sharpen = (LECTURE, "--kernel", "sharpen")
    for place in ("0,1", "5,1", "1,5"):
        refused(run(*sharpen, "--explain", place), "4x4 output", "from 1 to 4")
    for place in ("1", "a,b", "1,2,3", "-1,1", "1.5,1", ","):
        refused(run(*sharpen, "--explain", place), "ROW,COL")
    for pad in ("-1", "many", "1.5", "", "1" * 50):
        refused(run(*sharpen, "--pad", pad), "--pad takes")
    refused(run(*sharpen, "--pad", "9999"), "more than 100,000,000")
    refused(run(*sharpen, "--gray"), "no colours")
    refused(run(*sharpen, "--explain", "1,1", "--format", "csv"), "text or json")
    refused(run(*sharpen, "-o", tmp_path / "x.png"), "not as a picture")
    refused(run(*sharpen, "-o", tmp_path / "no" / "x.csv"), "cannot write")
    refused(run(tmp_path / "none.csv", "--kernel", "mean"), "no file", LECTURE)
    refused(run(tmp_path, "--kernel", "mean"), "folder")
    refused(run("a\0b", "--kernel", "mean"), "cannot be read")


def test_bad_pictures(run, file, tmp_path):
    values = picture(tmp_path / "in.png", size=(300, 200))
    good = (tmp_path / "in.png").read_bytes()
    mean = ("--kernel", "mean", "-o", tmp_path / "o.png")
    refused(run(file(good[: len(good) // 2], "half.png"), *mean), "broken picture")
    refused(run(file(b"\0\1\2" * 50, "x.bin"), *mean), "no picture")
    refused(run(file("hello", "x.png"), *mean), "no picture")
    refused(run(tmp_path / "in.png", "--kernel", "mean"), "-o FILE")
    refused(run(tmp_path / "in.png", "--gray", "--explain", "1,1"), "give --kernel")
    refused(run(tmp_path / "in.png", "--kernel", "mean", "-o", tmp_path / "o.xyz"), "extension")
    Image.fromarray(values[:, :, 0].astype(np.int32) * 200).save(tmp_path / "deep.tiff")
    refused(run(tmp_path / "deep.tiff", *mean), "bits a channel")
    Image.fromarray(values[:2]).save(tmp_path / "thin.png")
    refused(run(tmp_path / "thin.png", *mean), "larger than the image: 2x300")
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize("size", [(11_000, 10_000), (20_000, 20_000)])
def test_picture_bombs(run, file, size):
    header = b"P5 %d %d 255\n" % size
    refused(run(file(header, "bomb.pgm"), "--kernel", "mean", "-o", "x.png"), "100,000,000 pixels")


def test_broken_pictures_never_show_a_traceback(run, file, tmp_path):
    """Random bytes of a picture changed: it is filtered, or one message says why not."""
    choose = random.Random(5)
    for extension in ("png", "gif", "bmp", "tiff", "jpg"):
        picture(tmp_path / f"in.{extension}")
        data = (tmp_path / f"in.{extension}").read_bytes()
        for _ in range(25):
            broken = bytearray(data[: choose.randrange(20, len(data) + 1)])
            for _ in range(3):
                broken[choose.randrange(min(120, len(broken)))] = choose.randrange(256)
            done = run(
                file(bytes(broken), f"b.{extension}"), "--kernel", "mean", "-o", tmp_path / "o.png"
            )
            if done[0] != 0:
                refused(done)


def test_a_failed_write_leaves_the_old_file(run, tmp_path, monkeypatch):
    picture(tmp_path / "in.png")
    out = tmp_path / "o.png"
    out.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    refused(run(tmp_path / "in.png", "--kernel", "mean", "-o", out), "No space left")
    assert out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.png", "o.png"]


def test_without_pillow(run, tmp_path, monkeypatch):
    picture(tmp_path / "in.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    refused(
        run(tmp_path / "in.png", "--kernel", "mean", "-o", tmp_path / "o.png"),
        "need Pillow", "pip install 'cnncalc[pictures]'",
    )  # fmt: skip
    assert run(LECTURE, "--kernel", "mean")[0] == 0

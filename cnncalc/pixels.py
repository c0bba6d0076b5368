"""Matrices of numbers and pictures: read into whole numbers, and pictures written back.

A matrix is text: numbers or fractions separated by commas, semicolons, tabs or spaces. A
picture is what Pillow reads, with 8 bits a channel. Both come out as `Pixels`, exactly.
"""

import io
import math
import os
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from . import bundled
from .source import shorten

MAX_PIXELS = 100_000_000  # of a picture, padding included
MAX_CELLS = 4_000_000  # of a matrix
MAX_TEXT = 64_000_000  # bytes of a matrix
MAX_FILE = 512_000_000  # bytes of a picture
LARGEST = 10**100  # of a number, and of what divides one
TEXT = (".csv", ".tsv", ".txt", ".dat")
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff",
            ".webp")  # fmt: skip
PNM = re.compile(rb"P[1-6]\s")
NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?)", re.ASCII | re.IGNORECASE)
PILLOW = "pip install 'cnncalc[pictures]', or pip install pillow"


class FilterError(ValueError):
    """What cannot be read, filtered or written, in one message."""


class Pixels(NamedTuple):
    """Values of shape (rows, columns, channels), whole numbers to be divided by `divisor`."""

    name: str
    values: Any
    divisor: int = 1
    picture: bool = False
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        return int(self.values.shape[0]), int(self.values.shape[1])

    @property
    def channels(self) -> tuple[str, ...]:
        """Their names; a matrix and a grey picture have one, without a name."""
        return ("R", "G", "B") if self.values.shape[2] == 3 else ("",)

    def at(self, row: int, col: int, channel: int) -> Fraction:
        """The exact value at a place counted from 0; zero outside."""
        rows, cols = self.size
        if not (0 <= row < rows and 0 <= col < cols):
            return Fraction(0)
        return Fraction(int(self.values[row, col, channel]), self.divisor)


# --- reading -----------------------------------------------------------------------


def read(path: str) -> Pixels:
    """The matrix or picture in a file, in a bundled example, or (`-`) on standard input."""
    data, name = _load(path)
    extension = os.path.splitext(name)[1].lower()
    if extension in TEXT:
        return matrix(_decode(data, name), name)
    text = None if extension in PICTURES or PNM.match(data) or b"\0" in data else _utf8(data)
    return _picture(data, name) if text is None else matrix(text, name)


def read_text(path: str) -> tuple[str, str]:
    """A text file's content, and what to call it."""
    data, name = _load(path)
    return _decode(data, name), name


def _load(path: str) -> tuple[bytes, str]:
    name = "<stdin>" if path == "-" else path
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            try:
                with open(path, "rb") as file:
                    data = file.read(MAX_FILE + 1)
            except (FileNotFoundError, IsADirectoryError):
                found = example(path)
                if found is None:
                    raise
                name = "/".join(found.split(os.sep)[-2:])
                with open(found, "rb") as file:
                    data = file.read()
    except FileNotFoundError:
        known = ", ".join(examples())
        raise FilterError(
            f"there is no file '{shorten(path, 200)}' (bundled examples: {known})"
        ) from None
    except IsADirectoryError:
        raise FilterError(f"'{shorten(path, 200)}' is a folder, not a picture or matrix") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FilterError(f"'{shorten(path, 200)}' cannot be read: {reason}") from None
    if len(data) > MAX_FILE:
        raise FilterError(f"'{shorten(name, 200)}' is larger than {MAX_FILE:,} bytes")
    if not data.strip():
        raise FilterError(f"'{shorten(name, 200)}' is empty")
    return data, name


def examples() -> list[str]:
    """Names of the bundled matrices.

    >>> examples()
    ['lecture/worked-convolution']
    """
    lecture = os.path.join(bundled.folder(), "lecture")
    return sorted("lecture/" + f[:-4] for f in os.listdir(lecture) if f.endswith(".csv"))


def example(name: str) -> str | None:
    """The path of the bundled matrix `name`, with or without its folder."""
    key = name.lower().removesuffix(".csv")
    for known in examples():
        if key in (known, known.rpartition("/")[2]):
            return os.path.join(bundled.folder(), known + ".csv")
    return None


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _decode(data: bytes, name: str) -> str:
    text = _utf8(data)
    if text is None or "\0" in text:
        raise FilterError(f"'{shorten(name, 200)}' is not UTF-8 text")
    return text


def matrix(text: str, name: str) -> Pixels:
    """A matrix of whole numbers over their common denominator."""
    import numpy as np

    rows, divisor = whole(numbers(text, name), name)
    try:
        values = np.array(rows, dtype=np.int64)
    except OverflowError:
        values = np.array(rows, dtype=object)
    return Pixels(name, values[:, :, None], divisor)


def numbers(text: str, name: str) -> list[list[int | Fraction]]:
    """The numbers of a text, row by row; all rows equally long.

    >>> numbers("1, 1/9\\n-2, 0.5\\n", "k.csv")
    [[1, Fraction(1, 9)], [-2, Fraction(1, 2)]]
    """
    if len(text) > MAX_TEXT:
        raise FilterError(f"'{shorten(name, 200)}' has more than {MAX_TEXT:,} characters of text")
    separator = next((s for s in ",;\t" if s in text), None)
    rows: list[list[int | Fraction]] = []
    cells = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split(separator)
        row = [_number(word.strip(), name, number, column) for column, word in enumerate(words, 1)]
        if rows and len(row) != len(rows[0]):
            raise FilterError(
                f"{_place(name, number, min(len(row), len(rows[0])) + 1)}: this row has "
                f"{_count(len(row), 'number')}, the rows above have {len(rows[0])}"
            )
        cells += len(row)
        if cells > MAX_CELLS:
            raise FilterError(f"'{shorten(name, 200)}' has more than {MAX_CELLS:,} numbers")
        rows.append(row)
    if not rows:
        raise FilterError(f"'{shorten(name, 200)}' has no numbers in it")
    return rows


def _number(word: str, name: str, line: int, column: int) -> int | Fraction:
    try:
        if len(word) <= 18 and word.isascii() and "_" not in word:
            return int(word)
    except ValueError:
        pass
    why = ""
    if not word:
        why = "there is no number here"
    elif len(word) > 100 or not NUMBER.fullmatch(word):
        why = f"'{shorten(word)}' is not a number"
    elif re.search(r"/0+$", word):
        why = f"'{shorten(word)}' divides by zero"
    else:
        value = Fraction(word)
        if abs(value) <= LARGEST and value.denominator <= LARGEST:
            return int(value) if value.denominator == 1 else value
        why = f"'{shorten(word)}' is out of range: up to 1e100, in steps of 1e-100"
    raise FilterError(f"{_place(name, line, column)}: {why}")


def _place(name: str, line: int, column: int) -> str:
    return f"{shorten(name, 200)}, line {line}, column {column}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def whole(rows: Sequence[Sequence[int | Fraction]], name: str) -> tuple[list[list[int]], int]:
    """Rows of whole numbers, and what divides them all.

    >>> whole([[1, Fraction(1, 2)], [0, Fraction(-1, 3)]], "k")
    ([[6, 3], [0, -2]], 6)
    """
    divisor = 1
    for row in rows:
        for v in row:
            if not isinstance(v, int) and divisor % v.denominator:
                divisor = math.lcm(divisor, v.denominator)
                if divisor > LARGEST:
                    raise FilterError(
                        f"the fractions in '{shorten(name, 200)}' have no common denominator "
                        "up to 1e100: write them as decimals"
                    )
    return [[int(v * divisor) for v in row] for row in rows], divisor


# --- pictures ----------------------------------------------------------------------


def _pillow() -> Any:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise FilterError(f"pictures need Pillow: {PILLOW}") from None
    return Image, ImageOps


def _picture(data: bytes, name: str) -> Pixels:
    import warnings

    import numpy as np

    image_module, ops = _pillow()
    shown = shorten(name, 200)
    bomb = image_module.DecompressionBombError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with image_module.open(io.BytesIO(data)) as opened:
                pixels = opened.width * opened.height
                if pixels > MAX_PIXELS:
                    raise bomb
                notes = _notes(opened, shown)
                upright = ops.exif_transpose(opened)
                grey = upright.mode in ("1", "L", "LA")
                values = np.asarray(upright.convert("L" if grey else "RGB"))
    except FilterError:
        raise
    except bomb:
        message = f"'{shown}' has more than {MAX_PIXELS:,} pixels"
        raise FilterError(message) from None
    except image_module.UnidentifiedImageError:
        raise FilterError(f"'{shown}' is no picture that Pillow reads, and no text") from None
    except Exception as error:  # decoders raise whatever broken data leads them to
        what = shorten(str(error) or type(error).__name__, 120)
        raise FilterError(f"'{shown}' is a broken picture: {what}") from None
    return Pixels(name, values.reshape((*values.shape[:2], -1)), 1, True, notes)


def _notes(image: Any, shown: str) -> tuple[str, ...]:
    mode = image.mode
    if mode.startswith(("I", "F")):
        raise FilterError(
            f"'{shown}' has 16 or 32 bits a channel (Pillow's mode {mode}): save it with 8"
        )
    notes = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"'{shown}' has {image.n_frames} frames: the first is read")
    if "A" in mode or "a" in mode or "transparency" in image.info:
        notes.append(f"'{shown}' has transparency, which is dropped")
    return tuple(notes)


def encode(values: Any, path: str) -> bytes:
    """A picture's file content, in the format of the path's extension."""
    image_module, _ = _pillow()
    extension = os.path.splitext(path)[1].lower()
    format = image_module.registered_extensions().get(extension)
    if format is None or format not in image_module.SAVE:
        raise FilterError(
            f"no picture is written as '{shorten(path, 200)}': give it an extension such as .png"
        )
    out = io.BytesIO()
    try:
        flat = values[:, :, 0] if values.shape[2] == 1 else values
        image_module.fromarray(flat).save(out, format=format)
    except Exception as error:  # encoders too
        what = shorten(str(error) or type(error).__name__, 120)
        raise FilterError(f"Pillow cannot write a {format} picture of this: {what}") from None
    return out.getvalue()

"""The lecture's image kernels, laid over matrices and pictures by the engine's convolution.

Output cell (i, j) of a kernel k with F rows and G columns and zero padding P, Q is

    y[i, j] = sum over a, b of x[i + a - P, j + b - Q] k[a, b]

which is correlation, what networks call convolution. True convolution, f * g of signals,
first turns the kernel by 180 degrees: k[F-1-a, G-1-b].

Everything is computed in whole numbers over a common divisor, so results are exact: as
float64 while every sum stays below 2^40, as Python's integers beyond. Only a picture's
sums that large are rounded, and a picture's result is rounded to 0..255 in any case.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from . import pixels
from .pixels import FilterError, Pixels
from .source import shorten

EXACT = 2**40  # sums of float64 below this are exact however the engine orders them
BAND = 1 << 18  # values in the piece of a picture that is worked on at a time
MAX_SIDE = 199  # of a kernel
GRAY = (299, 587, 114)  # thousandths of R, G, B: luma of ITU-R BT.601
GRAY_TEXT = "0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)"


class Kernel(NamedTuple):
    """Whole weights, all divided by `divisor`."""

    name: str
    title: str
    weights: tuple[tuple[int, ...], ...]
    divisor: int = 1

    @property
    def size(self) -> tuple[int, int]:
        return len(self.weights), len(self.weights[0])

    def turned(self) -> "Kernel":
        """Turned by 180 degrees."""
        return self._replace(weights=tuple(row[::-1] for row in self.weights[::-1]))

    def turning(self) -> str:
        """What the turn does to it: 'same', 'negative' or 'other'.

        >>> [k.turning() for k in KERNELS.values()]
        ['same', 'same', 'negative', 'same', 'negative']
        """
        turned = self.turned().weights
        if turned == self.weights:
            return "same"
        negative = tuple(tuple(-v for v in row) for row in self.weights)
        return "negative" if turned == negative else "other"


_GAUSSIAN = ((1, 4, 7, 4, 1), (4, 16, 26, 16, 4), (7, 26, 41, 26, 7))
KERNELS = {
    k.name: k
    for k in (
        Kernel("mean", "3x3 mean: blurs; every weight 1/9", ((1, 1, 1),) * 3, 9),
        Kernel(
            "gaussian",
            "5x5 Gaussian: blurs, the centre weighing most; over the sum of its weights, 273",
            (*_GAUSSIAN, *_GAUSSIAN[1::-1]),
            273,
        ),
        Kernel(
            "sobel",
            "3x3 Sobel as in the lecture's 'Kernel': the diagonal one, for edges between the "
            "upper left and the lower right",
            ((2, 1, 0), (1, 0, -1), (0, -1, -2)),
        ),
        Kernel(
            "sharpen",
            "3x3 sharpening: the kernel of the lecture's worked convolution",
            ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
        ),
        Kernel(
            "edge",
            "3x3 edge detection as in the lecture's 'Image Processing': the horizontal Sobel "
            "operator, for edges between left and right",
            ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
        ),
    )
}


def kernel(name: str) -> Kernel:
    """A kernel of the lecture by name, or the one in a file of numbers or fractions."""
    known = KERNELS.get(name.lower())
    if known is not None:
        return known
    if name != "-" and not os.path.exists(name) and pixels.example(name) is None:
        from . import expr

        near = expr.nearest(name, KERNELS)
        hint = f": did you mean '{near}'?" if near else f": {', '.join(KERNELS)} are built in"
        raise FilterError(f"there is no kernel and no file '{shorten(name, 200)}'{hint}")
    text, shown = pixels.read_text(name)
    rows, divisor = pixels.whole(pixels.numbers(text, shown), shown)
    sides = f"{len(rows)}x{len(rows[0])}"
    if len(rows) % 2 == 0 or len(rows[0]) % 2 == 0:
        raise FilterError(
            f"the kernel in '{shorten(shown, 200)}' is {sides}: its sides must be odd, so that "
            "it has a centre"
        )
    if max(len(rows), len(rows[0])) > MAX_SIDE:
        raise FilterError(f"a {sides} kernel is too large: at most {MAX_SIDE} a side")
    return Kernel(shown, f"{sides} from {shown}", tuple(map(tuple, rows)), divisor)


class Term(NamedTuple):
    """One product of a worked cell."""

    value: Fraction
    weight: int  # to be divided by the kernel's divisor
    padding: bool

    @property
    def product(self) -> Fraction:
        return self.value * self.weight


class Cell(NamedTuple):
    """One output cell of one channel, worked: place counted from 1, terms by kernel row."""

    row: int
    col: int
    channel: str
    terms: tuple[tuple[Term, ...], ...]
    divisor: int

    @property
    def sum(self) -> Fraction:
        """Before the kernel's divisor."""
        return sum((t.product for row in self.terms for t in row), Fraction(0))

    @property
    def value(self) -> Fraction:
        return self.sum / self.divisor


class Job(NamedTuple):
    """A kernel laid over a matrix or picture: `used` is the kernel, turned if `flip`."""

    source: Pixels
    kernel: Kernel | None
    flip: bool = False
    pad: tuple[int, int] = (0, 0)
    gray: bool = False

    @property
    def used(self) -> Kernel:
        found = self.kernel or Kernel("identity", "1x1", ((1,),))
        return found.turned() if self.flip else found

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the output: (W - F + 2P)/1 + 1 each."""
        (h, w), (f, g), (p, q) = self.source.size, self.used.size, self.pad
        return h + 2 * p - f + 1, w + 2 * q - g + 1

    def worked(self, row: int, col: int) -> list[Cell]:
        """The output cell (row, col), counted from 1: every product, for each channel."""
        rows, cols = self.size
        if not (1 <= row <= rows and 1 <= col <= cols):
            raise FilterError(
                f"--explain {row},{col} is outside the {rows}x{cols} output: ROW from 1 to "
                f"{rows}, COL from 1 to {cols}, both counted from 1"
            )
        top, left = row - 1 - self.pad[0], col - 1 - self.pad[1]
        height, width = self.source.size
        cells = []
        for channel, name in enumerate(self.source.channels):
            terms = tuple(
                tuple(
                    Term(
                        self.source.at(top + a, left + b, channel),
                        weight,
                        not (0 <= top + a < height and 0 <= left + b < width),
                    )
                    for b, weight in enumerate(weights)
                )
                for a, weights in enumerate(self.used.weights)
            )
            cells.append(Cell(row, col, name, terms, self.used.divisor))
        return cells

    def output(self) -> Pixels:
        """The exact result; for pictures see `picture`."""
        import numpy as np

        if self.kernel is None:
            return self.source
        weights, _ = self._weights()
        found = np.concatenate([band for _, band in _bands(self.source.values, weights, self.pad)])
        if found.dtype != object:
            found = np.rint(found).astype(np.int64)
        return Pixels(self.source.name, found, self.source.divisor * self.used.divisor)

    def picture(self) -> Any:
        """The result rounded (halves up) and clipped to 0..255, as uint8."""
        import numpy as np

        if self.kernel is None:
            return self.source.values
        weights, divisor = self._weights()
        found = np.empty((*self.size, self.source.values.shape[2]), dtype=np.uint8)
        for top, band in _bands(self.source.values, weights, self.pad):
            exact = np.rint(band) if divisor > 1 else band
            found[top : top + len(band)] = _bytes(exact, divisor)
        return found

    def _weights(self) -> tuple[Any, int]:
        """The kernel's array and its divisor: float64 where that is exact, else objects.

        A picture's are floats already divided where whole numbers would not be exact.
        """
        import numpy as np

        used, values = self.used, self.source.values
        total = sum(abs(v) for row in used.weights for v in row)
        largest = 255 if self.source.picture else max(int(values.max()), -int(values.min()))
        if largest * total < EXACT:
            return np.array(used.weights, dtype=np.float64), used.divisor
        if self.source.picture:
            return np.array([[v / used.divisor for v in row] for row in used.weights]), 1
        return np.array(used.weights, dtype=object), used.divisor


def place(text: str) -> tuple[int, int]:
    """The ROW,COL of a worked cell.

    >>> place("1, 2")
    (1, 2)
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) == 2 and all(w.isascii() and w.isdigit() and len(w) <= 9 for w in words):
        return int(words[0]), int(words[1])
    raise FilterError(
        f"--explain takes ROW,COL of an output cell, counted from 1, such as 1,1, not "
        f"'{shorten(text)}'"
    )


def job(image: str, name: str | None, *, gray: bool, pad: str, flip: bool) -> Job:
    """What a command line asks for, read and checked."""
    if image == "-" and name == "-":
        raise FilterError("standard input can be the image or the kernel, not both")
    if name is None and not gray:
        raise FilterError(f"--kernel is missing: {', '.join(KERNELS)}, or a file of numbers")
    chosen = None if name is None else kernel(name)
    pads = padding(pad, chosen)
    source = pixels.read(image)
    if gray:
        source = grayscale(source)
    found = Job(source, chosen, flip, pads, gray)
    (h, w), (p, q), (f, g) = source.size, pads, found.used.size
    if (h + 2 * p) * (w + 2 * q) > pixels.MAX_PIXELS:
        raise FilterError(
            f"padded to {h + 2 * p}x{w + 2 * q}, the image has more than {pixels.MAX_PIXELS:,} "
            "pixels"
        )
    if min(found.size) < 1:
        padded = f", padded to {h + 2 * p}x{w + 2 * q}" if p or q else ""
        raise FilterError(f"the {f}x{g} kernel is larger than the image: {h}x{w}{padded}")
    return found


def padding(pad: str, kernel: Kernel | None) -> tuple[int, int]:
    """Rows and columns of zeros on each side: `valid` none, `same` (F-1)/2, or a number.

    >>> padding("same", KERNELS["gaussian"]), padding("valid", None), padding("3", None)
    ((2, 2), (0, 0), (3, 3))
    """
    if pad == "valid":
        return 0, 0
    if pad == "same":
        f, g = (1, 1) if kernel is None else kernel.size
        return (f - 1) // 2, (g - 1) // 2
    if not (pad.isascii() and pad.isdigit() and len(pad) <= 6):
        raise FilterError(
            f"--pad takes valid (no zeros, the default), same (the size is kept) or the number "
            f"of zeros on each side, not '{shorten(pad)}'"
        )
    return int(pad), int(pad)


def grayscale(source: Pixels) -> Pixels:
    """0.299 R + 0.587 G + 0.114 B, rounded: a 1x1 convolution from three channels to one."""
    import numpy as np

    from . import autograd as ag

    if not source.picture:
        raise FilterError("--gray is for pictures: a matrix has no colours")
    if source.values.shape[2] == 1:
        return source
    weights = np.array(GRAY, dtype=np.float64).reshape(1, 1, 3, 1)
    rows, cols = source.size
    found = np.empty((rows, cols, 1), dtype=np.uint8)
    step = max(1, BAND // (3 * cols))
    for top in range(0, rows, step):
        part = source.values[None, top : top + step].astype(np.float64)
        found[top : top + step] = _bytes(np.rint(ag.conv(part, weights))[0], sum(GRAY))
    return source._replace(values=found)


def _bands(values: Any, weights: Any, pad: tuple[int, int]) -> Iterator[tuple[int, Any]]:
    """The correlation a band of rows at a time: first row, and (rows, columns, channels).

    Each channel is an image of its own to the engine: x (channels, rows, columns, 1).
    """
    import numpy as np

    from . import autograd as ag

    (h, w, channels), (f, g), (p, q) = values.shape, weights.shape, pad
    out = h + 2 * p - f + 1
    step = max(1, BAND // (channels * (w + 2 * q)))
    filters = weights.reshape(f, g, 1, 1)
    for top in range(0, out, step):
        stop = min(top + step, out)
        low, high = top - p, stop - 1 + f - p  # the rows of the image that this band reads
        inside = values[max(low, 0) : max(high, 0)]
        x = np.zeros((channels, high - low, w + 2 * q, 1), dtype=weights.dtype)
        start = max(-low, 0)
        x[:, start : start + len(inside), q : q + w, 0] = inside.transpose(2, 0, 1)
        yield top, np.asarray(ag.conv(x, filters))[..., 0].transpose(1, 2, 0)


def _bytes(values: Any, divisor: int) -> Any:
    """values / divisor rounded, halves up, and clipped to 0..255."""
    import numpy as np

    return np.clip(np.floor((2 * values + divisor) / (2 * divisor)), 0, 255).astype(np.uint8)

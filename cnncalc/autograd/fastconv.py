"""Convolution and its adjoints on NumPy floats, by matrix products on chunks.

The windows of a chunk of the output are copied into one matrix (windows x kernel entries),
small enough for the cache, and multiplied with the kernel's matrix; a few threads take the
chunks in turn. The three maps:

- y: windows(x) @ w.
- The gradient in w: windows(x)' @ g, summed over chunks.
- The gradient in x: with stride s, the input positions of one residue mod s are read by the
  kernel positions of one residue: each is a convolution of g, at stride 1, with that part of
  the kernel turned by 180 degrees. At stride 1 there is one residue.

3x3 and 5x5 kernels at stride 1 go through `winograd` where channels and filters are many
enough; the adjoints of few places and many channels through `wideconv`; 1x1 kernels at stride 1,
and kernels as large as the image, are one product without a copy. The same maps, one kernel
position at a time, are in `plainconv`, which this is tested against and which takes what is left
over.

How to choose: `CNNCALC_WINOGRAD=0|2|4` takes all directly, F(2,3) and F(2,5) (the default), or
F(4,3) and F(2,5); so does `with fastconv.using(4): ...`. `winograd` says what each is exact to.
 `CNNCALC_THREADS` sets the number of threads.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import plainconv, wideconv, winograd
from .arrays import Array
from .convolution import Geometry, exchange
from .gemm import product
from .spaces import Space, lent
from .threads import one_blas_thread, share, workers

CHUNK = 1 << 19  # numbers in a chunk's matrix of windows
ALONE = 1 << 25  # multiplications below which one thread does all
SMALL = 1 << 24  # multiplications below which windows of the turned kernel cost too much
SHORT = 12  # numbers in a row of a window; below, runs along the image copy faster
LARGE = 1 << 20  # numbers of a kernel that threads turn
PLACES = 1 << 9  # outputs a filter below which transforming the kernels costs too much
CHANNELS = 16  # Winograd's transforms pay from here on
_tile: int | None = None  # what `using` asks for


@contextmanager
def using(tile: int) -> Iterator[None]:
    """Within it 3x3 kernels go by Winograd's F(tile, 3); all go directly with tile 0."""
    global _tile
    before, _tile = _tile, _known(tile)
    try:
        yield
    finally:
        _tile = before


def _known(tile: int) -> int:
    if tile not in (0, 2, 4):
        raise ValueError(f"Winograd tiles are 2 or 4, or 0 for none, not {tile}")
    return tile


def _asked() -> int:
    return _known(int(os.environ.get("CNNCALC_WINOGRAD", "2"))) if _tile is None else _tile


# --- the three maps -------------------------------------------------------------------------


def forward(x: Array, w: Array, geo: Geometry) -> Array:
    """y[n, o, f] = sum of x[n, s·o + d·k - p, c] w[k, c, f]."""
    dtype = np.result_type(x, w)
    x, w = x.astype(dtype, copy=False), w.astype(dtype, copy=False)
    shape = (x.shape[0], *geo.sizes(x.shape[1:-1], w.shape[:-2]), w.shape[-1])
    if _is_product(x.shape, w.shape, geo):
        entries, f = prod(w.shape[:-1]), w.shape[-1]
        return product(x.reshape(-1, entries), w.reshape(entries, f)).reshape(shape)
    out = np.empty(shape, dtype)
    if tile := _winograd(w.shape, geo, out.shape):
        winograd.correlate(tile, x, winograd.kernel_transform(tile, w), geo.pads, out)
    else:
        _correlate(x, w, geo, out)
    return out


def input_adjoint(g: Array, w: Array, geo: Geometry, spatial: tuple[int, ...]) -> Array:
    """The x with <x, x'> = <g, conv(x', w)> for every x'."""
    dtype = np.result_type(g, w)
    g, w = g.astype(dtype, copy=False), w.astype(dtype, copy=False)
    shape = (g.shape[0], *spatial, w.shape[-2] * geo.groups)
    if _is_product(shape, w.shape, geo):
        f = w.shape[-1]
        return product(g.reshape(-1, f), w.reshape(-1, f).T).reshape(shape)
    if _is_plain(w.shape, geo, g.shape):
        with one_blas_thread():
            return plainconv.input_adjoint(g, w, geo, spatial)
    if wideconv.takes(w.shape, geo, g.shape):
        return wideconv.input_adjoint(g, w, geo, spatial)
    found = np.empty(shape, dtype)
    for kernel, place, pads in residues(w.shape[:-2], geo, spatial, g.shape[1:-1]):
        part, target = w[kernel], found[(slice(None), *place)]
        if part.size == 0 or target.size == 0:
            target[...] = 0
            continue
        ones = (1,) * len(spatial)
        turned = Geometry(ones, pads, geo.dilation, geo.groups)
        if tile := _winograd(part.shape, turned, target.shape):
            u = winograd.kernel_transform(tile, part, flipped=True).transpose(0, 2, 1)
            winograd.correlate(tile, g, u, pads, target)
        else:
            _correlate(g, _turned(part, geo.groups), turned, target)
    return found


def residues(
    kernel: tuple[int, ...], geo: Geometry, spatial: tuple[int, ...], out: tuple[int, ...]
) -> Iterator[tuple[Any, Any, Any]]:
    """(the part of the kernel, the slice of x it reaches, pads of the convolution of g).

    Position i = s·q + r - p of x reads, through kernel position r + s·j, the output q - j.
    The convolution with the turned part starts at the first q with i >= 0, and has J - 1
    places before it, less that q.
    """
    axes = []
    for n, o, k, s, d, (p, _) in zip(
        spatial, out, kernel, geo.stride, geo.dilation, geo.pads, strict=True
    ):
        choices = []
        for r in range(s):
            first = -((r - p) // s)
            start = s * first + r - p
            count = len(range(start, n, s))
            reach = d * (len(range(r, k, s)) - 1)
            before = reach - first
            pads = (before, count + reach - before - o)
            choices.append((slice(r, k, s), slice(start, n, s), pads))
        axes.append(choices)
    for chosen in itertools.product(*axes):
        parts, places, ends = zip(*chosen, strict=True)
        yield parts, places, ends


def kernel_adjoint(x: Array, g: Array, geo: Geometry, kernel: tuple[int, ...]) -> Array:
    """The w with <w, w'> = <g, conv(x, w')> for every w'."""
    dtype = np.result_type(x, g)
    x, g = x.astype(dtype, copy=False), g.astype(dtype, copy=False)
    shape = (*kernel, x.shape[-1] // geo.groups, g.shape[-1])
    if _is_product(x.shape, shape, geo):
        windows = x.reshape(-1, prod(shape[:-1]))
        return product(windows.T, g.reshape(-1, g.shape[-1])).reshape(shape)
    if wideconv.takes(shape, geo, g.shape):
        return wideconv.kernel_adjoint(x, g, geo, kernel)
    if tile := _winograd(shape, geo, g.shape):
        return winograd.kernel_gradient(tile, x, g, geo.pads)
    return _kernel_gradient(x, g, geo, kernel)


def _turned(w: Array, groups: int) -> Array:
    """The kernel turned by 180 degrees, with its input and output channels exchanged."""
    rank = w.ndim - 2
    flip = w[(slice(None, None, -1),) * rank]
    if groups != 1 or w.size < LARGE:
        return exchange(flip, groups)
    found = np.empty((*w.shape[:rank], w.shape[-1], w.shape[-2]), w.dtype)

    def work(places: Iterator[tuple[int, ...]], _: None) -> None:
        for place in places:
            np.copyto(found[place], flip[place].T)

    places = list(np.ndindex(*w.shape[:rank]))
    share(places, [None] * min(workers(), len(places)), work, fixed=False)
    return found


def _is_product(x: tuple[int, ...], w: tuple[int, ...], geo: Geometry) -> bool:
    """Windows that are x's own rows: single places at stride 1, or each image as a whole."""
    kernel, ones = w[:-2], (1,) * len(w[:-2])
    if geo.groups != 1 or geo.dilation != ones or any(p != (0, 0) for p in geo.pads):
        return False
    return kernel == x[1:-1] or (kernel == ones and geo.stride == ones)


def _is_plain(w: tuple[int, ...], geo: Geometry, out: tuple[int, ...]) -> bool:
    """Whether the gradient in x is put together position by position: small, or left over."""
    small = geo.groups == 1 and prod(out) * prod(w[:-1]) < SMALL
    return small or any(s > 1 and d > 1 for s, d in zip(geo.stride, geo.dilation, strict=True))


def _winograd(w: tuple[int, ...], geo: Geometry, out: tuple[int, ...]) -> winograd.Tile | None:
    """Winograd's convolution, where it applies and pays."""
    fits = w[:-2] in ((3, 3), (5, 5)) and geo.stride == geo.dilation == (1, 1) and geo.groups == 1
    if not fits or min(w[-2:]) < CHANNELS or prod(out) * prod(w[:-1]) < ALONE or not _asked():
        return None
    if prod(out[:-1]) < PLACES:
        return None
    return winograd.Tile(_asked() if w[0] == 3 else 2, w[0])


# --- windows in chunks -------------------------------------------------------------------------


class Plan(NamedTuple):
    """How the windows of one convolution are cut into chunks.

    A chunk is `rows` places on the first axis of `images` images; only a chunk of whole
    images has more than one. `inner` are the entries of a window that one group reads.
    """

    batch: int
    out: tuple[int, ...]
    inner: int
    filters: int
    padded: tuple[int, ...]  # the input a chunk reads, with its padding and channels
    groups: int
    images: int
    rows: int
    threads: int

    def chunks(self) -> list[tuple[slice, int, int]]:
        """(images, first place on the first axis, last + 1) of every chunk."""
        return [
            (slice(n, min(n + self.images, self.batch)), r, min(r + self.rows, self.out[0]))
            for n in range(0, self.batch, self.images)
            for r in range(0, self.out[0], self.rows)
        ]

    @property
    def shares(self) -> int:
        """How many threads there are chunks for."""
        return min(self.threads, len(self.chunks()))

    def most(self) -> dict[str, int]:
        """Numbers in each buffer of a chunk's workspace."""
        windows = self.images * self.rows * prod(self.out[1:])
        return {
            "padded": self.images * prod(self.padded),
            "windows": windows * self.inner * self.groups,
            "product": windows * self.filters,
        }


def even(length: int, most: int, threads: int) -> int:
    """The length of pieces of at most `most`, as many for one thread as for another."""
    pieces = -(-length // most)
    return -(-length // (-(-pieces // threads) * threads))


def plan(geo: Geometry, batch: int, out: tuple[int, ...], w: tuple[int, ...]) -> Plan:
    """Chunks of about `CHUNK` numbers; one a thread at least where the work is large."""
    inner, threads = prod(w[:-1]), workers()
    if batch * prod(out) * inner * w[-1] < ALONE:
        threads = 1
    numbers = prod(out) * inner * geo.groups
    images, rows = even(batch, max(1, CHUNK // max(1, numbers)), threads), out[0]
    if numbers > CHUNK or batch < threads:
        rows = even(out[0], max(1, CHUNK * out[0] // max(1, numbers)), -(-threads // batch))
    places = (rows, *out[1:])
    padded = tuple(
        s * (o - 1) + d * (k - 1) + 1
        for o, s, d, k in zip(places, geo.stride, geo.dilation, w[:-2], strict=True)
    )
    channels = w[-2] * geo.groups
    return Plan(batch, out, inner, w[-1], (*padded, channels), geo.groups, images, rows, threads)


def _windows(space: Space, x: Array, geo: Geometry, kernel: Any, first: int, out: Any) -> Array:
    """The windows of the places first.. on the first axis: (groups, windows, entries)."""
    part = _cut(space, x, geo, kernel, first, out)
    n, c = part.shape[0], part.shape[-1] // geo.groups
    step = part.strides
    moves = tuple(s * b for s, b in zip(geo.stride, step[1:-1], strict=True))
    reads = tuple(d * b for d, b in zip(geo.dilation, step[1:-1], strict=True))
    view = as_strided(
        part,
        (geo.groups, n, *out, *kernel, c),
        (c * step[-1], step[0], *moves, *reads, step[-1]),
        writeable=False,
    )
    windows, entries = n * prod(out), prod(kernel) * c
    if geo.groups == 1 and kernel[-1] * c < SHORT:
        rank = len(out)
        turned = view.transpose(0, *range(rank + 2, 2 * rank + 3), *range(1, rank + 2))
        found = space("windows", *turned.shape)
        np.copyto(found, turned)
        return found.reshape(1, entries, windows).transpose(0, 2, 1)
    found = space("windows", *view.shape)
    np.copyto(found, view)
    return found.reshape(geo.groups, windows, entries)


def _cut(space: Space, x: Array, geo: Geometry, kernel: Any, first: int, out: Any) -> Array:
    """What these places read of x, with its padding."""
    begins, sizes = [], []
    for axis, (o, k) in enumerate(zip(out, kernel, strict=True)):
        s, d = geo.stride[axis], geo.dilation[axis]
        begins.append((s * first if axis == 0 else 0) - geo.pads[axis][0])
        sizes.append(s * (o - 1) + d * (k - 1) + 1)
    spans = list(zip(begins, sizes, x.shape[1:-1], strict=True))
    inside = tuple(slice(max(b, 0), max(0, min(b + size, n))) for b, size, n in spans)
    source = x[(slice(None), *inside)]
    if all(b >= 0 and b + size <= n for b, size, n in spans):
        return source
    found = space("padded", x.shape[0], *sizes, x.shape[-1])
    found[...] = 0
    if source.size:
        place = tuple(slice(i.start - b, i.stop - b) for i, b in zip(inside, begins, strict=True))
        found[(slice(None), *place)] = source
    return found


def _correlate(x: Array, w: Array, geo: Geometry, target: Array) -> None:
    """Writes the convolution into target."""
    out, kernel = target.shape[1:-1], w.shape[:-2]
    layout = plan(geo, x.shape[0], out, w.shape)
    f = w.shape[-1] // geo.groups
    weights = w.reshape(layout.inner, geo.groups, f).transpose(1, 0, 2)

    def work(chunks: Iterator[tuple[slice, int, int]], space: Space) -> None:
        for images, first, last in chunks:
            here = (last - first, *out[1:])
            windows = _windows(space, x[images], geo, kernel, first, here)
            place = target[images, first:last]
            if geo.groups == 1 and place.flags.c_contiguous:
                np.matmul(windows[0], weights[0], out=place.reshape(-1, f))
            else:
                product = space("product", geo.groups, windows.shape[1], f)
                np.matmul(windows, weights, out=product)
                split = place.reshape(*place.shape[:-1], geo.groups, f)
                split[...] = np.moveaxis(product.reshape(geo.groups, *place.shape[:-1], f), 0, -2)

    with lent(layout.most(), target.dtype, layout.shares) as spaces:
        share(layout.chunks(), spaces, work, fixed=False)


def _kernel_gradient(x: Array, g: Array, geo: Geometry, kernel: tuple[int, ...]) -> Array:
    out, groups = g.shape[1:-1], geo.groups
    c, f = x.shape[-1] // groups, g.shape[-1] // groups
    layout = plan(geo, x.shape[0], out, (*kernel, c, g.shape[-1]))

    shape = (groups, layout.inner, f)

    def work(chunks: Iterator[tuple[slice, int, int]], space: Space) -> None:
        total, piece = space("total", *shape), space("piece", *shape)
        total[...] = 0
        for images, first, last in chunks:
            windows = _windows(space, x[images], geo, kernel, first, (last - first, *out[1:]))
            part = g[images, first:last].reshape(-1, groups, f).transpose(1, 0, 2)
            np.matmul(windows.transpose(0, 2, 1), part, out=piece)
            np.add(total, piece, out=total)

    sizes = layout.most() | dict.fromkeys(("total", "piece"), prod(shape))
    with lent(sizes, x.dtype, layout.shares) as spaces:
        share(layout.chunks(), spaces, work)
        total = spaces[0]("total", *shape)
        for other in spaces[1:]:
            total += other("total", *shape)
        return total.transpose(1, 0, 2).copy().reshape(*kernel, c, groups * f)


__all__ = ["forward", "input_adjoint", "kernel_adjoint", "using"]

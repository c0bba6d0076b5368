"""Winograd's convolution F(m, r): kernels r x r at stride 1, in fewer multiplications.

An m x m tile of outputs needs a = m + r - 1 rows and columns of input. With the matrices below
(Winograd 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015)

    y = A' [ (G w G') * (B' x B) ] A          (' transposes, * entry by entry)

for one tile, channel and filter. Summed over channels the a x a products become a x a matrix
products (tiles x channels) @ (channels x filters), a²/m² multiplications an output:

              multiplications     largest error over the output's
              here   directly     standard deviation, in float32
    F(2,3)    4      9            4e-6
    F(4,3)    2.25   9            8e-5
    F(2,5)    9      25           4e-5
    directly                      4e-6

at 512 channels (3x3) and 128 (5x5), as the tests hold them; float64 stays under 1e-12. The
gradient in w transposes the map: dw = G' [ (B' x B) * (A g A') ] G. Tiles are taken in chunks,
so that a chunk's transforms stay in the cache; see `Plan`.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .arrays import Array
from .gemm import product
from .spaces import Space, lent
from .threads import share, workers

Pads = tuple[tuple[int, int], ...]
Rows = list[list[float]]


class Tile(NamedTuple):
    """F(m, r): m outputs a side of a kernel of r."""

    m: int
    r: int

    @property
    def a(self) -> int:
        return self.m + self.r - 1


# Rows of B' (by a), G and A' (by m, r), from the points 0, 1, -1 (2, -2) and infinity.
INPUT: dict[int, Rows] = {
    4: [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    6: [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
}
KERNEL: dict[tuple[int, int], Rows] = {
    (2, 3): [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    (4, 3): [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    (2, 5): [
        [1 / 4, 0, 0, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6, 1 / 3, 2 / 3],
        [1 / 24, -1 / 12, 1 / 6, -1 / 3, 2 / 3],
        [0, 0, 0, 0, 1],
    ],
}
OUTPUT: dict[tuple[int, int], Rows] = {
    (2, 3): [[1, 1, 1, 0], [0, 1, -1, -1]],
    (4, 3): [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
    (2, 5): [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 1]],
}
TILES = 256  # in a chunk: fewer make slow products, more leave the cache
WIDE = 1 << 17  # channels times filters from which adding up a chunk's gradient takes longer


class Plan(NamedTuple):
    """How the tiles of one convolution are cut into chunks.

    A chunk is `rows` rows of tiles of `images` images; only a chunk of whole images has
    more than one.
    """

    tile: Tile
    batch: int
    out: tuple[int, int]
    channels: int
    filters: int
    images: int
    rows: int

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles of an image."""
        return -(-self.out[0] // self.tile.m), -(-self.out[1] // self.tile.m)

    def chunks(self) -> list[tuple[slice, int, int]]:
        """(images, first row of tiles, last + 1) of every chunk."""
        high = self.tiles[0]
        return [
            (slice(n, min(n + self.images, self.batch)), r, min(r + self.rows, high))
            for n in range(0, self.batch, self.images)
            for r in range(0, high, self.rows)
        ]

    def most(self) -> dict[str, int]:
        """Numbers in each buffer of a chunk's workspace."""
        (m, r), a, n = self.tile, self.tile.a, self.images
        c, f, wide, tall = self.channels, self.filters, self.tiles[1], self.rows * m + r - 1
        tiles = n * self.rows * wide
        return {
            "cut": n * max(tall * (wide * m + r - 1) * c, self.rows * m * wide * m * f),
            "tiles": tiles * max(a * a * c, m * m * f),
            "inputs": a * a * tiles * c,
            "outputs": a * a * tiles * f,
        }


def plan(
    tile: Tile, out: tuple[int, ...], channels: int, threads: int, summed: bool = False
) -> Plan:
    """Chunks of about `TILES` tiles, one a thread where there are images or rows enough.

    Twice as many where sums of wide kernels' gradients are made (`summed`).
    """
    batch, height, width, filters = out
    high, wide = -(-height // tile.m), -(-width // tile.m)
    most = 2 * TILES if summed and channels * filters >= WIDE else TILES
    images, rows = min(most // (high * wide), -(-batch // threads)), high
    if images < 1:
        images, rows = 1, max(1, min(high, round(most / wide)))
    if batch < threads:
        rows = min(rows, -(-high * batch // threads))
    return Plan(tile, batch, (height, width), channels, filters, images, rows)


@cache
def kernel_matrix(tile: Tile, flipped: bool) -> Array:
    """The a² x r² matrix that takes a kernel, or its turn by 180 degrees, to G w G'."""
    g = np.array(KERNEL[tile])
    g = g[:, ::-1] if flipped else g
    return np.kron(g, g)


@cache
def squared(tile: Tile, of: str) -> Array:
    """Both axes at once: B' x B (a² x a²) of the "input", A' M A (m² x a²) of the "output"."""
    one = np.array(INPUT[tile.a] if of == "input" else OUTPUT[tile])
    return np.kron(one, one)


def kernel_transform(tile: Tile, w: Array, flipped: bool = False) -> Array:
    """G w G' for each channel and filter: (a², C, F)."""
    c, f = w.shape[2:]
    matrix = kernel_matrix(tile, flipped).astype(w.dtype)
    return product(matrix, w.reshape(-1, c * f)).reshape(-1, c, f)


def cut(space: Space, x: Array, top: int, left: int, tall: int, wide: int) -> Array:
    """Rows top.. and columns left.. of x, zeros around it: (n, tall, wide, C)."""
    n, h, w, c = x.shape
    if top >= 0 and left >= 0 and top + tall <= h and left + wide <= w:
        return x[:, top : top + tall, left : left + wide]
    found = space("cut", n, tall, wide, c)
    found[...] = 0
    rows = slice(max(0, top), max(0, min(h, top + tall)))
    columns = slice(max(0, left), max(0, min(w, left + wide)))
    across = slice(columns.start - left, columns.stop - left)
    found[:, rows.start - top : rows.stop - top, across] = x[:, rows, columns]
    return found


def tiles(space: Space, part: Array, size: int, m: int, rows: int, wide: int) -> Array:
    """The size x size tiles of part, m apart, as a matrix (size², n·rows·wide·C)."""
    n, c = part.shape[0], part.shape[-1]
    by, down, across, last = part.strides
    shape = (size, size, n, rows, wide, c)
    steps = (down, across, by, m * down, m * across, last)
    found = space("tiles", *shape)
    np.copyto(found, as_strided(part, shape, steps, writeable=False))
    return found.reshape(size * size, -1)


def transform_inputs(
    space: Space, tile: Tile, x: Array, top: int, left: int, rows: int, wide: int
) -> Array:
    """B' x B of the tiles whose first input row is `top`: (a², tiles, C)."""
    (m, r), a, n, c = tile, tile.a, x.shape[0], x.shape[-1]
    part = cut(space, x, top, left, m * rows + r - 1, m * wide + r - 1)
    taken = tiles(space, part, a, m, rows, wide)
    found = space("inputs", a * a, taken.shape[1])
    np.matmul(squared(tile, "input").astype(x.dtype), taken, out=found)
    return found.reshape(a * a, n * rows * wide, c)


def transform_outputs(space: Space, tile: Tile, products: Array, out: Array) -> None:
    """A' M A of products (a², tiles, F) into out, whose last tiles may be incomplete."""
    m, (n, high, width, f) = tile.m, out.shape
    rows, wide = -(-high // m), -(-width // m)
    found = space("tiles", m, m, n, rows, wide, f)
    matrix = squared(tile, "output").astype(out.dtype)
    np.matmul(matrix, products.reshape(tile.a**2, -1), out=found.reshape(m * m, -1))
    for i in range(m):
        for j in range(m):
            place = out[:, i::m, j::m]
            place[...] = found[i, j, :, : place.shape[1], : place.shape[2]]


def spread_outputs(space: Space, tile: Tile, g: Array, rows: int, wide: int) -> Array:
    """A g A' of the tiles of g, the transpose of `transform_outputs`: (a², tiles, F)."""
    m, a, n, f = tile.m, tile.a, g.shape[0], g.shape[-1]
    part = cut(space, g, 0, 0, m * rows, m * wide)
    taken = tiles(space, part, m, m, rows, wide)
    found = space("outputs", a * a, taken.shape[1])
    np.matmul(squared(tile, "output").astype(g.dtype).T, taken, out=found)
    return found.reshape(a * a, n * rows * wide, f)


def correlate(tile: Tile, x: Array, u: Array, pads: Pads, out: Array) -> None:
    """Writes into out the convolution of x with the transformed kernels u (a², C, F)."""
    m, f = tile.m, u.shape[2]
    layout = plan(tile, out.shape, x.shape[-1], workers())

    def work(chunks: Iterator[tuple[slice, int, int]], space: Space) -> None:
        for images, first, last in chunks:
            wide, top = layout.tiles[1], m * first - pads[0][0]
            v = transform_inputs(space, tile, x[images], top, -pads[1][0], last - first, wide)
            products = np.matmul(v, u, out=space("outputs", *v.shape[:2], f))
            transform_outputs(space, tile, products, out[images, m * first : m * last])

    chunks = layout.chunks()
    with lent(layout.most(), out.dtype, min(workers(), len(chunks))) as spaces:
        share(chunks, spaces, work, fixed=False)


def kernel_gradient(tile: Tile, x: Array, g: Array, pads: Pads) -> Array:
    """The kernel w (r, r, C, F) with <w, w'> = <g, conv(x, w')>."""
    (m, r), a, c, f = tile, tile.a, x.shape[-1], g.shape[-1]
    layout = plan(tile, g.shape, c, workers(), summed=True)

    def work(chunks: Iterator[tuple[slice, int, int]], space: Space) -> None:
        total, piece = space("total", a * a, c, f), space("piece", a * a, c, f)
        total[...] = 0
        for images, first, last in chunks:
            wide, top = layout.tiles[1], m * first - pads[0][0]
            v = transform_inputs(space, tile, x[images], top, -pads[1][0], last - first, wide)
            d = spread_outputs(space, tile, g[images, m * first : m * last], last - first, wide)
            np.add(total, np.matmul(v.transpose(0, 2, 1), d, out=piece), out=total)

    chunks = layout.chunks()
    sizes = layout.most() | dict.fromkeys(("total", "piece"), a * a * c * f)
    with lent(sizes, x.dtype, min(workers(), len(chunks))) as spaces:
        share(chunks, spaces, work)
        total = spaces[0]("total", a * a, c * f)
        for other in spaces[1:]:
            total += other("total", a * a, c * f)
        matrix = kernel_matrix(tile, False).astype(x.dtype)
        return product(matrix.T, total).reshape(r, r, c, f)

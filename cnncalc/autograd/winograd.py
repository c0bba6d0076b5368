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

from .arrays import Array
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
            "cut": n * tall * m * max((wide + reach(self.tile)) * c, wide * f),
            "half": n * tall * a * wide * max(c, f),
            "inputs": a * a * tiles * c,
            "outputs": a * a * tiles * f,
            "spare": n * tall * a * wide * max(c, f),
        }


def reach(tile: Tile) -> int:
    """How many tiles further the last columns of a tile's input lie."""
    return (tile.a - 1) // tile.m


def plan(tile: Tile, out: tuple[int, ...], channels: int, threads: int) -> Plan:
    """Chunks of about `TILES` tiles, one a thread where there are images or rows enough."""
    batch, height, width, filters = out
    high, wide = -(-height // tile.m), -(-width // tile.m)
    images, rows = min(TILES // (high * wide), -(-batch // threads)), high
    if images < 1:
        images, rows = 1, max(1, min(high, round(TILES / wide)))
    if batch < threads:
        rows = min(rows, -(-high * batch // threads))
    return Plan(tile, batch, (height, width), channels, filters, images, rows)


@cache
def kernel_matrix(tile: Tile, flipped: bool) -> Array:
    """The a² x r² matrix that takes a kernel, or its turn by 180 degrees, to G w G'."""
    g = np.array(KERNEL[tile])
    g = g[:, ::-1] if flipped else g
    return np.kron(g, g)


def kernel_transform(tile: Tile, w: Array, flipped: bool = False) -> Array:
    """G w G' for each channel and filter: (a², C, F)."""
    c, f = w.shape[2:]
    matrix = kernel_matrix(tile, flipped).astype(w.dtype)
    return np.matmul(matrix, w.reshape(-1, c * f)).reshape(-1, c, f)


def combine(rows: Rows, parts: list[Array], outs: list[Array], spare: Array) -> None:
    """outs[i] = sum over j of rows[i][j] parts[j], with whole-array adds.

    Two rows that differ in the signs of their odd entries, as those of points p and -p do,
    share the sums of the even and of the odd ones.
    """
    i = 0
    while i < len(rows):
        row, out = rows[i], outs[i]
        mirrored = [-v if j % 2 else v for j, v in enumerate(row)]
        if i + 1 < len(rows) and rows[i + 1] == mirrored and len(row) - row.count(0) > 2:
            even, odd = outs[i + 1], spare[: out.size].reshape(out.shape)
            _sum(row[::2], parts[::2], even, out)
            _sum(row[1::2], parts[1::2], odd, out)
            np.add(even, odd, out=out)
            np.subtract(even, odd, out=even)
            i += 2
        else:
            _sum(row, parts, out, spare[: out.size].reshape(out.shape))
            i += 1


def _sum(row: list[float], parts: list[Array], out: Array, scratch: Array) -> None:
    terms = [(scale, part) for scale, part in zip(row, parts, strict=True) if scale]
    terms.sort(key=lambda term: term[0] != 1)
    scale, total = terms[0]
    if scale != 1 or len(terms) == 1:
        np.multiply(total, out.dtype.type(scale), out=out)
        total = out
    for scale, part in terms[1:]:
        if scale == 1:
            np.add(total, part, out=out)
        elif scale == -1:
            np.subtract(total, part, out=out)
        else:
            np.multiply(part, out.dtype.type(scale), out=scratch)
            np.add(total, scratch, out=out)
        total = out


def cut(space: Space, x: Array, top: int, left: int, tall: int, m: int, wide: int) -> Array:
    """Rows top.. and columns left.. of x with zeros around, as (n, tall, m, wide, C).

    Column m t + j stands at [..., j, t, :], so that a tile's j-th columns lie together.
    """
    n, h, w, c = x.shape
    found = space("cut", n, tall, m, wide, c)
    found[...] = 0
    first, last = max(0, -top), min(tall, h - top)
    for j in range(m):
        begin = max(0, -((left + j) // m))  # the first t with left + m t + j >= 0
        end = min(wide, (w - left - j + m - 1) // m)
        if last > first and end > begin:
            column = left + m * begin + j
            taken = slice(column, column + m * (end - begin - 1) + 1, m)
            found[:, first:last, j, begin:end] = x[:, top + first : top + last, taken]
    return found


def transform_inputs(
    space: Space, tile: Tile, x: Array, top: int, left: int, rows: int, wide: int
) -> Array:
    """B' x B of the tiles whose first input row is `top`: (a², tiles, C)."""
    (m, r), a, n, c = tile, tile.a, x.shape[0], x.shape[-1]
    tall = m * rows + r - 1
    part = cut(space, x, top, left, tall, m, wide + reach(tile))
    half = space("half", n, tall, a, wide, c)
    spare = space.flat["spare"]
    columns = [part[:, :, j % m, j // m : j // m + wide] for j in range(a)]
    combine(INPUT[a], columns, [half[:, :, j] for j in range(a)], spare)
    found = space("inputs", a, a, n, rows, wide, c)
    lines = [half[:, i : i + m * (rows - 1) + 1 : m].transpose(2, 0, 1, 3, 4) for i in range(a)]
    combine(INPUT[a], lines, list(found), spare)
    return found.reshape(a * a, n * rows * wide, c)


def transform_outputs(space: Space, tile: Tile, products: Array, out: Array) -> None:
    """A' M A of products (a², tiles, F) into out, whose last tiles may be incomplete."""
    m, a, (n, high, width, f) = tile.m, tile.a, out.shape
    rows, wide = -(-high // m), -(-width // m)
    spare = space.flat["spare"]
    half = space("half", m, a, n, rows, wide, f)
    combine(OUTPUT[tile], list(products.reshape(a, a, n, rows, wide, f)), list(half), spare)
    for i in range(m):
        for j in range(m):
            place = out[:, i::m, j::m]
            parts = [half[i, k, :, : place.shape[1], : place.shape[2]] for k in range(a)]
            combine([OUTPUT[tile][j]], parts, [place], spare)


def spread_outputs(space: Space, tile: Tile, g: Array, rows: int, wide: int) -> Array:
    """A g A' of the tiles of g, the transpose of `transform_outputs`: (a², tiles, F)."""
    m, a, n, f = tile.m, tile.a, g.shape[0], g.shape[-1]
    across = [list(row) for row in zip(*OUTPUT[tile], strict=True)]
    part = cut(space, g, 0, 0, m * rows, m, wide)
    half = space("half", n, m * rows, a, wide, f)
    spare = space.flat["spare"]
    combine(across, [part[:, :, j] for j in range(m)], [half[:, :, j] for j in range(a)], spare)
    found = space("outputs", a, a, n, rows, wide, f)
    lines = [half[:, i::m].transpose(2, 0, 1, 3, 4) for i in range(m)]
    combine(across, lines, list(found), spare)
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
        share(chunks, spaces, work)


def kernel_gradient(tile: Tile, x: Array, g: Array, pads: Pads) -> Array:
    """The kernel w (r, r, C, F) with <w, w'> = <g, conv(x, w')>."""
    (m, r), a, c, f = tile, tile.a, x.shape[-1], g.shape[-1]
    layout = plan(tile, g.shape, c, workers())

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
        return np.matmul(matrix.T, total).reshape(r, r, c, f)

"""A picture of a sweep: two quantities against each other, the Pareto front marked."""

import logging
from io import BytesIO
from typing import Any

from .. import writing
from ..source import shorten
from .order import Front, objectives
from .settings import Key, SweepError
from .sweep import BLOCK, Block, Sweep

MOST = 20_000  # points drawn, chosen at random where there are more
KINDS = (".png", ".svg", ".pdf")


class Picture:
    """Gathers points while the sweep runs, and draws them at its end."""

    def __init__(self, sweep: Sweep, path: str) -> None:
        import numpy as np

        if not path.lower().endswith(KINDS):
            raise SweepError(f"--plot writes {', '.join(KINDS)}, not '{shorten(path, 200)}'")
        # Where it may not write to the home, it says so twice, and works.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise SweepError("--plot needs matplotlib: pip install 'cnncalc[sweep]'") from None
        self.sweep, self.path = sweep, path
        keys = (*sweep.pareto, Key("params"), Key("macs"))
        first = keys[0]
        self.keys = (first, next(k for k in keys if k.name != first.name))
        missing = [k.name for k in self.keys if k.name not in (*sweep.columns, *sweep.names)]
        sweep.columns += missing
        self.share = min(1.0, MOST / max(1, sweep.total))
        self.random = np.random.default_rng(0)
        self.points: list[Any] = []
        self.own = Front(2)

    def add(self, block: Block) -> None:
        """Takes some of the points, and keeps the front of the two quantities."""
        import numpy as np

        good = np.flatnonzero(block.fits)
        columns = [block.columns[k.name][good] for k in self.keys]
        if not len(good):
            return
        signed = [c[good] for c in objectives(block, self.keys)]
        self.own.add(block.index[good], signed)
        chosen = self.random.random(len(good)) < self.share
        self.points.append([c[chosen].astype(float) for c in columns])

    def draw(self) -> None:
        """Writes the picture. The front is of the two quantities drawn."""
        import numpy as np
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 5), layout="constrained")
        axes = figure.add_subplot()
        if self.points:
            xs, ys = (np.concatenate(parts) for parts in zip(*self.points, strict=True))
            axes.scatter(xs, ys, s=6, alpha=0.4, color="0.6", linewidths=0, label="designs")
            if min(xs.min(initial=1), ys.min(initial=1)) > 0:
                axes.set(xscale="log", yscale="log")
        if len(self.own.index):
            found = []
            for low in range(0, len(self.own.index), BLOCK):
                block = self.sweep.at(self.own.index[low : low + BLOCK])
                found.append([block.columns[k.name].astype(float) for k in self.keys])
            fx, fy = (np.concatenate(parts) for parts in zip(*found, strict=True))
            order = np.argsort(fx)
            axes.plot(fx[order], fy[order], "o-", ms=3, lw=1, color="C3", label="Pareto front")
            axes.legend()
        axes.set(title=self.sweep.family.name, xlabel=self.keys[0].name, ylabel=self.keys[1].name)
        axes.grid(alpha=0.3)
        out = BytesIO()
        figure.savefig(out, format=self.path.rpartition(".")[2].lower())
        try:
            writing.replace(self.path, out.getvalue())
        except (OSError, ValueError) as error:
            raise SweepError(
                f"cannot write '{shorten(self.path, 200)}': {writing.why(error)}"
            ) from None

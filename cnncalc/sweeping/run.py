"""Runs a sweep: blocks in, files out, a state beside them so that it can be taken up again."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from .files import ParquetWriter, TableWriter, TextWriter, Writer
from .order import Front, Sorter, objectives
from .settings import FORMATS, SweepError, SweepOptions
from .sweep import BLOCK, Block, Sweep, take

SAVE_EVERY = 2.0  # seconds between states
TABLE = 40  # rows of a table
VERSION = 1
Progress = Callable[[int, int, str], None]


class Counts(NamedTuple):
    """Points looked at, of them those that fit, and those written."""

    points: int = 0
    fit: int = 0
    written: int = 0


class Interrupted(Exception):
    """The user stopped the sweep; `resumable`: the same command takes it up again."""

    def __init__(self, counts: Counts, resumable: bool) -> None:
        super().__init__("interrupted")
        self.counts, self.resumable = counts, resumable


def format_of(options: SweepOptions) -> str:
    """The format asked for, or the one that the output's name ends in."""
    if options.format is not None:
        return options.format
    end = (options.output or "").rpartition(".")[2].lower()
    return end if options.output and end in FORMATS else "table"


class Runner:
    """One run of a sweep; `resumed` tells at which point it was taken up."""

    def __init__(
        self, sweep: Sweep, width: int | None = None, color: bool = False,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        self.sweep, self.options = sweep, sweep.options
        self.width, self.color, self.progress = width, color, progress
        self.format = format_of(self.options)
        self.counts = Counts()
        self.resumed = 0
        self.sorter: Sorter | None = None
        self.front: Front | None = None
        self._saved = time.monotonic()
        path = self.options.output
        # A sorted sweep holds its order in memory or in files that end with the process.
        self.resumable = path is not None and self.format != "table" and not sweep.sort
        self.resumable = self.resumable and self.options.plot is None
        self.state_path = f"{path}.part.json"

    def run(self) -> Counts:
        """Evaluates all points and writes what is kept; raises `Interrupted`, `SweepError`."""
        from .plot import Picture

        options, sweep = self.options, self.sweep
        picture = Picture(sweep, options.plot) if options.plot else None
        state = self._load()
        if sweep.pareto:
            self.front = Front(len(sweep.pareto))
        elif sweep.sort:
            self.sorter = Sorter(sweep.sort, options.limit)
        late = self.front is not None or self.sorter is not None
        writer = self._writer(None if state is None else state["writer"])
        start = 0
        if state is not None:
            start, self.counts = state["next"], Counts(*state["counts"])
            self.resumed = start
            if self.front is not None and state["front"]:
                self._restore(state["front"])
        try:
            for block in sweep.blocks(start):
                self.counts = self.counts._replace(
                    points=self.counts.points + block.seen, fit=self.counts.fit + block.fitting
                )
                if picture is not None:
                    picture.add(block)
                self._take(block, writer)
                start += block.seen
                self._tick(start, writer)
                if self._enough(late):
                    break
            if late:
                self._write_in_order(writer)
        except KeyboardInterrupt:
            if self.resumable:
                self._save(start, writer)
            writer.close()
            raise Interrupted(self.counts, self.resumable) from None
        except BaseException:
            writer.close()
            raise
        finally:
            if self.sorter is not None:
                self.sorter.close()
        writer.finish(self.counts._asdict())
        if self.resumable and os.path.exists(self.state_path):
            os.unlink(self.state_path)
        if picture is not None:
            picture.draw()
        return self.counts

    # --- blocks ----------------------------------------------------------------

    def _take(self, block: Block, writer: Writer) -> None:
        if self.front is not None:
            good = block.fits.astype(bool)
            fitting = block if good.all() else take(block, good)
            if fitting.size:
                self.front.add(fitting.index, objectives(fitting, self.sweep.pareto))
        elif self.sorter is not None:
            self.sorter.add(block)
        else:
            self._write(block, writer)

    def _write(self, block: Block, writer: Writer) -> None:
        limit = self.options.limit
        if limit is not None and self.format != "table":
            block = take(block, slice(0, max(0, limit - self.counts.written)))
        writer.write(block)
        self.counts = self.counts._replace(written=self.counts.written + block.size)

    def _enough(self, late: bool) -> bool:
        limit = self.options.limit
        text = self.format != "table"
        return not late and text and limit is not None and self.counts.written >= limit

    def _write_in_order(self, writer: Writer) -> None:
        """The front, or everything kept, evaluated once more in the order wanted."""
        if self.front is not None:
            sorter = Sorter(self.sweep.sort or self.sweep.pareto, self.options.limit)
            for low in range(0, len(self.front.index), BLOCK):
                sorter.add(self.sweep.at(self.front.index[low : low + BLOCK]))
        else:
            assert self.sorter is not None
            sorter = self.sorter
        for indexes in sorter.order():
            self._write(self.sweep.at(indexes), writer)
        sorter.close()

    def _writer(self, state: Any) -> Writer:
        options = self.options
        if self.format == "parquet":
            return ParquetWriter(self.sweep, options.output, state)
        if self.format == "table":
            most = options.limit or TABLE
            return TableWriter(self.sweep, options.output, most, self.width or 200, self.color)
        return TextWriter(self.sweep, self.format, options.output, state)

    # --- state -----------------------------------------------------------------

    def _tick(self, at: int, writer: Writer) -> None:
        if self.progress is not None:
            self.progress(at, self.sweep.total, f"{self.counts.fit:,} fit")
        now = time.monotonic()
        if self.resumable and now - self._saved > SAVE_EVERY:
            self._save(at, writer)
            self._saved = time.monotonic()

    @property
    def key(self) -> str:
        """What a state must have been made by: the same spec, options and layout of files."""
        options = self.options._replace(restart=False, engine="numpy")
        text = json.dumps([VERSION, options, self.sweep.family.source.text])
        return hashlib.sha256(text.encode()).hexdigest()

    def _save(self, at: int, writer: Writer) -> None:
        from ..console import replace

        front = self.front.index.tolist() if self.front is not None else []
        state = {"key": self.key, "next": at, "counts": list(self.counts), "front": front,
                 "writer": writer.state()}  # fmt: skip
        replace(self.state_path, json.dumps(state).encode())

    def _load(self) -> dict[str, Any] | None:
        if not self.resumable or self.options.restart or not os.path.exists(self.state_path):
            return None
        try:
            with open(self.state_path, encoding="utf-8") as file:
                state: dict[str, Any] = json.load(file)
            good = state["key"] == self.key and os.path.exists(f"{self.options.output}.part")
            return state if good and 0 <= state["next"] <= self.sweep.total else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _restore(self, indexes: list[int]) -> None:
        import numpy as np

        assert self.front is not None
        for low in range(0, len(indexes), BLOCK):
            block = self.sweep.at(np.array(indexes[low : low + BLOCK], dtype=np.int64))
            self.front.add(block.index, objectives(block, self.sweep.pareto))


def check_options(options: SweepOptions) -> None:
    """Refuses options that contradict each other; raises `SweepError`."""
    if not options.set:
        raise SweepError("a sweep needs names and values: --set k=16..256:16")
    if options.format == "parquet" and options.output is None:
        raise SweepError("Parquet is written to a file: give -o FILE.parquet")

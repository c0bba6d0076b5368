"""Where the points of a sweep go: CSV or JSON text, Parquet, a table; partial files."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from .. import writing
from ..source import shorten
from .settings import SweepError
from .sweep import Block, Sweep

SCHEMA = "cnncalc.sweep/1"


def unwritable(path: str, error: Exception) -> SweepError:
    """The error of a file that cannot be written."""
    return SweepError(f"cannot write '{shorten(path, 200)}': {writing.why(error)}")


class Writer(Protocol):
    """Takes blocks in order; `state` says how far what was written can be trusted."""

    def write(self, block: Block) -> None: ...
    def state(self) -> Any: ...
    def close(self) -> None: ...
    def finish(self, counts: dict[str, int]) -> None: ...


def header(sweep: Sweep) -> list[str]:
    """The columns in order."""
    return [*sweep.names, "output", *sweep.columns, "fits", "misfit"]


def volumes(block: Block) -> list[str]:
    """The outputs as the lecture writes them."""
    template = "x".join(["%d"] * len(block.output))
    plain = [x.tolist() for x in block.output]
    texts = list(map(template.__mod__, zip(*plain, strict=True))) if plain else [""] * block.size
    return [t.removesuffix("x0") for t in texts] if any(0 in x for x in plain) else texts


def csv_lines(sweep: Sweep, block: Block) -> str:
    """The rows of a block; what is unknown is left empty."""
    if not block.size:
        return ""
    names = [block.columns[n].tolist() for n in sweep.names]
    values = [block.columns[n].tolist() for n in sweep.columns]
    outputs = volumes(block)
    if bool(block.known.all()):
        known: list[list[Any]] = [outputs, *values]
    else:
        flags = block.known.tolist()
        known = [
            [v if flag else "" for v, flag in zip(column, flags, strict=True)]
            for column in (outputs, *values)
        ]
    fits = ["true" if f else "false" for f in block.fits.tolist()]
    misfit = [_quoted(m) for m in block.misfit] if len(block.misfit) else [""] * block.size
    columns = [*names, *known, fits, misfit]
    template = ",".join(["%s"] * len(columns))
    return "\n".join(map(template.__mod__, zip(*columns, strict=True))) + "\n"


def _quoted(text: str) -> str:
    if any(c in text for c in '",\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


class TextWriter:
    """CSV, or one JSON object with a point a line; to a file by way of a partial one."""

    def __init__(
        self, sweep: Sweep, format: str, path: str | None, state: dict[str, int] | None
    ) -> None:
        self.sweep, self.format, self.path = sweep, format, path
        self.rows = state["rows"] if state else 0
        self.direct = False  # a device or pipe: there is no partial file
        if path is None:
            self.file: Any = sys.stdout
        else:
            try:
                self.direct = writing.streams(path)
                part = path if self.direct else path + ".part"
                if self.direct:
                    self.file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115
                else:
                    self.file = writing.partial(part, bool(state))
                if state:
                    self.file.truncate(state["bytes"])
                    self.file.seek(state["bytes"])
            except (OSError, ValueError) as error:
                raise unwritable(path, error) from None
        if not state:
            self._begin()

    def _begin(self) -> None:
        if self.format == "csv":
            self.file.write(",".join(header(self.sweep)) + "\n")
            return
        family = self.sweep.family
        head = {"schema": SCHEMA, "spec": {"name": family.name, "path": family.source.path},
                "names": self.sweep.names, "columns": header(self.sweep)}  # fmt: skip
        self.file.write(json.dumps(head)[:-1] + ', "points": [')

    def write(self, block: Block) -> None:
        if self.format == "csv":
            self.file.write(csv_lines(self.sweep, block))
        else:
            rows = [json.dumps(row) for row in self.sweep.rows(block)]
            if rows:
                self.file.write((",\n" if self.rows else "\n") + ",\n".join(rows))
        self.rows += block.size

    def state(self) -> dict[str, int]:
        self.file.flush()
        return {"bytes": self.file.tell() if self.path else 0, "rows": self.rows}

    def close(self) -> None:
        if self.path is not None:
            with suppress(OSError):  # a full disk was told of already
                self.file.close()

    def finish(self, counts: dict[str, int]) -> None:
        if self.format == "json":
            self.file.write('\n], "counts": ' + json.dumps(counts) + "}\n")
        if self.path is None:
            self.file.flush()
            return
        if self.direct:
            self.file.close()
            return
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
        finally:
            self.close()
        os.replace(self.path + ".part", self.path)
        writing.sync_folder(self.path)


class ParquetWriter:
    """Parquet by way of part files, which are joined at the end."""

    def __init__(self, sweep: Sweep, path: str | None, state: dict[str, int] | None) -> None:
        if path is None:
            raise SweepError("Parquet is written to a file: give -o FILE.parquet")
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise SweepError("Parquet needs pyarrow: pip install 'cnncalc[sweep]'") from None
        self.sweep, self.path, self.folder = sweep, path, path + ".part"
        self.parts = state["parts"] if state else 0
        self.held: list[Any] = []
        try:
            if os.path.islink(self.folder):
                os.unlink(self.folder)
            os.makedirs(self.folder, exist_ok=True)
            for name in os.listdir(self.folder):
                if name.endswith(".parquet") and (not state or name >= self._name(self.parts)):
                    os.unlink(os.path.join(self.folder, name))
        except (OSError, ValueError) as error:
            raise unwritable(path, error) from None
        self.schema = self._schema()

    @staticmethod
    def _name(number: int) -> str:
        return f"{number:06}.parquet"

    def _schema(self) -> Any:
        import pyarrow as pa

        wide = pa.decimal128(38)
        kinds = [(n, pa.int64()) for n in self.sweep.names]
        kinds += [("output", pa.list_(pa.int64()))]
        kinds += [(n, wide if self.sweep.wide(n) else pa.int64()) for n in self.sweep.columns]
        return pa.schema([*kinds, ("fits", pa.bool_()), ("misfit", pa.string())])

    def write(self, block: Block) -> None:
        import numpy as np
        import pyarrow as pa

        if not block.size:
            return
        unknown = None if block.known.all() else ~block.known.astype(bool)
        columns: list[Any] = [pa.array(block.columns[n].astype(np.int64)) for n in self.sweep.names]
        flat = np.stack([np.asarray(x, dtype=np.int64) for x in block.output], axis=1)
        offsets = np.arange(0, flat.size + 1, flat.shape[1], dtype=np.int32)
        mask = None if unknown is None else pa.array(unknown)
        columns.append(pa.ListArray.from_arrays(offsets, flat.ravel(), mask=mask))
        for name in self.sweep.columns:
            kind = self.schema.field(name).type
            values = block.columns[name]
            if kind != pa.int64():
                values = np.array([int(v) for v in values.tolist()], dtype=object)
            elif values.dtype == object:
                values = np.where(block.known, values, 0).astype(np.int64)
            try:
                columns.append(pa.array(values, type=kind, mask=unknown))
            except pa.ArrowInvalid:
                raise SweepError(
                    f"{name} has more than 38 digits: Parquet cannot hold it"
                ) from None
        columns.append(pa.array(block.fits.astype(bool)))
        texts = [m or None for m in block.misfit] if len(block.misfit) else [None] * block.size
        columns.append(pa.array(texts, type=pa.string()))
        self.held.append(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        if sum(batch.num_rows for batch in self.held) > 2_000_000:
            self._flush()

    def _flush(self) -> None:
        import pyarrow.parquet as pq

        if not self.held:
            return
        path = os.path.join(self.folder, self._name(self.parts))
        with pq.ParquetWriter(path, self.schema) as file:
            for batch in self.held:
                file.write_batch(batch)
        self.parts, self.held = self.parts + 1, []

    def state(self) -> dict[str, int]:
        self._flush()
        return {"parts": self.parts}

    def close(self) -> None:
        """Nothing is left open between blocks."""

    def finish(self, counts: dict[str, int]) -> None:
        import pyarrow.parquet as pq

        self._flush()
        temporary = writing.beside(os.path.join(self.folder, "joined"))
        with pq.ParquetWriter(temporary, self.schema) as file:
            for number in range(self.parts):
                part = pq.ParquetFile(os.path.join(self.folder, self._name(number)))
                for batch in part.iter_batches(1 << 20):
                    file.write_batch(batch)
        os.replace(temporary, self.path)
        for number in range(self.parts):
            os.unlink(os.path.join(self.folder, self._name(number)))
        os.rmdir(self.folder)


class TableWriter:
    """The first points as a table for people."""

    def __init__(self, sweep: Sweep, path: str | None, most: int, width: int, color: bool) -> None:
        self.sweep, self.path, self.most = sweep, path, most
        self.width, self.color = width, color
        self.shown: list[dict[str, Any]] = []
        self.rows = 0

    def write(self, block: Block) -> None:
        for row in self.sweep.rows(block):
            if len(self.shown) >= self.most:
                break
            self.shown.append(row)
        self.rows += block.size

    def state(self) -> Any:
        return None

    def close(self) -> None:
        """There is nothing to close."""

    def finish(self, counts: dict[str, int]) -> None:
        from ..console import write

        text = table(self.sweep, self.shown, self.width, self.color)
        more = self.rows - len(self.shown)
        if more > 0:
            text += f"... and {more:,} more: --limit N shows more, -o FILE writes them all\n"
        write(text, self.path)


def table(sweep: Sweep, rows: Sequence[dict[str, Any]], width: int, color: bool) -> str:
    """Rows as a table; a cross marks what does not fit."""
    from ..report.layout import Cell, Column, Grid, Paint, clean

    columns = [Column(name, right=True, kind="fixed") for name in sweep.names]
    columns.append(Column("output", kind="fixed"))
    columns += [Column(name, right=True, kind="fixed") for name in sweep.columns]
    columns.append(Column("fits"))
    cells = []
    for row in rows:
        line = [Cell(str(row[name])) for name in sweep.names]
        volume = row["output"]
        line.append(Cell("" if volume is None else "x".join(map(str, volume))))
        for name in sweep.columns:
            line.append(Cell("" if row[name] is None else f"{row[name]:,}"))
        misfit = row["misfit"]
        line.append(Cell(f"no: {clean(misfit)}" if misfit else "yes", "bad" if misfit else ""))
        cells.append(line)
    return "\n".join(Grid(columns, cells).lines(width, Paint(color))) + "\n" if cells else ""

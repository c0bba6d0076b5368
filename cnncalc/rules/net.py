"""The derived network as the design rules see it: rows, who reads them, what is used."""

from collections.abc import Sequence

from ..diagnostics import Diagnostic, Severity
from ..rows import Row

KEEPING = frozenset({"identity", "dropout"})
# Maps that only move, average or scale values: what is linear before them is linear after.
TRANSPARENT = KEEPING | {
    "flatten", "reshape", "permute", "batchnorm", "scale", "avgpool", "global_avgpool",
    "adaptive_avgpool",
}  # fmt: skip


class Net:
    """Rows by name, their readers, and the rows that reach an output."""

    def __init__(self, rows: Sequence[Row], outputs: Sequence[str]) -> None:
        self.rows = tuple(rows)
        self.outputs = frozenset(outputs)
        self.by_name = {row.name: row for row in self.rows}
        self.readers: dict[str, list[Row]] = {}
        for row in self.rows:
            for name in row.inputs:
                self.readers.setdefault(name, []).append(row)
        self.used = self._used()
        self._before: dict[frozenset[str], dict[str, Row | None]] = {}

    def _used(self) -> frozenset[str]:
        used = set(self.outputs)
        for row in reversed(self.rows):
            if row.name in used:
                used.update(row.inputs)
        return frozenset(used)

    def source(self, row: Row) -> Row | None:
        """The layer that a single-input layer reads; None at the input and at joins."""
        return self.by_name.get(row.inputs[0]) if len(row.inputs) == 1 else None

    def before(self, row: Row, through: frozenset[str]) -> Row | None:
        """The nearest layer before `row` whose op is not in `through`."""
        known = self._before.setdefault(through, {})
        chain: list[str] = []
        at = row
        while at.name not in known:
            chain.append(at.name)
            earlier = self.source(at)
            if earlier is None or earlier.op not in through:
                known[at.name] = earlier
                break
            at = earlier
        result = known[at.name]
        known.update(dict.fromkeys(chain, result))
        return result

    def private(self, row: Row, last: Row) -> bool:
        """Whether no join and no output sees any layer from `last` up to, not with, `row`."""
        found = self.source(row)
        while found is not None:
            readers = self.readers.get(found.name, [])
            if found.name in self.outputs or any(len(r.inputs) > 1 for r in readers):
                return False
            if found is last:
                return True
            found = self.source(found)
        return False


def say(
    code: str, row: Row, message: str, *help_: str, severity: Severity = "warning"
) -> Diagnostic:
    return Diagnostic(code, severity, message, row.span, row.name, help_)


def activation(row: Row) -> bool:
    """Is it an activation that acts on every value alone?"""
    return row.layer.nonlinear and row.layer.in_place

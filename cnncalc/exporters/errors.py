"""What cannot be written in another format: one message that names the layer."""

from ..rows import Row


class ExportError(Exception):
    """A layer or size that the target has no counterpart for; `row` is that layer."""

    def __init__(self, text: str, row: Row | None = None) -> None:
        super().__init__(text if row is None else f"{row.name}: {text}")
        self.row = row


def refused(row: Row, text: str) -> ExportError:
    """The error that a layer cannot be written, and why."""
    return ExportError(text, row)

"""What cannot be written in another format: one message that names the layer."""


class ExportError(Exception):
    """A layer or size that the target has no counterpart for."""

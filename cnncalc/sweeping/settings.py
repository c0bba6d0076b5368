"""What a sweep is asked for, and what it raises."""

from typing import NamedTuple

QUANTITIES = (
    "params", "trainable", "buffers", "macs", "flops", "activations", "peak_memory",
    "training_memory",
)  # fmt: skip
SIDES = ("height", "width", "channels", "depth")  # of the output
FORMATS = ("table", "csv", "json", "parquet")
ENGINES = ("numpy", "jax")
FORMS = ("horner", "expanded")


class SweepError(ValueError):
    """Options of a sweep that make no sense, or a sweep that cannot go on: one message."""


class SweepOptions(NamedTuple):
    """What `sweep` was asked to do; field names are the option names with _ for -."""

    spec: str
    set: tuple[str, ...] = ()
    where: str | None = None
    sort: tuple[str, ...] = ()
    pareto: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    columns: tuple[str, ...] = ()
    limit: int | None = None
    format: str | None = None
    output: str | None = None
    plot: str | None = None
    engine: str = "numpy"
    form: str = "horner"
    dialect: str | None = None
    restart: bool = False


class Key(NamedTuple):
    """A quantity to sort by or to make small; `down` turns it round."""

    name: str
    down: bool = False


def read_keys(texts: tuple[str, ...]) -> tuple[Key, ...]:
    """Keys separated by commas: `macs,-channels`; a minus sign or `:desc` turns one round.

    >>> read_keys(("macs,-channels",))
    (Key(name='macs', down=False), Key(name='channels', down=True))
    """
    found = []
    for text in ",".join(texts).split(","):
        name, _, way = text.strip().partition(":")
        down = name.startswith("-") != (way.strip().lower() in ("desc", "max"))
        if way and way.strip().lower() not in ("asc", "desc", "min", "max"):
            raise SweepError(f"'{text.strip()[:40]}' is not a quantity, -quantity or quantity:desc")
        if name.lstrip("-").strip():
            found.append(Key(name.lstrip("-").strip(), down))
    return tuple(found)

"""The names that a layer may refer to, and the place in a spec where an item stands."""

from typing import NamedTuple

from .dialects import Dialect
from .scope import Scope


class Names:
    """Layer names visible at one place: local short names, then the outer ones."""

    def __init__(self, prefix: str = "", parent: "Names | None" = None) -> None:
        self.prefix, self.parent = prefix, parent
        self.local: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.later: set[str] = set()

    def find(self, name: str) -> str | None:
        names: Names | None = self
        while names is not None:
            if name in names.local:
                return names.local[name]
            names = names.parent
        return None

    def known(self) -> list[str]:
        names: Names | None = self
        found: list[str] = []
        while names is not None:
            found.extend(names.local)
            names = names.parent
        return found

    def is_later(self, name: str) -> bool:
        names: Names | None = self
        while names is not None:
            if name in names.later:
                return True
            names = names.parent
        return False


class Place(NamedTuple):
    """Where an item stands: its names, values, enclosing blocks and default dialect."""

    names: Names
    scope: Scope
    dialect: Dialect
    open: tuple[str, ...] = ()

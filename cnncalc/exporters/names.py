"""Safe names, strings and comments in generated source: specs are untrusted text.

Nothing of a spec reaches the source except through these functions: identifiers are ASCII
letters, digits and `_`; strings are Python literals in ASCII; comments are one printable line.
"""

import keyword
import re
from collections.abc import Iterable

LONGEST = 60


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


RESERVED = words(
    "torch nn np math jax jnp keras layers linen F x y z i j k n name self train training target "
    "labels args kwargs super range len tuple list int float str bool print input output main "
    "partial dict set object type id zip sum max min any all map abs None True False Network "
    "build_model build net model"
)  # fmt: skip
PARAMETERS = words("self super torch nn F layers keras jnp range float i j name train")


def identifier(text: str, fallback: str = "layer") -> str:
    """An ASCII identifier that resembles `text`; one that begins with a digit is prefixed.

    >>> identifier("3a", "inception"), identifier("conv 1/x"), identifier("héllo;import os")
    ('inception_3a', 'conv_1_x', 'h_llo_import_os')
    """
    word = _plain(text)
    if word and not word[0].isdigit():
        return word
    first = _plain(fallback)
    if not first or first[0].isdigit():
        first = "layer" + ("_" + first if first else "")
    return f"{first}_{word}" if word else first


def _plain(text: str) -> str:
    word = re.sub(r"[^A-Za-z0-9]+", "_", text[: 4 * LONGEST]).strip("_")
    return word[:LONGEST].strip("_")


def camel(text: str, fallback: str = "Network") -> str:
    """A class name in capitals.

    >>> camel("AlexNet, first layers"), camel("fire_module"), camel("3x3"), camel("ResNet-50")
    ('AlexNetFirstLayers', 'FireModule', 'Network3x3', 'ResNet50')
    """
    parts = re.split(r"[^A-Za-z0-9]+", text[: 4 * LONGEST])
    word = "".join(p[:1].upper() + p[1:] for p in parts)[:LONGEST]
    if not word:
        return fallback
    return fallback + word if word[0].isdigit() else word


class Taken:
    """Identifiers in use in one place; `new` gives one that is not."""

    def __init__(self, reserved: Iterable[str] = (), always: Iterable[str] = RESERVED) -> None:
        self.names = {*always, *reserved}

    def new(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.names or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            count += 1
            name = f"{wanted}_{count}" if wanted[-1:].isdigit() else f"{wanted}{count}"
        self.names.add(name)
        return name


def literal(text: str) -> str:
    """A Python string literal, ASCII only, in double quotes.

    >>> print(literal('a"b\\\\c\\nd'))
    "a\\"b\\\\c\\nd"
    """
    import json

    return json.dumps(text, ensure_ascii=True)


def comment(text: str, longest: int = 90) -> str:
    """One printable ASCII line for a comment.

    >>> comment("a\\nimport os"), comment("coding: utf-7")
    ('a import os', 'coding - utf-7')
    """
    line = " ".join(text[: 4 * longest].split())
    line = "".join(c if c.isprintable() and c.isascii() else "?" for c in line)
    line = re.sub(r"(?i)coding\s*[:=]", "coding -", line)  # PEP 263 reads the first two lines
    return line[: longest - 3] + "..." if len(line) > longest else line

"""Figures with units: `5M`, `34.9K`, `64MiB`; read exactly, compared by rounding."""

import re
from fractions import Fraction
from typing import NamedTuple

SUFFIXES = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "thousand": 10**3, "million": 10**6, "millions": 10**6, "billion": 10**9, "billions": 10**9,
}  # fmt: skip
FIGURE = re.compile(r"([0-9][0-9,_ ]*(?:\.[0-9]+)?)(?:e\+?([0-9]{1,2}))?\s*([A-Za-z]*)")


class Figure(NamedTuple):
    """A figure as written: its value, and the size of its last written digit."""

    value: Fraction
    digit: Fraction

    def covers(self, exact: int | Fraction) -> bool:
        """Does `exact` round to this figure?

        >>> read("34.9K").covers(34944), read("35K").covers(34848), read("35K").covers(35944)
        (True, True, False)
        """
        return abs(self.value - exact) * 2 <= self.digit


def read(text: str) -> Figure | None:
    """The figure that `text` states, or None.

    >>> read("64MiB").value
    Fraction(67108864, 1)
    >>> read("34,944").value
    Fraction(34944, 1)
    """
    match = FIGURE.fullmatch(text.strip()) if len(text) <= 80 else None
    if match is None:
        return None
    digits, exponent, suffix = match.groups()
    if suffix.lower() not in SUFFIXES or not _grouped(digits):
        return None
    plain = re.sub("[,_ ]", "", digits)
    scale = Fraction(10 ** int(exponent or 0) * SUFFIXES[suffix.lower()])
    decimals = len(plain.partition(".")[2])
    exact = not suffix and not (exponent and decimals)  # 1e6 is a number, 1.5e6 a rounded one
    digit = Fraction(0) if exact else scale / 10**decimals
    return Figure(Fraction(plain) * scale, digit)


def _grouped(digits: str) -> bool:
    """Separators stand every three digits, as in 34,944."""
    whole = digits.strip().partition(".")[0]
    if not re.search("[,_ ]", whole):
        return True
    return re.fullmatch(r"[0-9]{1,3}([,_ ][0-9]{3})+", whole) is not None


def binary(count: int | Fraction) -> str:
    """Bytes in a unit a person reads.

    >>> binary(67108864)
    '64.0 MiB'
    """
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError


def metric(count: int | Fraction) -> str:
    """A count in a unit a person reads.

    >>> metric(34944), metric(15470264320)
    ('34.94 K', '15.47 G')
    """
    for unit, scale in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= scale:
            return f"{float(count / scale):.4g} {unit}"
    return str(count)


def decimal(count: int | Fraction) -> str:
    """Bytes in powers of 1000.

    >>> decimal(60950432)
    '61.0 MB'
    """
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= scale:
            return f"{float(count / scale):,.1f} {unit}"
    return f"{count} B"


def exchanged(text: str) -> Figure | None:
    """The figure with MB read as MiB, or MiB as MB; None where it has no such unit.

    >>> exchanged("88.7 MB").value == read("88.7 MiB").value
    True
    """
    match = re.fullmatch(r"(.*?)([KMGTkmgt])(i?)([bB])", text.strip())
    if match is None:
        return None
    number, letter, binary_mark, byte = match.groups()
    return read(f"{number}{letter}{'' if binary_mark else 'i'}{byte}")

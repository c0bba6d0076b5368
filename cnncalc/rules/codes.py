"""Every code with its explanation: what `cnncalc explain CODE` prints."""

from difflib import get_close_matches

from . import design, reading, results, sizes
from .base import ENTRIES as STATED
from .base import Entry

_RULES = (sizes, design)  # loading them states their rules
_TABLES = (*reading.ENTRIES, *results.ENTRIES)
ENTRIES: dict[str, Entry] = {
    e.code: e
    for e in sorted((*STATED.values(), *_TABLES), key=lambda e: ("ESABWR".index(e.code[0]), e.code))
}


def explain_code(code: str, format: str = "text") -> str:
    """The explanation of a code, as text or Markdown; KeyError names the nearest code.

    >>> print(explain_code("s004").splitlines()[0])
    S004: groups or heads do not divide (error)
    """
    entry = ENTRIES.get(code.strip().upper())
    if entry is None:
        raise KeyError(unknown(code))
    level = f"{entry.severity}; {entry.remark}" if entry.remark else entry.severity
    if format == "markdown":
        return f"## {entry.code}: {entry.title}\n\n*{level}*\n\n{_fenced(entry.text)}\n"
    return f"{entry.code}: {entry.title} ({level})\n\n{entry.text}\n"


def unknown(code: str) -> str:
    """What to say of a code that does not exist.

    >>> unknown("s12")
    "there is no code S12; did you mean 'S011'?"
    """
    name = code.strip().upper()[:20]
    family = [c for c in ENTRIES if c[0] == name[:1] and name[1:].isdigit()]
    near = sorted(family, key=lambda c: abs(int(c[1:]) - int(name[1:])))[:1]
    near = near or get_close_matches(name, ENTRIES, 1, 0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"the codes are {', '.join(ENTRIES)}"
    return f"there is no code {name}; {hint}"


def table() -> str:
    """All codes as a Markdown table."""
    rows = [f"| {e.code} | {e.severity} | {e.title} |" for e in ENTRIES.values()]
    return "\n".join(["| code | severity | meaning |", "|---|---|---|", *rows]) + "\n"


def _fenced(text: str) -> str:
    """Indented examples as fenced blocks."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        example = line.startswith("    ") or (inside and not line)
        if example and not inside:
            lines.append("```yaml")
        elif inside and not example:
            lines[-1:] = ["```", ""]
        inside = example
        lines.append(line[4:] if example else line)
    return "\n".join([*lines, "```"] if inside else lines)

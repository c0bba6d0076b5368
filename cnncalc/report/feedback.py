"""A student's page: every answer with its verdict, the reason, and the worked line."""

from typing import TYPE_CHECKING

from .grades import SIGNS, number, share
from .layout import clean
from .markdown import escape

if TYPE_CHECKING:
    from ..homework.key import Key
    from ..homework.results import Graded, Mark

WORDS = {"right": "right", "wrong": "wrong", "unreadable": "could not be read",
         "missing": "no answer"}  # fmt: skip


def page(key: "Key", one: "Graded") -> str:
    """The page in Markdown; what it tells follows the key's `feedback`."""
    points = f"{number(one.score)} of {number(one.max_score)} points"
    blocks = [f"# {escape(one.student)}", f"{escape(key.name)}: **{points}** ({share(one)})"]
    for m in one.marks:
        if m.question.feedback != "none" or not m.question.asked:
            blocks.append("\n".join(_entry(m)))
    silent = sum(m.question.feedback == "none" for m in one.asked)
    if silent:
        blocks.append(f"{silent} answers are marked without feedback.")
    blocks += [f"> {escape(note)}" for note in one.notes]
    return "\n\n".join(blocks) + "\n"


def _entry(m: "Mark") -> list[str]:
    q = m.question
    worth = f"{number(m.points)}/{number(q.points)}" if q.asked else "not asked"
    word = "right, carried forward" if m.carried else WORDS[m.outcome]
    lines = [f"## {SIGNS[m.outcome]} {escape(q.title)} ({worth})"]
    said = f"Your answer {code(m.given)}: **{word}**." if m.given else f"**{word.capitalize()}**."
    lines += ["", said]
    return lines + [f"- {text}" for text in told(m)] if told(m) else lines


def told(m: "Mark", plain: bool = False) -> list[str]:
    """The reasons that the feedback allows, in Markdown or as plain text."""
    if m.question.feedback != "full":
        return []
    show = clean if plain else escape
    found = []
    if m.outcome != "right":
        found.append(f"Correct is {clean(m.correct) if plain else code(m.correct)}.")
    found += [show(_sentence(reason)) for reason in m.reasons]
    if m.worked:
        found.append(f"Worked: {clean(m.worked) if plain else code(m.worked)}")
    return found


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def code(text: str) -> str:
    """Text as inline code, whatever backticks it holds.

    >>> code("55x55x96"), code("a`b")
    ('`55x55x96`', '`` a`b ``')
    """
    text = clean(text)
    return f"`` {text} ``" if "`" in text else f"`{text}`"

"""Frames and their expressions as Python source, wrapped at 100 columns."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from .code import NOTHING, Arg, Frame, Slot, Text, show

WIDTH = 100
VARIABLES = ("i", "j", "i3", "i4", "i5", "i6", "i7", "i8")


class Doc(NamedTuple):
    """Source that may be broken after its head and between its parts."""

    head: str
    parts: tuple["Doc | str", ...]
    tail: str
    comma: str = ","


def layout(doc: "Doc | str", prefix: str, indent: int, suffix: str = "") -> list[str]:
    """`prefix doc suffix` on one line, or broken where that is too long."""
    flat = flatten(doc)
    pad = " " * indent
    line = f"{pad}{prefix}{flat}{suffix}"
    if isinstance(doc, str) or len(line) <= WIDTH or not doc.parts:
        return [line]
    lines = [f"{pad}{prefix}{doc.head}"]
    for part in doc.parts:
        lines += layout(part, "", indent + 4, doc.comma)
    return [*lines, f"{pad}{doc.tail}{suffix}"]


def flatten(doc: "Doc | str") -> str:
    if isinstance(doc, str):
        return doc
    return doc.head + f"{doc.comma} ".join(flatten(p) for p in doc.parts) + doc.tail


def doc(frame: Frame, texts: Sequence[Text], depth: int = 0) -> "Doc | str":
    """A call as a document; loops stand as unpacked lists."""
    code = frame.code
    kind = type(code).__name__
    if kind == "Loop":
        times, inner = loop_texts(frame, texts, depth)
        if times == "1":
            return doc(frame.children[0], inner, depth + 1)
        body = doc(frame.children[0], inner, depth + 1)
        name = VARIABLES[depth % 8]
        name = name if re.search(rf"\b{name}\b", flatten(body)) else "_"
        return Doc("*[", (body, f"for {name} in range({times})"), "]", "")
    parts: list[Doc | str] = [doc(child, texts, depth) for child in frame.children]
    if kind == "Use":
        head = code.cls.name
        parts += [argument(v, texts)[0] for arg, v in frame.args if not arg.keyword]
        by_name = len(frame.values) > 1
        for param, slot in zip(code.cls.params, frame.values, strict=True):
            text = texts[slot.at].text
            parts.append(f"{param.name}={text}" if by_name or parts else text)
    else:
        head = code.fn
    for arg, value in frame.args:
        if kind == "Use" and not arg.keyword:
            continue
        text_, constant = argument(value, texts)
        if arg.default is not NOTHING and constant is not NOTHING and _same(arg, constant):
            continue
        parts.append(f"{arg.name}={text_}" if arg.keyword else text_)
    return Doc(f"{head}(", tuple(parts), ")")


def _same(arg: Arg, constant: object) -> bool:
    return bool(arg.default == constant) and isinstance(arg.default, bool) == isinstance(
        constant, bool
    )


def argument(value: object, texts: Sequence[Text]) -> tuple[str, object]:
    """An argument's source, and its value where that is constant."""
    if isinstance(value, Slot):
        text = texts[value.at]
        return text.text, text.value
    if isinstance(value, tuple):
        entries = [argument(v, texts) for v in value]
        constant = tuple(c for _, c in entries)
        inside = ", ".join(t for t, _ in entries)
        source = f"({inside},)" if len(entries) == 1 else f"({inside})"
        return source, (NOTHING if any(c is NOTHING for c in constant) else constant)
    return show(value), value


def loop_texts(frame: Frame, texts: Sequence[Text], depth: int) -> tuple[str, list[Text]]:
    """How often a loop runs, and the expressions of its body."""
    assert frame.times is not None
    i = VARIABLES[depth % 8]
    inner = []
    for over in frame.overs:
        a = texts[over.slots[0].at]
        if over.kind == "const":
            inner.append(a)
        elif over.kind == "table":
            inner.append(Text(f"{a.factor}[{i}]"))
        else:
            b = texts[over.slots[1].at]
            if over.kind == "affine":
                step = i if b.value == 1 else f"{b.factor} * {i}"
                inner.append(Text(f"{a.text} + {step}"))
            else:
                inner.append(Text(f"{a.text} if {i} == 0 else {b.text}"))
    return texts[frame.times.at].text, inner

"""A draft as spec text that reads as if a person had written it."""

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ..layers import REGISTRY
from ..rows import Report
from .blocks import Block, recover
from .draft import Draft, Item, refuse
from .tree import Call, Join, Leaf, Step, arrange

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*( [A-Za-z0-9_./+-]+)*")
WORDS = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf")
)
WIDTH = 96


def write(draft: Draft) -> str:
    """Spec text of a draft: branches nested, repeated parts as blocks.

    The text is read and derived again; should it not be the same network (names that clash
    within blocks), it is written plainly, layer by layer. Raises `Problem` E021 where not even
    that can be read.
    """
    found = _written(draft, nested=True)
    report = _derived(found)
    if report is not None and _same(draft, report):
        return found
    found = _written(draft, nested=False)
    if _derived(found) is None:
        raise refuse("the network cannot be written as a spec")
    return found


def _derived(found: str) -> Report | None:
    """What a text describes; None where it cannot be read."""
    from ..network import read_network
    from ..source import Source

    network = read_network(Source(found))
    if isinstance(network, Report):
        return None
    report = network.derive()
    return None if any(d.code[0] == "E" for d in report.diagnostics) else report


def _same(draft: Draft, report: Report) -> bool:
    """Whether a text gives the layers of the draft: ops and outputs."""
    theirs = sorted((row.op, str(row.output)) for row in report.layers)
    sizes = [(i.op, str(tuple(draft.shapes[i.name]))) for i in draft.items.values()]
    return theirs == sorted(sizes) and len(report.outputs) == len(set(draft.outputs))


def _written(draft: Draft, nested: bool) -> str:
    steps = arrange(draft, nested)
    steps, blocks = recover(draft, steps) if nested else (steps, [])
    lines = [f"# {_comment(note)}" for note in draft.notes]
    lines += [f"name: {text(draft.name)}", f"dialect: {draft.dialect.label}"]
    lines += _inputs(draft) + _assumed(draft)
    if blocks:
        lines.append("blocks:")
        for block in blocks:
            lines += _block(draft, block)
    lines.append("layers:")
    steps = _called(draft, steps)
    lines += _steps(draft, steps, "  ")
    names = {s.ref: s.name or s.ref for s in steps}
    outputs = [names.get(o, o) for o in draft.outputs]
    if draft.outputs != [steps[-1].ref]:
        lines.append(f"outputs: [{', '.join(text(o) for o in outputs)}]")
    return "\n".join(lines) + "\n"


def _comment(note: str) -> str:
    return "".join(c if c.isprintable() else " " for c in note)[:200]


def _inputs(draft: Draft) -> list[str]:
    if list(draft.inputs) == ["input"] or len(draft.inputs) == 1:
        (shape,) = draft.inputs.values()
        return [f"input: {volume(shape)}"]
    inner = ", ".join(f"{text(n)}: {volume(s)}" for n, s in draft.inputs.items())
    return [f"inputs: {{{inner}}}"]


def _assumed(draft: Draft) -> list[str]:
    lines = []
    for name, symbol in draft.symbols.items():
        given = {"min": symbol.min, "max": symbol.max, "multiple_of": symbol.multiple_of}
        kept = [f"{k}: {v}" for k, v in given.items() if v is not None and v != 1]
        if kept:
            lines.append(f"  {name}: {{{', '.join(kept)}}}")
    return ["assume:", *lines] if lines else []


def volume(shape: Sequence[Any]) -> str:
    """A volume literal; a list where names would run together."""
    parts = [str(n) for n in shape]
    if all(p.isdigit() or (len(p) == 1 and p.lower() != "x") for p in parts):
        return "x".join(parts)
    return f"[{', '.join(parts)}]"


def text(word: str) -> str:
    """A YAML scalar that stays this text."""
    if PLAIN.fullmatch(word) and word.lower() not in WORDS:
        return word
    return json.dumps(word, ensure_ascii=False)


def value(found: Any) -> str:
    """A field's value in flow style."""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, list | tuple):
        return f"[{', '.join(value(v) for v in found)}]"
    if isinstance(found, Fraction):
        return str(found)
    shown = str(found)
    return (
        shown if re.fullmatch(r"[\w.+*/() -]+", shown) and shown == shown.strip() else text(shown)
    )


def call(op: str, fields: Mapping[str, Any]) -> str:
    """`conv: {filters: 8, kernel: 3}`, or the shorter forms of the language."""
    given = {k: v for k, v in fields.items() if not _default(op, k, v)}
    if not given:
        return op
    first = next(iter(REGISTRY[op].fields)) if op in REGISTRY else ""
    if list(given) == [first] and op in ("dense", "linear", "reshape", "opaque") and first != "op":
        return f"{op}: {value(given[first])}"
    ordered = {k: given[k] for k in REGISTRY[op].fields if k in given}
    return f"{op}: {{{', '.join(f'{k}: {value(v)}' for k, v in ordered.items())}}}"


def _default(op: str, field: str, given: Any) -> bool:
    declared = REGISTRY[op].fields[field].default
    if given is None or declared is None:
        return given is declared
    if isinstance(given, bool) or isinstance(declared, bool):
        return given is declared
    try:
        return isinstance(given, int | str) and Fraction(str(given)) == declared
    except (ValueError, ZeroDivisionError):
        return bool(given == declared)


# --- steps ------------------------------------------------------------------------------------


def _block(draft: Draft, block: Block) -> list[str]:
    lines = [f"  {block.name}:"]
    if block.args:
        lines.append(f"    args: [{', '.join(block.args)}]")
    lines.append("    layers:")
    return lines + _steps(draft, block.steps, "      ")


def _steps(draft: Draft, steps: Sequence[Step], indent: str) -> list[str]:
    lines: list[str] = []
    for step in steps:
        lines += _step(draft, step, indent)
    return lines


def _step(draft: Draft, step: Step, indent: str) -> list[str]:
    if isinstance(step, Call):
        inner = ", ".join(value(v) for v in step.values)
        head = f"{step.block}: [{inner}]" if step.values else step.block
    elif isinstance(step, Join):
        return _join(draft, step, indent)
    else:
        head = call(step.item.op, step.fields)
    keys = _keys(draft, step, indent)
    colon = ":" if keys and ":" not in head else ""
    return [f"{indent}- {head}{colon}{_note(step)}", *keys]


def _note(step: Step) -> str:
    note = step.item.note if isinstance(step, Leaf | Join) else ""
    return f"  # {_comment(note)}" if note else ""


def _keys(draft: Draft, step: Step, indent: str) -> list[str]:
    lines = []
    if step.name:
        lines.append(f"{indent}  name: {text(step.name)}")
    if step.sources is not None:
        shown = [text(s) for s in step.sources]
        one = len(shown) == 1
        lines.append(f"{indent}  from: {shown[0] if one else '[' + ', '.join(shown) + ']'}")
    share = step.item.share if isinstance(step, Leaf) else None
    if share:
        lines.append(f"{indent}  share: {text(share)}")
    if isinstance(step, Leaf) and step.item.dialect:
        lines.append(f"{indent}  dialect: {step.item.dialect}")
    return lines


def draft_name(draft: Draft, name: str) -> str:
    """An input is called `input` where it is the only one."""
    return "input" if name in draft.inputs and len(draft.inputs) == 1 else name


def _join(draft: Draft, step: Join, indent: str) -> list[str]:
    note = _note(step)
    flow = [_flow(branch) for branch in step.branches]
    fields = {k: v for k, v in step.fields.items() if not _default(step.item.op, k, v)}
    one_line = None if any(f is None for f in flow) else f"[{', '.join(map(str, flow))}]"
    head = f"{indent}- {step.item.op}:"
    if one_line is not None and not fields and len(head) + len(one_line) < WIDTH:
        lines = [f"{head} {one_line}{note}"]
    else:
        lines = [head + note]
        deeper = indent + "    "
        if fields:
            lines += [f"{deeper}{k}: {value(v)}" for k, v in fields.items()]
            lines.append(f"{deeper}branches:")
            deeper += "  "
        for branch in step.branches:
            if not branch:
                lines.append(f"{deeper}- []")
                continue
            inner = _steps(draft, branch, deeper + "  ")
            inner[0] = f"{deeper}- {inner[0].lstrip()}"
            lines += inner
    return [*lines, *_keys(draft, step, indent)]


def _flow(branch: Sequence[Step]) -> str | None:
    """A short branch on one line; None where it needs lines of its own."""
    parts = []
    for step in branch:
        if step.name or isinstance(step, Join) or _note(step) or step.sources is not None:
            return None
        if isinstance(step, Leaf) and (step.item.share or step.item.dialect):
            return None
        if isinstance(step, Call):
            inner = ", ".join(value(v) for v in step.values)
            head = f"{step.block}: [{inner}]" if step.values else step.block
        else:
            assert isinstance(step, Leaf)
            head = call(step.item.op, step.fields)
        parts.append(f"{{{head}}}" if ":" in head else head)
    return f"[{', '.join(parts)}]"


def _called(draft: Draft, steps: Sequence[Step]) -> list[Step]:
    """Steps that read others by the names that those have in the text."""
    wanted = {r for s in steps for r in s.sources or ()} | set(draft.outputs)
    if len(draft.outputs) == 1 and draft.outputs[0] == steps[-1].ref:
        wanted.discard(steps[-1].ref)
    named = [s._replace(name=s.ref) if s.ref in wanted and not s.name else s for s in steps]
    names = {s.ref: s.name for s in named} | {
        name: draft_name(draft, name) for name in draft.inputs
    }
    return [
        s if s.sources is None else s._replace(sources=tuple(names.get(r, r) for r in s.sources))
        for s in named
    ]


__all__ = ["Item", "write"]

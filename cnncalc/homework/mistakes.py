"""Names the mistake behind a wrong answer: computes what every known one gives, and matches.

A mistake is made in one layer, in every layer of the chain, or in one layer somewhere before;
two may come together. Those of a layer are declared beside it (`Layer.mistakes`); here are
only those that confuse one quantity with another or lose a layer of a sum.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

from .. import memory
from ..derive import Value, count, reach
from ..formula import Expr, FormulaLimit, compare
from ..layers.accounts import WINDOWS, Account, Mistake
from ..layers.base import Shape
from ..layers.mistakes import REACHES, kernels_added
from ..rows import Row
from .confusions import RARE, confusions
from .quantities import Quantity
from .subjects import Subject

MOST_ACCOUNTS = 12_000  # layers derived anew for one question
DIRECT = ("discarded", "stride", "kernel")  # asked of a field: seldom derived at all
ALONG = ("receptive_field", "jump")
LARGEST = 10**15  # a size that no answer has
TOLD = 6  # pairs that are told for one answer

Matches = Callable[[Any], bool]


class Suspect(NamedTuple):
    """What a mistake, or two together, would have given."""

    ids: tuple[str, ...]
    words: str
    value: Any
    subject: Subject | None = None  # as it was then derived
    rare: bool = False

    @property
    def id(self) -> str:
        return "+".join(self.ids)


def explain(subject: Subject, asked: Quantity, correct: Any, matches: Matches,
            vague: bool = False, exact: Any = None, deep: bool = True,
            ) -> tuple[Suspect, ...]:  # fmt: skip
    """The suspects whose value is the answer, likeliest first; `vague` answers match by chance.

    A single common mistake goes before pairs: where one explains the answer, no pair is told.
    Rare ones come last, and pairs with a rare one only where nothing else explains it. Only
    suspects of the value `exact` are looked at where it is given; with `deep=False` only one
    mistake in the layer itself.
    """
    rare: list[Suspect] = []
    first = _along if asked.name in ALONG else _single
    for stage in (first, _elsewhere, _pairs) if deep else (first,):
        if vague and stage is not first:
            break
        found = [
            suspect
            for suspect in _close(subject, asked, stage, exact)
            if _differs(suspect.value, correct) and matches(suspect.value)
        ]
        common = [s for s in found if not s.rare]
        if stage is _pairs:
            common, rare = common[:TOLD], rare or [s for s in found if s.rare][:TOLD]
        else:
            rare += [s for s in found if s.rare]
        if common:
            return _distinct([*common, *rare])
    return _distinct(rare)


def _distinct(found: Sequence[Suspect]) -> tuple[Suspect, ...]:
    by_words: dict[str, Suspect] = {}
    for suspect in found:
        by_words.setdefault(suspect.words, suspect)
    return tuple(by_words.values())


def _differs(value: Any, correct: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, tuple) or isinstance(correct, tuple):
        if type(value) is not type(correct) or len(value) != len(correct):
            return True
        return any(_differs(v, c) for v, c in zip(value, correct, strict=True))
    try:
        return value != correct and compare(value, correct) != 0
    except (FormulaLimit, TypeError):
        return True


Stage = Callable[[Subject, Quantity], Iterator[Suspect]]


def _remembered(subject: Subject, asked: Quantity, stage: Stage) -> tuple[Suspect, ...]:
    """A stage's suspects; those of one subject are the same for every answer to it."""
    key = (asked.name, stage.__name__)
    if key not in subject.memo:
        subject.memo[key] = tuple(stage(subject, asked))
    found: tuple[Suspect, ...] = subject.memo[key]
    return found


def _close(subject: Subject, asked: Quantity, stage: Stage, exact: Any) -> Sequence[Suspect]:
    """A stage's suspects that may give the answer: by value where that is known to be exact."""
    if exact is None:
        return _remembered(subject, asked, stage)
    key = (asked.name, stage.__name__ + " by value")
    if key not in subject.memo:
        index: dict[Any, list[Suspect]] = {}
        for suspect in _remembered(subject, asked, stage):
            index.setdefault(_plain(suspect.value), []).append(suspect)
        subject.memo[key] = index
    index = subject.memo[key]
    return [*index.get(exact, ()), *index.get(None, ())]


def _plain(value: Any) -> Any:
    """A value that only whole numbers equal to it can match; None for any other."""
    if type(value) is int:
        return value
    if isinstance(value, tuple) and value and all(type(n) is int for n in value):
        return value
    return None


# --- stages -----------------------------------------------------------------------------


def _single(subject: Subject, asked: Quantity) -> Iterator[Suspect]:
    """One mistake in the layer asked about, or the same one in all of several layers."""
    chain = own(subject)
    direct = asked.name in DIRECT
    told = [Suspect((i,), words, value, rare=i in RARE) for i, words, value in
            confusions(subject, asked)]  # fmt: skip
    if direct:
        yield from told
    for mistake in _declared(chain):
        for found in _suspects(subject, asked, chain, (mistake,)):
            yield found._replace(rare=found.rare or direct)
    if not direct:
        yield from told


def _along(subject: Subject, asked: Quantity) -> Iterator[Suspect]:
    """One mistake where every layer before counts too: first the same one in all of them."""
    chain = ancestors(subject)
    if len(chain) > len(subject.rows):
        for mistake in REACHES:
            yield from _suspects(subject, asked, chain, (mistake,))
    yield from _single(subject, asked)


def _elsewhere(subject: Subject, asked: Quantity) -> Iterator[Suspect]:
    """The same mistake from the network's start on, or one in a single earlier layer."""
    chain = ancestors(subject)
    if len(chain) > len(subject.rows):
        for mistake in _declared(chain):
            for found in _suspects(subject, asked, chain, (mistake,)):
                yield found._replace(words=f"{found.words}, in every layer")
    each = sum(len(type(row.layer).mistakes) for row in chain)
    if len(chain) < 2 or each * len(chain) // 2 > _budget(subject):
        return
    for row in chain:
        for mistake in _declared((row,)):
            for found in _suspects(subject, asked, chain, (mistake,), only=row.name):
                yield found._replace(words=f"{found.words}, in {row.name}")


def _pairs(subject: Subject, asked: Quantity) -> Iterator[Suspect]:
    """Two mistakes together; not where the network is too long for all of them."""
    budget = _budget(subject)
    mine = own(subject)
    for chain in (mine, ancestors(subject)):
        if chain is not mine and len(chain) == len(mine):
            return
        declared = _telling(subject, asked, chain)
        hidden = _rounded_away(subject, chain, declared)
        pairs = [*combinations(declared, 2), *product(hidden, declared)]
        budget -= len(chain) * len(pairs)
        if budget < 0:
            return
        for pair in pairs:
            if pair[0].id != pair[1].id:
                yield from _suspects(subject, asked, chain, pair)
        if chain is mine:
            yield from _confused_pairs(subject, asked, declared)


def _confused_pairs(
    subject: Subject, asked: Quantity, declared: Sequence[Mistake]
) -> Iterator[Suspect]:
    """A mistake in the layer, and another quantity given in place of the one asked."""
    for mistake in declared:
        changed = derived(subject, own(subject), (mistake,))
        if changed is None:
            continue
        for id_, words, value in confusions(changed, asked):
            rare = mistake.rare or id_ in RARE
            yield Suspect((id_, mistake.id), f"{words}, and {mistake.words}", value, rare=rare)


def _budget(subject: Subject) -> int:
    """How many layers may be derived anew; closed forms cost more than numbers."""
    shapes = [subject.output, *(shape for row in subject.rows for shape in row.input)]
    symbolic = any(isinstance(n, Expr) for shape in shapes for n in shape)
    return MOST_ACCOUNTS // 40 if symbolic else MOST_ACCOUNTS


def _telling(subject: Subject, asked: Quantity, chain: Sequence[Row]) -> list[Mistake]:
    """The mistakes that change the answer at all: only these are worth putting together."""
    correct = asked.correct(subject)
    return [
        mistake
        for mistake in _declared(chain)
        for found in _suspects(subject, asked, chain, (mistake,))
        if _differs(found.value, correct)
    ]


def _rounded_away(
    subject: Subject, chain: Sequence[Row], telling: Sequence[Mistake]
) -> list[Mistake]:
    """Common mistakes whose effect the rounding hides, but not beside another mistake:
    padding ignored at stride 3 may give the right size, and at stride 1 it does not."""
    found = []
    for mistake in _declared(chain):
        if mistake.stage != WINDOWS or mistake.rare or mistake in telling:
            continue
        changed = derived(subject, chain, (mistake,))
        if changed is not None and [r.windows for r in changed.rows] != [
            r.windows for r in subject.rows
        ]:
            found.append(mistake)
    return found


def _declared(rows: Sequence[Row]) -> list[Mistake]:
    """The mistakes that the layers declare, likeliest first."""
    found: dict[int, Mistake] = {}
    for row in rows:
        for mistake in type(row.layer).mistakes:
            found.setdefault(id(mistake), mistake)
    return list(found.values())


def _suspects(
    subject: Subject, asked: Quantity, chain: Sequence[Row], made: tuple[Mistake, ...],
    only: str | None = None,
) -> Iterator[Suspect]:  # fmt: skip
    changed = derived(subject, chain, made, only)
    if changed is None:
        return
    try:
        value = asked.correct(changed)
    except ERRORS:
        return
    ids = tuple(dict.fromkeys(m.id for m in made))
    rare = any(m.rare for m in made)
    yield Suspect(ids, " and ".join(m.words for m in made), value, changed, rare)


# --- deriving anew ----------------------------------------------------------------------

ERRORS = (ArithmeticError, ValueError, LookupError, TypeError, AttributeError)


def own(subject: Subject) -> tuple[Row, ...]:
    """The subject's rows in the order in which they were derived."""
    if len(subject.rows) < 2:
        return subject.rows
    names = {row.name: row for row in subject.rows}
    found = tuple(names[row.name] for row in subject.network if row.name in names)
    return found if len(found) == len(names) else subject.rows


def ancestors(subject: Subject) -> tuple[Row, ...]:
    """The rows that the subject's output depends on, in order; its own among them."""
    wanted = {row.name for row in subject.rows}
    found = []
    for row in reversed(subject.network):
        if row.name in wanted:
            wanted.update(row.inputs)
            found.append(row)
    return tuple(reversed(found)) or subject.rows


def derived(
    subject: Subject, chain: Sequence[Row], made: Sequence[Mistake], only: str | None = None
) -> Subject | None:
    """The subject as somebody derives it who makes these mistakes along `chain`.

    None where no layer is touched by each of them, or nothing sensible comes out.
    """
    try:
        return _derived(subject, chain, sorted(made, key=lambda m: m.stage), only)
    except ERRORS:
        return None


def _derived(
    subject: Subject, chain: Sequence[Row], made: Sequence[Mistake], only: str | None
) -> Subject | None:
    start = 0 if kernels_added in made else 1
    values: dict[str, Value] = _outside(subject, chain, start)
    touched: set[str] = set()
    rows: dict[str, Row] = {}
    for row in chain:
        sources = [values[name] for name in row.inputs]
        shapes = tuple(v.shape for v in sources)
        account = None
        if only is None or only == row.name:
            mine = [m for m in made if m in type(row.layer).mistakes]
            account = _changed(row, shapes, mine, touched)
        if account is None and shapes == row.input and start and not touched:
            values[row.name] = Value(row.output, row.receptive_field, row.jump)
            rows[row.name] = row
            continue
        account = account or Account.of(row.layer, shapes, row.dialect)
        if any(isinstance(n, int) and n > LARGEST for n in account.output):
            return None  # a product made at every layer: nobody answers that
        new = _row(row, account, sources)
        values[row.name] = Value(new.output, new.receptive_field, new.jump)
        rows[row.name] = new
    if touched < {m.id for m in made}:
        return None
    own = tuple(rows.get(row.name, row) for row in subject.rows)
    output = rows[_last(subject).name].output
    found = subject._replace(rows=own, output=output, memo={})
    if subject.totals is not None:
        all_rows = [rows.get(row.name, row) for row in subject.network]
        kept = memory.volumes(all_rows, subject.inputs, subject.outputs)
        found = found._replace(totals=subject.totals._replace(activations=memory.activations(kept)))
    return found


def _last(subject: Subject) -> Row:
    return next((r for r in reversed(subject.rows) if r.output == subject.output), subject.rows[-1])


def _outside(subject: Subject, chain: Sequence[Row], start: int) -> dict[str, Value]:
    """The volumes that the chain reads from before it, as they were derived."""
    inside = {row.name for row in chain}
    before = {row.name: row for row in subject.network}
    values: dict[str, Value] = {}
    for row in chain:
        for name, shape in zip(row.inputs, row.input, strict=True):
            if name in inside or name in values:
                continue
            known = before.get(name)
            ones: Shape = (start,) * (len(shape) - 1)
            field, jump = (known.receptive_field, known.jump) if known else (ones, (1,) * len(ones))
            values[name] = Value(shape, field, jump)
    return values


def _changed(
    row: Row, shapes: tuple[Shape, ...], made: Sequence[Mistake], touched: set[str]
) -> Account | None:
    """The account with the mistakes made in order of their stages; None if none applies."""
    if not made:
        return None
    account = Account.of(row.layer, shapes, row.dialect)
    done = False
    for mistake in made:
        changed = mistake.change(account)
        if changed is not None:
            account, done = changed, True
            touched.add(mistake.id)
    return account if done else None


def _row(row: Row, account: Account, sources: Sequence[Value]) -> Row:
    field, jump = reach(sources, account.steps)
    return row._replace(
        layer=account.layer, input=account.inputs, output=account.output,
        weights=account.weights, buffer_shapes=account.buffers,
        params=0 if row.shared else count(account.weights),
        buffers=0 if row.shared else count(account.buffers),
        macs=account.macs, receptive_field=field, jump=jump, windows=account.windows,
    )  # fmt: skip

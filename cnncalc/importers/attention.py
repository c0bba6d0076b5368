"""Multi-head attention, put together again from the products and moves that files hold.

Each softmax over the keys is a candidate. Queries, keys and values are followed, position by
position, up to the linear maps that make them, and the weighted sums down to the map that
reads all heads side by side; only where every value comes from its right place is the whole
an `attention`. The scale, a relative position bias, a cosine and hidden pairs are told apart
by what stands between.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..formula import product
from ..layers import REGISTRY
from .attention_bias import Found, Scores, chain, extras
from .moves import MOVES, called, closed, moved, numbers, plain, same, sizes, start, walk

if TYPE_CHECKING:
    from ..layers.base import Shape
    from .draft import Draft, Item

DEEPEST = 24
UNREAD = "Add with a constant array"


class Side(NamedTuple):
    """Queries, keys or values as they go into a product, by their places in a linear map."""

    root: str
    places: Any
    covered: frozenset[str]
    factor: float = 1.0
    cosine: bool = False
    logit: tuple[str, Any] | None = None  # a trained factor, and the place in it of every value


def attend(draft: Draft) -> None:
    """Puts every attention of a draft in the place of what it is made of."""
    for name in list(draft.items):
        item = draft.items.get(name)
        if item is not None and item.op == "softmax" and not item.share and not item.note:
            _attention(draft, item)


def _attention(draft: Draft, softmax: Item) -> None:
    readers = draft.readers()
    shape = numbers(draft, softmax.name)
    weighted = [draft.items[r] for r in readers[softmax.name]]
    if shape is None or len(shape) < 3 or len(weighted) != 1 or weighted[0].op != "matmul":
        return
    if softmax.fields.get("axis", -1) not in (-1, len(shape) - 1):
        return
    sums = weighted[0]
    if sums.inputs[0] != softmax.name or sums.fields.get("transpose_a"):
        return
    scores = _scores(draft, softmax.inputs[0], shape)
    found = None if scores is None else _of_heads(draft, scores, sums, shape)
    if found is None or scores is None:
        return
    covered = found.covered | scores.covered | {softmax.name, sums.name}
    end, covered = _projected(draft, found, covered)
    extra = extras(draft, found, scores, shape, covered)
    if extra is None:
        return
    more, also, note = extra
    fields, covered = {**found.fields, **more}, covered | also
    if not closed(draft, covered, end):
        return
    inputs, view = _of_grid(draft, found, end)
    if len(draft.shapes[inputs[0]]) - 2 == len(fields.get("window", ())):
        fields = {k: plain(v) if isinstance(v, list) else v for k, v in fields.items()}
    if not _fits(draft, fields, inputs, draft.shapes[end]):
        return
    named = called(draft, draft.items[found.maps[0]], "attention", draft.items[end])
    draft.fuse(end, covered | view, "attention", fields, inputs, named, note)


def _fits(draft: Draft, fields: dict[str, Any], inputs: tuple[str, ...], wanted: Shape) -> bool:
    layer = REGISTRY["attention"](**fields)
    shapes = [draft.shapes[i] for i in inputs]
    if next(iter(layer.misfits(shapes, draft.dialect)), None) is not None:
        return False
    made = layer.output(shapes, draft.dialect)
    return made[-2:] == wanted[-2:] and product(made) == product(wanted)


# --- from the softmax up to the product of queries and keys --------------------------------------


def _scores(draft: Draft, ref: str, shape: tuple[int, ...]) -> Scores | None:
    covered: set[str] = set()
    factor, logit = 1.0, False
    biases: list[tuple[str, str]] = []
    masks: list[str] = []
    for _ in range(DEEPEST):
        item = draft.items.get(ref)
        if item is None or item.share:
            return None
        covered.add(ref)
        if item.op == "matmul":
            return Scores(item, frozenset(covered), factor, logit, tuple(biases), tuple(masks))
        if item.op == "rescale" and not float(item.fields.get("offset", 0)):
            factor *= float(item.fields.get("scale", 1))
        elif item.op == "identity" and (ref in draft.arrays or item.note.startswith(UNREAD)):
            masks.append(ref)
        elif item.op == "opaque" and item.fields.get("op") == "Add" and len(item.inputs) == 1:
            biases.append((ref, ref))
        elif item.op in ("add", "multiply") and len(item.inputs) == 2:
            sides = [i for i in item.inputs if _leads(draft, i, shape)]
            if len(sides) != 1:
                return None
            other = next(i for i in item.inputs if i != sides[0])
            if item.op == "add":
                biases.append((ref, other))
            elif logit or not _a_head(draft, other, shape):
                return None
            else:
                logit = True
                covered.update(chain(draft, other))
            ref = sides[0]
            continue
        elif not (item.op in MOVES and draft.shapes[item.inputs[0]] == draft.shapes[ref]):
            return None  # Swin adds its mask to scores of windows by image: a view and back
        ref = item.inputs[0]
    return None


def _leads(draft: Draft, ref: str, shape: tuple[int, ...]) -> bool:
    """Whether a volume is scores, and not a bias of them."""
    found = walk(draft, ref)
    root = draft.items.get(found.root) if found else None
    return root is not None and root.op != "parameter" and draft.shapes[ref] == shape


def _a_head(draft: Draft, ref: str, shape: tuple[int, ...]) -> bool:
    """Whether a trained array holds one number a head."""
    found = walk(draft, ref)
    item = draft.items.get(found.root) if found else None
    if found is None or item is None or item.op != "parameter":
        return False
    wide = tuple(n for n in found.places.shape)
    return (
        wide == (*(1,) * (len(wide) - 3), shape[-3], 1, 1)
        and prod(int(str(n)) for n in draft.shapes[found.root]) == shape[-3]
    )


# --- queries, keys and values ------------------------------------------------------------------


def _side(draft: Draft, ref: str, deep: int = 0) -> Side | None:
    """A volume followed up through moves, scales and normalisations to a linear map."""
    item = draft.items.get(ref)
    if item is None or deep > DEEPEST or sizes(draft, ref) is None:
        return None
    if item.op == "linear":
        begun = start(draft, ref)
        return None if begun is None or item.share else Side(ref, begun.places, frozenset({ref}))
    if item.note or item.share:
        return None
    if item.op == "multiply" and len(item.inputs) == 2:
        return _times_logit(draft, item, deep)
    if len(set(item.inputs)) > 1 or item.op not in (*MOVES, "rescale", "normalise"):
        return None
    inner = _side(draft, item.inputs[0], deep + 1)
    if inner is None:
        return None
    covered = inner.covered | {ref}
    if item.op == "rescale":
        if float(item.fields.get("offset", 0)):
            return None
        factor = inner.factor * float(item.fields.get("scale", 1))
        return inner._replace(factor=factor, covered=covered)
    if item.op == "normalise":
        if inner.cosine or item.fields.get("p", 2) != 2 or not _by_run(inner, item):
            return None
        return inner._replace(cosine=True, covered=covered)
    layer = draft.layers[ref]
    places = moved(draft, layer, *(inner.places for _ in item.inputs))
    logit = inner.logit
    if logit is not None:
        logit = logit[0], moved(draft, layer, *(logit[1] for _ in item.inputs))
    return inner._replace(places=places, covered=covered, logit=logit)


def _by_run(side: Side, item: Item) -> bool:
    """Whether an axis holds neighbouring channels: the width of one head, in order."""
    import numpy as np

    places = np.moveaxis(side.places, int(item.fields.get("axis", -1)), -1)
    width = places.shape[-1]
    runs = places - places[..., :1]
    return bool((runs == np.arange(width)).all() and not (places[..., 0] % width).any())


def _times_logit(draft: Draft, item: Item, deep: int) -> Side | None:
    """Queries times one trained number a head."""
    import numpy as np

    for ref, other in (item.inputs, item.inputs[::-1]):
        array = walk(draft, other)
        made = draft.items.get(array.root) if array else None
        if array is None or made is None or made.op != "parameter":
            continue
        inner = _side(draft, ref, deep + 1)
        if inner is None or inner.logit is not None:
            return None
        logit = np.broadcast_to(array.places, inner.places.shape)
        covered = inner.covered | array.covered | {item.name, array.root}
        return inner._replace(covered=covered, logit=(array.root, logit))
    return None


def _of_heads(draft: Draft, scores: Scores, sums: Item, shape: tuple[int, ...]) -> Found | None:
    """The attention of these products, if queries, keys and values come from the right places."""
    import numpy as np

    both = scores.product
    if both.fields.get("transpose_a"):
        return None
    q, k, v = (_side(draft, i) for i in (*both.inputs, sums.inputs[1]))
    if q is None or k is None or v is None or v.factor != 1 or v.cosine or q.cosine != k.cosine:
        return None
    if not both.fields.get("transpose_b"):
        k = k._replace(places=np.swapaxes(k.places, -1, -2))
    if sums.fields.get("transpose_b"):
        v = v._replace(places=np.swapaxes(v.places, -1, -2))
    heads, width = q.places.shape[-3], q.places.shape[-1]
    roots = (q.root, k.root, v.root)
    wide = [width * heads, width * heads, v.places.shape[-1] * heads]
    cuts = [0, 0, 0]
    if len(set(roots)) == 1:
        cuts = [0, wide[0], 2 * wide[0]]
        if draft.shapes[q.root][-1] != sum(wide):
            return None
    elif len(set(roots)) < 3 or any(draft.shapes[r][-1] != w for r, w in zip(roots, wide, strict=True)):  # noqa: E501  # fmt: skip
        return None
    for side, cut, n in zip((q, k, v), cuts, wide, strict=True):
        if not same(side.places, _heads(draft, side.root, cut, n, heads)):
            return None
    fields = _fields(draft, (q, k, v), wide, heads)
    if fields is None or not _scale(scores, (q, k), shape, width, fields):
        return None
    inputs = tuple(draft.items[r].inputs[0] for r in dict.fromkeys(roots))
    if len(inputs) == 3 and inputs[1] == inputs[2]:
        inputs = inputs[:1] if inputs[0] == inputs[1] else inputs[:2]
    merged = _merged(draft, sums)
    if merged is None:
        return None
    end, covered = merged
    covered = covered | q.covered | k.covered | v.covered
    return Found(fields, covered, inputs, tuple(dict.fromkeys(roots)), end)


def _heads(draft: Draft, root: str, cut: int, wide: int, heads: int) -> Any:
    """Where the values of every head must come from: (..., heads, tokens, width)."""
    import numpy as np

    begun = start(draft, root)
    assert begun is not None
    part = begun.places[..., cut : cut + wide]
    split = part.reshape(*part.shape[:-1], heads, wide // heads)
    return np.swapaxes(split, -2, -3)


def _fields(
    draft: Draft, sides: tuple[Side, Side, Side], wide: list[int], heads: int
) -> dict[str, Any] | None:
    """Heads, widths and biases."""
    maps = [draft.items[s.root] for s in sides]
    channels = draft.shapes[maps[0].inputs[0]][-1]
    fields: dict[str, Any] = {"heads": heads}
    if wide[0] != wide[2]:
        fields |= {"key_dim": wide[0] // heads, "value_dim": wide[2] // heads}
    elif wide[0] != channels:
        fields["dim"] = wide[0]
    biases = [bool(m.fields.get("bias", True)) for m in maps]
    if sides[0].cosine:
        fields["cosine"] = True
        if len({m.name for m in maps}) > 1 and not biases[1]:
            biases[1] = biases[0]  # the keys of a cosine have none
        elif len({m.name for m in maps}) > 1:
            return None
    if len(set(biases)) > 1:
        return None
    if not biases[0]:
        fields["bias"] = False
    one_input = len({m.inputs[0] for m in maps}) == 1
    if one_input and len({m.name for m in maps}) == 3:
        fields["fused"] = False
    return fields


def _scale(
    scores: Scores, sides: tuple[Side, Side], shape: tuple[int, ...], width: int,
    fields: dict[str, Any],
) -> bool:  # fmt: skip
    """Whether the scores are divided by a root, or are cosines times a trained number a head."""
    q, k = sides
    factor = scores.factor * q.factor * k.factor
    if q.cosine:
        trained = scores.logit or _logit_of_heads(q)
        return k.logit is None and trained and abs(factor - 1) < 1e-4
    if scores.logit or q.logit is not None or k.logit is not None or factor <= 0:
        return False
    divided = round(factor**-2)
    if not divided or abs(factor**2 * divided - 1) > 1e-4:
        return False
    if divided != width:
        fields["scale_dim"] = divided
    return True


def _logit_of_heads(q: Side) -> bool:
    """Whether each head's queries are multiplied by its own number of the trained ones."""
    import numpy as np

    if q.logit is None:
        return False
    heads = np.arange(q.places.shape[-3])[:, None, None]
    return bool((q.logit[1] == heads).all())


# --- from the weighted sums down ----------------------------------------------------------------


def _merged(draft: Draft, sums: Item) -> tuple[str, frozenset[str]] | None:
    """The volume that holds all heads side by side, and the moves up to it."""
    import numpy as np

    begun = start(draft, sums.name)
    if begun is None or len(begun.places.shape) < 3:
        return None
    turned = np.swapaxes(begun.places, -2, -3)
    wanted = turned.reshape(*turned.shape[:-2], -1)
    readers, ref, places = draft.readers(), sums.name, begun.places
    covered = {ref}
    for _ in range(DEEPEST):
        if same(places, wanted):
            return ref, frozenset(covered)
        if len(readers[ref]) != 1 or ref in draft.outputs:
            return None
        item = draft.items[readers[ref][0]]
        if item.op not in MOVES or len(item.inputs) > 1 or item.note or item.share:
            return None
        if sizes(draft, item.name) is None:
            return None
        ref, places = item.name, moved(draft, draft.layers[item.name], places)
        covered.add(ref)
    return None


def _projected(draft: Draft, found: Found, covered: frozenset[str]) -> tuple[str, frozenset[str]]:
    """The last linear map, where one alone reads the heads; else there is none."""
    readers = draft.readers()[found.merged]
    item = draft.items[readers[0]] if len(readers) == 1 else None
    if item is None or item.op != "linear" or item.share or found.merged in draft.outputs:
        found.fields["project"] = False
        return found.merged, covered
    units, channels = draft.shapes[item.name][-1], draft.shapes[found.inputs[0]][-1]
    if units != channels:
        found.fields["units"] = units
    bias = bool(item.fields.get("bias", True))
    if bias != found.fields.get("bias", True):
        found.fields["output_bias"] = bias
    return item.name, covered | {item.name}


# --- windows that were folded into one axis --------------------------------------------------


def _of_grid(draft: Draft, found: Found, end: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Attention of windows in a row reads the grid of windows itself where it can.

    That is where nothing else reads them in a row, and what comes after only lays them out.
    """
    view = draft.items.get(found.inputs[0])
    nothing = found.inputs, frozenset[str]()
    if len(found.inputs) > 1 or view is None or view.op != "reshape" or view.share or view.note:
        return nothing
    readers = draft.readers()
    (source,) = view.inputs
    wide, row = draft.shapes[source], draft.shapes[view.name]
    if not set(readers[view.name]) <= set(found.maps) or end in draft.outputs:
        return nothing
    if len(row) != 3 or len(wide) <= len(row) or wide[-2:] != row[-2:]:
        return nothing
    if view.name in draft.outputs or any(draft.items[r].op != "reshape" for r in readers[end]):
        return nothing
    return (source,), frozenset({view.name})

"""The forwards of attention and recurrence, on the engine's primitives."""

from fractions import Fraction
from math import log, prod
from typing import TYPE_CHECKING, Any

from . import _ag
from .base import axes

if TYPE_CHECKING:
    from ..execute import Pass
    from .attention import Attention

HIDDEN = -100.0  # added to the scores of tokens from another place, as in Swin


def attention(layer: "Attention", run: "Pass", *xs: Any) -> Any:
    """(N, ..., T, C) to (N, ..., T, units)."""
    from .. import autograd as ag

    shapes = [x.shape[1:] for x in xs]
    arrays = {name: run.param(name, s) for name, s in layer.weights(shapes, run.dialect).items()}
    q, k, v = (_by_head(y, layer.heads) for y in _projected(layer, arrays, xs))
    if layer.cosine:
        q, k = (_ag.normalised(y, y.ndim - 1, 2, Fraction(1, 10**12)) for y in (q, k))
        scale = ag.exp(ag.minimum(arrays["logit_scale"], _ag.number(_log_100(), xs[0])))
        q = q * ag.reshape(scale, (layer.heads, 1, 1))
    else:
        width = q.shape[-1] if layer.scale_dim is None else layer.scale_dim
        q = q * _ag.number(Fraction(1, width), xs[0]) ** _ag.number(Fraction(1, 2), xs[0])
    scores = ag.matmul(q, _swapped(k))
    if layer.relative_bias is not None:
        scores = scores + relative_bias(layer, arrays, shapes[0], xs[0])
    hidden = hidden_pairs(layer, shapes[0], scores.shape)
    if hidden is not None:
        scores = scores + hidden.astype(str(scores.dtype))
    weights = ag.softmax(scores, axis=-1)
    if run.training and run.mask is not None and layer.dropout:
        weights = weights * run.mask(weights.shape, float(layer.dropout))
    y = _swapped_heads(ag.matmul(weights, v))
    y = ag.reshape(y, (*y.shape[:-2], y.shape[-2] * y.shape[-1]))
    if layer.project:
        y = y @ arrays["output"]
    return y + arrays["output_bias"] if "output_bias" in arrays else y


def _log_100() -> Fraction:
    return Fraction(log(100))


def _projected(layer: "Attention", arrays: dict[str, Any], xs: Any) -> list[Any]:
    """Queries, keys and values of all heads."""
    from .. import autograd as ag

    if "qkv" not in arrays:
        sources = xs[0], xs[min(1, len(xs) - 1)], xs[-1]
        found = [x @ arrays[n] for x, n in zip(sources, ("query", "key", "value"), strict=True)]
        biases = [arrays.get(f"{n}_bias") for n in ("query", "key", "value")]
        return [y if b is None else y + b for y, b in zip(found, biases, strict=True)]
    total = xs[0] @ arrays["qkv"]
    width = layer._widths([xs[0].shape[1:]])[0]
    cuts = [slice(0, width), slice(width, 2 * width), slice(2 * width, None)]
    parts = [total[..., cut] for cut in cuts]
    if "qkv_bias" in arrays:
        for i, cut in enumerate(cuts):
            if i != 1 or not layer.cosine:
                parts[i] = parts[i] + ag.getitem(arrays["qkv_bias"], cut)
    return parts


def _by_head(x: Any, heads: int) -> Any:
    """(..., T, heads·d) to (..., heads, T, d)."""
    from .. import autograd as ag

    split = ag.reshape(x, (*x.shape[:-1], heads, x.shape[-1] // heads))
    return _swapped_heads(split)


def _swapped_heads(x: Any) -> Any:
    from .. import autograd as ag

    n = x.ndim
    return ag.transpose(x, (*range(n - 3), n - 2, n - 3, n - 1))


def _swapped(x: Any) -> Any:
    from .. import autograd as ag

    n = x.ndim
    return ag.transpose(x, (*range(n - 2), n - 1, n - 2))


def relative_bias(layer: "Attention", arrays: dict[str, Any], shape: Any, x: Any) -> Any:
    """(heads, T, T): for every pair of places in the window the number of their distance."""
    from .. import autograd as ag

    window = layer.windows_of(shape)
    table = arrays.get("relative")
    if table is None:
        table = _continuous(arrays, window, x)
    tokens = prod(window)
    rows = ag.take(table, distances(window).reshape(-1), axis=0)
    return ag.transpose(ag.reshape(rows, (tokens, tokens, layer.heads)), (2, 0, 1))


def distances(window: tuple[int, ...]) -> Any:
    """(T, T): the row of the table for the distance from each place to each."""
    import numpy as np

    places = np.stack([p.reshape(-1) for p in np.indices(window)])
    apart = places[:, :, None] - places[:, None, :]
    row = np.zeros(apart.shape[1:], int)
    for d, w in zip(apart, window, strict=True):
        row = row * (2 * w - 1) + d + w - 1
    return row


def _continuous(arrays: dict[str, Any], window: tuple[int, ...], x: Any) -> Any:
    """The table by a network of two layers over logarithmic distances."""
    from .. import autograd as ag

    spots = log_distances(window).astype(str(x.dtype))
    inner = ag.relu(ag.matmul(spots, arrays["relative_hidden"]) + arrays["relative_hidden_bias"])
    return ag.sigmoid(ag.matmul(inner, arrays["relative_output"])) * 16


def log_distances(window: tuple[int, ...]) -> Any:
    """(distances, axes): d becomes sign(d)·log2(1 + 8|d|/(w - 1))/3."""
    import numpy as np

    places = np.indices([2 * w - 1 for w in window]).astype("float64")
    far = []
    for grid, w in zip(places, window, strict=True):
        d = 8 * (grid.reshape(-1) - (w - 1)) / max(w - 1, 1)
        far.append(np.sign(d) * np.log2(np.abs(d) + 1) / 3)
    return np.stack(far, axis=1)


def hidden_pairs(layer: "Attention", shape: Any, scores: Any) -> Any:
    """What is added to the scores (..., heads, T, S) of hidden pairs; None where none are."""
    import numpy as np

    found = None
    if layer.causal:
        later = np.triu(np.ones(scores[-2:], bool), 1)
        found = np.where(later, -1e30, 0.0)
    shift = axes(layer.shift, 1) if layer.window is None else axes(layer.shift, len(shape) - 2)
    if not any(shift):
        return found
    window, counts = layer.windows_of(shape), shape[:-2]
    region: Any = np.zeros((1, 1), int)
    for s, w, count in zip(shift, window, counts, strict=True):
        place = np.arange(w)
        own: Any = np.zeros((count, w), int)
        own[-1] = place >= w - s if s else 0
        region = region[:, None, :, None] * 2 + own[None, :, None, :]
        region = region.reshape(region.shape[0] * count, region.shape[2] * w)
    apart = region[:, :, None] != region[:, None, :]
    moved = np.where(apart, HIDDEN, 0.0).reshape(*counts, 1, *apart.shape[1:])
    return moved if found is None else moved + found

"""The forwards of recurrent layers, unrolled step by step on the engine's primitives."""

from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..execute import Pass
    from .recurrent import _Recurrent


def recurrent(layer: "_Recurrent", run: "Pass", x: Any) -> Any:
    """(N, ..., T, C) to (N, ..., T, units), or without T: the last state."""
    from .. import autograd as ag

    lead, steps, channels = x.shape[:-2], x.shape[-2], x.shape[-1]
    rows = ag.reshape(x, (prod(lead), steps, channels))
    names = layer.weights([x.shape[1:]], run.dialect)
    found = []
    for prefix in layer.directions():
        own = [n for n in names if n.startswith("backward_") == bool(prefix)]
        arrays = {n[len(prefix) :]: run.param(n, names[n]) for n in own}
        found.append(_states(layer, run, arrays, rows, bool(prefix) != layer.reverse))
    y = found[0] if len(found) == 1 else _merged(layer.merge, *found)
    kept = (steps,) if layer.return_sequences else ()
    return ag.reshape(y, (*lead, *kept, y.shape[-1]))


def _merged(how: str, a: Any, b: Any) -> Any:
    from .. import autograd as ag

    if how == "concat":
        return ag.concatenate(a, b, axis=-1)
    if how == "multiply":
        return a * b
    return a + b if how == "sum" else (a + b) / 2


def _states(layer: "_Recurrent", run: "Pass", arrays: Any, x: Any, backward: bool) -> Any:
    """(rows, T, units), or the state after the last step."""
    from .. import autograd as ag

    units, steps = layer.units, x.shape[1]
    wide = ag.matmul(x, arrays["kernel"])
    if "bias" in arrays:
        wide = wide + arrays["bias"]
    h = wide[:, 0, :units] * 0
    state, kept = (h, h), [h] * steps
    step = _lstm if layer.gates == 4 else _gru
    for t in reversed(range(steps)) if backward else range(steps):
        state = step(layer, run, arrays, wide[:, t], state)
        kept[t] = state[0]
    return ag.stack(kept, axis=1) if layer.return_sequences else state[0]


def _lstm(layer: Any, run: "Pass", arrays: Any, x: Any, state: Any) -> Any:
    from .. import autograd as ag

    h, c = state
    total, n = x + ag.matmul(h, arrays["recurrent"]), layer.units
    if "recurrent_bias" in arrays:
        total = total + arrays["recurrent_bias"]
    i, f, o = (ag.sigmoid(total[:, k * n : (k + 1) * n]) for k in (0, 1, 3))
    c = f * c + i * ag.tanh(total[:, 2 * n : 3 * n])
    return o * ag.tanh(c), c


def _gru(layer: Any, run: "Pass", arrays: Any, x: Any, state: Any) -> Any:
    from .. import autograd as ag

    h, n = state[0], layer.units
    matrix, bias = arrays["recurrent"], arrays.get("recurrent_bias")
    gates = ag.matmul(h, matrix[:, : 2 * n])
    if bias is not None:
        gates = gates + bias[: 2 * n]
    both = ag.sigmoid(x[:, : 2 * n] + gates)
    r, z = both[:, :n], both[:, n:]
    after = layer.resets_after(run.dialect)
    inner = ag.matmul(h if after else r * h, matrix[:, 2 * n :])
    own = arrays.get("candidate_bias", None if bias is None else bias[2 * n :])
    if own is not None:
        inner = inner + own
    candidate = ag.tanh(x[:, 2 * n :] + (r * inner if after else inner))
    return z * h + (1 - z) * candidate, None

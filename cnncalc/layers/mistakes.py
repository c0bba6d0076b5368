"""Mistakes that several kinds of layer share; each layer lists those that concern it.

Likeliest first: where several explain a number, they are told in the order of a layer's list.
"""

from typing import TYPE_CHECKING, Any

from ..dialects import Window, ceil_rule, clipped_rule, extent, floor_rule, same_rule
from ..formula import Number, compare, divide, product
from .accounts import Account, Mistake, fields, mistake, setting, sliding

if TYPE_CHECKING:
    from .base import Layer, Shape

Changed = "tuple[Layer, Sequence[Shape]] | None"


def differ(a: Any, b: Any) -> bool:
    """Whether two sizes are not surely equal."""
    return compare(a, b) != 0


# --- sizes ------------------------------------------------------------------------------


def _minus_one(w: Window) -> Window:
    rule = w.rule
    return w._replace(rule=lambda n, K, s, b, a: rule(n, K, s, b, a) - 1)


@sliding("plus-one-forgotten", "`+1` forgotten (k positions lost instead of k - 1)")
def plus_one(w: Window) -> Window | None:
    return None if w.kind == "transpose" else _minus_one(w)


@sliding("plus-one-early", "the 1 added before dividing by the stride", rare=True)
def plus_one_early(w: Window) -> Window | None:
    if w.kind == "transpose" or not differ(w.s, 1):
        return None
    return w._replace(rule=lambda n, K, s, b, a: (n - K + b + a + 1) // s)


@sliding("padding-ignored", "padding ignored")
def padding_ignored(w: Window) -> Window | None:
    if w.rule is same_rule:
        return w._replace(before=0, after=0, rule=floor_rule)
    return w._replace(before=0, after=0) if differ(w.before + w.after, 0) else None


@sliding("padding-once", "padding counted once, at one end only, not at both")
def padding_once(w: Window) -> Window | None:
    return w._replace(after=0) if differ(w.after, 0) and differ(w.before, 0) else None


@sliding("padding-subtracted", "padding subtracted instead of added", rare=True)
def padding_subtracted(w: Window) -> Window | None:
    if not differ(w.before + w.after, 0) or w.rule is same_rule:
        return None
    return w._replace(before=-w.before, after=-w.after)


@sliding("padding-doubled", "padding counted twice at each end", rare=True)
def padding_doubled(w: Window) -> Window | None:
    if not differ(w.before + w.after, 0) or w.rule is same_rule:
        return None
    return w._replace(before=2 * w.before, after=2 * w.after)


@sliding("padding-is-kernel", "padding taken equal to the kernel")
def padding_kernel(w: Window) -> Window | None:
    return w._replace(before=w.k, after=w.k) if differ(w.before, w.k) else None


@sliding("same-for-valid", "same confused with valid: padding that keeps the size assumed")
def same_for_valid(w: Window) -> Window | None:
    if w.rule is same_rule or w.kind == "transpose":
        return None
    return w._replace(rule=same_rule)


@sliding("stride-ignored", "stride ignored")
def stride_ignored(w: Window) -> Window | None:
    return w._replace(s=1) if differ(w.s, 1) else None


@sliding("stride-only", "divided by the stride only, the kernel left out", rare=True)
def stride_only(w: Window) -> Window | None:
    if w.kind == "transpose":
        return w._replace(rule=lambda n, K, s, b, a: n * s) if differ(w.s, 1) else None
    return w._replace(rule=lambda n, K, s, b, a: n // s)


@sliding("stride-twice", "divided by the stride twice")
def stride_twice(w: Window) -> Window | None:
    return w._replace(s=w.s * w.s) if differ(w.s, 1) and w.kind != "transpose" else None


@sliding("stride-twice", "divided by the stride twice, the kernel left out (wrong formula)")
def stride_twice_of_size(w: Window) -> Window | None:
    if not differ(w.s, 1) or w.kind == "transpose":
        return None
    return w._replace(rule=lambda n, K, s, b, a: (n - 1) // (s * s) + 1)


@sliding("rounded-up", "the division rounded up instead of down")
def rounded_up(w: Window) -> Window | None:
    if w.rule is not floor_rule or not differ(w.remainder, 0):
        return None
    return w._replace(rule=ceil_rule)


@sliding("rounded-down", "the division rounded down instead of up")
def rounded_down(w: Window) -> Window | None:
    if w.rule in (ceil_rule, clipped_rule):
        return w._replace(rule=floor_rule)
    if w.rule is same_rule:
        return w._replace(rule=lambda n, K, s, b, a: n // s)
    return None


@sliding("kernel-left-out", "the kernel not subtracted", rare=True)
def kernel_left_out(w: Window) -> Window | None:
    if w.rule is same_rule:
        return None
    rule = w.rule
    return w._replace(rule=lambda n, K, s, b, a: rule(n, 0, s, b, a))


@sliding("one-lost", "1 lost per layer, whatever the kernel", rare=True)
def one_lost(w: Window) -> Window | None:
    if w.rule is same_rule or w.kind == "transpose" or not differ(w.extent, 2):
        return None
    rule = w.rule
    return w._replace(rule=lambda n, K, s, b, a: rule(n, 2, s, b, a))


@sliding("half-kernel", "only half of the kernel lost: one border instead of two", rare=True)
def half_kernel(w: Window) -> Window | None:
    if w.rule is same_rule or w.kind == "transpose":
        return None
    rule = w.rule
    return w._replace(rule=lambda n, K, s, b, a: rule(n, (K - 1) // 2 + 1, s, b, a))


def _extent(id: str, words: str, of: Any, rare: bool = False) -> Mistake:
    @sliding(id, words, rare)
    def change(w: Window) -> Window | None:
        if not differ(w.d, 1):
            return None
        return w._replace(k=of(w.k, w.d), d=1)

    return change


DILATION_IGNORED = _extent("dilation-ignored", "dilation ignored", lambda k, d: k)
DILATION_TIMES = _extent("dilation-times", "dilation as k*d", lambda k, d: k * d)
DILATION_PLUS = _extent("dilation-plus", "dilation as k+d-1", lambda k, d: k + d - 1)
DILATION_NO_ONE = _extent(
    "dilation-plus-one-forgotten", "`+1` forgotten in d(k-1)+1", lambda k, d: d * (k - 1), True
)
DILATION_HOLES = _extent(
    "dilation-holes",
    "d holes instead of d - 1 between the taps",
    lambda k, d: extent(k, d + 1),
    True,
)

PADDINGS = (padding_ignored, padding_once, padding_kernel, padding_doubled, padding_subtracted)
DILATIONS = (
    DILATION_IGNORED, DILATION_TIMES, DILATION_PLUS, DILATION_NO_ONE, DILATION_HOLES,
)  # fmt: skip
SIZES: tuple[Mistake, ...] = (
    plus_one, padding_ignored, padding_once, stride_ignored, rounded_up, rounded_down,
    DILATION_IGNORED, DILATION_TIMES, DILATION_PLUS, DILATION_NO_ONE, same_for_valid,
    padding_kernel, stride_twice, stride_twice_of_size, stride_only, plus_one_early,
    kernel_left_out, one_lost, padding_doubled, padding_subtracted, half_kernel, DILATION_HOLES,
)  # fmt: skip


# --- volumes ----------------------------------------------------------------------------


@mistake("output-depth-is-input-depth", "output depth = input depth")
def depth_kept(a: Account) -> Account | None:
    return a.depth(a.inputs[0][-1])


@mistake("output-depth-times-input", "output depth = filters times input depth", rare=True)
def depth_times(a: Account) -> Account | None:
    return a.depth(a.output[-1] * a.inputs[0][-1])


@mistake("output-depth-one", "output depth 1: the filters' maps added up")
def depth_one(a: Account) -> Account | None:
    return a.depth(1)


@mistake("padding-on-channels", "padding on the channels too")
def padded_depth(a: Account) -> Account | None:
    if not a.windows or not differ(a.windows[0].before + a.windows[0].after, 0):
        return None
    w = a.windows[0]
    return a.depth(a.output[-1] + w.before + w.after)


@setting("padding-on-channels", "padding on the channels: the filters read C + 2P of them")
def padded_channels(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    pad = layer.values().get("pad")
    if not isinstance(pad, int) or pad == 0:
        return None
    return layer, ((*inputs[0][:-1], inputs[0][-1] + 2 * pad), *inputs[1:])


@mistake("height-width-exchanged", "H and W exchanged")
def exchanged(a: Account) -> Account | None:
    if len(a.output) != 3 or not differ(a.output[0], a.output[1]):
        return None
    return a.sized((a.output[1], a.output[0], a.output[2]))


@setting("height-width-exchanged", "H and W exchanged")
def kernel_exchanged(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    """A 3x5 kernel read as 5x3."""
    turned = {
        name: value[::-1]
        for name, value in layer.values().items()
        if name in ("kernel", "stride", "pad", "dilation") and isinstance(value, tuple)
        and len(value) == 2
    }  # fmt: skip
    return (layer.replace(**turned), inputs) if turned else None


@mistake("channels-first", "channels first against last")
def channels_first(a: Account) -> Account | None:
    return a._replace(output=(a.output[-1], *a.output[:-1])) if len(a.output) > 1 else None


@setting("channels-first", "channels first against last: the input read as C x H x W", rare=True)
def input_channels_first(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    """227x227x3 taken for 227 channels of 227x3."""
    shape = inputs[0]
    if len(shape) < 2:
        return None
    return layer, ((*shape[1:], shape[0]), *inputs[1:])


@mistake("unchanged", "the volume taken as unchanged: the output is the input", rare=True)
def unchanged(a: Account) -> Account | None:
    return a.sized(a.inputs[0])


@mistake("unchanged-size", "height and width taken as unchanged")
def unchanged_size(a: Account) -> Account | None:
    if len(a.inputs[0]) != len(a.output) or len(a.output) < 2:
        return None
    return a.sized((*a.inputs[0][:-1], a.output[-1]))


@mistake("flattened", "flattened, where the volume keeps its axes", rare=True)
def flattened(a: Account) -> Account | None:
    return a._replace(output=(product(a.output),)) if len(a.output) > 1 else None


@mistake("flat-kernel", "a flat kernel: it slides along height and width only", rare=True)
def flat_kernel(a: Account) -> Account | None:
    """The first axis of a 3-D volume, time or slices, taken as it comes in."""
    if len(a.windows) != 3:
        return None
    return a.sized((a.inputs[0][0], *a.output[1:]))


# --- weights ----------------------------------------------------------------------------


def _channels(layer: "Layer", inputs: "tuple[Shape, ...]", channels: Number) -> "Any":
    """The same layer on so many input channels, each filter reading all of them."""
    if not differ(inputs[0][-1], channels):
        return None
    plain = layer.replace(groups=1) if "groups" in layer.fields else layer
    return plain, ((*inputs[0][:-1], channels), *inputs[1:])


@setting("biases-left-out", "biases left out")
def no_biases(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    return (layer.replace(bias=False), inputs) if layer.values().get("bias") is True else None


@mistake("one-bias", "one bias per layer instead of one per filter")
def one_bias(a: Account) -> Account | None:
    return a.holding(bias=(1,)) if "bias" in a.weights else None


@setting("biases-counted", "counted with biases, which this layer does not have")
def biases_counted(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    return (layer.replace(bias=True), inputs) if layer.values().get("bias") is False else None


@mistake("bias-per-channel", "a bias for each input channel of each filter", rare=True)
def bias_per_channel(a: Account) -> Account | None:
    kernel = a.weights.get("kernel", ())
    return a.holding(bias=kernel[-2:]) if "bias" in a.weights and len(kernel) > 2 else None


@mistake("bias-per-weight", "a bias for each weight", rare=True)
def bias_per_weight(a: Account) -> Account | None:
    return a.holding(bias=a.weights["kernel"]) if {"bias", "kernel"} <= a.weights.keys() else None


@setting("depth-left-out", "depth (input channels) left out")
def no_depth(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    return None if len(inputs[0]) < 2 else _channels(layer, inputs, 1)


@setting("rgb-left-out", "RGB left out: the picture taken as grey")
def no_rgb(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    return None if differ(inputs[0][-1], 3) or len(inputs[0]) < 2 else _channels(layer, inputs, 1)


@setting("rgb-assumed", "RGB assumed: 3 input channels")
def rgb_assumed(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    return None if len(inputs[0]) < 2 else _channels(layer, inputs, 3)


@setting("input-depth-is-filters", "input depth taken equal to the number of filters", rare=True)
def depth_of_filters(layer: "Layer", inputs: "tuple[Shape, ...]") -> "Any":
    filters = layer.values().get("filters")
    return None if filters is None else _channels(layer, inputs, filters)


@mistake("filters-left-out", "output channels (the number of filters) left out: one filter only")
def no_filters(a: Account) -> Account | None:
    kernel = a.weights.get("kernel", ())
    if len(kernel) < 2:
        return None
    bias = (1,) if "bias" in a.weights else None
    return _cheaper(a.holding(kernel=(*kernel[:-1], 1), bias=bias), a)


@mistake(
    "filters-left-out",
    "output channels left out of the weights, one bias per filter kept",
    rare=True,
)
def no_filters_but_biases(a: Account) -> Account | None:
    kernel = a.weights.get("kernel", ())
    return a.holding(kernel=(*kernel[:-1], 1)) if len(kernel) > 1 and "bias" in a.weights else None


@mistake("kernel-one-axis", "the kernel counted along one axis only: k instead of k*k", rare=True)
def kernel_line(a: Account) -> Account | None:
    kernel = a.weights.get("kernel", ())
    if len(kernel) < 4:
        return None
    return _cheaper(a.holding(kernel=(*kernel[-3:],)), a)


@mistake(
    "kernel-left-out", "the kernel's size left out: input times output channels only", rare=True
)
def kernel_as_point(a: Account) -> Account | None:
    kernel = a.weights.get("kernel", ())
    return _cheaper(a.holding(kernel=kernel[-2:]), a) if len(kernel) > 2 else None


def _cheaper(changed: Account, a: Account) -> Account:
    """Multiply-adds in proportion to the weights of the kernel, as they are counted."""
    old, new = product(a.weights["kernel"]), product(changed.weights["kernel"])
    if isinstance(a.macs, int) and isinstance(old, int) and isinstance(new, int) and old:
        return changed._replace(macs=a.macs * new // old)
    return changed._replace(macs=divide(a.macs * new, old))


@mistake("no-weight-sharing", "no weight sharing: every position has weights of its own")
def no_sharing(a: Account) -> Account | None:
    positions = a.output[:-1]
    if not a.weights or not positions:
        return None
    return a._replace(weights={k: (*positions, *v) for k, v in a.weights.items()})


@mistake("no-weight-sharing", "no weight sharing: weights times positions, biases not")
def no_kernel_sharing(a: Account) -> Account | None:
    positions, kernel = a.output[:-1], a.weights.get("kernel")
    if kernel is None or not positions or "bias" not in a.weights:
        return None
    return a.holding(kernel=(*positions, *kernel))


@mistake("no-weight-sharing", "no sharing of biases: one for every neuron")
def bias_per_neuron(a: Account) -> Account | None:
    return a.holding(bias=a.output) if "bias" in a.weights and len(a.output) > 1 else None


@mistake("image-for-kernel", "the image size used for the weights, depth left out")
def image_for_depth(a: Account) -> Account | None:
    """64*64 + 1 for a 1x1 filter on 64x64x16."""
    kernel, sizes = a.weights.get("kernel"), a.inputs[0][:-1]
    return a.holding(kernel=(*sizes, kernel[-1])) if kernel and sizes else None


@mistake("image-for-kernel", "the image size used for the weights: every pixel and channel")
def image_for_kernel(a: Account) -> Account | None:
    kernel = a.weights.get("kernel")
    if not kernel or len(a.inputs[0]) < 2:
        return None
    return a.holding(kernel=(*a.inputs[0], kernel[-1]))


@mistake("image-for-depth", "the image size used in place of the input depth", rare=True)
def image_times_kernel(a: Account) -> Account | None:
    kernel, sizes = a.weights.get("kernel", ()), a.inputs[0][:-1]
    return a.holding(kernel=(*kernel[:-2], *sizes, kernel[-1])) if len(kernel) > 2 else None


@mistake(
    "fully-connected", "taken as fully connected: every input with every output value", rare=True
)
def fully_connected(a: Account) -> Account | None:
    kernel = a.weights.get("kernel")
    if not kernel or len(a.output) < 2:
        return None
    bias = (product(a.output),) if "bias" in a.weights else None
    weights = (product(a.inputs[0]), product(a.output))
    return a.holding(kernel=weights, bias=bias)._replace(macs=product(weights))


@mistake("input-positions", "input positions counted instead of output positions", rare=True)
def input_positions(a: Account) -> Account | None:
    kernel = a.weights.get("kernel")
    if kernel is None or len(a.output) < 2:
        return None
    return a._replace(macs=product(a.inputs[0][:-1]) * product(kernel))


@mistake("one-position", "one position only: not times the output's height and width", rare=True)
def one_position(a: Account) -> Account | None:
    kernel = a.weights.get("kernel")
    return a._replace(macs=product(kernel)) if kernel is not None and len(a.output) > 1 else None


GROUPS_IGNORED = fields("groups-ignored", "groups ignored", groups=1)
WEIGHTS: tuple[Mistake, ...] = (
    no_biases, biases_counted, no_depth, no_rgb, rgb_assumed, one_bias, GROUPS_IGNORED,
    depth_of_filters, input_positions, one_position, no_sharing, no_kernel_sharing, no_filters,
    no_filters_but_biases, kernel_line, bias_per_channel, bias_per_neuron, image_for_depth,
    image_for_kernel, image_times_kernel, fully_connected, kernel_as_point, bias_per_weight,
    padded_channels, input_channels_first,
)  # fmt: skip
DEPTHS: tuple[Mistake, ...] = (depth_kept, depth_one, depth_times, padded_depth)
# --- receptive fields ---------------------------------------------------------------------


@mistake("receptive-field-without-strides", "receptive field without strides")
def no_jumps(a: Account) -> Account | None:
    if not a.steps:
        return None
    return a._replace(steps=tuple(s._replace(jump=1) for s in a.steps))


@mistake("kernels-added", "kernels added up, not k - 1 of each")
def kernels_added(a: Account) -> Account | None:
    """Made with a field that starts from 0, so that the sum is that of the kernels."""
    if not a.steps:
        return None
    return a._replace(steps=tuple(s._replace(steps=s.steps + 1) for s in a.steps))


@mistake("stride-too-early", "a layer's own stride counted in its own field", rare=True)
def own_stride(a: Account) -> Account | None:
    if not a.steps:
        return None
    return a._replace(steps=tuple(s._replace(steps=s.steps * s.jump) for s in a.steps))


@mistake("kernels-multiplied", "kernels multiplied instead of k - 1 of each added", rare=True)
def kernels_multiplied(a: Account) -> Account | None:
    """Each layer's field is its kernel times the field before: a jump of that size."""
    if not a.steps:
        return None
    return a._replace(steps=tuple(s._replace(jump=s.steps + 1) for s in a.steps))


REACHES: tuple[Mistake, ...] = (no_jumps, kernels_added, own_stride, kernels_multiplied)
COMMON: tuple[Mistake, ...] = (
    *REACHES, unchanged, unchanged_size, exchanged, kernel_exchanged, channels_first, flat_kernel,
)  # fmt: skip

"""Size rules: does the layer fit its input? One function a rule."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from ..dialects import Dialect
from ..formula import compare
from ..layers.base import Layer, Shape
from . import unread, words
from .base import Case, Finding, fits, listed, rule, too_large

Rule = Callable[[Case], Iterator[Finding]]


def judge(layer: Layer, inputs: Sequence[Shape], dialect: Dialect) -> list[Finding]:
    """Everything the size rules say of one layer, with remedies that were re-checked.

    >>> from cnncalc.dialects import DEFAULT
    >>> from cnncalc.layers.conv import Conv
    >>> [f.code for f in judge(Conv(1, kernel=3, stride=3), [(7, 7, 1)], DEFAULT)]
    ['S001']
    """
    return list(_judged(layer, tuple(inputs), dialect))


@lru_cache(maxsize=256)
def _judged(layer: Layer, inputs: tuple[Shape, ...], dialect: Dialect) -> tuple[Finding, ...]:
    """Repeated layers are judged once: the search for remedies takes its time."""
    from .fixes import offers

    case = Case.of(layer, inputs, dialect)
    judged: list[Finding] = []
    for finding in findings(case):
        help_ = () if finding.severity == "note" else offers(case, finding)
        judged.append(finding._replace(help=help_))
    return tuple(judged)


def findings(case: Case) -> Iterator[Finding]:
    """The findings of every size rule, without remedies."""
    for check in RULES:
        yield from check(case)


@rule("S001", "the stride does not fit", remark="a note outside cs231n")
def stride_fits(case: Case) -> Iterator[Finding]:
    """The windows, laid side by side at this stride, do not end at the edge of the input.

    A kernel of extent K takes (n - K + P)/s + 1 places along an axis of n positions with P
    of zero padding. Where the division leaves a remainder, the last rows or columns of the
    padded input are never covered. The lecture (cs231n dialect) says that such a layer does
    not fit, an error. The frameworks round instead: there this is a note where only padding
    is left over, and warning W005 where real pixels are. With symbols in the size, a note
    says for which sizes the layer fits.

        input: 7x7x1
        layers:
          - conv: {filters: 1, kernel: 3, stride: 3}

    To fix it, change the padding, the stride, the kernel or the input so that s divides
    n - K + P; each offered remedy was checked. A pool may also say `round: floor` or
    `round: ceil`, which states that rounding is meant.
    """
    if not case.sliding:
        return
    verdicts = [fits(w) if case.exact or w.extent != 1 else True for w in case.windows]
    bad = [i for i, v in enumerate(verdicts) if v is False]
    open_ = [i for i, v in enumerate(verdicts) if v is None]
    if bad and case.exact:
        yield Finding("S001", "error", words.misfit(case, bad), "stride")
    elif bad and not unread.real(case):
        tail = unread.tail([(i, case.windows[i].remainder) for i in bad], case)
        text = (
            f"{words.setting(case)} leaves {tail} of padding unread: {words.divisions(case, bad)}"
        )
        yield Finding("S001", "note", f"{text}; {words.rounding(case)}", "stride")
    elif open_ and not bad:
        classes = dict.fromkeys(unread.residue_class(case.windows[i]) for i in open_)
        text = f"{words.setting(case)} fits where {listed(list(classes))}"
        other = "other sizes do not fit" if case.exact else f"elsewhere {words.rounding(case)}"
        yield Finding("S001", "note", f"{text}; {other}", "stride")


@rule("W005", "real pixels are never read", "warning")
def pixels_read(case: Case) -> Iterator[Finding]:
    """Part of the input, not only padding, reaches no window of the layer.

    Either the division by the stride leaves a remainder larger than the padding, so that
    the last rows or columns are dropped, or the windows leave gaps: the stride is larger
    than the kernel's extent, or stride and dilation share a factor. What is never read
    cannot influence the output, and its gradient is zero. A kernel of one position with a
    stride is taken for deliberate subsampling (the shortcuts of ResNet) and not reported.

        dialect: torch
        input: 224x224x3
        layers:
          - conv: {filters: 64, kernel: 3, stride: 2}

    Pad the far end, choose a stride that fits, let a pool round up (`round: ceil`), or
    crop the input on purpose.
    """
    found = unread.real(case) if case.sliding and not (case.exact and _misfits(case)) else []
    if not found:
        return
    counts = [(i, c.total) for i, c in found]
    rest = f"of the {words.sized(w.n for w in case.windows)} {unread.verb(counts)} never read"
    if all(c.only_tail for _, c in found):
        why = words.divisions(case, [i for i, _ in found])
        text = f"{unread.tail(counts, case)} {rest}: {why}"
    else:
        text = f"{words.setting(case)} leaves gaps: {unread.amounts(counts, case)} {rest}"
    yield Finding("W005", "warning", text, "stride")


@rule("S002", "the kernel is larger than the padded input")
def kernel_fits(case: Case) -> Iterator[Finding]:
    """The kernel does not fit even once into the padded input.

    The extent of a kernel k with dilation d is d(k - 1) + 1; it must not exceed n + P along
    any axis. Frameworks disagree on what then happens: PyTorch and Keras refuse, JAX gives
    an empty output, and Caffe and the pools of ONNX Runtime, whose division truncates
    toward zero, may even compute an output of size 1. cnncalc always reports an error and
    says what the framework of the dialect would do.

        input: 4x4x3
        layers:
          - conv: {filters: 8, kernel: 5}

    Pad the input, take a smaller kernel, or shrink less in the layers before.
    """
    bad = [i for i, w in enumerate(case.windows) if too_large(w)]
    if not bad:
        return
    size = words.sized(w.padded for w in case.windows)
    plain = all(compare(w.padded, w.n) == 0 for w in case.windows)
    what = f"the {'' if plain else 'padded '}{size}"
    text = f"{words.kernel(case)} is larger than {what}: {words.framework(case, bad[0])}"
    yield Finding("S002", "error", text, "kernel")


@rule("S003", "inputs or branches disagree")
def inputs_agree(case: Case) -> Iterator[Finding]:
    """The volumes that meet in one layer do not have sizes that go together.

    `add` and `multiply` need equal volumes, `concat` equal sizes along every axis but the
    joined one, `matmul` equal inner sizes. A table of connections must name maps that
    exist.

        input: 8x8x4
        layers:
          - add:
              - [{conv: {filters: 4, kernel: 3}}]
              - []

    Give the branches the same padding and strides, crop the larger one, or bring the
    channels together with a 1x1 convolution.
    """
    told = set()
    for finding in case.stated("S003"):
        volumes = finding.message.partition("(")[2] or finding.message
        if volumes not in told:  # one axis is enough where the message shows both volumes
            yield finding
        told.add(volumes)


@rule("S004", "groups or heads do not divide")
def groups_divide(case: Case) -> Iterator[Finding]:
    """Channels are to be split into equal parts, but the number of parts does not divide.

    A grouped convolution needs groups that divide both its input channels and its filters;
    a group normalisation or channel shuffle, its channels; attention, heads that divide its
    dimension; a pixel shuffle, channels divisible by the square of its scale.

        input: 8x8x6
        layers:
          - conv: {filters: 8, kernel: 3, groups: 4}

    Choose one of the divisors offered, or change the number of channels.
    """
    return case.stated("S004")


@rule("S005", "asymmetric padding where the dialect has none")
def padding_symmetric(case: Case) -> Iterator[Finding]:
    """The two ends of an axis are padded differently, which the framework cannot do.

    The lecture's formula, Caffe and PyTorch's layers take one number of zeros for both
    ends; Keras (through ZeroPadding), JAX and ONNX take two. `same` with an even extent
    adds an odd number of zeros and needs two different ends as well.

        dialect: caffe
        input: 8x8x3
        layers:
          - conv: {filters: 8, kernel: 3, pad: [[0, 1], [0, 1]]}

    Use a symmetric pad or an odd kernel, or put a `pad` layer in front.
    """
    return _flaws(case, "S005", "pad")


@rule("S006", "the pool is padded too much")
def pool_padding(case: Case) -> Iterator[Finding]:
    """A window could lie wholly in the padding, which the framework refuses.

    PyTorch allows a pool at most half its kernel of padding, Caffe and ONNX Runtime less
    than the kernel: the largest value of a window made of padding alone has no meaning.

        dialect: torch
        input: 8x8x3
        layers:
          - maxpool: {kernel: 2, stride: 2, pad: 2}

    Pad less, or put a `pad` layer in front.
    """
    return _flaws(case, "S006", "pad")


@rule("S007", "a reshape does not hold the same values")
def reshape_holds(case: Case) -> Iterator[Finding]:
    """The new volume has more or fewer values than the old one, or axes are named wrongly.

    `reshape` only regroups values: the products of both shapes must be equal. `permute`
    must name every axis once.

        input: 4x4x3
        layers:
          - reshape: 5x10

    Choose a shape with the same product.
    """
    return case.stated("S007")


@rule("S008", "the volume has other axes than the layer needs")
def axes_match(case: Case) -> Iterator[Finding]:
    """The layer needs spatial axes that its input does not have, or lists a wrong number.

    A convolution or pool slides over rows and columns; after `flatten` or `dense` there are
    none. A field with one value an axis must list as many as there are spatial axes.

        input: 8x8x3
        layers:
          - flatten
          - conv: {filters: 8, kernel: 3}

    Move the layer before the flattening, reshape first, or use `dense`.
    """
    return case.stated("S008")


@rule("S009", "nothing is left of the volume")
def something_left(case: Case) -> Iterator[Finding]:
    """An axis of the output would have no positions.

    A transposed convolution gives (n - 1)s + K - P positions: too much padding removes
    them all. Cropping or slicing can take away everything too.

        input: 2x2x3
        layers:
          - crop: 1

    Pad or crop less.
    """
    yield from case.stated("S009")
    for w in case.windows:
        if w.kind == "transpose" and compare(w.out, 1) == -1:
            pad = f"{w.before} - {w.after}"
            text = f"nothing is left: ({w.n} - 1)*{w.s} + {w.extent} - {pad} = {w.out} positions"
            yield Finding("S009", "error", text, "pad")
            return


@rule("S010", "`same` cannot be had here")
def same_possible(case: Case) -> Iterator[Finding]:
    """The dialect does not take `pad: same` for this layer.

    PyTorch refuses `padding='same'` with a stride above 1 and does not have it for pools.
    Outside Keras, JAX and ONNX a transposed convolution has no `same`. `same_lower`, which
    puts an odd zero first, exists in ONNX and JAX, but not in PyTorch or Keras.

        dialect: torch
        input: 8x8x3
        layers:
          - conv: {filters: 8, kernel: 3, stride: 2, pad: same}

    Write the padding as a number: (K - 1)/2 for an odd extent K.
    """
    return _flaws(case, "S010", "pad")


@rule("S011", "the output padding is too large")
def output_padding(case: Case) -> Iterator[Finding]:
    """`output_pad` must be smaller than the stride or the dilation.

    It only chooses among the sizes that the convolution would map to the same number of
    positions; there are as many as the stride is wide (torch.nn.ConvTranspose2d).

        input: 4x4x3
        layers:
          - conv_transpose: {filters: 8, kernel: 3, stride: 2, output_pad: 2}

    Use a smaller `output_pad`.
    """
    return _flaws(case, "S011", "output_pad")


RULES: tuple[Rule, ...] = (
    kernel_fits, stride_fits, pixels_read, inputs_agree, groups_divide, padding_symmetric,
    pool_padding, reshape_holds, axes_match, something_left, same_possible, output_padding,
)  # fmt: skip


def _flaws(case: Case, code: str, field: str) -> Iterator[Finding]:
    """What the dialect refuses about the windows, once a message."""
    yield from case.stated(code)
    reasons = dict.fromkeys(w.flaw[1] for w in case.windows if w.flaw and w.flaw[0] == code)
    for reason in reasons:
        yield Finding(code, "error", reason, field)


def _misfits(case: Case) -> bool:
    return any(fits(w) is False for w in case.windows)

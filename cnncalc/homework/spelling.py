"""The spellings that people use in answers: words, signs, units, orders of axes."""

import re

TRUE = frozenset({"true", "yes", "fits", "it fits", "valid", "y"})
FALSE = frozenset({"false", "no", "n"})
FITS = TRUE | FALSE
NO_FIT = frozenset({
    "does not fit", "doesn't fit", "doesnt fit", "doesn’t fit", "invalid", "no fit", "not valid",
    "it does not fit", "it doesn't fit", "does not work", "doesn't work", "impossible", "misfit",
    "not possible", "cannot fit", "can't fit", "not an integer", "does not divide",
})  # fmt: skip
NONE = frozenset({"none", "nothing", "no padding"})
SIGNS = str.maketrans({
    "−": "-", "–": "-", "×": "x", "✕": "x", "⋅": "*", "∙": "*", "•": "*", "·": "*", "÷": "/",
    "⌊": " floor(", "⌋": ")", "⌈": " ceil(", "⌉": ")", "{": "(", "}": ")",
    "²": "^2", "³": "^3", "\u00a0": " ", "\u202f": " ", "\u2009": " ",
})  # fmt: skip
NOUNS = re.compile(
    r"\s*(?:trainable\s+|learnable\s+|output\s+|zero\s+)*(?:parameters?|params?|weights?|biases|"
    r"neurons?|units?|bytes?|values?|numbers?|macs?|flops?|pixels?|px|multiply[- ]adds?|"
    r"multiplications?|connections?|activations?|filters?|rows?|columns?|channels?|operations?|"
    r"ops)\s*\.?$",
    re.IGNORECASE,
)
_FIRST = re.compile(
    r"[\s,;:(\[]*(?:channels?[- _]first|channel[- _]major|N?CHW|N?CDHW|C\s*x\s*H\s*x\s*W)[)\]\s:]*",
    re.IGNORECASE,
)
_LAST = re.compile(
    r"[\s,;:(\[]*(?:channels?[- _]last|N?HWC|H\s*x\s*W\s*x\s*C)[)\]\s:]*", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ROLE = re.compile(r"[A-Za-z]{1,2}|[A-Za-z]_?(?:[0-9]|in|out|i|o)|[A-Za-z]_[A-Za-z]")
_ROLES = frozenset({"filters", "kernel", "stride", "pad", "padding", "channels", "groups",
                    "dilation", "units", "depth", "height", "width"})  # fmt: skip


def phrase(text: str) -> str:
    """Words for comparison: lower case, single spaces, no full stop.

    >>> phrase(" Does  not fit. ")
    'does not fit'
    """
    return " ".join(text.lower().strip().strip("!.").split())


def normal(text: str) -> str:
    """Typographic signs as plain ones; `×` as `x`.

    >>> normal("k²·C × 3")
    'k^2*C x 3'
    """
    return text.translate(SIGNS).strip()


def bare(text: str) -> str:
    """A number without the noun behind it, and without `=` or `~` before it.

    >>> bare("= 34,944 parameters"), bare("~35K"), bare("$760$")
    ('34,944', '35K', '760')
    """
    text = re.sub(r"^(?:=|~|≈)\s*", "", text.strip())
    if len(text) > 2 and text[0] == text[-1] == "$":
        text = text[1:-1].strip()
    if re.match(r"[0-9(]", text):
        shorter = NOUNS.sub("", text)
        if shorter and re.search(r"[0-9KMGTkmgtB)]$", shorter):
            text = shorter
    return text.rstrip(".") if re.search(r"[0-9]\.$", text) else text


def channel_order(text: str) -> tuple[str, str]:
    """The text without its remark on the order of axes, and the order: "first", "last" or "".

    >>> channel_order("10x32x32 (CHW)"), channel_order("32x32x10")
    (('10x32x32', 'first'), ('32x32x10', ''))
    """
    for pattern, order in ((_FIRST, "first"), (_LAST, "last")):
        found = pattern.search(text)
        rest = (text[: found.start()] + text[found.end() :]).strip() if found else ""
        if (
            found
            and re.search(r"[0-9A-Za-z]", rest)
            and (found.start() == 0 or found.end() == len(text))
        ):
            return rest, order
    return text, ""


def name(word: str) -> bool:
    """Whether a word can be a letter of a formula: W, F, C_in, H2, kernel.

    >>> name("C_in"), name("W1"), name("hundred")
    (True, True, False)
    """
    return word.lower() in _ROLES or _ROLE.fullmatch(word) is not None


def letters(text: str) -> frozenset[str]:
    """The words of a text that can be letters of a formula."""
    return frozenset(w for w in _WORD.findall(text) if name(w) and w not in ("x", "X", "xx"))


def arithmetic(text: str) -> bool:
    """Whether a text calculates: +, -, /, powers or brackets in it.

    >>> arithmetic("(5*5*3+1)*10"), arithmetic("32*32*3")
    (True, False)
    """
    return re.search(r"[-+/^]|\*\*|[A-Za-z0-9]\s*\(|\)\s*[A-Za-z0-9(*]", text) is not None

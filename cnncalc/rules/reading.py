"""The codes of specs that cannot be read, explained."""

from .base import entry

ENTRIES = (
    entry("E001", "not readable YAML", """
        The file is empty, or it is not well-formed YAML, so that nothing in it can be trusted.

            layers: [relu

        Mostly a bracket or brace that is not closed, a tab in the indentation, or a value
        with a colon that needs quotes. The place shown is where the reader gave up; the cause
        often stands one line above. JSON is readable too.
        """),
    entry("E002", "the file cannot be read", """
        There is no file of that name, it is a folder, it is not UTF-8 text, or its permissions
        do not let it be read. A name without a folder may also be that of a bundled spec:
        `cnncalc specs` lists them. `-` reads the standard input.
        """),
    entry("E003", "unknown op", """
        A layer's op is none that cnncalc knows and none of the spec's own `blocks`.

            input: 8x8x3
            layers:
              - cnv: {filters: 8, kernel: 3}

        The help names the nearest op. Ops are written in lower case, as in `maxpool`,
        `global_avgpool` or `conv_transpose`; `cnncalc schema` lists them all.
        """),
    entry("E004", "unknown field or key", """
        A key is none that is known at its place: a misspelled field of a layer, a field that
        another op has, or a key of the file that does not exist. Nothing is ever ignored, so
        that a misspelled `pad` cannot silently count as no padding.

            input: 8x8x3
            layers:
              - conv: {filters: 8, kernel: 3, padding: 1}

        The help names the nearest key and those that are possible.
        """),
    entry("E005", "a required field or key is missing", """
        A layer lacks a field that has no default, a block lacks its `layers`, or the spec lacks
        its `input`.

            input: 8x8x3
            layers:
              - conv: {filters: 8}

        Add what the message names.
        """),
    entry("E006", "a value of the wrong kind", """
        The key is right, but its value cannot be: a word where a number belongs, a fraction
        where a whole number does, a negative stride, a list in place of a mapping.

            input: 8x8x3
            layers:
              - conv: {filters: 8, kernel: 2.5}

        Sizes are whole numbers or expressions for them; `kernel`, `stride`, `pad` and
        `dilation` may list one value an axis. The message says what is expected and what was
        found.
        """),
    entry("E007", "unknown name in an expression", """
        An expression uses a name that is no `let` value, no argument of the block around it and
        no symbol. Symbols are introduced by the `input` or by `assume`, nowhere else, so that a
        misspelled name does not become one.

            let: {width: 16}
            input: 8x8x3
            layers:
              - conv: {filters: 2*widht, kernel: 3}

        Correct the name, define it under `let`, or introduce it under `assume`.
        """),
    entry("E008", "unknown layer name", """
        `from`, `outputs` or `share` names a layer that does not exist or is not visible there.

            input: 8x8x3
            layers:
              - conv: {filters: 8, kernel: 3}
                name: CONV1
              - relu:
                from: CONV2

        Names without a path are looked up in the same list first, then around it; layers inside
        a block have path names such as `3a/concat1/2/conv1`. The network's input is `input`.
        """),
    entry("E009", "a name used twice", """
        Two layers of one list, or a layer and an input, a `let` value and a symbol, have the
        same name, so that a reference to it would be ambiguous. A block may not be called like
        an op either.

            input: 8x8x3
            layers:
              - relu:
                name: a
              - tanh:
                name: a

        Rename one of them. Layers without a name are numbered and never clash.
        """),
    entry("E010", "a cycle", """
        Something is defined by itself: a `let` value refers to itself, a block uses itself, a
        layer reads one that comes later or its own output, or a YAML alias contains itself.

            let: {a: b + 1, b: a}
            input: 8x8x3
            layers: [relu]

        The message shows the way round. Write repetition with `repeat`; recurrent layers are
        the ops `lstm` and `gru`.
        """),
    entry("E011", "not a volume", """
        A volume is written channels last and without the batch: `227x227x3`, `HxWx3` with
        symbols, `[H, W, 3]`, `16000x1` for one axis and `3072` for a flat vector. Its sizes are
        whole numbers of at least 1.

            input: 32x0x3
            layers: [relu]

        Write height, width and channels in this order. A volume whose channels come first, as
        in PyTorch's 3x32x32, must be turned round.
        """),
    entry("E012", "an expression that cannot be read", """
        Expressions are made of numbers, names, `+ - * / // % **`, parentheses and a few
        functions such as `floor`, `ceil`, `min` and `max`. Nothing else is evaluated.

            input: 8x8x3
            layers:
              - conv: {filters: 8, kernel: 3, pad: (3 - 1/2}

        The caret shows where the reading stopped.
        """),
    entry("E013", "too large", """
        A limit that keeps every check short was met: the size of the file, its depth, the
        number of layers after blocks and repeats are unrolled, the number of symbols, or the
        digits of a number.

            input: 8x8x3
            layers:
              - repeat: {times: 1000000, layers: [relu]}

        No network in use comes near these limits. Mostly a `repeat` within `repeat`, or one
        digit too many.
        """),
    entry("E014", "unknown dialect or opset", """
        The dialect says whose conventions of rounding and padding apply: `cs231n` (the
        lecture's; the default), `caffe`, `torch`, `keras`, `jax`, or `onnx` with an opset, as
        in `onnx:13`.

            dialect: tensorflow
            input: 8x8x3
            layers: [relu]

        TensorFlow's own layers follow the `keras` dialect.
        """),
    entry("E015", "an item with no op, or with two", """
        Every item of `layers` is one layer: an op name, or a mapping with one op and, beside
        it, any of `name`, `from`, `expect`, `dialect` and `share`.

            input: 8x8x3
            layers:
              - conv: {filters: 8, kernel: 3}
                relu:

        Begin each layer with a dash of its own.
        """),
    entry("E016", "a block called with wrong arguments", """
        A block is called like an op with as many values as its `args` name, in a list or by
        name; a block with one argument takes a plain value.

            input: 8x8x3
            blocks:
              unit:
                args: [c, s]
                layers:
                  - conv: {filters: c, kernel: 3, stride: s}
            layers:
              - unit: [8]

        Give every argument exactly one value.
        """),
    entry("E017", "no layers", """
        The spec has no `layers`, or the list is empty, so that there is nothing to derive.

            input: 8x8x3
            layers: []

        Add at least one layer.
        """),
    entry("E018", "a wrong number of inputs", """
        Joins such as `concat`, `add` and `multiply` read two inputs or more; every other layer
        reads one.

            input: 8x8x3
            layers:
              - relu:
                name: a
              - relu:
                from: [input, a]

        Give a join branches or a `from` with several names, and join several inputs before a
        layer that reads one.
        """),
    entry("E019", "a key given twice", """
        One mapping has the same key twice. YAML readers would silently drop one of the values;
        which one depends on the reader.

            input: 8x8x3
            layers:
              - conv: {filters: 8, kernel: 3, kernel: 5}

        Keep one of them.
        """),
    entry("E020", "--set names nothing", """
        `--set NAME=VALUE` replaces a `let` value or gives a symbol a value, but the spec has
        neither of that name.

        Check the name; `let` and `assume` show which there are.
        """),
    entry("E021", "a model that cannot be imported", """
        A model file (.onnx, .prototxt, Keras .json or .keras) is damaged, cut short, hostile, or
        of a kind that cannot be read as a network: no graph, a cycle, sizes that make no sense,
        code in place of layers (Keras `Lambda`).

        An operator that is merely not covered does not lead here: it is kept as an `opaque`
        layer, and W010 names it.
        """),
)  # fmt: skip

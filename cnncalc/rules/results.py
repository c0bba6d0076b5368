"""The codes of answers, budgets and runs, explained."""

from .base import entry

ENTRIES = (
    entry("A001", "a wrong answer", """
        A value under `expect` is not the one that the sizes lead to. The message gives the
        correct one, and where the wrong one comes from a known slip (a forgotten bias, a
        padding counted once, a rounding the other way), names it.

            input: 32x32x3
            layers:
              - conv: {filters: 10, kernel: 5, pad: 2}
                expect: {output: 32x32x10, params: 750}

        `cnncalc explain SPEC --layer NAME` shows the derivation step by step.
        """),
    entry("A002", "an answer that cannot be read", """
        A value under `expect` is neither a number, an expression nor a volume, so that it can
        be called neither right nor wrong. The other answers are still marked.

            input: 32x32x3
            layers:
              - conv: {filters: 10, kernel: 5, pad: 2}
                expect: {params: about 800}

        Write numbers as in 760, 35K or (5*5*3 + 1)*10, volumes as in 32x32x10.
        """),
    entry("B001", "a budget is exceeded", """
        The network needs more than `budget` allows of its parameters, multiply-adds or memory.
        Meant for automatic checks that should fail when a network grows.

            input: 32x32x3
            layers:
              - conv: {filters: 10, kernel: 5, pad: 2}
            budget: {params: 500}

        Shrink the network, or raise the limit. With symbols, the limit holds only if it holds
        for all of their values: bound them under `assume`.
        """),
    entry("R001", "the run gives another output shape", """
        The layer was run on real arrays, by code that shares nothing with the derivation, and
        its output has another shape than the derived one.

        One of the two is wrong: please report it, with the spec. Until then, trust neither.
        """),
    entry("R002", "the run has other weights", """
        The arrays that the real layer made have other shapes, or another number of values,
        than the derived ones.

        One of the two is wrong: please report it, with the spec.
        """),
    entry("R003", "a value is not finite", """
        Run on ordinary random input and weights, the layer gave infinities or values that are
        no numbers.

        Look for a division by a constant zero, an exponential of large values, or a
        normalisation over a single value.
        """),
    entry("R004", "not enough memory", """
        Running the network would need more memory than the device has free; the check says how
        much of either. Nothing was allocated, and the derived sizes stand.

            input: 100000x100000x3
            layers:
              - conv: {filters: 1000, kernel: 3, pad: 1}

        Use a smaller `--batch`, `--run-only-shapes` to trace without allocating, or `--no-run`.
        """),
    entry("R005", "the device is absent", """
        `--device` (or JAX_PLATFORMS) names a kind of device that JAX does not find here.

        Leave the option out to run on what there is, install the matching extra
        (`cnncalc[cuda]`, `cnncalc[tpu]`), or skip the run with `--no-run`.
        """),
    entry("R006", "a closed form is disproved", """
        At some sizes within the domain of the symbols, the real layer gave another shape than
        the closed form does.

        One of the two is wrong: please report it, with the spec and the sizes shown.
        """),
    entry("R007", "JAX cannot be loaded", """
        JAX is missing, or its installation is broken; the message quotes its own words. The
        derived sizes do not depend on it.

        Install jax and a jaxlib of the same version, or skip the run with `--no-run`.
        """),
    entry("R008", "positions that the run never reads", """
        Changing the values in these rows and columns changes nothing in the real layer's output:
        no window reads them. A measured counterpart of W005 and S001.

            dialect: torch
            input: 224x224x3
            layers:
              - conv: {filters: 64, kernel: 3, stride: 2}

        Pad the far end, or choose a stride that fits, if they matter.
        """, "note"),
    entry("R009", "JAX refuses the layer", """
        Running the layer raised an error in JAX; the message quotes it. Layers that follow were
        not run.

        Mostly the consequence of a size error shown above; otherwise please report it, with
        the spec.
        """, remark="a note where the size is known not to fit"),
    entry("R010", "no sizes to run at", """
        Sizes for the symbols are drawn from their domains to run the closed forms, but none
        were found at which every layer works.

        Widen the domains under `assume`, or add `multiple_of` so that the strides fit.
        """),
    entry("R011", "the gradients disagree", """
        `cnncalc grad` computed the gradient of a parameter three times: by cnncalc's own
        engine, by `jax.grad` of the layers' references, and by central differences of the
        loss. Two of them differ by more than rounding: by over 1e-8 of the largest entry from
        JAX, by over 1e-4 from the differences (1e-3 where all parameters move at once).

        One of them is wrong: please report it, with the spec. Until then, trust none.
        """),
    entry("R012", "a parameter that gets no gradient", """
        The loss does not change with this parameter, so that training leaves it as it is:
        no output depends on its layer (a branch that is not joined, and not among `outputs`),
        or on this batch everything after it is constant in it.

            input: 8x8x3
            layers:
              - conv: {filters: 4, kernel: 3}
                name: A
              - conv: {filters: 4, kernel: 3}
                name: B
                from: input
              - dense: {units: 10}
                from: A

        Join the branch, name it under `outputs`, or leave it out. A bias before batch
        normalisation, which subtracts it again, is such a parameter too.
        """, "warning", "a note where a normalisation cancels it"),
    entry("R013", "gradients vanish or explode across depth", """
        At the first layer with a kernel, the norm of the gradient over the norm of the weights
        is more than 10,000 times smaller or larger than at the last one: one step of any
        size moves one end of the network far more than the other. Measured at cnncalc's own
        starting values (He's uniform law), on random inputs and targets.

            input: 16
            layers:
              - repeat: {times: 20, layers: [{dense: {units: 16}}, sigmoid]}
              - dense: 4

        Shorten the chain, choose other activations (sigmoids shrink the gradient four times
        a layer), or add normalisation or shortcuts.
        """, "warning"),
    entry("R014", "dead units", """
        More than three quarters of the channels of a rectifier (of 8 channels or more; or all
        of fewer) are zero for every item and position of the random batch: no gradient passes
        through them, and nothing before them learns from them.

            input: 16
            layers:
              - dense: 8
              - log_softmax
              - relu
              - dense: 4

        At starting values about half of all units are zero for any one item; a larger `--batch`
        tells chance from design. Look for a bias or a normalisation that shifts the values
        below zero, or for two rectifiers after each other.
        """, "warning"),
    entry("R015", "the initial loss is far from ln(classes)", """
        A network that knows nothing yet gives every class the same probability, and its cross
        entropy is ln(classes): 2.3 for 10 classes, 6.9 for 1000. This one starts above three
        times that plus 4: the logits are spread so far that training begins by shrinking them.

            input: 8x8x3
            layers:
              - conv: {filters: 4, kernel: 3}
              - relu
              - dense: 10
              - repeat: {times: 4, layers: [{add: [[], [], []]}]}

        Look for a sum of many branches, a missing normalisation or pooling before the last
        layer, or a rectifier after it.
        """, "warning"),
    entry("R016", "a value overflows to infinity", """
        Run in the precision asked for with `--dtype`, the layer gave values beyond the largest
        finite number of that type (65,504 in float16), though its inputs were finite. Every
        layer where this begins is reported, not those it spreads to.

            input: 8x8x3
            layers:
              - repeat: {times: 17, layers: [{add: [[identity], []]}]}

        bfloat16 has float32's range at less precision; or normalise before the layer, or keep
        it in float32.
        """),
    entry("R017", "a placement is not the derived one", """
        On a mesh of devices, JAX placed other numbers of bytes on a device than were derived
        from the spec.

        One of the two is wrong: please report it, with the spec and the `--mesh`.
        """),
)  # fmt: skip

"""One layer exported, executed with the engine's own weights, and compared with the engine.

Weights are laid out as each framework keeps them: that is the only thing stated here, and it is
stated apart from the exporters.
"""

import ast

import numpy as np

import cnncalc
from cnncalc.execute import Pass
from cnncalc.exporters import export
from cnncalc.layers import REGISTRY

TOKENS = ("linear", "layernorm", "attention", "matmul", "lstm", "gru", "class_token", "embedding",
          "positional", "window_partition", "window_reverse")  # fmt: skip
REORDERS = ("flatten", "reshape")  # channels first: other order


class Case:
    """One example of one layer: its network, arrays, inputs, and what the engine gives."""

    def __init__(self, op, number, dialect="cs231n"):
        cls = REGISTRY[op]
        volumes, fields = cls.examples[number]
        volumes = [volumes] if isinstance(volumes, str) else volumes
        self.op = op
        names = [f"x{i}" for i in range(len(volumes))]
        self.network = cnncalc.Network(dict(zip(names, volumes, strict=True)), dialect=dialect)
        self.network.add(cls(**fields), *names, name="it")
        self.report = self.network.derive()
        self.row = self.report.layers[0]
        random = np.random.default_rng(7)

        def drawn(shape):
            sign = np.where(random.random(shape) < 0.4, -1, 1)
            return ((random.random(shape) + 0.2) * sign).astype(np.float32)

        self.params = {n: drawn(s) for n, s in self.row.weights.items()}
        self.buffers = {n: np.abs(drawn(s)) for n, s in self.row.buffer_shapes.items()}
        self.inputs = [drawn((2, *s)) for s in self.report.input_shapes.values()]
        if op == "embedding":
            self.inputs = [random.integers(0, fields["vocab"], x.shape).astype(np.float32)
                           for x in self.inputs]  # fmt: skip
        self.labels = None
        if op == "softmax_cross_entropy":
            self.labels = random.integers(0, 3, self.inputs[0].shape[:-1])
        if op != "opaque":
            run = Pass(self.row, self.params, self.buffers, labels=self.labels)
            self.wanted = np.asarray(self.row.layer.forward(run, *self.inputs))

    # --- channels first -----------------------------------------------------------

    def first(self, shape):
        return len(shape) > 2 or (len(shape) == 2 and not (
            self.op in TOKENS and len(self.row.input[0]) == 2))  # fmt: skip

    def turn(self, x):
        return np.moveaxis(x, -1, 1) if self.first(x.shape[1:]) else x

    def compare(self, found, last=False):
        """`last`: channels come last in what was found, as in the engine."""
        if last:
            np.testing.assert_allclose(found, self.wanted, atol=2e-5, rtol=2e-4)
            return
        wanted = self.turn(self.wanted) if self.op not in REORDERS else self.wanted
        if self.op in REORDERS and self.first(self.row.output):
            wanted = np.moveaxis(wanted, -1, 1)
        if self.op == "softmax_cross_entropy":  # both give the mean over the batch
            wanted = wanted.mean(0)
        assert found.shape == wanted.shape, (found.shape, wanted.shape)
        if self.op in REORDERS:
            found, wanted = np.sort(found.ravel()), np.sort(wanted.ravel())
        np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=2e-4)

    # --- PyTorch and ONNX --------------------------------------------------------------

    def kernels(self):
        """(filters, inputs, *kernel), as both keep them."""
        found = {n: np.moveaxis(p, (-1, -2), (0, 1)) for n, p in self.params.items() if p.ndim > 1}
        return {**self.params, **found}

    def shared(self):
        """Arrays in the order of both, where that is one of convolutions and dense layers."""
        p, k, layer = self.params, self.kernels(), self.row.layer
        if self.op == "conv" and layer.connect is not None:
            arrays = []
            for i, maps in enumerate(layer.connect):
                start = sum(map(len, layer.connect[:i]))
                kernel = p["kernel"][..., start : start + len(maps)]
                arrays += [np.moveaxis(kernel, -1, 0)[None], p["bias"][i : i + 1]]
            return arrays
        if self.op == "conv_transpose":
            kernel, g = p["kernel"], layer.groups
            # (*k, I/g, O) to (I, O/g, *k), a group after another
            parts = [np.moveaxis(part, (-2, -1), (0, 1)) for part in np.split(kernel, g, -1)]
            turned = np.concatenate(parts)
            return [turned, *([p["bias"]] if "bias" in p else [])]
        if self.op == "dense":
            shape = self.row.input[0]
            kernel = p["kernel"].reshape(*shape, -1)
            kernel = np.moveaxis(kernel, -2, 0).reshape(-1, kernel.shape[-1]).T
            return [kernel, *([p["bias"]] if "bias" in p else [])]
        return list(k.values())

    def of_torch(self):
        p = self.params
        if self.op in ("lstm", "gru"):
            return list(self.recurrent(torch=True))
        if self.op == "attention":
            # What the module holds itself comes before what its parts hold.
            first = [n for n in ("logit_scale", "relative") if n in p]
            order = [*first[::-1], *(n for n in p if n not in first)]
            return [p[n].T if p[n].ndim > 1 and n != "relative" else p[n] for n in order]
        if self.op in ("parameter", "positional", "class_token", "embedding", "opaque"):
            return list(p.values())
        return self.shared()

    def recurrent(self, torch):
        """Gates in the order of the framework: torch's is ours, ONNX has i, o, f, g and z, r, n."""
        p, layer, n = self.params, self.row.layer, self.row.layer.units
        order = range(layer.gates) if torch else ([0, 3, 1, 2] if layer.gates == 4 else [1, 0, 2])

        def turned(x):
            return np.concatenate([x[..., g * n : (g + 1) * n] for g in order], -1)

        def two(prefix):
            first = p[prefix + "bias"]
            second = p.get(prefix + "recurrent_bias")
            return turned(first), None if second is None else turned(second)

        two_biases = not layer.bias or "recurrent_bias" in p
        after = layer.gates == 4 or layer.resets_after(self.row.dialect)
        if torch and layer.gates == 3 and not (after and two_biases):
            # the class that the source carries: maps of the input, of the state, other biases
            for d in layer.directions():
                yield p[d + "kernel"].T
                yield from [p[d + "bias"]] if layer.bias else []
            yield from (p[d + "recurrent"].T for d in layer.directions())
            for d in layer.directions():
                yield from (p[d + n] for n in ("recurrent_bias", "candidate_bias") if d + n in p)
            return
        if torch:
            for prefix in layer.directions():
                yield p[prefix + "kernel"].T
                yield p[prefix + "recurrent"].T
                yield from (b for b in (two(prefix) if layer.bias else ()) if b is not None)
            return
        yield np.stack([turned(p[d + "kernel"]).T for d in layer.directions()])
        yield np.stack([turned(p[d + "recurrent"]).T for d in layer.directions()])
        if layer.bias:
            found = [two(d) for d in layer.directions()]
            pairs = [a if b is None else np.concatenate([a, b]) for a, b in found]
            yield np.stack(pairs)
            if "candidate_bias" in p:
                yield np.stack([p[d + "candidate_bias"] for d in layer.directions()])

    def of_onnx(self):
        if self.op in ("lstm", "gru"):
            return list(self.recurrent(torch=False))
        if self.op == "attention":
            late = ("output", "output_bias")
            order = [n for n in self.params if n not in late]
            return [self.params[n] for n in (*order, *(n for n in late if n in self.params))]
        kept = ("parameter", "positional", "class_token", "embedding", "linear",
                "opaque")  # fmt: skip
        found = list(self.params.values()) if self.op in kept else self.shared()
        return [*found, *self.buffers.values()]

    def torch(self):
        import torch

        source = export(self.network, "torch")
        space = {"__name__": "exported"}
        exec(compile(source, "exported.py", "exec"), space)
        (*_, last) = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
        model = space[last]().eval()
        held = list(model.parameters())
        assert sum(p.numel() for p in held) == self.report.totals.params
        kept = [b for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")]
        assert sum(b.numel() for b in kept) == self.report.totals.buffers or self.op == "lstm"
        with torch.no_grad():
            fill(held, self.of_torch(), lambda p, x: p.copy_(torch.tensor(x)))
            if self.op != "lstm":
                fill(kept, list(self.buffers.values()), lambda p, x: p.copy_(torch.tensor(x)))
            inputs = [torch.tensor(np.ascontiguousarray(self.turn(x))) for x in self.inputs]
            if self.labels is not None:
                inputs.append(torch.tensor(self.labels))
            return model(*inputs).numpy()

    def onnx(self):
        import onnx
        from onnx import numpy_helper

        model = onnx.load_model_from_string(export(self.network, "onnx"))
        held = list(model.graph.initializer)
        total = sum(int(np.prod(i.dims)) for i in held)
        assert total == self.report.totals.params + self.report.totals.buffers

        def put(tensor, x):
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(x), tensor.name))

        fill(held, self.of_onnx(), put)
        inputs = [np.ascontiguousarray(self.turn(x)) for x in self.inputs]
        feed = dict(zip([i.name for i in model.graph.input], inputs, strict=False))
        if self.labels is not None:
            feed["target"] = self.labels
        onnx.checker.check_model(model, full_check=True)
        return run_onnx(model.SerializeToString(), feed)[0]

    def keras(self, run=True):
        """The shapes and counts of the built model; its values too where it is run."""
        space = {"__name__": "exported"}
        exec(compile(export(self.network, "keras"), "exported.py", "exec"), space)
        model = space["build"]()
        totals = self.report.totals
        assert model.count_params() == totals.params + totals.buffers
        assert [tuple(o.shape[1:]) for o in model.outputs] == [self.row.output]
        if not run:
            return self.wanted
        held = [w for w in model.weights if "seed_generator" not in w.path]
        fill(held, self.of_keras(), lambda p, x: p.assign(x))
        return np.asarray(model(self.inputs if len(self.inputs) > 1 else self.inputs[0]))

    def of_keras(self):
        p = dict(self.params)
        if self.op == "conv_transpose":
            p["kernel"] = np.swapaxes(p["kernel"], -1, -2)
        elif self.op in ("depthwise_conv", "separable_conv"):
            c = self.row.input[0][-1]
            name = "kernel" if "kernel" in p else "depthwise"
            p[name] = p[name].reshape(*p[name].shape[:-2], c, -1)
        elif self.op == "gru":
            p = self.keras_gru()
        elif self.op == "attention":
            p = self.keras_attention()
        return [*p.values(), *self.buffers.values()]

    def keras_gru(self):
        """Gates z, r, n; both biases in one array."""
        n, found = self.row.layer.units, {}
        for name, x in self.params.items():
            parts = [x[..., g * n : (g + 1) * n] for g in (1, 0, 2)]
            found[name] = np.concatenate(parts, -1)
        for d in self.row.layer.directions():
            second = found.pop(d + "recurrent_bias", None)
            if second is not None:
                found[d + "bias"] = np.stack([found[d + "bias"], second])
        return found

    def keras_attention(self):
        heads, p = self.row.layer.heads, self.params
        keys, values, units = self.row.layer._widths(self.row.input)
        if "qkv" in p:
            cuts = np.cumsum([keys, keys])
            three = [np.split(p[n], cuts, -1) for n in ("qkv", "qkv_bias") if n in p]
        else:
            kinds = ("query", "key", "value")
            three = [[p[k] for k in kinds]]
            three += [[p[k + "_bias"] for k in kinds]] if "query_bias" in p else []
        by_head = [[x.reshape(*x.shape[:-1], heads, -1) for x in part] for part in three]
        flat = [x for group in zip(*by_head, strict=True) for x in group]
        # queries, keys, values in Keras's order of building: query, key, value
        flat.append(p["output"].reshape(heads, values // heads, units))
        flat += [p["output_bias"]] if "output_bias" in p else []
        return dict(enumerate(flat))


def run_onnx(data, feed):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def fill(held, arrays, put):
    """Each array to the parameter in its place."""
    assert len(held) == len(arrays), (len(held), [a.shape for a in arrays])
    for p, x in zip(held, arrays, strict=True):
        shape = tuple(getattr(p, "dims", None) or p.shape)
        if shape != x.shape:
            assert x.size == np.prod(shape), (shape, x.shape)
            assert 1 in (*shape, *x.shape), (shape, x.shape)
        put(p, x.reshape(shape).astype(np.float32))

"""What the counting tools print, beside what `cnncalc reconcile` says they print.

Run: python tests/campaigns/tools.py [--write] [NAME...]. Every network is written in PyTorch
(every layer a module) and in ONNX from its spec, and each tool that is installed counts it:
torchinfo, thop, ptflops (both backends), fvcore, PyTorch's FlopCounterMode, calflops,
onnx-tool; in Flax, XLA's cost analysis counts it. `--write` keeps the integers of the tools that
are there in tests/data/tools.json, with their versions.
"""

import contextlib
import importlib
import importlib.metadata
import io
import json
import logging
import multiprocessing
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

import torch

torch.set_num_threads(1)
from export_cases import SPECS

import cnncalc
from cnncalc.exporters import onnx as to_onnx
from cnncalc.exporters.torch_module import export
from cnncalc.source import Source

DATA = Path(__file__).parents[1] / "data" / "tools.json"
NETWORKS = (
    "alexnet-torchvision", "c3d", "convnext_tiny", "dcgan-generator", "densenet121",
    "efficientnet_b0", "googlenet", "inception_v3", "lenet5", "m5-audio", "mobilenet_v1",
    "mobilenet_v2", "nin", "resnet18", "resnet50", "squeezenet1_1", "unet", "vgg11", "vgg16",
    "xception",
)  # fmt: skip

# Not those for which the PyTorch source carries a helper of its own, or moves axes.
LAYERS = [s for s in SPECS if "linear" not in s or "conv" not in s]
LAYERS = [s for s in LAYERS if "keras" not in s or "conv:" in s]


def load(name):
    return cnncalc.load(name if "\n" not in name else Source(name))


def module(name):
    network = load(name)
    report = network.derive()
    space = {"__name__": "exported"}
    source = export(network, report, modules=True)
    exec(compile(source, "exported.py", "exec"), space)
    last = [line for line in source.splitlines() if line.startswith("class ")][-1]
    (shape,) = report.input_shapes.values()
    tokens = "layernorm" in name and len(shape) == 2
    sizes = tuple(shape) if len(shape) == 1 or tokens else (shape[-1], *shape[:-1])
    model = space[last.split()[1].split("(")[0]]().eval()
    return model, torch.randn(1, *sizes)


def torchinfo(name):
    from torchinfo import summary

    model, x = module(name)
    found = summary(model, input_data=x, verbose=0)
    return {"torchinfo": found.total_mult_adds, "torchinfo.params": found.total_params}


def thop(name):
    from thop import profile

    model, x = module(name)
    macs, params = profile(model, inputs=(x,), verbose=False)
    return {"thop": int(macs), "thop.params": int(params)}


def ptflops(name):
    from ptflops import get_model_complexity_info

    found = {}
    for backend in ("pytorch", "aten"):
        model, x = module(name)
        macs, params = get_model_complexity_info(
            model, tuple(x.shape[1:]), as_strings=False, backend=backend,
            print_per_layer_stat=False,
        )  # fmt: skip
        found |= {f"ptflops-{backend}": int(macs), f"ptflops-{backend}.params": int(params)}
    return found


def fvcore(name):
    from fvcore.nn import FlopCountAnalysis, parameter_count

    model, x = module(name)
    counter = FlopCountAnalysis(model, x).unsupported_ops_warnings(False)
    counter.uncalled_modules_warnings(False)
    return {"fvcore": int(counter.total()), "fvcore.params": parameter_count(model)[""]}


def torch_flops(name):
    from torch.utils.flop_counter import FlopCounterMode

    model, x = module(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return {"torch-flopcounter": counter.get_total_flops()}


def calflops(name):
    from calflops import calculate_flops

    model, x = module(name)
    flops, macs, params = calculate_flops(
        model=model, args=[x], print_results=False, print_detailed=False, output_as_string=False
    )
    return {"calflops": int(flops), "calflops-macs": int(macs), "calflops.params": int(params)}


def onnx_tool(name):
    import onnx
    import onnx_tool

    network = load(name)
    report = network.derive()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        whole = to_onnx.model(network, report)
        whole.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        for output in whole.graph.output:
            output.type.tensor_type.shape.dim[0].dim_value = 1
        onnx.save(whole, path)
        found = onnx_tool.Model(str(path), mcfg={"verbose": False})
        found.graph.shape_infer()
        found.graph.profile()
    return {"onnx-tool": int(found.graph.macs[0]), "onnx-tool.params": int(found.graph.params)}


def flax(name):
    """`flax.linen.tabulate` calls the same analysis (summary.py, _get_flops)."""
    import jax
    import jax.numpy as jnp

    from cnncalc.exporters import export as to_source

    network = load(name)
    source = to_source(network, "flax")
    space = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), space)
    last = [line for line in source.splitlines() if line.startswith("class ")][-1]
    model = space[last.split()[1].split("(")[0]]()
    (shape,) = network.derive().input_shapes.values()
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    held = jax.eval_shape(lambda x: model.init(jax.random.PRNGKey(0), x), x)
    cost = jax.jit(model.apply).lower(held, x).cost_analysis()
    params = sum(leaf.size for leaf in jax.tree.leaves(held))
    return {"flax": int(cost.get("flops", 0)), "flax.params": params}


TOOLS = {
    "torchinfo": torchinfo, "thop": thop, "ptflops": ptflops, "fvcore": fvcore,
    "torch": torch_flops, "calflops": calflops, "onnx-tool": onnx_tool,
    "flax": flax,
}  # fmt: skip


def printed(name):
    """All integers that the installed tools print of a network."""
    found = {}
    for tool, count in TOOLS.items():
        try:
            importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue
        if tool == "flax":  # leaves nothing behind, and JAX's threads do not survive a fork
            found |= guarded(tool, count, name)
        else:
            found |= apart(tool, count, name)
    return found


def guarded(tool, count, name):
    try:
        return count(name)
    except Exception as error:
        return {tool: f"fails: {type(error).__name__}: {str(error)[:80]}"}


def apart(tool, count, name):
    """In a process of its own: some tools leave their patches behind when they fail."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def work():
        with contextlib.redirect_stdout(io.StringIO()):
            there.send(guarded(tool, count, name))

    process = context.Process(target=work)
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        return {tool: "fails: the process ended"}
    finally:
        process.join()


def main(argv):
    for tool in (*TOOLS, "fvcore.nn", "onnx_tool"):  # once, not in every process
        with contextlib.suppress(ImportError):
            importlib.import_module(tool)
    from cnncalc.conventions import CONVENTIONS, totals

    write = "--write" in argv
    names = [a for a in argv if not a.startswith("--")] or [*NETWORKS, *LAYERS]
    golden, bad = {}, 0
    for name in names:
        report = load(name).derive()
        if len(report.input_shapes) != 1 or report.symbols:
            continue
        said = golden[name] = printed(name)
        for key, value in said.items():
            tool, _, params = key.partition(".")
            if tool not in CONVENTIONS or isinstance(value, str):
                print(f"      {name[:60]!r} {key}: {value}")
                continue
            ours = totals(report, tool)
            mine = ours.params if params else ours.total
            bad += mine != value
            if mine != value:
                text = f"it prints {value:,}, we say {mine:,} ({mine - value:+,})"
                print(f"WRONG {name!r} {key}: {text}")
        print(name[:70].replace("\n", " "), len(said), "figures", flush=True)
    print("wrong:", bad)
    if write:
        kept = json.loads(DATA.read_text())
        for name, said in golden.items():
            kept["printed"][name] = kept["printed"].get(name, {}) | said
        for tool in TOOLS:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                kept["versions"][tool] = importlib.metadata.version(tool)
        DATA.write_text(json.dumps(kept, indent=1) + "\n")
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)

"""Fuzzes everything that reads strangers' files.

    python tests/campaigns/fuzz.py TARGET [--minutes 30] [--seed 0] [--keep FOLDER] [--atheris]
    python tests/campaigns/fuzz.py TARGET --replay FILE...

TARGET: spec, expression, prototxt, onnx, keras, archive, sheet, or all (not with atheris). A
finding is an exception other than a refusal, more than two seconds of CPU time for one input, or
1 GiB more memory than before it. With atheris (`pip install atheris`) the inputs are guided by
coverage; without it bundled files are mutated at random. Findings are kept in the folder; a slow
one counts if it is slow without instruments too, as `--replay` runs it.
"""

import argparse
import atexit
import contextlib
import importlib
import io
import json
import os
import pkgutil
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
SLOW, MEMORY = 2.0, 1 << 30
HEAD = b"input: 32x32x3\nlet: {k: 3, n: 4}\nassume: {H: {min: 3}}\nlayers:\n"
SCRATCH = Path(tempfile.mkdtemp(prefix="cnncalc-fuzz-"))


def spec(data: bytes) -> None:
    import cnncalc
    from cnncalc import Report, report
    from cnncalc.source import Source

    found = cnncalc.check(Source(data.decode("utf-8", "replace"), "fuzz.yaml"), run=False)
    for format in ("table", "json", "csv", "github", "sarif"):
        report.render([found], format, width=80, color=False)
    assert isinstance(found, Report)


def expression(data: bytes) -> None:
    from cnncalc import expr
    from cnncalc.diagnostics import Problem
    from cnncalc.formula import FormulaLimit, Symbol, equal

    names = {"H": Symbol("H"), "W": Symbol("W"), "k": 3}
    with contextlib.suppress(expr.ExprError, FormulaLimit, Problem):
        value = expr.evaluate(data.decode("utf-8", "replace"), names.__getitem__)
        str(value)
        equal(value, value + 1)


def model(ending: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        import cnncalc
        from cnncalc import importers
        from cnncalc.diagnostics import Problem
        from cnncalc.source import Source

        path = SCRATCH / f"fuzz{ending}"
        path.write_bytes(data)
        os.environ["CNNCALC_DEBUG"] = "1"
        try:
            text = importers.convert(str(path))
        except Problem:
            return
        finally:
            os.environ.pop("CNNCALC_DEBUG")
        found = cnncalc.check(Source(text, "fuzz.yaml"), run=False)
        wrong = [d for d in found.diagnostics if d.code[0] == "E" and d.code != "E013"]
        assert not wrong, f"an imported spec cannot be read: {wrong[0]}"

    return run


def sheet(data: bytes) -> None:
    import cnncalc
    from cnncalc.homework.grading import grade_sheets
    from cnncalc.homework.key import read_key
    from cnncalc.homework.sheets import Sheet, read_sheets
    from cnncalc.report.grades import render

    global KEY
    if KEY is None:
        KEY = read_key(cnncalc.load("lecture/exercise-1"))
    ending = {ord("{"): ".json", ord("["): ".json", ord("s"): ".csv"}.get(
        data[:1][0] if data else 0, ".yaml"
    )
    path = SCRATCH / f"fuzz{ending}"
    path.write_bytes(data)
    found = list(read_sheets(str(path)))
    sheets = [one for one in found if isinstance(one, Sheet)]
    grades = grade_sheets(KEY, sheets, [one for one in found if not isinstance(one, Sheet)])
    for format in ("table", "json", "csv", "markdown"):
        render(grades, format)


KEY = None
TARGETS: dict[str, Callable[[bytes], None]] = {
    "spec": spec, "expression": expression, "prototxt": model(".prototxt"),
    "onnx": model(".onnx"), "keras": model(".json"), "archive": model(".keras"), "sheet": sheet,
}  # fmt: skip


# --- where inputs come from -------------------------------------------------------------


def seeds(target: str) -> list[bytes]:
    """Good files of the kind, small ones first."""
    data = ROOT / "tests" / "data"
    if target == "spec":
        files = [*ROOT.glob("specs/*.yaml"), *ROOT.glob("specs/*/*.yaml")]
        found = [p.read_bytes() for p in files]
    elif target == "expression":
        found = [b"(H - 11)/4 + 1", b"floor((H + 2*k - 3)/2) + max(W, 3)", b"2**k % 7", b"H*W//3"]
    elif target == "sheet":
        found = [
            b"student: Ann\nanswers:\n  CONV1: {output: 55x55x96, params: 34,944}\n  total: 62M\n",
            b'{"student": "Bo", "answers": {"a": {"output": [32, 32, 10], "macs": 1e3}}}',
            b"student,layer,quantity,answer\nAnn,a,output,32x32x10\nBo,,params,(5*5*3+1)*10\n",
        ]
    elif target == "onnx":
        found = list(_onnx())
    elif target == "archive":
        found = [
            _archive(p.read_bytes())
            for p in data.rglob("*.json")
            if b"class_name" in p.read_bytes()
        ]
    else:
        ending = {"prototxt": "*.prototxt", "keras": "*.json"}[target]
        found = [p.read_bytes() for p in data.rglob(ending)]
        if target == "keras":
            found = [f for f in found if b"class_name" in f]
    return sorted((f for f in found if len(f) < 400_000), key=len)[:60]


def _onnx() -> Iterator[bytes]:
    import cnncalc
    from cnncalc.exporters import export

    for name in ("lenet5", "squeezenet1_1", "resnet18"):
        made = export(cnncalc.load(name), "onnx")
        assert isinstance(made, bytes)
        if len(made) < 400_000:
            yield made
    yield _without_weights()
    yield from (p.read_bytes() for p in (ROOT / "tests" / "data").rglob("*.onnx"))


def _without_weights() -> bytes:
    import onnx
    from onnx import helper

    def conv(i: int) -> onnx.NodeProto:
        return helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], strides=[2, 2])

    floats = onnx.TensorProto.FLOAT
    info = helper.make_tensor_value_info
    inputs = [info("x0", floats, ["N", 3, "H", "W"])]
    inputs += [info(f"w{i}", floats, [8, 3 if i == 0 else 8, 3, 3]) for i in range(3)]
    graph = helper.make_graph([conv(i) for i in range(3)], "g", inputs, [info("x3", floats, None)])
    return bytes(helper.make_model(graph).SerializeToString())


def _archive(config: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0"}))
    return out.getvalue()


TOKENS = [
    b"0", b"-1", b"1", b"999999999", b"1e309", b"9" * 41, b"2**64", b"H", b"k", b"[", b"]", b"{",
    b"}", b"(", b")", b":", b": ", b",", b"\n", b"\n  - ", b"*a", b"&a ", b"<<: ",
    b"!!python/object:os.system ", b"\x00", b"\x1b[2J", "\u202e".encode(), b'"', b"'", b"#",
    b"null", b"true", b"~", b"repeat: {times: 99999, layers: [relu]}", b"same", b"?", b"x", b"%",
    b"[[[[", b"((((", b"- - - -", b"input", b"from: ", b"concat: ", b"nan", b".inf", b"\xff\xfe",
]  # fmt: skip


def mutated(rng: random.Random, pool: list[bytes], start: bytes | None = None) -> bytes:
    """One to eight small changes of one file."""
    data = bytearray(rng.choice(pool) if start is None else start)
    for _ in range(rng.randint(1, 8)):
        at = rng.randint(0, len(data))
        end = min(len(data), at + rng.choice((1, 2, 4, 16, 64, 400)))
        match rng.randrange(9):
            case 0:
                data[at:at] = rng.choice(TOKENS)
            case 1:
                data[at:end] = rng.choice(TOKENS)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end] * rng.choice((1, 2, 50))
            case 4 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 5 if at < len(data):
                data[at] = rng.randrange(256)
            case 6:
                other = rng.choice(pool)
                start = rng.randint(0, len(other))
                data[at:at] = other[start : start + rng.choice((8, 60, 500))]
            case 7:
                numbers = list(re.finditer(rb"\d+", bytes(data)))
                if numbers:
                    chosen = rng.choice(numbers)
                    data[chosen.start() : chosen.end()] = rng.choice(TOKENS[:8])
            case _:
                data[at:] = data[at:][: rng.choice((0, 10, 1000))]
    return bytes(data[:2_100_000])


# --- the campaign -----------------------------------------------------------------------


class TooSlowError(Exception):
    """An input that takes longer than it may."""


def _alarm(number: int, frame: object) -> None:
    raise TooSlowError


def resident() -> int:
    """The memory of this process now, in bytes."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return peak()
    return int(pages.read_text("ascii").split()[1]) * resource.getpagesize()


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def tried(target: str, data: bytes) -> str | None:
    """The finding of one input, or None. CPU time counts: other programs may be running."""
    before = resident()
    signal.signal(signal.SIGVTALRM, _alarm)
    signal.setitimer(signal.ITIMER_VIRTUAL, SLOW)
    try:
        TARGETS[target](data)
    except TooSlowError:
        return "slow\n" + traceback.format_exc(limit=-6)
    except MemoryError:
        return "memory"
    except Exception:
        return traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    grown = peak() - before
    return f"memory: {grown:,} bytes" if grown > MEMORY else None


class Findings:
    """What was found so far, one input for each place; written as soon as it is found."""

    def __init__(self, target: str, keep: Path) -> None:
        self.target, self.keep = target, keep
        self.found: dict[str, bytes] = {}
        self.count, self.begun = 0, time.monotonic()
        keep.mkdir(parents=True, exist_ok=True)

    def run(self, data: bytes) -> None:
        self.count += 1
        what = tried(self.target, data)
        if what is None:
            return
        lines = what.strip().splitlines()
        key = lines[0] if lines[0].startswith(("slow", "memory")) else lines[-1][:60]
        if "\n" in what:
            key += "".join(line for line in lines if line.lstrip().startswith("File "))[-120:]
        if key in self.found and len(data) >= len(self.found[key]):
            return
        if key not in self.found:
            print(f"--- {self.target}: {what}", flush=True)
        self.found[key] = data
        (self.keep / f"{self.target}-{list(self.found).index(key)}").write_bytes(data)

    def summary(self) -> None:
        minutes = (time.monotonic() - self.begun) / 60
        print(f"{self.target}: {self.count:,} inputs in {minutes:.1f} minutes, "
              f"{len(self.found)} findings, {peak() >> 20} MiB at most", flush=True)  # fmt: skip


def campaign(target: str, minutes: float, seed: int, keep: Path) -> int:
    """Mutates until the time is up; the number of different findings."""
    rng, pool = random.Random(seed), seeds(target)
    for data in pool:
        TARGETS[target](data)  # warmed up; and the seeds are good
    findings = Findings(target, keep)
    while time.monotonic() < findings.begun + 60 * minutes:
        findings.run(mutated(rng, pool))
    findings.summary()
    return len(findings.found)


def imported() -> int:
    """Imports everything of cnncalc that reads or judges a file; the number of modules."""
    import cnncalc

    for module in pkgutil.walk_packages(cnncalc.__path__, "cnncalc."):
        if module.name.split(".")[1] not in ("__main__", "jaxrun", "training", "scaling"):
            with contextlib.suppress(ImportError):  # an extra that is not installed
                importlib.import_module(module.name)
    return sum(name.startswith("cnncalc") for name in sys.modules)


def guided(target: str, minutes: float, seed: int, keep: Path) -> None:
    """The same, guided by coverage: inputs that reach new branches are kept and changed again.

    Half of the changes are libFuzzer's, half those of `mutated`. libFuzzer's lines tell the
    branches reached (`cov`), pairs of a branch and its count (`ft`) and the inputs kept (`corp`).
    """
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["cnncalc"]):
        print(f"{imported()} modules instrumented", flush=True)
    pool = seeds(target)
    for data in pool:
        TARGETS[target](data)
    corpus = keep / f"corpus-{target}"
    corpus.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(pool):
        (corpus / f"seed-{i}").write_bytes(data)
    findings = Findings(target, keep)

    def changed(data: bytes, size: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, size))
        return mutated(rng, pool, data)[:size]

    words = [sys.argv[0], str(corpus), f"-max_total_time={int(60 * minutes)}", "-timeout=120",
             f"-seed={seed + 1}", "-max_len=400000", "-len_control=0", f"-rss_limit_mb={4 << 10}",
             f"-artifact_prefix={keep}/"]  # fmt: skip
    atexit.register(findings.summary)
    atheris.Setup(words, findings.run, custom_mutator=changed)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=SCRATCH / "findings")
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--replay", type=Path, nargs="+", help="run these files once each")
    options = parser.parse_args()
    if options.replay:
        TARGETS[options.target](seeds(options.target)[0])  # imports are not counted
        told = [(path, tried(options.target, path.read_bytes())) for path in options.replay]
        for path, what in told:
            print(f"{path}: {what or 'good'}")
        sys.exit(any(what for _, what in told))
    if options.atheris:
        guided(options.target, options.minutes, options.seed, options.keep)
        return
    targets = list(TARGETS) if options.target == "all" else [options.target]
    found = sum(campaign(t, options.minutes, options.seed, options.keep) for t in targets)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

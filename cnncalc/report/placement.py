"""Where a network was placed on a mesh: lines for people, and an object."""

from collections.abc import Iterator
from typing import Any

from ..scaling.mesh import Mesh
from ..scaling.plan import Plan, Use
from ..units import binary
from .words import plural

PARTS = (
    ("parameters", "parameters"), ("optimizer_state", "optimiser state"),
    ("gradients", "gradients"), ("activations", "activations"), ("inputs", "inputs"),
    ("buffers", "buffers"),
)  # fmt: skip
SENDS = (
    ("gradients", "gradients"), ("outputs", "outputs"), ("inputs", "gradients of inputs"),
    ("weights", "weights"), ("statistics", "statistics"),
)  # fmt: skip
FEW = 4  # choices shown in a line


def lines(plan: Plan) -> list[str]:
    """The placement in words: bytes and communication of one device, and what would fit."""
    where = f"{plan.mesh} ({plural(plan.mesh.devices, 'device')})"
    found = [f"placement on {where}, batch {plan.batch}, {plan.dtype}, of each device:"]
    if plan.optimizer is None:
        found.append(f"  forward: {_held(plan.forward)}")
        found += _sends(plan.forward, "  forward: sends")
    if plan.training is not None:
        name = f"a step with {plan.optimizer or 'adam'}"
        found.append(f"  {name}: {_held(plan.training)}")
        found += _sends(plan.training, f"  {name}: sends")
    found.append(f"  {_divided(plan)}")
    if len(plan.choices) > 1:
        shown = "; ".join(
            f"{c.mesh} holds {binary(plan.use(c).total)}, sends {binary(plan.use(c).sent.total)}"
            for c in plan.choices
        )
        found.append(f"  as many devices otherwise: {shown}")
    found += _memory(plan)
    return found + measured(plan)


def _held(use: Use) -> str:
    parts = [(getattr(use, key), label) for key, label in PARTS]
    shown = ", ".join(f"{label} {binary(size)}" for size, label in parts if size)
    return f"{binary(use.total)}: {shown}"


def _sends(use: Use, start: str) -> Iterator[str]:
    if use.sent.total:
        parts = [(getattr(use.sent, key), label) for key, label in SENDS]
        shown = ", ".join(f"{label} {binary(size)}" for size, label in parts if size)
        yield f"{start} {binary(use.sent.total)}: {shown}"


def _divided(plan: Plan) -> str:
    parts = [p for p in plan.weights if p.how != "copied"]
    of = plural(len(plan.weights), "array")
    if not parts:
        return f"parameters: {of}, all copied to every device"
    names = ", ".join(f"{p.layer}/{p.name}" for p in parts[:FEW])
    more = f" and {len(parts) - FEW} more" if len(parts) > FEW else ""
    return f"parameters: {of}, {len(parts)} divided over model ({names}{more})"


def _memory(plan: Plan) -> Iterator[str]:
    if plan.device_memory is None:
        return
    given = f"  with {binary(plan.device_memory)} a device: "
    if plan.optimizer is not None or plan.training is None:
        yield given + ("it fits" if plan.fits else f"it does not fit; {fitting(plan)}")
        return
    for name, use, training in (("forward", plan.forward, False), ("adam", plan.training, True)):
        what = "the forward run" if name == "forward" else "a step with adam"
        fits = use.total <= plan.device_memory
        yield f"{given}{what} " + ("fits" if fits else f"does not fit; {fitting(plan, training)}")


def fitting(plan: Plan, training: bool | None = None) -> str:
    """Which meshes of as many devices would fit."""
    found = ", ".join(str(mesh) for mesh in plan.fitting(training))
    if found:
        return f"{found} would"
    return f"no mesh of {plural(plan.mesh.devices, 'device')} does"


def measured(plan: Plan) -> list[str]:
    """What JAX placed beside what was derived; [] before the run."""
    got = plan.measured
    if not got:
        return []
    use = plan.use()
    named = dict(PARTS)
    both = [(k, got[k], getattr(use, k)) for k in named if k in got]
    same = [named[k] for k, real, derived in both if real == derived]
    found = []
    if same:
        found.append(f"  placed by JAX: {', '.join(same)} to the byte as derived")
    for key, real, derived in both:
        if real != derived:
            text = f"  placed by JAX: {named[key]} {real:,} bytes, derived {derived:,}"
            found.append(text)
    if "temporaries" in got:
        kept = use.gradients + use.activations
        found.append(
            f"  allotted by XLA: arguments {binary(got['arguments'])} "
            f"(derived {binary(use.total - kept)}), temporaries {binary(got['temporaries'])} "
            f"(gradients and activations: {binary(kept)})"
        )
    if "communication" in got:
        found.append(
            f"  sent by XLA's collectives: {binary(got['communication'])} "
            f"(derived {binary(use.sent.total)})"
        )
    return found


def body(plan: Plan) -> dict[str, Any]:
    """The object under `placement`; bytes of one device."""
    return {
        "mesh": _mesh(plan.mesh),
        "devices": plan.mesh.devices,
        "batch": plan.batch,
        "dtype": plan.dtype,
        "optimizer": plan.optimizer,
        "per_device": _figures(plan.use()),
        "training": None if plan.training is None else _figures(plan.training),
        "communication": _sent(plan.use()),
        "device_memory": plan.device_memory,
        "fits": plan.fits,
        "choices": [
            {
                "mesh": _mesh(c.mesh),
                "total": plan.use(c).total,
                "communication": plan.use(c).sent.total,
                "fits": None if plan.device_memory is None else c.mesh in plan.fitting(),
            }
            for c in plan.choices
        ],
        "weights": [
            {
                "layer": p.layer, "name": p.name, "shape": list(p.shape),
                "axes": [*[None] * (len(p.shape) - 1), None if p.how == "copied" else "model"],
                "use": p.how,
            }
            for p in plan.weights
        ],
        "measured": dict(plan.measured) or None,
    }  # fmt: skip


def _mesh(mesh: Mesh) -> dict[str, int]:
    return mesh._asdict()


def _figures(use: Use) -> dict[str, int]:
    found = {key: getattr(use, key) for key, _ in PARTS}
    return {**found, "total": use.total, "communication": use.sent.total}


def _sent(use: Use) -> dict[str, int]:
    return {**use.sent._asdict(), "total": use.sent.total}

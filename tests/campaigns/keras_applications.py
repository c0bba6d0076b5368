"""All of keras.applications: to_json() imported, totals and every layer's size compared.

    KERAS_BACKEND=jax python tests/campaigns/keras_applications.py [NAME...]

Needs keras. Trainable and other parameters are compared apart; the exit status is 1 where a
model differs.
"""

import os
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras import applications

from cnncalc import load
from cnncalc.importers.keras import draft
from cnncalc.importers.writing import write


def names():
    return [n for n in dir(applications) if n[0].isupper()]


def judge(name, folder):
    model = getattr(applications, name)(weights=None)
    path = os.path.join(folder, f"{name}.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(model.to_json())
    made = draft(path)
    report = load(write(made)).derive()
    trainable = sum(w.numpy().size for w in model.trainable_weights)
    total = report.totals.params + report.totals.buffers
    compared, wrong = 0, []
    for layer in model.layers:
        shape = getattr(layer.output, "shape", None)
        ours = made.shapes.get(layer.name)
        if shape is None or ours is None:
            continue
        compared += 1
        if [n if isinstance(n, int) else None for n in ours] != list(shape[1:]):
            wrong.append(layer.name)
    opaque = sum(row.op == "opaque" for row in report.layers)
    good = (report.totals.params, total) == (trainable, model.count_params()) and not wrong
    print(
        f"{name:20} {compared:4} sizes {len(wrong):3} differ  trainable {report.totals.params:>11,}"
        f" of {trainable:>11,}  total {total:>11,} of {model.count_params():>11,}"
        f"  opaque {opaque}  {'ok' if good else 'DIFFERS ' + ', '.join(wrong[:3])}",
        flush=True,
    )
    keras.backend.clear_session()
    return good


def main(*wanted):
    with tempfile.TemporaryDirectory() as folder:
        verdicts = {name: judge(name, folder) for name in wanted or names()}
    good = sum(verdicts.values())
    print(f"{good} of {len(verdicts)} models agree in everything")
    return int(good < len(verdicts))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Every bundled spec written for torch and onnx, executed, and compared with its derivation.

Run: python tests/campaigns/exports.py [NAME...]. Large networks run in PyTorch on the meta
device, and in ONNX by shape inference without weights; others in ONNX Runtime too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import test_export_onnx
import test_export_torch

import cnncalc
from cnncalc import bundled


def main(names):
    bad = 0
    for name in names or bundled.names():
        totals = cnncalc.load(name).derive().totals
        try:
            test_export_torch.check(name)
            if "fully" not in name:
                test_export_onnx.test_larger_networks_by_shape_inference(name)
            if totals.params < 30_000_000:
                test_export_onnx.check(name)
            print("ok   ", name)
        except Exception as error:
            bad += 1
            print("WRONG", name, type(error).__name__, str(error)[:300])
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)

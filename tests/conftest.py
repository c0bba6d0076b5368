"""Hypothesis draws the same examples at every run in CI, and fresh ones elsewhere; what JAX
compiles is cached in a folder of the test run's own."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

if "CNNCALC_TEST_CACHE" not in os.environ:  # once, for all processes of the run
    folder = tempfile.mkdtemp(prefix="cnncalc-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["CNNCALC_TEST_CACHE"] = os.environ["XDG_CACHE_HOME"] = folder

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

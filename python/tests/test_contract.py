"""The package behind the cross-SDK contract tests, without what needs databases or takes minutes.

``make conformance`` runs all of it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ldclient

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "contract-tests" / "python" / "service.py"
#: Ten times what building the suite takes on a machine that has built the rest, and what running it takes.
BUILD_TIMEOUT = 600
RUN_TIMEOUT = 300


@pytest.fixture(scope="module")
def suite():
    """The program that does the tests, as it stands in this checkout."""
    if shutil.which("cargo") is None or not SERVICE.exists():
        pytest.skip("the contract tests need Cargo and the whole checkout")
    command = ["cargo", "build", "--quiet", "--package", "conformance", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=BUILD_TIMEOUT, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(message["executable"] for message in messages if message.get("executable"))


def test_the_package_conforms(suite):
    command = shlex.join([sys.executable, str(SERVICE)])
    # The service is to find the package where this process found it.
    environment = {**os.environ, "PYTHONPATH": str(Path(ldclient.__file__).parents[1])}
    run = subprocess.run(
        [suite, "--command", command], env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT)
    assert run.returncode == 0, run.stdout + run.stderr
    # A suite that runs nothing finds nothing.
    counted = re.search(r"^(\d+) passed, 0 failed, ", run.stdout, re.MULTILINE)
    assert counted and int(counted.group(1)) > 700, run.stdout

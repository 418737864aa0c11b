# SPDX-License-Identifier: MIT
"""Fixtures: the images a test boots, and a directory of its own for its logs."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import qemu  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only with PAL_LONG=1")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("PAL_LONG") == "1":
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="set PAL_LONG=1"))


@pytest.fixture(scope="session", autouse=True)
def images():
    """Kernels and initial RAM disks; several pytest processes may ask at once (a lock is in there)."""
    if qemu.HV != qemu.NATIVE and not qemu.HV.exists():
        pytest.exit(f"{qemu.HV}: not built", returncode=2)
    subprocess.run([qemu.TOP / "tools/dom0-image/build.sh"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def directory(request):
    """build/e2e/<test>/: the serial log and the command line stay there."""
    name = re.sub(r"[^\w.=-]+", "_", request.node.name).strip("_")
    return qemu.BUILD / "e2e" / name

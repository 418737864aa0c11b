# SPDX-License-Identifier: MIT
"""Fixtures: the images a test boots, and a directory of its own for its logs."""

import collections
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
    config.addinivalue_line("markers", "soak: only with PAL_SOAK=1")
    # One line a test as it ends, for whoever must know what was reached when the run is cut short.
    if "PAL_RESULTS" in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(os.environ["PAL_RESULTS"]))


class Results:
    """Writes `expected N`, then `passed NAME` or `failed NAME` for each test; what is skipped is not expected."""

    def __init__(self, path):
        self.path = path
        self.expected = None
        self.done = set()  # what has been said, or will not be

    def say(self, line):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def expect(self, number):
        if self.expected != number:
            self.expected = number
            self.say(f"expected {number}")

    def pytest_collection_finish(self, session):
        if session.items:
            self.expect(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        self.expect(len(ids))

    def pytest_runtest_logreport(self, report):
        if report.nodeid in self.done:
            return
        if report.skipped:
            self.expect(self.expected - 1)
        elif report.failed:
            self.say(f"failed {report.nodeid}")
        elif report.when == "teardown":
            self.say(f"passed {report.nodeid}")
        else:
            return
        self.done.add(report.nodeid)


def pytest_collection_modifyitems(config, items):
    names = collections.Counter(item.name for item in items)
    twice = sorted(name for name in names if names[name] > 1)
    if twice:
        raise pytest.UsageError(f"two tests of one name have one directory: {', '.join(twice)}")
    for mark in ("long", "soak"):
        if os.environ.get(f"PAL_{mark.upper()}") == "1":
            continue
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(mark)])
        items[:] = [item for item in items if not item.get_closest_marker(mark)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    """For fixtures that keep a machine from test to test: a failure is counted only after their end, and not when the test is run again."""
    item.went_wrong = call.excinfo is not None


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

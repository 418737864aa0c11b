# SPDX-License-Identifier: MIT
"""What programs in domain 0 ask of the machine (tests/e2e/guest/), on three kinds of CPU."""

import pytest

from checks import run_checks
from qemu import PARALLEL, Machine

GROUPS = {
    "time": ("system", "signals", "threads", "fpu", "timers", "dmesg"),
    "domains": ("domains", "shares", "dmesg"),
    "memory": ("legacy", "far", "debugging", "processes", "memory", "dmesg"),
}
MACHINES = {
    "qemu64-2": Machine(cpu="qemu64", cpus=2, kernel="6.1", accel=PARALLEL),
    "Haswell-1": Machine(cpu="Haswell", cpus=1, kernel="6.1"),
    "max-4": Machine(
        cpu="max", machine="q35", cpus=4, kernel="6.12", memory="4G", dom0_mem="2G", accel=PARALLEL
    ),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("machine", MACHINES)
def test_guest(machine, group, directory):
    verdicts = run_checks(MACHINES[machine], directory, GROUPS[group], kernel_args="vsyscall=emulate")
    if group == "time" and machine != "qemu64-2":
        assert "fpu.switch-sse" in verdicts, "AVX was not seen on a CPU that has it"


def test_vsyscall_refused(directory):
    """Debian's default: the page is not there, and using it is a fault the program sees."""
    run_checks(Machine(), directory, ("legacy", "dmesg"))

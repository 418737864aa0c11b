# SPDX-License-Identifier: MIT
"""Domain 0 comes up, works and powers off on every kind of machine.

By default a subset in which every pair of (CPU model, board, firmware, CPUs,
memory, kernel) meets; PAL_MATRIX=full runs all of it.  The plain `-kernel`
start is tried with every CPU model and both kernels in either case.
"""

import os

import pytest

from checks import run_checks
from covering import all_rows, covering_rows
from qemu import PARALLEL, Machine

CPUS = ("qemu64", "Nehalem", "Haswell", "EPYC", "max")
BOARDS = ("pc", "q35")
LOADERS = ("bios", "uefi")
COUNTS = (1, 2, 4)
# Memory of the machine: memory of domain 0 in MiB (None: whatever the hypervisor gives without dom0_mem).
MEMORIES = {"512M": 320, "2G": 1024, "5G": 4096, "16G": None}
KERNELS = ("6.1", "6.12")

DIMENSIONS = (CPUS, BOARDS, LOADERS, COUNTS, tuple(MEMORIES), KERNELS)
ROWS = all_rows(DIMENSIONS) if os.environ.get("PAL_MATRIX") == "full" else covering_rows(DIMENSIONS)

CHECKS = ("system", "fpu", "dmesg")


def host_megabytes():
    with open("/proc/meminfo") as text:
        return next(int(line.split()[1]) // 1024 for line in text if line.startswith("MemAvailable:"))


def run(directory, machine, dom0_megabytes):
    dom0_mem = f"{dom0_megabytes}M" if dom0_megabytes else ""
    expected = dom0_megabytes or int(machine.memory[:-1]) * 1024
    machine.dom0_mem = dom0_mem
    run_checks(machine, directory, CHECKS, kernel_args=f"pal.memory={expected}")


@pytest.mark.parametrize("row", ROWS, ids=["-".join(map(str, row)) for row in ROWS])
def test_matrix(row, directory):
    cpu, board, loader, count, memory, kernel = row
    if memory == "16G" and host_megabytes() < 4096:
        pytest.skip("the host has less than 4 GiB to lend")
    run(
        directory,
        Machine(cpu=cpu, machine=board, loader=loader, cpus=count, memory=memory, kernel=kernel),
        MEMORIES[memory],
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cpu", CPUS)
def test_plain_start(cpu, kernel, directory):
    run(directory, Machine(cpu=cpu, kernel=kernel), 1024)


def test_eight_cpus(directory):
    run(directory, Machine(cpu="max", machine="q35", cpus=8, memory="4G", accel=PARALLEL), 2048)


@pytest.mark.parametrize("kernel", KERNELS)
def test_smallest_domain(kernel, directory):
    """256 MiB is enough for domain 0."""
    run(directory, Machine(kernel=kernel, memory="1G"), 256)

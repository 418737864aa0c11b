# SPDX-License-Identifier: MIT
"""From power-on to power-off: the prompt, the console, how a run ends, options."""

import pytest

from checks import BOOT_LIMIT
from qemu import Machine, Qemu

PROMPT = r"dom0:\S+ # |dom0:\S+# "


@pytest.mark.parametrize("kernel", ("6.1", "6.12"))
def test_prompt(kernel, directory):
    """A shell on the console takes what is typed and `exit` powers the machine off."""
    with Qemu(Machine(kernel=kernel), directory) as qemu:
        qemu.expect(PROMPT, BOOT_LIMIT)
        for number in range(3):
            qemu.send_line(f"echo answer $(({number} + 40))")
            qemu.expect(rf"answer {number + 40}\b", 30)
        # A long line, more than any receive buffer of the serial port.
        qemu.send_line("echo " + "x" * 300 + " | wc -c")
        qemu.expect(r"\b301\b", 30)
        qemu.send_line("exit")
        qemu.wait_exit(60)
        assert qemu.shutdown_reason() == "guest-shutdown"
        qemu.check_log()


ENDS = {
    "pc-kernel": Machine(),
    "q35-bios": Machine(machine="q35", loader="bios"),
    "q35-uefi": Machine(machine="q35", loader="uefi"),
    "pc-uefi": Machine(loader="uefi"),
}


# Power-off on the other machines is part of the matrix.
@pytest.mark.parametrize(
    "machine, end, reason",
    [("pc-kernel", "poweroff", "guest-shutdown"), *((machine, "reboot", "guest-reset") for machine in ENDS)],
)
def test_end(machine, end, reason, directory):
    described = ENDS[machine]
    described.kernel_args = f"loglevel=5 pal.run=dmesg pal.end={end}"
    with Qemu(described, directory) as qemu:
        qemu.expect(r"PAL-RUN-END failed=0", BOOT_LIMIT)
        qemu.wait_exit(60)
        assert qemu.shutdown_reason() == reason
        qemu.check_log()


def test_domain0_panic(directory):
    """A domain-0 kernel that panics is reported, and the machine starts over."""
    with Qemu(Machine(), directory) as qemu:
        qemu.expect(PROMPT, BOOT_LIMIT)
        qemu.send_line("echo c >/proc/sysrq-trigger")
        qemu.expect(r"Kernel panic - not syncing: sysrq triggered crash", 60, early=())
        qemu.wait_exit(90)
        assert qemu.shutdown_reason() == "guest-reset"


def test_unknown_option(directory):
    """An option that means nothing is named in the log and does no harm."""
    with Qemu(Machine(hv_args="frobnicate=7 loglvl=all"), directory) as qemu:
        qemu.expect(r"frobnicate", BOOT_LIMIT)
        qemu.expect(r"PAL-INIT", BOOT_LIMIT)
        # The loader may echo the whole line; the report is apart from that.
        lines = [line for line in qemu.text().splitlines() if "frobnicate" in line and "loglvl" not in line]
        assert len(lines) == 1, lines


def test_max_vcpus(directory):
    """Domain 0 may have fewer virtual CPUs than the machine has CPUs."""
    with Qemu(Machine(cpus=4, hv_args="dom0_max_vcpus=2"), directory) as qemu:
        qemu.expect(PROMPT, BOOT_LIMIT)
        qemu.send_line("echo cpus=$(nproc)")
        qemu.expect(r"cpus=2\b", 30)
        qemu.check_log()

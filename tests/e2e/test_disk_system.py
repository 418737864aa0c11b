# SPDX-License-Identifier: MIT
"""A real Debian user space on a disk: systemd, udev, login."""

import os
import subprocess

import pytest

from qemu import BUILD, PARALLEL, TOP, Machine, Qemu

# The shell's own echo of the command must not match: it has the quotes.
MARK = "echo 'PAL''-DONE' status=$?"


@pytest.fixture(scope="module")
def disk():
    subprocess.run([TOP / "tools/dom0-image/mkdisk.sh"], check=True, stdout=subprocess.DEVNULL)
    return BUILD / "dom0/debian.img"


def disk_machine(disk, **description):
    # What is written goes to a temporary file of QEMU's; the image stays as it was made.
    devices = ("-drive", f"if=virtio,format=raw,snapshot=on,file={disk}", "-nic", "user,model=virtio-net-pci")
    return Machine(devices=devices, kernel_args="root=/dev/vda loglevel=5", **description)


def log_in(qemu):
    qemu.expect(r"login: ", 300)
    qemu.send_line("root")
    qemu.expect(r"root@\S+# ", 60)


def command(qemu, line, limit=60):
    """Runs a shell command; returns its status."""
    qemu.send_line(f"{line}; {MARK}")
    return int(qemu.expect(r"PAL-DONE status=(\d+)", limit).group(1))


@pytest.mark.parametrize("kernel", ("6.1", "6.12"))
def test_login(kernel, disk, directory):
    with Qemu(disk_machine(disk, kernel=kernel), directory) as qemu:
        log_in(qemu)
        assert command(qemu, "timeout 300 systemctl is-system-running --wait", 330) == 0, qemu.tail()
        assert command(qemu, "test -z \"$(systemctl --failed --no-legend)\"") == 0, qemu.tail()
        # The address may be there later than the prompt.
        ping = "timeout 120 sh -c 'until ping -c 1 -W 5 10.0.2.2; do sleep 1; done'"
        assert command(qemu, ping, 150) == 0, qemu.tail()
        qemu.send_line("systemctl poweroff")
        qemu.wait_exit(120)
        assert qemu.shutdown_reason() == "guest-shutdown"
        qemu.check_log()


LONG_SECONDS = int(os.environ.get("PAL_LONG_SECONDS", "600"))
STRESS = "--cpu 2 --vm 2 --vm-bytes 30% --fork 2 --mmap 2 --mmap-bytes 10% --sigq 2 --sigsegv 1 --switch 2 --verify"


@pytest.mark.long
@pytest.mark.parametrize("cpus, cpu", ((2, "qemu64"), (4, "max")))
def test_stress(cpus, cpu, disk, directory):
    """Minutes of load of every class at once, without a warning in either log."""
    machine = disk_machine(disk, cpu=cpu, cpus=cpus, memory="2G", dom0_mem="1536M", accel=PARALLEL)
    with Qemu(machine, directory) as qemu:
        log_in(qemu)
        status = command(qemu, f"stress-ng {STRESS} --timeout {LONG_SECONDS}s --metrics-brief", LONG_SECONDS + 300)
        assert status == 0, qemu.tail()
        assert command(qemu, "/lib/modules/checks/audit") == 0, qemu.tail()
        assert command(qemu, "dmesg --level=emerg,alert,crit,err,warn | tail -n 40") == 0
        qemu.send_line("systemctl poweroff")
        qemu.wait_exit(180)
        qemu.check_log()

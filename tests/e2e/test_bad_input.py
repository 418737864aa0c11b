# SPDX-License-Identifier: MIT
"""Bad input to the boot ends in exactly one message, PAL-BOOT-NNN (the list: README.md)."""

import random
import re
import struct
import time

import pytest

from qemu import FATAL, TIME_SCALE, Machine, Qemu, initrd_image, kernel_image

CODE = re.compile(r"PAL-BOOT-(\d{3})")
SETTLE_SECONDS = 3


def expect_code(machine, directory, code):
    with Qemu(machine, directory) as qemu:
        qemu.expect(r"PAL-BOOT-\d{3}[^\n]*\n", 90)
        # What comes after the message, if anything: a halt or a restart, but not another complaint.
        deadline = time.monotonic() + SETTLE_SECONDS * TIME_SCALE
        while time.monotonic() < deadline and qemu.child.proc.poll() is None:
            time.sleep(0.1)
        lines = [line for line in qemu.text().splitlines() if CODE.search(line)]
        codes = [CODE.search(line).group(1) for line in lines]
        if codes != [code]:
            qemu.fail(f"codes {codes}, expected {code} once")
        words = lines[0].split(f"PAL-BOOT-{code}")[1].split()
        assert len(words) >= 3, f"not a sentence: {lines[0]!r}"
        bad = [line for line in qemu.fatal_lines(FATAL) if line not in lines]
        assert not bad, bad
        assert "PAL-INIT" not in qemu.text()


def spoiled(directory, name, content):
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("loader", ("kernel", "bios"))
def test_no_module(loader, directory):
    expect_code(Machine(kernel=None, loader=loader), directory, "001")


def truncated(data):
    return data[: len(data) // 3]


def damaged(data):
    """A few bytes changed in the middle of the packed kernel: only its checksum can tell."""
    changed = bytearray(data)
    for at in range(len(data) // 2, len(data) // 2 + 64):
        changed[at] ^= 0x55
    return bytes(changed)


def garbage(data):
    return random.Random(1).randbytes(1 << 20)


def header_only(data):
    return data[:1024]


def long_payload(data):
    """The setup header promises more payload than the file has."""
    return data[:0x24C] + struct.pack("<I", 0x7FFFFFFF) + data[0x250:]


@pytest.mark.parametrize("spoil", (truncated, damaged, garbage, header_only, long_payload))
@pytest.mark.parametrize("version", ("6.1", "6.12"))
def test_unreadable_kernel(version, spoil, directory):
    if spoil is garbage and version != "6.1":
        pytest.skip("the same bytes for either kernel")
    kernel = spoiled(directory, "kernel", spoil(kernel_image(version).read_bytes()))
    expect_code(Machine(kernel=kernel), directory, "002")


def plain_elf():
    """A well-formed 64-bit ELF program: one segment, no notes."""
    code = b"\xeb\xfe"
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 120, 0x1000000, 0x1000000, len(code), len(code), 16)
    return header + segment + code


def test_kernel_without_notes(directory):
    expect_code(Machine(kernel=spoiled(directory, "kernel", plain_elf())), directory, "003")


def test_initrd_too_large(directory):
    directory.mkdir(parents=True, exist_ok=True)
    initrd = directory / "initrd"
    with open(initrd, "wb") as file:
        file.truncate(400 << 20)
    expect_code(Machine(dom0_mem="256M", initrd=initrd), directory, "004")
    initrd.unlink()


@pytest.mark.parametrize("value", ("abc", "1X", "-1G", "99999999999999999999G"))
def test_dom0_mem_not_understood(value, directory):
    expect_code(Machine(dom0_mem=value), directory, "005")


@pytest.mark.parametrize("value", ("2G", "64G", "1048576G"))
def test_dom0_mem_more_than_there_is(value, directory):
    expect_code(Machine(dom0_mem=value), directory, "006")


@pytest.mark.parametrize("value", ("1M", "0"))
def test_dom0_mem_too_small(value, directory):
    expect_code(Machine(dom0_mem=value), directory, "007")


def test_good_after_all(directory):
    """The same machine with nothing spoiled: the tests above fail for the reason they name."""
    machine = Machine(kernel_args="pal.run=dmesg", initrd=initrd_image("6.1"))
    with Qemu(machine, directory) as qemu:
        qemu.expect(r"PAL-RUN-END", 180)
        assert not CODE.search(qemu.text())

# SPDX-License-Identifier: MIT
"""Domain 0's stock drivers move data: disks, network cards, USB input."""

import hashlib
import random
import time

import pytest

from checks import run_checks
from qemu import Machine

# QEMU's model: the driver that must be bound to it.
CARDS = {
    "e1000": "e1000",
    "e1000e": "e1000e",
    "pcnet": "pcnet32",
    "i82557b": "e100",
    "tulip": "tulip",
    "virtio-net-pci": "virtio_net",
}
DISK_BYTES = 64 << 20


@pytest.fixture
def payload(directory):
    """A directory with a file of known content for QEMU's TFTP server."""
    served = directory / "tftp"
    served.mkdir(parents=True, exist_ok=True)
    content = random.Random(2).randbytes(1 << 20)
    (served / "payload").write_bytes(content)
    (served / "payload.md5").write_text(f"{hashlib.md5(content).hexdigest()}  payload\n")
    return served


def card_machine(card, payload, **description):
    network = f"user,id=net,tftp={payload},guestfwd=tcp:10.0.2.100:7-cmd:cat"
    return Machine(devices=("-netdev", network, "-device", f"{card},netdev=net"), **description)


@pytest.mark.parametrize("card", CARDS)
def test_card(card, directory, payload):
    run_checks(card_machine(card, payload), directory, ("net", "dmesg"), kernel_args=f"pal.driver={CARDS[card]}")


@pytest.mark.parametrize("card", ("e1000e", "virtio-net-pci"))
def test_card_q35(card, directory, payload):
    """Message-signalled interrupts on the newer board, newer kernel, more CPUs."""
    machine = card_machine(card, payload, machine="q35", cpus=4, kernel="6.12", cpu="max")
    run_checks(machine, directory, ("net", "dmesg"), kernel_args=f"pal.driver={CARDS[card]}")


def scratch_disk(directory, name):
    path = directory / f"{name}.img"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as disk:
        disk.truncate(DISK_BYTES)
    return path


def drive(directory, name):
    return ("-drive", f"if=none,id={name},format=raw,cache=unsafe,file={scratch_disk(directory, name)}")


@pytest.mark.parametrize("kernel", ("6.1", "6.12"))
def test_disks(kernel, directory):
    """virtio-blk and the board's own AHCI at once."""
    devices = ("-nic", "none", *drive(directory, "virtio"), *drive(directory, "ahci"))
    devices += ("-device", "virtio-blk-pci,drive=virtio", "-device", "ide-hd,drive=ahci,bus=ide.0")
    machine = Machine(machine="q35", kernel=kernel, devices=devices)
    run_checks(machine, directory, ("disk", "dmesg"), kernel_args="pal.disk=vda,sda")


def test_disk_added_ahci(directory):
    """An AHCI controller in a slot of the older board: interrupts by another route."""
    devices = ("-nic", "none", *drive(directory, "ahci"), "-device", "ahci,id=ahci0")
    devices += ("-device", "ide-hd,drive=ahci,bus=ahci0.0")
    run_checks(Machine(devices=devices), directory, ("disk", "dmesg"), kernel_args="pal.disk=sda")


def type_keys(qemu):
    qemu.expect(r"PAL-INPUT-READY", 60)
    for _ in range(20):
        for key in "pal":
            qemu.monitor(f"sendkey {key} 50")
            time.sleep(0.2)
        if "PAL-CHECK input.keys" in qemu.text():
            return
        time.sleep(1)


USB = {
    "xhci": Machine(machine="q35", devices=("-nic", "none", "-device", "qemu-xhci", "-device", "usb-kbd")),
    "uhci": Machine(devices=("-nic", "none", "-device", "piix3-usb-uhci", "-device", "usb-kbd")),
    "ehci": Machine(
        machine="q35",
        devices=("-nic", "none", "-device", "usb-ehci,id=ehci", "-device", "usb-kbd,bus=ehci.0"),
    ),
}


@pytest.mark.parametrize("controller", USB)
def test_usb_keyboard(controller, directory):
    run_checks(USB[controller], directory, ("input", "dmesg"), during=type_keys)

# SPDX-License-Identifier: MIT
"""Memory moves between running domains: asked for, by force of the maximum, and to make room."""

import pytest

from qemu import Qemu
from test_domains import domain0, domains_image, machine, wait_console  # noqa: F401

MIB = 1 << 20
NEAR = MIB + 4096

GUEST = """<domain type='xen'><name>{name}</name><memory unit='MiB'>{most}</memory>
<currentMemory unit='MiB'>{now}</currentMemory>
<metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'>{ours}</pal:domain></metadata>
<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/vmlinuz</kernel>
<initrd>/guest/initrd.gz</initrd><cmdline>console=hvc0</cmdline></os>
<devices><console type='pty'><target type='xen' port='0'/></console></devices></domain>"""


@pytest.fixture
def control(directory):
    with Qemu(machine(), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


def describe(control, name, most, now, least=0):
    ours = f"<pal:minimum unit='MiB'>{least}</pal:minimum>" if least else ""
    text = GUEST.format(name=name, most=most, now=now, ours=ours)
    for number, line in enumerate(text.splitlines()):
        control.run(f'''echo "{line}" >{'>' if number else ''}/tmp/{name}.xml''')


def memory(control):
    """What `pal mem` says, whose parts must make up the machine."""
    m = control.json("pal mem")
    parts = ("image_bytes", "tables_bytes", "heap_bytes", "moving_bytes", "free_bytes")
    domains = {d["name"]: d for d in m["domains"]}
    assert sum(m[part] for part in parts) + sum(d["current_bytes"] for d in domains.values()) == m["machine_bytes"]
    return m, domains


def has(control, name, mib):
    got = memory(control)[1][name]["current_bytes"]
    assert abs(got - mib * MIB) <= NEAR, f"{name} has {got / MIB} MiB, not {mib}"


def guest_total(control):
    """What the guest's own kernel counts, in MiB."""
    control.qemu.send_line("pal console g")
    control.qemu.expect(r"Connected|Ctrl", 30, early=())
    control.qemu.send_line("")
    control.qemu.expect(r"guest:\S+# ", 60)
    control.qemu.send_line("echo total=$(grep MemTotal /proc/meminfo | tr -dc 0-9)=")
    control.qemu.expect(r"total=(\d+)=", 60)
    kib = int(control.qemu.child.match.group(1))
    control.qemu.child.send("\x1d")
    control.qemu.expect(r"dom0:\S+# ", 30)
    return kib >> 10


def test_balloon(control):
    """Down, up above what it was started with, refusals, a domain that does not answer, domain 0 itself."""
    describe(control, "g", 384, 256, least=96)
    control.json("pal create /tmp/g.xml", limit=120)
    wait_console(control, "g", r"GUEST-INIT", 120)
    has(control, "g", 256)
    before = guest_total(control)

    control.json("pal balloon g 128M --wait", limit=90)
    has(control, "g", 128)
    assert 118 <= before - guest_total(control) <= 130
    control.json("pal balloon g 384M --wait", limit=90)
    has(control, "g", 384)
    assert guest_total(control) > before + 110

    control.error("pal balloon g 64M", 2, "PAL-MEM-004")
    control.error("pal balloon g 385M", 2, "PAL-MEM-004")
    control.error("pal balloon g 0", 2, "PAL-USE-001")
    control.error("pal balloon g 99999999999999999999G", 2, "PAL-USE-001")
    control.error("pal balloon nobody 128M", 3, "PAL-DOM-001")
    assert memory(control)[1]["g"]["target_bytes"] == 384 * MIB, "a refusal changed the target"

    control.json("pal pause g")
    control.error("pal balloon g 256M --wait", 7, "PAL-MEM-006")
    fixed = memory(control)[1]["g"]
    assert fixed["limit_bytes"] == fixed["target_bytes"] == fixed["current_bytes"]
    control.json("pal unpause g")
    control.json("pal balloon g 256M --wait", limit=90)

    total = memory(control)[1]["Domain-0"]["current_bytes"] // MIB
    control.json(f"pal balloon Domain-0 {total - 128}M --wait", limit=90)
    has(control, "Domain-0", total - 128)
    control.error("pal balloon Domain-0 64M", 2, "PAL-MEM-004")
    control.error(f"pal balloon Domain-0 {total + 1}M", 2, "PAL-MEM-004")
    control.json(f"pal balloon Domain-0 {total}M --wait", limit=90)
    has(control, "Domain-0", total)
    control.run("pal destroy g")
    control.run("/checks/audit", limit=120)


def test_making_room(control):
    """A domain that does not fit: others shrink, down to their floors and no further; or nothing changes."""
    describe(control, "g", 384, 384, least=96)
    describe(control, "fixed", 192, 192)
    control.json("pal create /tmp/g.xml", limit=120)
    control.json("pal create /tmp/fixed.xml", limit=120)
    wait_console(control, "g", r"GUEST-INIT", 120)
    wait_console(control, "fixed", r"GUEST-INIT", 120)
    m, before = memory(control)
    free = m["free_bytes"] // MIB

    describe(control, "far", free + 4096, free + 4096)
    control.error("pal create /tmp/far.xml", 5, "PAL-MEM-001")
    assert {n: d["target_bytes"] for n, d in memory(control)[1].items()} == {
        n: d["target_bytes"] for n, d in before.items()
    }, "a refusal moved memory"

    describe(control, "big", free + 160, free + 160)
    text = control.run("pal create /tmp/big.xml", limit=180)
    assert "making room: g gives" in text and "fixed gives" not in text
    after = memory(control)[1]
    assert after["big"]["current_bytes"] == (free + 160) * MIB
    assert after["fixed"]["current_bytes"] == before["fixed"]["current_bytes"]
    assert after["g"]["current_bytes"] >= 96 * MIB
    wait_console(control, "big", r"GUEST-INIT", 120)
    for name in ("big", "g", "fixed"):
        control.run(f"pal destroy {name}")
    control.run("/checks/audit", limit=120)

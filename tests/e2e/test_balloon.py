# SPDX-License-Identifier: MIT
"""Memory moves between running domains: asked for, by force of the maximum, and to make room."""

import pytest

from qemu import Qemu
from test_domains import audit, domain0, domains_image, machine, steps, wait_console  # noqa: F401

MIB = 1 << 20
NEAR = MIB + 4096

GUEST = """<domain type='xen'><name>{name}</name><memory unit='MiB'>{most}</memory>
<currentMemory unit='MiB'>{now}</currentMemory>
<metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'>{ours}</pal:domain></metadata>
<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/vmlinuz</kernel>
<initrd>/guest/initrd.gz</initrd><cmdline>console=hvc0 guest.agent</cmdline></os>
<devices><console type='pty'><target type='xen' port='0'/></console></devices></domain>"""
# One emulated CPU whose clock counts instructions: what happens does not depend on the host's load, and waiting takes no time.
COUNTED = {"cpus": 1, "extra": ("-icount", "shift=0,sleep=off")}


@pytest.fixture
def control(request, directory):
    with Qemu(machine(**getattr(request, "param", {})), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


def describe(control, name, most, now, least=0):
    ours = f"<pal:minimum unit='MiB'>{least}</pal:minimum>" if least else ""
    text = GUEST.format(name=name, most=most, now=now, ours=ours)
    for number, line in enumerate(text.splitlines()):
        control.run(f'''echo "{line}" >{'>' if number else ''}/tmp/{name}.xml''')


def memory(control, after=":", limit=60):
    """What `pal mem` says at the moment when a command has succeeded, whose parts must make up the machine.

    It asks for one part after the other; when memory moved meanwhile they are asked for again.
    """
    parts = ("image_bytes", "tables_bytes", "heap_bytes", "regions_bytes", "moving_bytes", "free_bytes")
    for _ in range(20):
        m = control.json(f"{{ {after}; }} && pal mem", limit=limit)
        domains = {d["name"]: d for d in m["domains"]}
        if sum(m[part] for part in parts) + sum(d["current_bytes"] for d in domains.values()) == m["machine_bytes"]:
            return m, domains
    raise AssertionError(f"the parts do not make up the machine: {m}")


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
    audit(control)


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
    audit(control)


CONFIG = "[balloon]\\nenabled = yes\\ninterval_ms = 500\\nslack_mib = 32\\n"
LOAD = (
    "mount -o remount,size=600m /tmp; "
    "load() { i=0; while [ $i -lt $1 ]; do dd if=/dev/zero of=/tmp/load$i bs=1M count=8 2>/dev/null || return; "
    "i=$((i + 1)); sleep 1; done; }"
)


def start_daemon(control):
    """In a session of its own, so that the shell does not see its end."""
    control.run("(setsid pal-balloond -c /tmp/balloon.conf >>/tmp/balloon.log 2>&1 </dev/null & echo $! >/tmp/pid)")


def in_guest(control, name, command, expect):
    control.qemu.send_line(f"pal console {name}")
    control.qemu.expect(r"leaves the console", 30, early=())
    control.qemu.send_line("")
    control.qemu.expect(r"guest:\S+# ", 60)
    control.qemu.send_line(command)
    control.qemu.expect(expect, 60)
    control.qemu.child.send("\x1d")
    control.qemu.expect(r"dom0:\S+# ", 30)


def wait_size(control, name, least, most, limit=180):
    """Until the domain has between least and most MiB."""
    control.run(
        f"for i in $(seq {steps(limit * 2)}); do m=$(pal list {name} -o MEM/MiB | tail -n 1); "
        f"[ $m -ge {least} ] && [ $m -le {most} ] && break; usleep 500000; done; [ $m -ge {least} ] && [ $m -le {most} ]",
        limit=2 * limit,
    )


@pytest.mark.parametrize("control", [COUNTED], indirect=True, ids=["counted"])
def test_daemon_follows_load(control):
    """pal-balloond gives to the guest whose load grows, takes from the one whose load went, and may be killed meanwhile."""
    control.run(f"printf '{CONFIG}' >/tmp/balloon.conf; mkdir -p /etc/pal")
    assert "is off" in control.run("pal-balloond")
    control.run("printf '[balloon]\\nslack_mib = much\\n' >/tmp/bad.conf; pal-balloond -c /tmp/bad.conf", status=1)
    for name in ("one", "two"):
        describe(control, name, 640, 256, least=96)
        control.json(f"pal create /tmp/{name}.xml", limit=120)
    for name in ("one", "two"):
        wait_console(control, name, r"GUEST-INIT", 120)
    control.error("pal balloon one --explain", 4, "PAL-MEM-009")
    start_daemon(control)
    for name in ("one", "two"):
        wait_size(control, name, 96, 200)  # idle: what it does not use goes
    in_guest(control, "one", LOAD + "; load 40 & echo be''gun", "begun")
    wait_size(control, "one", 480, 640)
    decision = control.json("pal balloon one --explain")["decision"]
    assert decision["floor_bytes"] > 300 * MIB and decision["target_bytes"] >= decision["floor_bytes"]
    control.run("kill -9 $(cat /tmp/pid)")
    start_daemon(control)
    in_guest(control, "one", "kill $!; rm /tmp/load*; echo remo''ved", "removed")
    in_guest(control, "two", LOAD + "; load 40 & echo be''gun", "begun")
    wait_size(control, "two", 480, 640)
    wait_size(control, "one", 96, 220, limit=240)
    log = control.run("cat /tmp/balloon.log")
    assert "does not use what it has" in log and ("uses more" in log or "wait for memory" in log)
    for name in ("one", "two"):
        assert "Out of memory" not in control.run(f"pal logs {name}"), "a guest's own killer was at work"
    memory(control)
    control.run("kill $(cat /tmp/pid)")
    for name in ("one", "two"):
        control.run(f"pal destroy {name}")
    audit(control)

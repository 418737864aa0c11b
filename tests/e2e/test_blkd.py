# SPDX-License-Identifier: MIT
"""Guests' disks that are images: overlays over a base that they share, served by pal-blkd to stock kernels."""

import random
import re
import subprocess

import pytest

import qemu as q
from qemu import Qemu
from test_domains import DOMAINS_INITRD, PROMPT, domain0, domains_image, machine, wait_console  # noqa: F401
from test_save import add_archive

OUT = q.BUILD / "e2e" / "blkd"
SECTORS = 20003  # the last cluster is not whole
SEED = 5
STEPS = 400

GUEST = """<domain type='xen'>
  <name>{name}</name>
  <memory unit='MiB'>112</memory>
  <os>
    <type arch='x86_64' machine='xenpv'>linux</type>
    <kernel>/guest/vmlinuz</kernel>
    <initrd>/guest/check-initrd.gz</initrd>
    <cmdline>console=hvc0 guest.run={run}</cmdline>
  </os>
  <devices>{disks}<console type='pty'/></devices>
</domain>
"""
OVERLAY = ("<disk type='file'><driver type='cow'{more}/><source file='/srv/{name}.cow'/>"
           "<backingStore type='file'><format type='raw'/><source file='/srv/base.img'/></backingStore>"
           "<target dev='xvda'/></disk>")
BASE = "<disk type='file'><source file='/srv/base.img'/><target dev='xvdb'/><readonly/></disk>"


def guest(name, run="", more="", disks=OVERLAY + BASE):
    return GUEST.format(name=name, run=run.replace(" ", ","), disks=disks.format(name=name, more=more)).encode()


def churn(seed):
    return f"blkcheck read /dev/xvdb {SEED} ; blkcheck churn /dev/xvda {seed} {STEPS} &amp;"


GUESTS = {
    "one": guest("one", churn(1005)),
    "two": guest("two", churn(2005), " cache='writethrough'"),
    "calm": guest("calm"),
}


@pytest.fixture(scope="session")
def checker():
    OUT.mkdir(parents=True, exist_ok=True)
    target = OUT / f"blkcheck-{q.os.getpid()}"
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", target,
                    q.TOP / "tests/e2e/blkd/blkcheck.c"], check=True)
    yield target
    target.unlink()


@pytest.fixture(scope="session")
def initrd(domains_image, checker):  # noqa: F811
    own, inner = OUT / f"initrd-{q.os.getpid()}.gz", OUT / f"guest-{q.os.getpid()}.gz"
    add_archive(q.BUILD / "dom0/guest-initrd.gz", inner, [("bin/blkcheck", checker.read_bytes(), 0o755)])
    files = [(f"guest/{name}.xml", xml, 0o644) for name, xml in GUESTS.items()]
    files += [("guest/check-initrd.gz", inner.read_bytes(), 0o644), ("bin/blkcheck", checker.read_bytes(), 0o755)]
    add_archive(DOMAINS_INITRD, own, files)
    yield own
    own.unlink()
    inner.unlink()


@pytest.fixture
def disk(directory, checker):
    """A disk for domain 0, with the base image on it."""
    tree, image = directory / "srv", directory / "srv.img"
    tree.mkdir(parents=True, exist_ok=True)
    subprocess.run([checker, "make", tree / "base.img", str(SECTORS), str(SEED)], check=True)
    image.unlink(missing_ok=True)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, image, "128M"], check=True)
    yield image
    image.unlink()


def with_disk(initrd, disk, **more):
    return machine(initrd=initrd, memory="1G", dom0_mem="384M",
                   devices=("-nic", "none", "-drive", f"file={disk},if=virtio,format=raw,cache=writeback"), **more)


def prepare(qemu):
    control = domain0(qemu)
    control.run("mkdir -p /srv; modprobe -q ext4; mount -t ext4 /dev/vda /srv")
    return control


def console(control, name):
    """All that the guest has said."""
    return control.run(f"cat /var/log/xen/console/guest-{name}.log")


def wait_said(control, name, pattern, limit=120):
    control.run(f"for i in $(seq {limit * 5}); do grep -qE '{pattern}|BLKCHECK failed' /var/log/xen/console/guest-{name}.log && break; "
                "sleep 0.2; done", limit=limit + 60)
    said = console(control, name)
    if "BLKCHECK failed" in said or not re.search(pattern, said):
        control.qemu.fail(f"{name} did not say {pattern!r}: {said[-600:]}")


def kill_server(control):
    """The server of disks is killed; the next one has taken over when this returns."""
    control.run("old=$(xenstore-read /tool/pal/blkd/running); kill -9 $old; for i in $(seq 300); do "
                "new=$(xenstore-read /tool/pal/blkd/running 2>/dev/null); [ -n \"$new\" ] && [ $new != $old ] && break; sleep 0.05; done; [ $new != $old ]")


def end_guests(control, *names):
    for name in names:
        control.run(f"pal shutdown {name} --wait", limit=120)
    control.run("for i in $(seq 100); do xenstore-ls /local/domain/0/backend/palblk 2>/dev/null | grep -q state || break; sleep 0.1; done; "
                "xenstore-ls /local/domain/0/backend/palblk; xenstore-ls /tool/pal; ! xenstore-ls /local/domain/0/backend/palblk 2>/dev/null | grep -q state")
    control.run("[ -z \"$(find /run/pal/blkd -type f -size +0)\" ]")  # no live map is left


def test_overlays(directory, initrd, disk):
    """Two guests write over one base while the server is killed again and again; the base stays, the overlays hold what was written."""
    with Qemu(with_disk(initrd, disk), directory) as qemu:
        control = prepare(qemu)
        before = control.run("md5sum </srv/base.img").split()[0]
        assert "/srv/one.cow would be made" in control.run("pal create /guest/one.xml --dry-run")
        control.run("[ ! -e /srv/one.cow ]")
        for name in ("one", "two"):
            control.json(f"pal create /guest/{name}.xml", limit=120)
        # Now a second writer, or a writer of the base, is refused.
        control.error("sed 's|>one<|>three<|' /guest/one.xml >/tmp/x.xml; pal create /tmp/x.xml", 4, "PAL-DEV-005")
        control.error("pal attach two disk /srv/base.img xvdd", 4, "PAL-DEV-005")
        moments = random.Random(1)
        for name in ("one", "two"):
            wait_said(control, name, "FLUSHED")
        for _ in range(5):
            control.run(f"usleep {moments.randrange(100000, 1500000)}")
            kill_server(control)
        for name in ("one", "two"):
            wait_said(control, name, f"BLKCHECK read ok {SECTORS}")
            wait_said(control, name, f"BLKCHECK churn ok {STEPS}")
        shown = {d["device"]: d for d in control.json("pal devices one")["devices"]}
        assert shown["xvda"]["base"] == "/srv/base.img" and shown["xvda"]["driver"] == "pal"
        assert shown["xvdb"]["read_only"] and shown["xvdb"]["driver"] == "pal"
        # More disks come and go.
        control.json("pal attach one disk /srv/more.cow xvdc --base /srv/base.img")
        control.qemu.send_line("pal console one")
        control.qemu.send_line("")
        control.qemu.expect(r"guest:\S+# ", 60)
        control.qemu.send_line(f"blkcheck churn /dev/xvdc 3005 20 | tail -n 1; blkcheck verify /dev/xvda 1005 {STEPS} {STEPS}")
        control.qemu.expect(r"churn ok 20", 60)
        control.qemu.expect(r"verify ok, 0 of later", 60)
        control.qemu.child.send("\x1d")
        control.qemu.expect(PROMPT, 30)
        control.json("pal detach one xvdc")
        end_guests(control, "one", "two")
        assert control.run("md5sum </srv/base.img").split()[0] == before
        # A second life: what was written is there.
        control.json("pal create /guest/calm.xml", limit=120)
        wait_console(control, "calm", r"GUEST-INIT", 120)
        control.json("pal attach calm disk /srv/one.cow xvdc --base /srv/base.img")
        control.qemu.send_line("pal console calm")
        control.qemu.send_line("")
        control.qemu.expect(r"guest:\S+# ", 60)
        control.qemu.send_line(f"blkcheck verify /dev/xvdc 1005 {STEPS} {STEPS}; blkcheck read /dev/xvda {SEED}")
        control.qemu.expect(r"verify ok, 0 of later", 60)
        control.qemu.expect(rf"read ok {SECTORS}", 60)
        control.qemu.child.send("\x1d")
        control.qemu.expect(PROMPT, 30)
        end_guests(control, "calm")
        control.run("umount /srv")
        qemu.check_log()

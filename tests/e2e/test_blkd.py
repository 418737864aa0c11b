# SPDX-License-Identifier: MIT
"""Guests' disks that are images: overlays over a base that they share, served by pal-blkd to stock kernels."""

import random
import re
import subprocess

import pytest

import debian
import qemu as q
from layer import compile_program, described, domains_with, program
from qemu import Qemu
from test_domains import PROMPT, audit, domain0, domains_image, machine, steps, wait_console, wait_gone  # noqa: F401

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
    <cmdline>console=hvc0 xen_blkfront.max_ring_page_order={order} guest.run={run}</cmdline>
  </os>
  <devices>{disks}<console type='pty'/></devices>
</domain>
"""
OVERLAY = ("<disk type='file'><driver type='cow'{more}/><source file='/srv/{name}.cow'/>"
           "<backingStore type='file'><format type='raw'/><source file='/srv/base.img'/></backingStore>"
           "<target dev='xvda'/></disk>")
BASE = "<disk type='file'><source file='/srv/base.img'/><target dev='xvdb'/><readonly/></disk>"


def guest(name, run="", more="", disks=OVERLAY + BASE, order=0):
    return GUEST.format(name=name, order=order, run=run.replace(" ", ","), disks=disks.format(name=name, more=more)).encode()


def churn(seed):
    return f"blkcheck read /dev/xvdb {SEED} ; blkcheck churn /dev/xvda {seed} {STEPS} &amp;"


GUESTS = {
    "one": guest("one", churn(1005)),
    "two": guest("two", churn(2005), " cache='writethrough'", order=4),
    "calm": guest("calm"),
}


@pytest.fixture(scope="session")
def checker(tmp_path_factory):
    target = tmp_path_factory.mktemp("blkd") / "blkcheck"
    compile_program("tests/e2e/blkd/blkcheck.c", target)
    return target


@pytest.fixture(scope="session")
def initrd(domains_image, checker):  # noqa: F811
    check = ("bin/blkcheck", checker.read_bytes(), 0o755)
    io = program("bin/iocheck", "tests/e2e/blkd/iocheck.c", f"-I{q.TOP}/tools/ubc", "-luring")
    with domains_with([*described(GUESTS), check, io], [check], "check-initrd.gz") as own:
        yield own


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
    control.run(f"for i in $(seq {steps(limit * 5)}); do grep -qE '{pattern}|DISK bad' /var/log/xen/console/guest-{name}.log && break; "
                "sleep 0.2; done", limit=limit + 60)
    said = console(control, name)
    if "DISK bad" in said or not re.search(pattern, said):
        control.qemu.fail(f"{name} did not say {pattern!r}: {said[-600:]}")


def kill_server(control, opener=False):
    """The server of disks is killed, or the process that starts it; the next one has taken over when this returns."""
    whom = "$(cut -d ' ' -f 4 /proc/$old/stat)" if opener else "$old"
    control.run(f"old=$(xenstore-read /tool/pal/blkd/running); kill -9 {whom}; for i in $(seq 300); do "
                "new=$(xenstore-read /tool/pal/blkd/running 2>/dev/null); [ -n \"$new\" ] && [ $new != $old ] && break; sleep 0.05; done; [ $new != $old ]")


def end_guests(control, *names):
    """They end, and pal-blkd has let go of their disks: when a disk's nodes are gone it writes what it still has, and drops the disk's mark last."""
    for name in names:
        control.run(f"pal shutdown {name} --wait", limit=120)
    wait_gone(control, *names)
    control.run("used() { xenstore-ls /local/domain/0/backend/palblk 2>/dev/null | grep -q state || xenstore-ls /tool/pal/blkd | grep -qE '^ *[0-9]+-[0-9]'; }; "
                f"for i in $(seq {steps(400)}); do used || break; sleep 0.1; done; "
                "xenstore-ls /local/domain/0/backend/palblk; xenstore-ls /tool/pal; ! used", limit=180)
    control.run("[ -z \"$(find /run/pal/blkd -type f -size +0)\" ]")  # no live map is left


def in_guest(control, name, command, *patterns):
    """Type into the guest's shell; what it prints shows the patterns in turn."""
    control.qemu.send_line(f"pal console {name}")
    control.qemu.child.send("\n")
    control.qemu.expect(r"guest:\S+# ", 60)
    control.qemu.send_line(command)
    for pattern in patterns:
        control.qemu.expect(pattern, 90)
    control.qemu.child.send("\x1d")
    control.qemu.expect(PROMPT, 30)


def may_wait(control):
    """Images are not open in the mode in which the kernel refuses what it cannot begin at once."""
    shown = control.run("p=$(xenstore-read /tool/pal/blkd/running); for f in /proc/$p/fd/*; do case $(readlink $f) in "
                        "/srv/*) grep flags: /proc/$p/fdinfo/${f##*/};; esac; done")
    flags = [int(f, 8) for f in re.findall(r"flags:\s+(0\d+)", shown)]
    assert len(flags) >= 3 and not any(f & 0o4000 for f in flags), shown


def look_at_overlays(control):
    """Guests one and two use their overlays: `pal disk` tells so, and lets them alone. A copy is no overlay of its own before it is made one."""
    shown = control.json("pal disk info /srv/one.cow")["disk"]
    assert shown["format"] == "overlay" and shown["locked"] and shown["own_bytes"] > 0
    assert [(u["name"], u["device"], u["read_only"]) for u in shown["users"]] == [("one", "xvda", False)]
    assert shown["base"]["path"] == "/srv/base.img" and shown["base"]["state"] == "as it was"
    users = control.json("pal disk info /srv/base.img")["disk"]["users"]
    assert {(u["name"], u["device"]) for u in users} == {(n, d) for n in ("one", "two") for d in ("xvda", "xvdb")}
    for words in ("resize /srv/one.cow 200M", "rebase /srv/one.cow", "check /srv/one.cow", "flatten /srv/one.cow /srv/flat.img"):
        control.error(f"pal disk {words}", 4, "PAL-DEV-005")
    control.run("cp /srv/one.cow /srv/copy.cow")
    control.error("pal attach two disk /srv/copy.cow xvdc --base /srv/base.img", 1, "PAL-DEV-001")
    control.run("pal disk rebase /srv/copy.cow")
    control.json("pal attach two disk /srv/copy.cow xvdc --base /srv/base.img")
    control.json("pal detach two xvdc")
    control.run("pal disk check /srv/copy.cow; rm /srv/copy.cow")


def grow_overlay(control):
    """An overlay that guest one had keeps its data when it is grown; the guest writes where there was no disk before."""
    pages = control.run("head -c 409600 /srv/base.img | md5sum").split()[0]
    old = f"truncate -s {SECTORS * 512} /srv/flat.img && blkcheck verify /srv/flat.img 3005 20 20"
    assert "verify ok" in control.run(f"pal disk flatten /srv/more.cow /srv/flat.img && {old} && rm /srv/flat.img")
    assert control.json("pal disk resize /srv/more.cow 300M")["virtual_bytes"] == 300 << 20
    control.json("pal attach one disk /srv/more.cow xvdc --base /srv/base.img")
    in_guest(control, "one", "dd if=/dev/xvdb of=/dev/xvdc bs=4096 seek=70000 count=100 conv=fsync && cat /sys/block/xvdc/size", r"\s614400\s")
    kill_server(control)
    in_guest(control, "one", "dd if=/dev/xvdc bs=4096 skip=70000 count=100 | md5sum", pages)
    control.json("pal detach one xvdc")
    assert control.json("pal disk check /srv/more.cow")["sound"]
    said = control.run(f"pal disk flatten /srv/more.cow /srv/flat.img && dd if=/srv/flat.img bs=4096 skip=70000 count=100 | md5sum && {old} && rm /srv/flat.img")
    assert pages in said and "verify ok" in said


def accept_base(control):
    """A base that was touched is accepted when one says so."""
    control.run("touch /srv/base.img")
    control.error("pal disk check /srv/more.cow", 1, "PAL-DSK-003")
    control.error("pal disk rebase /srv/more.cow", 1, "PAL-DSK-003")
    control.run("pal disk rebase /srv/more.cow --accept-changed && pal disk check /srv/more.cow")


def test_overlays(directory, initrd, disk):
    """Guests write over one base while the server is killed again and again, disks come and go, and one guest is put away and
    brought back; the base stays, the overlays hold what was written."""
    with Qemu(with_disk(initrd, disk), directory) as qemu:
        control = prepare(qemu)
        before = control.run("md5sum </srv/base.img").split()[0]
        assert "/srv/one.cow would be made" in control.run("pal create /guest/one.xml --dry-run")
        control.run("[ ! -e /srv/one.cow ]")
        for name in ("one", "two"):
            control.json(f"pal create /guest/{name}.xml", limit=120)
        # A second user of an overlay, or a writer of the base, is refused.
        control.error("sed 's|>one<|>three<|' /guest/one.xml >/tmp/x.xml; pal create /tmp/x.xml", 4, "PAL-DEV-005", limit=120)
        control.error("pal attach two disk /srv/base.img xvdd", 4, "PAL-DEV-005")
        may_wait(control)
        number = control.json("pal list two")["domains"][0]["id"]
        moments = random.Random(1)
        for name in ("one", "two"):
            wait_said(control, name, "FLUSHED")
        assert control.run(f"xenstore-read /local/domain/{number}/device/vbd/51712/ring-page-order").split()[0] == "4"
        for turn in range(5):
            control.run(f"usleep {moments.randrange(100000, 1500000)}")
            kill_server(control, opener=turn == 2)
        control.json("pal save one /tmp/one.pal --timeout ask=90 --timeout freeze=180", limit=330)
        control.json("pal restore /tmp/one.pal", limit=180)
        kill_server(control)
        wait_said(control, "two", f"DISK churn ok {STEPS}")
        wait_said(control, "one", f"DISK churn ok {STEPS}")
        shown = {d["device"]: d for d in control.json("pal devices one")["devices"]}
        assert shown["xvda"]["base"] == "/srv/base.img" and shown["xvda"]["driver"] == "pal"
        assert shown["xvdb"]["read_only"] and shown["xvdb"]["driver"] == "pal"
        control.json("pal attach one disk /srv/more.cow xvdc --base /srv/base.img")
        in_guest(control, "one", f"blkcheck churn /dev/xvdc 3005 20 | tail -n 1; blkcheck verify /dev/xvda 1005 {STEPS} {STEPS}",
                 r"churn ok 20", r"verify ok, 0 of later")
        control.json("pal detach one xvdc")
        in_guest(control, "two", f"blkcheck verify /dev/xvda 2005 {STEPS} {STEPS}", r"verify ok, 0 of later")
        look_at_overlays(control)
        grow_overlay(control)
        end_guests(control, "one", "two")
        accept_base(control)
        assert control.run("md5sum </srv/base.img").split()[0] == before
        audit(control)
        control.run("umount /srv")
        qemu.check_log()


def flushed(control, name):
    """The last step of which the guest said that it is durable."""
    said = re.findall(r"FLUSHED (\d+)", console(control, name))
    return int(said[-1]) if said else 0


def lose_power(directory, initrd, disk):
    """Guests write, and the machine is gone in the middle. Returns what they were told is durable."""
    with Qemu(with_disk(initrd, disk), directory / "first") as qemu:
        control = prepare(qemu)
        for name in ("one", "two"):
            control.json(f"pal create /guest/{name}.xml", limit=120)
        for name in ("one", "two"):
            wait_said(control, name, "FLUSHED 42")
        told = {name: flushed(control, name) for name in ("one", "two")}
        qemu.child.proc.kill()
        qemu.child.proc.wait()
        qemu.ended = True
    return told


def make_anew(control, domain):
    """A disk that could not be opened is tried again when its nodes are made anew, though nobody looked while they were gone."""
    device, mark = f"/local/domain/0/backend/palblk/{domain}/51760", f"/tool/pal/blkd/{domain}-51760"
    error = f"/local/domain/0/error/backend/palblk/{domain}/51760"

    def nodes(image):
        values = {"frontend": f"/local/domain/{domain}/device/vbd/51760", "online": 1, "mode": "r", "params": image, "state": 1,
                  "identity": "$(printf '%x:%x' 0x$(stat -c %D /srv/base.img) $(stat -c %i /srv/base.img))"}
        return "xenstore-write " + " ".join(f"{device}/{name} {value}" for name, value in values.items())

    def wait(condition):
        return f"for i in $(seq 300); do {condition} && break; sleep 0.1; done; {condition}"

    control.run(f"{nodes('/srv/nothing')}; {wait(f'xenstore-exists {error}/error')}")
    control.run(f"s=$(xenstore-read /tool/pal/blkd/running); kill -STOP $s; xenstore-rm {device}; {nodes('/srv/base.img')}; "
                f"kill -CONT $s; {wait(f'xenstore-exists {device}/sectors')}")
    control.run(f"xenstore-rm {device}; xenstore-rm {error}; {wait(f'! xenstore-exists {mark}')}")


def test_power_and_errors(directory, initrd, disk):
    """After a power cut all that was flushed is there. A full disk and a base that is cut off are errors to who meets them, only."""
    told = lose_power(directory, initrd, disk)
    with Qemu(with_disk(initrd, disk), directory / "second") as qemu:
        control = prepare(qemu)
        assert "IO fine" in control.run("iocheck /srv/io", limit=180)
        calm = control.json("pal create /guest/calm.xml", limit=120)["id"]
        wait_console(control, "calm", r"GUEST-INIT", 120)
        for name, seed in (("one", 1005), ("two", 2005)):
            control.json(f"pal attach calm disk /srv/{name}.cow xvdc --base /srv/base.img")
            in_guest(control, "calm", f"blkcheck verify /dev/xvdc {seed} {told[name]} {STEPS}", r"verify ok")
            control.json("pal detach calm xvdc")
        # What is slow to open keeps no disk waiting that is open.
        first = control.run("sed -n 's/^PPid:\\t//p' /proc/$(xenstore-read /tool/pal/blkd/running)/status").split()[0]
        control.run(f"kill -STOP {first}; rm -f /tmp/attached; ( (pal attach calm disk /srv/slow.cow xvdc --base /srv/base.img; "
                    "echo $? >/tmp/attached) </dev/null >/dev/null 2>&1 & ); for i in $(seq 100); do "
                    "xenstore-ls /local/domain/0/backend/palblk | grep -q slow.cow && break; sleep 0.1; done; sleep 1")
        in_guest(control, "calm", f"blkcheck read /dev/xvdb {SEED}", rf"read ok {SECTORS}")
        assert "none" in control.run(f"cat /tmp/attached 2>/dev/null || echo none; kill -CONT {first}")
        assert re.search(r"^0\r?$", control.run("for i in $(seq 300); do [ -s /tmp/attached ] && break; sleep 0.2; done; cat /tmp/attached"), re.M)
        control.json("pal detach calm xvdc")
        make_anew(control, calm)
        # No room: the write fails; reads go on, and so does writing when there is room again.
        control.run("dd if=/dev/zero of=/srv/fill bs=64k 2>/dev/null; sync", status=None)
        in_guest(control, "calm", "blkcheck error /dev/xvda write 8000 64", r"error ok")
        in_guest(control, "calm", f"blkcheck read /dev/xvdb {SEED}", rf"read ok {SECTORS}")
        control.run("rm /srv/fill; sync")
        in_guest(control, "calm", "blkcheck churn /dev/xvda 1005 30 | tail -n 1", r"churn ok 30")
        # The base is cut off under its users: noticed, not served from memory.
        control.run("truncate -s 5000000 /srv/base.img")
        in_guest(control, "calm", "blkcheck error /dev/xvdb read 15000 8; blkcheck verify /dev/xvda 1005 30 30",
                 r"error ok", r"DISK (bad: read|verify ok)")
        assert "was changed while in use" in control.run("cat /var/log/pal-blkd.log")
        end_guests(control, "calm")
        # An overlay over another state of its base is refused, with the reason.
        control.error("pal create /guest/calm.xml", 1, "PAL-DEV-001", limit=120)
        assert "was changed after" in control.run("pal create /guest/calm.xml", limit=120, status=1)
        audit(control)
        qemu.check_log(allowed=())


@pytest.mark.soak
def test_killed_guests(directory, initrd, disk):
    """Guests are destroyed at any moment, the server is killed beside them: what they were told is durable is in their overlays."""
    moments = random.Random(q.os.environ.get("PAL_SEED", "7"))
    with Qemu(with_disk(initrd, disk), directory) as qemu:
        control = prepare(qemu)
        control.json("pal create /guest/calm.xml", limit=120)
        wait_console(control, "calm", r"GUEST-INIT", 120)
        for turn in range(8):
            control.run("rm -f /srv/one.cow /var/log/xen/console/guest-one.log")
            control.json("pal create /guest/one.xml", limit=120)
            wait_said(control, "one", "FLUSHED")
            control.run(f"usleep {moments.randrange(2000000)}")
            if turn % 2:
                kill_server(control)
            told = flushed(control, "one")
            control.run("pal destroy one", limit=120)
            control.json("pal attach calm disk /srv/one.cow xvdc --base /srv/base.img")
            in_guest(control, "calm", f"blkcheck verify /dev/xvdc 1005 {told} {STEPS}", r"verify ok")
            control.json("pal detach calm xvdc")
        end_guests(control, "calm")
        audit(control)
        qemu.check_log()


@pytest.mark.soak
def test_debian_guests(directory):
    """Debian from one image: packages and a database are written to overlays while the server is killed; the file systems are sound."""
    debian.make_shared()
    with Qemu(debian.machine(guests=0, shared=True), directory) as qemu:
        control = debian.Shell(qemu)
        control.run("systemctl is-system-running --wait", 240)
        control.run("mount LABEL=srv /srv")
        image = control.run("md5sum </srv/debian.img", 300)
        guests = []
        for name in ("web", "db"):
            control.run(f"pal create /guest/shared/{name}.xml", 120)
            guests.append(debian.Guest(control, name))
        web, db = guests
        db.run("((/guest/load.sh /var/rows.db 10; echo $? >/var/rows.done) >/dev/null 2>&1 &)")
        web.run("mkdir -p /tmp/p/DEBIAN /tmp/p/srv/many && for i in $(seq 300); do head -c $((i * 40)) /dev/urandom >/tmp/p/srv/many/$i; done; "
                "printf 'Package: many\\nVersion: 1\\nArchitecture: all\\nMaintainer: t <t@t>\\nDescription: t\\n' >/tmp/p/DEBIAN/control; "
                "dpkg-deb -b /tmp/p /tmp/many.deb", 300)
        web.run("((dpkg -i /tmp/many.deb; echo $? >/var/many.done) >/dev/null 2>&1 &)")
        for _ in range(4):
            control.run("sleep 2; kill -9 $(xenstore-read /tool/pal/blkd/running)")
        web.until("test -s /var/many.done", 300)
        assert web.run("cat /var/many.done") == "0"
        assert web.run("dpkg --verify many; dpkg --audit; diff -r /tmp/p/srv/many /srv/many && echo same", 120).split() == ["same"]
        db.until("test -s /var/rows.done", 600)
        assert db.run("cat /var/rows.done") == "0"
        counts = db.run("sqlite3 /var/rows.db 'SELECT count(*) FROM rows GROUP BY writer; PRAGMA integrity_check;'", 120)
        assert counts.split() == ["2000"] * 4 + ["ok"]
        for guest in guests:
            guest.run("dmesg | grep -E 'I/O error|EXT4-fs error|Call Trace|blocked for more'", status=1)
        control.run("pal shutdown db --wait", 120)
        control.until("pal attach web disk /srv/db.cow xvdb --base /srv/debian.img")
        web.run("e2fsck -fn /dev/xvdb", 300)
        control.run("pal shutdown web --wait", 120)
        assert control.run("md5sum </srv/debian.img", 300) == image
        audit(control, "/lib/modules/checks/audit")
        qemu.check_log()

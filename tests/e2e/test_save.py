# SPDX-License-Identifier: MIT
"""Domains are put away in files and come back: whatever they were doing goes on, and nothing is left of what fails."""

import re

import pytest

import qemu as q
from layer import add_archive, described, domains_with, program  # noqa: F401 (tests that build on this one add more)
from qemu import Qemu
from test_domains import DOMAINS_INITRD, PROMPT, domain0, domains_image, machine, steps, wait_console, wait_gone  # noqa: F401

SOURCES = "tests/e2e/saved"

GUEST = """<domain type='xen'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='xenpv'>linux</type>
    <kernel>/guest/vmlinuz</kernel>
    <initrd>/guest/load-initrd.gz</initrd>
    <cmdline>console=hvc0 {cmdline}</cmdline>
  </os>
  <on_crash>preserve</on_crash>
  <devices>{devices}<console type='pty'/></devices>
</domain>
"""
NIC = "<interface type='bridge'><source bridge='palbr0'/></interface>"
DISK = ("<disk type='file' device='disk'><source file='{}'/><target dev='xvda' bus='xen'/></disk>")


def guest(name, memory=160, vcpus=1, cmdline="", devices=""):
    return GUEST.format(name=name, memory=memory, vcpus=vcpus, cmdline=cmdline, devices=devices).encode()


GUESTS = {
    "work": guest("work", cmdline="guest.ip=10.99.0.2/24 guest.run=load,client=10.99.0.3,disk=/dev/xvda,&amp;",
                  devices=DISK.format("/tmp/disk.img") + NIC),
    "peer": guest("peer", 128, cmdline="guest.ip=10.99.0.3/24 guest.run=load,server,&amp;", devices=NIC),
    "plain": guest("plain", 112),
    "lone": guest("lone", 128, cmdline="guest.run=load,&amp;"),
    "smp": guest("smp", 256, 3, "guest.run=load,&amp;"),
}


@pytest.fixture(scope="session")
def initrd(domains_image):  # noqa: F811
    library = [*(q.TOP / "tools/libpal" / name for name in ("error.c", "terminal.c")), q.BUILD / "tools/libimage.a", "-llz4", "-lz"]
    files = [*described(GUESTS), program("bin/twist", f"{SOURCES}/twist.c", *library), program("bin/books", f"{SOURCES}/books.c")]
    with domains_with(files, [program("bin/load", f"{SOURCES}/load.c")], "load-initrd.gz") as own:
        yield own


@pytest.fixture
def control(directory, initrd):
    with Qemu(machine(initrd=initrd, cpu="max"), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


class Load:
    """What the work in a guest says of itself, once a second, on its console."""

    def __init__(self, control, name):
        self.control = control
        self.name = name

    def line(self):
        text = self.control.run(f"grep -a ^LOAD /var/log/xen/console/guest-{self.name}.log | tail -n 3", status=None)
        assert "LOAD-BAD" not in text, text
        lines = re.findall(r"^LOAD (turn=.* bad=\d+)", text, re.M)
        return {k: int(v) for k, v in (word.split("=") for word in lines[-1].split())} if lines else None

    def wait(self, good, limit=120):
        """Until the counts are such that good(counts); returns them."""
        for _ in range(limit * 2):
            counts = self.line()
            if counts and good(counts):
                assert counts["bad"] == 0, counts
                return counts
            self.control.run("usleep 500000")
        self.control.qemu.fail(f"{self.name}: {counts}")

    def wait_more(self, than, limit=120):
        """All that it did before it goes on."""
        parts = [part for part in ("counter", "vectors", "files", "blocks", "messages", "times") if than[part]]
        return self.wait(lambda c: all(c[part] > than[part] for part in parts), limit)


def books(control, alone=False):
    """The audit finds nothing; returns domains and free frames. alone: when only domain 0 is left, as it soon will be."""
    look = "books"
    if alone:
        look = (f"for i in $(seq {steps(100)}); do b=$(books); case $b in *'wrong=0 domains=1 '*) break;; *wrong=0*) usleep 200000;; *) break;; esac; done; "
                "echo \"$b\"")
    found = re.search(r"BOOKS wrong=0 domains=(\d+) free=(\d+)", control.run(look, limit=120))
    assert found, "the audit found something"
    return int(found.group(1)), int(found.group(2))


def frames(control, name, to):
    number = control.json(f"pal list {name}")["domains"][0]["id"]
    control.run(f"books frames {number} >{to}")


def number_of(control, name):
    return control.json(f"pal list {name}")["domains"][0]["id"]


def shell(control, name, command, pattern):
    """Type into the guest's shell; its answer."""
    control.qemu.send_line(f"pal console {name}")
    control.qemu.child.send("\n")
    control.qemu.expect(r"guest:\S+# ", 60)
    control.qemu.send_line(command)
    control.qemu.expect(pattern, 60)
    control.qemu.child.send("\x1d")
    control.qemu.expect(PROMPT, 30)


def goes_on(control, load):
    """The guest is there (perhaps only now: somebody had to see to it), does all that it did, and lost nothing."""
    control.run(f"for i in $(seq 100); do pal list {load.name} | grep -Eq ' (running|runnable|blocked) ' && break; usleep 200000; done; "
                f"pal list {load.name} | grep -E ' (running|runnable|blocked) '", limit=90)
    return load.wait_more(load.line())


def cycles(control, number):
    """Work of all kinds goes on through cycles of save and restore, in other frames each time."""
    control.run("truncate -s 8M /tmp/disk.img")
    control.json("pal create /guest/peer.xml", limit=120)
    control.json("pal create /guest/work.xml", limit=120)
    load = Load(control, "work")
    counts = load.wait(lambda c: min(c["counter"], c["vectors"], c["files"], c["blocks"], c["messages"]) > 2)
    assert counts["avx"] == 1
    frames(control, "work", "/tmp/before")
    for cycle in range(number):
        saved = control.json("pal save work /tmp/work.pal", limit=180)["image"]
        assert saved["bytes"] < 100 << 20
        control.error("pal info work", 3, "PAL-DOM-001")
        control.run("pal image verify /tmp/work.pal", limit=60)
        # Somebody else takes the frames that it had.
        control.json(f"sed s/plain/other{cycle}/ /guest/plain.xml >/tmp/o.xml; pal create /tmp/o.xml", limit=120)
        back = control.json("pal restore /tmp/work.pal", limit=180)["domain"]
        assert back["name"] == "work"
        counts = load.wait_more(counts)
        control.run(f"pal destroy other{cycle}")
    frames(control, "work", "/tmp/after")
    same = int(control.run("sort /tmp/before /tmp/after | uniq -d | wc -l").split()[0])
    total = int(control.run("wc -l </tmp/after").split()[0])
    assert total == 160 << 8 and same < total // 10, f"{same} of {total} frames are the same"
    now = int(control.run("date +%s").split()[0])
    assert abs(load.line()["wall"] - now) < 10, "the guest's wall clock"
    control.run("pal destroy work; pal destroy peer; rm /tmp/*.pal")
    assert books(control, alone=True)[0] == 1


def test_cycles(control):
    cycles(control, 2)


@pytest.mark.soak
def test_ten_cycles(control):
    cycles(control, 10)


def killed_restores(control, entries):
    """A restore that is killed at any instant leaves a domain that runs, or nothing in the store, the list and the processes."""
    taken = control.run("s=$(cut -d' ' -f1 /proc/uptime); pal restore /tmp/images/a.pal >/dev/null 2>&1; "
                        "e=$(cut -d' ' -f1 /proc/uptime); pal destroy lone; echo took $s $e")
    start, end = (float(word) for word in re.search(r"took (\S+) (\S+)", taken).groups())
    length = end - start
    parts = (0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)
    nothing = 0
    for turn in range(3 * len(parts)):
        if turn >= len(parts) and nothing >= 4:
            break  # else once more, now that the length is known better
        control.run(f"pal restore /tmp/images/a.pal & usleep {int(length * parts[turn % len(parts)] * 1e6)}; kill -9 $!; wait $!", status=None)
        control.run("for i in $(seq 600); do pidof pal-guard >/dev/null || break; usleep 50000; done; ! pidof pal-guard")
        there = [d["state"] for d in control.json("pal list")["domains"] if d["id"]]
        if there:  # the kill came too late
            assert there[0] in ("running", "runnable", "blocked"), there
            control.run("pal destroy lone")
            length *= 0.7
        else:
            nothing += 1
        assert control.run("xenstore-ls | wc -l").split()[0] == entries
    assert nothing >= 4


def test_failures(control):
    """Whatever goes wrong with a save, the guest runs on and no file stands there; whatever with a restore, nothing is left."""
    control.run("mkdir /tmp/small /tmp/images; mount -t tmpfs -o size=3m small /tmp/small")
    control.json("pal create /guest/lone.xml --paused", limit=120)
    control.error("pal save lone /tmp/images/a.pal", 4, "PAL-DOM-003")
    control.run("pal set lone --cap 1; pal unpause lone")
    control.error("pal save lone /tmp/images/a.pal", 4, "PAL-DOM-006")  # its kernel is not there yet, nor soon at one percent of a CPU
    control.run("pal set lone --cap 0")
    load = Load(control, "lone")
    load.wait(lambda c: min(c["counter"], c["vectors"], c["files"]) > 2)
    number = number_of(control, "lone")
    control.error("pal save lone /nowhere/a.pal", 1, "PAL-SAV-001")
    control.error("pal save lone", 2, "PAL-USE-001")
    control.error("pal save lone /tmp/small/a.pal", 1, "PAL-SAV-001")
    goes_on(control, load)
    control.error("pal save lone /tmp/images/a.pal --small --timeout copy=1", 7, "PAL-DOM-005")
    goes_on(control, load)
    control.run("pal save lone - | head -c 300000 >/dev/null; for i in $(seq 200); do pidof pal-guard >/dev/null || break; usleep 100000; done", limit=90)
    goes_on(control, load)
    control.run("(timeout -s INT 2 pal save lone /tmp/images/a.pal --small); [ $? != 0 ]", limit=120)
    goes_on(control, load)
    for delay in (10, 60, 150, 300, 600, 1200, 2500):
        control.run(f"pal save lone /tmp/images/a.pal --small & usleep {delay}000; kill -9 $!; wait $!", status=None)
        goes_on(control, load)
    # The process that waits for the end is killed, too: then the watcher sees to the guest.
    control.run("pal save lone /tmp/images/a.pal --small & p=$!; sleep 2; kill -9 $p $(pidof pal-guard); wait $p", status=None)
    goes_on(control, load)
    assert number_of(control, "lone") == number
    assert control.run("ls -A /tmp/images /tmp/small").split() == ["/tmp/images:", "/tmp/small:"]

    saved = control.json("pal save lone /tmp/images/a.pal --checkpoint --verify", limit=180)["image"]
    assert saved["running"] is True
    goes_on(control, load)
    control.error("pal restore /tmp/images/a.pal", 4, "PAL-DOM-002")
    control.run("pal destroy lone")
    domains, free = books(control)
    entries = control.run("xenstore-ls | wc -l").split()[0]
    size = int(control.run("stat -c %s /tmp/images/a.pal").split()[0])
    image = "/tmp/images/b.pal"
    for command in (f"head -c {size - 1} /tmp/images/a.pal >{image}", f"head -c {size // 2} /tmp/images/a.pal >{image}",
                    f"cp /tmp/images/a.pal {image}; echo >>{image}", f"cp /guest/vmlinuz {image}",
                    *(f"cp /tmp/images/a.pal {image}; printf '\\125' | dd of={image} bs=1 seek={size * i // 7} conv=notrunc"
                      for i in range(1, 7))):
        control.run(f"{command} 2>/dev/null")
        control.error(f"pal restore {image}", 1, "PAL-SAV-003")
    control.error("pal restore /tmp/images/none.pal", 1, "PAL-SAV-005")
    killed_restores(control, entries)
    assert [d["id"] for d in control.json("pal list")["domains"]] == [0]
    assert books(control)[0] == domains and abs(books(control)[1] - free) < 300

    # After all that the image is as good as ever, also from a pipe.
    control.run("cat /tmp/images/a.pal | pal restore -", limit=120)
    goes_on(control, load)
    control.run("pal save lone - | cat >/tmp/images/c.pal", limit=180)
    control.error("pal info lone", 3, "PAL-DOM-001")
    control.run("pal image verify /tmp/images/c.pal; pal restore - </tmp/images/c.pal", limit=180)
    goes_on(control, load)
    control.run("pal destroy lone; umount /tmp/small")
    assert books(control, alone=True)[0] == 1


TWISTS = {
    "PAL-SAV-003": ("superpage", "foreign", "no-shared", "no-context", "vcpus", "gdt-size", "store-port"),
    "PAL-HV-002": ("writable-table", "loop", "level-up", "level-down", "no-table", "rip", "stack", "callback", "root", "no-root",
                   "user-mode", "gdt", "trap", "debug", "bases", "xsave-features", "xsave-header"),
}


@pytest.mark.soak
def test_hostile(control):
    """Images whose checksums are right and whose contents are not: the hypervisor takes none of it, and nothing is left."""
    control.json("pal create /guest/plain.xml", limit=120)
    wait_console(control, "plain", r"GUEST-INIT", 120)
    control.run("pal save plain /tmp/good.pal", limit=120)
    domains, free = books(control)
    for code, twists in TWISTS.items():
        for twist in twists:
            control.run(f"twist /tmp/good.pal /tmp/bad.pal {twist}", limit=120)
            control.error("pal restore /tmp/bad.pal", 1, code)
    assert books(control)[0] == domains and abs(books(control)[1] - free) < 300
    control.run("twist /tmp/good.pal /tmp/same.pal nothing; pal restore /tmp/same.pal", limit=120)
    shell(control, "plain", "echo sum=$((40 + 2))", r"sum=42")
    control.run("pal destroy plain")
    assert books(control, alone=True)[0] == 1


@pytest.mark.soak
def test_shapes(control):
    """Several virtual CPUs; memory given back to half and got again; all domains at once."""
    control.json("pal create /guest/smp.xml", limit=120)
    control.json("pal create /guest/lone.xml", limit=120)
    smp, lone = Load(control, "smp"), Load(control, "lone")
    counts = smp.wait(lambda c: min(c["counter"], c["vectors"], c["files"]) > 2)
    control.json("pal balloon smp 128M --wait", limit=120)
    assert re.search(r"smp +\d+ +\w+ +128 +3 ", control.run("pal list"))
    other = lone.wait(lambda c: min(c["counter"], c["vectors"], c["files"]) > 2)
    for _ in range(2):
        images = control.json("pal save --all /tmp/images", limit=240)["images"]
        assert sorted(image["name"] for image in images) == ["lone", "smp"]
        pages = {i["name"]: i["data_pages"] + i["zero_pages"] + i["repeat_pages"] for i in images}
        assert pages["smp"] == 128 << 8
        assert [d["id"] for d in control.json("pal list")["domains"]] == [0]
        domains = control.json("pal restore --all /tmp/images", limit=240)["domains"]
        assert len(domains) == 2 and control.run("ls /tmp/images").split() == []
        counts, other = smp.wait_more(counts), lone.wait_more(other)
        assert control.json("pal list smp")["domains"][0]["memory_bytes"] == 128 << 20
    control.json("pal balloon smp 256M --wait", limit=120)
    assert re.search(r"smp +\d+ +\w+ +256 +3 ", control.run("pal list"))
    smp.wait_more(counts)
    shell(control, "smp", "echo cpus=$(nproc)", r"cpus=3")
    control.run("pal shutdown smp --wait; pal destroy lone", limit=120)
    wait_gone(control, "smp")
    assert books(control, alone=True)[0] == 1


def test_another_machine(directory, initrd):
    """An image on a disk is restored by another machine: other number of CPUs, other size of memory."""
    disk = directory / "disk.raw"
    directory.mkdir(parents=True, exist_ok=True)
    with open(disk, "wb") as file:
        file.truncate(256 << 20)
    drive = ("-nic", "none", "-drive", f"file={disk},format=raw,if=virtio")
    with Qemu(machine(initrd=initrd, cpu="max", devices=drive), directory / "first") as qemu:
        control = domain0(qemu)
        control.run("mke2fs /dev/vda >/dev/null 2>&1; mkdir /mnt; mount -t ext4 /dev/vda /mnt; truncate -s 8M /mnt/disk.img")
        control.run("sed -e s@/tmp/disk@/mnt/disk@ -e s/,client=10.99.0.3// /guest/work.xml >/tmp/w.xml; pal create /tmp/w.xml",
                    limit=120)
        counts = Load(control, "work").wait(lambda c: min(c["counter"], c["vectors"], c["files"], c["blocks"]) > 2)
        control.run("pal save work /mnt/work.pal", limit=180)
        control.run("umount /mnt; sync")
        qemu.check_log()
    described = machine(initrd=initrd, cpu="max", cpus=1, memory="1536M", dom0_mem="768M", devices=drive)
    with Qemu(described, directory / "second") as qemu:
        control = domain0(qemu)
        control.run("mkdir /mnt; mount -t ext4 /dev/vda /mnt; pal image verify /mnt/work.pal; pal restore /mnt/work.pal", limit=180)
        load = Load(control, "work")
        after = load.wait_more(counts)
        assert abs(after["wall"] - int(control.run("date +%s").split()[0])) < 20
        control.run("pal destroy work")
        assert books(control, alone=True)[0] == 1
        qemu.check_log()
    disk.unlink()

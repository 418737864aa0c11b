# SPDX-License-Identifier: MIT
"""The buffer cache while everything else happens: stock guests compare every block that they read, new owners look at what they get.

A seeded driver (PAL_SEED, PAL_STEPS; what it did is in steps.log) makes and ends domains of any size, moves memory, kills guests and the server of
disks, squeezes the cache to nothing, puts readers away and brings them back, and replaces an image. In between all stands still, and the books
must balance.
"""

import os
import random
import re
import subprocess

import pytest

import qemu as q
from qemu import Qemu
from test_balloon import memory
from test_blkd import OVERLAY, checker, end_guests, initrd, kill_server, prepare, wait_said  # noqa: F401
from test_domains import audit, domains_image, machine, steps  # noqa: F401
from test_save import add_archive

MIB = 1 << 20
SEED = 5
BASE, BIG, OTHER = 8 * 2048 + 3, 64 * 2048, 2 * 2048 + 5  # sectors of the images

READER = """<domain type='xen'><name>{name}</name><memory unit='MiB'>160</memory><currentMemory unit='MiB'>{now}</currentMemory>
<metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'><pal:minimum unit='MiB'>88</pal:minimum></pal:domain></metadata>
<vcpu>{vcpus}</vcpu><os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/vmlinuz</kernel><initrd>/guest/check-initrd.gz</initrd>
<cmdline>console=hvc0 guest.run={run}</cmdline></os><devices>{disks}<console type='pty'/></devices></domain>
"""
DISK = "<disk type='file'><source file='/srv/{}'/><target dev='{}'/><readonly/></disk>"
# Domain 0 is to get on, too.
LOOP = "while blkcheck read /dev/{} {} ; do usleep 200000 ; done &amp; "
SCAN = """<domain type='xen'><name>NAME</name><memory unit='MiB'>SIZE</memory><os><type arch='x86_64' machine='xenpv'>linux</type>
<kernel>/guest/scan.elf</kernel><cmdline>seed=SEED rounds=ROUNDS</cmdline></os><devices><console type='pty'/></devices></domain>
"""


def reader(name, run, disks, now=112, vcpus=1):
    return READER.format(name=name, run=run.strip().replace(" ", ","), disks=disks.format(name=name, more=""), now=now, vcpus=vcpus).encode()


READERS = {
    "one": reader("one", LOOP.format("xvdb", SEED) + "blkcheck churn /dev/xvda 1005 1000000 &amp;", OVERLAY + DISK.format("base.img", "xvdb")),
    "two": reader("two", LOOP.format("xvda", SEED) * 2, DISK.format("base.img", "xvda"), vcpus=2),
    # Its image is another one each time.
    "three": reader("three", LOOP.format("xvda", "IMAGE"), DISK.format("other.img", "xvda"), now=104),
}
SCANNERS = ("f1", "f2", "f3", "f4")


@pytest.fixture
def described(initrd, checker, directory):  # noqa: F811
    """A machine whose domain 0 holds the images on a disk."""
    tree, disk, own = directory / "srv", directory / "srv.img", directory / "initrd.gz"
    tree.mkdir(parents=True, exist_ok=True)
    for name, sectors, seed in (("base.img", BASE, SEED), ("big.img", BIG, 6), ("other.img", OTHER, 7)):
        subprocess.run([checker, "make", tree / name, str(sectors), str(seed)], check=True)
    disk.unlink(missing_ok=True)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, disk, "400M"], check=True)
    subprocess.run(["make", "-s", "-C", q.TOP, f"BUILD={q.BUILD}", "guests"], check=True, stdout=subprocess.DEVNULL)
    files = [(f"guest/{name}.xml", xml, 0o644) for name, xml in READERS.items()]
    files += [("guest/scan.xml", SCAN.encode(), 0o644), ("guest/scan.elf", (q.BUILD / "guest/scan.elf").read_bytes(), 0o644)]
    add_archive(initrd, own, files)
    for file in tree.iterdir():
        file.unlink()
    yield dict(initrd=own, dom0_mem="384M", devices=("-nic", "none", "-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"))
    disk.unlink()
    own.unlink()


class Chaos:
    """What is there, and what may be done next. An action is a command for domain 0's shell, with the statuses that it may end with."""

    def __init__(self, control, directory, seed, names):
        self.control = control
        self.random = random.Random(seed)
        self.steps = open(directory / "steps.log", "w", buffering=1, encoding="utf-8")
        self.image = 7  # the seed of what other.img holds
        self.names = names  # of the readers
        self.counts = {}
        self.actions = [self.fill] * 6 + [self.empty] * 5 + [self.balloon] * 4 + [self.cache] * 4 + [self.warm] * 5 + [
            self.kill_server, self.end_reader, self.save_or_restore, self.save_or_restore, self.replace]

    # ---- the state ----

    def look(self):
        m, domains = self.control.json("pal mem"), {d["name"] for d in self.control.json("pal list")["domains"]}
        self.free = m["free_bytes"] // MIB
        self.readers = [name for name in self.names if name in domains]
        self.scanners = [name for name in SCANNERS if name in domains]
        self.saved = re.findall(r"^/srv/(\w+)\.pal", self.control.run("ls /srv/*.pal 2>/dev/null; true"), re.M)

    def log(self, name):
        return f"/var/log/xen/console/guest-{name}.log"

    # ---- what may happen: (command, statuses) or None ----

    def fill(self, all_of_it=False):
        name = next((n for n in SCANNERS if n not in self.scanners), None)
        if not name:
            return None
        size = self.free - self.random.randrange(4) if all_of_it or self.random.random() < 0.5 else self.random.randrange(4, self.free + 8)
        edits = f"s/NAME/{name}/; s/SIZE/{max(4, size)}/; s/SEED/{self.random.randrange(1 << 30)}/; s/ROUNDS/{self.random.choice((0, 3, 20))}/"
        return f"sed '{edits}' /guest/scan.xml >/tmp/{name}.xml; pal create /tmp/{name}.xml", (0, 5)

    def empty(self):
        return self.scanners and (f"pal destroy {self.random.choice(self.scanners)}", (0,)) or None

    def balloon(self):
        if not self.readers:
            return None
        wait = self.random.choice(("", "--deadline 2"))
        return f"pal balloon {self.random.choice(self.readers)} {self.random.randrange(88, 161)}M {wait}", (0, 1, 5, 7)

    def cache(self):
        words = ("drop", "drop /srv/base.img", "off", "on", "on", "limit none", "limit none", f"limit {self.random.randrange(1, 40)}M", "off one",
                 "on one", f"limit {self.random.randrange(1, 9)}M one", "limit none one")
        return f"pal cache {self.random.choice(words)}", (0, 3)

    def warm(self, image=None):
        return f"pal cache warm --all /srv/{image or self.random.choice(('base', 'big', 'big', 'other'))}.img", (0, 1)

    def kill_server(self):
        return "kill", (0,)

    def end_reader(self):
        missing = [name for name in self.names if name not in self.readers + self.saved]
        if missing and self.free > 120:
            return self.create_reader(self.random.choice(missing)), (0, 5)
        return (f"pal destroy {self.random.choice(self.readers)}", (0,)) if len(self.readers) > 1 else None

    def create_reader(self, name):
        more = "rm -f /srv/one.cow; " if name == "one" else ""  # what it does to its disk starts anew
        return f"{more}sed s/IMAGE/{self.image}/ /guest/{name}.xml >/tmp/{name}.xml; pal create /tmp/{name}.xml"

    def save_or_restore(self):
        if self.saved and self.free > 120:
            name = self.random.choice(self.saved)
            return f"pal restore /srv/{name}.pal && rm -f /srv/{name}.pal", (0, 5)
        if self.saved or len(self.readers) < 2:
            return None
        name = self.random.choice(self.readers)
        return f"pal save {name} /srv/{name}.pal --timeout ask=90 --timeout freeze=180", (0, 4)  # 4: its kernel is not there yet

    def replace(self):
        """Another content under the same name: a new file, or the same one written over."""
        if "three" in self.readers + self.saved:
            return None
        self.image = self.random.randrange(100, 1 << 20)
        if self.random.random() < 0.5:
            return f"blkcheck make /srv/other.img {OTHER} {self.image}", (0,)
        return f"blkcheck make /srv/other.new {OTHER} {self.image} && mv /srv/other.new /srv/other.img", (0,)

    # ---- doing it ----

    def do(self, command, statuses):
        self.steps.write(f"{command}\n")
        if command == "kill":
            return kill_server(self.control)
        text = self.control.run(f"({command}) >/tmp/said 2>&1; s=$?; cat /tmp/said; echo status=$s", limit=330)
        self.judge(command, statuses, text)

    def judge(self, command, statuses, text):
        status = int(re.findall(r"^status=(\d+)\s*$", text, re.M)[-1])
        self.steps.write(f"    {status}\n")
        self.counts[status == 0] = self.counts.get(status == 0, 0) + 1
        if status not in statuses:
            self.control.qemu.fail(f"{command!r}: status {status}: {text}")

    def beside(self, command):
        """Started now, so that it goes on beside the next one."""
        self.control.run(f"rm -f /tmp/status; ( (({command}) >/tmp/beside 2>&1; echo $? >/tmp/status) </dev/null >/dev/null 2>&1 & ); "
                         f"usleep {self.random.randrange(300000)}")

    def beside_ended(self, command, statuses):
        text = self.control.run("for n in $(seq 1200); do [ -s /tmp/status ] && break; usleep 200000; done; "
                                "cat /tmp/beside; echo status=$(cat /tmp/status)", limit=300)
        self.judge(command, statuses, text)

    def choose(self, among):
        return next(found for found in (self.random.choice(among)() for _ in iter(int, 1)) if found)

    def step(self):
        self.look()
        command, statuses = self.choose(self.actions)
        if self.random.random() < 0.3:  # two things at once: the second is one that bears with whatever the first is
            other, others = self.choose([self.cache, self.warm, self.balloon])
            self.steps.write(f"beside {other}:\n")
            self.beside(other)
            self.do(command, statuses)
            self.beside_ended(other, others + (3, 4, 6, 7))  # it may be gone, going, or put away
        else:
            self.do(command, statuses)

    # ---- what must hold ----

    def said(self):
        """Nobody read a wrong block, nobody found another's word; how often all of an image was read, by reader."""
        text = self.control.run(f"grep -aE 'DISK bad|SCAN bad|found words|PANIC|Kernel panic|BUG:' {self.log('*')} | head -n 20; "
                                f"for n in {' '.join(self.names)}; do echo READ-$n-$(grep -ac 'DISK read ok' {self.log('$n')} 2>/dev/null); done")
        if re.search(r"DISK bad|SCAN bad|found words|PANIC|Kernel panic|BUG:", text):
            self.control.qemu.fail(f"a guest found what must not be: {text}")
        return {name: int(count) for name, count in re.findall(r"READ-(\w+)-(\d+)", text)}

    def quiet(self):
        """All guests stand still: the books balance, `pal mem` and `pal cache` add up."""
        self.look()
        names = self.readers + self.scanners
        self.control.run(" && ".join(f"pal pause {name}" for name in names), limit=120)
        m, _ = memory(self.control)
        assert m["moving_bytes"] == 0 and m["promised_bytes"] == 0, m
        self.control.run("/checks/audit >/tmp/audit; grep 'books pass' /tmp/audit || { cat /tmp/audit; false; }", limit=120)
        for _ in range(100):  # the server may still be putting away what it has read
            c = self.control.json("pal cache")
            if c["cached_bytes"] == sum(image["cached_bytes"] for image in c["images"]):
                break
        assert c["cached_bytes"] == sum(image["cached_bytes"] for image in c["images"]) and c["cached_bytes"] <= c["free_bytes"], c
        self.control.run(" && ".join(f"pal unpause {name}" for name in names), limit=120)
        self.said()
        return c

    def calm(self):
        """All readers there, and no reason for them not to go on: each reads all of its image from now on."""
        self.look()
        self.control.run("pal cache on; pal cache on one; pal cache limit none; pal cache limit none one; true")
        for name in self.scanners:
            self.do(f"pal destroy {name}", (0,))
        for name in self.names:
            if name in self.saved:
                self.do(f"pal restore /srv/{name}.pal", (0,))
            elif name not in self.readers:
                self.do(self.create_reader(name), (0,))
        before = self.said()
        for name in self.names:
            # Two more: the first may have begun long ago.
            self.control.run(f"for i in $(seq {steps(900)}); do n=$(grep -ac 'DISK read ok' {self.log(name)}); [ ${{n:-0}} -ge {before[name] + 2} ] && break; "
                             f"usleep 200000; done; [ $n -ge {before[name] + 2} ]", limit=360)
        return self.said()


def run_chaos(directory, described, steps, every, names, **more):  # noqa: F811
    seed = int(os.environ.get("PAL_SEED", "1"))
    print(f"PAL_SEED={seed}")
    with Qemu(machine(**described, **more), directory) as qemu:
        control = prepare(qemu)
        before = control.run("md5sum </srv/base.img").split()[0]
        free = memory(control)[0]["free_bytes"]
        chaos = Chaos(control, directory, seed, names)
        for name in names:
            control.run(chaos.create_reader(name), limit=120)
        wait_said(control, names[0], "DISK read ok")
        chaos.do(*chaos.warm("big"))
        most = chaos.quiet()["cached_bytes"]
        chaos.do(*chaos.fill(all_of_it=True))
        for number in range(steps):
            chaos.step()
            if number % every == every - 1:
                most = max(most, chaos.quiet()["cached_bytes"])
        read = chaos.calm()
        c = chaos.quiet()
        assert c["taken_bytes"] > 0 and c["hits"] > 0 and max(most, c["cached_bytes"]) > BASE * 512
        print(f"{steps} steps, {chaos.counts}; images read {read}; {c['hits']} hits, {c['misses']} misses, {c['taken_bytes'] / MIB:.0f} MiB taken, "
              f"{c['replaced_bytes'] / MIB:.0f} MiB replaced")
        control.run(f"for d in {' '.join(names)}; do pal destroy $d; done", limit=120)
        end_guests(control)
        chaos.said()
        control.run("pal cache drop")
        m, domains = memory(control)
        assert set(domains) == {"Domain-0"} and m["promised_bytes"] == m["moving_bytes"] == 0 and free - m["free_bytes"] < 4 * MIB
        assert control.run("md5sum </srv/base.img").split()[0] == before
        audit(control)
        control.run("umount /srv")
        qemu.check_log()


def test_chaos(directory, described):
    run_chaos(directory, described, 7, 5, ("one", "three"), memory="768M")


@pytest.mark.soak
@pytest.mark.parametrize("accel", [q.IN_TURN, q.PARALLEL], ids=["in-turn", "parallel"])
def test_long_chaos(directory, described, accel):
    run_chaos(directory, described, int(os.environ.get("PAL_STEPS", "400")), 5, tuple(READERS), memory="896M", accel=accel)

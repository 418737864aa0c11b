# SPDX-License-Identifier: MIT
"""Hostile guests against domain 0's tools and Debian's daemons (invariants 62 to 64).

Small kernels that break every rule of the store's and the console's protocols, while another domain is to be served and
domain 0's own tools are to answer.
"""

import fcntl
import re
import subprocess
import time

import pytest

import qemu as q
from layer import DOMAINS_INITRD, add_archive, program
from qemu import Qemu
from test_domains import domain0, domains_image, machine  # noqa: F401 (a fixture)

IMAGE = q.BUILD / "dom0" / "initrd-hostile.gz"
LOGS = "/var/log/xen/console"
# What a console's log may take of domain 0's disk; tools/pal/trim.c says as much.
LOG_LIMIT = 8 << 20
RING_TRICKS = 9  # of attack=indices


DESCRIPTION = (
    b"<domain type='xen'><name>NAME</name><memory unit='MiB'>4</memory><vcpu>1</vcpu>"
    b"<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/client.elf</kernel><cmdline>LINE</cmdline></os>"
    b"<devices><console type='pty'/></devices></domain>\n"
)


@pytest.fixture(scope="session", autouse=True)
def image(domains_image):  # noqa: F811
    with open(q.BUILD / ".lock-hostile", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", q.TOP, f"BUILD={q.BUILD}", "guests"], check=True, stdout=subprocess.DEVNULL)
    add_archive(DOMAINS_INITRD, IMAGE, [
        ("guest/client.elf", (q.BUILD / "guest/store-client.elf").read_bytes(), 0o644),
        ("guest/client.xml", DESCRIPTION, 0o644), program("bin/recycle", "tests/e2e/inside/recycle.c")])


class Scene:
    """Domain 0, and in it a witness that the store serves."""

    def __init__(self, control):
        self.control = control
        self.daemon = control.run("cat /run/xen/xenstored.pid").split()[0]
        self.console = control.run("cat /run/xen/xenconsoled.pid").split()[0]
        self.witness = self.create("witness", "attack=served")
        self.check_served()
        self.resident = self.memory()

    def create(self, name, line):
        self.control.run(f"sed 's/NAME/{name}/; s/LINE/{line}/' /guest/client.xml >/tmp/{name}.xml")
        return self.control.json(f"pal create /tmp/{name}.xml", limit=120)["id"]

    def say(self, name):
        """All that the domain has said."""
        return self.control.run(f"tail -c 20000 {LOGS}/guest-{name}.log", status=None)

    def memory(self):
        """KiB that the store's daemon takes."""
        return int(re.search(r"(\d+)", self.control.run(f"grep VmRSS /proc/{self.daemon}/status")).group(1))

    def rounds(self):
        found = re.findall(r"served (\d+)", self.say("witness"))
        return int(found[-1]) if found else -1

    def wait(self, what, limit=120):
        """Until what() is true."""
        deadline = time.monotonic() + limit * q.TIME_SCALE
        while time.monotonic() < deadline:
            if what():
                return
            time.sleep(0.3)
        self.control.qemu.fail(f"{what.__doc__ or what} did not come\n{self.explain()}")

    def explain(self):
        """What the daemons, their events and the machine's vCPUs do, before anybody asks the store something and after."""
        look = ["grep -E 'CPU|evtchn|resched|timer' /proc/interrupts"]
        for pid in (self.daemon, self.console):
            look.append(f"cd /proc/{pid}; cat stat wchan; echo; cat stack; grep -E 'State|ctxt' status")
        said = f"tail -n 3 {LOGS}/guest-witness.log"
        commands = [*look, "sleep 2", *look, "pal list", "/usr/lib/xen-4.17/bin/xl debug-keys q; pal dmesg | grep '] d' | tail -n 20", said,
                    "xenstore-read /local/domain/0/name", "sleep 3", said, *look]
        return "\n".join(self.control.run(f'timeout 20 sh -c "{command}" 2>&1', status=None).strip() for command in commands)

    def check_served(self):
        """The witness and domain 0 get answers, from the daemons that there were at the start."""
        before = self.rounds()

        def further():
            """A round of the witness's"""
            return self.rounds() > before

        self.wait(further)
        assert "FAIL" not in self.say("witness")
        assert "Domain-0" in self.control.run("timeout 20 xenstore-read /local/domain/0/name", limit=60)
        self.control.run("kill -0 $(cat /run/xen/xenstored.pid) $(cat /run/xen/xenconsoled.pid)")
        assert self.control.run("cat /run/xen/xenstored.pid").split()[0] == self.daemon

    def attack(self, name, line, limit=180):
        """A domain does it while the witness is served; then it is destroyed, and nothing of it stays."""
        number = self.create(name, line)

        def done():
            """The attack's end"""
            return re.search(r"^(DONE|PANIC)", self.say(name), re.M)

        self.check_served()
        self.wait(done, limit)
        said = self.say(name)
        self.check_served()
        self.control.run(f"pal destroy {name}", limit=60)
        self.control.run(f"timeout 20 xenstore-exists /local/domain/{number}", status=1, limit=60)
        failed = [text for text in said.splitlines() if re.match("FAIL|PANIC", text)]
        assert not failed, failed[:5]
        assert re.search("^DONE", said, re.M)
        return said


def words(scene):
    """Paths, lengths, kinds and transactions that are none: an error each, and served afterwards."""
    scene.attack("words", "attack=words")


def rights(scene):
    """Nothing of another's, nothing of control's; what tools read of a guest is not the guest's to write."""
    scene.attack("rights", f"attack=rights victim={scene.witness}")


def quotas(scene):
    """Nodes, watches, transactions come to an end for the one who makes them, and go with him."""
    nodes = int(scene.control.run("timeout 60 xenstore-ls | wc -l", limit=90).split()[-1])
    scene.attack("quotas", "attack=quotas", limit=400)
    scene.attack("deep", "attack=deep")
    left = int(scene.control.run("timeout 60 xenstore-ls | wc -l", limit=90).split()[-1])
    assert left <= nodes
    assert scene.memory() < scene.resident + 16384


def accounts(scene):
    """What is given back is there again: nodes, watches, after transactions that did not come true; rights come to an end."""
    scene.attack("accounts", "attack=accounts", limit=400)


def numbers(scene):
    """A domain gets the number of one that is gone: nothing that was that one's, all of what is a new one's."""
    rooms = []

    def finished(name):
        def done():
            """The attack's end"""
            return re.search(r"^(DONE|PANIC)", scene.say(name), re.M)

        scene.wait(done, 180)
        said = scene.say(name)
        assert not re.search("^(FAIL|PANIC)", said, re.M), said
        rooms.extend(re.findall("^room for .*$", said, re.M))

    number = scene.create("probe", "attack=words") + 1  # what the next one gets
    scene.control.run("pal destroy probe", limit=60)
    for name, may in (("first", 1), ("second", 0)):
        assert scene.create(name, f"attack=take from={number + 1} may={may}") == number
        if may:
            assert scene.create("share", "attack=share") == number + 1
            finished("share")
        finished(name)
        scene.control.run(f"pal destroy {name}", limit=60)
        scene.control.run(f"timeout 20 xenstore-exists /local/domain/{number}", status=1, limit=60)
        if may:
            assert "RECYCLED" in scene.control.run(f"recycle {number - 1}", limit=400)
    assert len(rooms) == 2 and rooms[0] == rooms[1], rooms
    scene.control.run("pal destroy share", limit=60)


def indices(scene):
    """A ring whose indices make no sense, or change all the time: only its own domain is the worse for it."""
    for how in range(RING_TRICKS):
        scene.attack(f"ring{how}", f"attack=indices how={how} seed={how + 1}")
    assert scene.memory() < scene.resident + 16384


def console(scene):
    """The console's page played with: the other's lines come all the same, and its own when it is put right."""
    scene.attack("console", "attack=console")


def flood(scene):
    """Requests without end whose answers nobody reads; lines without end: logs have a limit, and others are served."""
    said = "pal dmesg | grep -c '\\] (d[0-9]*) '"  # by the hypervisor, of guests
    before = int(scene.control.run(said, status=None).split()[-1])
    scene.attack("flood", "attack=flood", limit=300)
    size = int(scene.control.run(f"stat -c %s {LOGS}/guest-flood.log").split()[-1])
    assert size <= LOG_LIMIT, size
    # What the guest wrote is shown without what a terminal would take for a command.
    shown = scene.control.run("pal logs -n 50 flood | tr -d '\\012\\015\\040-\\176' | wc -c")
    assert int(shown.split()[-1]) == 0
    assert int(scene.control.run(said, status=None).split()[-1]) - before < 50
    assert scene.memory() < scene.resident + 16384
    # One that prints for a day: its log is cut to its end, by whole lines. (It grows at once: cut while it grows, it might be left
    # shorter than what is cut.)
    scene.control.run("echo 'the same line' >/tmp/lines; for i in $(seq 20); do cat /tmp/lines /tmp/lines >/tmp/more; mv /tmp/more /tmp/lines; done; "
                      f"cat {LOGS}/guest-flood.log /tmp/lines >{LOGS}/more; mv {LOGS}/more {LOGS}/guest-flood.log; rm /tmp/lines", limit=120)

    def cut():
        """The log's being cut"""
        return int(scene.control.run(f"stat -c %s {LOGS}/guest-flood.log").split()[-1]) < LOG_LIMIT // 4

    scene.wait(cut)
    scene.control.run(f"grep 'bytes were left out' {LOGS}/guest-flood.log")
    assert "the same line" in scene.control.run("pal logs -n 1 flood")


def check_asked(control):
    """Where nobody speaks to the store its daemon wakes all the same: pal watch asks it, for Linux may miss to tell of an event."""
    deadline = time.monotonic() + 60 * q.TIME_SCALE
    count = "grep -w voluntary_ctxt_switches /proc/$(cat /run/xen/xenstored.pid)/status"
    before = int(control.run(count).split()[-1])
    while int(control.run(count).split()[-1]) < before + 3:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_hostile_clients(directory):
    """One machine, one witness; all attacks, one after the other."""
    with Qemu(machine(initrd=IMAGE, memory="1536M", dom0_mem="768M"), directory) as qemu:
        control = domain0(qemu)
        check_asked(control)
        scene = Scene(control)
        for part in (words, rights, quotas, accounts, numbers, indices, console, flood):
            part(scene)
        scene.check_served()
        qemu.check_log()

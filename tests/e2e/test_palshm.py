# SPDX-License-Identifier: MIT
"""Data between two stock guests through a region, with palshm inside them."""

import re

import pytest

from qemu import Qemu
from test_domains import PROMPT, audit, domain0, domains_image, machine  # noqa: F401

GUEST = """<domain type='xen'><name>{name}</name><memory unit='MiB'>192</memory><vcpu>{vcpus}</vcpu>
<metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'>{ours}</pal:domain></metadata>
<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/vmlinuz</kernel>
<initrd>/guest/initrd.gz</initrd><cmdline>console=hvc0</cmdline></os>
<devices><console type='pty'/></devices></domain>"""


class Guest:
    """A shell on a guest's console, reached from domain 0's."""

    def __init__(self, control, name, vcpus=1, ours=""):
        self.control, self.qemu, self.name, self.count = control, control.qemu, name, 0
        for number, line in enumerate(GUEST.format(name=name, vcpus=vcpus, ours=ours).splitlines()):
            control.run(f'''echo "{line}" >{'>' if number else ''}/tmp/{name}.xml''')
        self.id = control.json(f"pal create /tmp/{name}.xml", limit=120)["id"]

    def ready(self):
        self.enter(r"GUEST-INIT", 120)
        self.qemu.expect(r"guest:\S+# ", 60)
        self.leave()
        self.run("stty -echo cols 200; dmesg -n 1; modprobe -a xen-gntdev xen-evtchn; modprobe xen-privcmd unrestricted=1")
        return self

    def enter(self, pattern, limit=60):
        self.qemu.send_line(f"pal console {self.name}")
        self.qemu.expect(pattern, limit)

    def leave(self):
        self.qemu.child.send("\x1d")
        self.qemu.expect(PROMPT, 30)

    def run(self, command, limit=60, status=0):
        """The command's output; its exit status must be the one given, unless that is None."""
        self.count += 1
        mark = f"{self.name}-{self.count}"
        self.qemu.send_line(f"pal console {self.name}")
        self.qemu.child.send("\r")
        self.qemu.expect(r"guest:\S+# ", 60)
        self.qemu.send_line(f"echo BEGIN-{self.name}-$(({self.count})); {command}; echo END-{self.name}-$(({self.count}))=$?")
        output, got = self.qemu.between(f"BEGIN-{mark}", f"END-{mark}", limit, early=())
        self.leave()
        if status is not None and got != status:
            self.qemu.fail(f"{self.name}: {command!r}: status {got}, not {status}:\n{output[-2000:]}")
        return output

    def start(self, command, name):
        """In the background, and not of this shell's: what it prints goes to /tmp/NAME, its status to /tmp/NAME.status."""
        self.run(f"rm -f /tmp/{name}.status; ( ({command}; echo $? >/tmp/{name}.status) </dev/null "
                 f">/tmp/{name} 2>/tmp/{name}.err & )")

    def until(self, command, limit=60):
        """The command succeeds, sooner or later."""
        self.run(f"for i in $(seq {limit * 10}); do {command} && break; usleep 100000; done; {command}", limit * 2)

    def ended(self, name, status=0, limit=60):
        self.until(f"test -s /tmp/{name}.status", limit)
        text = self.run(f"cat /tmp/{name}.err; echo status=$(cat /tmp/{name}.status)")
        assert f"status={status}\n" in text, f"{name} ended otherwise:\n{text}"
        return text

    def sha256(self, path, limit=60):
        return re.search(r"^[0-9a-f]{64}", self.run(f"sha256sum {path}", limit), re.M).group(0)

    def dmesg(self):
        self.run("dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|general protection' ", status=1)


@pytest.fixture
def control(directory):
    with Qemu(machine(), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


def guests(control, vcpus=1, ours=""):
    a, b = Guest(control, "a", vcpus, ours), Guest(control, "b", vcpus)
    return a.ready(), b.ready()


def serve(a):
    a.run("mkdir -p /srv/deep/er; dd if=/dev/urandom of=/srv/big bs=1M count=16 2>/dev/null; "
          "for i in $(seq 20); do dd if=/srv/big of=/srv/deep/$i bs=$((i * 997)) count=$i 2>/dev/null; done; "
          "echo small >/srv/deep/er/x; ln -s /etc/passwd /srv/out; ln -s ../../.. /srv/deep/up; : >/srv/empty")
    a.start("palshm -v serve /srv", "serve")
    a.until("grep -q serving /tmp/serve.err")


def pipe(sender, receiver, size):
    """A pipe from one to the other, of a few odd sizes."""
    sender.run(f"head -c {size} /dev/urandom >/tmp/sent")
    receiver.start("palshm -w 60 recv", "recv")
    sender.run("palshm -w 60 send </tmp/sent", 120)
    receiver.ended("recv", limit=120)
    assert receiver.sha256("/tmp/recv") == sender.sha256("/tmp/sent")


def test_guests(control):
    """The whole of it: a server with checksums, pipes both ways, many clients, what is refused, deaths, revocation."""
    a, b = guests(control, ours="<pal:regions memory='1M' count='2'/>")
    assert "this domain has no region" in b.run("palshm get /x", status=3)
    control.json("pal region create bulk 64M --allow a:rw --allow b:rw")
    for guest in (a, b):
        assert re.search(rf"^bulk +65536 rw +{a.id},{b.id}$", guest.run("palshm ls"), re.M)

    serve(a)
    b.run("cd /tmp; palshm -w 60 get /big", 120)
    assert b.sha256("/tmp/big") == a.sha256("/srv/big")
    listed = b.run("palshm -w 60 ls /", 120)
    assert re.search(r"^-\d+ +16777216 .* big$", listed, re.M) and re.search(r"^d\d+ .* deep$", listed, re.M)
    b.run("palshm -w 60 copy / /tmp/tree", 120, status=1)  # two links are left out
    for guest, top in ((a, "/srv"), (b, "/tmp/tree")):
        guest.run(f"cd {top}; find . -type f | sort | xargs sha256sum | sha256sum >/tmp/sum")
    assert a.run("cat /tmp/sum") == b.run("cat /tmp/sum")
    for path in ("../etc/passwd", "/../etc/passwd", "out", "deep/up/etc/passwd", "nothing"):
        b.run(f"palshm -w 60 get {path} /tmp/stolen", 120, status=1)
        b.run("ls /tmp/stolen* 2>/dev/null", status=1)

    # Eight clients at once, each with a window of its own.
    b.start("for i in 1 2 3 4 5 6 7 8; do palshm -w 60 -s 1M get /big - | sha256sum & done; wait", "many")
    b.ended("many", limit=120)
    sums = re.findall(r"^[0-9a-f]{64}", b.run("cat /tmp/many"), re.M)
    assert len(sums) == 8 and set(sums) == {a.sha256("/srv/big")}

    pipe(b, a, 5_000_011)
    pipe(a, b, 3)
    pipe(a, b, 1_048_576)

    # A client is killed at one moment or another, before it has mapped its window or later: the server's process for it goes (the one
    # that was never come to, after half a minute), the others do not notice.
    b.run("for i in $(seq 12); do palshm get /big - >/dev/null & p=$!; usleep $((i * 20000)); kill -9 $p; wait $p 2>/dev/null; done; true")
    a.until("test $(pidof palshm | wc -w) = 1")
    b.run("palshm -w 60 get /deep/7 - | cmp - /tmp/tree/deep/7", 120)
    # The receiver is killed; the sender must not take it for success.
    a.start("palshm -w 60 -n cut recv >/dev/null & echo $! >/tmp/cut.pid; wait", "cut")
    b.start("cat /dev/zero | palshm -w 60 -n cut send", "cut")
    b.until("grep -q gntdev /proc/$(pidof palshm)/maps")
    a.run("kill -9 $(cat /tmp/cut.pid)")
    b.ended("cut", status=1)

    # Domain 0 may be a member, too.
    control.json("pal region allow bulk Domain-0:rw")
    control.run(f"palshm -w 60 -r bulk -d {a.id} get /deep/er/x - | grep small; palshm -w 60 -r bulk get /big /tmp/big && sha256sum /tmp/big",
                limit=180)
    assert control.run("sha256sum /tmp/big").split()[0] == a.sha256("/srv/big")

    own_region(a, b)
    b.start("palshm -w 60 -n last recv >/dev/null", "last")
    a.start("cat /dev/zero | palshm -w 60 -n last send", "flood")
    b.until("grep -q gntdev /proc/$(pidof palshm)/maps")
    control.json("pal region revoke bulk b", limit=60)
    b.ended("last", status=4)
    a.ended("flood", status=1)
    b.run("palshm get /big", status=3)
    assert "bulk" not in b.run("palshm ls")
    a.run("kill $(pidof palshm)")
    a.ended("serve")
    a.run("palshm create left 256K")  # its maker's end will be its end, too: nobody else has it
    control.json("pal region destroy bulk")
    for guest in (a, b):
        guest.dmesg()
    control.run("pal destroy a; pal destroy b")
    audit(control)


def own_region(a, b):
    """A region that a guest makes, within its quota."""
    a.run("palshm create mine 512K")
    assert "quota" in a.run("palshm create more 1M", status=6)
    b.run(f"palshm -r {a.id}:mine cat", status=3)
    a.run(f"palshm allow mine {b.id}:ro")
    a.run("printf hello | palshm -r mine -W cat 4090")
    assert "hello" in b.run(f"palshm -r {a.id}:mine cat 4090 5; echo")
    b.run(f"printf x | palshm -r {a.id}:mine -W cat", status=6)
    a.run("palshm destroy mine")
    b.run(f"palshm -r {a.id}:mine cat", status=3)


@pytest.mark.soak
def test_pressure(control):
    """Four virtual CPUs each on two, caps and weights that change, four streams each way for long: all data as sent."""
    a, b = guests(control, vcpus=4)
    control.json("pal region create bulk 64M --allow a:rw --allow b:rw")
    for guest in (a, b):
        guest.run("head -c 8000000 /dev/urandom >/tmp/block; sha256sum </tmp/block >/tmp/wanted")
    for round in range(4):
        for n in range(4):
            for sender, receiver in ((a, b), (b, a)):
                name = f"{sender.name}{n}"
                receiver.start(f"palshm -w 120 -s {(n + 1) * 40}K -n {name} recv | sha256sum", f"in-{name}")
                sender.start(f"for i in 1 2 3 4; do cat /tmp/block; done | palshm -w 120 -n {name} send", f"out-{name}")
        for cap, weight in ((60, 64), (150, 1024), (30, 256), (0, 256)):
            control.run(f"pal set a --cap {cap} --weight {weight}; usleep 700000")
        for sender, receiver in ((a, b), (b, a)):
            wanted = sender.run("cat /tmp/block /tmp/block /tmp/block /tmp/block | sha256sum", 120)[:400]
            wanted = re.search(r"[0-9a-f]{64}", wanted).group(0)
            for n in range(4):
                sender.ended(f"out-{sender.name}{n}", limit=300)
                receiver.ended(f"in-{sender.name}{n}", limit=300)
                assert wanted in receiver.run(f"cat /tmp/in-{sender.name}{n}")
    for guest in (a, b):
        guest.dmesg()
    control.json("pal region destroy bulk")
    control.run("pal destroy a; pal destroy b")
    assert control.json("pal region list")["regions"] == []
    audit(control)

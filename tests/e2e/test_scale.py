# SPDX-License-Identifier: MIT
"""Domains in numbers: made and ended over and over, many at a time, sharing the processors; and built by others' tools."""

import contextlib
import fcntl
import json
import re
import subprocess

import pytest

import qemu as q
from layer import DOMAINS_INITRD, add_archive, described
from qemu import Qemu
from test_domains import domain0, domains_image, machine, steps, wait_gone  # noqa: F401 (a fixture)

PROGRAM = q.BUILD / "tools" / "scale"
IMAGE = q.BUILD / "dom0" / "initrd-scale.gz"
# Debian's Xen 4.17 is said to need this much for an idle domain of one virtual CPU.
PEER_DOMAIN_BYTES = 144 << 10
XL_CONFIG = 'name="deb"\\nkernel="/guest/vmlinuz"\\nramdisk="/guest/initrd.gz"\\nmemory=160\\nvcpus=2\\nextra="console=hvc0"\\n'


def description(name, kernel, mebibytes, line="", initrd=""):
    return (
        f"<domain type='xen'><name>{name}</name><memory unit='MiB'>{mebibytes}</memory><vcpu>1</vcpu>"
        f"<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/{kernel}</kernel>{initrd}"
        f"<cmdline>{line}</cmdline></os><devices><console type='pty'/></devices></domain>\n"
    ).encode()


@pytest.fixture(scope="session", autouse=True)
def image(domains_image):  # noqa: F811
    """The domains' image, with the program and small kernels laid over it."""
    with open(q.BUILD / ".lock-scale", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            ["make", "-s", "-C", q.TOP, f"BUILD={q.BUILD}", PROGRAM, "guests"], check=True, stdout=subprocess.DEVNULL
        )
    kernels = [(f"guest/{name}.elf", (q.BUILD / "guest" / f"{name}.elf").read_bytes(), 0o644) for name in ("answer", "lists")]
    add_archive(DOMAINS_INITRD, IMAGE, [("bin/scale", PROGRAM.read_bytes(), 0o755), *kernels, *described({
        "bare": description("bare", "answer.elf", 4),
        "spin": description("spin", "answer.elf", 4, "mode=spin"),
        "list": description("list", "lists.elf", 8),
        "stock": description("stock", "vmlinuz", 160, "console=hvc0", "<initrd>/guest/initrd.gz</initrd>")})])


class Books:
    """What there is of memory, heap and ports now; later all of it must be there again."""

    def __init__(self, control):
        self.control = control
        self.before = self.now()

    def now(self):
        found = self.control.json_line("scale stats")
        assert found["audit"] == 0
        return found

    def grown(self):
        now = self.now()
        return {what: now[what] - self.before[what] for what in now}

    @staticmethod
    def wrong(grown, tables):
        right = {
            "domains": grown["domains"] == 0,
            "ports": grown["ports"] == 0,
            # What is not free is the hypervisor's own; no frame of a domain is lost.
            "free_frames": grown["free_frames"] == -grown["heap_frames"],
            "heap_bytes": grown["heap_bytes"] <= tables,
            "heap_frames": grown["heap_frames"] <= 1 + tables // 4096,
        }
        return [what for what in right if not right[what]]

    def check(self, tables=0):
        """tables: so many bytes the hypervisor may keep for domain 0's own mappings and ports."""
        for _ in range(100):  # domains go, and the daemons that had to do with them close their ports a little later
            grown = self.grown()
            if not self.wrong(grown, tables):
                break
            self.control.run("usleep 100000")
        print(grown)
        assert not self.wrong(grown, tables), grown


def json_line(control, command, **options):
    """The line of JSON that the program prints, found among what else may stand there."""
    found = re.findall(r"^\{.*\}$", control.run(f"stty -echo; {command}", **options), re.M)
    if not found:
        control.qemu.fail(f"{command!r} printed no JSON")
    return json.loads(found[-1])


def start(qemu):
    control = domain0(qemu)
    control.json_line = lambda command, **options: json_line(control, command, **options)
    # What is made once and kept, as domain 0's table of mappings: both daemons have had to do with a domain.
    control.json_line("scale make /guest/bare.xml 1")
    control.json_line("scale ask 30 hello 'answer hello'")
    control.run("scale end")
    return control


shared = contextlib.ExitStack()  # the machine that a worker's tests go on with


@pytest.fixture
def control(request, directory):
    """A machine of two CPUs, the same for one test after the other until one fails."""
    try:
        if not hasattr(shared, "control"):
            qemu = shared.enter_context(Qemu(machine(initrd=IMAGE, memory="2G", dom0_mem="768M"), directory))
            shared.control = start(qemu)
        yield shared.control
        if request.node.went_wrong:
            close_shared()
            return
        qemu = shared.control.qemu
        qemu.check_log()
        if qemu.child.proc.poll() is not None or qemu.lost_flags():
            qemu.fail("the machine is not to be gone on with")
        shared.control.run("rm -rf /var/log/xen/console/*")
    except BaseException:
        close_shared()
        raise


def close_shared():
    if hasattr(shared, "control"):
        del shared.control
    shared.close()


@pytest.fixture(scope="module", autouse=True)
def close_at_end():
    yield
    close_shared()


def cycles(control, number, ends):
    """Domains one after the other, some by pal, and stock kernels ended at any moment of their boot."""
    books = Books(control)
    print(control.json_line(f"scale cycles /guest/bare.xml {number} 0", limit=number + 500))
    books.check()
    control.run("for i in $(seq 5); do pal create /guest/bare.xml 2>&1 && pal destroy bare || break; done", limit=120)
    books.check()
    print(control.json_line(f"scale cycles /guest/stock.xml {ends} 3000", limit=300))
    books.check()


def test_creations(control):
    cycles(control, 100, 8)


@pytest.mark.soak
def test_five_hundred_cycles(control):
    cycles(control, 500, 20)


def runs_on(control, name, before):
    """The domain takes more of the processor than it had before."""
    for _ in range(100):
        if control.json(f"pal list {name}")["domains"][0]["cpu_seconds"] > before:
            return
        control.run("usleep 100000")
    control.qemu.fail(f"{name} does not run")


def test_endless_list(control):
    """A domain whose vCPU never comes out of a hypercall can be looked at, held, let go, capped and ended."""
    books = Books(control)
    control.json("pal create /guest/list.xml")
    control.run("for i in $(seq 100); do pal list list | grep -q running && break; sleep 0.1; done")
    runs_on(control, "list", 0)
    assert control.json("pal info list")["domain"]["name"] == "list"
    control.run("pal pause list")
    assert control.json("pal list list")["domains"][0]["state"] == "paused"
    stood = control.json("pal list list")["domains"][0]["cpu_seconds"]
    control.run("sleep 1")
    assert control.json("pal list list")["domains"][0]["cpu_seconds"] == stood
    control.run("pal unpause list")
    runs_on(control, "list", stood)
    books.now()  # the audit
    assert 0 < control.json_line("scale context list")["rip"] < 1 << 64
    control.run("pal set list --cap 20")
    assert shares(control, ["list"], 10)["list"] < 0.3
    control.run("pal destroy list")
    books.check()


def test_many(control):
    """128 domains at a time, all of which answer."""
    books = Books(control)
    print(control.json_line("scale make /guest/bare.xml 128", limit=600))
    assert control.json_line("scale ask 120 hello 'answer hello'", limit=150)["answered"] == 128
    full = books.now()
    assert full["domains"] == 129
    each = ((books.before["free_frames"] - full["free_frames"]) / 128 - 1024) * 4096
    print(f"hypervisor memory for an idle domain of one virtual CPU: {each / 1024:.1f} KiB")
    assert 0 < each < PEER_DOMAIN_BYTES
    assert len(control.json("pal list")["domains"]) == 129
    control.run("scale end", limit=200)
    books.check(tables=32 << 10)


@pytest.mark.soak
def test_many_stock(directory):
    """Sixteen of Debian's kernels at a time."""
    with Qemu(machine(initrd=IMAGE, memory="8G", dom0_mem="1G"), directory) as qemu:
        control = start(qemu)
        books = Books(control)
        print(control.json_line("scale make /guest/stock.xml 16", limit=600))
        answered = control.json_line("scale ask 600 'echo an=$((40+1))' an=41", limit=700)
        assert answered["answered"] == 16
        control.run("scale end", limit=200)
        books.check(tables=8 << 10)
        qemu.check_log()


@pytest.mark.soak
def test_many_ends(control):
    """A hundred stock kernels ended at any moment."""
    books = Books(control)
    print(control.json_line("scale cycles /guest/stock.xml 100 8000", limit=3000))
    books.check()


def shares(control, names, seconds):
    """How many CPUs each domain had on average over some seconds."""
    text = control.run(
        f"cat /proc/uptime; pal list --json | tr -d '\\n '; echo; sleep {seconds}; cat /proc/uptime; pal list --json | tr -d '\\n '; echo"
    )
    times = [float(t) for t in re.findall(r"^([\d.]+) [\d.]+$", text, re.M)]
    had = {name: [float(s) for s in re.findall(rf'"name":"{name}".*?"cpu_seconds":([\d.]+)', text)] for name in names}
    return {name: (after - before) / (times[1] - times[0]) for name, (before, after) in had.items()}


def test_shares(control):
    """Who has twice the weight gets twice the time; who has a cap no more than that."""
    control.json_line("scale make /guest/spin.xml 4")
    control.run("for i in 3 4; do pal set spin-$i --weight 512 || break; done")
    names = [f"spin-{i}" for i in range(1, 5)]
    got = shares(control, names, 10)
    print(got)
    ratio = (got["spin-3"] + got["spin-4"]) / (got["spin-1"] + got["spin-2"])
    assert 1.7 < ratio < 2.3, got
    assert sum(got.values()) > 1.5, got
    control.run("pal set spin-3 --cap 25")
    capped = shares(control, names, 10)
    print(capped)
    assert 0.2 < capped["spin-3"] < 0.3, capped
    assert sum(capped.values()) > 1.5, capped
    control.run("scale end", limit=100)


def test_xl(control):
    """Debian's xl builds a domain, which runs, answers and is ended; pal knows it."""
    books = Books(control)
    control.run(f"PATH=$PATH:/usr/lib/xen-4.17/bin; printf '{XL_CONFIG}' >/tmp/deb.cfg")
    control.run("xl create /tmp/deb.cfg", limit=120)
    assert control.json_line("scale ask 120 'echo an=$((40+1)) $(nproc)' 'an=41 2'", limit=150)["answered"] == 1
    assert control.json("pal list deb")["domains"][0]["vcpus"] == 2
    control.run("xl shutdown -w deb", limit=120)
    control.run(f"for i in $(seq {steps(300)}); do xl list deb >/dev/null 2>&1 || break; usleep 100000; done", limit=60)
    control.run("xl create /tmp/deb.cfg", limit=120)
    control.run("xl destroy deb")
    control.error("pal info deb", 3, "PAL-DOM-001")
    control.run("xl list deb", status=1)
    books.check()


def test_oxenstored(directory):
    """Debian's other store daemon: domains come, answer and go."""
    described = machine(initrd=IMAGE, memory="2G", dom0_mem="768M")
    described.kernel_args += " PAL_XENSTORED=oxenstored"
    with Qemu(described, directory) as qemu:
        control = start(qemu)
        control.run("pidof oxenstored && ! pidof xenstored")
        books = Books(control)
        number = control.json("pal create /guest/stock.xml", limit=120)["id"]
        assert control.json_line("scale ask 120 'echo an=$((40+1))' an=41", limit=150)["answered"] == 1
        control.run("pal shutdown stock --wait", limit=120)
        wait_gone(control, "stock")
        control.run(f"xenstore-exists /local/domain/{number}", status=1)
        books.check()
        qemu.check_log()

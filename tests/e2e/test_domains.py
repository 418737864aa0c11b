# SPDX-License-Identifier: MIT
"""Domain 0 creates, watches and ends other domains with pal, over Debian's own daemons."""

import re
import subprocess

import pytest

import qemu as q
from checks import BOOT_LIMIT
from layer import DOMAINS_INITRD
from qemu import Machine, Qemu

PROMPT = r"dom0:\S+# "


@pytest.fixture(scope="session", autouse=True)
def domains_image(images):
    subprocess.run(["make", "-s", "-C", q.TOP, f"BUILD={q.BUILD}", "tools"], check=True)
    subprocess.run([q.TOP / "tools/dom0-image/build-domains.sh"], check=True, stdout=subprocess.DEVNULL)


class Control:
    """A shell in domain 0."""

    def __init__(self, qemu):
        self.qemu = qemu
        self.count = 0

    def run(self, command, limit=60, status=0):
        """The command's output; its exit status must be the one given."""
        self.count += 1
        # The marks are put together by the shell, so that the echo of the line is not taken for them.
        self.qemu.send_line(f"echo BEGIN-$(({self.count})); {command}; echo END-$(({self.count}))=$?")
        output, got = self.qemu.between(f"BEGIN-{self.count}", f"END-{self.count}", limit)
        if status is not None and got != status:
            self.qemu.fail(f"{command!r}: status {got}, not {status}")
        return output

    def json(self, command, **options):
        text = self.run(f"{command} --json 2>/dev/null", **options)
        try:
            return q.json_in(text)
        except ValueError:
            self.qemu.fail(f"{command!r} printed no JSON")

    def error(self, command, status, code, limit=60):
        """The command fails with that status and that code."""
        text = self.run(command, limit, status)
        if f"[{code}]" not in text or "why:" not in text or "do:" not in text:
            self.qemu.fail(f"{command!r} did not report {code} in three lines")


def machine(**description):
    described = dict(initrd=DOMAINS_INITRD, memory="2G", dom0_mem="1G", kernel_args="loglevel=5 pal.domains")
    described.update(description)
    return Machine(**described)


def domain0(qemu):
    qemu.expect(r"PAL-START ok", BOOT_LIMIT)
    qemu.expect(PROMPT, 30)
    control = Control(qemu)
    # The kernel's warnings go to its own log only: they would stand amid what is read here.
    control.run("stty -echo; stty cols 200; dmesg -n 1")
    return control


@pytest.fixture
def control(directory):
    with Qemu(machine(), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


def wait_console(control, name, pattern, limit=90):
    """The domain's console shows the pattern."""
    control.qemu.send_line(f"pal console {name}")
    control.qemu.expect(pattern, limit)
    control.qemu.child.send("\x1d")
    control.qemu.expect(PROMPT, 30)


def steps(count):
    """So many turns of a loop that waits inside domain 0, stretched as all deadlines are."""
    return round(count * q.TIME_SCALE)


def wait_gone(control, *names):
    """The domains are gone, and so is the record of every domain that does not live.

    `pal shutdown --wait` returns when a domain has ended. What follows is the watcher's: it destroys the domain, lets go of its devices,
    forgets it in the store, and last of all removes its record.
    """
    listed = f"! echo \"$l\" | grep -qE ' ({'|'.join(names)}) *$' && " if names else ""
    control.run(f"gone() {{ l=$(pal list -o id,name) && {listed}"
                "! ls /run/pal | sed -n 's/^\\([0-9][0-9]*\\)[.].*/\\1/p' | while read -r r; do echo \"$l\" | grep -q \"^ *$r \" || echo \"$r\"; done | grep -q .; }; "
                f"for i in $(seq {steps(300)}); do gone && break; sleep 0.1; done; gone", limit=120)


def audit(control, program="/checks/audit"):
    """The books balance, and no domain but domain 0 is left, as soon as its daemons have let go of those that were destroyed."""
    control.run(f"for i in $(seq {steps(100)}); do {program} >/tmp/audit; s=$?; grep -q 'books pass' /tmp/audit && [ $s != 0 ] || break; sleep 0.2; done; "
                "cat /tmp/audit; (exit $s)", limit=120)


def test_life(control):
    """Create, see it boot to a shell, list it, shut it down: the first thing a user does."""
    created = control.json("pal create /guest/web.xml", limit=120)
    assert created["version"] == 1 and created["name"] == "web" and created["id"] >= 1
    control.qemu.send_line("pal console web")
    control.qemu.expect(r"GUEST-INIT", 120)
    control.qemu.expect(r"guest:\S+# ", 30)
    control.qemu.send_line("echo sum=$((40 + 2)) $(uname -r)")
    control.qemu.expect(r"sum=42 6\.1\.", 30)
    control.qemu.send_line("echo going=$((40 + 2)); sleep 1000")
    control.qemu.expect(r"going=42", 30)
    control.qemu.child.send("\x03")  # the guest's own terminal makes a signal of it
    control.qemu.expect(r"guest:\S+# ", 30)
    control.qemu.send_line("echo back=$((40 + 3))")
    control.qemu.expect(r"back=43", 30)
    control.qemu.child.send("\x1d")
    control.qemu.expect(PROMPT, 30)
    listed = control.json("pal list")["domains"]
    assert [d["name"] for d in listed] == ["Domain-0", "web"]
    web = listed[1]
    assert web["id"] == created["id"] and web["vcpus"] == 1 and web["state"] in ("running", "runnable", "blocked")
    assert web["memory_bytes"] == 192 << 20
    assert re.search(r"web +\d+ +\w+ +192 +1 ", control.run("pal ls"))
    control.run("pal shutdown web --wait", limit=120)
    wait_gone(control, "web")
    control.error("pal info web", 3, "PAL-DOM-001")
    assert [d["name"] for d in control.json("pal list")["domains"]] == ["Domain-0"]


def test_states(control):
    """Each verb's way through a domain's states, and its words when the state is wrong."""
    control.json("pal create /guest/web.xml --paused", limit=120)
    assert control.json("pal list web")["domains"][0]["state"] == "paused"
    for words, status, code in (("create /guest/web.xml", 4, "PAL-DOM-002"), ("pause web", 4, "PAL-DOM-003"),
                                ("shutdown web", 4, "PAL-DOM-003"), ("destroy Domain-0", 4, "PAL-DOM-004"),
                                ("info nobody", 3, "PAL-DOM-001"), ("info 77", 3, "PAL-DOM-001"), ("frobnicate", 2, "PAL-USE-002")):
        control.error(f"pal {words}", status, code)
    control.json("pal unpause web")
    control.error("pal unpause web", 4, "PAL-DOM-003")
    control.error("pal rename web Domain-0", 4, "PAL-DOM-002")
    control.error("pal rename web 12", 2, "PAL-USE-001")
    control.json("pal rename web shop")
    info = control.json("pal info shop")["domain"]
    assert info["name"] == "shop" and len(info["vcpus"]) == 1
    assert control.json("pal info")["machine"]["cpus"] == 2
    assert control.json("pal doctor")["fit"] is True
    top = control.json("pal top -b -i 1")["domains"]
    assert [d["name"] for d in top] == ["Domain-0", "shop"]
    control.run("pal destroy shop")
    control.error("pal destroy shop", 3, "PAL-DOM-001")


def test_refusals(control):
    """What cannot be created is refused with the cause, and leaves nothing."""
    free = control.json("pal info")["machine"]["memory_free_bytes"]
    edit = "sed 's|{}|{}|' /guest/web.xml >/tmp/x.xml; pal create /tmp/x.xml"
    control.error(edit.format(">192<", ">32<"), 5, "PAL-MEM-003")
    control.error(edit.format(">192<", ">64<"), 5, "PAL-MEM-003")
    control.error(edit.format(">192<", ">99999<"), 5, "PAL-MEM-001")
    control.error(edit.format("/guest/vmlinuz", "/guest/nothing"), 1, "PAL-IMG-001")
    control.error(edit.format("/guest/vmlinuz", "/guest/web.xml"), 1, "PAL-IMG-002")
    control.error(edit.format("/guest/initrd.gz", "/guest/nothing"), 1, "PAL-IMG-004")
    control.error(edit.format("<vcpu>1<", "<vcpu>one<"), 1, "PAL-XML-002")
    control.error(edit.format("<vcpu>1</vcpu>", "<cpus>1</cpus>"), 1, "PAL-XML-002")
    control.error(edit.format("</os>", ""), 1, "PAL-XML-001")
    assert "/tmp/x.xml:" in control.run("pal create /tmp/x.xml", status=1)
    control.error("head -c 4000000 /guest/vmlinuz >/tmp/short; "
                  + edit.format("/guest/vmlinuz", "/tmp/short"), 1, "PAL-IMG-002")
    control.error(edit.format("<devices>", "<devices><disk type=\"file\"><source file=\"/none\"/>"
                              "<target dev=\"xvda\"/></disk>"), 1, "PAL-DEV-001")
    assert [d["id"] for d in control.json("pal list")["domains"]] == [0]
    assert control.json("pal create /guest/web.xml --dry-run")["dry_run"] is True
    assert [d["id"] for d in control.json("pal list")["domains"]] == [0]
    left = free - control.json("pal info")["machine"]["memory_free_bytes"]
    assert left < 1 << 20, f"{left} bytes of the machine's memory are gone"


def test_reboot(control):
    """on_reboot: the watcher makes the domain anew; the console's log keeps both."""
    first = control.json("pal create /guest/web.xml", limit=120)["id"]
    wait_console(control, "web", r"GUEST-INIT", 120)
    control.run("pal reboot web --wait", limit=120)
    again = control.json("pal list web")["domains"][0]
    assert again["id"] != first
    wait_console(control, "web", r"GUEST-INIT", 120)
    control.run("pal shutdown web --wait", limit=120)
    assert control.run("pal logs web").count("GUEST-INIT") == 2


def test_devices(control):
    """Disks that are files, one of them read-only, and an interface on a bridge: data come through."""
    control.run("dd if=/dev/urandom of=/tmp/fixed.img bs=1M count=4 2>/dev/null; truncate -s 16M /tmp/data.img")
    fixed = control.run("md5sum </tmp/fixed.img").split()[0]
    control.json("pal create /guest/disk.xml", limit=120)
    control.qemu.send_line("pal console data")
    control.qemu.expect(r"GUEST-INIT", 120)
    control.qemu.expect(r"guest:\S+# ", 30)
    control.qemu.send_line("stty cols 200; md5sum </dev/xvdb")
    control.qemu.expect(fixed, 60)
    control.qemu.send_line("echo x >/dev/xvdb; echo refused=$?")
    control.qemu.expect(r"refused=1", 30)
    control.qemu.send_line("dd if=/dev/xvdb of=/dev/xvda bs=1M conv=fsync; echo copied=$?")
    control.qemu.expect(r"copied=0", 60)
    control.qemu.send_line("ping -c 3 10.99.0.1; echo pinged=$?")
    control.qemu.expect(r"pinged=0", 60)
    control.qemu.child.send("\x1d")
    control.qemu.expect(PROMPT, 30)
    assert control.run("head -c 4194304 /tmp/data.img | md5sum").split()[0] == fixed
    control.run("ping -c 2 10.99.0.2")
    control.run("pal shutdown data --wait", limit=120)
    wait_gone(control, "data")
    # Nothing is left behind: interface, loop devices, store.
    control.run(f"for i in $(seq {steps(100)}); do losetup -a | grep -q . || break; sleep 0.1; done; losetup -a | grep .", status=1)
    control.run("ls /sys/class/net | grep vif", status=1)
    control.run("xenstore-ls /local/domain/0/backend | grep data", status=1)


def test_debian_tools(control):
    """Debian's own tools, unmodified, show our domains: xl and xentop."""
    control.json("pal create /guest/web.xml", limit=120)
    control.run("PATH=$PATH:/usr/lib/xen-4.17/bin")
    assert re.search(r"^web +1 +192 +1 ", control.run("xl list"), re.M)
    assert re.search(r"^web +1 +0 +\d+ ", control.run("xl vcpu-list"), re.M)
    assert re.search(r"xen_caps +: .*xen-3.0-x86_64", control.run("xl info"))
    assert re.search(r"^ +web +\S+ +\d+ ", control.run("xentop -b -i 1"), re.M)
    control.run("xl dmesg | grep -q .")
    control.run("xl pause web")
    assert control.json("pal list web")["domains"][0]["state"] == "paused"
    control.run("xl unpause web")
    control.run("xl destroy web")
    control.error("pal info web", 3, "PAL-DOM-001")

# SPDX-License-Identifier: MIT
"""Domain 0 creates, watches and ends other domains with pal, over Debian's own daemons."""

import json
import re
import subprocess

import pytest

import qemu as q
from checks import BOOT_LIMIT
from qemu import Machine, Qemu

PROMPT = r"dom0:\S+# "
DOMAINS_INITRD = q.BUILD / "dom0" / "initrd-domains-6.1.gz"


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
        mark = f"END-{self.count}"
        # The mark is put together by the shell, so that the echo of the line is not taken for it.
        self.qemu.send_line(f"echo BEGIN-$(({self.count})); {command}; echo END-$(({self.count}))=$?")
        self.qemu.expect(rf"BEGIN-{self.count}\s", 30)
        # FATAL texts of other domains' kernels are looked for by their own tests.
        self.qemu.expect(rf"{mark}=(\d+)", limit, early=())
        got = int(self.qemu.child.match.group(1))
        output = self.qemu.child.before.replace("\r", "")
        if status is not None and got != status:
            self.qemu.fail(f"{command!r}: status {got}, not {status}")
        return output

    def json(self, command, **options):
        text = self.run(f"{command} --json 2>/dev/null", **options)
        try:
            return json.loads(text[text.index("{"):])
        except ValueError:
            self.qemu.fail(f"{command!r} printed no JSON")

    def error(self, command, status, code):
        """The command fails with that status and that code."""
        text = self.run(command, status=status)
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
    control.run("stty -echo; stty cols 200")
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


def test_life(control):
    """Create, see it boot to a shell, list it, shut it down: the first thing a user does."""
    created = control.json("pal create /guest/web.xml", limit=120)
    assert created["version"] == 1 and created["name"] == "web" and created["id"] >= 1
    control.qemu.send_line("pal console web")
    control.qemu.expect(r"GUEST-INIT", 120)
    control.qemu.expect(r"guest:\S+# ", 30)
    control.qemu.send_line("echo sum=$((40 + 2)) $(uname -r)")
    control.qemu.expect(r"sum=42 6\.1\.", 30)
    control.qemu.child.send("\x1d")
    control.qemu.expect(PROMPT, 30)
    listed = control.json("pal list")["domains"]
    assert [d["name"] for d in listed] == ["Domain-0", "web"]
    web = listed[1]
    assert web["id"] == created["id"] and web["vcpus"] == 1 and web["state"] in ("running", "blocked")
    assert web["memory_bytes"] == 192 << 20
    assert re.search(r"web +\d+ +\w+ +192 +1 ", control.run("pal ls"))
    control.run("pal shutdown web --wait", limit=120)
    control.error("pal info web", 3, "PAL-DOM-001")
    assert [d["name"] for d in control.json("pal list")["domains"]] == ["Domain-0"]


def test_states(control):
    """Each verb's way through a domain's states, and its words when the state is wrong."""
    control.json("pal create /guest/web.xml --paused", limit=120)
    assert control.json("pal list web")["domains"][0]["state"] == "paused"
    control.error("pal create /guest/web.xml", 4, "PAL-DOM-002")
    control.error("pal pause web", 4, "PAL-DOM-003")
    control.error("pal shutdown web", 4, "PAL-DOM-003")
    control.error("pal destroy Domain-0", 4, "PAL-DOM-004")
    control.error("pal info nobody", 3, "PAL-DOM-001")
    control.error("pal info 77", 3, "PAL-DOM-001")
    control.error("pal frobnicate", 2, "PAL-USE-002")
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
    control.run(f"for i in $(seq 100); do pal list web 2>/dev/null | grep -q ' {first} ' || "
                "pal list web 2>/dev/null | grep -q web && break; sleep 0.3; done", limit=120)
    again = control.json("pal list web")["domains"][0]
    assert again["id"] != first
    wait_console(control, "web", r"GUEST-INIT", 120)
    control.run("pal shutdown web --wait", limit=120)
    assert control.run("pal logs web").count("GUEST-INIT") == 2

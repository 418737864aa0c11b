# SPDX-License-Identifier: MIT
"""Regions between stock guests and domain 0, mapped by their kernels' own grant device."""

import pytest

import qemu as q
from layer import described, domains_with, program
from qemu import Qemu
from test_domains import PROMPT, domain0, domains_image, machine  # noqa: F401

GUEST = """<domain type='xen'>
  <name>{name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='xenpv'>linux</type>
    <kernel>/guest/vmlinuz</kernel>
    <initrd>/guest/region-initrd.gz</initrd>
    <cmdline>console=hvc0 guest.run=modprobe,xen-gntdev;modprobe,xen-privcmd,unrestricted=1</cmdline>
  </os>
  <on_crash>preserve</on_crash>
  <devices><console type='pty'/></devices>
  <metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'>{ours}</pal:domain></metadata>
</domain>
"""
GUESTS = {
    "a": GUEST.format(name="a", vcpus=1, ours="<pal:region name='bulk' access='rw'/>").encode(),
    "b": GUEST.format(name="b", vcpus=2, ours="<pal:regions memory='1M' count='2'/>"
                      "<pal:region name='own' access='rw' size='64K'/>").encode(),
}


@pytest.fixture(scope="session")
def initrd(domains_image):  # noqa: F811
    share = program("bin/share", "tests/e2e/region/share.c")
    books = program("bin/books", "tests/e2e/saved/books.c")
    keep = program("bin/keep", "tests/e2e/region/keep.c", f"-I{q.TOP / 'guest/shm/include'}", q.BUILD / "tools/libpalshm.a")
    with domains_with([*described(GUESTS), share, books], [share, keep], "region-initrd.gz") as own:
        yield own


@pytest.fixture
def control(directory, initrd):
    with Qemu(machine(initrd=initrd, cpu="max"), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


class Guest:
    def __init__(self, control, name):
        self.control = control
        self.name = name

    def type(self, command, pattern):
        """Type into the guest's shell, and see its answer."""
        qemu = self.control.qemu
        qemu.send_line(f"pal console {self.name}")
        qemu.child.send("\n")
        qemu.expect(r"guest:\S+# ", 120)
        qemu.send_line(command)
        qemu.expect(pattern, 120)
        found = qemu.child.match
        qemu.child.send("\x1d")
        qemu.expect(PROMPT, 30)
        return found

    def share(self, words, pattern):
        return self.type(f"share {words}", pattern)

    def said(self, pattern):
        """It says so on its console, sooner or later."""
        log = f"/var/log/xen/console/guest-{self.name}.log"
        self.control.run(f"for i in $(seq 300); do grep -qa '{pattern}' {log} && break; usleep 100000; done; "
                         f"grep -qa '{pattern}' {log}", limit=120)

    def never_complained(self):
        self.control.run(f"! grep -aE 'WARNING|BUG|Oops|Call Trace' /var/log/xen/console/guest-{self.name}.log")

    @property
    def number(self):
        return self.control.json(f"pal list {self.name}")["domains"][0]["id"]


def region(control, name):
    return control.json(f"pal region info {name}")["region"]


def mapped(control, name):
    return {m["name"]: m["mapped_bytes"] for m in region(control, name)["members"]}


def memory_adds_up(control):
    now = control.json("pal mem")
    known = sum(now[part] for part in ("image_bytes", "tables_bytes", "heap_bytes", "regions_bytes", "moving_bytes",
                                       "free_bytes"))
    assert known + sum(d["current_bytes"] for d in now["domains"]) == now["machine_bytes"]
    return now


def audit(control):
    assert "BOOKS wrong=0" in control.run("books")


def make_guests(control):
    control.error("pal create /guest/a.xml", 1, "PAL-REG-001")
    made = control.json("pal region create bulk 8M")["region"]
    assert (made["bytes"], made["creator"], made["members"]) == (8 << 20, 0, [])
    control.error("pal region create bulk 4K", 4, "PAL-REG-002")
    for name in GUESTS:
        control.json(f"pal create /guest/{name}.xml", limit=120)
    return Guest(control, "a"), Guest(control, "b")


def used_by_all(control, a, b):
    """What one writes the others read, as their rights are."""
    slot = region(control, "bulk")["slot"]
    a.share(f"{slot} 2048 rw check 0", "SHARE-GOOD check")  # it came zeroed
    a.share(f"{slot} 2048 rw fill 7", "SHARE-GOOD fill")
    b.share(f"{slot} 2048 ro check 7", "SHARE-FAILED map")  # not yet on the list
    control.run("pal region allow bulk b:ro Domain-0:ro")
    b.share(f"{slot} 2048 ro check 7", "SHARE-GOOD check")
    b.share(f"{slot} 2048 rw check 7", "SHARE-FAILED map")
    assert "SHARE-GOOD check" in control.run(f"modprobe -a xen-gntdev; share {slot} 2048 ro check 7")
    names = {m["name"]: m["access"] for m in region(control, "bulk")["members"]}
    assert names == {"a": "rw", "b": "ro", "Domain-0": "ro"}
    told = control.run(f"for n in slot pages access generation members; do xenstore-read /local/domain/{b.number}"
                       "/pal/regions/bulk/$n; done").split()
    assert told[:4] == [str(slot), "2048", "ro", str(region(control, "bulk")["generation"])]
    assert sorted(map(int, told[4:7])) == sorted([0, a.number, b.number])
    assert memory_adds_up(control)["regions_bytes"] == (8 << 20) + (64 << 10)
    return slot


def taken_away(control, b, slot):
    """Both virtual CPUs of b are at it when it is taken; it neither reaches it nor comes back."""
    b.type(f"for i in 1 2; do share {slot} 2048 ro hold & done; sleep 1", r"SHARE-HOLDS\s[\s\S]*SHARE-HOLDS\s")
    assert mapped(control, "bulk")["b"] >= 2 * (8 << 20)
    control.error("pal save b /tmp/b.pal", 4, "PAL-REG-005")
    control.run("pal region revoke bulk b --deadline 1")
    b.said("SHARE-LOST")
    assert "b" not in mapped(control, "bulk")
    control.run(f"! xenstore-exists /local/domain/{b.number}/pal/regions/bulk")
    b.share(f"{slot} 2048 ro check 7", "SHARE-FAILED map")
    control.error("pal region revoke bulk b", 4, "PAL-REG-003")
    b.never_complained()


def put_away_and_back(control, a, slot):
    """A saved domain lets go of its regions and has them again when it is back, and so has a program that opens them again."""
    word = a.type("keep bulk &", rf"KEEP-HOLDS domain {a.number} time 1 word (\w+)\s").group(1)
    control.run("pal save a /tmp/copy.pal --checkpoint --detach", limit=180)
    a.said(f"KEEP-HOLDS domain {a.number} time 2 word {word}")  # it runs on, and has its rights back
    assert mapped(control, "bulk")["a"] == 2 * (8 << 20)  # Linux maps each page twice
    a.share(f"{slot} 2048 rw check 7", "SHARE-GOOD check")
    a.type(f"share {slot} 2048 rw hold &", r"SHARE-HOLDS\s")
    before = a.number
    control.run("pal save a /tmp/a.pal --detach", limit=180)
    assert set(mapped(control, "bulk")) == {"Domain-0"}
    control.run("pal restore /tmp/a.pal", limit=180)
    assert a.number != before
    a.said(f"KEEP-HOLDS domain {a.number} time 3 word {word}")
    assert mapped(control, "bulk")["a"] == 2 * (8 << 20)  # only what it mapped anew
    a.share(f"{slot} 2048 rw check 7", "SHARE-GOOD check")
    a.said("SHARE-LOST")
    a.never_complained()


def made_by_a_guest(control, a, b):
    """Within what its file allows, and no further."""
    a.share("make mine 1", r"SHARE-CALL -1\s")
    slot = int(b.share("make mine 200", r"SHARE-CALL (\d+)\s").group(1))
    b.share("make more 57", r"SHARE-CALL -1\s")
    b.share(f"allow {slot} {a.number} 2", r"SHARE-CALL 0\s")
    b.share(f"allow {slot} {b.number} 2", r"SHARE-CALL 0\s")
    bulk = region(control, "bulk")["slot"]
    b.share(f"allow {bulk} {b.number} 2", r"SHARE-CALL -2\s")
    a.share(f"{slot} 200 rw fill 9", "SHARE-GOOD fill")
    b.share(f"{slot} 200 rw check 9", "SHARE-GOOD check")
    assert region(control, "b:mine")["creator"] == b.number
    a.type(f"share {slot} 200 rw hold &", r"SHARE-HOLDS\s")
    control.run("pal destroy b", limit=60)
    assert region(control, str(slot))["creator"] is None
    assert mapped(control, str(slot)) == {"a": 2 * 200 << 12}  # it outlives its maker; Linux maps each page twice
    control.run(f"pal region destroy {slot} --deadline 0")
    a.said("SHARE-LOST")


def test_regions(control):
    free = memory_adds_up(control)["free_bytes"]
    a, b = make_guests(control)
    slot = used_by_all(control, a, b)
    taken_away(control, b, slot)
    audit(control)
    put_away_and_back(control, a, slot)
    made_by_a_guest(control, a, b)
    audit(control)
    a.type(f"share {slot} 2048 rw cycle 20", "SHARE-GOOD cycle")
    control.run("pal region destroy bulk own")
    a.never_complained()
    control.run("pal destroy a", limit=60)
    assert control.json("pal region list")["regions"] == []
    now = memory_adds_up(control)
    assert now["regions_bytes"] == 0
    assert now["free_bytes"] >= free - (2 << 20)
    audit(control)


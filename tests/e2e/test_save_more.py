# SPDX-License-Identifier: MIT
"""More of saving and restoring: what images tell, the tool's memory, the other kernel, Debian's xl, the units of systemd."""

import re
import subprocess

import pytest

import debian
from layer import add_archive, program
from qemu import CACHE, Qemu, json_in
from test_domains import audit, domain0, domains_image, machine  # noqa: F401
from test_save import GUESTS, Load, books, goes_on, guest, initrd  # noqa: F401

NEWER = guest("newer", 128, 2, "guest.run=load,&amp;").replace(b"/guest/vmlinuz", b"/guest/vmlinuz-6.12")
XL = "usr/lib/xen-4.17/bin/libxl-save-helper"
MEMORY_KIB = 64 << 10


@pytest.fixture(scope="session")
def more(initrd):  # noqa: F811
    """The image of test_save with a newer kernel for guests, and what xl needs to save."""
    own = initrd.with_name("more.gz")
    add_archive(initrd, own, [
        ("guest/newer.xml", NEWER, 0o644), program("bin/stopwatch", "tests/bench/stopwatch.c"),
        ("guest/vmlinuz-6.12", (CACHE / "linux-6.12/vmlinuz").read_bytes(), 0o644),
        (XL, (CACHE / "xen-utils-4.17" / XL).read_bytes(), 0o755)])
    yield own


@pytest.fixture
def control(directory, more):
    with Qemu(machine(initrd=more, cpu="max"), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


def memory_kib(control, command):
    """The most memory that the command had."""
    return int(re.search(r"^BENCH-MEMORY (\d+)\s*$", control.run(f"stopwatch {command}", limit=240), re.M).group(1))


def image(control, command):
    return control.json(f"pal image {command}", limit=120)


def test_images(control):
    """Linux 6.12 on two CPUs: an estimate that holds, images that tell what is in them, a tool that stays small."""
    control.json("pal create /guest/newer.xml", limit=120)
    load = Load(control, "newer")
    load.wait(lambda c: min(c["counter"], c["vectors"], c["files"]) > 2)
    is_said = control.json("pal save newer --estimate")["estimate"]
    assert is_said["pages"] == 128 << 8 and 0 < is_said["bytes_small"] <= is_said["bytes"] <= is_said["bytes_fast"]
    goes_on(control, load)
    for mode, said in (("--fast", "bytes_fast"), ("", "bytes"), ("--small", "bytes_small")):
        made = control.json(f"pal save newer /tmp/n{mode}.pal {mode} --checkpoint", limit=240)["image"]
        assert is_said[said] / 1.5 < made["bytes"] < is_said[said] * 1.5, (mode, made, is_said)
    goes_on(control, load)
    found = image(control, "info /tmp/n.pal")["image"]
    assert found["pages"] == 128 << 8 == found["data_pages"] + found["zero_pages"] + found["repeat_pages"]
    assert found["vcpus"] == 2 and found["tables"][3] > 0 and found["pinned_tables"] >= found["tables"][3]
    checked = image(control, "verify /tmp/n.pal")
    assert checked["sound"] is True and checked["image"]["tables"] == found["tables"]
    same = image(control, "diff /tmp/n.pal /tmp/n.pal")["difference"]
    assert same["same"] == 128 << 8 and same["content"] == same["type"] == 0 and not same["states"]
    other = image(control, "diff /tmp/n.pal /tmp/n--small.pal")["difference"]
    assert 0 < other["content"] + other["type"] < 16 << 8 and other["only_first"] == other["only_second"] == 0
    assert "content" in control.run("pal image diff /tmp/n.pal /tmp/n--small.pal --ranges")

    # Beside the one that runs on: another domain in all respects.
    control.run("pal restore /tmp/n.pal --name twin", limit=240)
    uuids = {name: control.json(f"pal info {name}")["domain"]["uuid"] for name in ("newer", "twin")}
    assert uuids["newer"] != uuids["twin"]
    Load(control, "twin").wait(lambda c: c["counter"] > 0)
    control.json("pal reboot twin --wait", limit=240)
    assert {name: control.json(f"pal info {name}")["domain"]["uuid"] for name in uuids} == uuids
    control.run("pal destroy twin; xenstore-exists $(xenstore-read /local/domain/1/vm)")

    start = memory_kib(control, "pal list")
    assert memory_kib(control, "pal save newer /tmp/m.pal") - start < MEMORY_KIB
    assert memory_kib(control, "pal restore /tmp/m.pal") - start < MEMORY_KIB
    goes_on(control, load)
    control.run("pal destroy newer")
    assert books(control, alone=True)[0] == 1


@pytest.mark.soak
def test_xl_images(control):
    """What Debian's xl creates it saves and restores here, too; the watcher keeps out of it."""
    control.run("export PATH=$PATH:/usr/lib/xen-4.17/bin")
    control.run("printf \"name='x'\\nmemory=128\\nvcpus=2\\nkernel='/guest/vmlinuz'\\nramdisk='/guest/load-initrd.gz'\\n"
                "extra='console=hvc0 guest.run=load,&'\\n\" >/tmp/x.cfg; xl create -q /tmp/x.cfg 2>/dev/null", limit=240)
    load = Load(control, "x")
    counts = load.wait(lambda c: min(c["counter"], c["vectors"], c["files"]) > 2)
    for _ in range(2):
        control.run("xl save x /tmp/x.img", limit=240)
        control.error("pal info x", 3, "PAL-DOM-001")
        control.run("xl restore /tmp/x.img", limit=240)
        counts = load.wait_more(counts)
    control.run("xl destroy x")
    assert books(control, alone=True)[0] == 1


@pytest.mark.soak
def test_large(directory, more):
    """The tool's memory does not grow with the guest."""
    big = guest("big", 3072, 1, "guest.run=load,&amp;").decode().replace("'", '"')
    with Qemu(machine(initrd=more, cpu="max", memory="5G", dom0_mem="1G"), directory) as qemu:
        control = domain0(qemu)
        control.run(f"cat >/tmp/big.xml <<'E'\n{big}E\npal create /tmp/big.xml", limit=240)
        load = Load(control, "big")
        load.wait(lambda c: min(c["counter"], c["vectors"], c["files"]) > 2)
        start = memory_kib(control, "pal list")
        for mode in ("--fast", "", "--small"):
            for command in (f"pal save big /tmp/b.pal {mode}", "pal restore /tmp/b.pal; rm /tmp/b.pal"):
                took = memory_kib(control, command)
                print(f"{command}: {took - start} KiB above {start}")
                assert took - start < MEMORY_KIB
        goes_on(control, load)
        control.run("pal destroy big")
        assert books(control, alone=True)[0] == 1
        qemu.check_log()


@pytest.mark.soak
def test_units(directory):
    """Domains are put away when the machine stops, and are back when it starts: the units, on a Debian domain 0."""
    debian.make_image()
    directory.mkdir(parents=True, exist_ok=True)
    disk = directory / "disk.raw"
    subprocess.run(["cp", "--sparse=always", debian.IMAGE, disk], check=True)
    described = debian.machine(guests=0, devices=("-drive", f"if=virtio,format=raw,file={disk}", "-nic", "none"))
    xml = ("<domain type='xen'><name>NAME</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><os><type arch='x86_64' "
           "machine='xenpv'>linux</type><kernel>/guest/vmlinuz-6.1</kernel><initrd>/guest/initrd-6.1.gz</initrd>"
           "<cmdline>console=hvc0 quiet guest.run=i=0;while,sleep,1;do,i=$((i+1));echo,T-$i;done</cmdline></os>"
           "<devices><console type='pty'/></devices></domain>").replace("&", "&amp;")

    def last(control, name):
        control.until(f"pal logs {name} | grep -q ^T-")
        return int(re.findall(r"^T-(\d+)\s*$", control.run(f"pal logs {name} | tail -n 3"), re.M)[-1])

    with Qemu(described, directory / "first") as qemu:
        control = debian.Shell(qemu)
        control.run("systemctl is-system-running --wait", 240)
        control.run("systemd-analyze verify --man=no pal-domains.service", 120)
        control.run("systemctl enable --now pal-domains", 120)
        for name in ("one", "two"):
            control.run(f"cat >/root/{name}.xml <<'E'\n{xml.replace('NAME', name)}\nE\npal create /root/{name}.xml", 120)
        before = {name: last(control, name) for name in ("one", "two")}
        control.run("systemctl restart pal-domains", 240)  # away, and back
        middle = {name: last(control, name) for name in ("one", "two")}
        control.qemu.send_line("systemctl poweroff")
        qemu.wait_exit(300)
        qemu.check_log()
    with Qemu(described, directory / "second") as qemu:
        control = debian.Shell(qemu)
        control.run("systemctl is-system-running --wait", 240)
        control.run("systemctl is-active pal-domains")
        listed = json_in(control.run("pal list --json"))["domains"]
        assert sorted(d["name"] for d in listed) == ["Domain-0", "one", "two"]
        for name in ("one", "two"):
            control.until(f"[ $(pal logs {name} | grep -c ^T-) -gt {middle[name]} ]")
            assert last(control, name) > middle[name] >= before[name] > 0
        control.run("test -z \"$(ls /var/lib/pal/saved)\"")
        control.run("pal destroy one; pal destroy two")
        audit(control, "/lib/modules/checks/audit")
        control.qemu.send_line("systemctl poweroff")
        qemu.wait_exit(180)
        qemu.check_log()
    disk.unlink()

# SPDX-License-Identifier: MIT
"""Devices of domains: the way out through NAT, hot attach and detach, guards against forged addresses, refusals."""

import contextlib
import hashlib
import http.server
import os
import random
import re
import threading

import pytest

from layer import compile_program
from qemu import Qemu
from test_domains import Control, domain0, domains_image, machine, steps, wait_gone  # noqa: F401 (a fixture)


@contextlib.contextmanager
def web_server(content):
    """A server on this host that QEMU's user network shows as 10.0.2.2; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Inside:
    """A shell in a domain, on its console; the commands it runs are ended by marks as those of domain 0 are."""

    def __init__(self, control, name):
        self.qemu, self.name, self.count = control.qemu, name, 0

    def run(self, command, limit=60, status=0):
        self.count += 1
        self.qemu.send_line(f"echo BEGIN-$(({self.count})); {command}; echo END-$(({self.count}))=$?")
        output, got = self.qemu.between(f"BEGIN-{self.count}", f"END-{self.count}", limit, early=())
        if status is not None and got != status:
            self.qemu.fail(f"{self.name}: {command!r}: status {got}, not {status}")
        return output


@contextlib.contextmanager
def inside(control, name):
    """The domain's console, from its prompt to Ctrl-]."""
    control.qemu.send_line(f"pal console {name}")
    control.qemu.expect(r"leaves the console", 30)
    control.qemu.send_line("")
    control.qemu.expect(r"guest:\S+# ", 120)
    guest = Inside(control, name)
    guest.run("stty -echo cols 200; dmesg -n 1")
    yield guest
    control.qemu.child.send("\x1d")
    control.qemu.expect(r"dom0:\S+# ", 30)


def wait_until(control, command, tries=100):
    """The command succeeds in the end."""
    control.run(f"for i in $(seq {steps(tries)}); do {command} && break; sleep 0.1; done; {command}", limit=120)


def define(control, name, more="", memory=160):
    """/tmp/NAME.xml: the web guest with other devices."""
    text = f"s|>web<|>{name}<|; s|>192<|>{memory}<|; s|<devices>|<devices>{more}|"
    control.run(f"sed \"{text}\" /guest/web.xml >/tmp/{name}.xml")


def interface(mac, more="", attributes=""):
    return (f"<interface type='bridge' {attributes}><source bridge='palbr0'/>"
            f"<mac address='00:16:3e:00:00:{mac:02x}'/>{more}</interface>")


@pytest.fixture(scope="module")
def forge(tmp_path_factory):
    """An image that begins with the static program of inside/forge.c."""
    image = tmp_path_factory.mktemp("forge") / "forge.img"
    compile_program("tests/e2e/inside/forge.c", image)
    os.truncate(image, (image.stat().st_size + 4095) // 4096 * 4096)
    return image


def with_disks(*images, network=False):
    """Domain 0 sees the images as /dev/vda, /dev/vdb ..."""
    drives = [word for image in images for word in ("-drive", f"file={image},format=raw,if=virtio")]
    return machine(devices=("-nic", "user,model=virtio-net-pci" if network else "none"), extra=tuple(drives))


def nothing_left(control):
    """Of domains that are gone: no interface, loop device, rule or node."""
    wait_gone(control)
    wait_until(control, "! losetup -a | grep -q .")
    assert control.run("ls /sys/class/net /sys/bus/xen-backend/devices | grep -E 'vif|vbd'", status=1).strip() == ""
    control.run("nft list table netdev pal", status=1)
    control.run("xenstore-ls /local/domain/0/backend | grep -E 'vif|vbd' -A 1 | grep /", status=1)
    assert control.run("ls /run/pal | grep -E '^[0-9]+[.]'", status=1).strip() == ""


def test_network(directory):
    """pal-network: complete, may be repeated, and leaves nothing when it is taken down."""
    with Qemu(machine(devices=("-nic", "user,model=virtio-net-pci")), directory) as qemu:
        control = domain0(qemu)
        control.run("pal-network status")
        rules = control.run("nft list ruleset")
        assert "masquerade" in rules and "10.99.0.0/24" in rules
        control.run("pal-network up && pal-network up")
        assert control.run("nft list ruleset") == rules
        assert control.run("cat /proc/sys/net/ipv4/ip_forward").split() == ["1"]
        control.run("pal-network down")
        assert control.run("nft list ruleset").strip() == ""
        assert control.run("cat /proc/sys/net/ipv4/ip_forward").split() == ["0"]
        control.run("ls /sys/class/net/palbr0", status=1)
        control.run("pal-network status", status=1)
        control.run("pal-network down")
        # A bridge of somebody else is used, and stays.
        control.run("ip link add palbr0 type bridge && pal-network up && pal-network down && ls /sys/class/net/palbr0")
        control.run("ip addr show dev palbr0 | grep -q 10.99", status=1)
        control.run("PAL_NETWORK_CONFIG=/tmp/c; export PAL_NETWORK_CONFIG; echo ADDRESS=10.99.0.300/24 >/tmp/c")
        assert "do:" in control.run("pal-network up", status=1)
        qemu.check_log()


def test_plug(directory, forge, tmp_path):
    """A disk, a block device and an interface come and go while the guest runs, data unharmed; a reboot keeps them."""
    data = random.Random(3).randbytes(3 << 20)
    digest = hashlib.md5(data).hexdigest()
    block = tmp_path / "block.img"
    block.write_bytes(bytes(8 << 20))
    with web_server(data) as port, Qemu(with_disks(forge, block, network=True), directory) as qemu:
        control = domain0(qemu)
        define(control, "web")
        control.run("pal create /tmp/web.xml", limit=120)
        # Domain 0 fetches what the guest will check, over the network that the guest will use.
        wait_until(control, "ip addr show | grep -q 10.0.2.15")
        control.run(f"wget -q -O /tmp/data.img http://10.0.2.2:{port}/ && truncate -s 8M /tmp/copy.img", limit=120)
        with inside(control, "web"):
            pass
        assert control.json("pal attach web disk /tmp/data.img xvdb --read-only")["state"] == "connected"
        control.json("pal attach web disk /tmp/copy.img xvdc")
        control.json("pal attach web disk /dev/vdb xvdd --until-reboot")
        nic = control.json("pal attach web interface palbr0 --ip 10.99.0.2 --rate 1000")
        assert nic["device"] == "vif0" and nic["mac"].startswith("00:16:3e:")
        devices = {d["device"]: d for d in control.json("pal devices web")["devices"]}
        assert sorted(devices) == ["vif0", "xvdb", "xvdc", "xvdd"]
        assert all(d["state"] == "connected" for d in devices.values())
        assert devices["xvdb"]["read_only"] and not devices["xvdc"]["read_only"]
        assert devices["xvdd"]["block"] and devices["xvdd"]["source"] == "/dev/vdb"
        assert devices["vif0"]["rate_kib"] == 1000 and devices["vif0"]["ip"] == ["10.99.0.2"]
        # The limit stands in netback: bytes for each 50 ms.
        control.run("mount -t debugfs d /sys/kernel/debug; cat /sys/kernel/debug/xen-netback/vif*.0/io_ring_q0 "
                    "| grep 'credit: 51200, usec: 50000'")
        with inside(control, "web") as guest:
            assert guest.run("md5sum </dev/xvdb").split()[0] == digest
            guest.run("echo x >/dev/xvdb", status=1)
            guest.run("dd if=/dev/xvdb of=/dev/xvdc bs=1M conv=fsync; dd if=/dev/xvdb of=/dev/xvdd bs=1M conv=fsync", limit=90)
            guest.run("ip addr add 10.99.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.99.0.1")
            guest.run("ping -c 2 10.99.0.1")
            assert guest.run(f"wget -q -O - http://10.0.2.2:{port}/ | md5sum", limit=120).split()[0] == digest
        control.run("ping -c 1 10.99.0.2")
        for device in ("xvdc", "xvdd"):
            control.run(f"pal detach web {device}")
        with inside(control, "web") as guest:
            guest.run("ls /dev/xvdb && ! ls /dev/xvdc /dev/xvdd")
        assert control.run("head -c 3145728 /tmp/copy.img | md5sum").split()[0] == digest
        assert control.run("head -c 3145728 /dev/vdb | md5sum").split()[0] == digest
        # What reboots has what it had: but not what was for this run only.
        control.json("pal attach web disk /dev/vdb xvdd --until-reboot")
        first = control.json("pal list web")["domains"][0]["id"]
        control.run("pal reboot web --wait", limit=120)
        wait_until(control, f"pal list web --json 2>/dev/null | grep '\"id\"' | grep -qv ': {first},'")
        with inside(control, "web"):
            pass
        again = {d["device"]: d for d in control.json("pal devices web")["devices"]}
        assert sorted(again) == ["vif0", "xvdb"] and again["vif0"]["mac"] == nic["mac"]
        assert again["vif0"]["ip"] == ["10.99.0.2"] and again["xvdb"]["read_only"]
        control.run(f"pal detach web {nic['mac']} && pal detach web xvdb")
        assert control.json("pal devices web")["devices"] == []
        with inside(control, "web") as guest:
            guest.run("ls /sys/class/net | grep eth", status=1)
        control.run("pal shutdown web --wait", limit=120)
        nothing_left(control)
        qemu.check_log()


# Kinds of frames that inside/forge.c sends, and which of them a guard lets pass.
ALL = set("abcdefghijklmno")
STRICT = set("amo")  # from its own addresses, in IPv4, ARP and IPv6
LOOSE = set("afghilmno")  # anything with its own MAC that is nobody else's


def forged(control, which, own="10.99.0.7", other="10.99.0.3"):
    """What of attacker's frames the witness counts; the last kind may always pass."""
    with inside(control, "witness") as guest:
        guest.run("rm -f /tmp/count; /tmp/forge count eth0 >/tmp/count & while ! grep -q counting /tmp/count; do usleep 50000; done")
    with inside(control, "attacker") as guest:
        guest.run(f"ip addr flush dev {which}; ip addr add {own}/24 dev {which}; ip link set {which} up")
        guest.run(f"/tmp/forge send {which} {own} {other} 10.99.0.1")
    with inside(control, "witness") as guest:
        text = guest.run("i=0; until grep -q counted /tmp/count; do i=$((i+1)); [ $i -lt 600 ] || break; usleep 50000; done; cat /tmp/count")
    kinds = re.findall(r"([a-z])=\d+", text)
    assert kinds.pop() == "z", text
    return set(kinds)


def test_guards(directory, forge):
    """Forged addresses are dropped by each kind of guard, seen by another guest; nothing passes to a device of another."""
    with Qemu(with_disks(forge), directory) as qemu:
        control = domain0(qemu)
        tool = "<disk type='block'><source dev='/dev/vda'/><target dev='xvda'/><readonly/></disk>"
        define(control, "witness", tool + interface(3, "<ip address='10.99.0.3'/>"))
        trusted = interface(4, attributes="trustGuestRxFilters='yes'")
        define(control, "attacker", tool + interface(5, "<ip address='10.99.0.7'/>") + interface(6) + trusted)
        control.run("pal create /tmp/witness.xml && pal create /tmp/attacker.xml", limit=240)
        for name in ("witness", "attacker"):
            with inside(control, name) as guest:
                guest.run("cat /dev/xvda >/tmp/forge; chmod +x /tmp/forge; ip link set eth0 up")
        rules = control.run("nft list table netdev pal")
        assert "vif1.0" in rules and "vif2.0" in rules and "vif2.1" in rules and "vif2.2" not in rules
        assert forged(control, "eth2") == ALL, "without a guard everything comes through"
        assert forged(control, "eth0") == STRICT
        assert forged(control, "eth1", own="10.99.0.8") == LOOSE
        assert forged(control, "eth1", own="10.99.0.7") == LOOSE - set("afm"), "an address of another by <ip>"
        # A guest's word about its devices leads nowhere: here it names those of the witness.
        witness = "/local/domain/0/backend/vif/1/0"
        with inside(control, "attacker") as guest:
            for node, value in (("backend", witness), ("backend-id", "1"), ("handle", "0"), ("state", "6")):
                assert "stored=yes" in guest.run(f"/tmp/forge store device/vif/1/{node} {value}")
            for node in (f"{witness}/state", "/local/domain/1/device/vif/0/state", "device/vif/7"):
                assert "stored=no" in guest.run(f"/tmp/forge store {node} 6")
            assert "stored=yes" in guest.run("/tmp/forge store device/vbd/51712/state 0")
        control.run("pal detach attacker vif1 && pal detach attacker vif2 --force && pal detach attacker xvda")
        assert [d["device"] for d in control.json("pal devices attacker")["devices"]] == ["vif0"]
        assert {d["state"] for d in control.json("pal devices witness")["devices"]} == {"connected"}
        rules = control.run("nft list table netdev pal")
        assert "vif1.0" in rules and "vif2.0" in rules and "vif2.1" not in rules
        with inside(control, "attacker") as guest:
            guest.run("ip addr flush dev eth0; ip addr add 10.99.0.7/24 dev eth0; ping -c 2 10.99.0.1")
        with inside(control, "witness") as guest:
            guest.run("ip addr add 10.99.0.3/24 dev eth0; ping -c 2 10.99.0.7; ping -c 1 10.99.0.1")
        control.run("pal destroy attacker witness")
        nothing_left(control)
        qemu.check_log()


def test_refused_devices(directory, forge, tmp_path):
    """What cannot be attached or detached is refused with its cause, and leaves everything as it was."""
    block = tmp_path / "block.img"
    block.write_bytes(bytes(4 << 20))
    with Qemu(with_disks(forge, block), directory) as qemu:
        control = domain0(qemu)
        define(control, "web", "<disk type='block'><source dev='/dev/vda'/><target dev='xvda'/><readonly/></disk>")
        owner = interface(9, "<ip address='10.99.0.9'/>")
        define(control, "owner", f"<disk type='file'><source file='/tmp/a.img'/><target dev='xvdq'/></disk>{owner}")
        control.run("truncate -s 1M /tmp/a.img /tmp/b.img /tmp/c.img; : >/tmp/empty.img; ln /tmp/a.img /tmp/same.img")
        control.run("pal create /tmp/owner.xml --paused && pal create /tmp/web.xml", limit=240)
        have = "nft list table netdev pal; ls /sys/bus/xen-backend/devices /sys/class/net"
        before = control.run(have)

        # Words.
        control.error("pal attach nobody disk /tmp/b.img xvdb", 3, "PAL-DOM-001")
        control.error("pal attach 0 disk /tmp/b.img xvdb", 4, "PAL-DOM-004")
        control.error("pal attach web disk /tmp/b.img sda", 2, "PAL-USE-001")
        control.error("pal attach web disk /tmp/b.img", 2, "PAL-USE-001")
        control.error("pal attach web disk /tmp/b.img xvdb --ip 10.99.0.8", 2, "PAL-USE-001")
        control.error("pal attach web interface palbr0 --mac 01:02:03:04:05:06", 2, "PAL-USE-001")
        control.error("pal attach web printer x", 2, "PAL-USE-001")
        # Sources.
        control.error("pal attach web disk /tmp/none.img xvdb", 1, "PAL-DEV-001")
        control.error("pal attach web disk /tmp xvdb", 1, "PAL-DEV-001")
        control.error("pal attach web disk /tmp/empty.img xvdb", 1, "PAL-DEV-001")
        control.error("pal attach web interface nobridge", 1, "PAL-DEV-001")
        control.run("losetup -r /dev/loop6 /tmp/c.img")
        control.error("pal attach web disk /dev/loop6 xvdb", 1, "PAL-DEV-001")
        # In use: by another domain under whatever name, and by domain 0.
        control.error("pal attach web disk /tmp/a.img xvdb", 4, "PAL-DEV-005")
        control.error("pal attach web disk /tmp/same.img xvdb --read-only", 4, "PAL-DEV-005")
        control.run("losetup /dev/loop7 /tmp/same.img")
        control.error("pal attach web disk /dev/loop7 xvdb", 4, "PAL-DEV-005")
        control.error("pal attach web disk /tmp/c.img xvdb", 4, "PAL-DEV-005")
        control.run("losetup -d /dev/loop7; mke2fs /dev/vdb >/dev/null && mount -t ext4 /dev/vdb /mnt", limit=60)
        control.error("pal attach web disk /dev/vdb xvdb", 4, "PAL-DEV-005")
        control.run("umount /mnt")
        control.error("pal attach web interface palbr0 --mac 00:16:3e:00:00:09", 4, "PAL-DEV-005")
        control.error("pal attach web interface palbr0 --ip 10.99.0.9", 4, "PAL-DEV-005")
        control.error("pal attach web disk /tmp/b.img xvda1", 4, "PAL-DEV-003")
        control.error("pal detach web xvdb", 1, "PAL-DEV-004")
        assert control.run(have) == before
        # Readers go together; a guest that is paused takes it up later.
        control.run("pal attach owner disk /dev/loop6 xvda -r && pal attach owner disk /tmp/b.img xvdb --read-only", limit=60)
        assert {d["state"] for d in control.json("pal devices owner")["devices"]} == {"waiting"}
        control.run("pal detach owner xvda; losetup -d /dev/loop6")

        # A guest without the driver, one that gives up, one that does not answer at all.
        with inside(control, "web") as guest:
            guest.run("cat /dev/xvda >/tmp/forge; chmod +x /tmp/forge; rmmod xen_netfront")
        control.error("pal attach web interface palbr0 --timeout 2", 7, "PAL-DEV-007")
        control.run("ls /sys/class/net | grep vif2", status=1)
        with inside(control, "web") as guest:
            guest.run("((while :; do /tmp/forge store device/vif/0/state 6; usleep 100000; done) >/dev/null 2>&1 &)")
        control.error("pal attach web interface palbr0", 1, "PAL-DEV-006")
        control.json("pal attach web disk /tmp/b.img xvdb --read-only")
        control.run("pal pause web")
        control.error("pal detach web xvdb", 4, "PAL-DOM-003")
        control.run("pal unpause web")
        control.qemu.send_line("pal console web")
        control.qemu.expect(r"leaves the console", 30)
        control.qemu.send_line("echo -1 >/proc/sys/kernel/sched_rt_runtime_us; (/tmp/forge deaf &)")
        control.qemu.expect(r"no-longer-listening", 30)
        control.qemu.child.send("\x1d")
        control.qemu.expect(r"dom0:\S+# ", 30)
        control.error("pal detach web xvdb --timeout 2", 7, "PAL-DEV-007")
        control.error("pal attach web disk /tmp/c.img xvdc --timeout 2", 7, "PAL-DEV-007")
        states = {d["device"]: d["state"] for d in control.json("pal devices web")["devices"]}
        assert states == {"xvda": "connected", "xvdb": "closing"}
        control.run("pal detach web xvdb --force")
        assert [d["device"] for d in control.json("pal devices web")["devices"]] == ["xvda"]

        # Guards come back when somebody flushed the rules.
        rules = control.run("nft list table netdev pal")
        control.run("nft flush ruleset && pal guard && pal-network up")
        assert control.run("nft list table netdev pal") == rules
        control.run("pal destroy web owner")
        nothing_left(control)
        qemu.check_log()

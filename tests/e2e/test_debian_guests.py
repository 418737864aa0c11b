# SPDX-License-Identifier: MIT
"""Debian guests with systemd, created in a Debian domain 0 where systemd started xenstored, xenconsoled and the watcher."""

import re

import pytest

import debian
from debian import Guest, Shell
from qemu import PARALLEL, Qemu, json_in
from test_domains import audit


@pytest.fixture(scope="module", autouse=True)
def image():
    debian.make_image()


def domain0(qemu):
    control = Shell(qemu)
    control.run("systemctl is-system-running --wait", 240)
    for unit in ("pal-xenstored", "pal-xenconsoled", "pal-watch"):
        control.run(f"systemctl is-active {unit}")
    found = json_in(control.run("pal doctor --json"))
    assert all(test["good"] for test in found["tests"]), found
    return control


def balanced(control):
    """Nothing was left of the domains."""
    assert [d["id"] for d in json_in(control.run("pal list --json"))["domains"]] == [0]
    audit(control, "/lib/modules/checks/audit")
    control.run("test -z \"$(systemctl --failed --no-legend)\"")


def end(qemu, control):
    """The system ends as asked."""
    balanced(control)
    power_off(qemu, control)


def power_off(qemu, control):
    control.qemu.send_line("systemctl poweroff")
    qemu.wait_exit(120)
    assert qemu.shutdown_reason() == "guest-shutdown"
    qemu.check_log()


# A small guest that writes to its disk when it is told to end, but not at once: somebody must wait for it.
LAST = """<domain type='xen'><name>last</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/vmlinuz-6.1</kernel><initrd>/guest/initrd-6.1.gz</initrd>
<cmdline>console=hvc0 guest.run=sed,-i,'s|^sync|sleep,3;echo,bye>/dev/xvda;sync|',/bin/poweroff;echo,ARMED</cmdline></os>
<devices><disk type='block'><source dev='/dev/vdd'/><target dev='xvda'/></disk><console type='pty'/></devices></domain>
"""

# What systemd runs last keeps on the disk which unit stopped when: what the console shows of it, the kernel's lines run through.
KEEP_JOURNAL = "/usr/lib/systemd/system-shutdown/keep"
JOURNAL = """#!/bin/sh
journalctl -b -o short-monotonic | grep -E 'pal-|xenconsoled|xenstored|segfault' | tail -n 1000 | dd of=/dev/vdd bs=4096 seek=1 conv=sync,fsync iflag=fullblock
"""


def ends_with_machine(qemu, control, disk):
    """Domain 0's systemd asks a guest to end and waits for it, before what the guest needs for that is stopped."""
    control.run(f"cat >/tmp/last.xml <<'E'\n{LAST}E\npal create /tmp/last.xml", 120)
    control.until("pal logs last | grep -q ^ARMED")
    control.run(f"cat >{KEEP_JOURNAL} <<'E'\n{JOURNAL}E\nchmod +x {KEEP_JOURNAL}; systemctl start pal-guests")
    power_off(qemu, control)
    kept = disk.read_bytes()
    assert kept[:4] == b"bye\n"
    said = kept[4096:].rstrip(b"\0").decode(errors="replace")
    (disk.parent / "journal.txt").write_text(said)
    # One that ends by itself at that time is only said to be stopped.
    order = re.findall(r"Stopp(?:ing|ed) (pal-\w+)\.", said[said.rindex("Stopping pal-guests.") :])
    ended = order.index("pal-guests", 1)
    for unit in ("pal-blkd", "pal-xenconsoled", "pal-network", "pal-xenstored"):
        assert order.index(unit) > ended, said


def check_disk(control, disk):
    control.run(f"e2fsck -fn {disk}", 120)


def exchange(server, client, address):
    """The client fetches a file of random bytes from the server; the checksums agree."""
    server.run("dd if=/dev/urandom of=/srv/file bs=1M count=24 2>/dev/null; busybox httpd -p 80 -h /srv")
    wanted = server.run("sha256sum </srv/file").split()[0]
    got = client.run(f"curl -sS --max-time 720 http://{address}/file | sha256sum", 780).split()[0]
    assert got == wanted


def database(guest):
    """Four writers at once; every row of every transaction is there, and the file is sound."""
    guest.run("/guest/load.sh /var/rows.db 10", 300)
    counts = guest.run("sqlite3 /var/rows.db 'SELECT count(*) FROM rows GROUP BY writer; PRAGMA integrity_check;'", 120)
    assert counts.split() == ["2000"] * 4 + ["ok"]
    guest.run("dmesg | grep -E 'I/O error|EXT4-fs error|Call Trace|blocked for more'", status=1)


def test_two_guests(directory):
    """One CPU and Linux 6.1, four and 6.12: login, network both ways, a database, shutdown, clean disks; an end with domain 0."""
    directory.mkdir(parents=True, exist_ok=True)
    disk = directory / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    described = debian.machine(guests=2)
    described.devices += ("-drive", f"if=virtio,format=raw,file={disk}")
    with Qemu(described, directory) as qemu:
        control = domain0(qemu)
        control.run("systemctl kill -s KILL pal-xenconsoled")
        control.until("systemctl show -P NRestarts pal-xenconsoled | grep -qx 1 && systemctl is-active pal-xenconsoled")
        control.run("pal create /guest/web.xml", 120)
        control.run("pal create /guest/db.xml", 120)
        web, db = Guest(control, "web"), Guest(control, "db")
        for guest, cpus, kernel in ((web, "1", "6.1."), (db, "4", "6.12.")):
            guest.systemd_is_up()
            assert guest.run("nproc") == cpus
            assert guest.run("uname -r").startswith(kernel)
            assert 400 << 10 < int(guest.run("grep MemTotal /proc/meminfo").split()[1]) < 512 << 10
        # The same image, but nothing of the control domain is so much as tried.
        for unit in ("xenstored", "xenconsoled", "watch", "guests", "blkd", "network"):
            # Had its ExecCondition run, the result would be "exec-condition".
            assert web.run(f"systemctl show -P Result -P ConditionResult pal-{unit}").split() == ["success", "no"], unit
        assert web.run("modprobe --showconfig | grep '^options xen.privcmd'").endswith("unrestricted=1")
        addresses = [guest.address() for guest in (web, db)]
        exchange(web, db, addresses[0])
        exchange(db, web, addresses[1])
        database(db)
        control.run("sed -i 's/^enabled.*/enabled = yes/' /etc/pal/balloon.conf; systemctl start pal-balloond")
        # What systemd does first when the machine is to stop.
        control.run("systemctl stop pal-guests", 160)
        control.run("systemctl is-active pal-balloond")
        check_disk(control, "/dev/vdb")
        check_disk(control, "/dev/vdc")
        balanced(control)
        ends_with_machine(qemu, control, disk)
    disk.unlink()


@pytest.mark.soak
def test_grub_and_cloud_kernel(directory):
    """PV GRUB takes kernel and RAM disk from the guest's disk; Debian's cloud kernel comes up with its own RAM disk."""
    # PV GRUB yields in a loop while it waits for its disk: with CPUs that take turns, each block would cost a whole turn.
    with Qemu(debian.machine(guests=1, kernel="6.12", accel=PARALLEL), directory) as qemu:
        control = domain0(qemu)
        for name, cpus, kernel in (("grub", "2", r"6\.1\.\S+\d-amd64"), ("cloud", "3", r"6\.1\.\S+-cloud-amd64")):
            control.run(f"pal create /guest/{name}.xml", 120)
            guest = Guest(control, name)
            guest.systemd_is_up()
            assert guest.run("hostname; nproc").split() == [name, cpus]
            assert re.fullmatch(kernel, guest.run("uname -r"))
            control.run(f"pal shutdown {name} --wait", 120)
            check_disk(control, "/dev/vdb")
        assert "PV GRUB loads the kernel" in control.run("pal logs grub")
        end(qemu, control)


@pytest.mark.soak
def test_cut_off(directory):
    """Destroyed in the middle of its writing, a guest comes up again: file system and database have all that was promised."""
    with Qemu(debian.machine(guests=1), directory) as qemu:
        control = domain0(qemu)
        control.run("sed -e 's/vdc/vdb/' /guest/db.xml >/tmp/db.xml; pal create /tmp/db.xml", 120)
        db = Guest(control, "db")
        db.run("/guest/load.sh /var/rows.db 1000 >/dev/null 2>&1 & true")
        count = "sqlite3 -cmd '.timeout 60000' /var/rows.db 'SELECT count(*) FROM rows'"
        db.until(f'test "$({count})" -ge 2000')
        promised = int(db.run(count, 120))
        control.run("pal destroy db")
        control.run("e2fsck -p /dev/vdb", 120, status=None)  # plays the journal back
        check_disk(control, "/dev/vdb")
        control.run("pal create /tmp/db.xml", 120)
        db = Guest(control, "db")
        rows, sound = db.run("sqlite3 /var/rows.db 'SELECT count(*) FROM rows; PRAGMA integrity_check;'", 120).split()
        assert sound == "ok" and int(rows) >= promised and int(rows) % 200 == 0
        control.run("pal shutdown db --wait", 120)
        end(qemu, control)


@pytest.mark.soak
@pytest.mark.parametrize("cpus", (1, 2, 3, 4))
@pytest.mark.parametrize("kernel", ("6.1", "6.12"))
@pytest.mark.parametrize("host", ("6.1", "6.12"))
def test_every_kind(host, kernel, cpus, directory):
    """Both kernels, with each number of CPUs, on both: login, network, a database, the way out."""
    with Qemu(debian.machine(guests=1, kernel=host), directory) as qemu:
        control = domain0(qemu)
        edit = f"s/<vcpu>.*</<vcpu>{cpus}</; s/-6.1/-{kernel}/"
        control.run(f"sed -e '{edit}' /guest/web.xml >/tmp/web.xml; pal create /tmp/web.xml", 120)
        web = Guest(control, "web")
        web.systemd_is_up()
        assert web.run("nproc; uname -r").split()[0] == str(cpus)
        exchange(web, control, web.address())
        database(web)
        control.run("pal reboot web --wait", 120)
        web = Guest(control, "web")
        assert web.run("sqlite3 /var/rows.db 'SELECT count(*) FROM rows'", 120) == "8000"
        control.run("pal shutdown web --wait", 120)
        check_disk(control, "/dev/vdb")
        end(qemu, control)

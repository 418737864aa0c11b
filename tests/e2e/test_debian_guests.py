# SPDX-License-Identifier: MIT
"""Debian guests with systemd, created in a Debian domain 0 where systemd started xenstored, xenconsoled and the watcher."""

import json
import re

import pytest

import debian
from debian import Guest, Shell
from qemu import PARALLEL, Qemu


@pytest.fixture(scope="module", autouse=True)
def image():
    debian.make_image()


def domain0(qemu):
    control = Shell(qemu)
    control.run("systemctl is-system-running --wait", 240)
    for unit in ("pal-xenstored", "pal-xenconsoled", "pal-watch"):
        control.run(f"systemctl is-active {unit}")
    found = json.loads(control.run("pal doctor --json"))
    assert all(test["good"] for test in found["tests"]), found
    return control


def end(qemu, control):
    """Nothing was left of the domains, and the system ends as asked."""
    assert [d["id"] for d in json.loads(control.run("pal list --json"))["domains"]] == [0]
    control.run("/lib/modules/checks/audit")
    control.run("test -z \"$(systemctl --failed --no-legend)\"")
    control.qemu.send_line("systemctl poweroff")
    qemu.wait_exit(120)
    assert qemu.shutdown_reason() == "guest-shutdown"
    qemu.check_log()


def check_disk(control, disk):
    control.run(f"e2fsck -fn {disk}", 120)


def exchange(server, client, address):
    """The client fetches a file of random bytes from the server; the checksums agree."""
    server.run("dd if=/dev/urandom of=/srv/file bs=1M count=24 2>/dev/null; busybox httpd -p 80 -h /srv")
    wanted = server.run("sha256sum </srv/file").split()[0]
    got = client.run(f"curl -sS --max-time 240 http://{address}/file | sha256sum", 300).split()[0]
    assert got == wanted


def database(guest):
    """Four writers at once; every row of every transaction is there, and the file is sound."""
    guest.run("/guest/load.sh /var/rows.db 10", 300)
    counts = guest.run("sqlite3 /var/rows.db 'SELECT count(*) FROM rows GROUP BY writer; PRAGMA integrity_check;'", 120)
    assert counts.split() == ["2000"] * 4 + ["ok"]
    guest.run("dmesg | grep -E 'I/O error|EXT4-fs error|Call Trace|blocked for more'", status=1)


def test_two_guests(directory):
    """One CPU and Linux 6.1, four and 6.12: login, network both ways, a database, shutdown, clean disks."""
    with Qemu(debian.machine(guests=2), directory) as qemu:
        control = domain0(qemu)
        control.run("pal create /guest/web.xml", 120)
        control.run("pal create /guest/db.xml", 120)
        web, db = Guest(control, "web"), Guest(control, "db")
        for guest, cpus, kernel in ((web, "1", "6.1."), (db, "4", "6.12.")):
            guest.systemd_is_up()
            assert guest.run("nproc") == cpus
            assert guest.run("uname -r").startswith(kernel)
            assert 400 << 10 < int(guest.run("grep MemTotal /proc/meminfo").split()[1]) < 512 << 10
        addresses = [guest.address() for guest in (web, db)]
        exchange(web, db, addresses[0])
        exchange(db, web, addresses[1])
        database(db)
        # What systemd does first when the machine is to stop.
        control.run("systemctl stop pal-guests", 160)
        check_disk(control, "/dev/vdb")
        check_disk(control, "/dev/vdc")
        end(qemu, control)


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

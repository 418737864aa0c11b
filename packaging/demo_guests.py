#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""demo_guests.py BUILD: Debian as domain 0 creates three Debian guests that share one image, lists them,
shows their consoles and what the buffer cache did for them, makes room for one
more, moves files between two through a region, ends them."""

import os
import pathlib
import re
import sys

os.environ["PAL_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e"))

import debian  # noqa: E402
import qemu as q  # noqa: E402


class Screen:
    """Shows what comes over the serial line while it is on, without terminals' control sequences."""

    def __init__(self):
        self.on = False

    def write(self, text):
        if self.on:
            print(re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|.)|\r|\x07", "", text), end="", flush=True)

    def flush(self):
        pass


def say(text):
    print(f"=== {text}", flush=True)


def show(control, command, limit=120):
    """A command as a user types it, and what it prints."""
    print(f"domain0# {command}", flush=True)
    output = control.run(f"{command} 2>/dev/null", limit)
    if output:
        print(output, flush=True)


def show_console(control, screen, name):
    """The guest's console from where its boot is now to a login, live."""
    print(f"domain0# pal console {name}", flush=True)
    control.qemu.send_line(f"pal console {name}")
    screen.on = True
    control.qemu.expect(rf"{name} login: ", 300)
    control.qemu.send_line("root")
    control.qemu.expect(rf"root@{name}\S+# ", 90)
    control.qemu.send_line("uname -sr; nproc; free -m; ip -br -4 addr show scope global")
    control.qemu.expect(r"10\.99\.0\.\d+.*\s", 60)
    control.qemu.expect(rf"root@{name}\S+# ", 60)
    screen.on = False
    print()
    control.qemu.child.send("\x1d")
    control.qemu.expect(control.prompt, 30)


def one_image(control, screen):
    """Two more from the same image: what the first has read they get from memory that nobody uses."""
    say("What web read of the image stays in memory that nobody uses, until somebody needs it. Two more guests from the same image:")
    show(control, "pal cache")
    for name in ("db", "mail"):
        show(control, f"pal create /guest/shared/{name}.xml")
    show_console(control, screen, "db")
    control.run("timeout 300 sh -c 'until grep -q \"login:\" /var/log/xen/console/guest-mail.log; do sleep 1; done'", 310)
    show(control, "pal cache")
    say("The disks' own files hold only what each guest changed.")
    show(control, "ls -sh /srv")


def show_room(control):
    """One that does not fit until two others have shrunk."""
    say("A guest of 640 MiB does not fit into what is free. web and db have a minimum in their files, domain 0 knows its own; they give.")
    show(control, "pal mem")
    print("domain0# pal create /guest/big.xml", flush=True)
    print(control.run("pal create /guest/big.xml 2>&1 | cat", 300), flush=True)
    show(control, "pal mem")
    show(control, "pal destroy big")
    for name, size in (("Domain-0", 512), ("web", 320), ("db", 384)):
        show(control, f"pal balloon {name} {size}M --wait", 200)


def put_away(control, screen):
    """web counts; it is saved, others take its memory, it comes back and counts on."""
    def look(line, pattern, end=False):
        print("domain0# pal console web", flush=True)
        control.qemu.send_line("pal console web")
        screen.on = True
        control.qemu.send_line(line)
        control.qemu.expect(pattern, 120)
        if end:
            control.qemu.child.send("\x03")
            control.qemu.expect(r"root@web\S+# ", 60)
        screen.on = False
        print()
        control.qemu.child.send("\x1d")
        control.qemu.expect(control.prompt, 30)

    say("web counts aloud. It is put away in a file: its memory is free, and another guest takes of it.")
    look("for i in $(seq 1000); do echo $i; sleep 1; done", r"\s4\s")
    show(control, "pal save web /var/tmp/web.pal", 300)
    show(control, "ls -sh /var/tmp/web.pal")
    show(control, "pal image verify /var/tmp/web.pal", 300)
    show(control, "pal create /guest/small.xml")
    show(control, "pal list")
    say("It comes back in whatever memory is free now, and counts on.")
    show(control, "pal restore /var/tmp/web.pal", 300)
    show(control, "pal destroy small")
    look("", r"\s\d+\s+\d+\s+\d+\s", end=True)


def inside(control, screen, name, *commands):
    """In the guest's shell, where somebody is logged in: as a user types them, live. What the last one printed."""
    qemu = control.qemu
    print(f"domain0# pal console {name}", flush=True)
    qemu.send_line(f"pal console {name}")
    qemu.send_line("")
    qemu.expect(rf"root@{name}\S+# ", 60)
    screen.on = True
    for command in commands:
        qemu.send_line(command)
        qemu.expect(rf"root@{name}\S+# ", 300)
    screen.on = False
    print()
    output = qemu.child.before
    qemu.child.send("\x1d")
    qemu.expect(control.prompt, 30)
    return output


def shared_memory(control, screen):
    """A tree from one guest to the other: as one file over the virtual network, and through a region."""
    say("Guests that move much data may share memory. First the virtual network, then the same files through a region:")
    output = inside(control, screen, "web", "modprobe -a xen-gntdev xen-evtchn; mkdir /dev/shm/tree; cp -L /usr/bin/[a-g]* /dev/shm/tree; "
                    "cd /dev/shm; tar cf tree.tar tree; busybox httpd -p 80 -h /dev/shm; ip -4 -o addr show scope global")
    address = re.search(r"inet (10\.99\.0\.\d+)", output).group(1)
    show(control, "pal region create bulk 32M --allow web:rw --allow db:rw")
    inside(control, screen, "web", "palshm serve /dev/shm/tree &")
    inside(control, screen, "db", "modprobe -a xen-gntdev xen-evtchn; cd /dev/shm",
           f"curl -s -w '%{{size_download}} bytes in %{{time_total}} s\\n' -o tree.tar http://{address}/tree.tar",
           "palshm copy / copy; tar xf tree.tar && diff -r tree copy && echo the same")
    show(control, "pal region info bulk")
    show(control, "pal region destroy bulk")


def session(qemu):
    screen = Screen()
    qemu.child.logfile_read = screen
    say("A whole Debian 12 boots as domain 0 from a disk image; systemd starts Debian's xenstored and xenconsoled.")
    control = debian.Shell(qemu)
    control.run("systemctl is-system-running --wait", 240, status=None)
    show(control, "systemctl --no-legend list-units 'pal-*' | cut -c 3-")
    control.run("mount LABEL=srv /srv")
    show(control, "cat /guest/shared/web.xml")
    show(control, "pal create /guest/shared/web.xml")
    show(control, "pal list")
    say("The guest is a Debian 12 whose disk lies over an image that others share. 'pal console' shows it; Ctrl-] leaves.")
    show_console(control, screen, "web")
    one_image(control, screen)
    show_room(control)
    put_away(control, screen)
    shared_memory(control, screen)
    show(control, "pal list")
    for name in ("web", "db", "mail"):
        show(control, f"pal shutdown {name} --wait")
    show(control, "pal list")
    say("Domain 0 switches the machine off.")
    qemu.send_line("systemctl poweroff")
    qemu.wait_exit(180)


def main():
    machine = debian.machine(guests=0, shared=True, kernel_args="root=/dev/vda loglevel=3 systemd.show_status=0")
    try:
        with q.Qemu(machine, q.BUILD / "demo") as qemu:
            session(qemu)
            qemu.check_log()
    except q.Failure as failure:
        print(f"=== The demonstration did not end as it should: {failure}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())

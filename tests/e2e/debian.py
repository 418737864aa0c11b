# SPDX-License-Identifier: MIT
"""Debian with systemd from a disk image: as domain 0, and as guests created there."""

import subprocess

import qemu as q

IMAGE = q.BUILD / "dom0" / "debian.img"
SHARED = q.BUILD / "dom0" / "shared.img"


def make_image():
    subprocess.run([q.TOP / "tools/dom0-image/mkdisk.sh"], check=True, stdout=subprocess.DEVNULL)


def drive(image=None):
    # What is written goes to a temporary file of QEMU's; the image stays as it was made.
    return ("-drive", f"if=virtio,format=raw,snapshot=on,file={image or IMAGE}")


def make_shared():
    subprocess.run([q.TOP / "tools/dom0-image/mkshared.sh"], check=True, stdout=subprocess.DEVNULL)


def machine(guests, shared=False, **description):
    """Domain 0 on /dev/vda, and a disk for each guest behind it: /dev/vdb and so on; shared: one with an image for all of them."""
    devices = [word for _ in range(1 + guests) for word in drive()]
    if shared:
        devices += drive(SHARED)
    described = dict(memory="2G", dom0_mem="512M", devices=(*devices, "-nic", "none"),
                     kernel_args="root=/dev/vda loglevel=5")
    described.update(description)
    return q.Machine(**described)


class Shell:
    """A root shell behind a login prompt on the serial line: domain 0's, or a guest's within it."""

    def __init__(self, qemu, limit=300, name="domain0"):
        self.qemu = qemu
        self.count = 0
        self.prompt = f"{name}> "
        self.log_in(limit)

    def log_in(self, limit):
        self.qemu.expect(r"(?m)(?:\w |^)login: ", limit)  # systemd may write between the name and the rest
        self.qemu.send_line("root")
        self.qemu.expect(r"root@\S+# ", 90)
        # No colours, no editing of lines; what a kernel has to say goes to its own log only.
        self.qemu.send_line(f"exec env TERM=dumb PS1='{self.prompt[:1]}''{self.prompt[1:]}' bash --norc --noediting")
        self.qemu.expect(self.prompt, 30)
        self.run("stty -echo cols 200; dmesg -n 1")

    def run(self, command, limit=60, status=0):
        """The command's output; its exit status must be the one given, unless that is None."""
        self.count += 1
        # The marks are put together by the shell, so that the echo of a line is not taken for them.
        self.qemu.send_line(f"echo BEGIN-$(({self.count})); {command}; echo END-$(({self.count}))=$?")
        output, got = self.qemu.between(f"BEGIN-{self.count}", f"END-{self.count}", limit)
        output = output.strip()
        if status is not None and got != status:
            self.qemu.fail(f"{command!r}: status {got}, not {status}:\n{output[-1000:]}")
        self.qemu.expect(self.prompt, 30)
        return output

    def until(self, command, limit=120):
        """Runs the command again and again until it succeeds; its output then."""
        inner = command.replace("'", "'\\''")
        return self.run(f"timeout {int(limit * q.TIME_SCALE)} sh -c 'until {inner}; do sleep 0.5; done'", limit + 30)


class Guest(Shell):
    """A guest's shell on its console, reached from a shell of domain 0."""

    def __init__(self, control, name, limit=300):
        self.control, self.name, self.inside = control, name, True
        control.qemu.send_line(f"pal console {name}")
        super().__init__(control.qemu, limit, name)
        self.leave()

    def leave(self):
        self.qemu.child.send("\x1d")
        self.qemu.expect(self.control.prompt, 30)
        self.inside = False

    def enter(self):
        self.qemu.send_line(f"pal console {self.name}")
        self.qemu.send_line("")
        self.qemu.expect(self.prompt, 60)
        self.inside = True

    def run(self, command, limit=60, status=0):
        """As a shell's, but the console is taken for it and given back, unless it is taken already."""
        inside = self.inside
        if not inside:
            self.enter()
        output = super().run(command, limit, status)
        if not inside:
            self.leave()
        return output

    def systemd_is_up(self):
        self.run("systemctl is-system-running --wait", 240)
        failed = self.run("systemctl --failed --no-legend").strip()
        if failed:
            self.qemu.fail(f"{self.name}: units have failed:\n{failed}")

    def address(self):
        """The address that domain 0 gave it."""
        show = "ip -4 -o addr show scope global | grep -o 'inet 10.99.0.[0-9]*'"
        return self.until(show).split()[-1]

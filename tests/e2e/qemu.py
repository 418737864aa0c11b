# SPDX-License-Identifier: MIT
"""One emulated machine: how to describe it, start it, watch it and end it.

A `Machine` says what to run; `Qemu` is one run of it.  The serial line goes to
a log file in the run's own directory and to a pexpect stream that tests wait on.
Every wait has a deadline, and a run is ended by the process id that started it.
"""

import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pexpect
from pexpect.popen_spawn import PopenSpawn

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PAL_BUILD", TOP / "build"))
CACHE = pathlib.Path(os.environ.get("PAL_CACHE", TOP / "cache"))
# The image under test.  Pointing PAL_HV at cache/xen-4.17/xen runs the tests on the peer.
# The word `native` boots the kernel alone: what fails there too is not the hypervisor's.
NATIVE = "native"
HV = os.environ.get("PAL_HV", BUILD / "palimpsest")
HV = HV if HV == NATIVE else pathlib.Path(HV).resolve()
# Deadlines are for an idle machine of two cores; a busy one stretches them.
TIME_SCALE = float(os.environ.get("PAL_TIME_SCALE", "1"))

OVMF = "/usr/share/ovmf/OVMF.fd"
KERNELS = ("6.1", "6.12")

# Text that must not appear in any log.  The first group is the hypervisor's,
# the second the guest kernel's.
FATAL = [
    r"\bPANIC\b|\bpanic\b(?!=)",
    r"(?i)\bassert(ion)?\b.*fail|CHECK failed|VERIFY failed",
    r"(?i)double fault|hypervisor fault|fatal (trap|page fault|exception)",
    r"(?i)\baudit\b.*(fail|mismatch|error)",
    r"(?i)domain 0 (crashed|killed)|Dom(ain )?0 crashed",
    r"WARNING: CPU|\bBUG: |\bBUG at|Kernel panic|Oops[:\s]",
    r"general protection fault|unable to handle (kernel|page fault)|invalid opcode: ",
    r"rcu_sched.*stall|rcu_preempt.*stall|soft lockup|hard LOCKUP|blocked for more than",
    r"unchecked MSR access|unexpected machine check|irq \d+: nobody cared",
    r"Clocksource .* unstable|Failed to execute /init|not syncing",
]


# How the emulated CPUs run.  QEMU before 8.2 has two races between CPUs that are host threads: an access to a device
# goes elsewhere, or kills QEMU, while another CPU moves a device's registers in the address map; and code that one CPU
# translates while another writes it may stay in use as it was.  Both need a kernel that sets up PCI or patches itself
# with several CPUs awake, and hit one boot in ten of a stock kernel on four.  So machines whose tests are not about
# CPUs at the same instant take turns in one thread; a run in parallel that met a race is an EmulatorFault, and is run again.
IN_TURN = "tcg,thread=single"
PARALLEL = "tcg,thread=multi"


# Lines of the hypervisor's own, with the end that they gave to the line they came into.
OWN_LINES = r"(?:\n\[ *\d+\.\d{6}\] [^\n]*)+\n"


def json_in(text):
    """The JSON object in what a shell printed; ValueError when there is none."""
    text = re.sub(OWN_LINES, "", text.replace("\r", ""))
    return json.JSONDecoder().raw_decode(text, text.index("{"))[0]


class Failure(AssertionError):
    """A run did not do what the test waits for."""


class EmulatorFault(Failure):
    """QEMU died of a signal, ran code that is not in memory, or lost its flags: nothing that a guest may do leads there."""


def kernel_image(version):
    return CACHE / f"linux-{version}" / "vmlinuz"


def initrd_image(version):
    return BUILD / "dom0" / f"initrd-{version}.gz"


@dataclasses.dataclass
class Machine:
    """What QEMU is told; the defaults are the command line of the README."""

    hv: object = HV  # path of a multiboot image, or NATIVE
    cpu: str = "qemu64"
    machine: str = "pc"
    loader: str = "kernel"  # kernel (multiboot 1 by -kernel), bios or uefi (GRUB, multiboot 2)
    cpus: int = 2
    memory: str = "2G"
    dom0_mem: str = "1G"  # empty: not given
    hv_args: str = ""
    kernel: object = "6.1"  # a version, a path, or None for no module at all
    kernel_args: str = ""
    initrd: object = None  # a path; None: the small image of that kernel
    devices: tuple = ("-nic", "none")
    extra: tuple = ()
    accel: str = IN_TURN

    def kernel_path(self):
        return kernel_image(self.kernel) if self.kernel in KERNELS else self.kernel

    def initrd_path(self):
        if self.initrd is not None:
            return self.initrd
        return initrd_image(self.kernel if self.kernel in KERNELS else "6.1")

    def hv_line(self):
        words = ["console=com1", "com1=115200,8n1"]
        if self.dom0_mem:
            words.append(f"dom0_mem={self.dom0_mem}")
        return " ".join(words + self.hv_args.split())

    def kernel_line(self):
        console = "ttyS0" if self.hv == NATIVE else "hvc0"
        return f"console={console} {self.kernel_args}".strip()

    def name(self):
        return f"{self.cpu}-{self.machine}-{self.loader}-{self.cpus}cpu-{self.memory}-linux{self.kernel}"

    def boot_options(self):
        """The options that choose what is started."""
        if self.hv == NATIVE:
            return ["-kernel", self.kernel_path(), "-append", self.kernel_line(), "-initrd", self.initrd_path()]
        if self.loader == "kernel":
            options = ["-kernel", self.hv, "-append", self.hv_line()]
            if self.kernel is not None:
                # QEMU parts its modules at commas; a doubled one stands for itself.
                modules = (f"{self.kernel_path()} {self.kernel_line()}", str(self.initrd_path()))
                options += ["-initrd", ",".join(module.replace(",", ",,") for module in modules)]
            return options
        firmware = ["-bios", OVMF] if self.loader == "uefi" else []
        return firmware + ["-cdrom", grub_iso(self), "-boot", "d"]

    def command(self):
        cpu = ["-accel", self.accel, "-cpu", self.cpu, "-M", self.machine, "-smp", str(self.cpus), "-m", self.memory]
        rest = ["-no-reboot", "-display", "none", *self.devices, *self.extra]
        return ["qemu-system-x86_64", *map(str, cpu + self.boot_options() + rest)]


GRUB_CFG = """\
serial --unit=0 --speed=115200
terminal_output serial
terminal_input serial
set timeout=0
set default=0
menuentry palimpsest {{
    multiboot2 /boot/hv placeholder {hv_line}
    {modules}
}}
"""


def grub_iso(machine):
    """An ISO (BIOS and UEFI) whose GRUB starts the machine's images; kept by content."""
    modules = ""
    files = {"hv": machine.hv}
    if machine.kernel is not None:
        files.update(vmlinuz=machine.kernel_path(), initrd=machine.initrd_path())
        modules = (
            f"module2 /boot/vmlinuz placeholder {machine.kernel_line()}\n"
            "    module2 --nounzip /boot/initrd"
        )
    # What Debian's script for Xen appends when it finds itself on UEFI.
    hv_line = machine.hv_line() + (" no-real-mode edd=off" if machine.loader == "uefi" else "")
    config = GRUB_CFG.format(hv_line=hv_line, modules=modules)
    digest = hashlib.sha256(config.encode())
    for name in sorted(files):
        digest.update(pathlib.Path(files[name]).read_bytes())
    isos = BUILD / "e2e" / "iso"
    isos.mkdir(parents=True, exist_ok=True)
    iso = isos / f"{digest.hexdigest()[:20]}.iso"
    with open(isos / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if iso.exists():
            os.utime(iso)
        else:
            for old in sorted(isos.glob("*.iso"), key=os.path.getmtime)[:-12]:
                old.unlink()  # earlier builds of the image under test
            with tempfile.TemporaryDirectory() as tree:
                boot = pathlib.Path(tree) / "boot"
                (boot / "grub").mkdir(parents=True)
                (boot / "grub" / "grub.cfg").write_text(config)
                for name, source in files.items():
                    shutil.copy(source, boot / name)
                made = subprocess.run(
                    ["grub-mkrescue", "-o", f"{iso}.part", tree], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                )
                if made.returncode:
                    raise Failure(f"grub-mkrescue: {made.stdout.decode(errors='replace')}")
            os.rename(f"{iso}.part", iso)
    return iso


class Qemu:
    """One run.  Use as a context manager; leaving it ends the process."""

    def __init__(self, machine, directory):
        self.machine = machine
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "serial.log"
        self.started = self.child = self.qmp = None
        self.ended = False  # by us
        self.events = []
        # Unix socket paths are short; build directories may not be.
        self.scratch = tempfile.TemporaryDirectory(prefix="pal-")
        self.monitor_path = os.path.join(self.scratch.name, "qmp")

    def __enter__(self):
        self.log.unlink(missing_ok=True)
        self.ended = False
        serial = f"stdio,id=serial,signal=off,logfile={self.log}"
        monitor = f"socket,id=monitor,path={self.monitor_path},server=on,wait=off"
        command = self.machine.command()
        command += ["-chardev", serial, "-serial", "chardev:serial"]
        command += ["-chardev", monitor, "-mon", "chardev=monitor,mode=control"]
        (self.directory / "command").write_text(" ".join(f"'{word}'" if " " in word else word for word in command))
        self.started = time.monotonic()
        self.child = PopenSpawn(command, timeout=60, maxread=65536, encoding="utf-8", codec_errors="replace")
        # pexpect asks this kind of child over and over; without a pause that is a quarter of a CPU.
        self.child.delayafterread = 0.05
        try:
            self.open_monitor()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.end()
        self.scratch.cleanup()

    def end(self):
        """Ends the process we started, by its own id."""
        if self.qmp:
            self.qmp.close()
            self.qmp = None
        process = self.child.proc
        if process.poll() is None:
            self.ended = True
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdin:
            process.stdin.close()

    def seconds(self):
        return time.monotonic() - self.started

    def text(self):
        return self.log.read_text(errors="replace").replace("\r", "") if self.log.exists() else ""

    def tail(self, lines=25):
        return "\n".join(self.text().splitlines()[-lines:])

    def fail(self, message):
        kind = EmulatorFault if self.emulator_failed() else Failure
        raise kind(f"{message}\n  log: {self.log}\n--- last lines ---\n{self.tail()}")

    def emulator_failed(self):
        """The run met one of QEMU's races (see IN_TURN)."""
        status = self.child.proc.poll()
        if status is None:
            try:
                status = self.child.proc.wait(2)
            except subprocess.TimeoutExpired:
                pass
        if status is not None and status < 0 and not self.ended:
            return True
        return self.lost_flags() or self.machine.accel == PARALLEL and self.ran_stale_code()

    def lost_flags(self):
        """A trap's frame whose flags have bits that no processor has: what QEMU keeps to compute them by later, taken for them."""
        return any(int(flags, 16) >> 22 for flags in re.findall(r"EFLAGS: ([0-9a-f]{8,16})\b", self.text()))

    def ran_stale_code(self):
        """A kernel's breakpoint trap where memory holds no breakpoint instruction; its report may still be coming."""
        deadline = time.monotonic() + 5
        while "int3: 0000" in self.text() and time.monotonic() < deadline:
            trap = re.search(r"int3: 0000.*?Code: [^<\n]*?([0-9a-f]{2}) <", self.text(), re.S)
            if trap:
                return trap.group(1) != "cc"
            time.sleep(0.1)
        return False

    def expect(self, pattern, timeout, early=FATAL):
        """Waits for pattern; a pattern of `early` seen first is a failure at once."""
        patterns = [re.compile(pattern), *map(re.compile, early), pexpect.EOF, pexpect.TIMEOUT]
        index = self.child.expect(patterns, timeout=timeout * TIME_SCALE)
        if index == 0:
            return self.child.match
        if patterns[index] is pexpect.EOF:
            self.fail(f"QEMU ended while waiting for {pattern!r}")
        if patterns[index] is pexpect.TIMEOUT:
            self.fail(f"no {pattern!r} within {timeout * TIME_SCALE:.0f} s")
        self.fail(f"fatal text {self.child.match.group(0)!r} while waiting for {pattern!r}")

    def between(self, begin, end, limit, early=FATAL):
        """What a shell prints from the line `begin` to the line `end=STATUS`, and that status."""
        line_end = r"(?:\s|(?=\[))"  # a kernel's line may come before a line's end
        self.expect(begin + line_end, 30, early)
        self.expect(rf"{end}=(\d+){line_end}", limit, early=())
        return self.child.before.replace("\r", ""), int(self.child.match.group(1))

    def send_line(self, text):
        try:
            self.child.send(text + "\r")
        except OSError:
            self.fail(f"QEMU ended before {text!r} could be typed")

    def wait_exit(self, timeout):
        """Waits until QEMU ends by itself (power-off, or reset under -no-reboot)."""
        deadline = time.monotonic() + timeout * TIME_SCALE
        while time.monotonic() < deadline:
            try:
                self.child.expect(pexpect.EOF, timeout=0.2)
            except pexpect.TIMEOUT:
                pass
            status = self.child.proc.poll()
            if status is not None:
                if status != 0:
                    self.fail(f"QEMU ended with status {status}")
                return
        self.fail(f"QEMU did not end within {timeout * TIME_SCALE:.0f} s")

    def open_monitor(self):
        deadline = time.monotonic() + 60 * TIME_SCALE
        connection = socket.socket(socket.AF_UNIX)
        while True:
            try:
                connection.connect(self.monitor_path)
                break
            except OSError:
                if time.monotonic() > deadline or self.child.proc.poll() is not None:
                    self.fail("QEMU does not start")
                time.sleep(0.05)
        connection.settimeout(60 * TIME_SCALE)
        self.qmp = connection.makefile("rw")
        connection.close()  # the file object keeps it open
        self._qmp_answer("QMP")
        self._qmp_ask({"execute": "qmp_capabilities"})

    def monitor(self, line):
        """Runs one command of QEMU's human monitor; returns what it prints."""
        return self._qmp_ask({"execute": "human-monitor-command", "arguments": {"command-line": line}})

    def shutdown_reason(self):
        """After the end: guest-shutdown (power-off), guest-reset, or None."""
        try:
            self._qmp_answer()
        except (Failure, OSError):
            pass
        return next((e["data"]["reason"] for e in self.events if e["event"] == "SHUTDOWN"), None)

    def _qmp_ask(self, request):
        self.qmp.write(json.dumps(request) + "\n")
        self.qmp.flush()
        return self._qmp_answer("return", "error")

    def _qmp_answer(self, *keys):
        for line in self.qmp:
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer)
            for key in keys:
                if key in answer:
                    return answer[key]
        raise Failure("the monitor closed its line")

    def fatal_lines(self, patterns=FATAL, allowed=()):
        """Lines of the log that hold fatal text and match no allowed pattern."""
        return [
            line
            for line in self.text().splitlines()
            if any(re.search(p, line) for p in patterns) and not any(re.search(a, line) for a in allowed)
        ]

    def check_log(self, allowed=()):
        bad = self.fatal_lines(allowed=allowed)
        if bad:
            self.fail("fatal text in the log:\n  " + "\n  ".join(bad[:10]))

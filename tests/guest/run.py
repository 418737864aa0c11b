#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boot every hostile guest under a hypervisor in QEMU and collect its verdict.

  tests/guest/run.py --hv build/palimpsest [--build build] [--jobs 2] [--only NAME[,NAME]]
  tests/guest/run.py --hv xen --peer          (against the peer; DIFF lines do not fail)

A test says how it wants to be run in the comment at the top of its main.c:

  run: smp=2 mem=256M dom0_mem=64M deadline=60 cpu=qemu64 nmi=0 icount= device=
  also NAME: words       one more boot with these words over those of `run:`
  cases-run: words       the same for the cases
  case N: "pattern"      one more boot with case=N, at the end of which domain 0 must have been
                         killed and the reason line match the pattern (a regular expression)

`run: none` leaves only the cases. hv=WORD gives the hypervisor one more option, seed=N the
guest's random numbers a start. guests=self gives the test a copy of itself as its module, of which it makes
other domains (bare/pair.h). icount=N lets the machine's time pass by what is executed (2^N ns an instruction, the CPUs
in turn), so that a test may judge times whatever else this host does. device=NAME puts a device of
QEMU's into the first free PCI slot. nmi=MS asks for a non-maskable interrupt every MS milliseconds.
"""
import argparse
import concurrent.futures
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULTS = {"smp": "1", "mem": "256M", "dom0_mem": "64M", "deadline": "60", "cpu": "qemu64",
            "nmi": "0", "icount": "", "device": "", "hv": "", "seed": "", "guests": ""}
PRINTING = threading.Lock()
KILLED = re.compile(r"[Dd]omain 0 crashed|Dom0 crashed")
FATAL = re.compile(r"Panic on CPU|^\(XEN\).*Assertion|hypervisor fault|assertion failed|"
                   r"double fault|FATAL", re.I | re.M)


class Run:
    """One boot: of a test, or of one of its cases."""

    def __init__(self, name, options, case=0, pattern=None, also=""):
        self.name, self.options, self.case, self.pattern = name, options, case, pattern
        self.title = f"{name}/case{case}" if case else f"{name}/{also}" if also else name


def declared(name):
    head = open(os.path.join(HERE, name, "main.c"), encoding="utf-8").read().split("*/\n#")[0]
    options, runs = dict(DEFAULTS), []
    wanted = re.search(r"\brun: (.*)", head)
    only_cases = bool(wanted and wanted.group(1).strip() == "none")
    if wanted and not only_cases:
        options.update(w.split("=", 1) for w in wanted.group(1).split() if "=" in w)
    cases = re.findall(r'\bcase (\d+): "(.*)"', head)
    given = re.search(r"\bcases-run: (.*)", head)
    case_options = dict(options)
    if given:
        case_options.update(w.split("=", 1) for w in given.group(1).split() if "=" in w)
    if not only_cases:
        runs.append(Run(name, options))
    for also, words in re.findall(r"\balso (\w+): (.*)", head):
        over = dict(w.split("=", 1) for w in words.split())
        runs.append(Run(name, {**options, **over}, also=also))
    runs += [Run(name, case_options, int(n), p) for n, p in cases]
    return runs


def send_nmi(path, period, stop, log_path):
    """Ask the monitor for an interrupt every period seconds until told to stop.

    The firmware would not survive one: the first comes when the guest has spoken.
    """
    while b"TEST " not in open(log_path, "rb").read():
        if stop.wait(0.05):
            return
    while not stop.wait(period):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(2)
                s.connect(path)
                s.sendall(b"nmi\n")
                time.sleep(0.02)
        except OSError:
            return


def boot(run, args, log_path):
    o = run.options
    words = " ".join(w for w in ("peer=xen" if args.peer else "",
                                 f"case={run.case}" if run.case else "",
                                 f"seed={o['seed']}" if o["seed"] else "", args.words) if w)
    elf = f"{args.build}/guest/{run.name}.elf"
    guest = f"{elf} {words}".strip() + (f",{elf}" if o["guests"] == "self" else "")
    hv = f"console=com1 com1=115200,8n1 dom0_mem={o['dom0_mem']} {o['hv']} {args.hv_words}".strip()
    tmp = tempfile.mkdtemp(prefix="guest-run-")
    monitor = os.path.join(tmp, "monitor")
    accel = ["tcg,thread=single", "-icount", f"shift={o['icount']},sleep=off"] if o["icount"] else ["tcg,thread=multi"]
    cmd = ["qemu-system-x86_64", "-accel", *accel, "-cpu", args.cpu or o["cpu"],
           "-m", o["mem"], "-smp", o["smp"], "-display", "none", "-serial", "stdio", "-no-reboot",
           "-monitor", f"unix:{monitor},server,nowait", "-net", "none",
           "-kernel", args.hv, "-append", hv, "-initrd", guest]
    cmd += ["-device", o["device"]] if o["device"] else []
    deadline = time.time() + float(o["deadline"]) * args.patience
    stop = threading.Event()
    with open(log_path, "wb") as log:
        log.write((shlex.join(cmd) + "\n").encode())
        log.flush()
        qemu = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=subprocess.STDOUT)
        nmi = None
        if o["nmi"] != "0":
            nmi = threading.Thread(target=send_nmi, args=(monitor, int(o["nmi"]) / 1000, stop, log_path))
            nmi.start()
        ended = wait_end(qemu, log_path, deadline, args)
        stop.set()
        if nmi:
            nmi.join()
    for leftover in os.listdir(tmp):
        os.unlink(os.path.join(tmp, leftover))
    os.rmdir(tmp)
    return ended


def wait_end(qemu, log_path, deadline, args):
    """Wait for QEMU's own exit; after a verdict allow it a few seconds more."""
    verdict_at = None
    ended = True
    while qemu.poll() is None:
        now = time.time()
        if verdict_at is None:
            text = open(log_path, "rb").read().decode(errors="replace")
            if re.search(r"^DONE |^PANIC ", text, re.M) or KILLED.search(text) or \
                    re.search(r"Panic on CPU", text):
                verdict_at = now
        if now > deadline or (verdict_at and now > verdict_at + (0.3 if args.peer else 10 * args.patience)):
            ended = args.peer and verdict_at is not None
            qemu.terminate()
            try:
                qemu.wait(5)
            except subprocess.TimeoutExpired:
                qemu.kill()
            break
        time.sleep(0.05)
    qemu.wait()
    return ended


def judge(run, text, ended, peer):
    """Reason of failure, or None."""
    fatal = FATAL.search(text)
    if fatal and not KILLED.search(text):
        return f"hypervisor: {line_at(text, fatal.start())}"
    done = re.search(r"^DONE (\d+) ok, (\d+) failed", text, re.M)
    if run.case:
        reason = KILLED.search(text)
        if not reason:
            return "domain 0 was not killed" + ("" if ended else " (deadline)")
        line = line_at(text, reason.start())
        if not peer and not re.search(run.pattern, line):
            return f"killed, but not for {run.pattern!r}: {line}"
        if not ended:
            return "the machine did not end after domain 0 was killed"
        return None
    panic = re.search(r"^PANIC .*", text, re.M)
    if panic:
        return panic.group(0).strip()
    if KILLED.search(text):
        return line_at(text, KILLED.search(text).start())
    if not done:
        return "no DONE line" + ("" if ended else " before the deadline")
    if int(done.group(2)):
        first = re.search(r"^FAIL .*", text, re.M)
        return f"{done.group(2)} checks failed, first: {first.group(0).strip() if first else '?'}"
    if int(done.group(1)) == 0:
        return "no check was made"
    if not ended:
        return "the machine did not end after DONE"
    return None


def line_at(text, pos):
    start = text.rfind("\n", 0, pos) + 1
    end = text.find("\n", pos)
    return text[start:end if end >= 0 else len(text)].strip()


def one(run, args):
    log_path = os.path.join(args.logs, run.title.replace("/", "-") + ".log")
    started = time.time()
    ended = boot(run, args, log_path)
    text = open(log_path, "rb").read().decode(errors="replace").replace("\r", "")
    reason = judge(run, text, ended, args.peer)
    checks = re.search(r"^DONE (\d+) ok", text, re.M)
    diffs = len(re.findall(r"^DIFF ", text, re.M))
    detail = f"{checks.group(1)} checks" if checks else "killed as it must be"
    if diffs:
        detail += f", {diffs} differ"
    took = time.time() - started
    state = f"FAIL {reason}" if reason else f"ok ({detail}, {took:.1f} s)"
    said = [f"{run.title}: {state}"]
    if reason and args.verbose:
        said += ["    " + l for l in text.splitlines() if re.match(r"FAIL|PANIC|note", l)]
    with PRINTING:  # or two guests' lines are one
        print("\n".join(said), flush=True)
    return reason is None


def main():
    p = argparse.ArgumentParser(description="run the hostile guests")
    p.add_argument("--hv", default="build/palimpsest", help="hypervisor image")
    p.add_argument("--build", default="build", help="build directory with guest/*.elf")
    p.add_argument("--logs", default=None, help="log directory (default BUILD/guest-logs)")
    p.add_argument("--only", default="", help="comma-separated tests, or test/caseN")
    p.add_argument("--jobs", type=int, default=2, help="boots at once")
    p.add_argument("--peer", action="store_true", help="the hypervisor is the peer")
    p.add_argument("--cpu", default="", help="QEMU CPU model for all")
    p.add_argument("--words", default="", help="more command-line words for the guests (seed=N)")
    p.add_argument("--hv-words", default="", help="more options for the hypervisor")
    p.add_argument("--patience", type=float, default=1.0, help="factor on every deadline")
    p.add_argument("--verbose", action="store_true", help="print each failed check")
    p.add_argument("--list", action="store_true", help="only list the boots")
    args = p.parse_args()
    args.logs = args.logs or os.path.join(args.build, "guest-logs")
    os.makedirs(args.logs, exist_ok=True)
    names = sorted(n for n in os.listdir(HERE) if os.path.exists(f"{HERE}/{n}/main.c"))
    runs = [r for n in names for r in declared(n)]
    if args.peer: # it has no call that audits, so nothing could be said about it
        runs = [r for r in runs if not r.options["guests"]]
    if args.only:
        wanted = args.only.split(",")
        runs = [r for r in runs if r.title in wanted or r.name in wanted]
    if args.list:
        print("\n".join(r.title for r in runs))
        return 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda r: one(r, args), runs))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

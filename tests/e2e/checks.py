# SPDX-License-Identifier: MIT
"""Runs in-guest checks on a machine and judges what they print."""

import dataclasses
import re

from qemu import Failure, Qemu

CHECK = re.compile(r"PAL-CHECK (\S+) (pass|fail|skip) ?(.*)")
# How a check ended stands in three lines: a line of the kernel's, from another CPU, may be printed amid one of them.
RUN = re.compile(r"PAL-RUN (\S+) exit=(\d+|missing)")
RUNS = re.compile(r"PAL-RUNS (.*)")
ENDED = re.compile(r"(\S+)=(\d+|missing)")

# Seconds until user space; twice and more what an idle machine of two cores needs.
BOOT_LIMIT = 180


def judge(qemu, names):
    """Every named check ended well and every part of it passed; returns {part: verdict}."""
    text = qemu.text()
    parts = {part: (verdict, detail) for part, verdict, detail in CHECK.findall(text)}
    ended = {}
    for name, status in RUN.findall(text) + ENDED.findall("\n".join(RUNS.findall(text))):
        if ended.setdefault(name, status) == "0":
            ended[name] = status
    wrong = [f"{part} {detail}" for part, (verdict, detail) in parts.items() if verdict == "fail"]
    wrong += [f"{name}: exit={ended.get(name, 'never')}" for name in names if ended.get(name) != "0"]
    for name in names:
        if not any(part.startswith(name + ".") for part in parts):
            wrong.append(f"{name}: printed nothing")
    if wrong:
        qemu.fail("in-guest checks:\n  " + "\n  ".join(wrong))
    return {part: verdict for part, (verdict, _) in parts.items()}


def run_checks(machine, directory, names, limit=240, kernel_args="", during=None, allowed=()):
    """Boots, runs the checks, waits for power-off, judges checks and log.

    during(qemu): called once user space is there, for what a check needs from outside.
    """
    machine = dataclasses.replace(
        machine, kernel_args=f"{machine.kernel_args} loglevel=5 pal.cpus={machine.cpus} {kernel_args} pal.run={','.join(names)}"
    )
    with Qemu(machine, directory) as qemu:
        qemu.expect(r"PAL-INIT", BOOT_LIMIT)
        if during:
            during(qemu)
        qemu.expect(r"PAL-RUN-END failed=\d", limit)
        qemu.wait_exit(60)
        if qemu.shutdown_reason() != "guest-shutdown":
            raise Failure(f"QEMU ended by {qemu.shutdown_reason()}, not by the guest's power-off; log: {qemu.log}")
        verdicts = judge(qemu, (*names, "audit"))  # pal-check adds it to every run
        qemu.check_log(allowed)
        return verdicts

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures native kernel, Debian's Xen and ours side by side.

    run.py [--systems native,xen,ours] [--kernel 6.1] [--parts single,domains,saves] [--rows-only]

single: instruction counts from one run of micro.c as the first process on each
system; the time to /init is wall clock, the median of three boots after one
that warms the host's caches.  domains: what domain 0 does with others, counted
likewise (domains.py); saves: saving and restoring (saving.py); wall, saves-wall:
the same by the wall's clock, on two CPUs, which says something only on a machine
that does nothing else.
Prints tables, writes build/bench/results.json.  A system whose run fails leaves
a gap in its table and a status of 1.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import boots  # noqa: E402
import domains  # noqa: E402
import saving  # noqa: E402
from qemu import BUILD, CACHE, HV, NATIVE, TOP, Failure, Machine, Qemu  # noqa: E402

OUT = BUILD / "bench"
XEN = CACHE / "xen-4.17" / "xen"
ROWS = {
    "getppid": "getppid system call",
    "fork": "fork + exit + wait",
    "exec": "vfork + exec busybox + wait",
    "touch": "first touch of a page, incl. unmap",
    "mprotect": "mprotect 64 pages, ro and back",
    "pipe": "pipe round trip, one CPU",
    "tmpfs": "tmpfs create, write, close, unlink",
    "clock_gettime": "clock_gettime(MONOTONIC)",
    "nanosleep": "nanosleep 100 us",
}
# The rows whose overhead over native is to be at most half of the peer's.
HALVED = ("getppid", "fork", "exec", "touch", "mprotect")
BOOTS = 4  # the first is dropped


def prepare(kernel):
    """Builds the initial RAM disk that holds only the benchmark and busybox."""
    OUT.mkdir(parents=True, exist_ok=True)
    binary, initrd = OUT / "micro", OUT / "initrd.gz"
    compiler = os.environ.get("CC", "gcc")
    flags = ["-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", binary, HERE / "micro.c"], check=True)
    image = TOP / "tools" / "dom0-image"
    subprocess.run([image / "fetch.sh", kernel, "xen"], check=True)
    subprocess.run([image / "mkinitrd.py", "-o", initrd, "--init", binary], check=True)
    return initrd


def counts(hv, kernel, initrd, directory):
    """One deterministic run: {row: instructions for one operation}."""
    machine = Machine(
        hv=hv,
        kernel=kernel,
        initrd=initrd,
        cpus=1,
        memory="1G",
        dom0_mem="768M",
        kernel_args="quiet",
        accel="tcg,thread=single",
        extra=("-icount", "shift=0,sleep=off"),
    )
    with Qemu(machine, directory) as qemu:
        qemu.expect(r"BENCH-INIT", 300)
        qemu.expect(r"BENCH-END", 300)
        qemu.wait_exit(60)
        found = dict(re.findall(r"BENCH (\w+) (\d+)", qemu.text()))
    missing = set(ROWS) - set(found)
    if missing:
        raise Failure(f"no figure for {', '.join(sorted(missing))}; see {directory}")
    return {row: int(found[row]) for row in ROWS}


def boot_seconds(hv, kernel, initrd, directory):
    """Wall-clock seconds from QEMU's start to the first line of /init."""
    seconds = []
    for number in range(BOOTS):
        machine = Machine(hv=hv, kernel=kernel, initrd=initrd, kernel_args="quiet pal.boot")
        with Qemu(machine, directory / f"boot{number}") as qemu:
            qemu.expect(r"BENCH-INIT", 120)
            seconds.append(qemu.seconds())
            qemu.wait_exit(60)
    return round(statistics.median(seconds[1:]), 2)


def ratio(value, base):
    return f"{value / base:.2f}" if value and base else "-"


def overhead(figures, row):
    """(ours - native) / (xen - native), or None where it says nothing."""
    native, xen, ours = (figures.get(system, {}).get(row) for system in ("native", "xen", "ours"))
    if None in (native, xen, ours) or xen <= native:
        return None
    return (ours - native) / (xen - native)


def verdict(figures, row):
    """'ok', or which target this row misses."""
    xen, ours = (figures.get(system, {}).get(row) for system in ("xen", "ours"))
    if ours is None or xen is None:
        return ""
    if ours > xen:
        return "above the peer"
    share = overhead(figures, row)
    if row in HALVED and share is not None and share > 0.5:
        return "above half"
    return "ok"


def table(figures):
    def shown(value):
        return "-" if value is None else f"{value:,}"

    lines = [
        f"{'operation':36}{'native':>12}{'xen':>12}{'ours':>12}{'xen/nat':>9}{'ours/nat':>9}{'ours/xen':>9}{'overhead':>9}  target"
    ]
    for row, title in {**ROWS, "boot": "boot to /init, wall seconds"}.items():
        native, xen, ours = (figures.get(system, {}).get(row) for system in ("native", "xen", "ours"))
        share = overhead(figures, row) if row != "boot" else None
        lines.append(
            f"{title:36}{shown(native):>12}{shown(xen):>12}{shown(ours):>12}"
            f"{ratio(xen, native):>9}{ratio(ours, native):>9}{ratio(ours, xen):>9}"
            f"{'-' if share is None else f'{share:.2f}':>9}  {verdict(figures, row)}"
        )
    lines.append("overhead: (ours - native) / (xen - native); figures but the last row are guest instructions")
    return "\n".join(lines)


def measure_single(args, images, initrd):
    """The rows of one kernel alone: ({system: figures}, all of it done)."""
    figures, whole = {}, True
    for system in args.systems.split(","):
        print(f"bench: {system}", file=sys.stderr)
        try:
            figures[system] = counts(images[system], args.kernel, initrd, OUT / system)
            if not args.rows_only:
                figures[system]["boot"] = boot_seconds(images[system], args.kernel, initrd, OUT / system)
        except Failure as failure:
            whole = False
            print(f"bench: {system}: {failure}", file=sys.stderr)
    return figures, whole


def measure_others(args, images, image, part):
    """The rows about domains or about saves: ({system: figures}, all of it done)."""
    figures, whole = {}, True
    measure = saving.measure if part.startswith("saves") else domains.measure
    for system in args.systems.split(","):
        if system == "native":
            continue
        print(f"bench: {system}, {part}", file=sys.stderr)
        try:
            figures[system] = measure(images[system], args.kernel, image, OUT / f"{system}-{part}", part.endswith("wall"))
        except Failure as failure:
            whole = False
            print(f"bench: {system}: {failure}", file=sys.stderr)
    return figures, whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", default="native,xen,ours")
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--parts", default="single,domains,saves", help="also: wall, saves-wall, boots, by the wall's clock")
    parser.add_argument("--rows-only", action="store_true", help="the rows of one kernel, no boot times, no domains")
    parser.add_argument("--strict", action="store_true", help="status 2 when a target is missed")
    args = parser.parse_args()
    parts = ["single"] if args.rows_only else args.parts.split(",")

    images = {"native": NATIVE, "xen": XEN, "ours": HV}
    initrd = prepare(args.kernel)
    image = domains.prepare(args.kernel, initrd) if set(parts) - {"single"} else None
    record = {"kernel": (CACHE / f"linux-{args.kernel}" / "release").read_text().strip()}
    record["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    failed, missed = False, []
    for part in parts:
        if part == "single":
            figures, whole = measure_single(args, images, initrd)
            missed += [row for row in [*ROWS, "boot"] if verdict(figures, row) not in ("", "ok")]
            print(table(figures))
        elif part == "boots":
            figures, whole = boots.run(boots.arguments(["--kernel", args.kernel]))
            missed += boots.missed(figures)
            print(boots.table(figures))
        else:
            figures, whole = measure_others(args, images, image, part)
            if part.startswith("saves"):
                missed += saving.missed(figures)
                print(saving.table(figures, part == "saves-wall"))
            else:
                missed += domains.missed(figures) if part == "domains" else []
                print(domains.table(figures, ROWS, part == "wall"))
        failed |= not whole
        record["figures" if part == "single" else part] = figures
    (OUT / "results.json").write_text(json.dumps(record, indent=2) + "\n")
    return 1 if failed else 2 if args.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The rows about domains: the same domain 0 on Debian's Xen with xl and on ours with pal."""

import os
import re
import subprocess

from qemu import BUILD, CACHE, TOP, Failure, Machine, Qemu

OUT = BUILD / "bench"
IMAGE = TOP / "tests" / "bench" / "image"
TOOLS = TOP / "tools" / "dom0-image"
ROWS = {
    "create": "create a stock guest, the command",
    "create_first": "  the same, caches empty",
    "create_init": "create to the guest's /init",
    "destroy": "destroy it",
    "event_round_trip": "event round trip of two guests",
    "grant_map_one": "grant map + unmap, one page",
    "grant_map": "grant map + unmap, of 32, a page",
    "region_map_one": "region map + unmap, one page",
    "region_map": "region map + unmap, of 32, a page",
    "region_gntdev": "the same by gntdev, 32 MiB, a page",
    "region_gntdev_many": "the same by gntdev, 256 MiB, a page",
    "grant_copy": "grant copy, of 32, a page",
    "disk_write": "virtual disk, write a page",
    "disk_read": "virtual disk, read a page",
    "net_guests": "network guest to guest, a page",
    "net_to_dom0": "network guest to domain 0, a page",
    "net_from_dom0": "network domain 0 to guest, a page",
    "shm_memcpy": "bulk between guests: one memcpy, a page",
    "shm_channel_out": "  channel in a region, a page",
    "shm_channel_in": "  the same, the other way",
    "vchan_out": "  libvchan, a page",
    "shm_channel_round_trip": "  channel, 64 bytes there and back",
    "vchan_round_trip": "  libvchan, 64 bytes there and back",
    "shm_bell_round_trip": "  /dev/xen/evtchn alone, there and back",
    "balloon_out": "balloon, a page given back",
    "balloon_in": "balloon, a page taken",
    "balloon_hv_out": "  the hypervisor's part, given back",
    "balloon_hv_in": "  the hypervisor's part, taken",
    "handover": "1 GiB from one domain to another",
    "page_copy": "copy of a page",
    "cache_hit": "page out of the buffer cache",
    "cache_insert": "page into the buffer cache",
    "create_gib": "create a domain of 1 GiB",
    "create_gib_full": "  the same, the buffer cache full",
}
# In a guest: the rows of micro.c with this before their names.
GUEST = "guest_"
# The share of the peer's figure that a row may take; the others: all of it.
SHARE = {"create": 0.25, "region_map": 0.5, "region_gntdev": 0.5, "balloon_hv_out": 0.5, "balloon_hv_in": 0.5}
# The row of ours that may be no more than this times another one of ours.
TIMES = {"create_gib_full": (1.05, "create_gib")}
PARTS = ("life", "pair", "granted", "micro", "disk", "net", "stream", "balloon", "cache")
# What a channel is held against: (its row, at most this many times, the row on a system).
HELD = (
    ("shm_channel_out", 2.5, "ours", "shm_memcpy"),
    ("shm_channel_in", 2.5, "ours", "shm_memcpy"),
    ("shm_channel_out", 0.2, "ours", "net_guests"),
    ("shm_channel_out", 1, "xen", "vchan_out"),
    ("shm_channel_round_trip", 1.5, "ours", "shm_bell_round_trip"),
)
VCHAN = ("-lxenvchan", "-lxengnttab", "-lxenevtchn", "-lxenstore", "-lxentoollog", "-lxentoolcore", "-lxencall", "-lpthread")
XL_SAVE = "usr/lib/xen-4.17/bin/libxl-save-helper"


def compile_program(name, *libraries):
    """Static but for Xen's libraries, which are those of the image."""
    compiler = os.environ.get("CC", "gcc")
    binary = OUT / name
    options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{TOP / 'hv/include'}", *([] if libraries else ["-static"])]
    subprocess.run([compiler, *options, "-o", binary, TOP / "tests" / "bench" / f"{name}.c", *libraries], check=True)
    return binary


def prepare(kernel, micro_initrd):
    """Domain 0's image with both tools, the programs of the bench and the guests' images."""
    stopwatch, transfer, squeeze, granted = map(compile_program, ("stopwatch", "transfer", "squeeze", "granted"))
    vchan = compile_program("vchan", "-static", *VCHAN)
    handover = compile_program("handover", "-lxenctrl", "-lxenstore")
    hits = compile_program("hits", "-lxencall")
    guest = OUT / "guest.gz"
    modules = [f"--only={name}" for name in ("xen_blkfront", "xen_netfront", "af_packet", "xen_gntdev", "xen_gntalloc", "xen_evtchn")]
    programs = [f"--add=bin/{name}={IMAGE / name}" for name in ("bench-disk", "bench-server", "bench-client", "bench-stream")]
    subprocess.run(
        [TOOLS / "mkinitrd.py", "--kernel", CACHE / f"linux-{kernel}", *modules, *programs, "--init", TOOLS / "guest" / "init"]
        + [f"--add=bin/transfer={transfer}", f"--add=bin/squeeze={squeeze}", f"--add=bin/granted={granted}"]
        + [f"--add=bin/vchan={vchan}", f"--add=bin/palshm={BUILD / 'tools' / 'palshm'}", "-o", guest],
        check=True,
    )
    turn = OUT / "turn.gz"
    subprocess.run([TOOLS / "mkinitrd.py", "--init", compile_program("turn"), "-o", turn], check=True)
    added = {
        "checks/bench": IMAGE / "bench",
        "bin/bench-saves": IMAGE / "bench-saves",
        "bench/turn.gz": turn,
        XL_SAVE: CACHE / "xen-utils-4.17" / XL_SAVE,
        "bin/stopwatch": stopwatch,
        "bin/transfer": transfer,
        "etc/xen/scripts/block": IMAGE / "block",
        "etc/xen/scripts/vif-bridge": IMAGE / "vif-bridge",
        "bench/micro.gz": micro_initrd,
        "bench/guest.gz": guest,
        "bin/handover": handover,
        "bin/hits": hits,
        "bench/pair.elf": OUT / "pair.elf",
        "bench/balloon.elf": OUT / "balloon.elf",
    }
    image = OUT / f"initrd-domains-{kernel}.gz"
    added = " ".join(f"{path}={source}" for path, source in added.items())
    environment = dict(os.environ, PAL_BUILD=str(BUILD), PAL_ADD=added, PAL_IMAGE=str(image))
    subprocess.run([TOOLS / "build-domains.sh", kernel], check=True, env=environment, stdout=subprocess.DEVNULL)
    return image


def best(text):
    """{row: the smallest of its figures}, from the lines of a run."""
    found = {}
    for row, figure in re.findall(r"^BENCH (\w+) (\d+)\s*$", text, re.M):
        found[row] = min(int(figure), found.get(row, int(figure)))
    return found


def run(hv, kernel, initrd, directory, wall, parts, memory=("3G", "1G"), words="", limit=1200):
    """One run of the parts on one hypervisor: what it printed. On one CPU by the count of instructions unless `wall`."""
    machine = Machine(
        hv=hv,
        kernel=kernel,
        initrd=initrd,
        cpus=2 if wall else 1,
        memory=memory[0],
        dom0_mem=memory[1],
        kernel_args=f"quiet PAL_PEER=1 pal.domains pal.run=bench bench.parts={','.join(parts)} {words}",
        accel="tcg,thread=multi" if wall else "tcg,thread=single",
        extra=() if wall else ("-icount", "shift=0,sleep=off"),
    )
    with Qemu(machine, directory) as qemu:
        qemu.expect(r"PAL-START ok", 300)
        qemu.expect(r"BENCH-END\s", limit, early=(r"BENCH-GAVE-UP", r"PANIC.*", r"Panic on CPU.*"))
        qemu.wait_exit(120)
        return qemu.text()


def measure(hv, kernel, initrd, directory, wall=False):
    """{row: nanoseconds}"""
    return best(run(hv, kernel, initrd, directory, wall, PARTS))


def verdict(figures, row):
    """'ok', '', or that the row takes more than its share of the peer's figure."""
    xen, ours = (figures.get(system, {}).get(row) for system in ("xen", "ours"))
    factor, base = TIMES.get(row, (0, row))
    base = figures.get("ours", {}).get(base)
    if factor and ours and base:
        return "ok" if ours <= base * factor else "missed"
    if xen is None or ours is None:
        return ""
    return "ok" if ours <= xen * SHARE.get(row, 1) else "missed"


def held(figures):
    """For each entry of HELD whose figures are there: (what is held against what, how many times it is, it is kept)."""
    found = []
    for row, share, system, against in HELD:
        ours, base = figures.get("ours", {}).get(row), figures.get(system, {}).get(against)
        if ours and base:
            found.append((f"{ROWS[row].strip()} / {system}: {ROWS[against].strip()}", ours / base, share))
    return found


def missed(figures):
    rows = [row for row in figures.get("ours", {}) if verdict(figures, row) == "missed"]
    return rows + [what for what, times, share in held(figures) if times > share]


def table(figures, guest_rows, wall=False):
    """The figures as text; those of guest_rows were taken inside a guest."""
    lines = [f"{'operation':40}{'xen, xl':>16}{'ours, pal':>16}{'ours/xen':>10}  target"]
    for row, title in {**ROWS, **{GUEST + row: f"in a guest: {title}" for row, title in guest_rows.items()}}.items():
        xen, ours = (figures.get(system, {}).get(row) for system in ("xen", "ours"))
        shown = ["-" if value is None else f"{value:,}" for value in (xen, ours)]
        ratio = f"{ours / xen:.2f}" if xen and ours else "-"
        lines.append(f"{title:40}{shown[0]:>16}{shown[1]:>16}{ratio:>10}  {verdict(figures, row)}")
    for what, times, share in held(figures):
        lines.append(f"{what:82}{times:10.2f}  {'ok' if times <= share else 'missed'}, at most {share}")
    lines.append("nanoseconds on two CPUs under emulation" if wall else "guest instructions and nanoseconds of waiting, one CPU")
    return "\n".join(lines)

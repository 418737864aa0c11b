#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Many stock Debian guests booted at once from one image on a slow disk: ours beside Debian's Xen.

    boots.py [--light] [--count 10] [--bps 500000] [--ways ours-1,ours,buffered,direct-1,direct] [--mib 112] [--cpus 4]

ours: pal-blkd over the hypervisor's buffer cache; buffered and direct: Xen's stock backend, over domain 0's page cache, and on the disk
itself; ours-1, direct-1: one guest alone. The disk is throttled by QEMU. An emulated CPU is some thirty times
slower than a real one, and so has the disk to be: with 500,000 bytes a second a boot waits for both alike. --light: in place of
systemd's start guests run some of Debian's programs and read files, 4,000,000 bytes a second. Counted: sectors that reached the disk, time
from the first creation to the last login prompt, and memory of domain 0 that is not free, before and after. Wall clock: run it on a quiet machine.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import debian  # noqa: E402
import domains  # noqa: E402
from qemu import CACHE, HV, PARALLEL, TIME_SCALE, EmulatorFault, Failure, Machine, Qemu  # noqa: E402

OUT = domains.OUT / "boots"
XEN = CACHE / "xen-4.17" / "xen"
ATTEMPTS = 4  # the emulator has races of its own between CPUs
# What ours is held to, beside one guest of ours, and beside Xen on the disk itself.
SECTORS_MOST, SOONER_LEAST, HIT_RATE_LEAST = 1.15, 3, 0.85


def prepare(kernel):
    """Domain 0's image, and the two disks: with the image as a file, and as itself."""
    OUT.mkdir(parents=True, exist_ok=True)
    debian.make_image()
    guest = OUT / "boots.gz"
    only = [f"--only={name}" for name in ("xen_blkfront", "ext4", "crc32c_generic", "overlay")]
    subprocess.run([domains.TOOLS / "mkinitrd.py", "--kernel", CACHE / f"linux-{kernel}", *only, "--init",
                    domains.IMAGE / "boots-guest", "-o", guest], check=True)
    added = {"checks/boots": domains.IMAGE / "boots", "bench/boots.gz": guest, "etc/xen/scripts/block": domains.IMAGE / "block",
             domains.XL_SAVE: CACHE / "xen-utils-4.17" / domains.XL_SAVE}
    image = OUT / "initrd.gz"
    environment = dict(domains.os.environ, PAL_BUILD=str(domains.BUILD), PAL_IMAGE=str(image),
                       PAL_ADD=" ".join(f"{path}={source}" for path, source in added.items()))
    subprocess.run([domains.TOOLS / "build-domains.sh", kernel], check=True, env=environment, stdout=subprocess.DEVNULL)
    tree, disk = OUT / "tree", OUT / "files.img"
    tree.mkdir(exist_ok=True)
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", debian.IMAGE, tree / "base.img"], check=True)
    disk.unlink(missing_ok=True)
    subprocess.run(["truncate", "-s", "2G", disk], check=True)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, disk], check=True)
    return image, {"files": disk, "image": debian.IMAGE}


def sectors_read(qemu):
    """Sectors that were read from the disk so far."""
    for device in qemu._qmp_ask({"execute": "query-blockstats"}):
        if "slow" in (device.get("device"), device.get("node-name")) or "slow" in device.get("qdev", ""):
            return device["stats"]["rd_bytes"] // 512
    raise Failure("QEMU knows nothing of the disk")


def measure(way, count, args, image, disks):
    disk = disks["image" if way == "direct" else "files"]
    machine = Machine(
        hv=HV if way == "ours" else XEN,
        kernel=args.kernel,
        initrd=image,
        cpus=args.cpus,
        memory=f"{args.dom0 + args.cache + count * (args.mib + 8)}M",
        dom0_mem=f"{args.dom0}M",
        kernel_args=f"quiet PAL_PEER=1 pal.domains pal.run=boots boots.way={way} boots.count={count} boots.mib={args.mib}"
        + ("" if args.light else " boots.systemd"),
        devices=("-drive", f"if=none,id=slow,format=raw,file={disk},snapshot=on,throttling.bps-read={args.bps}",
                 "-device", "virtio-blk-pci,drive=slow", "-nic", "none"),
        accel=PARALLEL,
    )
    with Qemu(machine, OUT / f"{way}-{count}") as qemu:
        qemu.expect(r"PAL-START ok", 120)
        qemu.expect(r"BENCH before_kib \d+", 120)
        before = sectors_read(qemu)
        qemu.expect(r"BENCH up_ms \d+", 3000, early=(r"BENCH-GAVE-UP", r"PANIC.*", r"Panic on CPU.*"))
        sectors = sectors_read(qemu) - before
        qemu.expect(r"BENCH-END", 60, early=())
        text = qemu.text()
    found = {row: int(figure) for row, figure in re.findall(r"BENCH (\w+) (\d+)", text)}
    cache = re.search(r'\{.*"verb":"cache".*\}', text.replace("\r", ""))
    found.update(sectors=sectors, dom0_kib=found["after_kib"] - found["before_kib"])
    if cache:
        found["hit_rate"] = json.loads(cache.group(0))["hit_rate"]
    return found


def measure_again(name, way, count, args, image, disks):
    for attempt in range(ATTEMPTS):
        print(f"bench: {way}, {count} guests (time scale {TIME_SCALE})", file=sys.stderr)
        try:
            return measure(way, count, args, image, disks)
        except EmulatorFault as fault:
            print(f"bench: {name}: the emulator failed: {str(fault).splitlines()[0]}", file=sys.stderr)
    raise Failure(f"the emulator failed {ATTEMPTS} times")


def table(results):
    lines = [f"{'':26}{'sectors':>12}{'last is up, s':>15}{'domain 0, MiB':>15}{'hit rate':>10}"]
    for name, r in results.items():
        rate = f"{r['hit_rate']:.3f}" if "hit_rate" in r else "-"
        title = f"{name.split('-')[0]}, {r['guests']} guest{'s' * (r['guests'] > 1)}"
        lines.append(f"{title:26}{r['sectors']:>12,}{r['up_ms'] / 1000:>15.1f}{r['dom0_kib'] / 1024:>15.1f}{rate:>10}")
    return "\n".join(lines)


def missed(results):
    """The targets that are not met, of those that these results can tell of."""
    ours, alone, direct = (results.get(name) for name in ("ours", "ours-1", "direct"))
    found = []
    if ours and alone and ours["sectors"] > SECTORS_MOST * alone["sectors"]:
        found.append("boots_sectors")
    if ours and direct and direct["up_ms"] < SOONER_LEAST * ours["up_ms"]:
        found.append("boots_time")
    if ours and alone and ours["dom0_kib"] > alone["dom0_kib"]:
        found.append("boots_domain0")
    if ours and ours["hit_rate"] < HIT_RATE_LEAST:
        found.append("boots_hit_rate")
    return found


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--bps", type=int, help="bytes a second that the disk gives")
    parser.add_argument("--ways", default="ours-1,ours,buffered,direct-1,direct")
    parser.add_argument("--mib", type=int, default=112, help="of a guest")
    parser.add_argument("--dom0", type=int, default=512)
    parser.add_argument("--cache", type=int, default=384, help="memory that nobody has")
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--light", action="store_true", help="not whole boots to the login prompt")
    parser.add_argument("--kernel", default="6.1")
    args = parser.parse_args(words)
    args.bps = args.bps or (4000000 if args.light else 500000)
    return args


def run(args):
    """({way: figures}, all of it done)."""
    image, disks = prepare(args.kernel)
    results, whole = {}, True
    for name in args.ways.split(","):
        way, count = name.split("-")[0], int(name.split("-")[1]) if "-" in name else args.count
        try:
            results[name] = {"guests": count, **measure_again(name, way, count, args, image, disks)}
        except Failure as failure:
            whole = False
            print(f"bench: {name}: {failure}", file=sys.stderr)
    return results, whole


def main():
    results, whole = run(arguments())
    print(table(results))
    (OUT / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Builds the small domain-0 initial RAM disk: busybox, kernel modules, /init.

    mkinitrd.py -o OUT.gz [--kernel cache/linux-6.1] [--module NAME]...
                [--only NAME]... [--level N] [--add GUESTPATH=FILE]... [--init FILE]

Nothing in it comes from the machine's state: names are sorted, times and
owners are zero, inode numbers count up.  The same input gives the same bytes,
and no privilege is needed, since the archive is written here, not by cpio(1).

Without --kernel there are no modules (the micro-benchmark needs none).
Each --add puts one file, with its own mode bits, at GUESTPATH.
"""

import argparse
import gzip
import lzma
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUSYBOX = "/bin/busybox"

# What domain 0's emulated machine can hold.  A name that is built into the
# kernel at hand, or that it does not know, is reported only with --verbose:
# the two kernels differ in what they build in.
MODULES = """
virtio_pci virtio_blk virtio_net virtio_rng
ahci ata_piix ata_generic sd_mod sr_mod nvme
e1000 e1000e pcnet32 e100 tulip 8139cp 8139too
xhci_pci xhci_hcd ehci_pci ehci_hcd uhci_hcd ohci_pci usbcore usbhid hid_generic usb_storage
evdev psmouse atkbd i8042
ext4 crc32c_generic crc32c_intel
rtc_cmos af_packet
xen_evtchn xen_gntdev xen_gntalloc xen_privcmd xenfs xen_blkback xen_netback
loop bridge nf_tables nft_chain_nat nft_masq nft_ct
msr cpuid
""".split()


class Cpio:
    """Writer of the `newc` archive that the kernel unpacks."""

    def __init__(self):
        self.entries = {}

    def add(self, path, mode, data=b"", rdev=(0, 0)):
        path = path.strip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.entries[path] = (mode, data, rdev)

    def file(self, path, data, mode=0o644):
        self.add(path, stat.S_IFREG | mode, data)

    def symlink(self, path, target):
        self.add(path, stat.S_IFLNK | 0o777, target.encode())

    def bytes(self):
        out = bytearray()
        rows = sorted(self.entries.items()) + [("TRAILER!!!", (0, b"", (0, 0)))]
        for inode, (path, (mode, data, rdev)) in enumerate(rows, 1):
            name = path.encode() + b"\0"
            nlink = 2 if stat.S_ISDIR(mode) else 1
            fields = (inode, mode, 0, 0, nlink, 0, len(data), 0, 0, *rdev, len(name), 0)
            out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
            out += bytes(-len(out) % 4)
            out += data
            out += bytes(-len(out) % 4)
        return bytes(out + bytes(-len(out) % 512))


def module_name(path):
    """kernel/drivers/net/e1000e.ko.xz -> e1000e"""
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def read_dependencies(tree):
    """modules.dep as {name: (path, [path of each dependency])}."""
    deps = {}
    for line in (tree / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        deps[module_name(path)] = (path, rest.split())
    return deps


def soft_dependencies(tree):
    """{name: [names]} from modules.softdep, where the kernel has any."""
    soft = {}
    for line in (tree / "modules.softdep").read_text().splitlines():
        words = line.split()
        if words[:1] == ["softdep"]:
            names = [w for w in words[2:] if w not in ("pre:", "post:")]
            soft.setdefault(words[1].replace("-", "_"), []).extend(names)
    return soft


def closure(tree, wanted, verbose):
    """Paths of the wanted modules and all that they need, sorted."""
    deps, soft = read_dependencies(tree), soft_dependencies(tree)
    paths, queue, seen = set(), list(wanted), set()
    while queue:
        name = queue.pop().replace("-", "_")
        if name in seen:
            continue
        seen.add(name)
        if name not in deps:
            if verbose:
                print(f"mkinitrd: {name}: not a module of this kernel", file=sys.stderr)
            continue
        path, needs = deps[name]
        paths.add(path)
        queue += [module_name(need) for need in needs]
        queue += soft.get(name, [])
    return sorted(paths)


def unpacked(path):
    """Content of a module file; the kernel is spared the decompression."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def add_modules(archive, kernel, wanted, verbose):
    """Adds lib/modules/RELEASE with indexes that know only what is there."""
    release = (kernel / "release").read_text().strip()
    tree = kernel / "lib/modules" / release
    with tempfile.TemporaryDirectory() as scratch:
        staged = pathlib.Path(scratch) / "lib/modules" / release
        for path in closure(tree, wanted, verbose):
            target = staged / (path.split(".ko")[0] + ".ko")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(unpacked(tree / path))
        for index in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            (staged / index).write_bytes((tree / index).read_bytes())
        env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        subprocess.run(["depmod", "-b", scratch, release], check=True, env=env, stderr=subprocess.DEVNULL)
        # busybox reads the text, a disk's own kmod the binary form.
        keep = {"modules.dep", "modules.alias", "modules.symbols", "modules.builtin"}
        keep |= {f"{name}.bin" for name in keep}
        for path in sorted(staged.rglob("*")):
            if path.is_file() and (path.name in keep or path.suffix == ".ko"):
                archive.file(f"lib/modules/{release}/{path.relative_to(staged)}", path.read_bytes())


def add_skeleton(archive, init):
    for directory in "bin dev etc proc sys run tmp root mnt checks".split():
        archive.add(directory, stat.S_IFDIR | (0o1777 if directory == "tmp" else 0o755))
    archive.symlink("sbin", "bin")
    archive.add("usr", stat.S_IFDIR | 0o755)
    archive.symlink("usr/bin", "../bin")
    archive.symlink("usr/sbin", "../bin")
    # The kernel opens /dev/console for /init before anything is mounted.
    archive.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    archive.add("dev/null", stat.S_IFCHR | 0o666, rdev=(1, 3))
    archive.file("bin/busybox", pathlib.Path(BUSYBOX).read_bytes(), 0o755)
    applets = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout
    for applet in applets.split():
        if applet != "busybox":
            archive.symlink(f"bin/{applet}", "busybox")
    archive.file("init", init.read_bytes(), 0o755)
    for path in sorted((HERE / "rootfs").rglob("*")):
        if path.is_file():
            archive.file(str(path.relative_to(HERE / "rootfs")), path.read_bytes(), path.stat().st_mode & 0o755)


def write_atomically(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
        out.write(data)
    os.chmod(out.name, 0o644)
    os.rename(out.name, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--kernel", type=pathlib.Path, help="directory made by fetch.sh")
    parser.add_argument("--module", action="append", default=[], help="one more module")
    parser.add_argument("--only", action="append", default=[], help="not the usual modules: only those named so")
    parser.add_argument("--level", type=int, default=6, help="of compression")
    parser.add_argument("--add", action="append", default=[], metavar="GUESTPATH=FILE")
    parser.add_argument("--init", type=pathlib.Path, default=HERE / "init")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()

    archive = Cpio()
    add_skeleton(archive, args.init)
    if args.kernel:
        add_modules(archive, args.kernel, (args.only or MODULES) + args.module, args.verbose)
    for pair in args.add:
        guest_path, _, source = pair.partition("=")
        source = pathlib.Path(source)
        archive.file(guest_path, source.read_bytes(), source.stat().st_mode & 0o755)
    write_atomically(args.output, gzip.compress(archive.bytes(), compresslevel=args.level, mtime=0))


if __name__ == "__main__":
    main()

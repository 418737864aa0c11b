# SPDX-License-Identifier: MIT
"""Disks from images under Debian's fio, across killed servers and a power cut; room that is given back; a disk below that fails."""

import hashlib
import random
import re
import shutil
import subprocess

import pytest

import qemu as q
from layer import described, domains_with
from qemu import Qemu
from test_blkd import SECTORS, SEED, checker, end_guests, kill_server, wait_said  # noqa: F401
from test_domains import PROMPT, audit, domain0, domains_image, machine, steps, wait_gone  # noqa: F401

RUN = "#!/bin/sh\nexec /fio/lib/ld-linux-x86-64.so.2 --library-path /fio/lib \"$@\"\n"
JOBS = """[global]
filename=/dev/xvda
direct=1
size=5m
verify=crc32c
verify_fatal=1
end_fsync=1
rate=,700k
randseed=11
[small]
ioengine=libaio
iodepth=16
rw=randwrite
bssplit=512/30:4k/50:16k/20
size=2m
fsync=64
[large]
offset=5m
ioengine=io_uring
iodepth=8
rw=randwrite
bssplit=4k/20:64k/40:128k/40
[stream]
offset=10m
ioengine=psync
rw=write
bs=128k
[unaligned]
offset=15m
ioengine=libaio
iodepth=8
rw=randwrite
bs=1536
size=1536k
"""
GUEST = """<domain type='xen'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <os>
    <type arch='x86_64' machine='xenpv'>linux</type>
    <kernel>/guest/vmlinuz</kernel>
    <initrd>/guest/fio-initrd.gz</initrd>
    <cmdline>console=hvc0</cmdline>
  </os>
  <devices>{disks}<console type='pty'/></devices>
</domain>
"""
OVERLAY = ("<disk type='file'><driver type='cow'/><source file='{own}'/><backingStore type='file'><format type='raw'/>"
           "<source file='{base}'/></backingStore><target dev='{dev}'/></disk>")
TOOLS = ("<disk type='block'><driver name='pal' type='raw'/><source dev='/dev/disk-tools'/><target dev='xvdc'/><readonly/></disk>")
BASE = "<disk type='file'><source file='/bad/base.img'/><target dev='xvdb'/><readonly/></disk>"


def guest(name, memory, *disks):
    return GUEST.format(name=name, memory=memory, disks="".join(disks)).encode()


def overlay(own, base, device):
    return OVERLAY.format(own=own, base=base, dev=device)


GUESTS = {
    "one": guest("one", 320, TOOLS, overlay("/srv/one.cow", "/srv/base.img", "xvda"), overlay("/srv/fs.cow", "/srv/fs.img", "xvdb")),
    "two": guest("two", 112, BASE, overlay("/bad/two.cow", "/bad/base.img", "xvda")),
}


def make_file_system(tree, image, megabytes, *options):
    image.unlink(missing_ok=True)
    # Inode tables are written now, not by the guest a while after it has mounted.
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", *options, "-d", tree, image, f"{megabytes}M"], check=True)


@pytest.fixture(scope="module")
def initrd(domains_image, checker):  # noqa: F811
    inside = [("bin/blkcheck", checker.read_bytes(), 0o755), ("bin/run", RUN.encode(), 0o755), ("etc/jobs", JOBS.encode(), 0o644)]
    with domains_with(described(GUESTS), inside, "fio-initrd.gz") as own:
        yield own


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """A disk for guests: fio and e2fsck with their libraries."""
    subprocess.run([q.TOP / "tools/dom0-image/fetch.sh", "fio"], check=True)
    tree = tmp_path_factory.mktemp("fio") / "tools"
    image = tree.with_suffix(".img")
    shutil.copytree(q.CACHE / "fio-3", tree)
    shutil.copy("/sbin/e2fsck", tree / "e2fsck")
    for library in re.findall(r"=> (/\S+)", subprocess.run(["ldd", "/sbin/e2fsck"], check=True, text=True, capture_output=True).stdout):
        if not (tree / "lib" / library.rsplit("/", 1)[1]).exists():
            shutil.copy(library, tree / "lib")
    make_file_system(tree, image, 128, "-O", "^has_journal")
    shutil.rmtree(tree)
    yield image
    image.unlink()


@pytest.fixture
def disks(directory, checker, tools):  # noqa: F811
    """Domain 0's disks: one that is sound, the tools, and one that will fail, whose file system has no journal to stop it altogether."""
    sound, bad, inside = directory / "sound.tree", directory / "bad.tree", directory / "inside.tree"
    for tree in (sound, bad, inside):
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
    (inside / "keep").write_bytes(random.Random(3).randbytes(3 << 20))
    make_file_system(inside, sound / "fs.img", 48)
    subprocess.run([checker, "make", sound / "base.img", "40960", str(SEED)], check=True)
    subprocess.run([checker, "make", bad / "base.img", str(SECTORS), str(SEED)], check=True)
    images = {"srv": directory / "srv.img", "tools": tools, "bad": directory / "bad.img"}
    make_file_system(sound, images["srv"], 192)
    make_file_system(bad, images["bad"], 64, "-O", "^has_journal")
    yield images
    for name in ("srv", "bad"):
        images[name].unlink()
    for tree in (sound, bad, inside):
        shutil.rmtree(tree)


def with_disks(initrd, disks):
    devices = ["-nic", "none"]
    for name, image in disks.items():
        devices += ["-blockdev", f"driver=file,node-name={name}-file,filename={image},read-only={'on' if name == 'tools' else 'off'}",
                    "-blockdev", f"driver=raw,node-name={name},file={name}-file,read-only={'on' if name == 'tools' else 'off'}",
                    "-device", f"virtio-blk-pci,id=disk-{name},drive={name},serial={name}"]
    return machine(initrd=initrd, memory="1G", dom0_mem="384M", devices=devices)


def begin(qemu):
    control = domain0(qemu)
    # Which disk is /dev/vda is not said: drivers are loaded while more disks are found.
    control.run("for d in /sys/block/vd*; do ln -s ${d##*/} /dev/disk-$(cat $d/serial); done")
    control.run("mkdir -p /srv; modprobe -q ext4; mount -t ext4 /dev/disk-srv /srv")
    # Metadata of the failing disk must not be written while it fails: its file system would lose them.
    control.run("mkdir -p /bad; mount -t ext4 -o noatime /dev/disk-bad /bad; echo 0 >/proc/sys/vm/dirty_writeback_centisecs")
    return control


class Guest:
    """A shell in a guest, on its console."""

    def __init__(self, control, name):
        self.control, self.name, self.count = control, name, 0
        control.json(f"pal create /guest/{name}.xml", limit=120)
        self.run("dmesg -n 1; stty -echo", limit=120)

    def run(self, command, status=0, limit=90):
        """What it says; the exit status must be the one given."""
        qemu = self.control.qemu
        self.count += 1
        qemu.send_line(f"pal console {self.name}")
        qemu.child.send("\n")
        qemu.expect(r"guest:\S+# ", 120)
        qemu.send_line(f"echo FROM-$(({self.count})); {command}; echo TILL-$(({self.count}))=$?")
        said, got = qemu.between(f"FROM-{self.count}", f"TILL-{self.count}", limit)
        qemu.child.send("\x1d")
        qemu.expect(PROMPT, 30)
        if got != status:
            qemu.fail(f"{self.name}: {command!r}: status {got}, not {status}: {said[-600:]}")
        return said

    def says(self, command, pattern):
        said = self.run(f"{command} || true")
        if not re.search(pattern, said):
            self.control.qemu.fail(f"{self.name}: {command!r} did not say {pattern!r}: {said[-600:]}")


def used(control, path):
    """Bytes that the file takes of domain 0's file system."""
    return int(re.search(r"^\d+$", control.run(f"sync; stat -c %b {path}"), re.M).group()) * 512


def give_room_back(control, one):
    """A file system in the guest: what it no longer needs domain 0 has again, and all else is as it was."""
    keep = hashlib.md5(random.Random(3).randbytes(3 << 20)).hexdigest()
    one.run("mkdir -p /mnt; mount -t ext4 /dev/xvdb /mnt")
    assert keep in one.run("md5sum </mnt/keep")
    one.run("dd if=/dev/urandom of=/mnt/big bs=64k count=256 2>/dev/null; sync")
    full = used(control, "/srv/fs.cow")
    one.run("rm /mnt/big; sync")
    # ext4 hands the blocks of a removed file to fstrim a moment after sync() has returned.
    for _ in range(20):
        one.run("fstrim /mnt")
        left = used(control, "/srv/fs.cow")
        if left < full - (15 << 20):
            break
    assert left < full - (15 << 20)
    again = one.run("dd if=/dev/urandom of=/mnt/again bs=64k count=64 2>/dev/null; sync; md5sum </mnt/again").split()[0]
    one.run("umount /mnt; run /fio/e2fsck -fn /dev/xvdb; mount -t ext4 /dev/xvdb /mnt")
    said = one.run("md5sum </mnt/keep; md5sum </mnt/again; umount /mnt")
    assert keep in said and again in said


def write_and_lose_power(directory, initrd, disks):
    """fio writes while the server is killed; as soon as it says that all is durable, the machine is gone."""
    moments = random.Random(q.os.environ.get("PAL_SEED", "9"))
    with Qemu(with_disks(initrd, disks), directory / "first") as qemu:
        control = begin(qemu)
        one = Guest(control, "one")
        one.run("mkdir -p /fio; mount -t ext4 -o ro /dev/xvdc /fio")
        give_room_back(control, one)
        before = used(control, "/srv/one.cow")
        one.run("( (run /fio/fio --do_verify=0 /etc/jobs; echo FIO-$((40 + 2))=$?) </dev/null >/dev/console 2>&1 & )")
        # From here on it is in the middle of it: what looks runs beside it, with no round trip between.
        log = "/var/log/xen/console/guest-one.log"
        control.run(f"for i in $(seq {steps(600)}); do [ $(($(stat -c %b /srv/one.cow) * 512)) -gt {before + 100000} ] && break; usleep 50000; done; "
                    f"! grep -q FIO-42 {log} || {{ tail -c 2000 {log}; false; }}", limit=90)
        for _ in range(3):
            kill_server(control)
            control.run(f"usleep {moments.randrange(400000)}")
        wait_said(control, "one", "FIO-42=")
        control.run("grep -q FIO-42=0 /var/log/xen/console/guest-one.log")
        qemu.child.proc.kill()
        qemu.child.proc.wait()
        qemu.ended = True


def check_after(control, one):
    """All that fio wrote is there; then parts of it are discarded and zeroed."""
    one.run("mkdir -p /fio; mount -t ext4 -o ro /dev/xvdc /fio")
    one.run("run /fio/fio --verify_only /etc/jobs", limit=120)
    one.run("run /fio/e2fsck -fn /dev/xvdb")
    full = used(control, "/srv/one.cow")
    one.run("blkdiscard -o 10485760 -l 5242880 /dev/xvda && dd if=/dev/xvda bs=1M skip=10 count=5 2>/dev/null | cmp -s -n 5242880 - /dev/zero")
    assert used(control, "/srv/one.cow") < full - (5 << 20) + 65536
    one.run("blkcheck zero /dev/xvda 10240 10240 && dd if=/dev/xvda bs=1M skip=5 count=5 2>/dev/null | cmp -s -n 5242880 - /dev/zero")
    one.run("run /fio/fio --verify_only --section=small --section=unaligned /etc/jobs")


def ask(qemu, command, **arguments):
    answer = qemu._qmp_ask({"execute": command, "arguments": arguments})
    if answer:
        qemu.fail(f"QEMU: {command}: {answer}")


class Fault:
    """While it lasts, domain 0's third disk fails these transfers."""

    def __init__(self, qemu, **what):
        self.qemu, self.what = qemu, what

    def put(self, below):
        ask(self.qemu, "blockdev-reopen", options=[{"driver": "raw", "node-name": "bad", "file": below, "read-only": False}])

    def __enter__(self):
        rule = {"event": "none", "errno": 5, **self.what}
        ask(self.qemu, "blockdev-add", **{"driver": "blkdebug", "node-name": "fault", "image": "bad-file", "inject-error": [rule]})
        self.put("fault")

    def __exit__(self, *_):
        self.put("bad-file")
        ask(self.qemu, "blockdev-del", **{"node-name": "fault"})


class Hang:
    """While it lasts, domain 0's third disk answers nothing: each byte takes a second, and these are paid for in advance."""

    def __init__(self, control):
        self.control = control

    def limit(self, bytes_a_second):
        ask(self.control.qemu, "block_set_io_throttle", id="/machine/peripheral/disk-bad/virtio-backend", bps=bytes_a_second,
            **dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0))

    def __enter__(self):
        self.limit(1)
        self.control.run("dd if=/dev/disk-bad of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null")

    def __exit__(self, *_):
        self.limit(0)


def block_of(image, cluster):
    """The block of the file system's image in which that cluster of base.img is; of one that is mounted debugfs may read half of a change."""
    said = subprocess.run(["/sbin/debugfs", "-R", f"bmap /base.img {cluster}", image], check=True, text=True, capture_output=True)
    return int(said.stdout)


def fail_reads(qemu, page, block, one, two):
    """One block of the base cannot be read: an error to who asks for it, and nothing else."""
    with Fault(qemu, iotype="read", sector=block * 8):
        two.says(f"blkcheck error /dev/xvdb read {page * 8 - 64} 128", "error ok: Input/output error")
        two.says(f"blkcheck error /dev/xvda write {page * 8 + 2} 3", "error ok: Input/output error")  # the rest of the cluster cannot be had
        two.run(f"for i in {page - 1} {page + 1}; do dd if=/dev/xvdb of=/dev/null bs=4k skip=$i count=1 2>/dev/null || exit 1; done")
        one.says("blkcheck sync /dev/xvda 35000", "sync done")
    two.says(f"blkcheck read /dev/xvdb {SEED}", f"read ok {SECTORS}")


def fail_writes(qemu, one, two):
    with Fault(qemu, iotype="write"):
        two.says("blkcheck error /dev/xvda write 800 64", "error ok: Input/output error")
        one.says("blkcheck sync /dev/xvda 35008", "sync done")
    two.says("blkcheck sync /dev/xvda 800", "sync done")


def hang_opening(control, one, two):
    """A new server wants the images opened. Those whose disk hangs keep neither the other guest waiting, nor the next server from
    being started."""
    with Hang(control):
        for _ in range(2):
            kill_server(control)
            one.says("blkcheck sync /dev/xvda 35032", "sync done")
    two.says(f"blkcheck read /dev/xvdb {SEED}", f"read ok {SECTORS}")
    two.says("blkcheck sync /dev/xvda 808", "sync done")


def fail_flushes(control, one, two):
    """A flush that fails is an error to the guest, and nothing that may be lost is answered well after it, whoever serves; the
    other guest's flushes go on."""
    with Fault(control.qemu, iotype="flush", once=True):  # as real disks do: later ones would be good
        one.says("blkcheck sync /dev/xvda 35016", "sync done")
        two.says("blkcheck sync /dev/xvda 1600", "sync no flush: Input/output error")
    for _ in range(2):
        two.says("blkcheck sync /dev/xvda 1608", "sync no write: Input/output error")
        two.says(f"blkcheck read /dev/xvdb {SEED}", f"read ok {SECTORS}")
        kill_server(control)
    one.says("blkcheck sync /dev/xvda 35024", "sync done")
    assert "failed a flush" in control.run("cat /var/log/pal-blkd.log")
    control.run("pal shutdown two --wait", limit=120)
    wait_gone(control, "two")
    two = Guest(control, "two")  # begins anew, from what was durable
    two.says("blkcheck sync /dev/xvda 1608", "sync done")


def test_fio(directory, initrd, disks):
    """What fio wrote, with mixed sizes and depths, is there after kills and a power cut; discarded room is domain 0's again; errors of
    the disk below reach only who met them, and no flush that failed is answered well."""
    page = 1200
    block = block_of(disks["bad"], page)
    write_and_lose_power(directory, initrd, disks)
    with Qemu(with_disks(initrd, disks), directory / "second") as qemu:
        control = begin(qemu)
        one = Guest(control, "one")
        check_after(control, one)
        two = Guest(control, "two")
        fail_reads(qemu, page, block, one, two)
        fail_writes(qemu, one, two)
        hang_opening(control, one, two)
        fail_flushes(control, one, two)
        end_guests(control, "one", "two")
        audit(control)
        qemu.check_log()

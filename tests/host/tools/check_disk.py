#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pal disk where no hypervisor runs: overlays made, filled as pal-blkd fills them, looked into, changed, and written out."""

import fcntl
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[3]
PAL = os.environ.get("PAL", TOP / "build/tools/pal")
THREE_LINES = re.compile(r"pal: .+\n  why: .+\n  do:  .+  \[(PAL-[A-Z]+-\d{3})\]\n")
CLUSTER = 4096
dice = random.Random(3)
scratch = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
there = pathlib.Path(scratch.name)
live = there / "live"
live.mkdir()
os.chdir(there)


def pal(*words):
    return subprocess.run([PAL, "disk", *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
                          env={**os.environ, "PAL_BLKD_DIR": str(live), "TERM": "linux"})


def good(*words):
    """The answer."""
    done = pal(*words, "--json")
    assert done.returncode == 0 and not done.stderr, f"pal disk {words}: {done}"
    answer = json.loads(done.stdout)
    assert answer["version"] == 1 and answer["verb"] == "disk", answer
    return answer


def fails(status, code, *words):
    done = pal(*words)
    lines = THREE_LINES.fullmatch(done.stderr)
    assert done.returncode == status and lines and lines.group(1) == code and not done.stdout, f"pal disk {words}: {done}"
    answer = json.loads(pal(*words, "--json").stdout)
    assert answer["error"]["code"] == code, answer
    return done.stderr


def info(path):
    return good("info", path)["disk"]


class Overlay:
    """What pal-blkd would have written."""

    def __init__(self, path, size):
        self.path, self.size, self.mine = path, size, {}

    def layout(self):
        """map_offset, map_pages, data_offset"""
        with open(self.path, "rb") as file:
            return struct.unpack_from("<QQQ", file.read(CLUSTER), 24)

    def write(self, cluster, data, flushed=True):
        map_offset, _, data_offset = self.layout()
        with open(self.path, "r+b") as file:
            file.seek(data_offset + cluster * CLUSTER)
            file.write(data[:max(0, self.size - cluster * CLUSTER)])
            if flushed:
                file.seek(map_offset + cluster // 8)
                byte = file.read(1)[0]
                file.seek(map_offset + cluster // 8)
                file.write(bytes([byte | 1 << cluster % 8]))
                self.mine[cluster] = data

    def expected(self, base):
        disk = bytearray(base[:self.size // 512 * 512].ljust(self.size, b"\0"))
        for cluster, data in self.mine.items():
            end = min(self.size, (cluster + 1) * CLUSTER)
            disk[cluster * CLUSTER:end] = data[:end - cluster * CLUSTER]
        return bytes(disk)


def some_data(size):
    """With pages of zeros."""
    return b"".join(dice.randbytes(CLUSTER) if dice.random() < 0.5 else bytes(CLUSTER) for _ in range(size // CLUSTER + 1))[:size]


def check_contents():
    """Whatever is done to it, the disk reads the same, and zeros where it has grown."""
    contents = some_data(3 * 1024 * 1024 + 1536)
    pathlib.Path("base").write_bytes(contents)
    o = Overlay("web.cow", len(contents))
    assert good("create", "web.cow", "--base", "base")["virtual_bytes"] == o.size
    assert info("web.cow")["own_bytes"] == 0
    for cluster in {0, 5, 6, o.size // CLUSTER, *(dice.randrange(o.size // CLUSTER) for _ in range(100))}:
        o.write(cluster, some_data(CLUSTER))
    o.write(next(n for n in range(700) if n not in o.mine), some_data(CLUSTER) or b"x", flushed=False)

    def look(turn):
        answer = info("web.cow")
        assert answer["format"] == "overlay" and answer["virtual_bytes"] == o.size, answer
        assert answer["own_bytes"] == len(o.mine) * CLUSTER and answer["unflushed_bytes"] == 0, answer
        assert answer["base"]["path"].endswith(("/base", "/moved")) and answer["base"]["state"] == "as it was", answer
        assert not answer["locked"] and answer["users"] == [], answer
        assert good("check", "web.cow")["sound"]
        out = f"out.{turn}"
        assert good("flatten", "web.cow", out)["bytes"] == o.size
        assert pathlib.Path(out).read_bytes() == o.expected(contents), f"{out} is not what it should be"
        assert os.stat(out).st_blocks * 512 <= len(contents) + 300 * CLUSTER, "no holes"
        os.unlink(out)

    look(0)
    for turn, size in enumerate(("4M", "+1M", "200M", "+100M", "300M"), 1):
        assert good("resize", "web.cow", size)["before_bytes"] == o.size
        o.size = info("web.cow")["virtual_bytes"]
        o.write(o.size // CLUSTER - 1, some_data(CLUSTER))
        look(turn)
    assert o.size == 300 << 20, o.size
    os.rename("base", "moved")
    assert "missing" in pal("info", "web.cow").stdout
    fails(1, "PAL-DSK-003", "check", "web.cow")
    fails(1, "PAL-DSK-003", "flatten", "web.cow", "no")
    fails(1, "PAL-DSK-003", "rebase", "web.cow")
    fails(1, "PAL-DSK-003", "rebase", "web.cow", "--base", "nothing")
    before = info("web.cow")["id"]
    assert good("rebase", "web.cow", "--base", "moved")["base"] == str(there / "moved")
    assert info("web.cow")["id"] != before
    look(9)
    contents = some_data(2 * 1024 * 1024)
    pathlib.Path("moved").write_bytes(contents)
    assert info("web.cow")["base"]["state"] == "changed"
    assert "--accept-changed" in fails(1, "PAL-DSK-003", "rebase", "web.cow")
    good("rebase", "web.cow", "--accept-changed")
    look(10)
    assert not list(there.glob("*.new"))


def check_refused():
    """Bad input, and files that are in use; nothing is left of what is refused."""
    pathlib.Path("raw").write_bytes(bytes(1 << 20))
    pathlib.Path("short").write_bytes(b"x")
    before = set(os.listdir())
    fails(2, "PAL-USE-001", "create", "x.cow")
    fails(2, "PAL-USE-001", "create", "x.cow", "--base", "raw", "--size", "much")
    fails(1, "PAL-DSK-003", "create", "x.cow", "--base", "nothing")
    fails(1, "PAL-DSK-003", "create", "x.cow", "--base", "web.cow")
    fails(1, "PAL-DSK-004", "create", "x.cow", "--base", "raw", "--size", "512K")
    fails(1, "PAL-DSK-004", "create", "x.cow", "--base", "short")
    fails(1, "PAL-DSK-001", "create", "raw", "--base", "raw")
    fails(1, "PAL-DSK-001", "create", "no/x.cow", "--base", "raw")
    fails(1, "PAL-DSK-001", "info", "nothing")
    fails(1, "PAL-DSK-001", "info", "/dev/null")
    for words in ("check",), ("resize", "2M"), ("rebase",), ("flatten", "x"):
        fails(1, "PAL-DSK-002", words[0], "raw", *words[1:])
    fails(1, "PAL-DSK-004", "resize", "web.cow", "1M")
    fails(2, "PAL-USE-001", "resize", "web.cow", "large")
    fails(2, "PAL-USE-001", "resize", "web.cow")
    fails(2, "PAL-USE-001", "melt", "web.cow")
    fails(1, "PAL-DSK-003", "rebase", "web.cow", "--base", "web.cow")
    fails(1, "PAL-DSK-001", "flatten", "web.cow", "raw")
    good("create", "x.cow", "--base", "raw", "--size", "2M")
    pathlib.Path("raw").write_bytes(bytes(3 << 20))
    assert "resize" in fails(1, "PAL-DSK-004", "rebase", "x.cow", "--accept-changed")
    with open("x.cow", "rb") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        assert info("x.cow")["locked"]
        for words in ("check",), ("resize", "3M"), ("rebase",), ("flatten", "y"):
            fails(4, "PAL-DEV-005", words[0], "x.cow", *words[1:])
    os.unlink("x.cow")
    assert set(os.listdir()) == before


def check_damage():
    good("create", "bad.cow", "--base", "raw")
    sound = pathlib.Path("bad.cow").read_bytes()
    for at, byte in (0, 0x80), (9, 1), (2000, 1), (8192 + 100, 1):  # magic, version, name, a bit behind the disk's end
        damaged = bytearray(sound)
        damaged[at] ^= byte
        pathlib.Path("bad.cow").write_bytes(damaged)
        fails(1, "PAL-DSK-002", "check", "bad.cow")
        fails(1, "PAL-DSK-002", "resize", "bad.cow", "1G")
        assert pathlib.Path("bad.cow").read_bytes() == damaged, "it was changed"
    pathlib.Path("bad.cow").write_bytes(sound[:-4096])
    assert "cut off" in fails(1, "PAL-DSK-002", "check", "bad.cow")
    # Between the two writes of a header: all see the second, and the next change puts it right.
    pathlib.Path("bad.cow").write_bytes(sound[:1500] + bytes(596) + sound[2096:] + sound[:4096])
    good("check", "bad.cow")
    good("resize", "bad.cow", "4M")
    assert os.stat("bad.cow").st_size == 8192 + 4096 + (4 << 20)
    good("check", "bad.cow")


check_contents()
check_refused()
check_damage()
print("pal disk is right")
sys.exit(0)

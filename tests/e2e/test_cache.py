# SPDX-License-Identifier: MIT
"""The buffer cache: what free memory holds of images, and that it is as free as before."""

import dataclasses

import pytest

from layer import add_archive, described
from qemu import Qemu
from test_balloon import describe, memory
from test_blkd import BASE, SECTORS, SEED, checker, disk, guest, initrd, prepare, wait_said, with_disk  # noqa: F401
from test_domains import audit, domain0, domains_image, machine, wait_console  # noqa: F401

MIB = 1 << 20
IMAGE, BIG = "/tmp/image", "/tmp/big"


@pytest.fixture
def control(directory):
    with Qemu(machine(memory="1216M", dom0_mem="768M"), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


def cache(control):
    """What `pal cache` says, whose parts must add up."""
    c = control.json("pal cache")
    assert c["cached_bytes"] == sum(image["cached_bytes"] for image in c["images"])
    assert c["cached_bytes"] <= c["free_bytes"]
    return c


def warm_all(control, image, limit=60):
    """The whole image is cached, as soon as it stands for its content: a file changed a moment ago does not yet."""
    control.run(f"until pal cache warm --all {image} >/tmp/warm 2>&1; do grep -q 'a moment ago' /tmp/warm || break; usleep 100000; done; "
                "cat /tmp/warm; ! grep PAL- /tmp/warm", limit=limit)


def warm_and_record(control):
    control.run(f"dd if=/dev/urandom of={IMAGE} bs=1M count=24 2>/dev/null")
    before = memory(control)[0]
    assert cache(control)["cached_bytes"] == 0 and before["cached_bytes"] == 0
    control.error(f"pal cache warm {IMAGE}", 1, "PAL-IMG-001")  # no list
    control.error(f"pal cache record {IMAGE}", 1, "PAL-IMG-001")  # nothing cached
    control.error("pal cache warm /tmp/none", 1, "PAL-IMG-001")
    control.error("pal cache burn", 2, "PAL-USE-001")
    control.error("pal cache limit much", 2, "PAL-USE-001")
    control.error("pal cache off nobody", 3, "PAL-DOM-001")

    warm_all(control, IMAGE)
    c = cache(control)
    assert c["cached_bytes"] == 24 * MIB and c["images"][0]["image_bytes"] == 24 * MIB
    m = memory(control)[0]
    assert m["cached_bytes"] == 24 * MIB
    # Free memory is as free as before but for the cache's own tables.
    assert before["free_bytes"] - 4 * MIB <= m["free_bytes"] <= before["free_bytes"]

    assert control.json(f"pal cache record {IMAGE}")["bytes"] == 24 * MIB
    assert "0 6144" in control.run(f"cat {IMAGE}.warm")
    control.json("pal cache drop")
    assert cache(control)["cached_bytes"] == 0
    control.run(f"printf 'palimpsest-warm 1 6144\\n10 100\\n2000 1\\n' >{IMAGE}.warm")
    assert control.json(f"pal cache warm {IMAGE}")["bytes"] == 101 * 4096
    assert cache(control)["cached_bytes"] == 101 * 4096
    for damaged in ("palimpsest-warm 1 6145\\n1 1", "palimpsest-warm 1 6144\\n6000 145", "palimpsest-warm 1 6144\\nx", ""):
        control.run(f"printf '{damaged}\\n' >{IMAGE}.warm")
        control.error(f"pal cache warm {IMAGE}", 1, "PAL-IMG-002")
    # Another content is another object; the old one's pages are not its.
    control.run(f"dd if=/dev/urandom of={IMAGE} bs=4096 count=1 conv=notrunc 2>/dev/null")
    control.json(f"pal cache drop {IMAGE}")
    assert cache(control)["cached_bytes"] == 101 * 4096
    control.json("pal cache drop")
    audit(control)


def full_cache_gives_way(control):
    """Every free frame holds a page; a domain is created as if none did."""
    free = memory(control)[0]["free_bytes"]
    control.run(f"truncate -s {free + 64 * MIB} {BIG}")
    warm_all(control, BIG, 300)
    c = cache(control)
    assert c["free_bytes"] - c["cached_bytes"] < MIB, "not every free frame is used"
    describe(control, "g", 256, 256)
    control.json("pal create /tmp/g.xml", limit=120)
    after = cache(control)
    assert after["cached_bytes"] <= c["cached_bytes"] - 256 * MIB
    assert after["taken_bytes"] >= 256 * MIB
    wait_console(control, "g", r"GUEST-INIT", 120)

    # Limits and switches.
    control.json("pal cache limit 8M")
    assert cache(control)["cached_bytes"] == 8 * MIB
    control.json("pal cache limit 16M g")
    control.json("pal cache off g")
    (g,) = cache(control)["domains"]
    assert g["name"] == "g" and not g["on"] and g["limit_bytes"] == 16 * MIB
    control.json("pal cache on g")
    assert cache(control)["domains"][0]["on"]
    control.json("pal cache off")
    assert cache(control)["cached_bytes"] == 0 and not cache(control)["on"]
    control.error(f"pal cache warm --all {BIG}", 1, "PAL-HV-002")
    control.json("pal cache on")
    control.json("pal cache limit none")
    control.run(f"pal destroy g; rm {BIG}")
    assert cache(control)["domains"] == []
    audit(control)


def test_free_memory(control):
    """One boot: pages come and go by hand; then every free frame holds one, and a domain is created."""
    warm_and_record(control)
    full_cache_gives_way(control)


# ---- with pal-blkd: one image, several guests ----

READERS = {name: guest(name, f"blkcheck read /dev/xvdb {SEED}", disks=BASE) for name in ("first", "second", "third")}
MANY = {f"g{number}": guest(f"g{number}", f"blkcheck read /dev/xvdb {SEED}", disks=BASE) for number in range(10)}
READERS["apart"] = READERS["third"].replace(b"<name>third</name>", b"<name>apart</name>").replace(
    b"<os>", b"<metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'><pal:cache use='no'/></pal:domain></metadata><os>")
BASE_BYTES = 512 * SECTORS


@pytest.fixture
def sharing(initrd, disk, directory):  # noqa: F811
    own = directory / "initrd.gz"
    add_archive(initrd, own, described({**READERS, **MANY}))
    with Qemu(dataclasses.replace(with_disk(own, disk), memory="1792M"), directory) as qemu:
        yield prepare(qemu)
        qemu.check_log()
    own.unlink()


def disk_bytes(control):
    """What has been read from domain 0's disk."""
    devices = control.qemu._qmp_ask({"execute": "query-blockstats"})
    return max(device["stats"]["rd_bytes"] for device in devices if "stats" in device)


def read_by(control, name):
    """The guest reads the whole image, and finds it right; (bytes that came from the disk for it, hits, misses)."""
    before, bytes_before = cache(control), disk_bytes(control)
    control.json(f"pal create /guest/{name}.xml", limit=120)
    wait_said(control, name, r"DISK read ok")
    after = cache(control)
    return disk_bytes(control) - bytes_before, after["hits"] - before["hits"], after["misses"] - before["misses"]


def test_guests_share(sharing):
    """The second reads what the first brought in; who is off reads by himself; a list of a boot's pages serves the next one."""
    control = sharing
    from_disk, hits, misses = read_by(control, "first")
    assert from_disk >= BASE_BYTES and misses > 0
    control.run("echo 3 >/proc/sys/vm/drop_caches")
    from_disk, hits, misses = read_by(control, "second")
    assert hits >= 0.98 * (hits + misses) and from_disk < BASE_BYTES / 4
    c = cache(control)
    (image,) = [i for i in c["images"] if i["path"] == "/srv/base.img"]
    assert image["cached_bytes"] >= BASE_BYTES - 8192 and image["readers"] == 2
    domains = {d["name"]: d for d in c["domains"]}
    assert domains["second"]["hit_rate"] >= 0.98 and domains["first"]["cached_bytes"] >= 0.9 * BASE_BYTES

    from_disk, hits, misses = read_by(control, "apart")
    assert hits == 0 and misses == 0 and from_disk >= BASE_BYTES
    assert {d["name"]: d["on"] for d in cache(control)["domains"]}["apart"] is False

    control.json("pal cache record /srv/base.img")
    control.json("pal cache drop")
    assert cache(control)["cached_bytes"] == 0
    assert control.json("pal cache warm /srv/base.img")["bytes"] >= BASE_BYTES - 8192
    from_disk, hits, misses = read_by(control, "third")
    assert misses == 0 and hits > 0
    for name in READERS:
        control.run(f"pal destroy {name}", limit=60)
    audit(control)


def test_ten_guests(sharing):
    """Ten at once from one image: it is read once, and more than six of seven reads find what they want, the first one's among them."""
    control = sharing
    bytes_before = disk_bytes(control)
    for name in MANY:
        control.json(f"pal create /guest/{name}.xml", limit=120)
    for name in MANY:
        wait_said(control, name, r"DISK read ok", limit=300)
    c = cache(control)
    assert c["hit_rate"] >= 0.85 and c["read_bytes"] >= 0.85 * len(MANY) * BASE_BYTES
    assert disk_bytes(control) - bytes_before <= 1.15 * BASE_BYTES
    assert {d["name"] for d in c["domains"]} == set(MANY)
    for name in MANY:
        control.run(f"pal destroy {name}", limit=60)
    audit(control)

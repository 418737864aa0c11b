# SPDX-License-Identifier: MIT
"""The buffer cache: what free memory holds of images, and that it is as free as before."""

import pytest

from qemu import Qemu
from test_balloon import describe, memory
from test_domains import domain0, domains_image, machine, wait_console  # noqa: F401

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


def settled(control):
    """A file changed a moment ago stands for no content yet."""
    control.run(f"until pal cache warm --all {IMAGE} >/tmp/warm 2>&1; do grep -q 'a moment ago' /tmp/warm || break; done; cat /tmp/warm", limit=60)


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

    settled(control)
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
    control.run("/checks/audit", limit=120)


def full_cache_gives_way(control):
    """Every free frame holds a page; a domain is created as if none did."""
    free = memory(control)[0]["free_bytes"]
    control.run(f"truncate -s {free + 64 * MIB} {BIG}; sleep 3")
    control.json(f"pal cache warm --all {BIG}", limit=300)
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
    control.run("/checks/audit", limit=120)


def test_free_memory(control):
    """One boot: pages come and go by hand; then every free frame holds one, and a domain is created."""
    warm_and_record(control)
    full_cache_gives_way(control)

# SPDX-License-Identifier: MIT
"""What the bench makes of the lines of a run; no machine is started."""

import sys

from qemu import TOP

sys.path.insert(0, str(TOP / "tests" / "bench"))
import boots  # noqa: E402
import domains  # noqa: E402


def test_smallest_figure_counts():
    text = "BENCH-INIT\nBENCH create 300\nnoise BENCH create 1\nBENCH create 200 \nBENCH destroy 7\nBENCH broken\n"
    assert domains.best(text) == {"create": 200, "destroy": 7}


def test_targets():
    xen = {"create": 400, "destroy": 100, "grant_map": 100}
    figures = {"xen": xen, "ours": {"create": 101, "destroy": 100, "grant_map": 101, "disk_read": 5}}
    assert domains.missed(figures) == ["create", "grant_map"]
    figures["ours"]["create"] = 100
    assert domains.missed(figures) == ["grant_map"]
    assert domains.missed({"xen": xen}) == [] and domains.missed({"ours": xen}) == []


def test_table_shows_gaps():
    figures = {"xen": {"create": 4000}, "ours": {"create": 1000, "guest_fork": 5}}
    lines = domains.table(figures, {"fork": "fork + exit + wait"}).splitlines()
    create = next(line for line in lines if line.startswith(domains.ROWS["create"]))
    assert create.split()[-4:] == ["4,000", "1,000", "0.25", "ok"]
    fork = next(line for line in lines if "in a guest: fork" in line)
    assert fork.split()[-3:] == ["-", "5", "-"]


def test_ten_guests_against_one():
    alone = {"sectors": 1000, "dom0_kib": 60, "hit_rate": 0.3, "up_ms": 5}
    ours = {"sectors": 1150, "dom0_kib": 60, "hit_rate": 0.85, "up_ms": 100}
    assert boots.missed({"ours-1": alone, "ours": ours, "direct": {"up_ms": 300}}) == []
    more = {"sectors": 1151, "dom0_kib": 61, "hit_rate": 0.84, "up_ms": 101}
    assert boots.missed({"ours-1": alone, "ours": more, "direct": {"up_ms": 300}}) == [
        "boots_sectors", "boots_time", "boots_domain0", "boots_hit_rate"]
    assert boots.missed({"ours": ours}) == []

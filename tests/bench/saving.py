# SPDX-License-Identifier: MIT
"""The rows about saving and restoring: the same guest on Debian's Xen with xl and on ours with pal in each of its modes."""

import re
import statistics

import domains

MODES = ("fast", "default", "small")
GUESTS = {
    "256_idle": "256 MiB, idle",
    "256_random": "256 MiB, half of it random",
    "1024_idle": "1 GiB, idle",
    "1024_random": "1 GiB, half of it random",
}
FIGURES = {
    "save": "save, ms",
    "restore": "restore, ms",
    "work": "to its first work, ms",
    "bytes": "image, bytes",
    "save_memory": "saver's memory, KiB",
    "restore_memory": "restorer's memory, KiB",
}
TIMES = ("save", "restore", "work")
# What xl writes of an idle guest of 256 MiB, as the targets have it.
XEN_BYTES = 268973487
# (figure, guest, mode): the share of the peer's figure that ours may take.
SHARES = {("bytes", "256_idle", mode): share for mode, share in zip(MODES, (0.30, 0.15, 0.07))}
SHARES.update({(what, "256_idle", "fast"): 0.5 for what in ("save", "restore")})
SHARES.update({(what, "256_idle", "default"): 1 for what in ("save", "restore")})
SHARES.update({(what, guest, mode): 1 for what in ("save", "restore") for guest in GUESTS if "random" in guest
               for mode in ("fast", "default")})


def middle(text):
    """{row: the median of its figures}, from the lines of a run."""
    found = {}
    for row, figure in re.findall(r"^BENCH (\w+) (\d+)\s*$", text, re.M):
        found.setdefault(row, []).append(int(figure))
    return {row: int(statistics.median(figures)) for row, figures in found.items()}


def measure(hv, kernel, initrd, directory, wall=False):
    """{row: figure}, each the median of some rounds."""
    words = f"bench.rounds={5 if wall else 3}"
    return middle(domains.run(hv, kernel, initrd, directory, wall, ("saves",), ("4G", "2G"), words, limit=3000))


def verdict(figures, what, guest, mode):
    """'ok', '' where there is no target, or 'missed'."""
    xen = XEN_BYTES if what == "bytes" else figures.get("xen", {}).get(f"{what}_{guest}")
    ours = figures.get("ours", {}).get(f"{what}_{guest}_{mode}")
    share = SHARES.get((what, guest, mode))
    if None in (xen, ours, share):
        return ""
    return "ok" if ours <= xen * share else "missed"


def missed(figures):
    return [f"{what}_{guest}_{mode}" for what in FIGURES for guest in GUESTS for mode in MODES
            if verdict(figures, what, guest, mode) == "missed"]


def shown(what, value):
    if value is None:
        return "-"
    return f"{value / 1e6:,.1f}" if what in TIMES else f"{value:,}"


def table(figures, wall=False):
    lines = []
    for guest, title in GUESTS.items():
        lines.append(f"{title:26}{'xen, xl':>14}" + "".join(f"{'--' + mode if mode != 'default' else 'pal save':>22}" for mode in MODES))
        for what, words in FIGURES.items():
            xen = figures.get("xen", {}).get(f"{what}_{guest}")
            line = f"  {words:24}{shown(what, xen):>14}"
            for mode in MODES:
                ours = figures.get("ours", {}).get(f"{what}_{guest}_{mode}")
                ratio = f"{ours / xen:.2f}" if xen and ours else "-"
                line += f"{shown(what, ours):>15} {ratio:>6}{'!' if verdict(figures, what, guest, mode) == 'missed' else ' '}"
            lines.append(line)
    lines.append("after each figure of ours: its share of xl's; ! where a target is missed. Medians; "
                 + ("two CPUs by the wall's clock" if wall else "one CPU, instructions and waiting, a nanosecond each"))
    return "\n".join(lines)

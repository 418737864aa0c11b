#!/bin/sh
# SPDX-License-Identifier: MIT
# demo.sh BUILD: shows what this is: an unmodified Debian kernel on the hypervisor, checked from inside; then Debian guests.
set -eu
build=$1
here=$(dirname "$0")
limit=${PAL_DEMO_SECONDS:-1500} # of either part
log=$build/demo.log

echo "=== Palimpsest boots Debian's stock kernel as domain 0 in QEMU; the emulator has no virtualization to offer."
echo "=== What follows is the serial console: the hypervisor's lines first, then the kernel's, then checks inside it."
timeout --foreground "$limit" "$here/run.sh" "$build" quiet pal.run=system,processes,memory </dev/null |
    tee "$log" || true
if grep -q 'PAL-RUN-END failed=0' "$log" && grep -q 'reboot: Power down' "$log"; then
    echo "=== Domain 0 ran its checks and switched the machine off."
else
    echo "=== The demonstration did not end as it should; the console is in $log" >&2
    exit 1
fi

PYTHONDONTWRITEBYTECODE=1 timeout --foreground "$limit" /usr/bin/python3 "$here/demo_guests.py" "$build"
echo "=== That was all. 'make run' gives you domain 0's shell."

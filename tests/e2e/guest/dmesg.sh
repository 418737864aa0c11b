#!/bin/sh
# SPDX-License-Identifier: MIT
# The kernel has nothing to complain about. Runs last, so that it covers what ran before.
bad=$(dmesg | grep -E 'WARNING: CPU|BUG: |BUG at|Oops[: ]|general protection fault|[Uu]nable to handle|invalid opcode: |self-detected stall|detected stalls|soft lockup|LOCKUP|blocked for more than|unchecked MSR|nobody cared|Call Trace|Clocksource .* unstable' | head -n 5)
if [ -z "$bad" ]; then
    echo "PAL-CHECK dmesg.clean pass $(dmesg | wc -l) lines"
else
    echo "PAL-CHECK dmesg.clean fail $(echo "$bad" | tr '\n' '|')"
    exit 1
fi

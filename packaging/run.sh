#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD [WORDS FOR DOMAIN 0'S KERNEL]: domain 0 on this terminal; Ctrl-A x leaves.
# PAL_QEMU adds arguments to QEMU.
set -eu
build=$1
shift
words=$(echo "$*" | sed 's/,/,,/g') # QEMU wants commas doubled
# shellcheck disable=SC2086 # PAL_QEMU is a list of words
exec qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 2G -smp 2 -display none \
    -serial mon:stdio -no-reboot -nic user,model=e1000 \
    -kernel "$build/palimpsest" -append "console=com1 com1=115200,8n1 dom0_mem=1G" \
    -initrd "$build/dom0/vmlinuz console=hvc0 $words,$build/dom0/initrd.gz" ${PAL_QEMU:-}

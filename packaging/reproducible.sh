#!/bin/sh
# SPDX-License-Identifier: MIT
# reproducible.sh DIRECTORY: builds the hypervisor twice, from two copies of the sources at different places and one after
# the other, and compares the images byte by byte.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
rm -rf "$1"
mkdir -p "$1"
cd "$1"
for copy in one another-place; do
    mkdir "$copy"
    cp -r "$top/Makefile" "$top/hv" "$top/mm" "$copy"
    make -C "$copy" --no-print-directory BUILD=out all >"$copy.log" 2>&1 || {
        cat "$copy.log" >&2
        exit 1
    }
done
for image in palimpsest palimpsest.elf; do
    cmp "one/out/$image" "another-place/out/$image"
    sha256sum "one/out/$image"
done

#!/bin/sh
# SPDX-License-Identifier: MIT
# build.sh OUTDIR: compiles the in-guest checks, static; *.S are 32-bit programs without a C library.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1
include=$here/../../../hv/include # abi/pal.h
cc=${CC:-gcc}
mkdir -p "$out"

newer() { # target, prerequisites...: 0 if the target is newer than all of them
    made=$1
    shift
    [ -e "$made" ] || return 1
    for needed in "$@"; do
        [ "$made" -nt "$needed" ] || return 1
    done
}

for source in "$here"/*.c; do
    target=$out/$(basename "$source" .c)
    newer "$target" "$source" "$here"/*.h "$include/abi/pal.h" "$0" && continue
    $cc -std=gnu11 -O2 -Wall -Wextra -Werror -mno-red-zone -static -pthread -I"$include" -o "$target.part" "$source"
    mv "$target.part" "$target"
done
for source in "$here"/*.S; do
    target=$out/$(basename "$source" .S)
    newer "$target" "$source" "$0" && continue
    $cc -m32 -nostdlib -static -Wl,--build-id=none -o "$target.part" "$source"
    mv "$target.part" "$target"
done

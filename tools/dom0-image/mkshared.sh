#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes build/dom0/shared.img: a disk for domain 0 (/srv) with the image of mkdisk.sh on it as a file, debian.img, for guests
# that share it (/guest/shared/*.xml), and room for their overlays.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${PAL_BUILD:-$top/build}
disk=$("$top/tools/dom0-image/mkdisk.sh")
image=$build/dom0/shared.img
exec 9>"$build/dom0/.lock-shared"
flock 9
if [ ! -e "$image" ] || [ "$disk" -nt "$image" ] || [ "$0" -nt "$image" ]; then
    tmp=$(mktemp -d "$build/dom0/.tmp-shared-XXXXXX")
    trap 'rm -rf "$tmp"' EXIT INT TERM
    mkdir "$tmp/srv"
    ln "$disk" "$tmp/srv/debian.img"
    truncate -s 3G "$tmp/shared.img"
    PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -L srv -E lazy_itable_init=0 -d "$tmp/srv" "$tmp/shared.img" >&2
    mv "$tmp/shared.img" "$image"
fi
echo "$image"

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes build/dom0/initrd-domains-6.1.gz: the small image, and with it pal, Debian's store and
# console daemons with the libraries they need, and a guest to create: /guest/vmlinuz,
# /guest/initrd.gz, /guest/*.xml. Another kernel: build-domains.sh 6.12.
#   PAL_ADD="PATH=FILE..."   more files in it       PAL_IMAGE=FILE   what to make instead
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
here=$top/tools/dom0-image
cache=${PAL_CACHE:-$top/cache}
build=${PAL_BUILD:-$top/build}
out=$build/dom0
version=${1:-6.1}
image=${PAL_IMAGE:-$out/initrd-domains-$version.gz}
utils=$cache/xen-utils-4.17

"$here/fetch.sh" "$version" 6.1 xen-utils
[ -x "$build/tools/pal" ] || {
    echo "build-domains.sh: $build/tools/pal is not built: make tools" >&2
    exit 1
}
mkdir -p "$out"
exec 9>"$out/.lock-domains"
flock 9

# The guest's own small image.
"$here/mkinitrd.py" --kernel "$cache/linux-6.1" --only xen_blkfront --only xen_netfront --only af_packet --only ext4 \
    --only crc32c_generic --only xen_gntdev --only xen_evtchn --only xen_privcmd --init "$here/guest/init" \
    --add "bin/pal-agent=$build/tools/pal-agent" --add "bin/palshm=$build/tools/palshm" -o "$out/guest-initrd.gz"

set --
add() { # guest path, file
    set -- "$1" "$2"
    list="$list --add $1=$2"
}
list=
for program in xenstored oxenstored xenconsoled xl xentop; do
    add "usr/lib/xen-4.17/bin/$program" "$utils/usr/lib/xen-4.17/bin/$program"
    programs="${programs:-} $utils/usr/lib/xen-4.17/bin/$program"
done
for program in xenstore xenstore-read xenstore-write xenstore-ls xenstore-exists xenstore-rm xenstore-watch; do
    add "bin/$program" "$utils/usr/bin/$program"
    programs="$programs $utils/usr/bin/$program"
done
add bin/pal "$build/tools/pal"
add bin/pal-balloond "$build/tools/pal-balloond"
add bin/pal-blkd "$build/tools/pal-blkd"
add bin/palshm "$build/tools/palshm"
add bin/pal-network "$top/tools/network/pal-network"
add bin/nft /usr/sbin/nft
programs="$programs $build/tools/pal $build/tools/pal-balloond $build/tools/pal-blkd /usr/sbin/nft"
# pal loads libxml2 by its name when it reads a domain's file.
xml=$(dirname "$(ldd "$build/tools/pal" | awk '$1 == "libc.so.6" { print $3 }')")/libxml2.so.2
add "$xml" "$xml"
# shellcheck disable=SC2086 # lists of words
for library in $(ldd $programs "$xml" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/lib64/ { print $1 }' | sort -u); do
    add "$library" "$library"
done
add etc/xen/xl.conf "$here/domains/xl.conf"
add etc/xen/oxenstored.conf "$here/domains/oxenstored.conf"
add usr/lib/pal/pal-prepare "$top/tools/units/pal-prepare"
add bin/pal-start "$here/domains/pal-start"
for file in "$here"/guest/*.xml; do
    add "guest/$(basename "$file")" "$file"
done
add checks/audit "$out/checks/audit"
add guest/vmlinuz "$cache/linux-6.1/vmlinuz"
add guest/initrd.gz "$out/guest-initrd.gz"
for extra in ${PAL_ADD:-}; do
    list="$list --add $extra"
done
# shellcheck disable=SC2086 # a list of words
"$here/mkinitrd.py" --kernel "$cache/linux-$version" --level 1 -o "$image" $list
echo "$image"

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes build/dom0/initrd-6.1.gz and initrd-6.12.gz (initrd.gz and vmlinuz are
# links to the 6.1 pair): kernels by fetch.sh, checks from tests/e2e/guest.
#
#   build.sh [6.1] [6.12]
#
# Extra files: PAL_ADD="GUESTPATH=FILE ..." in the environment.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
here=$top/tools/dom0-image
cache=${PAL_CACHE:-$top/cache}
out=${PAL_BUILD:-$top/build}/dom0
[ $# -gt 0 ] || set -- 6.1 6.12

"$here/fetch.sh" "$@"
mkdir -p "$out"
exec 9>"$out/.lock"
flock 9

checks=
for source in "$top"/tests/e2e/guest/*.c "$top"/tests/e2e/guest/*.S "$top"/tests/e2e/guest/*.sh; do
    [ -e "$source" ] || continue
    name=$(basename "${source%.*}")
    case $source in
    */lib*.sh) continue ;;
    *.sh) file=$source ;;
    *) file=$out/checks/$name ;;
    esac
    checks="$checks --add checks/$name=$file"
done
[ -z "$checks" ] || "$top/tests/e2e/guest/build.sh" "$out/checks"

for extra in ${PAL_ADD:-}; do
    checks="$checks --add $extra"
done
for version in "$@"; do
    # shellcheck disable=SC2086 # a list of words
    "$here/mkinitrd.py" --kernel "$cache/linux-$version" -o "$out/initrd-$version.gz" $checks
    echo "$out/initrd-$version.gz"
done
ln -sfn initrd-6.1.gz "$out/initrd.gz"
ln -sfn "$cache/linux-6.1/vmlinuz" "$out/vmlinuz"

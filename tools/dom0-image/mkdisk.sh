#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes build/dom0/debian.img: Debian 12 with systemd on an ext4 file system that fills the whole disk
# (no partitions). It serves domain 0 (root=/dev/vda, after the small initial RAM disk) and guests
# alike (root=/dev/xvda; PV GRUB finds /boot/grub/grub.cfg). For domain 0 `make install` has put pal and
# its units there, and /guest holds what guests are made of: the files of disk/guest, kernels, RAM disks.
#
# Made anew when something in it is newer. Neither root nor loop devices are needed: mke2fs
# fills the image under fakeroot.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
here=$top/tools/dom0-image
cache=${PAL_CACHE:-$top/cache}
build=${PAL_BUILD:-$top/build}
image=$build/dom0/debian.img
size=1536M

"$here/fetch.sh" 6.1 6.12
make -s -C "$top" BUILD="$build" tools >&2
tar=$("$here/mkroot.sh")
mkdir -p "$build/dom0"
exec 9>"$build/dom0/.lock-disk"
flock 9
if [ -e "$image" ] && [ -z "$(find "$tar" "$build/tools/pal" "$build/tools/palshm" "$here" "$top/tools/units" "$top/tools/network" "$top/tools/ubc" "$top/tools/rules.mk" "$top/balloon" \
    "$cache"/linux-*/vmlinuz -newer "$image")" ]; then
    echo "$image"
    exit 0
fi

tmp=$(mktemp -d "$build/dom0/.tmp-disk-XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM
mkdir "$tmp/root"

# The small RAM disk of guests: the drivers of a virtual disk, then over to it.
for version in 6.1 6.12; do
    "$here/mkinitrd.py" --kernel "$cache/linux-$version" --only xen_blkfront --only xen_netfront --only af_packet \
        --only ext4 --only crc32c_generic --only xen_gntdev --only xen_evtchn --init "$here/guest/init" -o "$tmp/initrd-$version.gz"
done

export top here cache build tmp image size
# shellcheck disable=SC2016 # expanded by the inner shell
fakeroot sh -euc '
    root=$tmp/root
    tar -C "$root" --exclude="./dev/*" -xpf "$1"
    make -s -C "$top" BUILD="$build" DESTDIR="$root" PREFIX=/usr install install-guest
    # Not every kernel that starts from this disk has all of the drivers, and a unit that misses one counts as failed.
    rm "$root/usr/lib/modules-load.d/palshm.conf"
    cp -r "$here/disk/." "$root/"
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    for unit in pal-watch pal-network pal-blkd; do
        ln -s "/usr/lib/systemd/system/$unit.service" "$root/etc/systemd/system/multi-user.target.wants/"
    done
    for version in 6.1 6.12; do
        cp "$cache/linux-$version/vmlinuz" "$root/guest/vmlinuz-$version"
        cp "$tmp/initrd-$version.gz" "$root/guest/initrd-$version.gz"
    done
    rm -f "$root/etc/fstab"
    chown -R 0:0 "$root/guest" "$root/boot/grub" "$root/etc/systemd"
    truncate -s "$size" "$tmp/disk.img"
    PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -L palimpsest -E lazy_itable_init=0 -d "$root" "$tmp/disk.img"
' sh "$tar" 9>&-
mv "$tmp/disk.img" "$image"
echo "$image"

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes cache/dom0-disk.img: Debian 12 with systemd on an ext4 file system that
# fills the whole disk (no partitions, no boot loader: root=/dev/vda).
#
#   mkdisk.sh
#
# Nothing to do when it is there; delete it for a newer one.  Neither root nor
# loop devices are needed: mmdebstrap makes a tar, mke2fs fills the image from it
# under fakeroot.  Kernel modules come at boot from the initial RAM disk, so one
# disk serves every kernel.  Root logs in without a password: it is a test machine
# without any way in but its console.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${PAL_CACHE:-$top/cache}
image=$cache/dom0-disk.img
size=1536M
packages=systemd,systemd-sysv,udev,dbus,kmod,iproute2,iputils-ping,procps,stress-ng

mkdir -p "$cache"
exec 9>"$cache/.lock-disk"
flock 9
[ ! -e "$image" ] || exit 0

tmp=$(mktemp -d "$cache/.tmp-disk-XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM

mmdebstrap --quiet --variant=minbase --include="$packages" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='chroot "$1" passwd -d root >/dev/null' \
    --customize-hook='echo palimpsest-disk >"$1/etc/hostname"' \
    --customize-hook='echo "/dev/vda / ext4 rw,noatime 0 0" >"$1/etc/fstab"' \
    --customize-hook='rm -f "$1/etc/resolv.conf" "$1"/var/cache/apt/*.bin; mkdir -p "$1/lib/modules"' \
    --customize-hook='printf "[Match]\nName=e*\n[Network]\nDHCP=ipv4\n" >"$1/etc/systemd/network/20-ethernet.network"' \
    --customize-hook='chroot "$1" systemctl -q enable systemd-networkd' \
    --customize-hook='chroot "$1" systemctl -q mask systemd-networkd-wait-online e2scrub_reap apt-daily.timer apt-daily-upgrade.timer' \
    bookworm "$tmp/root.tar" 9>&- >&2

truncate -s "$size" "$tmp/disk.img"
mkdir "$tmp/root"
# shellcheck disable=SC2016 # expanded by the inner shell
fakeroot sh -euc '
    tar -C "$1/root" --exclude="./dev/*" -xpf "$1/root.tar"
    PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -L palimpsest -E lazy_itable_init=0 -d "$1/root" "$1/disk.img"
' sh "$tmp" 9>&-
mv "$tmp/disk.img" "$image"
echo "$image"

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Prints the name of cache/debian-CHECKSUM.tar, which it makes when it is not there: Debian 12 with
# systemd, a cloud kernel and its initial RAM disk, Debian's Xen tools, PV GRUB and SQLite, as they
# are. The checksum is this file's, so that a change of the recipe makes a new one.
#
# No root is needed. Root logs in without a password: it is a test machine without any way in but its console.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${PAL_CACHE:-$top/cache}
tar=$cache/debian-$(cksum <"$0" | cut -d ' ' -f 1).tar
packages=systemd,systemd-sysv,udev,dbus,kmod,iproute2,iputils-ping,procps,stress-ng
packages=$packages,linux-image-cloud-amd64,initramfs-tools,zstd,grub-xen-host,busybox,curl,sqlite3
packages=$packages,xen-utils-4.17,xenstore-utils,libjansson4,libsmartcols1,libxml2,libsodium23,liblz4-1,libinih1,nftables

mkdir -p "$cache"
exec 9>"$cache/.lock-disk"
flock 9
if [ ! -e "$tar" ]; then
    tmp=$(mktemp -d "$cache/.tmp-root-XXXXXX")
    trap 'rm -rf "$tmp"' EXIT INT TERM
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --aptopt='Acquire::Languages "none"' \
        --aptopt='Apt::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='chroot "$1" passwd -d root >/dev/null' \
        --customize-hook='rm -f "$1/etc/resolv.conf" "$1"/var/cache/apt/*.bin' \
        --customize-hook='chroot "$1" systemctl -q enable systemd-networkd' \
        --customize-hook='chroot "$1" systemctl -q mask systemd-networkd-wait-online e2scrub_reap apt-daily.timer apt-daily-upgrade.timer' \
        bookworm "$tmp/root.tar" 9>&- >&2
    rm -f "$cache"/debian-*.tar # of earlier recipes
    mv "$tmp/root.tar" "$tar"
fi
echo "$tar"

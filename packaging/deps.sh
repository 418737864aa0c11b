#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs the Debian 12 packages that building, testing and measuring need.
# Does nothing, and needs no root, when all of them are there.  Never asks.
#
#   deps.sh           install what is missing
#   deps.sh --check   say what is missing; status 1 if anything is
#   deps.sh --list    print the whole list
set -eu

build="
    gcc make binutils libc6-dev clang clang-format
    libxen-dev liblzma-dev libzstd-dev zlib1g-dev liblz4-dev
    grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools"
tests="
    libcmocka-dev libclang-rt-14-dev
    qemu-system-x86 ovmf
    python3 python3-pytest python3-pexpect python3-pytest-xdist python3-pytest-rerunfailures"
dom0_image="
    busybox-static fakeroot kmod xz-utils zstd mmdebstrap uidmap e2fsprogs util-linux
    apt dpkg debian-archive-keyring ca-certificates"
tools="
    nftables
    libinih-dev libjansson-dev liburing-dev libseccomp-dev libsmartcols-dev libxml2-dev libsodium-dev libxxhash-dev scdoc"
packages="$build $tools $tests $dom0_image"

missing() {
    for package in $packages; do
        status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) || status=
        case $status in
        ii*) ;;
        *) echo "$package" ;;
        esac
    done
}

[ "${1:-}" = --list ] && {
    printf '%s\n' $packages
    exit 0
}
wanted=$(missing)
[ -n "$wanted" ] || exit 0
echo "deps.sh: missing:" $wanted >&2
[ "${1:-}" != --check ] || exit 1

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps.sh: neither root nor sudo; as root, run: apt-get install" $wanted >&2
        exit 1
    }
    as_root=sudo
fi

# Two builds may start at once; dpkg's own lock is waited for, ours is not needed.
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"
}

apt update
apt install --no-install-recommends $wanted

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Puts stock Debian kernels (and, for the bench, Debian's Xen) into cache/.
#
#   fetch.sh [6.1] [6.12] [xen] [xen-utils] [fio]        default: 6.1 6.12
#
# Each name gives a directory that is complete or absent, never half-made:
#   cache/linux-6.1/   vmlinuz  config  release  lib/modules/RELEASE/
#   cache/linux-6.12/  likewise
#   cache/xen-4.17/    xen  (unpacked ELF image)
#   cache/xen-utils-4.17/  usr/...  (Debian's store and console daemons, xl and its kin, as they are)
#   cache/fio-3/       fio  lib/...  (Debian's disk tester with all libraries that it is linked to)
#
# The package is found through Debian's metapackage, so the ABI number in a
# kernel's package name appears nowhere here.  What is cached is used as it is,
# without a look at the network; delete the directory to take a newer one.
# Two fetches at once are safe: the second waits and finds the work done.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${PAL_CACHE:-$top/cache}

die() {
    echo "fetch.sh: $*" >&2
    exit 1
}

# The versioned package behind a metapackage: its first Depends on a linux-image.
behind_metapackage() {
    apt-cache depends --important "$1" 2>/dev/null |
        sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -n 1
}

# Downloads package $1 to directory $2; on success the only .deb there is it.
# The lists may be older than the archive: one retry after a refresh.
download() {
    (cd "$2" && apt-get download -q "$1" >download.log 2>&1) && return 0
    echo "fetch.sh: $1: refreshing the package lists" >&2
    if [ "$(id -u)" = 0 ]; then
        apt-get update -q >"$2/update.log" 2>&1 || true
    else
        sudo -n apt-get update -q >"$2/update.log" 2>&1 || true
    fi
    (cd "$2" && apt-get download -q "$1" >download.log 2>&1) && return 0
    cat "$2/download.log" >&2
    return 1
}

fetch_kernel() { # metapackage, directory to fill
    pkg=$(behind_metapackage "$1")
    [ -n "$pkg" ] ||
        die "no package behind $1: apt knows too little (apt-get update; bookworm-security among its sources?)"
    echo "fetch.sh: $1 is $pkg"
    download "$pkg" "$2" || {
        # A refresh may have moved the metapackage on to a newer kernel.
        pkg=$(behind_metapackage "$1")
        download "$pkg" "$2" || die "cannot download $pkg"
    }
    mkdir "$2/root"
    dpkg-deb -x "$2"/*.deb "$2/root"
    mv "$2"/root/boot/vmlinuz-* "$2/vmlinuz"
    mv "$2"/root/boot/config-* "$2/config"
    mkdir "$2/lib"
    for modules in "$2/root/lib/modules" "$2/root/usr/lib/modules"; do
        [ -d "$modules" ] && mv "$modules" "$2/lib/modules" && break
    done
    [ -d "$2/lib/modules" ] || die "$pkg holds no modules"
    ls "$2/lib/modules" >"$2/release"
    rm -rf "$2/root" "$2"/*.deb "$2"/*.log
    PATH=$PATH:/usr/sbin:/sbin depmod -b "$2" "$(cat "$2/release")"
}

fetch_xen() { # package, directory to fill
    download "$1" "$2" || die "cannot download $1"
    mkdir "$2/root"
    dpkg-deb -x "$2"/*.deb "$2/root"
    gzip -dc "$2"/root/boot/xen-4.17-amd64.gz >"$2/xen"
    rm -rf "$2/root" "$2"/*.deb "$2"/*.log
}

fetch_utils() { # packages, directory to fill
    for package in $1; do
        download "$package" "$2" || die "cannot download $package"
        dpkg-deb -x "$2"/*.deb "$2"
        rm -f "$2"/*.deb "$2"/*.log
    done
    rm -rf "$2/usr/share/doc" "$2/usr/share/man"
}

fetch_fio() { # package, directory to fill
    mmdebstrap --quiet --variant=extract --include="$1" --aptopt='Apt::Install-Recommends "false"' \
        --aptopt='Acquire::Languages "none"' bookworm "$2/root.tar" 9>&- >&2 || die "cannot download $1"
    mkdir "$2/root" "$2/lib"
    tar -C "$2/root" --exclude='./dev/*' -xf "$2/root.tar"
    root=$2/root
    loader=$root/lib64/ld-linux-x86-64.so.2
    libraries=$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu/ceph
    "$loader" --library-path "$libraries" --list "$root/usr/bin/fio" >"$2/list" || die "$1 has no library that it needs"
    # shellcheck disable=SC2046 # a list of files
    cp -L $(awk '$3 ~ /^\// { print $3 }' "$2/list") "$2/lib"
    cp "$root/usr/bin/fio" "$2/fio"
    rm -rf "$root" "$2/root.tar" "$2/list"
}

provide() { # name of the directory in the cache, function, package
    [ -d "$cache/$1" ] && return 0
    tmp=$(mktemp -d "$cache/.tmp-$1-XXXXXX")
    trap 'rm -rf "$tmp"' EXIT INT TERM
    "$2" "$3" "$tmp"
    chmod 755 "$tmp"
    mv -T "$tmp" "$cache/$1"
    trap - EXIT INT TERM
}

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9

[ $# -gt 0 ] || set -- 6.1 6.12
for what in "$@"; do
    case $what in
    6.1) provide linux-6.1 fetch_kernel linux-image-amd64 ;;
    6.12) provide linux-6.12 fetch_kernel linux-image-6.12-amd64 ;;
    xen) provide xen-4.17 fetch_xen xen-hypervisor-4.17-amd64 ;;
    xen-utils) provide xen-utils-4.17 fetch_utils "xen-utils-4.17 xenstore-utils" ;;
    fio) provide fio-3 fetch_fio fio ;;
    *) die "unknown: $what (6.1, 6.12, xen, xen-utils, fio)" ;;
    esac
done

#!/bin/sh
# SPDX-License-Identifier: MIT
# iso.sh BUILD: makes BUILD/palimpsest.iso, which starts from BIOS and UEFI.
set -eu
build=$1
here=$(dirname "$0")
tree=$build/iso
rm -rf "$tree"
mkdir -p "$tree/boot/grub"
cp "$build/palimpsest" "$tree/boot/palimpsest"
cp -L "$build/dom0/vmlinuz" "$build/dom0/initrd.gz" "$tree/boot/"
cp "$here/grub.cfg" "$tree/boot/grub/grub.cfg"
grub-mkrescue -o "$build/palimpsest.iso.part" "$tree" >"$build/iso.log" 2>&1 || {
    cat "$build/iso.log" >&2
    exit 1
}
mv "$build/palimpsest.iso.part" "$build/palimpsest.iso"
rm -rf "$tree"

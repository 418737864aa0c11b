#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares the decoder with the disassembler of binutils: check_decoder.py DUMP_DECODER WORK_FILE.

Every instruction that the decoder accepts must be the same instruction, of the same length, to objdump.
"""
import re
import subprocess
import sys

ALIASES = {"movnti": "mov", "movabs": "mov"}
IGNORED = re.compile(r"^(lock|rep|repz|repnz|xacquire|xrelease|addr32|fs|gs|data16|rex\S*|bnd)$")
MIN_INSTRUCTIONS = 20000


def objdump_says(path):
    """Offset -> (length, mnemonic, operands)."""
    out = subprocess.run(
        ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel",
         "--insn-width=15", path], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in out.splitlines():
        m = re.match(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)$", line)
        if not m:
            continue
        words = m[3].split("#")[0].split()
        while words and IGNORED.match(words[0]):
            words.pop(0)
        found[int(m[1], 16)] = (len(m[2].split()), words[0] if words else "",
                                " ".join(words[1:]))
    return found


def same_operation(ours, mnemonic, operands):
    if ours in ("from_cr", "to_cr", "from_dr", "to_dr"):
        at = 1 if ours.startswith("from") else 0
        kind = ours[-2:]
        return mnemonic == "mov" and operands.split(",")[at].startswith((kind, "d" + kind[1:], "db"))
    return ALIASES.get(mnemonic, mnemonic) == ours


def main():
    dump, path = sys.argv[1:]
    ours = subprocess.run([dump, path], check=True, capture_output=True, text=True).stdout
    theirs = objdump_says(path)
    count = bad = 0
    for line in ours.splitlines():
        offset, length, name, _ = line.split()
        got = theirs.get(int(offset, 16))
        count += 1
        if not got or got[0] != int(length) or not same_operation(name, got[1], got[2]):
            bad += 1
            if bad <= 20:
                print(f"{offset}: {name}, {length} bytes; objdump: {got}")
    print(f"{count} instructions, {bad} different")
    return bad or count < MIN_INSTRUCTIONS


if __name__ == "__main__":
    sys.exit(1 if main() else 0)

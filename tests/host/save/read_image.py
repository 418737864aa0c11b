#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""read_image.py IMAGE MEMORY...: a second reader, written from FORMAT.md alone, against what was saved.

MEMORY has, for each frame, a byte (0: not populated; otherwise 1 + type) and the canonical page.
"""
import struct
import sys
import zlib

M = 2**64 - 1
P = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
PAGE = 4096


def rotate(x, n):
    return (x << n | x >> (64 - n)) & M


def lane(a, x):
    return rotate((a + x * P[1]) & M, 31) * P[0] & M


def xxh64(seed, data):
    n, at = len(data), 0
    if n >= 32:
        v = [(seed + P[0] + P[1]) & M, (seed + P[1]) & M, seed, (seed - P[0]) & M]
        for at in range(0, n - 31, 32):
            v = [lane(a, x) for a, x in zip(v, struct.unpack_from("<4Q", data, at))]
        at += 32
        h = sum(rotate(a, r) for a, r in zip(v, (1, 7, 12, 18))) & M
        for a in v:
            h = ((h ^ lane(0, a)) * P[0] + P[3]) & M
    else:
        h = (seed + P[4]) & M
    h = (h + n) & M
    for at in range(at, n - 7, 8):
        h = (rotate(h ^ lane(0, struct.unpack_from("<Q", data, at)[0]), 27) * P[0] + P[3]) & M
    at = n - n % 8
    if n % 8 >= 4:
        h = (rotate(h ^ struct.unpack_from("<I", data, at)[0] * P[0] & M, 23) * P[1] + P[2]) & M
        at += 4
    for byte in data[at:]:
        h = rotate(h ^ byte * P[4] & M, 11) * P[0] & M
    h = (h ^ h >> 33) * P[1] & M
    h = (h ^ h >> 29) * P[2] & M
    return h ^ h >> 32


def unpack_lz4(data):
    out, at = bytearray(), 0
    while True:
        token, at = data[at], at + 1
        count = token >> 4
        while count >= 15:
            at += 1
            count += data[at - 1]
            if data[at - 1] != 255:
                break
        out += data[at : at + count]
        at += count
        if at == len(data):
            return bytes(out)
        back, at = data[at] | data[at + 1] << 8, at + 2
        count = token & 15
        while count >= 15:
            at += 1
            count += data[at - 1]
            if data[at - 1] != 255:
                break
        for _ in range(count + 4):
            out.append(out[-back])


class Image:
    def __init__(self, data):
        self.data = data
        assert data[:8] == b"\x89PALIMG\n"
        version, page, self.id, _, check = struct.unpack_from("<IIQQ24xQ", data, 8)
        assert (version, page) == (1, PAGE) and check == xxh64(0, data[:56])
        self.records, at, chain = [], 64, b""
        while at < len(data):
            kind, number, body_n, data_n, body_sum, data_sum, above = struct.unpack_from("<4I3Q", data, at)
            body = data[at + 40 : at + 40 + body_n]
            packed = data[at + 40 + body_n : at + 40 + body_n + data_n]
            assert number == len(self.records)
            assert above == xxh64(self.id, data[at : at + 32])
            assert body_sum == xxh64(self.id, body) and data_sum == xxh64(self.id, packed)
            self.records.append((at, kind, body, packed))
            chain += struct.pack("<Q", above) if kind != 7 else b""
            at += 40 + body_n + data_n
        self.chain = xxh64(self.id, chain)
        kinds = [r[1] for r in self.records]
        assert kinds == sorted(kinds) and [kinds.count(k) for k in (1, 2, 4, 6, 7)] == [1] * 5
        self.frames, self.populated = struct.unpack_from("<QQ", self.of(2)[0][2], 8)
        self.read_pages()
        self.check_end()

    def of(self, kind):
        return [r for r in self.records if r[1] == kind]

    def read_pages(self):
        self.pages, self.counts, self.index = {}, [0, 0, 0, 0], b""
        for at, _, body, packed in self.of(5):
            codec, runs = struct.unpack_from("<II", body)
            assert len(body) == 8 + 16 * runs
            content = (lambda d: d, unpack_lz4, lambda d: zlib.decompress(d, -15))[codec](packed) if packed else b""
            used, first = 0, len(self.pages)
            for i in range(runs):
                gfn, count, source, kind, type_, zero = struct.unpack_from("<IIIBBH", body, 8 + 16 * i)
                assert zero == 0 and (kind == 3 or source == 0)
                self.counts[kind] += count
                for n in range(count):
                    if kind == 1:
                        page, used = content[used : used + PAGE], used + PAGE
                    elif kind == 2:
                        page = bytes(PAGE)
                    else:
                        page = self.pages[source + n][1]
                    self.pages[gfn + n] = (type_, page)
            assert used == len(content)
            self.index += struct.pack("<QII", at, struct.unpack_from("<I", body, 8)[0], len(self.pages) - first)

    def check_end(self):
        end = struct.unpack("<8Q", self.of(7)[0][2])
        packed = sum(len(r[3]) for r in self.of(5))
        index_at = self.of(6)[0][0]
        assert end == (len(self.data), index_at, len(self.of(5)), *self.counts[1:], packed, self.chain)
        assert self.of(6)[0][2] == self.index
        bitmap = self.of(4)[0][2]
        there = [g for g in range(self.frames) if bitmap[g // 8] >> g % 8 & 1]
        assert there == list(self.pages) and len(there) == self.populated


def main(names):
    for image_name, memory_name in zip(names[::2], names[1::2]):
        with open(image_name, "rb") as f:
            image = Image(f.read())
        with open(memory_name, "rb") as f:
            for gfn in range(image.frames):
                entry = f.read(1 + PAGE)
                kind, page = image.pages.get(gfn, (-1, b""))
                assert entry[0] == kind + 1 and (kind < 0 or entry[1:] == page), gfn
        codecs = [r[2][0] for r in image.of(5)]
        print(f"{image_name}: {len(image.pages)} pages, codecs {codecs}")


main(sys.argv[1:])

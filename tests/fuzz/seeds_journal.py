#!/usr/bin/env python3
"""Seeds for fuzz_journal, written from replay/FORMAT.md: small journals and contents of frames."""
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "replay"))
from journal_reader import xxh3  # noqa: E402


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def zigzag(difference):
    return varint(difference << 1 if difference >= 0 else (-difference << 1) - 1)


def field(tag, data):
    return bytes([tag]) + varint(len(data)) + data


def config(drive_sectors=64):
    leaf = struct.pack("<7I", 1, 0, 0, 0x600, 1, 2, 3)
    drive = varint(0) + varint(7) + varint(drive_sectors) + varint(1) + b"d" + varint(3) + b"raw"
    parent = struct.pack("<QQ", 1, 2) + varint(1000) + varint(1234) + varint(1) + varint(6) + b"p.vmrr" + varint(10) + b"drop-flush"
    return (field(1, b"seed") + field(2, b"interp") + field(3, varint(1 << 20)) + field(4, b"vmrr") + field(5, leaf) +
            field(7, varint(1)) + field(9, b"quiet") + field(10, varint(0)) + field(11, varint(9)) + field(16, drive) +
            field(0x80, varint(0xFFFE)) + field(0x83, parent) + field(0x90, b"later"))


def definition(code, form, extras, address, before, flags=0):
    return bytes([code, flags, form, extras]) + zigzag(address - before)


def events(tokens=None):
    """An access twice, a halt, a message, a pull, a block completion, an end; then two implied digests."""
    shapes = (definition(1, 1, 0, 0x3FD, 0) + definition(6, 8, 0, 0, 0x3FD) + definition(0x85, 0, 3, 0, 0) +
              definition(0x41, 8, 0, 0, 0) + definition(8, 64, 4, 0, 0) + definition(13, 64, 1, 0, 0))
    columns = [
        varint(0) * 8,                                # run
        bytes([13, 1 | 4, 13, 5, 13, 13, 13]),        # mask; the second token names its shape again
        bytes([0, 0, 1, 2, 3, 4, 5]),                 # shape
        shapes,
        varint(5) + varint(5) + varint(1) + varint(2) + varint(3) + varint(3) + varint(3),
        b"",
        bytes([0x60]),
        b"",
        zigzag(1000) + zigzag(77),
        struct.pack("<QQ", 0x1122334455667788, 0x99),
        zigzag(0) + zigzag(65) + zigzag(0) + zigzag(1) + zigzag(2) + zigzag(3) + zigzag(0) + zigzag(1),
        bytes([0xAA, 0xBB]),
    ]
    head = varint(7 if tokens is None else tokens) + varint(2) + varint(65536) + varint(65536) + varint(12)
    return head + b"".join(varint(len(column)) for column in columns) + b"".join(columns)


def sectors():
    contents = bytes(range(256)) * 2 + b"x" * 512
    entries = (varint(0) + varint(0) + varint(3) + b"\0" + varint(0) + varint(3) + varint(2) + b"\1" +
               varint(0) + varint(8) + varint(1) + b"\2" + varint(1))
    return varint(3) + varint(2) + entries + contents


def text(data):
    return varint(len(data)) + data


def step(kind, file, status, offset, size, value, stack):
    return bytes([kind]) + varint(file) + zigzag(status) + zigzag(offset) + varint(size) + varint(value) + varint(stack)


def steps():
    """Two files, a stack; a request with an allocation, a failed write and its stack, a kind of later; one without steps."""
    files = varint(2) + varint(0) + varint(0) + text(b"disk.img") + varint(0) + varint(1) + text(b"")
    names = varint(2) + text(b"host_file_write host_file.c:40") + text(b"raw_write")
    stacks = varint(1) + varint(2) + varint(0) + varint(1)
    first = (varint(0) + varint(7) + varint(0) + varint(3) + step(5, 0, 0, 65536, 65536, 1 << 20, 0) +
             step(1, 1, -5, -512, 512, 0, 1) + step(99, 0, 0, 0, 0, 0, 0))
    return files + names + stacks + varint(2) + first + varint(0) + varint(8) + varint(3) + varint(0)


class Writer:
    def __init__(self):
        self.data = b"\x89VMRR\r\n\x1a" + struct.pack("<HHIQ", 1, 0, 32, 0)
        self.data += struct.pack("<Q", xxh3(self.data))
        self.index = b""
        self.sequence = 0
        self.last = (0, 0)

    def frame(self, kind, content, first=None, last=None, count=0, delivers=0):
        first, last = first or self.last, last or self.last
        header = b"VFRM" + struct.pack("<BBHQ4QIIIIQ", kind, 3 if kind == 8 else 2, 80, self.sequence, *first, *last, len(content),
                                       len(content), count, delivers, xxh3(content))
        if kind not in (6, 7):
            self.index += struct.pack("<QBBHIIIII4Q", len(self.data), kind, 3 if kind == 8 else 2, 0, len(content), len(content), count,
                                      delivers, 0, *first, *last)
        self.data += header + struct.pack("<Q", xxh3(header + content)) + content
        self.sequence += 1
        self.last = last

    def end(self, total, stop):
        at = len(self.data)
        self.frame(6, self.index)
        self.frame(7, struct.pack("<QQII", at, total, stop, 0))
        return self.data


def journal(whole=True):
    writer = Writer()
    writer.frame(1, config())
    writer.frame(4, sectors())
    writer.frame(8, steps())
    writer.frame(3, events(), (10, 10), (131072, 132072), 9, 1)
    return writer.end(9, 1) if whole else writer.data


def main():
    seeds = {
        "whole": b"\1" + journal(),
        "whole-as-is": b"\0" + journal(),
        "torn": b"\1" + journal(False),
        "events": b"\2" + events(),
        "config": b"\3" + config(),
        "sectors": b"\4" + sectors(),
        "steps": b"\5" + steps(),
    }
    for name, data in seeds.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()

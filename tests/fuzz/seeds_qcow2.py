#!/usr/bin/env python3
"""Seeds of fuzz_qcow2: small images by hand (no qemu-img needed): each version, entries of each kind, a snapshot, extended L2
entries, compressed data, a bitmap directory, names. Usage: seeds_qcow2.py DIRECTORY"""
import struct
import sys
import zlib

COPIED = 1 << 63


def image(bits=9, version=3, order=4, sectors=64, extended=False, backing=b"", extensions=b"", incompatible=0, compatible=0,
          autoclear=0, snapshot=False, packed=False):
    cluster = 1 << bits
    entry = 16 if extended else 8
    names = {n: i for i, n in enumerate(["header", "table", "block", "l1", "l2", "data", "zero", "packed", "snapshots",
                                         "snapshot_l1", "bitmaps"])}
    at = {n: i * cluster for n, i in names.items()}
    out = bytearray(cluster * len(names))
    header = bytearray(112 if version == 3 else 72)
    backing_at = 0
    tail = extensions + bytes(8)
    if backing:
        backing_at = len(header) + len(tail)
    struct.pack_into(">4sIQIIQIIQQIIQ", header, 0, b"QFI\xfb", version, backing_at, len(backing), bits, sectors * 512, 0,
                     (sectors * 512 * entry + cluster * cluster - 1) // (cluster * cluster), at["l1"], at["table"], 1,
                     int(snapshot), at["snapshots"] if snapshot else 0)
    if version == 3:
        struct.pack_into(">QQQII", header, 72, incompatible | (16 if extended else 0), compatible, autoclear, order, 112)
    whole = bytes(header) + tail + backing
    out[0:len(whole)] = whole
    struct.pack_into(">Q", out, at["table"], at["block"])
    used = ["header", "table", "block", "l1", "l2", "data", "zero"]
    used += ["packed"] if packed else []
    used += ["snapshots", "snapshot_l1"] if snapshot else []
    used += ["bitmaps"] if autoclear & 1 else []
    shared = {"l2", "data", "zero", "packed"} if snapshot else set()
    flag = 0 if snapshot else COPIED
    for name in used:
        width = 1 << order
        value = 2 if name in shared else 1
        bit = names[name] * width
        if width >= 8:
            out[at["block"] + bit // 8 + width // 8 - 1] = value
        else:
            out[at["block"] + bit // 8] |= value << bit % 8
    struct.pack_into(">Q", out, at["l1"], at["l2"] | flag)

    def put(index, raw, bitmap):
        struct.pack_into(">Q", out, at["l2"] + index * entry, raw)
        if extended:
            struct.pack_into(">Q", out, at["l2"] + index * entry + 8, bitmap)

    put(0, at["data"] | flag, 0x00FF0000_0000FFFF)
    put(1, at["zero"] | flag | (1 if version == 3 and not extended else 0), 0xFFFFFFFF << 32)
    out[at["data"]:at["data"] + cluster] = bytes(i * 7 & 0xFF for i in range(cluster))
    if packed:
        press = zlib.compressobj(9, zlib.DEFLATED, -12)
        data = press.compress(b"squeeze " * (cluster // 8)) + press.flush()
        out[at["packed"]:at["packed"] + len(data)] = data
        put(2, 1 << 62 | at["packed"], 0)
    if snapshot:
        struct.pack_into(">QIHHIIQII", out, at["snapshots"], at["snapshot_l1"], 1, 1, 3, 1, 2, 3, 0, 24)
        struct.pack_into(">QQQ", out, at["snapshots"] + 40, 0, sectors * 512, 0)
        out[at["snapshots"] + 64:at["snapshots"] + 68] = b"1one"
        struct.pack_into(">Q", out, at["snapshot_l1"], at["l2"])
    if autoclear & 1:
        struct.pack_into(">QIIBBHI", out, at["bitmaps"], at["bitmaps"], 1, 2, 1, 16, 4, 0)
    return bytes(out)


def extension(kind, data):
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def main():
    bitmaps = extension(0x23852875, struct.pack(">IIQQ", 1, 0, 32, 10 * 512))
    names = extension(0x6803F857, b"\0\x05" + b"a feature of tomorrow".ljust(46, b"\0"))
    images = {
        "plain": image(),
        "v2": image(version=2),
        "1bit": image(order=0),
        "64bit": image(order=6, sectors=100),
        "4k": image(bits=12, sectors=200),
        "extended": image(bits=14, extended=True, sectors=300),
        "backing": image(backing=b"/nonexistent", extensions=extension(0xE2792ACA, b"raw")),
        "snapshot": image(snapshot=True, packed=True),
        "packed": image(packed=True),
        "lazy": image(compatible=1, incompatible=1),
        "corrupt": image(incompatible=2),
        "unknown": image(incompatible=32, extensions=names),
        "data-file": image(incompatible=4, extensions=extension(0x44415441, b"/nonexistent")),
        "bitmaps": image(autoclear=1, extensions=bitmaps),
        "zstd": image(incompatible=8),
    }
    for name, data in images.items():
        for choice in (0x01, 0x07, 0x0B, 0x02, 0x31, 0x51, 0xF9):
            with open(f"{sys.argv[1]}/{name}-{choice:02x}", "wb") as out:
                out.write(bytes([choice, 5, 1]) + data)


main()

#!/usr/bin/env python3
"""Seeds of fuzz_kernel: a small vmlinux with an RDTSC, by itself and packed in every way. Usage: seeds_kernel.py DIRECTORY"""
import gzip
import lzma
import struct
import subprocess
import sys


def vmlinux():
    code = bytes.fromhex("90 0f31 480fc7f0 480fc7f9 b80f310000 c3")
    image = bytearray(0x200)
    image[0:7] = b"\x7fELF\x02\x01\x01"
    struct.pack_into("<HHIQQQIHHHHHH", image, 16, 2, 62, 1, 0x1000000, 64, 0x180, 0, 64, 56, 1, 64, 2, 0)
    struct.pack_into("<IIQQQQQQ", image, 64, 1, 7, 0x100, 0xFFFFFFFF81000000, 0x1000000, 0x80, 0x1000, 0x1000)
    image[0x100:0x100 + len(code)] = code
    struct.pack_into("<IIQQQQIIQQ", image, 0x1C0, 1, 1, 6, 0xFFFFFFFF81000000, 0x100, len(code), 0, 0, 16, 0)
    return bytes(image)


def bzimage(payload):
    head = bytearray(0x400)
    head[0x1F1] = 1
    struct.pack_into("<H", head, 0x1FE, 0xAA55)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x020F)
    struct.pack_into("<II", head, 0x248, 0, len(payload))
    return bytes(head) + payload


def main():
    plain = vmlinux()
    size = struct.pack("<I", len(plain))
    lz4 = bytes([0xF0, 0xFF, len(plain) - 15 - 255]) + plain  # one run of literals
    packed = {
        "gzip": gzip.compress(plain, mtime=0),
        "xz": lzma.compress(plain) + size,
        "zstd": subprocess.run(["zstd", "-qc"], input=plain, capture_output=True, check=True).stdout + size,
        "lz4": struct.pack("<II", 0x184C2102, len(lz4)) + lz4 + size,
    }
    files = {name: bzimage(payload) for name, payload in packed.items()}
    files["elf"] = plain
    for name, content in files.items():
        with open(f"{sys.argv[1]}/{name}", "wb") as out:
            out.write(content)


main()

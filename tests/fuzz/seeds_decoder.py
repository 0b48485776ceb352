#!/usr/bin/env python3
"""Seeds of fuzz_decoder: every opcode of the four maps with each prefix that chooses another row. Usage:
seeds_decoder.py DIRECTORY"""
import sys

MAPS = {"one": b"", "two": b"\x0f", "38": b"\x0f\x38", "3a": b"\x0f\x3a"}
PREFIXES = {"none": b"", "66": b"\x66", "f2": b"\xf2", "f3": b"\xf3", "rex": b"\x48", "67": b"\x67", "lock": b"\xf0"}
TAILS = (b"\x84\x25\x10\x20\x30\x40\x11\x22\x33\x44\x55", b"\xd1")


def main():
    for map_name, escape in MAPS.items():
        for prefix_name, prefix in PREFIXES.items():
            if map_name in ("38", "3a") and prefix_name not in ("none", "66"):
                continue
            for high in range(0, 256, 64):
                code = bytearray()
                for opcode in range(high, high + 64, 4):
                    code += prefix + escape + bytes([opcode | len(code) & 3]) + TAILS[len(code) & 1]
                with open(f"{sys.argv[1]}/{map_name}-{prefix_name}-{high:02x}", "wb") as out:
                    out.write(code[:80])
    with open(f"{sys.argv[1]}/long", "wb") as out:
        out.write(b"\x66\x67\x2e\xf2" * 6 + b"\x48\x81\x84\x25" + bytes(8))


main()

#!/usr/bin/env python3
"""Seeds of fuzz_guest: short programs by hand (loops, string instructions, code that changes itself, stack, x87, SSE), and
random bytes of frequent opcodes, in every mode. Usage: seeds_guest.py DIRECTORY"""
import random
import sys

PROGRAMS = {
    "loop": "b9 20 00 00 00 01 c8 83 c0 03 11 d8 e2 f7 f4",
    "strings": "fc b9 80 00 00 00 f3 a4 b9 40 00 00 00 f3 ab b9 10 00 00 00 f3 a6 fd a4 aa ac f4",
    "rewrite": "e8 00 00 00 00 5b c6 43 0d 41 c6 43 0e 90 90 90 90 90 40 40 90 eb ee f4",
    "stack": "50 53 51 52 9c 58 5a 59 5b c8 10 00 01 55 c9 60 61 0f a8 0f a9 c3",
    "shift": "d3 e0 c1 d8 05 0f a4 d0 07 0f ad d0 d3 10 d3 18 f7 e3 f7 f3 0f bc c1 0f bd c2 0f c8 0f b1 0b",
    "float": "db e3 d9 e8 d9 eb de c1 d9 fa dd 1b db 3b db 2b d9 fe dd d8 9b d9 3b f4",
    "vector": "0f 28 c1 0f 58 c2 66 0f 6f 03 66 0f fe c1 f2 0f 2a c0 f2 0f 59 c1 f2 0f 2c c0 66 0f 7f 03 0f 77",
    "system": "0f 20 c0 0f 22 c0 0f 01 3b 0f a2 0f 31 fb fa 0f 08 e4 60 e6 80 ed ef cf",
    "flags": "9c 80 0c 24 01 9d f5 f9 f8 27 2f 37 3f d4 0a d5 0a 98 99 9e 9f d7 0f 93 c0 0f 42 c1",
    "branch": "74 01 90 75 02 eb 00 e3 02 eb fa 0f 84 01 00 00 00 90 ff d0 ff 23 e9 00 00 00 00",
}
# Inputs that found something.
FOUND = {
    "limit-self-modifying": (  # stores into its own block, in the last page below the limit of CS
        "011601505351529c585a595bc810000155c960610fa80fa9c3909090"
        "90909090909090505351529c00000080c810000155c960610fa80fa9c3"),
}
FREQUENT = (list(range(0x00, 0x40)) + list(range(0x40, 0x60)) + list(range(0x70, 0x90)) + [0x0F] * 20 + [0x66] * 4 +
            [0xC0, 0xC1, 0xD0, 0xD1, 0xD3, 0xF6, 0xF7, 0xFE, 0xFF, 0x69, 0x6B, 0xA4, 0xA5, 0xAA, 0xAB, 0xF3, 0xE8, 0xEB])


def main():
    source = random.Random(1)
    for name, text in FOUND.items():
        with open(f"{sys.argv[1]}/found-{name}", "wb") as out:
            out.write(bytes.fromhex(text))
    for mode in (0, 1, 2, 3, 6, 10, 11, 7):
        for name, text in PROGRAMS.items():
            code = bytes.fromhex(text)
            with open(f"{sys.argv[1]}/{name}-{mode}", "wb") as out:
                out.write(bytes([mode, len(code), mode]) + code.ljust(32, b"\x90") + code)
        for number in range(6):
            code = bytearray()
            while len(code) < 190:
                code += bytes([source.choice(FREQUENT), source.randrange(256)])
            with open(f"{sys.argv[1]}/random-{mode}-{number}", "wb") as out:
                out.write(bytes([mode, number, mode]) + code)


main()

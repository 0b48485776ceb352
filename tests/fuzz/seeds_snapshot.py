#!/usr/bin/env python3
"""Seeds of fuzz_snapshot: changes of a snapshot, of a file of checkpoints and of a journal's. Usage: seeds_snapshot.py DIRECTORY"""
import random
import struct
import sys

draw = random.Random(6)


def change(where, part, how, value):
    return struct.pack("<IBB", where, part << 6 | how, value)


def some():
    where = draw.randrange(200) if draw.random() < 0.5 else draw.randrange(1 << 32)
    return change(where, draw.randrange(4), draw.randrange(7), draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256))))


for kind, name in enumerate(("snapshot", "file", "journal")):
    seeds = [b""] + [b"".join(some() for _ in range(1 + n % 4)) for n in range(6)]
    for number, seed in enumerate(seeds):
        with open(f"{sys.argv[1]}/{name}{number}", "wb") as file:
            file.write(bytes([kind]) + seed)

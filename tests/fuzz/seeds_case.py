#!/usr/bin/env python3
"""Seeds of fuzz_case: the cases of tests/insn/cases, and small ones of each mode. Usage: seeds_case.py DIRECTORY"""
import glob
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for path in glob.glob(os.path.join(HERE, "..", "insn", "cases", "*.json")):
    shutil.copy(path, sys.argv[1])


def case(mode, code, data=()):
    fx = bytearray(416)
    fx[0:2], fx[24:28] = b"\x7f\x03", b"\x80\x1f\x00\x00"
    gpr = ["0x0"] * 16
    gpr[4] = "0x10012000"
    return {"format": "vmrr-fuzz-1", "seed": "0x1", "mode": mode, "offset": 0, "rflags": "0x202", "code": code, "gpr": gpr,
            "fxsave": fx.hex(), "ymm_high": "00" * 256, "data": list(data)}


SEEDS = {
    "nop": case(64, [{"bytes": "90"}]),
    "relative": case(64, [{"bytes": "4801051f000000", "displacement_at": 3, "target": "0x10010010"}],
                     [{"address": "0x10010010", "bytes": "0102030405060708"}]),
    "system": case(64, [{"bytes": b} for b in ("0f05", "0f34", "cd80", "0fa2", "48cf", "0f01f9")]),
    "segments": case(32, [{"bytes": b} for b in ("b82b000000", "8ed8", "8ee8", "ea0500001033", "cf", "cb")]),
    "sixteen": case(16, [{"bytes": b} for b in ("60", "6667c70500000110abcd", "61", "c3", "cb")]),
    "level0": dict(case(64, [{"bytes": b} for b in ("0f06", "fb", "0f01f8", "0f20c0", "e680", "0f01e0", "0f32")]), level=0),
    "level0-jump": dict(case(32, [{"bytes": b} for b in ("0f22d8", "cd03", "cf", "f4")]), level=0),
    "level1": dict(case(64, [{"bytes": "90"}]), level=1),
    "short": {"format": "vmrr-fuzz-1", "mode": 64},
}
for name, value in SEEDS.items():
    with open(os.path.join(sys.argv[1], name + ".json"), "w") as out:
        json.dump(value, out)

#!/usr/bin/env python3
"""Seeds of fuzz_qmp: sessions of good requests, and some of each kind of bad one. Usage: seeds_qmp.py DIRECTORY"""
import json
import sys

GOOD = [
    {"execute": "query-status"},
    {"execute": "query-blockstats", "arguments": {"query-nodes": True}, "id": [1, {"a": None}]},
    {"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "ctrl"}, {"type": "number", "data": 57}]}},
    {"execute": "screendump", "arguments": {"filename": "/tmp/x", "format": "png"}, "id": "\u00e4\\\""},
    {"execute": "replay-break", "arguments": {"icount": 1 << 40}},
    {"execute": "human-monitor-command", "arguments": {"command-line": "x /4xg $rsp"}},
]
SEEDS = {
    "negotiate": b"\x00" + b'{"execute":"query-status"}{"execute":"qmp_capabilities","arguments":{"enable":[]}}',
    "session": b"\x01" + b"\r\n".join(json.dumps(value).encode() for value in GOOD),
    "joined": b"\x01" + b"".join(json.dumps(value).encode() for value in GOOD),
    "types": b'\x01[1,2]"text"12 tru null{"execute":1}{"execute":"stop","arguments":[]}{"id":1}{"x":1}',
    "resync": b'\x01{"execute": "sto\n{"execute":"stop"}\xff{"execute":"cont"}{"a":[\xff{"execute":"quit"}',
    "deep": b"\x01" + b"[" * 70 + b"\n" + b'{"a":' * 64 + b"1" + b"}" * 64,
    "numbers": b'\x01{"execute":"replay-seek","arguments":{"icount":99999999999999999999}}[1e999][-0][1.5]',
    "keys": b"\x02one\rtwo\x1b[A\x1b[A\x1b[B\x15three\x7f\x08\r\n\x10\x0e\x03\x0cfour\x1b[3~\t\n",
}
for name, data in SEEDS.items():
    with open(f"{sys.argv[1]}/{name}", "wb") as out:
        out.write(data)

#!/usr/bin/env python3
"""Replays prefixes of a journal: cut at every frame boundary, next to some, and anywhere.

Usage: cuts.py VMRR JOURNAL NUMBER_OF_RANDOM_CUTS
A prefix that ends with a whole events frame replays, exit code 0, and is called torn; one that lacks its start (configuration,
firmware, kernel) is refused with a message, exit code 2. Nothing else happens at any length: 3 would be a divergence.
"""
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

EVENTS, CONFIG, BLOB, END = 3, 1, 2, 7


def frame_ends(data):
    """(end offset, kind) of every frame; replay/FORMAT.md."""
    at, ends = 32, []
    while at < len(data):
        magic, kind = struct.unpack_from("<IB", data, at)
        assert magic == 0x4D524656, "offset %d: no frame" % at
        at += 80 + struct.unpack_from("<I", data, at + 52)[0]
        ends.append((at, kind))
    assert at == len(data)
    return ends


def run(vmrr, command, path):
    return subprocess.run([vmrr, command, *(["-serial", "none"] if command == "replay" else []), path],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)


def main():
    vmrr, journal, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(journal, "rb") as file:
        data = file.read()
    ends = frame_ends(data)
    started = max(end for end, kind in ends if kind in (CONFIG, BLOB))
    rng = random.Random(20260101)
    cuts = {0, 1, 31, 32, 33, 111, 112, started - 1, started, started + 1, len(data) - 1, len(data)}
    boundaries = [end for end, _ in ends]
    cuts.update(boundaries if len(boundaries) < 60 else rng.sample(boundaries, 60))
    for end in rng.sample(boundaries, min(8, len(boundaries))):
        cuts.update((end - 1, end + 1, end + 79, end + 80))
    cuts.update(rng.randrange(started, len(data)) for _ in range(count))
    last_icount, replayed = -1, 0
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "cut.vmrr")
        for cut in sorted(cut for cut in cuts if 0 <= cut <= len(data)):
            with open(path, "wb") as file:
                file.write(data[:cut])
            result = run(vmrr, "replay", path)
            text = result.stderr.decode(errors="replace")
            where = "%d of %d bytes: exit code %d: %s" % (cut, len(data), result.returncode, text[-600:])
            if cut < started:
                assert result.returncode == 2, where
                assert text.startswith("vmrr: ") and path in text, where
            else:
                assert result.returncode == 0, where
                assert "replay: bit-exact" in text, where
                assert ("torn" in text) == (cut < len(data)), where
                icount = int(re.search(r"after ([\d,]+) instructions", text)[1].replace(",", ""))
                assert icount >= last_icount, "a longer prefix replays less: " + where
                last_icount = icount
                replayed += 1
            info = run(vmrr, "info", path)
            verify = run(vmrr, "verify", path)
            assert info.returncode in (0, 2), "info of " + where
            assert info.returncode == 2 or cut == len(data) or b"torn" in info.stdout, "info of " + where
            assert verify.returncode == (0 if cut == len(data) else 2), "verify of " + where
            assert last_icount != 0 or cut < len(data), "nothing replayed"
    print("%d frames, %d prefixes, %d of them replayed, the others refused" % (len(ends), len(cuts), replayed))


if __name__ == "__main__":
    main()

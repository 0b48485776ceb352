#!/usr/bin/env python3
"""The gates of DESIGN.md, over sources and built libraries.

  check_gates.py includes SOURCE_DIR          each folder includes only what the layers allow
  check_gates.py words SOURCE_DIR             no word of record or replay outside replay/, tools/, tests/
  check_gates.py symbols BUILD_DIR            no host clock, randomness or I/O outside the files that own it
  check_gates.py objects BUILD_DIR            no mutable objects at file scope

Prints each offence and exits 1; exits 77 (skip) when a library is missing or can't be read by nm.
"""
import pathlib
import re
import subprocess
import sys

ROOMS = {
    "core": set(),
    "accel-interp": {"core"},
    "accel-kvm": {"core"},
    "block": {"core"},
    "devices": {"core"},
    "replay": {"core"},
    "tools": {"core", "accel-interp", "accel-kvm", "block", "devices", "replay"},
}
BLOCK_HEADER = "block/block.h"  # what devices and replay may know of block/

FORBIDDEN = {
    "clock_gettime", "time", "gettimeofday", "rand", "random", "getrandom", "read", "open", "open64", "fopen",
    "fopen64", "pread", "pread64", "write", "pwrite", "pwrite64", "nanosleep", "getpid", "srand", "arc4random",
}
OWNERS = {"input_live.c.o", "host_file.c.o"}
LIBRARIES = {"core": "vmrr_core", "devices": "vmrr_devices", "block": "vmrr_block", "accel-interp": "vmrr_interp"}

# Objects that are written once before main by nobody: what the compiler itself puts there.
MUTABLE_ALLOWED = {"context_of_thread"}


def sources(root, room):
    folder = root / room
    return sorted(p for pattern in ("*.c", "*.h", "*.def") for p in folder.glob(pattern))


def check_includes(root):
    bad = []
    for room, allowed in ROOMS.items():
        for path in sources(root, room):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                if not match:
                    continue
                target = match.group(1)
                other = target.split("/")[0] if "/" in target else room
                fine = other == room or other in allowed or other not in ROOMS
                if room in ("devices", "replay") and target == BLOCK_HEADER:
                    fine = True
                if "/" not in target and not (path.parent / target).exists():
                    fine = True  # generated headers
                if not fine:
                    bad.append(f"{path.relative_to(root)}:{number}: {room} must not include {target}")
    return bad


def check_words(root):
    bad = []
    word = re.compile(r"\b(re)?(record|play)(s|ed|er|ers|ing|ings)?\b|\breplay", re.IGNORECASE)
    for room in ("core", "devices", "block", "accel-interp", "accel-kvm"):
        for path in sources(root, room):
            if path.relative_to(root).as_posix() == "core/input.h":
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = word.search(line)
                if match and match.group(0).lower() not in ("play", "played", "plays"):
                    bad.append(f"{path.relative_to(root)}:{number}: '{match.group(0)}' in {room}/")
    return bad


def members(build, room):
    library = build / room / f"lib{LIBRARIES[room]}.a"
    if not library.exists():
        print(f"SKIP: {library} is not built")
        sys.exit(77)
    run = subprocess.run(["nm", "-A", str(library)], capture_output=True, text=True, check=False)
    if run.returncode:
        print(f"SKIP: nm: {run.stderr.strip()}")
        sys.exit(77)
    for line in run.stdout.splitlines():
        match = re.match(r"[^:]+:([^:]+):\s*([0-9a-f]+)?\s+(\w) (\S+)", line)
        if match:
            yield match.group(1), match.group(3), match.group(4)


def check_symbols(build):
    bad = []
    for room in LIBRARIES:
        for member, kind, symbol in members(build, room):
            if kind == "U" and symbol.split("@")[0] in FORBIDDEN and member not in OWNERS:
                bad.append(f"{room}/{member}: uses {symbol}")
    return bad


def check_objects(build):
    bad = []
    for room in LIBRARIES:
        for member, kind, symbol in members(build, room):
            name = symbol.split(".")[0]
            if kind in "bBdDC" and name not in MUTABLE_ALLOWED and not symbol.startswith((".", "__asan", "__odr")):
                bad.append(f"{room}/{member}: mutable object {symbol}")
    return bad


def main():
    checks = {"includes": check_includes, "words": check_words, "symbols": check_symbols, "objects": check_objects}
    if len(sys.argv) != 3 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    bad = checks[sys.argv[1]](pathlib.Path(sys.argv[2]))
    print("\n".join(bad) if bad else f"{sys.argv[1]}: nothing found")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The gates of DESIGN.md, over sources and built libraries.

  check_gates.py includes SOURCE_DIR          each folder includes only what the layers allow
  check_gates.py words SOURCE_DIR             no word of record or replay outside replay/, tools/, tests/
  check_gates.py symbols BUILD_DIR            no host clock, randomness or I/O outside the files that own it
  check_gates.py objects BUILD_DIR            no mutable objects at file scope
  check_gates.py floats BUILD_DIR             no floating-point arithmetic outside the guest's own: the host's MXCSR is the
                                              guest's while the interpreter runs

Prints each offence and exits 1; exits 77 (skip) when a library is missing or can't be read by objdump.
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
OWNERS = {"input_live.c.o", "host_file_posix.c.o", "host_direct.c.o",
          "host_wait.c.o"}  # how long a worker waits for work
LIBRARIES = {"core": "vmrr_core", "devices": "vmrr_devices", "block": "vmrr_block", "accel-interp": "vmrr_interp",
             "accel-kvm": "vmrr_kvm"}
HOST_ROOMS = {"accel-kvm"}  # may ask the host: /dev/kvm is one of its files, and its clock an input

# Of a thread, not of a machine: whom check_failed asks for the position; what stands for the host's FCW and MXCSR.
MUTABLE_ALLOWED = {"context_of_thread", "fp_soft_unit"}
# Constants that hold addresses lie in .data.rel.ro: read-only once they are relocated.
MUTABLE_SECTIONS = re.compile(r"^(\.data|\.bss|\.tdata|\.tbss|\.ldata|\.lbss)(?!\.rel\.ro)(\.|$)|^\*COM\*$")

# Whose work the guest's floating point is, by the control words that the guest set.
FLOAT_OWNERS = re.compile(r"^(fp_|exec_x87|exec_sse|exec_mmx|exec_avx)")
FLOAT_ARITHMETIC = re.compile(
    r"^v?(cvt\w+"
    r"|(add|sub|mul|div|sqrt|min|max|addsub|hadd|hsub|round|dp|rcp|rsqrt|cmp\w*)(ss|sd|ps|pd)"
    r"|u?comis[sd]|fn?m?(add|sub)\d+(ss|sd|ps|pd)"
    r"|f(add|sub|subr|mul|div|divr|iadd|isub|isubr|imul|idiv|idivr)\w*"
    r"|f(ld|ild|st|stp|ist|istp|isttp|com|comp|compp|ucom|ucomp|ucompp|comi|comip|ucomi|ucomip|icom|icomp)[lst]?l?"
    r"|fld1|fldz|fldl2e|fldl2t|fldlg2|fldln2|fldpi|fchs|fabs|fsqrt|fscale|fprem1?|frndint|fxtract|fxch|fsin|fcos|fsincos"
    r"|fptan|fpatan|f2xm1|fyl2x|fyl2xp1|fbld|fbstp|ftst|fxam|fcmov\w+)$")


def sources(root, room):
    folder = root / room
    return sorted(p for pattern in ("*.c", "*.h", "*.def") for p in folder.rglob(pattern))


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


def rooms(build):
    """Those that this build has: accel-kvm is of x86-64 Linux alone."""
    return [room for room in LIBRARIES if room != "accel-kvm" or (build / room).exists()]


def objdump(build, room, *options):
    """Lines of objdump over a room's library, each with the member that it is about."""
    library = build / room / f"lib{LIBRARIES[room]}.a"
    if not library.exists():
        print(f"SKIP: {library} is not built")
        sys.exit(77)
    run = subprocess.run(["objdump", *options, str(library)], capture_output=True, text=True, check=False)
    if run.returncode:
        print(f"SKIP: objdump: {run.stderr.strip()}")
        sys.exit(77)
    member = None
    for line in run.stdout.splitlines():
        header = re.match(r"(\S+):\s+file format ", line)
        if header:
            member = header.group(1)
        elif member:
            yield member, line


def symbols(build, room):
    """(member, section, name) of each symbol; section *UND* for what a member uses, *COM* for a tentative definition."""
    for member, line in objdump(build, room, "-t"):
        match = re.match(r"[0-9a-f]{16} (.{7}) (\S+)\t[0-9a-f]{16}\s+(?:\.hidden |\.internal |\.protected )?(\S+)$", line)
        if match and match.group(1)[5] not in "df":  # no section and file names
            yield member, match.group(2), match.group(3)


def check_symbols(build):
    bad = []
    for room in rooms(build):
        if room in HOST_ROOMS:
            continue
        for member, section, symbol in symbols(build, room):
            if section == "*UND*" and symbol.split("@")[0] in FORBIDDEN and member not in OWNERS:
                bad.append(f"{room}/{member}: uses {symbol}")
    return bad


def check_objects(build):
    bad = []
    for room in rooms(build):
        for member, section, symbol in symbols(build, room):
            if MUTABLE_SECTIONS.match(section) and symbol.split(".")[0] not in MUTABLE_ALLOWED:
                bad.append(f"{room}/{member}: mutable object {symbol} in {section}")
    return bad


def check_floats(build):
    bad = []
    for room in rooms(build):
        function = "?"
        for member, line in objdump(build, room, "-d", "--no-show-raw-insn"):
            label = re.match(r"[0-9a-f]+ <(.+)>:$", line)
            if label:
                function = label.group(1)
            code = re.match(r"\s+[0-9a-f]+:\t(\w+)", line)
            if code and FLOAT_ARITHMETIC.match(code.group(1)) and not FLOAT_OWNERS.match(member):
                bad.append(f"{room}/{member}: {function}: {code.group(1)}")
    return bad


def main():
    checks = {"includes": check_includes, "words": check_words, "symbols": check_symbols, "objects": check_objects,
              "floats": check_floats}
    if len(sys.argv) != 3 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    bad = checks[sys.argv[1]](pathlib.Path(sys.argv[2]))
    print("\n".join(bad) if bad else f"{sys.argv[1]}: nothing found")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

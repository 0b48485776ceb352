"""What the tests of branches share: recording a guest, branching it, and what is to be seen of a run."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
VMRR, GUESTS = sys.argv[1:3]
work = tempfile.mkdtemp()
SECTOR = 512


def finish(code=0):
    shutil.rmtree(work, ignore_errors=True)
    sys.exit(code)


def check(what, condition):
    if not condition:
        print(f"failed: {what}")
        finish(1)


def same(what, got, expected):
    check(f"{what}:\n  got      {str(got)[:800]}\n  expected {str(expected)[:800]}", got == expected)


def path(name):
    return os.path.join(work, name)


def vmrr(*arguments, code=0, stdin="", timeout=200, **more):
    done = subprocess.run([VMRR, *map(str, arguments)], input=stdin, capture_output=True, text=True, errors="replace",
                          timeout=timeout, **more)
    check(f"vmrr {' '.join(map(str, arguments))}: exit code {done.returncode}, expected {code}\n{done.stdout[-1500:]}\n"
          f"{done.stderr[-2500:]}", done.returncode == code)
    return done


def ending(done):
    """How the guest's run ended: cause, instructions, digest."""
    found = re.search(r"^guest: (.*) after ([\d,]+) instr.* digest ([0-9a-f]+)$", done.stderr, re.M)
    check(f"an end: {done.stderr[-500:]}", found)
    return found.groups()


def events(journal, *options):
    """As text; of digests the bits that any frame keeps."""
    return [line.lstrip() if " digest " not in line else re.sub(r"( digest )(?:\.\.|[0-9a-f]{14})([0-9a-f]{2})$", r"\1\2",
                                                               line.lstrip())
            for line in vmrr("dump", *options, journal).stdout.splitlines()]


def info(journal):
    return json.loads(vmrr("info", "--json", journal).stdout)


def text_of(name):
    with open(path(name), errors="replace") as file:
        return file.read()


def new_disk(name="disk.img", content=b"", sectors=4096):
    with open(path(name), "wb") as disk:
        disk.write(content)
        disk.truncate(sectors * SECTOR)
    return path(name)


DISKLESS = ("timers", "inputs", "protected32", "exceptions64")


def record(guest, *options, code=1, journal="parent.vmrr"):
    """Guests leave by themselves: exit code 1 says that all was well."""
    drive = [] if guest in DISKLESS else ["-drive", f"file={new_disk()},format=raw,if=ide"]
    return vmrr("record", "-o", path(journal), "-m", "16M", "-rtc", "base=2026-01-01T10:20:30", "-kernel",
                f"{GUESTS}/{guest}.elf", *drive, "-serial", f"file:{path('parent.txt')}", *options, code=code)


def replays(journal, end, console):
    """Bit-exact, to the same end, with the same console; needs nothing else."""
    done = vmrr("replay", journal, "-serial", f"file:{path('again.txt')}")
    check("bit-exact: " + done.stderr, "replay: bit-exact\n" in done.stderr)
    same("end of the replay", ending(done), end)
    same("console of the replay", text_of("again.txt"), console)

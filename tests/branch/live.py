#!/usr/bin/env python3
"""Branches that the host takes part in: --timing=host with requests under way where the branch begins, torn journals,
Ctrl-C before and after, a full disk.
Usage: live.py VMRR GUESTS"""
import os
import random
import resource
import signal
import subprocess
import time

from branch import VMRR, check, ending, events, finish, info, new_disk, path, record, replays, same, text_of, vmrr

random.seed(66)


def host_timing(guest, positions, verdict):
    """The host says when requests end: another run every time, each of which replays."""
    record(guest, "--timing=host")
    lines = [line.split() for line in events(path("parent.vmrr"), "--kind=block,irq")]
    length, begun, under_way = info(path("parent.vmrr"))["icount"], {}, []
    for words in lines:
        if "block-request" in words:
            begun[words[words.index("tag") + 1]] = int(words[0])
        elif "block-completion" in words:
            at = begun.pop(words[words.index("tag") + 1], None)
            if at is not None and int(words[0]) > at + 1:
                under_way.append((at + int(words[0])) // 2 + 1)
    check("requests are under way somewhere", len(under_way) > 10)
    for at in [*random.sample(under_way, positions), random.randrange(length)]:
        done = vmrr("replay", path("parent.vmrr"), "--until", at, "--then", "record", "-o", path("branch.vmrr"), "-serial",
                    f"file:{path('branch.txt')}", code=1)
        check(f"{guest} at {at}: {text_of('branch.txt')}", verdict in text_of("branch.txt"))
        replays(path("branch.vmrr"), ending(done), text_of("branch.txt"))
        before = [line for line in lines if int(line[0]) < at]
        same(f"{guest} at {at}: events before", [line.split() for line in events(path("branch.vmrr"), "--kind=block,irq")][:len(before)], before)
        check("the same live", verdict in vmrr("replay", path("parent.vmrr"), "--at", at, "-serial", "stdio", code=1).stdout)


host_timing("dma_writer", 4, ", 0 errors")
host_timing("ide_pio", 2, "all as expected")

# Torn: from any position that is whole, and by default from where it ends. Nothing changed: the future that it had.
parent = record("dma_writer")
whole = events(path("parent.vmrr"), "--kind=digest,block,irq")
size = os.path.getsize(path("parent.vmrr"))
for cut in (size - 100, int(size * 0.95)):
    with open(path("parent.vmrr"), "rb") as file, open(path("torn.vmrr"), "wb") as torn:
        torn.write(file.read(cut))
    check("it is torn", info(path("torn.vmrr"))["torn"])
    last = info(path("torn.vmrr"))["icount"]
    for options in ((("--until", last // 2),) if cut == size - 100 else ((), ("--until", last // 2))):
        done = vmrr("replay", path("torn.vmrr"), *options, "--then", "record", "-o", path("branch.vmrr"), "-serial",
                    f"file:{path('branch.txt')}", code=1)
        same("its end", ending(done), ending(parent))
        same("its events", events(path("branch.vmrr"), "--kind=digest,block,irq"), whole)
        replays(path("branch.vmrr"), ending(done), text_of("branch.txt"))
    gone = vmrr("replay", path("torn.vmrr"), "--until", last + 1, "--then", "live", code=2)
    check(gone.stderr, f"ends at position {last}: there is no going on from {last + 1}" in gone.stderr)

with open(path("parent.vmrr"), "rb") as file, open(path("torn.vmrr"), "wb") as torn:
    torn.write(file.read(size // 3))
gone = vmrr("replay", path("torn.vmrr"), "--then", "live", code=2)
over = vmrr("replay", path("parent.vmrr"), "--then", "record", "-o", path("over.vmrr"), "-serial", "none", code=1)
check(over.stderr, "guest: debug-exit" in over.stderr and "was not reached: there is no branch" in over.stderr)
check("no journal is left", not os.path.exists(path("over.vmrr")))
check(gone.stderr, "torn.vmrr: ends before the run begins" in gone.stderr)

# Ctrl-C. Before: no branch, no journal. After: a whole journal of what there was.
record("endless", "--until", "600000000", code=0)


def start(*options, **more):
    return subprocess.Popen([VMRR, "replay", path("parent.vmrr"), "-serial", "none", *map(str, options)],
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more)


early = start("--until", "599000000", "--then", "record", "-o", path("early.vmrr"))
caught = 0
while not caught >> (signal.SIGINT - 1) & 1:  # it listens
    with open(f"/proc/{early.pid}/status") as status:
        caught = int(status.read().split("SigCgt:")[1].split()[0], 16)
    check("it runs", early.poll() is None)
    time.sleep(0.01)
check("a journal is being made", os.path.exists(path("early.vmrr")))
early.send_signal(signal.SIGINT)
text = early.communicate(timeout=100)[1]
same(f"exit code: {text}", early.returncode, 1)
check(text, "position 599000000 was not reached: there is no branch" in text)
check("no journal is left", not os.path.exists(path("early.vmrr")))
for then in ("record", "live"):
    late = start("--until", "1000000", "--then", then, *(["-o", path("late.vmrr")] if then == "record" else []))
    line = late.stderr.readline()
    check(line, line.startswith("branch: live from icount 1000000,"))
    late.send_signal(signal.SIGTERM)
    text = line + late.communicate(timeout=100)[1]
    same(f"exit code: {text}", late.returncode, 0)
    check(text, "guest: interrupt after" in text)
    if then == "record":
        end = ending(subprocess.CompletedProcess([], 0, "", text))
        done = vmrr("replay", path("late.vmrr"), "-serial", "none")
        same("a replay's end", ending(done), end)
        check(done.stderr, "replay: bit-exact\n" in done.stderr)

new_disk("zero.img")


def beginning_of(journal):
    """Bytes up to the end of the configuration and what belongs to it (FORMAT.md: frames of kinds 1 and 2)."""
    with open(journal, "rb") as file:
        content = file.read()
    at = 32
    while content[at + 4] in (1, 2):
        at += 80 + int.from_bytes(content[at + 52:at + 56], "little")
    return at


# A full disk, by a file size limit: the guest is stopped, what there is replays. Before the branch begins: there is no room for a
# frame of events behind the configuration (here a few bytes longer, by the position), and the first goes out when it is a second old.
beginning = beginning_of(path("late.vmrr"))
for limit, at, reached in ((40 << 10, "1000000", True), (beginning + 72, "599000000", False)):
    full = start("--until", at, "--then", "record", "-o", path("full.vmrr"), "-drive", f"file={path('zero.img')},format=raw",
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    while not reached and (not os.path.exists(path("full.vmrr")) or os.path.getsize(path("full.vmrr")) < beginning - 72):
        check("it runs", full.poll() is None)
        time.sleep(0.001)
    if not reached:
        full.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        full.send_signal(signal.SIGCONT)
    text = full.communicate(timeout=200)[1]
    same(f"exit code: {text}", full.returncode, 1)
    check(text, "full.vmrr: no space left on the device: stopping the guest" in text)
    check(text, ("stays replayable" in text) == reached and ("there is no branch" in text) != reached)
    same(f"what is left: {text}", os.path.exists(path("full.vmrr")), reached)
    if reached:
        check("it replays", "bit-exact" in vmrr("replay", path("full.vmrr"), "-serial", "none").stderr)
        os.remove(path("full.vmrr"))
print("host timing, torn journals, signals, full disks")
finish()

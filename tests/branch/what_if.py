#!/usr/bin/env python3
"""What if: one thing is other than in the recorded run from a position on. The guest meets it, once; the branch's journal has
it as an input and replays.
Usage: what_if.py VMRR GUESTS"""
import os
import re

from branch import check, ending, events, finish, info, new_disk, path, record, replays, same, text_of, vmrr


def faults(journal):
    """Position and value of what went wrong."""
    found = [re.match(r"(\d+) .*pull block-fault = ([0-9a-f]+)$", line) for line in events(path(journal), "--kind=input")]
    return [(int(match[1]), int(match[2], 16)) for match in found if match and match[2] != "0"]


# A guest that meets an error reads what it did not read before.
image = ("-drive", f"file={new_disk('start.img')},format=raw")


def branch(at, code, *sets, parent="parent.vmrr"):
    done = vmrr("replay", path(parent), "--at", at, *image, *(word for text in sets for word in ("--set", text)), "-o",
                path("branch.vmrr"), "-serial", f"file:{path('branch.txt')}", code=code)
    replays(path("branch.vmrr"), ending(done), text_of("branch.txt"))
    same("what was changed", info(path("branch.vmrr"))["parent"]["changes"], "; ".join(sets))
    check("info tells people", "; ".join(sets) in vmrr("info", path("branch.vmrr")).stdout)
    return ending(done)


def request(op, at):
    """Of the parent: the first such request that is submitted at the position or behind it."""
    for line in events(path("parent.vmrr"), "--kind=block"):
        match = re.search(rf"^(\d+) .*block-request drive 0 tag (\d+) {op} sector (\d+)\+(\d+)", line)
        if match and int(match[1]) >= at:
            return tuple(map(int, match.groups()))
    check(f"a {op} behind {at}", False)


for timing in ("model", "host"):
    parent = ending(record("dma_writer", f"--timing={timing}"))
    length = info(path("parent.vmrr"))["icount"]
    before = events(path("parent.vmrr"), "--kind=block,irq,input")
    cases = [(3, ["fail-write=EIO"], 1, 5), (2, ["drop-write"], 4, 5), (4, ["torn-write=0"], 3, 5), (2, ["fail-read=EIO"], 1, 5),
             (2, ["delay=3000000"], 6, 1), (3, ["delay=777", "drop-write,nth=3"], 6, 5), (5, ["reorder-write,drive=0"], 7, 1)]
    for part, sets, kind, code in cases if timing == "model" else cases[:1] + cases[5:]:
        at = length // part
        end = branch(at, code, *sets)
        met = faults("branch.vmrr")
        same(f"{timing}: {sets}: faults {met}", [value & 0xFF for _, value in met][0], kind)
        same(f"{timing}: {sets}: so many", len(met), len(sets))
        check(f"{timing}: {sets}: at {met}, from {at}", all(place >= at for place, _ in met))
        check(f"{sets}: another future", end != parent or kind == 7)
        # What diff tells first is what was changed: by the host's time a request that is under way completes elsewhere.
        if timing == "model" and sets == ["fail-write=EIO"]:
            said = vmrr("diff", "--no-replay", path("parent.vmrr"), path("branch.vmrr"), code=3).stdout
            check(said, re.search(r"^  a> +\d+ .*\n", said, re.M) and re.search(r"^  b> +%d .* pull input block-fault value 0x1$" % met[0][0],
                                                                                said, re.M))
        mine = [line for line in before if int(line.split()[0]) < at]
        theirs = [line for line in events(path("branch.vmrr"), "--kind=block,irq,input") if "pull block-fault = 0" not in line]
        same("the same past", theirs[:len(mine)], mine)
    # No space: the drive's werror= stops the machine, and nobody could say cont.
    branch(length // 2, 1, "fail-write=ENOSPC")
    said = vmrr("replay", path("parent.vmrr"), "--at", length // 2, *image, "--set", "fail-write=ENOSPC", "-serial", "none", code=1)
    check(said.stderr, "no space left on the host: stopped" in said.stderr)
    # A bit of a sector that lies within the request: of the written data the byte is the sector's.
    place, tag, sector, count = request("write", length // 3)
    branch(place, 5, f"flip={sector + count - 1}:77:3")
    same("the flipped bit, counted from the request", [value >> 8 for _, value in faults("branch.vmrr")],
         [((count - 1) * 512 + 77) * 8 + 3])
    branch(place, 1, f"flip={4095}:77:3")
    same("of a sector that is not touched", faults("branch.vmrr"), [])
    # -blkfault's rules count from there.
    branch_rule = "drive=0,op=write,nth=2,kind=eio"
    vmrr("replay", path("parent.vmrr"), "--at", length // 2, *image, "-blkfault", branch_rule, "-o", path("rule.vmrr"), "-serial", "none",
         code=5)
    same("-blkfault", len(faults("rule.vmrr")), 1)

# A run that itself had faults: the branch is of the drive that asks.
record("dma_writer", "-blkfault", "drive=0,op=write,nth=20,kind=eio", code=5)
length, had = info(path("parent.vmrr"))["icount"], faults("parent.vmrr")
at = had[0][0] + 1000
branch(at, 5, "delay=1000")
same("both", [value & 0xFF for _, value in faults("branch.vmrr")], [1, 6])

# Keys, text, buttons: where the branch begins.
image = ()
record("inputs", "-cpu", "max")
length = info(path("parent.vmrr"))["icount"]
branch(length // 2, 1, "key=ctrl-alt-delete", r"serial=a,b\n\x41\\")
arrived = [re.search(r"^(\d+) .*deliver (key|serial) target 0 a ([0-9a-f]+) b (\d)", line)
           for line in events(path("branch.vmrr"), "--kind=input") if " deliver " in line]
same("what arrived", [(match[2], int(match[3], 16), int(match[4])) for match in arrived],
     [("key", 0x1D, 1), ("key", 0x38, 1), ("key", 0xE053, 1), ("key", 0xE053, 0), ("key", 0x38, 0), ("key", 0x1D, 0),
      *(("serial", ord(letter), 0) for letter in "a,b\nA\\")])
same("where", {int(match[1]) for match in arrived}, {length // 2})
# What came while the machine stood still comes again in a branch of the branch.
os.rename(path("branch.vmrr"), path("first.vmrr"))
vmrr("replay", path("first.vmrr"), "--at", length * 3 // 4, "-o", path("branch.vmrr"), "-serial", "none", code=1)
same("the branch's future", events(path("branch.vmrr")), events(path("first.vmrr")))
record("timers")
vmrr("replay", path("parent.vmrr"), "--at", 1000000, "--set", "reset-button", "--until", 3000000, "-o", path("branch.vmrr"),
     "-serial", "none")
check("the reset", any(" reset" in line for line in events(path("branch.vmrr"))))
print("what-ifs: met once, replayed")
finish()

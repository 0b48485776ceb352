#!/usr/bin/env python3
"""A branch that is told to change nothing, of a run with --timing=model: its future is its parent's, digest for digest and
event for event, from wherever it begins; and its journal replays. Branches of branches too.
Usage: future.py VMRR GUESTS"""
import random

from branch import check, ending, events, finish, info, path, record, replays, same, text_of, vmrr

random.seed(6)


def branches(guest, positions, *options):
    parent = record(guest, *options)
    end, console, expected = ending(parent), text_of("parent.txt"), events(path("parent.vmrr"))
    length = info(path("parent.vmrr"))["icount"]
    for at in [0, length - 1, *(random.randrange(length) for _ in range(positions))]:
        done = vmrr("replay", path("parent.vmrr"), "--until", at, "--then", "record", "-o", path("branch.vmrr"), "-serial",
                    f"file:{path('branch.txt')}", code=1)
        check(f"it says so: {done.stderr}", f"branch: live from icount {at}," in done.stderr)
        same(f"{guest} at {at}: end", ending(done), end)
        same(f"{guest} at {at}: console", text_of("branch.txt"), console)
        same(f"{guest} at {at}: events", events(path("branch.vmrr")), expected)
        named = info(path("branch.vmrr"))["parent"]
        same("its parent", (named["path"], named["icount"], named["changes"]), (path("parent.vmrr"), at, None))
    replays(path("branch.vmrr"), end, console)
    # Live only, and from the branch once more.
    at = random.randrange(length)
    same("live", ending(vmrr("replay", path("parent.vmrr"), "--at", at, "--then=live", "-serial", "none", code=1)), end)
    done = vmrr("replay", path("branch.vmrr"), "--at", at, "-o", path("second.vmrr"), "-serial", "none", code=1)
    same("a branch's branch", (ending(done), events(path("second.vmrr"))), (end, expected))
    same("its parent", info(path("second.vmrr"))["parent"]["path"], path("branch.vmrr"))
    # And with an end of its own.
    until = (at + length) // 2
    done = vmrr("replay", path("parent.vmrr"), "--at", at, "--until", until, "-serial", "none",
                "--then=record", "-o", path("short.vmrr"))
    short = ending(done)
    same("how it ends", short[0], "limit")
    same("a replay of the parent to there", short,
         ending(vmrr("replay", path("parent.vmrr"), "--until", until, "-serial", "none")))
    print(f"{guest}: {end}, {positions + 5} branches")


branches("dma_writer", 2, "--seed=7")
branches("ide_pio", 3)
branches("inputs", 5, "-cpu", "max")
branches("timers", 1)
branches("monitor", 2, "--seed=3")
finish()

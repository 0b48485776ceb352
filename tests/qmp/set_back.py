#!/usr/bin/env python3
"""Events of what a guest does are told once in a replay that is gone about in: resets, the tray, disk errors. And a branch that is recorded
from a run whose messages came while the machine stood still.  Usage: set_back.py VMRR GUESTS"""
import collections
import re
import signal

from media_guest import Guest, make_disc
from vmrr import Qmp, check, end, ending, events, finish, path, read_until, start

DRIVE = "ide1-cd0"
NAMES = ("RESET", "DEVICE_TRAY_MOVED", "BLOCK_IO_ERROR")


def record(timing):
    first, second = make_disc("first.iso", 0xA, 40), make_disc("second.iso", 0xB, 60)
    with open(path("disk.img"), "wb") as out:
        out.truncate(1 << 20)
    guest = Guest("set_back", "-cdrom", first, "-drive", f"file={path('disk.img')},format=raw,id=disk",
                  "-blkfault", "drive=0,op=write,nth=2,kind=eio", timing=timing)
    guest.begin()
    guest.tell("t")
    for line in ("e", "l", "w 3 7", "w 4 8", "w 5 9", "e", "l"):
        guest.tell(line)
    guest.qmp.execute("stop")
    guest.qmp.execute("blockdev-change-medium", device=DRIVE, filename=second)
    guest.qmp.execute("blockdev-open-tray", device=DRIVE)
    guest.qmp.execute("blockdev-close-tray", device=DRIVE)
    guest.qmp.execute("system_reset")
    guest.qmp.execute("blockdev-open-tray", device=DRIVE)
    guest.qmp.execute("blockdev-close-tray", device=DRIVE)  # after the reset, at the same position
    guest.qmp.execute("cont")
    guest.said += read_until(guest.console, b"media: say\n")
    guest.tell("t")
    guest.console.sendall(b"x\n")
    guest.said += read_until(guest.console, b"media: say\n")
    guest.qmp.execute("query-status")
    told = tell(guest.qmp)
    guest.finish()
    return guest, told


def tell(qmp):
    """How often each was told so far."""
    qmp.execute("query-status")
    return collections.Counter(event["event"] for event in qmp.events if event["event"] in NAMES)


def about(guest, told):
    last = int(ending(guest.error)[1].replace(",", "")) - 1
    process = start("replay", "-S", "-qmp", f"unix:{path('again')},server=on,wait=off", "-serial", "none", guest.journal)
    qmp = Qmp(path("again"))
    check(not tell(qmp), qmp.events)
    seen = collections.Counter()
    for place in (last // 2, last // 4, last * 3 // 4, 0, last // 3, last, 0, last, last // 2, last):
        qmp.execute("replay-seek", icount=place)
        now = tell(qmp)
        check(all(now[name] >= seen[name] for name in NAMES), now, seen)
        seen = now
    check(seen == told, "told in the replay:", seen, "in the recording:", told)
    check(all(told[name] for name in NAMES), told)
    qmp.execute("cont")
    again = end(process)[1]
    check("replay: bit-exact" in again, again)


def deliveries(journal):
    return [event for event in events(journal) if event["kind"] == "deliver"]


def branch(guest, timing):
    """What the recorder was given at one position, before and after the machine had stood still there, is in the branch."""
    media = guest.inputs("media")
    messages = deliveries(guest.journal)
    at = max(event["icount"] for event in media) + 1
    journal = path("branch.vmrr")
    process = start("replay", guest.journal, f"--until={at}", "--then", "record", "-o", journal, "-serial", "none")
    err = b""
    while b"\n" not in err[err.find(b"branch: live"):] or b"branch: live" not in err:
        part = process.stderr.read1()
        check(part, "the branch does not begin:", err)
        err += part
    check(f"branch: live from icount {at}," in err.decode(), err)
    if timing == "host":
        process.send_signal(signal.SIGINT)  # its guest waits for somebody who types; else it ends by itself
    check(process.wait(60) >= 0, "exit code", process.returncode)
    process.stderr.close()
    process = start("replay", "-serial", "none", journal)
    _, err = process.communicate(timeout=60)
    check(b"replay: bit-exact" in err and not re.search(b"DIVERGED", err), err)
    before = [event for event in messages if event["icount"] < at]
    after = [event for event in deliveries(journal) if event["icount"] < at]
    check(after == before, "the branch has other inputs:", [pair for pair in zip(after, before) if pair[0] != pair[1]][:3], len(after), len(before), at,
          (after + before)[-3:])
    places = [event["icount"] for event in media]
    check(any(places.count(place) > 3 for place in places), "several at one position:", places)


def main():
    for timing in ("model", "host"):
        guest, told = record(timing)
        about(guest, told)
        branch(guest, timing)
        print(f"--timing={timing}: {dict(told)}, once")


finish(main)

#!/usr/bin/env python3
"""Media that come and go: eject, change, the tray, by monitors and by the guest; the guest sees the medium that is there, by
its sense data and its sectors; recorded, and replayed bit-exactly when the images are gone. Usage: media.py VMRR GUESTS"""
from media_guest import Guest, make_disc
from vmrr import check, finish, path, read_until

DRIVE = "ide1-cd0"
ATTENTION = "sense 6/2800"
NO_MEDIUM_OPEN, NO_MEDIUM_CLOSED = "sense 2/3a02", "sense 2/3a01"


def block(letter, n):
    word = letter << 16 | n
    return f"block {n}: {word:x}, sum {word * 512 & 0xffffffff:x}"


def moved(guest, is_open):
    event = guest.qmp.wait_event("DEVICE_TRAY_MOVED")["data"]
    check(event == {"device": DRIVE, "id": guest.drive(DRIVE)["qdev"], "tray-open": is_open}, event)


def tray(guest, is_open, locked=False, inserted=None):
    drive = guest.drive(DRIVE)
    check((drive["tray_open"], drive["locked"], drive["removable"]) == (is_open, locked, True), drive)
    check(drive.get("inserted", {}).get("file") == inserted, "in the drive:", drive.get("inserted"), "expected:", inserted)


def monitor_changes(guest, first, second):
    guest.begin()
    check(guest.tell("t") == "sense 6/2900", "power on")
    guest.tell("b 3", block(0xA, 3))
    guest.tell("c", "40 blocks")
    guest.qmp.execute("eject", device=DRIVE)
    moved(guest, True)
    tray(guest, True)
    guest.tell("t", NO_MEDIUM_OPEN)
    guest.tell("b 3", NO_MEDIUM_OPEN)
    guest.qmp.execute("blockdev-change-medium", device=DRIVE, filename=second, format="raw")
    moved(guest, False)
    tray(guest, False, inserted=second)
    guest.tell("t", ATTENTION)
    guest.tell("t", "ok")
    guest.tell("c", "60 blocks")
    guest.tell("v", "event 2, media 2")
    guest.tell("b 3", block(0xB, 3))
    guest.tell("b 50", block(0xB, 50))
    # From one to the other without an empty drive in between, by the words for people.
    check(guest.qmp.human(f"change {DRIVE} \"{first}\" raw") == "", "change")
    moved(guest, True)
    moved(guest, False)
    guest.tell("b 3", ATTENTION)
    guest.tell("b 3", block(0xA, 3))
    guest.tell("b 50", "sense 5/2100")


def guest_ejects(guest, first):
    guest.tell("e", "ok")
    moved(guest, True)
    tray(guest, True, inserted=first)
    guest.tell("t", NO_MEDIUM_OPEN)
    guest.qmp.execute("blockdev-close-tray", id=guest.drive(DRIVE)["qdev"])
    moved(guest, False)
    guest.tell("b 3", ATTENTION)
    guest.tell("b 3", block(0xA, 3))
    guest.tell("e", "ok")
    moved(guest, True)
    guest.tell("l", "ok")
    moved(guest, False)
    guest.tell("b 4", block(0xA, 4))


def lock(guest, first, second):
    guest.tell("p", "ok")
    tray(guest, False, locked=True, inserted=first)
    guest.tell("e", "sense 5/5302")
    guest.tell("v")
    guest.qmp.refused("eject", "is locked and force was not specified", device=DRIVE)
    guest.tell("v", "event 1, media 2")  # the guest was asked
    guest.qmp.refused("blockdev-change-medium", "is locked", device=DRIVE, filename=second)
    guest.qmp.refused("blockdev-open-tray", "is locked", device=DRIVE)
    guest.qmp.refused("blockdev-remove-medium", f"Tray of device '{DRIVE}' is not open", id=guest.drive(DRIVE)["qdev"])
    tray(guest, False, locked=True, inserted=first)
    guest.tell("b 5", block(0xA, 5))
    guest.qmp.execute("eject", device=DRIVE, force=True)
    moved(guest, True)
    guest.tell("t", NO_MEDIUM_OPEN)
    guest.tell("a", "ok")
    tray(guest, True)


def standing_still(guest, first):
    """What is asked of a machine that stands still has happened when the answer comes. The same file, with other content."""
    make_disc("first.iso", 0xC, 40)
    guest.qmp.execute("stop")
    guest.qmp.execute("blockdev-change-medium", device=DRIVE, filename=first)
    moved(guest, False)
    tray(guest, False, inserted=first)
    guest.qmp.execute("blockdev-open-tray", device=DRIVE)
    tray(guest, True, inserted=first)
    guest.qmp.execute("blockdev-close-tray", device=DRIVE)
    guest.qmp.execute("cont")
    guest.tell("b 3", ATTENTION)
    guest.tell("b 3", block(0xC, 3))
    guest.qmp.execute("blockdev-open-tray", device=DRIVE)
    guest.qmp.execute("blockdev-remove-medium", id=guest.drive(DRIVE)["qdev"])
    guest.qmp.execute("blockdev-close-tray", device=DRIVE)
    guest.tell("t", NO_MEDIUM_CLOSED)
    tray(guest, False)


def with_a_reset(guest, second):
    """At one position: the reset, which comes with the first of what follows it, and the medium's way into the drive."""
    guest.qmp.execute("stop")
    guest.qmp.execute("system_reset")
    guest.qmp.execute("blockdev-change-medium", device=DRIVE, filename=second)
    guest.qmp.execute("cont")
    guest.said += read_until(guest.console, b"media: say\n")
    guest.tell("t", ATTENTION)
    guest.tell("b 9", block(0xB, 9))


def refusals(guest):
    qmp = guest.qmp
    check(qmp.refused("eject", "Device 'nope' not found", device="nope") == "DeviceNotFound", "class")
    qmp.refused("eject", "Need exactly one of 'device' and 'id'")
    qmp.refused("eject", "Need exactly one of 'device' and 'id'", device=DRIVE, id="x")
    qmp.refused("eject", "Device 'disk' is not removable", device="disk")
    qmp.refused("blockdev-close-tray", "Device 'disk' is not removable", device="disk")
    qmp.refused("blockdev-change-medium", "No such file", device=DRIVE, filename=path("none"))
    qmp.refused("blockdev-change-medium", "", device=DRIVE, filename=path("media"), format="vmdk")
    qmp.refused("blockdev-change-medium", "'read-only-mode' does not accept value", device=DRIVE, filename="x",
                read_only_mode="maybe")
    qmp.refused("blockdev-change-medium", "media are read-only", device=DRIVE, filename="x", read_only_mode="read-write")
    check("block device name expected" in qmp.human("eject") and "filename expected" in qmp.human(f"change {DRIVE}"), "hmp")
    check(qmp.human("eject nope") == "Error: Device 'nope' not found\r\n", qmp.human("eject nope"))


def run(timing, *extra):
    first, second = make_disc("first.iso", 0xA, 40), make_disc("second.iso", 0xB, 60)
    disk = path("disk.img")
    with open(disk, "wb") as out:
        out.truncate(1 << 20)
    guest = Guest("media", "-cdrom", first, "-drive", f"file={disk},format=raw,id=disk", *extra, timing=timing)
    monitor_changes(guest, first, second)
    guest_ejects(guest, first)
    lock(guest, first, second)
    standing_still(guest, first)
    with_a_reset(guest, second)
    refusals(guest)
    guest.finish()
    check(len(guest.inputs("media")) > 15, guest.inputs("media"))
    guest.replay(first, second, disk)


def empty_at_first(timing):
    disc = make_disc("disc.iso", 0xD, 20)
    guest = Guest("empty", "-drive", "if=ide,media=cdrom,index=2,id=cd", timing=timing)
    guest.begin()
    drive = guest.drive("cd")
    check("inserted" not in drive and drive["removable"] and not drive["tray_open"], drive)
    check(guest.qmp.human("info block").startswith("cd: [not inserted]\r\n"), guest.qmp.human("info block"))
    guest.tell("t")
    guest.tell("t", NO_MEDIUM_CLOSED)
    guest.qmp.execute("blockdev-change-medium", device="cd", filename=disc)
    guest.tell("b 7", ATTENTION)
    guest.tell("b 7", block(0xD, 7))
    guest.finish()
    guest.replay(disc)


def unrecorded():
    """Without a journal the same commands do the same."""
    disc = make_disc("disc.iso", 0xD, 20)
    guest = Guest("none", "-cdrom", disc, command="run")
    guest.begin()
    guest.tell("t")
    guest.qmp.execute("eject", device=DRIVE)
    guest.tell("t", NO_MEDIUM_OPEN)
    guest.qmp.execute("blockdev-change-medium", device=DRIVE, filename=disc)
    guest.tell("t", ATTENTION)
    guest.tell("b 7", block(0xD, 7))
    guest.finish()


def main():
    for timing in ("model", "host"):
        run(timing)
        empty_at_first(timing)
    unrecorded()
    print("media came and went, and again in the replay")


finish(main)

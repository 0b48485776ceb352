#!/usr/bin/env python3
"""-no-shutdown: a guest that powers off, or resets with -no-reboot, leaves a machine to look at, which does not go on; recorded and
replayed to the same end. Usage: no_shutdown.py VMRR GUESTS"""
from media_guest import Guest, make_disc
from vmrr import check, end, finish, path


def stands(letter, stop, reason, *options):
    disc, disk = make_disc("disc.iso", 0xA, 20), path("disk.img")
    with open(disk, "wb") as out:
        out.truncate(1 << 20)
    guest = Guest("over", "-no-shutdown", "-cdrom", disc, "-drive", f"file={disk},format=raw,id=disk", *options)
    guest.begin()
    guest.tell("w 7 66", "sector 7: 42")
    guest.console.sendall(letter.encode() + b"\n")
    shutdown = guest.qmp.wait_event("SHUTDOWN")["data"]
    check(shutdown == {"guest": True, "reason": reason}, shutdown)
    guest.qmp.wait_event("STOP")
    qmp = guest.qmp
    check(qmp.execute("query-status") == {"status": "shutdown", "singlestep": False, "running": False}, "status")
    check(qmp.human("info status") == "VM status: paused (shutdown)\r\n", qmp.human("info status"))
    position = qmp.execute("query-replay")["icount"]
    qmp.refused("cont", "Resetting the Virtual Machine is required")
    for command, arguments in (("system_reset", {}), ("eject", {"device": "ide1-cd0"}),
                               ("block_resize", {"device": "disk", "size": 2 << 20})):
        qmp.refused(command, "the guest's run is over", **arguments)
    check("the guest's run is over" in qmp.human("eject ide1-cd0"), "eject")
    check("Resetting" in qmp.human("cont"), qmp.human("cont"))
    check(len(qmp.execute("query-block")) == 2 and "rip" in qmp.human("info registers"), "looks")
    check(qmp.execute("query-replay")["icount"] == position, "it went on")
    qmp.execute("quit")
    check(not [event for event in qmp.events if event["event"] == "SHUTDOWN"], "a second SHUTDOWN", qmp.events)
    guest.error = end(guest.process)[1]
    check(f"guest: {stop} after" in guest.error, guest.error)
    guest.replay(disc, disk)


def by_signal():
    guest = Guest("signal", "-no-shutdown", "-cdrom", make_disc("disc.iso", 0xA, 20), command="run")
    guest.begin()
    guest.console.sendall(b"o\n")
    guest.qmp.wait_event("SHUTDOWN")
    guest.process.terminate()
    check("guest: power-off after" in end(guest.process)[1], "a signal ends it")


def main():
    stands("o", "power-off", "guest-shutdown")
    stands("x", "reset", "guest-reset", "-no-reboot")
    by_signal()
    print("stood still after the end, and ended alike in the replay")


finish(main)

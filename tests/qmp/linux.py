#!/usr/bin/env python3
"""A Linux guest and its buttons: system_powerdown raises the SCI, Linux's ACPI button driver takes it, the guest powers off
by itself; with a disk, whose statistics are Linux's own. The recording replays bit-exactly.
Usage: linux.py VMRR GUESTS ASSETS TESTS_LINUX"""
import re

from vmrr import Qmp, check, connect, end, events, finish, kernel_options, path, read_until, replay, start


def main():
    with open(path("disk.img"), "wb") as disk:
        disk.truncate(64 << 20)
    process = start("record", "-o", path("run.vmrr"), "-S", "-qmp", f"unix:{path('qmp')},server=on,wait=off", "-serial",
                    f"unix:{path('serial')},server=on,wait=off", "-hda", path("disk.img"),
                    *kernel_options("kernel-cloud"), "-append", "console=ttyS0 vmrr.task=button")
    qmp, console = Qmp(path("qmp")), connect(path("serial"))
    console.settimeout(400)
    qmp.execute("cont")
    said = read_until(console, b"vmrr-init: press the button").decode(errors="replace")
    # What Linux's block layer counted is what the drive says: sectors of 512 bytes.
    sectors = re.search(r"vmrr-init: sda read (\d+) wrote (\d+)", said)
    stats = qmp.execute("query-blockstats")[0]["stats"]
    check(sectors, said[-2000:])
    check(stats["rd_bytes"] >= int(sectors[1]) * 512 > 0, stats, sectors[0])
    check(stats["wr_bytes"] == int(sectors[2]) * 512 > 0, stats, sectors[0])
    check(stats["flush_operations"] > 0, stats)
    check(qmp.human("info mem").count("\r\n") > 10, "the kernel's page tables")
    check(len(qmp.human("x /20i $pc").splitlines()) == 20, "the kernel's code")
    qmp.execute("system_powerdown")
    qmp.wait_event("POWERDOWN")
    read_until(console, b"vmrr-init: the button was pressed")
    shutdown = qmp.wait_event("SHUTDOWN")
    check(shutdown["data"] == {"guest": True, "reason": "guest-shutdown"}, shutdown)
    err = end(process)[1]
    check("guest: power-off" in err, err)
    check([e["input"] for e in events(path("run.vmrr"))].count("power-button") == 1, "the journal has no button")
    replay(path("run.vmrr"), err)
    print("Linux was switched off, twice alike")


finish(main)

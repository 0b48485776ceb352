#!/usr/bin/env python3
"""QMP as QEMU speaks it: negotiation, ids, errors, events, the answers' members, and the human monitor behind it.
Usage: commands.py VMRR GUESTS"""
import os
import stat
import struct
import time

from vmrr import Error, Qmp, check, end, finish, guest, path, read_until, connect, replay, start, until


def negotiation(qmp):
    version = qmp.greeting["QMP"]["version"]
    check(set(version["qemu"]) == {"major", "minor", "micro"} and version["package"].startswith("vmrr"), version)
    check(qmp.greeting["QMP"]["capabilities"] == [], qmp.greeting)
    check(qmp.refused("query-status", "Expecting capabilities negotiation") == "CommandNotFound", "class")
    qmp.execute("qmp_capabilities")
    check(qmp.refused("qmp_capabilities", "already complete") == "CommandNotFound", "class")


def protocol(qmp):
    qmp.raw(b'{"execute":"query-status","id":[1,{"a":"\\u00e4"}]}')
    check(qmp.answer()["id"] == [1, {"a": "\u00e4"}], "the id is not given back")
    qmp.raw(b'{"execute":"query-name"}{"execute":"query-status","id":1}\n\n{"execute":"nope","id":2}')
    check(qmp.answer()["return"] == {"name": "test"}, "name")
    check(qmp.answer()["id"] == 1, "order")
    check(qmp.answer() == {"error": {"class": "CommandNotFound", "desc": "The command nope has not been found"},
                           "id": 2}, "error")
    qmp.refused("stop", "Parameter 'now' is unexpected", now=True)
    qmp.refused("screendump", "Parameter 'filename' is missing")
    qmp.refused("screendump", "expected: string", filename=1)
    names = {entry["name"] for entry in qmp.execute("query-commands")}
    schema = {entry["name"] for entry in qmp.execute("query-qmp-schema") if entry["meta-type"] == "command"}
    check(names - schema == {"qmp_capabilities"} and not schema - names, names ^ schema)
    # Nothing is listed that has no function behind it.
    check(not names & {"device_add", "blockdev-add", "migrate", "transaction"}, names)


def status(qmp):
    check(qmp.execute("query-status") == {"status": "prelaunch", "singlestep": False, "running": False}, "prelaunch")
    check(qmp.execute("query-replay") == {"mode": "record", "icount": 0, "filename": path("run.vmrr")}, "replay")
    qmp.execute("cont")
    event = qmp.wait_event("RESUME")
    check(abs(event["timestamp"]["seconds"] - time.time()) < 60, event)
    check(qmp.execute("query-status")["status"] == "running", "running")
    until(lambda: qmp.execute("query-replay")["icount"] > 1000000, "the guest runs")
    qmp.execute("stop")
    qmp.wait_event("STOP")
    qmp.execute("stop")
    check(not qmp.events, "events of a stop that changes nothing", qmp.events)
    check(qmp.execute("query-status")["status"] == "paused", "paused")
    position = qmp.execute("query-replay")["icount"]
    time.sleep(0.2)
    check(qmp.execute("query-replay")["icount"] == position, "a stopped guest runs on")


STATS = {f"{kind}_{name}" for kind in ("rd", "wr", "unmap") for name in ("bytes", "operations", "merged", "total_time_ns")}
STATS |= {f"{how}_{kind}_operations" for how in ("failed", "invalid") for kind in ("rd", "wr", "unmap", "flush")}
STATS |= {"flush_operations", "flush_total_time_ns", "wr_highest_offset", "account_invalid", "account_failed",
          "timed_stats"}


def block(qmp):
    drive = qmp.execute("query-block")[0]
    check(set(drive) == {"device", "qdev", "type", "locked", "removable", "inserted", "io-status"}, set(drive))
    check(drive["device"] == "ide0-hd0" and not drive["removable"] and drive["io-status"] == "ok", drive)
    check(drive["inserted"]["image"]["virtual-size"] == 2 << 20, drive)
    entry = qmp.execute("query-blockstats")[0]
    stats = entry["stats"]
    check(set(stats) == STATS | {"idle_time_ns"}, set(stats) ^ STATS)
    check(set(entry["parent"]["stats"]) == STATS, "parent")
    check(stats["wr_operations"] > 0 and stats["rd_operations"] > 0, stats)
    check(stats["wr_bytes"] % 512 == 0 and 0 < stats["wr_highest_offset"] <= 2 << 20, stats)
    # The file holds what was written: nothing lies behind the furthest write, something in its last sector.
    check(entry["parent"]["stats"]["wr_highest_offset"] == stats["wr_highest_offset"], entry)
    check(stats["wr_total_time_ns"] >= 15000 * stats["wr_operations"], stats)
    nodes = {node["node-name"]: node for node in qmp.execute("query-named-block-nodes")}
    check(nodes[entry["node-name"]]["drv"] == "raw" and nodes[entry["parent"]["node-name"]]["drv"] == "file", nodes)
    both = qmp.execute("query-blockstats", query_nodes=True)
    check({node["node-name"] for node in both} == set(nodes) and "device" not in both[0], both)


def human(qmp):
    check(qmp.human("info status") == "VM status: paused\r\n", qmp.human("info status"))
    check(qmp.human("print 2+3*(4-1)") == "11\r\n", "print")
    check(qmp.human("print/x -1 >> 60 & ~1") == "0xe\r\n", qmp.human("print/x -1 >> 60 & ~1"))
    check("invalid expression" in qmp.human("print 1/0"), "division by zero")
    check("invalid expression" in qmp.human("print " + "(" * 900), "nesting")
    check(qmp.human("bogus") == "unknown command: 'bogus'\r\n", "unknown")
    check("extraneous" in qmp.human("info status now"), "extraneous")
    # Memory and registers are those of the guest: its multiboot header lies at 1 MiB.
    check(qmp.human("xp /1xw 0x100000").startswith("0000000000100000: 0x1badb002"), qmp.human("xp /1xw 0x100000"))
    rip = int(qmp.human("print/x $rip"), 16)
    check(f"rip {rip:016x}" in qmp.human("info registers"), hex(rip))
    code = bytes(int(word, 16) for word in qmp.human("x /15xb $pc").replace("\r\n", " ").split() if word.startswith("0x"))
    line = qmp.human("x /1i $pc")
    shown = bytes.fromhex("".join(line.split(":")[1].split("  ")[1:2]))
    check(shown and code.startswith(shown), line, code.hex())
    check("Cannot access memory" in qmp.human("xp /1xw 0xfee00000"), "a device is no memory")
    check(qmp.human("info block").startswith("ide0-hd0 (#block") and "rd_bytes=" in qmp.human("info blockstats"), "block")
    check("8086:1237" in qmp.human("info pci"), "pci")
    check("PG disabled" in qmp.human("info mem"), "mem")
    for line in ("info irq", "info pic", "info lapic", "info qtree", "info mtree", "info chardev", "info replay",
                 "info version", "info name", "info tlb", "help", "info", "help info block", "info device uart0"):
        check(qmp.human(line) and "unknown" not in qmp.human(line), line)
    check(len(qmp.human("xp /2000xg 0").splitlines()) == 1000, "a long dump")
    check("at most" in qmp.human("xp /99999999xg 0"), "a dump without end")


def screen(qmp):
    qmp.execute("screendump", filename=path("screen.ppm"))
    with open(path("screen.ppm"), "rb") as picture:
        data = picture.read()
    width, height = (int(word) for word in data.split(b"\n")[1].split())
    check(data.startswith(b"P6\n") and len(data) == len(b"P6\n%d %d\n255\n" % (width, height)) + 3 * width * height,
          data[:20], len(data))
    qmp.execute("screendump", filename=path("screen"), format="png")
    with open(path("screen"), "rb") as picture:
        check(struct.unpack(">II", picture.read()[16:24]) == (width, height), "PNG")
    qmp.human(f"screendump {path('again.png')}")
    with open(path("screen"), "rb") as one, open(path("again.png"), "rb") as other:
        check(one.read() == other.read(), "the human monitor's picture")
    qmp.refused("screendump", "No such file", filename=path("none/screen.png"))


def main():
    process = start("record", "-o", path("run.vmrr"), "-name", "test", "-S", "-serial", f"file:{path('console')}",
                    "-qmp", f"unix:{path('qmp')},server=on,wait=off", "-monitor",
                    f"unix:{path('hmp')},server=on,wait=off", *guest("endless"))
    qmp = Qmp(path("qmp"), negotiate=False)
    check(stat.S_IMODE(os.stat(path("qmp")).st_mode) == 0o600, "the socket is not its owner's alone")
    negotiation(qmp)
    for part in (protocol, status, block, human, screen):
        part(qmp)
    person = connect(path("hmp"))
    read_until(person, b"(vmrr) ")
    person.sendall(b"info status\n")
    check(b"VM status: paused" in read_until(person, b"(vmrr) "), "the human monitor")
    person.sendall(b"cont\ninfo status\n")
    check(b"VM status: running" in read_until(person, b"running"), "the human monitor")
    qmp.wait_event("RESUME")
    qmp.execute("quit")
    shutdown = qmp.wait_event("SHUTDOWN")
    check(shutdown["data"] == {"guest": False, "reason": "host-qmp-quit"}, shutdown)
    err = end(process)[1]
    check(not os.path.exists(path("qmp")), "the socket is left behind")
    replay(path("run.vmrr"), err)
    print("all as QEMU does it")


finish(main)

#!/usr/bin/env python3
"""gdb and its monitor backwards in runs whose positions are exits: recorded by the interpreter (record_exits.c) or, with `kvm`, by
KVM, and replayed by the interpreter.  Usage: exits.py VMRR GUESTS RECORDER [kvm]"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gdb"))
from stub import GUESTS, VMRR, Vmrr, check, finish, same, skip, symbols, work  # noqa: E402

kvm = len(sys.argv) > 4 and sys.argv[4] == "kvm"
if kvm and not os.access("/dev/kvm", os.R_OK | os.W_OK):
    skip("/dev/kvm can't be opened")


def record(name, guest, *options, code):
    journal = f"{work}/{name}.vmrr"
    command = [VMRR, "record", "-accel", "kvm"] if kvm else [sys.argv[3]]
    done = subprocess.run(command + ["-o", journal, "-q", "-m", "16M", "-kernel", f"{GUESTS}/{guest}.elf", "-serial", "none",
                                     *options], stdin=subprocess.DEVNULL)
    same("recording's exit code", done.returncode, code)
    return journal


def state(stub):
    return stub.monitor("digest"), stub.monitor("when"), stub.registers()


def by_packets(journal, name, point):
    """Forwards by steps and back; breakpoints both ways; the ends."""
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    check("ReverseStep+", "ReverseStep+" in stub.ask("qSupported:swbreak+;hwbreak+"))
    check("the beginning, by a step", "replaylog:begin" in stub.ask("bs"))
    said = stub.monitor("when")
    check(f"when: {said}", re.match(r"exit [0-9], step 0, virtual time 0\.0", said))
    where = symbols(name)[point]
    same("Z0", stub.ask(f"Z0,{where:x},1"), "OK")
    check("a breakpoint", "swbreak" in stub.go())
    same("there", stub.rip(), where)
    here, forwards = state(stub), []
    for _ in range(40):
        stub.ask("vCont;s")
        forwards.append(state(stub))
    for expected in reversed([here] + forwards[:-1]):
        check("a step back", stub.ask("bs").startswith("T05"))
        same("a step back", state(stub), expected)
    stub.go()
    hits = []
    while "replaylog:end" not in stub.ask("?") and len(hits) < 30:
        hits.append(state(stub))
        if "replaylog:end" in stub.go():
            break
    for expected in reversed(hits):
        check("reverse-continue", "swbreak" in stub.ask("bc"))
        same("a breakpoint backwards", state(stub), expected)
    same("z0", stub.ask(f"z0,{where:x},1"), "OK")
    check("the end", "replaylog:end" in stub.go())
    same("D", stub.ask("D"), "OK")
    same("replay's exit code", vmrr.wait(), 0)
    check("bit-exact", "bit-exact" in vmrr.text())
    return len(hits)


def by_monitor(journal):
    """Places by the number of an exit, bookmarks between two exits."""
    end = json.loads(subprocess.run([VMRR, "info", "--json", journal], stdout=subprocess.PIPE, check=True).stdout)["icount"]
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    seen = {}
    for place in (end // 2, end - 1, 5, end // 3, end // 2, 5, end - 1, end // 3):
        said = stub.monitor(f"goto exit {place}")
        there = int(re.match(r"exit (\d+), step ", said).group(1))
        check(f"goto exit {place}: {said}", place <= there <= place + 4096)  # a repeated IN is one step
        now = state(stub)
        same(f"goto exit {place} again", now, seen.setdefault(place, now))
    stub.monitor(f"goto exit {end // 2}")
    for _ in range(3):
        stub.ask("vCont;s")
    here = state(stub)
    same("bookmark", stub.monitor("bookmark here"), "")
    check("goto end", stub.monitor("goto end").startswith(f"exit {end}, "))
    check("goto start", ", step 0, " in stub.monitor("goto start"))
    stub.monitor("goto here")
    same("back at the bookmark", state(stub), here)
    check("goto time", stub.monitor("goto time 0.1").startswith("Error: "))
    same("D", stub.ask("D"), "OK")
    same("replay's exit code", vmrr.wait(), 0)


def last_writes(journal):
    """From the end back, write by write, to the instruction that made each, as the journal has it."""
    text = subprocess.run([VMRR, "dump", "--json", "--kind", "block", journal], stdout=subprocess.PIPE, check=True).stdout
    events = [json.loads(line) for line in text.splitlines()]
    origins = {event["tag"]: int(event["rip"], 16) for event in events if event["kind"] == "block-origin"}
    writes = [event for event in events if event["kind"] == "block-request" and event["op"] == "write"]
    check("the guest writes", writes)
    sector = writes[-1]["sector"]
    wanted = [event for event in writes if event["sector"] <= sector < event["sector"] + event["sectors"]]
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    stub.monitor("goto end")
    for event in reversed(wanted[-5:]):
        said = stub.monitor(f"last-write {sector}")
        check(f"last-write: {said}", re.search(rf"tag {event['tag']} write", said))
        if not kvm:  # which does not say it in its journal
            same("the instruction", stub.rip(), origins[event["tag"]])
        there = int(re.match(r"exit (\d+), step ", stub.monitor("when")).group(1))
        check(f"when: {said}", event["icount"] - 4096 < there <= event["icount"])
        stub.ask("vCont;s")
        check("a step makes it", int(re.match(r"exit (\d+), ", stub.monitor("when")).group(1)) > event["icount"])
        check("and back", stub.ask("bs").startswith("T05"))
    same("D", stub.ask("D"), "OK")
    vmrr.wait()
    return len(wanted)


if not kvm:  # single steps of INT3 and the like are not what its code needs of a host
    hits = by_packets(record("debugged", "debugged64", code=7), "debugged64.debug", "make_record")
    check("it was hit several times", hits > 1)
disk = f"{work}/disk.img"
with open(disk, "wb") as file:
    file.truncate(2 << 20)
journal = record("disk", "ide_pio" if kvm else "dma_writer", "-drive", f"file={disk},format=raw,if=ide", code=1)
by_monitor(journal)
print(last_writes(journal), "writes of the last sector written")
finish()

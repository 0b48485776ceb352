#!/usr/bin/env python3
"""A debugger's stops are not in the guest: runs recorded under random breakpoints, watchpoints, steps and interrupts have the
digest of the run without, and replay bit-exactly, also under a debugger.  Usage: transparent.py VMRR GUESTS"""
import random
import re
import subprocess

from stub import GUESTS, VMRR, Vmrr, check, fail, finish, same, symbols, work

SEEDS = range(1, 7)
guests = {"debugged64": ("debugged64.elf", "debugged64.debug"), "timers": ("timers.elf", "timers.elf"),
          "ide_pio": ("ide_pio.elf", "ide_pio.elf")}


def options(image):
    given = ["-kernel", f"{GUESTS}/{image}", "-serial", "none", "-rtc", "base=2026-01-31"]
    if "ide" in image:
        with open(f"{work}/disk.img", "wb") as disk:
            disk.write(bytes(4 << 20))
        given += ["-drive", f"file={work}/disk.img,format=raw,snapshot=on"]
    return given


def digest(text):
    found = re.search("digest ([0-9a-f]{16})", text)
    return found[1] if found else fail("no digest: " + text)


def finish_run(stub, vmrr, seed, places):
    """Random points until the run is over; how often it stopped."""
    random.seed(seed)
    points, stops = [], 0
    while True:
        while points and random.random() < 0.3:
            stub.ask("z" + points.pop(random.randrange(len(points))))
        while len(points) < 16 and stops <= 400:
            kind = random.choice([0, 1, 1, 2, 3, 4])
            size = 1 if kind < 2 else random.choice([1, 4, 8, 100])
            point = f"{kind},{random.choice(places):x},{size:x}"
            if point not in points:
                same(f"Z{point}", stub.ask("Z" + point), "OK")
                points.append(point)
        if stops > 400:
            while points:
                stub.ask("z" + points.pop())
        how = random.choice(["vCont;c", "c"] + ["vCont;s", "s"] * 4 + [ f"vCont;r{places[0]:x},{places[0] + 64:x}"])
        stub.send(how if stops <= 400 else "c")
        if random.random() < 0.1:
            stub.interrupt()
        answer = stub.packet().decode()
        if answer[0] == "W" or "replaylog" in answer:
            return stops
        check(answer, answer[0] == "T")
        stops += 1


for name, (image, names) in guests.items():
    places = sorted(address for symbol, address in symbols(names).items() if not symbol.startswith("."))
    alone = subprocess.run([VMRR, "run", *options(image)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    total = 0
    for seed in SEEDS:
        journal = f"{work}/{name}.vmrr"
        vmrr = Vmrr("record", "-o", journal, *options(image), "-S")
        stub = vmrr.connect().start()
        stops = finish_run(stub, vmrr, seed, places)
        same(f"{name}, seed {seed}: exit code", vmrr.wait(), alone.returncode)
        same(f"{name}, seed {seed}: digest", digest(vmrr.text()), digest(alone.stderr))
        replayed = subprocess.run([VMRR, "replay", journal, "-serial", "none"], capture_output=True, text=True)
        check(f"{name}, seed {seed}: {replayed.stderr}", replayed.returncode == 0 and "bit-exact" in replayed.stderr)
        vmrr = Vmrr("replay", journal, "-serial", "none")
        stub = vmrr.connect().start()
        again = finish_run(stub, vmrr, seed + 1000, places)
        same("D", stub.ask("D"), "OK")
        same(f"{name}, seed {seed}: replay under the debugger", vmrr.wait(), 0)
        total += stops + again
        print(f"{name}, seed {seed}: {stops} stops, {again} in the replay")
    check(f"only {total} stops", total > 50)
finish()

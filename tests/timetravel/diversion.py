#!/usr/bin/env python3
"""Diversions: gdb calls functions of a replay's guest and changes it, and the replay is what it was. In 64- and 32-bit code with line
numbers, in real mode, by packets.  Usage: diversion.py VMRR GUESTS"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gdb"))
from stub import GUESTS, VMRR, Vmrr, check, finish, in_order, run_gdb, same, symbols, work  # noqa: E402

ON = r"\[the guest was changed: it goes on in a diversion from icount (\d+), not in the replay"
OVER = r"\[the diversion is over: the replay is at icount (\d+)\]"


def record(name, *options):
    journal = f"{work}/{name}.vmrr"
    done = subprocess.run([VMRR, "record", "-o", journal, "-q", "-serial", f"file:{work}/{name}.alone", *options],
                          stdin=subprocess.DEVNULL)
    check(f"recording's exit code {done.returncode}", done.returncode in (1, 7))
    return journal


def session(journal, name, *lines, debug=True):
    """A command that fails does not end it."""
    symbol_file = [f"file {GUESTS}/{name}.debug"] if debug else []
    text = run_gdb([*symbol_file, f"target remote | {VMRR} replay {journal} -gdb stdio -serial file:{work}/{name}.printed",
                    *(f"python execute({line!r})" for line in lines)],
                   "-ex", "python\ndef execute(line):\n    try:\n        gdb.execute(line)\n    except gdb.error as error:\n        print(error)")
    check(f"a packet was refused: {text}", "not recognized" not in text and "packet error" not in text)
    return text


def digests(text):
    return re.findall(r"state \w+ all \w+", text)


def calls(name):
    """Functions are called at several places, twice each; the replay goes on as it was recorded."""
    journal = record(name, "-kernel", f"{GUESTS}/{name}.elf")
    call = ["monitor digest", "print add(3, 4)", "monitor diversion", "print checksum_of(records[1].name, 4) == records[1].checksum",
            "call spend_time(1000)", "maintenance flush register-cache", "monitor diversion off", "maintenance flush register-cache",
            "monitor digest"]
    text = session(journal, name, "break find_bad", "break make_record if number == 3", "continue", *call, "continue", *call,
                   "print add(20, 22)", "reverse-stepi", "monitor digest", "stepi", "monitor digest", "print add(1, 1)", "stepi",
                   "reverse-stepi", "monitor digest", "delete", "print add(5, 5)", "continue", "print add(6, 6)", "monitor when",
                   "reverse-stepi", "monitor when", "continue")
    in_order(text, r"Breakpoint 2, make_record", r"\$1 = 7", r"in a diversion from icount \d+", r"\$2 = 1",
             r"no diversion: the guest is as it was recorded", r"Breakpoint 1, find_bad", r"\$3 = 7", r"\$4 = 1", r"\$5 = 42",
             r"\$6 = 2", r"\$7 = 10", r"No more reverse-execution history", r"\$8 = 12", r"No more reverse-execution history")
    check(f"nobody who calls is told: {text}", not re.search(ON, text) and not re.search(OVER, text))
    found = digests(text)
    same("digests before and after", found[0::2][:2], found[1::2][:2])
    same("a step back and forth", (found[5], found[6]), (found[3], found[3]))
    before, after = re.findall(r"icount (\d+), virtual", text)
    same("at the end", int(after), int(before.split(",")[0]) - 1 if "in a diversion" not in text.split("$8")[1] else int(after))
    with open(f"{work}/{name}.printed", "rb") as again, open(f"{work}/{name}.alone", "rb") as once:
        same("what the guest printed", again.read(), once.read())
    return journal


def within_a_call(journal, name):
    """A breakpoint in the called function; steps there; the call is finished, or given up."""
    text = session(journal, name, "break find_bad", "continue", "monitor digest", "break add", "print add(30, 4)", "print a", "bt",
                   "monitor diversion", "stepi", "finish", "maintenance flush register-cache", "monitor diversion", "delete",
                   "reverse-stepi", "stepi", "monitor digest", "break add", "print add(50, 6)", "delete", "set var a = 60",
                   "finish", "break add", "print add(1, 2)", "set unwindonsignal on", "reverse-stepi", "monitor diversion",
                   "maintenance flush register-cache", "stepi", "monitor digest")
    print(text) if os.environ.get("SHOW") else None
    in_order(text, r"Breakpoint 1, find_bad", r"The program being debugged stopped while in a function called from GDB", r"\$1 = 30",
             r"#0 .*add \(a=30, b=4\)", r"<function called from gdb>", r"in a diversion from icount", r"(Value returned.*|Run till exit.*\n.*)34",
             r"(Value returned.*|Run till exit.*\n.*)66", r"no diversion")
    found = digests(text)
    same("digests", found, found[:1] * len(found))


def changes(journal, name):
    """What the user changes lasts until he goes back."""
    text = session(journal, name, "break find_bad", "continue", "monitor digest", "print records[2].checksum",
                   "set var records[2].checksum = 77", "print records[2].checksum", "print add(1, 2)", "print records[2].checksum",
                   "monitor diversion", "next", "next", "print records[2].checksum", "monitor bookmark here", "monitor checkpoint",
                   "reverse-stepi", "print records[2].checksum", "stepi", "monitor digest", "set var records[2].checksum = 78",
                   "set var records[2].checksum = $1", "next", "reverse-next", "monitor digest", "set var records[2].checksum = 79",
                   "monitor goto 1000", "maintenance flush register-cache", "monitor diversion", "continue", "print records[2].checksum",
                   "monitor digest")
    in_order(text, r"\$1 = (\d+)", r"\$2 = 77", r"\$3 = 3", r"\$4 = 77", r"in a diversion from icount \d+, [1-9]\d* instructions into it; memory was changed",
             ON, r"\$5 = 77", r"a diversion has no positions", r"not here: go to a position first", OVER, r"\$6 = (?!77)\d+",
             r"no diversion", r"Breakpoint 1, find_bad", r"\$7 = (?!7[789]\b)\d+")
    same("told once", len(re.findall(ON, text)), 1)
    found = digests(text)
    same("digests", found, found[:1] * len(found))
    # To an end of its own; jump, return; registers alone.
    text = session(journal, name, "break find_bad", "continue", "monitor digest", "set var records[2].checksum = checksum_of(records[2].name, 4)",
                   "print records[2].checksum == $", "delete", "continue", "monitor when", "continue", "monitor diversion off",
                   "maintenance flush register-cache", "monitor digest", "return -1", "next", "info line", "reverse-stepi", "stepi",
                   "monitor digest", "tbreak guest_exit", "jump guest_exit", "monitor diversion off", "maintenance flush register-cache",
                   "monitor digest", "set var $rax = $rax", "monitor diversion", "detach")
    in_order(text, ON, r"\[the diversion ends here: debug-exit\]", r"SIGABRT", r"in a diversion from icount", r"\[the diversion ends here",
             r"no diversion", ON, OVER, ON, r"guest_exit", r"no diversion", r"no diversion", r"detached")
    found = digests(text)
    same("digests", found, found[:1] * len(found))


def to_the_end(journal, *extra):
    """By packets: garbage in registers and memory; who goes away leaves a replay that is bit-exact."""
    for leave in ("D", "close", "k"):
        vmrr = Vmrr("replay", journal, "-serial", "none", *extra)
        stub = vmrr.connect().start()
        same("to the middle", stub.monitor("goto 50%").count("icount"), 1)
        here = stub.monitor("digest"), stub.monitor("when"), stub.ask("g")
        for command in (f"G{here[2]}", "P0=" + here[2][:16], f"M1000,4:{stub.read(0x1000, 4).hex()}", "M1000,0:", "X1000,0:"):
            same(f"{command[:20]} changes nothing", stub.ask(command), "OK")
        check("no diversion", "no diversion" in stub.monitor("diversion"))
        for command in ("P0=zz", "P0=12", "Pffff=0", "M1000,4:zz", "M1000", "G00", "M1000,ffffff:00", "Xffffffffffffffff,1:a", "P14=05000000"):
            check(f"{command} is refused", stub.ask(command).startswith("E"))
        same("nothing has happened", (stub.monitor("digest"), stub.monitor("when").split(", in a")[0]), here[:2])
        same("P", stub.ask("P2=8877665544332211"), "OK")
        check("a diversion", "in a diversion" in stub.monitor("diversion"))
        same("P", stub.ask("P2=" + here[2][32:48]), "OK")
        stub.console = ""
        check("a step in the replay", stub.ask("vCont;s").startswith("T05") and not stub.console)
        check("of which nothing is left", "no diversion" in stub.monitor("diversion"))
        check("a step back", stub.ask("bs").startswith("T05"))
        same("the same place", (stub.monitor("digest"), stub.monitor("when"), stub.ask("g")), here)
        same("M", stub.ask("M1000,4:5a5a5a5a"), "OK")
        for _ in range(3):
            check("a step", stub.ask("vCont;s").startswith("T05"))
        check("three steps", "3 instructions into it" in stub.monitor("diversion"))
        check("on", stub.ask("vCont;c")[:3] in ("T05", "T06"))
        if leave == "close":
            stub.close()
            stub = vmrr.connect().start()
            same("the next client", (stub.monitor("digest"), stub.monitor("when"), stub.ask("g")), here)
            leave = "D"
        stub.send(leave)
        same("exit code", vmrr.wait(), 0 if leave == "D" else 1)
        check("bit-exact", "bit-exact" in vmrr.text())


def kept(journal):
    """A diversion becomes a live run: it ends as its guest wants, and there is no going back."""
    names = symbols("debugged64.debug")
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    check("nothing to keep", "there is no diversion" in stub.monitor("diversion keep"))
    same("Z0", stub.ask(f"Z0,{names['find_bad']:x},1"), "OK")
    check("a breakpoint", "swbreak" in stub.go())
    record_size = 12
    same("M", stub.ask(f"M{names['records'] + 2 * record_size + 8:x},4:00000000"), "OK")
    same("M", stub.ask(f"M{names['records']:x},1:21"), "OK")
    check("kept", "live since a diversion from icount" in stub.monitor("diversion keep"))
    same("there is no going back", stub.ask("bs"), "")
    check("not even by name", "only a replay" in stub.monitor("goto start"))
    check("it ends", stub.go().startswith("W03"))  # the first record is bad now: (1 << 1) | 1
    same("exit code", vmrr.wait(), 3)


def real_mode():
    journal = record("boot_sector", "-kernel", f"{GUESTS}/boot_sector.bin")
    text = session(journal, "boot_sector", "set architecture i8086", "stepi", "stepi", "monitor digest", "set var $eax = 0x1234",
                   "set var *(unsigned short *) 0x500 = 0x4711", "stepi", "info registers eax", "x/1xh 0x500", "reverse-stepi",
                   "stepi", "monitor digest", "x/1xh 0x500", debug=False)
    in_order(text, ON, r"eax +0x\w*1234", r"0x500:\s+0x4711", OVER, r"0x500:\s+0x0000")
    found = digests(text)
    same("digests", found, found[:1] * len(found))
    to_the_end(journal)


def sectors(timing):
    """At the store of a sector's number to the drive it becomes another one: known to the journal, later in the run, or to nobody."""
    journal, disk = f"{work}/disk.vmrr", f"{work}/disk.img"
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    done = subprocess.run([VMRR, "record", "-q", "-o", journal, f"--timing={timing}", "-m", "16M", "-kernel", f"{GUESTS}/disk_shell.elf",
                           "-drive", f"file={disk},format=raw,if=ide", "-serial", "stdio"], capture_output=True, text=True,
                          input="\nr 5\nr 6\nr 7\nw 8 1\nq\n")
    same(f"exit code of the guest: {done.stderr}", done.returncode, 1)
    dump = subprocess.run([VMRR, "dump", "--json", journal], capture_output=True, text=True, check=True).stdout
    stores = [event["icount"] for event in map(json.loads, dump.splitlines())
              if event["kind"] == "pio-write" and int(event["address"], 16) == 0x1F3 and int(event["value"], 16) == 6]
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    stub.monitor(f"goto {stores[-1]}")
    here = stub.monitor("digest"), stub.ask("g")
    for number, said in ((9, "the guest wants sector 9 of medium 0"), (7, "debug-exit"), (8, "the guest wants sector 8 of medium 0"), (5, "debug-exit")):
        same("P0", stub.ask(f"P0={number:02x}{here[1][2:16]}"), "OK")
        stub.console = ""
        stop = stub.go()
        check(f"sector {number}: {stop} {stub.console}", stop[:3] == "T06" and said in stub.console)
        check("it can't go on", stub.go()[:3] == "T06")
        stub.monitor("diversion off")
        same("as it was", (stub.monitor("digest"), stub.ask("g")), here)
    same("D", stub.ask("D"), "OK")
    same("exit code", vmrr.wait(), 0)
    check("bit-exact", "bit-exact" in vmrr.text())


def only_forwards(journal):
    """Where there is no way back nothing is changed."""
    for change, said in (("set var *(int *) 0x1000 = 5", "Cannot access memory"), ("print $rax = 5", "replay is what was recorded")):
        text = run_gdb([f"target remote | {VMRR} replay --block=rerun --scratch={work} {journal} -gdb stdio -serial none", "stepi", change])
        in_order(text, said)


journal64 = calls("debugged64")
within_a_call(journal64, "debugged64")
changes(journal64, "debugged64")
to_the_end(journal64)
kept(journal64)
journal32 = calls("debugged32")
within_a_call(journal32, "debugged32")
to_the_end(journal32)
real_mode()
sectors("model")
sectors("host")
only_forwards(journal64)
finish()

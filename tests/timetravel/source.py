#!/usr/bin/env python3
"""gdb goes backwards through a 64-bit guest with line numbers: from the record that is found to be bad to the store that made it so.
And by packets: the ends of history, steps forwards and back, what the guest prints is printed once.  Usage: source.py VMRR GUESTS"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gdb"))
from stub import GUESTS, VMRR, Vmrr, check, finish, in_order, run_gdb, same, symbols, work  # noqa: E402

debug, guest = f"{GUESTS}/debugged64.debug", f"{GUESTS}/debugged64.elf"
journal, alone = f"{work}/run.vmrr", f"{work}/alone.txt"


def record():
    done = subprocess.run([VMRR, "record", "-o", journal, "-q", "-kernel", guest, "-serial", f"file:{alone}"],
                          stdin=subprocess.DEVNULL)
    same("recording's exit code", done.returncode, 7)


def find_the_bug():
    printed = f"{work}/printed.txt"
    text = run_gdb([f"file {debug}", f"target remote | {VMRR} replay {journal} -gdb stdio -serial file:{printed}",
                    "break find_bad", "continue", "delete", "watch records[2].checksum", "reverse-continue", "backtrace 3",
                    "print n", "reverse-continue", "print records[2].checksum", "delete", "reverse-finish", "reverse-stepi",
                    "break wipe", "continue", "break make_record", "reverse-continue", "reverse-continue", "print number",
                    "delete", "reverse-continue", "monitor when", "reverse-stepi", "monitor when", "continue", "monitor when",
                    "reverse-stepi", "monitor when", "tbreak find_bad", "reverse-continue", "next", "reverse-next",
                    "continue"])
    in_order(text, r"Breakpoint 1, find_bad", r"atchpoint 2: records\[2\]\.checksum", r"Old value = 11929203",
             r"New value = 11929111", r"set_name .*text=.*\"keyboards\"", r"#1 .*make_record", r"#2 .*guest_main",
             r"\$1 = 8", r"Old value = 11929111", r"New value = 0", r"\$2 = 0", r"in guest_main \(\)",
             r"Breakpoint 3, wipe", r"Breakpoint 4, make_record \(number=.*3", r"Breakpoint 4, make_record \(number=.*2",
             r"\$3 = 2", r"No more reverse-execution history", r"icount 0,", r"No more reverse-execution history",
             r"icount 0,", r"No more reverse-execution history", r"icount 130109,", r"icount 130108,",
             r"breakpoint 5, find_bad|Breakpoint 5, find_bad")
    with open(printed, "rb") as again, open(alone, "rb") as once:
        same("what the guest printed", again.read(), once.read())


def by_packets():
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    check("ReverseStep+", "ReverseStep+" in stub.ask("qSupported:swbreak+;hwbreak+"))
    check("the beginning, by a step", "replaylog:begin" in stub.ask("bs"))
    check("the beginning", "replaylog:begin" in stub.ask("bc"))
    names = symbols("debugged64.debug")
    same("Z0", stub.ask(f"Z0,{names['find_bad']:x},1"), "OK")
    check("a breakpoint", "swbreak" in stub.go())
    here = stub.monitor("digest"), stub.monitor("when"), stub.registers()
    forwards = []
    for _ in range(20):
        stub.ask("vCont;s")
        forwards.append((stub.monitor("digest"), stub.monitor("when"), stub.registers()))
    for expected in reversed([here] + forwards[:-1]):
        check("a step back", stub.ask("bs").startswith("T05thread"))
        same("a step back", (stub.monitor("digest"), stub.monitor("when"), stub.registers()), expected)
    check("no breakpoint before it", "replaylog:begin" in stub.ask("bc"))
    check("forwards again", "swbreak" in stub.go())
    same("forwards again", (stub.monitor("digest"), stub.monitor("when"), stub.registers()), here)
    same("z0", stub.ask(f"z0,{names['find_bad']:x},1"), "OK")
    check("the end", "replaylog:end" in stub.go())
    same("Z2", stub.ask(f"Z2,{names['turns']:x},8"), "OK")
    check("the last store", f"watch:{names['turns']:x}" in stub.ask("bc"))
    last = int.from_bytes(stub.read(names["turns"], 8), "little")
    check("forwards", "watch" in stub.go())
    same("it is the last", int.from_bytes(stub.read(names["turns"], 8), "little"), last + 1)
    check("the end", "replaylog:end" in stub.go())
    same("D", stub.ask("D"), "OK")
    same("replay's exit code", vmrr.wait(), 0)
    check("bit-exact", "bit-exact" in vmrr.text())


def by_monitor():
    """Places by their names, and the last store to a physical address: memory is mapped one to one here."""
    vmrr = Vmrr("replay", journal, "-serial", "none", "--checkpoint-memory=8M")
    stub = vmrr.connect().start()
    names = symbols("debugged64.debug")
    same("start", stub.monitor("when"), "icount 0, virtual time 0.000000000 s, 0.00 %\n")
    for words, expected in (("end", "icount 130109,"), ("50%", "icount 65054,"), ("12345", "icount 12345,"),
                            ("time 0.00005", "icount 50000,"), ("time 0.00005s", "icount 50000,"), ("start", "icount 0,"),
                            ("event 1", "icount 0,"), ("99999999", "icount 130109,")):
        check(f"goto {words}: {stub.console}", stub.monitor(f"goto {words}").startswith(expected))
    for words in ("", "foo", "101%", "-1%", "event 0", "event x", "event 1000000000", "time -1", "time 7 weeks", "time 5",
                  "exit 3", "0x", "50%%"):
        check(f"goto {words}: {stub.console}", stub.monitor(f"goto {words}").startswith("Error: "))
    stub.monitor("goto 70000")
    here = stub.monitor("digest")
    same("bookmark", stub.monitor("bookmark here"), "")
    for name in ("1st", "two words", "x" * 32, "50%"):
        check(f"bookmark {name}", stub.monitor(f"bookmark {name}").startswith("Error: "))
    for number in range(100):
        stub.monitor(f"bookmark number{number}")
    check("bookmarks are bounded", "number62:" in stub.monitor("bookmark") and "number63:" not in stub.console)
    record = names["records"] + 2 * 12
    stub.monitor("goto end")
    check("last-store", "before the store of 1 bytes" in stub.monitor(f"last-store {record + 8:#x} 4"))
    same("by the text that is too long", stub.rip() // 16, names["set_name"] // 16)
    check("last-store", "by the CPU" in stub.monitor(f"last-store {record + 8:#x}"))
    check("nothing before it", "nothing was stored there" in stub.monitor(f"last-store {record + 8:#x}"))
    check("checkpoint", "checkpoints," in stub.monitor("checkpoint") and "checkpoints," in stub.monitor("info timeline"))
    stub.monitor("goto here")
    same("back at the bookmark", stub.monitor("digest"), here)
    same("Z0", stub.ask(f"Z0,{names['find_bad']:x},1"), "OK")
    check("forwards from there", "swbreak" in stub.go())
    same("D", stub.ask("D"), "OK")
    same("replay's exit code", vmrr.wait(), 0)
    check("bit-exact", "bit-exact" in vmrr.text())


def not_while_recording():
    vmrr = Vmrr("record", "-o", f"{work}/other.vmrr", "-kernel", guest, "-serial", "none", "-S")
    stub = vmrr.connect().start()
    check("no ReverseStep", "Reverse" not in stub.ask("qSupported:"))
    same("bs", stub.ask("bs"), "")
    check("goto", "only a replay" in stub.monitor("goto start"))
    stub.close()


record()
find_the_bug()
by_packets()
by_monitor()
not_while_recording()
finish()

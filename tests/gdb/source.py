#!/usr/bin/env python3
"""gdb against a 64-bit guest with line numbers: breakpoints, watchpoints, frames, steps, calls; live and on a replay.

Usage: source.py VMRR GUESTS"""
import subprocess

from stub import GUESTS, VMRR, check, finish, in_order, run_gdb, same, work

debug, guest = f"{GUESTS}/debugged64.debug", f"{GUESTS}/debugged64.elf"
journal = f"{work}/run.vmrr"

FIND_THE_BUG = [
    "break find_bad",
    "continue",
    "delete",
    "print records[2]",
]
STEPS = [
    "break make_record if number == 2",
    "continue",
    "backtrace",
    "watch records[2].checksum",
    "continue",
    "continue",
    "backtrace 2",
    "print n",
    "delete",
    "finish",
    "next",
    "step",
    "rwatch turns",
    "continue",
    "delete",
    "tbreak wipe",
    "continue",
    "stepi",
    "info breakpoints",
]
STEPS_SAY = (
    r"Breakpoint 1, make_record \(number=.*2, text=.*\"keyboards\"\)", r"#0 .*make_record", r"#1 .* in guest_main \(\)",
    r"Hardware watchpoint 2: records\[2\]\.checksum", r"Old value = 0", r"New value = (?!0\b)\d+",
    r"Hardware watchpoint 2: records\[2\]\.checksum", r"#0 .*set_name .*text=.*\"keyboards\"", r"#1 .*make_record",
    r"\$1 = 8",
)


def live():
    text = run_gdb([f"file {debug}", f"target remote | {VMRR} run -kernel {guest} -S -gdb stdio -serial none", *FIND_THE_BUG,
                    *["print add(3, 4)", "set var records[2].checksum = 77", "print records[2].checksum",
                      "print $rax = 0x123456789", "print $rax", "print $xmm1.v4_int32[2] = 17", "print/x $mxcsr", "print $cs = 5",
                      "continue"]])
    in_order(text, r"Breakpoint 1, find_bad", r'\$1 = \{name = "keyboard", checksum = ', r"\$2 = 7", r"\$3 = 77",
             r"\$4 = 4886718345", r"\$5 = 4886718345", r"\$6 = 17", r"\$7 = 0x1f80", r"cannot be set from outside")
    text = run_gdb([f"file {debug}", f"target remote | {VMRR} run -kernel {guest} -S -gdb stdio -serial none", *STEPS[:9],
                    "continue"])
    in_order(text, *STEPS_SAY, r"exited with code 07")


def recorded():
    say = subprocess.run([VMRR, "record", "-o", journal, "-q", "-kernel", guest, "-serial", "none"], stdin=subprocess.DEVNULL)
    same("recording's exit code", say.returncode, 7)
    begin = [f"file {debug}", f"target remote | {VMRR} replay {journal} -gdb stdio -serial none"]
    text = run_gdb([*begin, *STEPS, "continue"])
    in_order(text, *STEPS_SAY, r"(Run till exit.*)?make_record|guest_main", r"turns", r"Value = ", r"wipe", r"No more reverse-execution history|exited")


def recording():
    """The same under the debugger: what would change the guest is refused, and it replays."""
    begin = [f"file {debug}", f"target remote | {VMRR} record -o {journal} -q -kernel {guest} -S -gdb stdio -serial none"]
    text = run_gdb([*begin, *STEPS, "delete", "continue"])
    in_order(text, *STEPS_SAY, r"exited with code 07")
    replayed = subprocess.run([VMRR, "replay", journal, "-serial", "none"], capture_output=True, text=True)
    same("replay's exit code", replayed.returncode, 0)
    check("bit-exact", "bit-exact" in replayed.stderr)
    text = run_gdb([*begin, "break find_bad", "continue", "print $rax = 5"])
    in_order(text, r"Breakpoint 1, find_bad", r"not while recording")


live()
recorded()
recording()
finish()

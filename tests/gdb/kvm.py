#!/usr/bin/env python3
"""A run on KVM, debugged in its replay: breakpoints, watchpoints and single steps though positions count exits, under random
stops bit-exactly.  Usage: kvm.py VMRR GUESTS"""
import random
import subprocess

from stub import GUESTS, VMRR, Vmrr, check, finish, in_order, run_gdb, same, skip, symbols, work

journal, guest = f"{work}/run.vmrr", f"{GUESTS}/debugged64.elf"
recorded = subprocess.run([VMRR, "record", "-accel", "kvm", "-q", "-o", journal, "-kernel", guest, "-serial", "none"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
if recorded.returncode == 2 and "kvm" in recorded.stderr.lower():
    skip(recorded.stderr.strip())
same(f"recording's exit code ({recorded.stderr})", recorded.returncode, 7)
text = run_gdb([f"file {GUESTS}/debugged64.debug", f"target remote | {VMRR} replay {journal} -gdb stdio -serial none",
                "break set_name", "continue", "info registers rip", "stepi", "info registers rip", "next", "delete",
                "watch records[2].checksum", "continue", "continue", "backtrace 2", "delete", "continue", "detach"])
names = symbols("debugged64.debug")
place = names["set_name"]
in_order(text, r"Breakpoint 1, set_name", rf"rip +{place:#x}", rf"rip +{place + 5:#x}", r"the store", r"Old value = 0",
         r"Old value = \d+", r"#0 .*set_name .*keyboards", r"#1 .*make_record", r"No more reverse-execution history")
refused = subprocess.run([VMRR, "run", "-accel", "kvm", "-kernel", guest, "-serial", "none", "-gdb", f"unix:{work}/x"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True)
check(f"-gdb with -accel kvm: {refused.stderr}", refused.returncode == 2 and "-gdb" in refused.stderr)

places = sorted(address for name, address in names.items() if not name.startswith("."))
total = 0
for seed in range(6):
    random.seed(seed)
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    for point in {f"{random.choice([0, 1, 2, 3, 4])},{random.choice(places):x},1" for _ in range(20)}:
        same(f"Z{point}", stub.ask("Z" + point), "OK")
    for stops in range(300):
        answer = stub.ask(random.choice(["vCont;c"] + ["vCont;s"] * 8))
        if "replaylog" in answer:
            break
        same("a stop", answer[:3], "T05")
    total += stops
    same("D", stub.ask("D"), "OK")
    same("bit-exact", vmrr.wait(), 0)
check(f"{total} stops", total > 100)
finish()

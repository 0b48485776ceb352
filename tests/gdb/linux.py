#!/usr/bin/env python3
"""gdb on a Debian kernel, by addresses of its own list of symbols: recorded under breakpoints and a watchpoint from the start to the
fsync of its init; the recording replays bit-exactly, and stops at the same places there.
Usage: linux.py VMRR GUESTS ASSETS TESTS_LINUX"""
import re
import shlex
import subprocess

from kernel import disk_options, kernel_list
from stub import VMRR, check, finish, in_order, run_gdb, same, work

NAMES = ("start_kernel", "linux_banner", "kernel_init", "vfs_fsync_range", "jiffies_64")
given = disk_options(" nokaslr")
symbol = {name: int(address, 16) for address, _, name in map(str.split, kernel_list("|".join(NAMES)))}
same("symbols", sorted(symbol), sorted(NAMES))
options = " ".join(map(shlex.quote, given))
journal = f"{work}/run.vmrr"
PLACES = [f"hbreak *{symbol['start_kernel']:#x}", "continue", f"x/s {symbol['linux_banner']:#x}", "x/1i $rip", "delete",
          f"break *{symbol['kernel_init']:#x}", "continue", "info registers rip cr3 efer", "delete",
          f"break *{symbol['vfs_fsync_range']:#x}", "continue", "info registers rip gs_base", "monitor info irq",
          f"x/2i {symbol['vfs_fsync_range']:#x}", "stepi", "stepi", "stepi", "delete",
          f"watch *(unsigned long *){symbol['jiffies_64']:#x}", "continue", "continue", "delete"]
SAYS = (rf"Breakpoint 1, {symbol['start_kernel']:#x}", r"Linux version \d", r"=> 0xffffffff8",
        rf"Breakpoint 2, {symbol['kernel_init']:#x}", r"efer +0x[d5]01", rf"Breakpoint 3, {symbol['vfs_fsync_range']:#x}",
        r"gs_base +0xffff8", r"atchpoint 4", r"Old value = (\d+)", r"New value", r"Old value", r"New value")
text = run_gdb([f"target remote | {VMRR} record -q -o {journal} {options} -S -gdb stdio -serial file:{work}/console.txt", *PLACES,
                "monitor when", "continue"], timeout=500)
in_order(text, *SAYS, r"exited normally")
with open(f"{work}/console.txt", errors="replace") as console:
    check("the guest's work", "vmrr-init: disk task done" in console.read())
replayed = subprocess.run([VMRR, "replay", journal, "-serial", "none"], capture_output=True, text=True, timeout=500)
check(replayed.stderr, replayed.returncode == 0 and "replay: bit-exact" in replayed.stderr)
again = run_gdb([f"target remote | {VMRR} replay {journal} -q -gdb stdio -serial none", *PLACES, "monitor when", "kill"], timeout=500)
in_order(again, *SAYS)


def places(output):
    return re.findall(r"Breakpoint \d, 0x\w+|Old value = .*|New value = .*|icount .* s\b", output)


same("places in the replay", places(again), places(text))
print("\n".join(places(text)))
finish()

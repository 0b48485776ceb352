#!/usr/bin/env python3
"""gdb on a Debian kernel, by addresses of its own list of symbols: recorded under breakpoints and a watchpoint from the start to the
fsync of its init; the recording replays bit-exactly, and stops at the same places there.
Usage: linux.py VMRR GUESTS ASSETS TESTS_LINUX"""
import os
import re
import shlex
import socket
import subprocess
import sys
import time

from stub import VMRR, check, finish, in_order, processes, run_gdb, same, skip, work

ASSETS, LINUX = sys.argv[3], sys.argv[4]


def kernel_options():
    """As tests/linux/lib.sh has them: the disk task."""
    with open(f"{work}/disk.img", "wb") as disk:
        disk.truncate(64 << 20)
    script = f'. {LINUX}/lib.sh; linux_options kernel-cloud disk {work}/disk.img; append " nokaslr"; printf "%s\\0" "${{options[@]}}"'
    done = subprocess.run(["bash", "-c", script, f"{LINUX}/x.sh"], capture_output=True, text=True,
                          env=dict(os.environ, VMRR=VMRR, ASSETS=ASSETS))
    if done.returncode == 77:
        skip(done.stdout)
    check(done.stderr + done.stdout[-500:], done.returncode == 0)
    return done.stdout.split("\0")[:-1]


def kernel_symbols(options):
    """By the kernel's own list: Debian's System.map is empty. Without KASLR, so the addresses are always the same."""
    options = [option.replace("vmrr.task=disk", "vmrr.task=shell") for option in options]
    serial = f"{work}/serial"
    process = subprocess.Popen([VMRR, "run", "-q", *options, "-serial", f"unix:{serial},server=on,wait=off"], stdin=subprocess.DEVNULL)
    processes.append(process)
    while not os.path.exists(serial):
        check("vmrr runs", process.poll() is None)
        time.sleep(0.05)
    console = socket.socket(socket.AF_UNIX)
    console.connect(serial)
    console.settimeout(200)
    text = b""

    def wait_for(what):
        nonlocal text
        while what not in text:
            more = console.recv(4096)
            check(f"the shell: {text[-500:]!r}", more)
            text += more
    wait_for(b"# ")
    console.sendall(b"grep -E ' (" + "|".join(NAMES).encode() + b")$' /proc/kallsyms; echo th''at was it\n")
    wait_for(b"that was it")
    process.kill()
    process.wait()
    found = {name: int(address, 16) for address, name in re.findall(r"([0-9a-f]{16}) \w (\w+)", text.decode(errors="replace"))}
    same("symbols", sorted(found), sorted(NAMES))
    return found


NAMES = ("start_kernel", "linux_banner", "kernel_init", "vfs_fsync_range", "jiffies_64")
given = kernel_options()
symbol = kernel_symbols(given)
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

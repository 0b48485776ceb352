#!/usr/bin/env python3
"""vmrr debug --symbols on a Debian kernel that has moved itself (KASLR): its symbols are placed where it lies, from a System.map and from an
ELF file. The symbols are the kernel's own list, without KASLR.
Usage: debug_linux.py VMRR GUESTS ASSETS TESTS_LINUX"""
import os
import re
import runpy
import shutil
import subprocess
import sys
import types

from kernel import kernel_list, kernel_options
from stub import VMRR, check, finish, in_order, same, skip, work

if not shutil.which("gdb"):
    skip("no gdb")
journal, system_map = f"{work}/run.vmrr", f"{work}/System.map"
symbols = kernel_list("_text|entry_SYSCALL_64|asm_exc_[a-z_0-9]*|linux_banner|kernel_init|vfs_read|jiffies_64")
check(f"symbols: {symbols}", len(symbols) > 15)
with open(system_map, "w") as file:
    file.write("\n".join(symbols) + "\n")
plain = {line.split()[2]: int(line.split()[0], 16) for line in symbols}
done = subprocess.run([VMRR, "record", "-o", journal, *kernel_options("boot"), "--until=1200000000", "-serial", "none"], capture_output=True,
                      text=True)
same(f"recording: {done.stderr}", done.returncode, 0)
end = int(re.search(r"limit after ([\d,]+)", done.stderr)[1].replace(",", ""))

# The map as an ELF file: by the commands' own writer, without gdb.
sys.modules["gdb"] = types.SimpleNamespace(GdbError=Exception, Command=type("Command", (), {"__init__": lambda *_: None}),
                                           COMMAND_RUNNING=0, COMMAND_FILES=0, COMMAND_STACK=0,
                                           events=types.SimpleNamespace(stop=types.SimpleNamespace(connect=lambda _: None)))
commands = runpy.run_path(os.path.join(os.path.dirname(os.path.realpath(VMRR)), "vmrr-gdb.py"))
elf = f"{work}/a vmlinux"
with open(elf, "wb") as file:
    file.write(commands["MapFile"](system_map).elf())
readelf = subprocess.run(["readelf", "-sW", elf], capture_output=True, text=True, check=True)
same("readelf's complaints", readelf.stderr, "")
same("symbols of the ELF file", {words[7]: int(words[1], 16) for words in map(str.split, readelf.stdout.splitlines())
                                 if len(words) == 8 and words[4] == "GLOBAL"}, plain)

distances = set()
for path in (system_map, elf):
    lines = [f"monitor replay_break {end - 1000000}", "continue", "vmrr-when", "x/s linux_banner", "info address entry_SYSCALL_64",
             "monitor print /x $lstar", "break vfs_read", "monitor print /x $idtr"]
    more = [word for line in ("set pagination off", "set width 0", *lines) for word in ("-ex", line)]
    done = subprocess.run([VMRR, "debug", "--symbols", path, journal, "--", "-nx", "-batch", *more], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, timeout=300)
    in_order(done.stdout, r"the kernel lies", r'<linux_banner>:\s+"Linux version \d', r"entry_SYSCALL_64")
    distance = int(re.search(r"the kernel lies (0x\w+) above where the file has it", done.stdout)[1], 16)
    where = int(re.search(r'Symbol "entry_SYSCALL_64" is at (0x\w+)', done.stdout)[1], 16)
    lstar = int(re.search(r"^(0x\w+)$", done.stdout, re.M)[1], 16)
    same("the system call entry: by the symbol, by the MSR, by the distance", (where, plain["entry_SYSCALL_64"] + distance),
         (lstar, lstar))
    same("a breakpoint", int(re.search(r"Breakpoint 1 at (0x\w+)", done.stdout)[1], 16), plain["vfs_read"] + distance)
    distances.add(distance)
same("the same from both", len(distances), 1)
check(f"it has moved: {distances}", min(distances) % 0x200000 == 0 and min(distances))
print(f"a kernel that lies {min(distances):#x} above")
finish()

#!/usr/bin/env python3
"""gdb from the reset vector on: 16-bit code, and gdb's three architectures over the same registers.

Usage: real_mode.py VMRR GUESTS"""
import os

from stub import GUESTS, VMRR, check, finish, in_order, run_gdb, skip

if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
    skip("no SeaBIOS")
disk = f"file={GUESTS}/boot_sector.bin,format=raw,snapshot=on"
text = run_gdb([f"target remote | {VMRR} run -drive {disk} -S -gdb stdio -serial none", "info registers eip cs cr0",
                "monitor x/1i 0xfffffff0", "break *0x7c00", "continue", "set architecture i8086", "show architecture",
                "info registers eip cs xmm0", "x/2i $eip", "monitor x/2i 0x7c00", "stepi", "stepi", "info registers eip",
                "set architecture i386", "info registers eip eflags", "x/2i 0x7c00", "set architecture i386:x86-64",
                "info registers rip r15 cr0", "x/2xb 0x7dfe", "monitor info pic", "detach"])
in_order(text, r"eip +0xfff0", r"cs +0xf000", r"cr0 +0x60000010", r"fffffff0: .*ljmp", r"Breakpoint 1, 0x0*7c00",
         r'set to "i8086"', r"eip +0x7c00", r"cs +0x0", r"xmm0 ", r"=> 0x7c00:\s+cli", r"0x7c01:\s+xor +%ax,%ax", r"7c01: .*xor ax, ax",
         r"eip +0x7c03", r"eip +0x7c03", r"eflags", r"0x7c01:\s+xor +%eax,%eax", r"rip +0x7c03", r"r15 +0x0", r"cr0 +0x10",
         r"0x7dfe:\s+0x55\s+0xaa", r"pic\.chip", r"detached")
check(f"complaints: {text}", "g' packet" not in text and "not recognized" not in text)
finish()

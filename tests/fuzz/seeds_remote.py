#!/usr/bin/env python3
"""Seeds of fuzz_remote: what QEMU and others answer, and what nobody should. Usage: seeds_remote.py DIRECTORY"""
import os
import sys


def packet(text):
    data = text.encode("latin1").replace(b"}", b"}]").replace(b"#", b"}\x03").replace(b"$", b"}\x04")
    return b"+$" + data + b"#%02x" % (sum(data) & 255)


def register(name, bits, rest=""):
    return '<reg name="%s" bitsize="%d" type="int"%s/>' % (name, bits, rest)


WIDE = "".join(register(name, 64, ' regnum="0"' if name == "rax" else "") for name in
               "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split())
WIDE += register("eflags", 32) + "<!--" + register("cs_base", 64) + "-->" + register("cs", 32) + register("cr0", 64)
WIDE += register("st0", 80) + register("fctrl", 32) + "".join(register("xmm%d" % n, 128) for n in range(16))
NARROW = "".join(register(name, 32) for name in "eax ecx edx ebx esp ebp esi edi eip eflags cs".split())


def session(target, registers, step="T05thread:01;", memory="01020304", include=None, physical="0", supported="PacketSize=1000"):
    out = [supported, "OK", "S05", "l" + target]
    if include is not None:
        out += ["m" + include[:40], "l" + include[40:]]
    out += [physical]
    for n in range(3):
        out += [registers, "OK", "OK", step] + (["OK"] if physical else []) + [memory] + (["OK"] if physical else []) + ["OK"]
    return b"".join(packet(text) for text in out)


SEEDS = {
    "wide": session('<target><xi:include href="i386-64bit.xml"/></target>', "5a" * 500, include=WIDE),
    "narrow": session("<target>" + NARROW + "</target>", "00" * 44, physical="", step="O4142"),
    "runs": session("<target>" + NARROW + "</target>", "0*" + chr(29 + 87), physical=""),
    "unknown": session("<target>" + NARROW + "</target>", "xx" * 44, memory="E14"),
    "ends": session("<target>" + NARROW + "</target>", "11" * 44, step="W00"),
    "no-x86": session("<target>" + register("pc", 32) + "</target>", ""),
    "again": session('<target><xi:include href="target.xml"/></target>', "") + packet('l<xi:include href="target.xml"/>') * 20,
    "odd": session("<target>" + register("eip", 7) + "</target>", ""),
    "twice": session("<target>" + register("eip", 32, ' regnum="1"') * 2 + "</target>", ""),
    "long": packet("x" * 20000),
    "sums": b"+$OK#00",
    "nothing": b"",
}
for name, value in SEEDS.items():
    with open(os.path.join(sys.argv[1], name), "wb") as out:
        out.write(value)

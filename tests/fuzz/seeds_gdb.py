#!/usr/bin/env python3
"""Seeds of fuzz_gdb: sessions as gdb has them, and broken ones. Usage: seeds_gdb.py DIRECTORY"""
import sys


def frame(data):
    data = data.encode("latin-1")
    escaped = b"".join(b"}" + bytes([byte ^ 0x20]) if byte in b"#$}*" else bytes([byte]) for byte in data)
    return b"$" + escaped + b"#%02x" % (sum(escaped) & 0xFF)


def session(*packets, live=True, told=False):
    return bytes([live + 2 * told]) + b"+".join(map(frame, packets))


HELLO = ("qSupported:multiprocess+;swbreak+", "vMustReplyEmpty", "QStartNoAckMode", "Hg0", "qXfer:features:read:target.xml:0,ffb",
         "qXfer:memory-map:read::0,ffb", "qC", "qfThreadInfo", "qsThreadInfo", "qAttached", "?", "g", "p10")
SEEDS = {
    "hello": session(*HELLO),
    "breakpoints": session("Z0,1006,1", "Z1,1008,1", "vCont;c", "g", "vCont;c", "vCont;s:1", "z0,1006,1", "vCont;c:-1", "z1,1008,1"),
    "watchpoints": session("Z2,2ffe,2", "Z3,2fff,4", "Z4,2010,9", "c", "c", "c", "c", "z2,2ffe,2", "z3,2fff,4", "z4,2010,9", "D"),
    "physical": session("qRcmd," + b"physical on".hex(), "Z2,2ffe,2", "c", "m2000,40", "qRcmd," + b"when".hex(), "k"),
    "steps": session("s", "S05", "vCont;r1000,1010:1;c", "vCont;C05;c", "s1000", "vCont;t"),
    "writes": session("M2000,4:01020304", "X2004,3:a}#", "P0=1122334455667788", "P10=0010000000000000", "P11=02000100", "c1000"),
    "frozen": session("M2000,1:00", "P0=1122334455667788", "X2000,0:", "x2000,10", "qRcmd," + b"digest".hex(), live=False),
    "diversions": session("M2000,4:01020304", "c", "Z0,800,1", "P10=0610000000000000", "Z0,1006,1", "c", "c", "P10=0010000000000000", "s", "D",
                          told=True),
    "unchanged": session("M2000,4:00000000", "g", "P0=0000000000000000", "X2000,1:\0", "c1000", "D", live=False, told=True),
    "interrupts": b"\x01" + frame("c") + b"\x03" + frame("c") + b"\x03\x03-" + frame("g") + b"-",
    "broken": b"\x01noise$g#00$g$g#67$" + b"a" * 100 + b"#zz$m0,4}#00++--\x03$}\x03#43",
    "numbers": session("mffffffffffffffff,ffffffffffffffff", "Z2,ffffffffffffffff,1", "Z2,0,ffffffffffffffff", "c", "X0,ffffffff:a",
                       "qXfer:features:read:target.xml:ffffffffffffffff,1", "pffffffff", "vCont;rffffffffffffffff,0", "vCont;", "vCont", "Z", "P", "G", "M", "C"),
}
for name, data in SEEDS.items():
    with open(f"{sys.argv[1]}/{name}", "wb") as out:
        out.write(data)

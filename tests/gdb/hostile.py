#!/usr/bin/env python3
"""What no debugger sends: garbage, broken packets, numbers out of range, floods, a client that vanishes, a second one.
Each gets an answer or a closed connection, and the machine can be debugged afterwards.  Usage: hostile.py VMRR GUESTS"""
import random
import socket

from stub import GUESTS, Closed, Stub, Vmrr, check, fail, finish, same



def start():
    return Vmrr("run", "-kernel", f"{GUESTS}/spinner.elf", "-serial", "none", "-S")


vmrr = start()
PACKETS = [
    "", "g1", "G", "Gzz", "G" + "0" * 16000, "p", "pffffffffffffffff", "p-1", "pzz", "P", "P0", "P0=", "P0=zz", "P0=00",
    "Pffffffff=00", "m", "m,", "m0", "m0,", "m,1", "m0,ffffffffffffffff", "mffffffffffffffff,2", "mfffffffffffffffff,1", "m0,1,1",
    "M0,1", "M0,1:", "M0,1:0", "M0,1:zz", "M0,2:00", "M0,1:0000", "Mffffffffffffffff,ffffffffffffffff:00", "X0,1:", "X0,2:a",
    "X0,ffffffffffffffff:a", "Z", "Z0", "Z0,", "Z0,0", "Z0,0,", "Z2,0,0", "Z2,ffffffffffffffff,2", "Z2,0,ffffffffffffffff",
    "z2,0,ffffffffffffffff", "Z9,0,1", "Zx,0,1", "z0,0,1", "Z0,fffffffffffffffff,1", "Z2,1,1;X1,0", "vCont", "vCont;", "vCont;q",
    "vCont;C", "vCont;Czz", "vCont;r", "vCont;r1", "vCont;r1,", "vCont;sx", "vContx", "vFile:open:00,0,0", "vRun;x", "vAttach;1",
    "C", "Cz", "Sz", "qXfer:features:read:target.xml:", "qXfer:features:read:target.xml:0", "qXfer:features:read:target.xml:ffffff,1",
    "qXfer:features:read:target.xml:0,ffffffffffffffff", "qXfer:features:read:other.xml:0,1", "qXfer:memory-map:read:x:0,1",
    "qXfer:memory-map:read::ffffffffffffffff,1", "qXfer:auxv:read::0,1", "qXfer:features:write:target.xml:0:00", "qRcmd", "qRcmd,",
    "qRcmd,zz", "qRcmd,1", "qRcmd," + "61" * 5000, "qRcmd,00", "qRcmd," + b"x /999999999i 0".hex(), "qRcmd," + b"p ((((((((1".hex(),
    "qCRC:0,ffffffffffffffff", "qSearch:memory:0;100;00", "QPassSignals:e;", "QNonStop:1", "Hgp1.1", "T", "!", "R00", "bs", "bc", "bx",
    "i", "_m", "jThreads", "\x80\xff", "A", "t0:1,1", "y", "\x00", "?" * 16384,
]


def alive():
    stub = vmrr.connect().start()
    check("registers", len(stub.ask("g")) > 1000)
    return stub


def each():
    stub = vmrr.connect().start()
    for data in PACKETS:
        answer = stub.ask(data.encode("latin-1"))
        check(f"{data[:60]!r}: {answer[:40]!r}", answer == "" or answer in ("OK", "b") or answer[0] in "ETlmO0123456789abcdef")
        if answer == "OK" and data.startswith("Z"):
            same(f"z for {data}", stub.ask("z" + data[1:]), "OK")
    check("still there", len(stub.ask("g")) > 1000)
    stub.close()


def framing():
    stub = vmrr.connect()
    stub.send_raw(b"noise\xff\x00###$g#00")
    same("a wrong checksum", stub.byte(), b"-")
    stub.send_raw(b"$g$g#67")
    same("cut by another", stub.byte(), b"-")
    same("which is good", stub.byte(), b"+")
    check("and answered", len(stub.packet()) > 1000)
    stub.send_raw(b"-")
    check("again", len(stub.packet()) > 1000)
    stub.send_raw(b"$" + b"a" * 200000 + b"#00")
    same("too long", stub.byte(), b"-")
    stub.send_raw(b"$g#6z")
    same("no checksum", stub.byte(), b"-")
    for byte in Stub.frame(b"qC"):
        stub.send_raw(bytes([byte]))
    same("byte by byte", stub.byte(), b"+")
    same("byte by byte", stub.packet(), b"QC1")
    stub.close()


def flood():
    """Many packets without a look at the answers; then it is gone."""
    stub = vmrr.connect().start()
    stub.socket.settimeout(5)
    try:
        for _ in range(300):
            stub.send_raw(Stub.frame(b"g") * 20)
    except OSError:
        pass
    stub.close()
    stub = vmrr.connect().start()
    stub.send("vCont;c")
    try:
        stub.send_raw(b"\x03" * 2000)
    except OSError:
        pass
    same("one stop", stub.packet(), b"T02thread:1;")
    check("no more than that", len(stub.ask("g")) > 1000)
    stub.close()


def vanish():
    for after in (b"$", b"$g", b"$vCont;c#a8", b"$vCont;s#b8", b"$Z0,100000,1#8f$vCont;c#a8", b"\x03", b"$D#44"):
        stub = vmrr.connect().start()
        stub.send_raw(after)
        stub.close()
    alive().close()


def second():
    first = alive()
    for _ in range(3):
        other = socket.socket(socket.AF_UNIX)
        other.connect(vmrr.path)
        other.settimeout(20)
        same("a second client is turned away", other.recv(1), b"")
        other.close()
    check("the first is not disturbed", len(first.ask("g")) > 1000)
    first.close()


def noise(seed):
    random.seed(seed)
    stub = vmrr.connect()
    words = [packet.encode("latin-1") for packet in PACKETS] + [b"vCont;c", b"vCont;s", b"c", b"s", b"QStartNoAckMode", b"Z0,100000,1"]
    sent = b""
    for _ in range(200):
        data = bytearray(random.choice(words)[:300])
        for _ in range(random.randrange(3)):
            if data:
                data[random.randrange(len(data))] = random.choice(b"0123456789abcdef,;:#$}*\x03+-")
        if data[:1] in (b"k", b"D") or data[:5] == b"vKill":
            continue
        sent += Stub.frame(bytes(data)) + random.choice([b"", b"\x03", b"+", b"-"])
    try:
        stub.socket.setblocking(False)
        stub.send_raw(sent)
    except OSError:
        pass
    stub.close()


each()
framing()
second()
vanish()
flood()
for seed in range(30):
    if vmrr.process.poll() is not None: # noise writes to the guest too, which may end by that, but not by a crash of ours
        check(f"exit code {vmrr.process.returncode}: {vmrr.text()}", vmrr.process.returncode >= 0)
        vmrr = start()
    noise(seed)
vmrr = start()
stub = alive()
stub.send("vCont;c")
stub.interrupt()
same("it still runs", stub.packet(), b"T02thread:1;")
stub.send("k")
same("the end", vmrr.wait(), 0)
finish()

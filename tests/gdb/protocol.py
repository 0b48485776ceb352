#!/usr/bin/env python3
"""The remote protocol, packet by packet, on a live machine.  Usage: protocol.py VMRR GUESTS"""
import os
import re
import stat
import subprocess
import xml.etree.ElementTree

from stub import GUESTS, VMRR, Vmrr, check, fail, finish, same, symbols, work

guest = ("-kernel", f"{GUESTS}/debugged64.elf", "-serial", "none")
names = symbols("debugged64.debug")


def supported(stub):
    features = stub.ask("qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;vContSupported+").split(";")
    for feature in ("QStartNoAckMode+", "qXfer:features:read+", "qXfer:memory-map:read+", "swbreak+", "hwbreak+", "vContSupported+"):
        check(f"{feature} in {features}", feature in features)
    check("no multiprocess", "multiprocess+" not in features)
    size = [int(feature[11:], 16) for feature in features if feature.startswith("PacketSize=")]
    check("PacketSize", size and size[0] >= 4096)
    same("vMustReplyEmpty", stub.ask("vMustReplyEmpty"), "")
    same("vCont?", stub.ask("vCont?"), "vCont;c;C;s;S;t;r")
    same("Hg0", stub.ask("Hg0"), "OK")
    same("qC", stub.ask("qC"), "QC1")
    same("qfThreadInfo", stub.ask("qfThreadInfo"), "m1")
    same("qsThreadInfo", stub.ask("qsThreadInfo"), "l")
    same("T1", stub.ask("T1"), "OK")
    same("qAttached", stub.ask("qAttached"), "1")
    check("?", re.fullmatch("T0[0-9a-f]thread:1;", stub.ask("?")))


def description(stub):
    text = stub.description()
    root = xml.etree.ElementTree.fromstring(re.sub("<!DOCTYPE[^>]*>", "", text))
    features = [feature.get("name") for feature in root.iter("feature")]
    check(f"features {features}", features[:3] == [f"org.gnu.gdb.i386.{name}" for name in ("core", "sse", "avx")])
    found = [register.get("name") for register in root.iter("reg")]
    for name in "rax r15 rip eflags gs st7 fop xmm15 mxcsr ymm15h fs_base gs_base k_gs_base cr0 cr2 cr3 cr4 cr8 efer".split():
        check(f"register {name}", name in found)
    same("names once", len(found), len(set(found)))
    values = stub.registers()
    for number, name in enumerate(found):
        one = int.from_bytes(bytes.fromhex(stub.ask(f"p{number:x}")), "little")
        same(f"p of {name}", one, values[name])
    check("p of none", stub.ask(f"p{len(found):x}").startswith("E"))
    map_text = stub.ask("qXfer:memory-map:read::0,1000")
    check(map_text, map_text[0] == "l" and 'type="ram"' in map_text)
    xml.etree.ElementTree.fromstring(re.sub("<!DOCTYPE[^>]*>", "", map_text[1:]))


def memory(stub):
    address, main = names["records"], names["guest_main"]
    same("Z1", stub.ask(f"Z1,{main:x},1"), "OK")
    same("in long mode", stub.go(), "T05thread:1;hwbreak:;")
    same("z1", stub.ask(f"z1,{main:x},1"), "OK")
    first = stub.read(names["_start"], 16)
    same("x", stub.ask(f"x{names['_start']:x},10"), "b" + first.decode("latin-1"))
    same("M", stub.ask(f"M{address:x},4:01237d24"), "OK")
    same("read back", stub.read(address, 4), bytes.fromhex("01237d24"))
    data = bytes(range(256)) * 4
    same("X", stub.ask(b"X%x,%x:" % (address + 4, len(data)) + data), "OK")
    same("read back", stub.read(address, 1028), bytes.fromhex("01237d24") + data)
    same("X of nothing", stub.ask(f"X{address:x},0:"), "OK")
    check("no memory", stub.ask("m8000000000,4").startswith("E"))
    check("M into a hole", stub.ask("M8000000000,1:00").startswith("E"))
    check("a ROM or a hole", stub.ask("Mfffffff0,1:00").startswith("E"))
    same("long reads are cut", len(stub.read(0, 0x100000)) > 4000, True)
    check("physical", "physical" in stub.monitor("physical on"))
    same("the same physically", stub.read(address, 4), bytes.fromhex("01237d24"))
    check("linear", "linear" in stub.monitor("physical off"))
    same("zeros again", stub.ask(f"M{address:x},404:" + "00" * 0x404), "OK")


def stops(stub):
    set_name, make_record, wipe = names["set_name"], names["make_record"], names["wipe"]
    same("Z0", stub.ask(f"Z0,{set_name:x},1"), "OK")
    same("Z1", stub.ask(f"Z1,{make_record:x},1"), "OK")
    same("again", stub.ask(f"Z1,{make_record:x},1"), "OK")
    before = stub.read(set_name & ~0xFFF, 4096)
    same("hardware", stub.go(), "T05thread:1;hwbreak:;")
    same("there", stub.rip(), make_record)
    same("software", stub.go(), "T05thread:1;swbreak:;")
    same("there", stub.rip(), set_name)
    same("no byte of the guest", stub.read(set_name & ~0xFFF, 4096), before)
    same("z1", stub.ask(f"z1,{make_record:x},1"), "OK")
    same("z1 of none", stub.ask(f"z1,{make_record:x},1"), "OK")
    same("next", stub.go("c"), "T05thread:1;swbreak:;")
    same("z0", stub.ask(f"z0,{set_name:x},1"), "OK")
    rip = stub.rip()
    same("s", stub.ask("s"), "T05thread:1;")
    check("a step", stub.rip() != rip)
    rip = stub.rip()
    same("a range", stub.ask(f"vCont;r{set_name:x},{set_name + 0x1c:x}:1;c"), "T05thread:1;")
    check("out of it", not set_name <= stub.rip() < set_name + 0x1c and rip < set_name + 0x1c)

    block = names["block"]
    watch = block + 0x1ffc
    same("Z2", stub.ask(f"Z2,{watch:x},1"), "OK")
    same("Z2, 9 bytes over a page's end", stub.ask(f"Z2,{block + 0xffb:x},9"), "OK")
    same("on the way", stub.go(), f"T05thread:1;watch:{block + 0xffb:x};")
    registers = stub.registers()
    same("the iteration", registers["rdi"], block + 0xffc)
    check("still in the instruction", wipe <= registers["rip"] < wipe + 0x20)
    same("z2", stub.ask(f"z2,{block + 0xffb:x},9"), "OK")
    same("the last bytes", stub.go(), f"T05thread:1;watch:{watch:x};")
    same("the iteration", stub.registers()["rdi"], watch + 1)
    same("z2", stub.ask(f"z2,{watch:x},1"), "OK")

    turns = names["turns"]
    for kind, name, values in ((2, "watch", 1), (3, "rwatch", 1), (4, "awatch", 1)):
        same(f"Z{kind}", stub.ask(f"Z{kind},{turns:x},8"), "OK")
        same(name, stub.go(), f"T05thread:1;{name}:{turns:x};")
        same(f"z{kind}", stub.ask(f"z{kind},{turns:x},8"), "OK")
    check("physical", "physical" in stub.monitor("physical on"))
    same("Z2", stub.ask(f"Z2,{turns:x},8"), "OK")
    check("no physical breakpoints by mistake", stub.ask(f"Z5,{turns:x},8") == "")
    same("watch", stub.go(), f"T05thread:1;watch:{turns:x};")
    same("z2", stub.ask(f"z2,{turns:x},8"), "OK")
    stub.monitor("physical off")


def writes(stub):
    found = re.findall(r'<reg name="(\w+)"', stub.description())
    number = {name: place for place, name in enumerate(found)}

    def put(name, value, size):
        return stub.ask(f"P{number[name]:x}=" + value.to_bytes(size, "little").hex())
    for name, value, size in (("rax", 0x123456789ABCDEF0, 8), ("st3", 0x4000C90FDAA22168C235, 10), ("xmm7", 2**127 + 5, 16),
                              ("ymm7h", 2**126 + 9, 16), ("mxcsr", 0x1FA0, 4), ("gs_base", 0xFFFF888000000000, 8)):
        same(f"P of {name}", put(name, value, size), "OK")
        same(name, stub.registers()[name], value)
    for name, value, size in (("cs", 3, 4), ("cr0", 0, 8), ("efer", 0, 8), ("rip", 0x8000000000000000, 8), ("eflags", 0x20002, 4)):
        check(f"P of {name} is refused", put(name, value, size).startswith("E"))
    whole = stub.ask("g")
    same("G of the same", stub.ask("G" + whole), "OK")
    check("G cut", stub.ask("G" + whole[:-2]).startswith("E"))
    check("G longer", stub.ask("G" + whole + "00").startswith("E"))


def monitor(stub):
    check("when", re.search(r"icount \d+, virtual time \d+\.\d{9} s", stub.monitor("when")))
    check("help", "physical" in stub.monitor("help") and "info" in stub.monitor("help"))
    check("digest", re.search("all [0-9a-f]{16}", stub.monitor("digest")))
    for command in ("info qtree", "info irq", "info pic", "info lapic", "info mem", "info tlb", "info registers", "info device ioapic", "info ioapic",
                    "x/3i $rip"):
        text = stub.monitor(command)
        check(f"{command}: {text!r}", text and "unknown" not in text and "\r" not in text)
    check("cont is the debugger's", "own" in stub.monitor("cont"))
    check("not a command", "unknown" in stub.monitor("frobnicate"))


def interrupt():
    spinner = Vmrr("run", "-kernel", f"{GUESTS}/spinner.elf", "-serial", "none")
    stub = spinner.connect().start()
    for _ in range(20):
        stub.send("vCont;c")
        stub.interrupt()
        same("interrupted", stub.packet(), b"T02thread:1;")
        check("memory", stub.read(0x100000, 4))
    same("vCont;t", stub.ask("vCont;t"), "T02thread:1;")
    stub.send("k")
    same("killed", spinner.wait(), 0)


def ends():
    """Detach lets it go on; the exit code is said; a client that comes back finds it halted."""
    vmrr = Vmrr("run", *guest, "-S")
    stub = vmrr.connect().start()
    same("Z0", stub.ask(f"Z0,{names['find_bad']:x},1"), "OK")
    same("stop", stub.go(), "T05thread:1;swbreak:;")
    stub.close()
    stub = vmrr.connect().start()
    same("where it was", stub.rip(), names["find_bad"])
    same("exit", stub.go(), "W07")
    same("exit code", vmrr.wait(), 7)
    vmrr = Vmrr("run", *guest, "-S")
    stub = vmrr.connect().start()
    same("Z0", stub.ask(f"Z0,{names['find_bad']:x},1"), "OK")
    same("D", stub.ask("D"), "OK")
    same("exit code", vmrr.wait(), 7)


def replay():
    journal = f"{work}/run.vmrr"
    subprocess.run([VMRR, "record", "-q", "-o", journal, *guest], stdin=subprocess.DEVNULL, check=False)
    vmrr = Vmrr("replay", journal, "-serial", "none")
    stub = vmrr.connect().start()
    check("at the start", "icount 0," in stub.monitor("when"))
    same("a write of what is there", stub.ask(f"M{names['turns']:x},1:00"), "OK")
    check("changes nothing", "no diversion" in stub.monitor("diversion"))
    same("a write", stub.ask(f"M{names['turns']:x},1:01"), "OK")
    check("begins a diversion", "in a diversion from icount 0," in stub.monitor("diversion"))
    check("which ends", "no diversion" in stub.monitor("diversion off"))
    same("as it was", stub.read(names["turns"], 1), b"\0")
    same("the end", stub.go(), "T05thread:1;replaylog:end;")
    end = stub.monitor("when")
    same("and no further", stub.go(), "T05thread:1;replaylog:end;")
    same("nor by a step", stub.go("vCont;s"), "T05thread:1;replaylog:end;")
    same("where", stub.monitor("when"), end)
    same("D", stub.ask("D"), "OK")
    same("bit-exact", vmrr.wait(), 0)
    check(vmrr.text(), "replay: bit-exact" in vmrr.text())


def sockets():
    vmrr = Vmrr("run", *guest, "-S")
    stub = vmrr.connect().start()
    same("the owner's alone", stat.S_IMODE(os.stat(vmrr.path).st_mode) & 0o077, 0)
    stub.send("k")
    vmrr.wait()
    for where in ("tcp:0.0.0.0:0", "tcp:192.0.2.1:1234", "udp:1", "file:x", "tcp:1234"):
        done = subprocess.run([VMRR, "run", *guest, "-gdb", where], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        same(f"-gdb {where}", done.returncode, 2)


vmrr = Vmrr("run", *guest, "-S")
stub = vmrr.connect().start()
for part in (supported, description, memory, stops, writes, monitor):
    part(stub)
stub.send("k")
vmrr.wait()
for part in (interrupt, ends, replay, sockets):
    part()
finish()

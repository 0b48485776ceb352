"""gdb commands for vmrr's stub: `source` it, or let `vmrr debug` do so. They stand for `monitor` commands, and after one that moves
the machine gdb is told to look at it anew.

    vmrr-when, vmrr-goto PLACE, vmrr-events, vmrr-last-write LBA, vmrr-next-write LBA, vmrr-last-store PADDR, vmrr-bookmark NAME,
    vmrr-diversion [off|keep], vmrr-stack [BYTES], vmrr-symbols FILE

vmrr-symbols places a Linux kernel's symbols, from its vmlinux or System.map. A kernel moves itself when it starts (KASLR), by a
multiple of 2 MiB; where to, the guest's state says: the interrupt descriptor table has the addresses of its exception handlers, and
MSR LSTAR that of its system call entry. Each of these, less the address that the file has for the same handler, is the distance;
three of them have to agree. Before the kernel has set its own table up there is nothing to go by, so in a replay later instants
are looked at, and then the first one is gone back to: the distance is the same throughout a run."""
import os
import re
import struct
import tempfile

import gdb

ALIGN = 0x200000  # CONFIG_PHYSICAL_ALIGN, at least
AGREE = 3
# By vector: the handlers' names since Linux 5.8, and before.
HANDLERS = {
    0: ("asm_exc_divide_error", "divide_error"), 1: ("asm_exc_debug", "debug"), 2: ("asm_exc_nmi", "nmi"),
    3: ("asm_exc_int3", "int3"), 4: ("asm_exc_overflow", "overflow"), 5: ("asm_exc_bounds", "bounds"),
    6: ("asm_exc_invalid_op", "invalid_op"), 7: ("asm_exc_device_not_available", "device_not_available"),
    8: ("asm_exc_double_fault", "double_fault"), 10: ("asm_exc_invalid_tss", "invalid_TSS"),
    11: ("asm_exc_segment_not_present", "segment_not_present"), 12: ("asm_exc_stack_segment", "stack_segment"),
    13: ("asm_exc_general_protection", "general_protection"), 14: ("asm_exc_page_fault", "page_fault"),
    16: ("asm_exc_coprocessor_error", "coprocessor_error"), 17: ("asm_exc_alignment_check", "alignment_check"),
    19: ("asm_exc_simd_coprocessor_error", "simd_coprocessor_error"),
}
SYSCALL = ("entry_SYSCALL_64",)
SEARCH_PERCENT = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 80, 95)


class Failed(gdb.GdbError):
    pass


def monitor(line):
    return gdb.execute("monitor " + line, to_string=True)


def look_anew():
    gdb.execute("maintenance flush register-cache", to_string=True)


def position():
    found = re.search(r"(?:icount|exit) (\d+)", monitor("when"))
    if not found:
        raise Failed("no vmrr at the other end: target remote first")
    return int(found[1])


def go(place):
    """Moves the machine; what the monitor says where that failed."""
    said = monitor(f"goto {place}")
    look_anew()
    if re.match(r"Error|unknown command|.*expected", said):
        raise Failed(said.strip())
    return said


def show():
    gdb.execute("frame")


# ---- symbols ----

class MapFile:
    """A System.map. For gdb it becomes an ELF file that has nothing but its symbols."""

    def __init__(self, path):
        self.path, self.symbols = path, {}
        with open(path, errors="replace") as file:
            for line in file:
                match = re.match(r"([0-9a-f]{16}) ([a-zA-Z]) (\S+)\s*$", line)
                if match and match[2] in "tTwWdDbBrRvV" and int(match[1], 16) >> 47:
                    self.symbols.setdefault(match[3], (int(match[1], 16), match[2]))
        if not self.symbols:
            raise Failed(f'{path}: expected lines as "ffffffff81000000 T _text", with addresses')

    def address(self, name):
        return self.symbols.get(name, (None,))[0]

    def elf(self):
        names, table = bytearray(b"\0"), bytearray(24)
        for name, (address, letter) in sorted(self.symbols.items(), key=lambda item: item[1]):
            table += struct.pack("<IBBHQQ", len(names), 0x10 | (2 if letter in "tTwW" else 1), 0, 1, address, 0)
            names += name.encode() + b"\0"
        low = min(address for address, _ in self.symbols.values()) & ~0xFFF
        high = max(address for address, _ in self.symbols.values()) + 0x1000
        texts = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
        at = 64
        sections = [bytes(64), struct.pack("<IIQQQQIIQQ", 1, 8, 6, low, at, high - low, 0, 0, 16, 0),
                    struct.pack("<IIQQQQIIQQ", 7, 2, 0, 0, at, len(table), 3, 1, 8, 24),
                    struct.pack("<IIQQQQIIQQ", 15, 3, 0, 0, at + len(table), len(names), 0, 0, 1, 0),
                    struct.pack("<IIQQQQIIQQ", 23, 3, 0, 0, at + len(table) + len(names), len(texts), 0, 0, 1, 0)]
        body = bytes(table) + bytes(names) + texts
        header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0, 0, at + len(body), 0, 64, 0, 0, 64,
                             len(sections), 4)
        return header + body + b"".join(sections)

    def place(self, distance):
        with tempfile.NamedTemporaryFile(prefix="vmrr-symbols-", suffix=".elf") as file:
            file.write(self.elf())
            file.flush()
            gdb.execute(f"symbol-file -readnow -o {distance:#x} {file.name}", to_string=True)


class ElfFile:
    """A vmlinux."""

    def __init__(self, path):
        self.path = path
        gdb.execute(f"symbol-file '{path}'", to_string=True)

    @staticmethod
    def address(name):
        try:
            return int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
        except gdb.error:
            return None

    def place(self, distance):
        if distance:
            gdb.execute(f"symbol-file -o {distance:#x} '{self.path}'", to_string=True)


def open_symbols(path):
    try:
        with open(path, "rb") as file:
            return ElfFile(path) if file.read(4) == b"\x7fELF" else MapFile(path)
    except OSError as error:
        raise Failed(str(error)) from None


def register(name):
    found = re.search(r"0x([0-9a-f]+)", monitor(f"print /x ${name}"))
    return int(found[1], 16) if found else 0


def distances(symbols):
    """What each handler says."""
    table, said = register("idtr"), []
    if table >> 47:
        for vector, names in HANDLERS.items():
            try:
                gate = bytes(gdb.selected_inferior().read_memory(table + 16 * vector, 16))
            except gdb.error:
                continue
            low, _, kind, middle, high = struct.unpack_from("<HHHHI", gate)
            if kind & 0x8000:
                said.append((high << 32 | middle << 16 | low, names))
    said.append((register("lstar"), SYSCALL))
    for address, names in said:
        for known in filter(None, map(symbols.address, names)):
            if address >> 47:
                yield (address - known) % 2**64


def find_distance(symbols):
    votes = {}
    for distance in distances(symbols):
        if distance % ALIGN == 0:
            votes[distance] = votes.get(distance, 0) + 1
    best = max(votes, key=votes.get, default=None)
    return best if best is not None and votes[best] >= AGREE else None


def search_distance(symbols):
    """At later instants of a replay."""
    here, distance = position(), None
    try:
        for percent in SEARCH_PERCENT:
            go(f"{percent}%")
            distance = find_distance(symbols)
            if distance is not None:
                break
    except Failed:
        pass  # a run that cannot go about: it goes on, and is looked at where it stops
    if position() != here:
        go(here)
    return distance


class Waiting:
    """Symbols of a kernel that is not there yet."""
    symbols = None

    @classmethod
    def stopped(cls, _event):
        symbols = cls.symbols
        distance = find_distance(symbols) if symbols else None
        if distance is not None:
            cls.symbols = None
            placed(symbols, distance)


def placed(symbols, distance):
    symbols.place(distance)
    moved = f"{distance:#x} above" if distance < 2**63 else f"{2**64 - distance:#x} below"
    print(f"{symbols.path}: the kernel lies {moved} where the file has it" if distance else
          f"{symbols.path}: the kernel lies where the file has it")


gdb.events.stop.connect(Waiting.stopped)


# ---- commands ----

class Command(gdb.Command):
    def __init__(self, name, doc, run, usage=None, category=gdb.COMMAND_RUNNING):
        self.__doc__, self.run, self.usage, self.name = doc, run, usage, name
        super().__init__(name, category)

    def invoke(self, argument, from_tty):
        if self.usage and not argument.strip():
            raise gdb.GdbError(f"usage: {self.name} {self.usage}")
        self.run(argument.strip())


def run_goto(place):
    said = go(place)
    print(said, end="")
    show()


def run_write(line):
    """Prints the request, and goes to the instruction that made it."""
    said = monitor(line)
    print(said, end="")
    found = re.match(r"(?:icount|exit) (\d+)", said)
    if found and position() != int(found[1]):
        go(found[1])
    look_anew()
    if found:
        show()


def run_last_store(argument):
    print(monitor(f"last-store {argument}"), end="")
    look_anew()
    show()


def run_diversion(word):
    print(monitor(f"diversion {word}"), end="")
    look_anew()


# ---- the stack ----

STACK_BYTES = 4096


def ends_call(code):
    """The last of these seven bytes is a near call's: E8 and a displacement, or FF /2 of 2 to 7 bytes."""
    if code[2] == 0xE8:
        return True
    for size in range(2, 8):
        opcode, modrm = code[7 - size:9 - size]
        if opcode != 0xFF or modrm >> 3 & 7 != 2:
            continue
        mode, register = modrm >> 6, modrm & 7
        sib = 1 if mode != 3 and register == 4 else 0
        displacement = {0: 4 if register == 5 else 0, 1: 1, 2: 4, 3: 0}[mode]
        if size == 2 + sib + displacement or (mode == 0 and sib and size == 7):
            return True
    return False


def named(address):
    found = re.match(r"(\S+ \+ \d+|\S+) in section|(\S+ \+ \d+)$", gdb.execute(f"info symbol {address:#x}", to_string=True).strip())
    return found and (found[1] or found[2]).replace(" + ", "+")


def run_stack(argument):
    """Kernels have no frame pointers, and a list of symbols no frames: what looks like a return address is one, or was."""
    inferior, size = gdb.selected_inferior(), int(gdb.parse_and_eval(argument)) if argument else STACK_BYTES
    top = int(gdb.parse_and_eval("(unsigned long)$rsp")) % 2**64
    here = int(gdb.parse_and_eval("(unsigned long)$rip")) % 2**64
    print(f"{'rip':>8} {here:#x} <{named(here) or '?'}>")
    for at in range(top, top + size, 8):
        try:
            value, = struct.unpack("<Q", bytes(inferior.read_memory(at, 8)))
            name = named(value) if value >> 47 and ends_call(bytes(inferior.read_memory(value - 7, 7))) else None
        except gdb.error:
            if value_is_unreadable(inferior, at):
                break
            continue
        if name:
            print(f"{'+' + hex(at - top):>8} {value:#x} <{name}>")


def value_is_unreadable(inferior, at):
    try:
        inferior.read_memory(at, 8)
    except gdb.error:
        return True
    return False


def run_symbols(path):
    Waiting.symbols = None
    symbols = open_symbols(os.path.expanduser(path))
    distance = find_distance(symbols)
    if distance is None:
        distance = search_distance(symbols)
    if distance is None:
        Waiting.symbols = symbols
        print(f"{path}: no kernel whose handlers are those is there yet: its symbols are placed where the guest stops with one")
    else:
        placed(symbols, distance)


Command("vmrr-when", "The position in the run and its virtual time.", lambda _: print(monitor("when"), end=""))
Command("vmrr-goto", "Go to a place of a replay: an icount, P%, start, end, event N, time SECONDS, a bookmark.", run_goto, "PLACE")
Command("vmrr-events", "The journal's events around here, or around a position: vmrr-events [ICOUNT [COUNT]]",
        lambda argument: print(monitor(f"events around {argument}"), end=""))
Command("vmrr-last-write", "Go back to the instruction that made the last write of a disk's sector: vmrr-last-write LBA [DRIVE]",
        lambda argument: run_write(f"last-write {argument}"), "LBA [DRIVE]")
Command("vmrr-next-write", "Go on to the instruction that makes the next write of a disk's sector: vmrr-next-write LBA [DRIVE]",
        lambda argument: run_write(f"next-write {argument}"), "LBA [DRIVE]")
Command("vmrr-last-store", "Go back to the store, by CPU or DMA, that changed a physical address last: vmrr-last-store PADDR [BYTES]",
        run_last_store, "PADDR [BYTES]")
Command("vmrr-bookmark", "Give this position a name, for vmrr-goto; without one: the names.",
        lambda argument: print(monitor(f"bookmark {argument}"), end=""))
Command("vmrr-diversion", "What becomes of a replay's guest that was changed, or had a function called: vmrr-diversion [off|keep]. Off: it is"
        " as it was recorded, where it was left. Keep: it is a live run from now on, and there is no going back.", run_diversion)
Command("vmrr-stack", "Return addresses on the stack, with their symbols: vmrr-stack [BYTES]. Where there are no frames to unwind; some may be"
        " of calls that are over.", run_stack, category=gdb.COMMAND_STACK)
Command("vmrr-symbols", "Place a Linux kernel's symbols, from its vmlinux or System.map, where the kernel lies (KASLR).",
        run_symbols, "FILE", gdb.COMMAND_FILES)

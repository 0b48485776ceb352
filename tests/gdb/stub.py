"""A client of gdb's remote protocol, by the "Remote Protocol" appendix of gdb's manual, and what the tests here share."""
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

VMRR, GUESTS = sys.argv[1], sys.argv[2]
WAIT_SECONDS = 60
work = tempfile.mkdtemp(prefix="vmrr-gdb-")
processes = []


def fail(text):
    print("FAIL:", text)
    finish(1)


def skip(text):
    print("SKIP:", text)
    finish(77)


def finish(code=0):
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    shutil.rmtree(work, ignore_errors=True)
    sys.stdout.flush()
    os._exit(code)


def same(what, got, expected):
    if got != expected:
        fail(f"{what}: {got!r}, expected {expected!r}")


def check(what, condition):
    if not condition:
        fail(what)


def unexpected(*what):
    traceback.print_exception(*what)
    for number in range(1, Vmrr.count + 1):
        with open(f"{work}/{number}.log", errors="replace") as log:
            print(log.read()[-3000:])
    finish(1)


sys.excepthook = unexpected


class Closed(Exception):
    pass


class Vmrr:
    """A vmrr with its stub at a Unix socket."""
    count = 0

    def __init__(self, *arguments, gdb=None):
        Vmrr.count += 1
        self.path = f"{work}/{Vmrr.count}.sock"
        self.log = f"{work}/{Vmrr.count}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([VMRR, *arguments, "-gdb", gdb or f"unix:{self.path}"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)
        processes.append(self.process)

    def text(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def wait(self):
        try:
            return self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            fail("vmrr does not end: " + self.text())

    def connect(self):
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            try:
                return Stub(self.path)
            except OSError:
                if self.process.poll() is not None:
                    fail("vmrr has ended: " + self.text())
                time.sleep(0.02)
        fail("no socket: " + self.text())


class Stub:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(WAIT_SECONDS)
        self.got = b""
        self.acknowledge = True
        self.console = ""

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    @staticmethod
    def frame(data):
        escaped = b"".join(b"}" + bytes([byte ^ 0x20]) if byte in b"#$}*" else bytes([byte]) for byte in data)
        return b"$" + escaped + b"#%02x" % (sum(escaped) & 0xFF)

    def send(self, data):
        self.send_raw(self.frame(data.encode() if isinstance(data, str) else data))

    def byte(self):
        if not self.got:
            try:
                self.got = self.socket.recv(65536)
            except TimeoutError:
                fail("no answer")
            except ConnectionResetError:
                raise Closed from None
            if not self.got:
                raise Closed
        first, self.got = self.got[:1], self.got[1:]
        return first

    def packet(self):
        """The next packet's data; acknowledgements are skipped, console output is kept."""
        while True:
            while (byte := self.byte()) != b"$":
                check(f"a byte between packets: {byte!r}", byte in b"+")
            data = b""
            while (byte := self.byte()) != b"#":
                data += byte
            same("checksum", self.byte() + self.byte(), b"%02x" % (sum(data) & 0xFF))
            if self.acknowledge:
                self.send_raw(b"+")
            parts = re.sub(rb"}(.)", lambda match: bytes([match[1][0] ^ 0x20]), data, flags=re.S)
            if parts[:1] == b"O" and parts != b"OK":
                self.console += bytes.fromhex(parts[1:].decode()).decode()
                continue
            return parts

    def ask(self, data):
        self.send(data)
        return self.packet().decode("latin-1")

    def start(self):
        same("QStartNoAckMode", self.ask("QStartNoAckMode"), "OK")
        self.acknowledge = False
        return self

    def interrupt(self):
        self.send_raw(b"\x03")

    def monitor(self, line):
        self.console = ""
        same(f"monitor {line}", self.ask("qRcmd," + line.encode().hex()), "OK")
        return self.console

    def read(self, address, size):
        answer = self.ask(f"m{address:x},{size:x}")
        check(f"m{address:x},{size:x}: {answer}", not answer.startswith("E"))
        return bytes.fromhex(answer)

    def description(self):
        text = ""
        while True:
            part = self.ask(f"qXfer:features:read:target.xml:{len(text):x},400")
            text += part[1:]
            if part[0] == "l":
                return text

    def registers(self):
        """Name: value, by the description."""
        values, at, packet = {}, 0, bytes.fromhex(self.ask("g"))
        for name, bits in re.findall(r'<reg name="(\w+)" bitsize="(\d+)"', self.description()):
            size = int(bits) // 8
            values[name] = int.from_bytes(packet[at:at + size], "little")
            at += size
        same("bytes of the register packet", len(packet), at)
        return values

    def rip(self):
        return self.registers()["rip"]

    def go(self, how="vCont;c"):
        return self.ask(how)


def symbols(name):
    """Name: address, of a guest with line numbers."""
    lines = subprocess.run(["nm", f"{GUESTS}/{name}"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {words[2]: int(words[0], 16) for words in map(str.split, lines) if len(words) == 3}


def run_gdb(lines, *arguments, timeout=120):
    """gdb in batch; its output."""
    gdb = shutil.which("gdb")
    if not gdb:
        skip("no gdb")
    script = f"{work}/script.gdb"
    with open(script, "w") as out:
        out.write("set pagination off\nset confirm off\nset width 0\nset style enabled off\n" + "\n".join(lines) + "\n")
    done = subprocess.run([gdb, "-nx", "-q", "-batch", *arguments, "-x", script], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, timeout=timeout, errors="replace")
    return done.stdout


def in_order(text, *expected):
    """Each of the regular expressions matches behind the one before."""
    at = 0
    for pattern in expected:
        match = re.compile(pattern).search(text, at)
        if not match:
            fail(f"not found: {pattern}\n--- in\n{text[at:]}\n--- of\n{text}")
        at = match.end()

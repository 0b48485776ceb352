#!/usr/bin/env python3
"""vmrr diff --b gdb: beside Debian's QEMU (TCG): a firmware image of our own through real mode, 32-bit paging and long mode, and
SeaBIOS's first instructions; QEMU with another byte in its image, which must be found; targets that are none.
Usage: lockstep.py VMRR GUESTS"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

VMRR, GUESTS = sys.argv[1:3]
QEMU, SEABIOS = shutil.which("qemu-system-x86_64"), "/usr/share/seabios/bios-256k.bin"
WORK = tempfile.TemporaryDirectory()


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def skip(why):
    print("SKIP: " + why)
    sys.exit(77)


class Qemu:
    """A QEMU that stands before its first instruction."""

    def __init__(self, bios, unix=True):
        self.path = os.path.join(WORK.name, "gdb.sock")
        if os.path.exists(self.path):
            os.unlink(self.path)
        if unix:
            self.where, listen = "gdb:unix:" + self.path, "unix:%s,server=on,wait=off" % self.path
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            self.where, listen = "gdb:tcp:127.0.0.1:%d" % port, "tcp:127.0.0.1:%d,server=on,wait=off" % port
        self.process = subprocess.Popen([QEMU, "-M", "pc", "-cpu", "qemu64", "-m", "16M", "-display", "none", "-nodefaults",
                                         "-accel", "tcg", "-S", "-gdb", listen, "-bios", bios],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(200):
            if self.process.poll() is not None:
                sys.exit("QEMU: " + self.process.stderr.read().decode())
            if self.listens(unix):
                return
            time.sleep(0.05)
        sys.exit("QEMU does not listen")

    def listens(self, unix):
        if unix:
            return os.path.exists(self.path)
        with open("/proc/net/tcp", encoding="ascii") as table:
            return ":%04X 00000000:0000 0A" % int(self.where.rsplit(":", 1)[1]) in table.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def diff(where, bios, *options, expect=0):
    done = subprocess.run([VMRR, "diff", "--a", "interp", "--b", where, "-m", "16M", "-cpu", "qemu64", "-bios", bios, *options],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False)
    check(done.returncode == expect, "%s: exit code %d, expected %d\n%s%s" %
          (options, done.returncode, expect, done.stdout[-3000:], done.stderr))
    return done.stdout


def peer(answers):
    """Somebody who accepts one connection and says this."""
    path = os.path.join(WORK.name, "peer%d" % len(os.listdir(WORK.name)))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)

    def serve():
        with listener:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(answers)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(4096):
                        pass
                except OSError:
                    pass  # they had enough

    threading.Thread(target=serve, daemon=True).start()
    return "gdb:unix:" + path


modes = os.path.join(GUESTS, "modes.bin")
for what, answers in (("nothing", b""), ("noise", os.urandom(5000)), ("half a packet", b"+$T05thr"),
                      ("no description", b"+$#00" * 4), ("wrong sums", b"+$OK#00" * 9)):
    text = diff(peer(answers), modes, expect=4)
    check(text.splitlines()[-1].startswith("not compared: "), "%s: %s" % (what, text))
check("not compared" in diff("gdb:unix:%s/nobody" % WORK.name, modes, expect=4), "nobody listens")
diff("gdb:pipe:x", modes, expect=2)
both = subprocess.run([VMRR, "diff", "--a", "gdb:unix:x", "--b", "gdb:unix:y"], capture_output=True, check=False)
check(both.returncode == 2, "two remote targets")

if not QEMU:
    skip("no qemu-system-x86_64 (package qemu-system-x86)")
with Qemu(modes) as qemu:
    text = diff(qemu.where, modes, "--every=1024")
    check(text.endswith("equal\n") and "stop: idle" in text, text)
    steps, memory = int(text.split(" steps")[0].split()[-1]), int(text.split(" bytes of memory")[0].split()[-1])
    check(steps > 5000 and memory > 50000, text)
# Another image in QEMU: MUL becomes IMUL in long mode, or 0x77 in an immediate of real mode.
with open(modes, "rb") as image:
    content = bytearray(image.read())
at = content.index(b"\x48\xF7\xE1")
content[at:at + 3] = b"\x48\xF7\xE9"
other = os.path.join(WORK.name, "other.bin")
with open(other, "wb") as image:
    image.write(content)
with Qemu(other, unix=False) as qemu:
    text = diff(qemu.where, modes, expect=3)
    check("different: registers" in text and "64-bit code" in text and "mul rcx" in text and "rdx " in text, text)
if os.path.exists(SEABIOS):
    with Qemu(SEABIOS) as qemu:
        text = diff(qemu.where, SEABIOS, "--until=3000")
        check(text.endswith("equal\n") and " 3000 steps" in text, text)

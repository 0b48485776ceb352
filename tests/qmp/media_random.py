#!/usr/bin/env python3
"""Media, sizes and snapshots at random, while the guest reads and writes; and files that are no images. The guest makes its way, images
stay whole, and the recording replays bit-exactly, to the same words, without any of the files.
Usage: media_random.py VMRR GUESTS; VMRR_MEDIA_SEEDS=FROM:COUNT for others than the first"""
import os
import random
import shutil
import socket
import subprocess

from media_guest import Guest, make_disc
from vmrr import Error, check, finish, path, read_until

MIB = 1 << 20
CD = "ide1-cd0"


def odd_files():
    """Whatever somebody may give as a medium or as a new image: refused, each in words, and nothing waits."""
    os.mkdir(path("folder"))
    os.mkfifo(path("pipe"))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path("socket"))
    for name, content in (("empty", b""), ("short", b"x" * 100), ("bad", b"QFI\xfb" + b"\xff" * 4096),
                          ("shorter", b"QFI\xfb\0\0\0\3")):
        with open(path(name), "wb") as out:
            out.write(content)
    names = ["folder", "pipe", "socket", "empty", "short", "bad", "shorter", "nothing", "folder/none/x", "x" * 3000]
    return [path(name) for name in names] + ["/dev/null", "", "%n%s%n", "\u00e4\u0001"]


def look(guest):
    drives = guest.drive(CD), guest.drive("disk")
    info = drives[1]["inserted"]["image"]
    while info:
        info["actual-size"] = 0  # the host gives blocks when it likes
        info = info.get("backing-image")
    return drives


def refuse_odd(guest):
    before = look(guest)
    for name in odd_files():
        guest.qmp.refused("blockdev-change-medium", "", device=CD, filename=name)
        guest.qmp.refused("blockdev-snapshot-sync", "", device="disk", snapshot_file=name, mode="existing")
        if not os.path.isfile(name) and os.path.exists(name):
            guest.qmp.refused("blockdev-snapshot-sync", "", device="disk", snapshot_file=name)
        guest.qmp.human(f'change {CD} "{name}')
    for line in ("change " + "x" * 900, f"change {CD} " + "a " * 300, "eject -f -f -f", 'eject "', "block_resize disk 99999999999999999999"):
        guest.qmp.human(line)
    after = look(guest)
    check(after == before, "refusals changed something:", before, after)


class Play:
    def __init__(self, guest, seed, snapshots):
        self.guest, self.random, self.snapshots = guest, random.Random(seed), snapshots
        self.discs = [make_disc(f"disc{n}.iso", 0xA + n, 20 + 15 * n) for n in range(3)]
        self.files, self.pending, self.stopped = [], 0, False

    def line(self):
        any_of = self.random.choice
        sector = self.random.randrange(0, 12 * MIB // 512)
        return any_of(["t", "c", "v", "e", "l", "p", "a", "i", "f", f"b {self.random.randrange(60)}",
                       f"b {self.random.randrange(60)}", f"r {sector}", f"r {sector}", f"w {sector} {sector + 1}",
                       f"w {sector} {sector + 2}"])

    def say(self):
        """Sends without waiting; the guest holds 256 bytes."""
        for _ in range(self.random.randrange(1, 5)):
            self.guest.console.sendall(self.line().encode() + b"\n")
            self.pending += 1

    def listen(self):
        while self.pending:
            said = read_until(self.guest.console, b"\n")
            self.guest.said += said
            self.pending -= said.count(b"\n")

    def command(self):
        force = self.random.random() < 0.5
        kind = self.random.randrange(12)
        if kind < 4:
            return "blockdev-change-medium", {"device": CD, "filename": self.random.choice(self.discs), "force": force}
        if kind < 6:
            return "eject", {"device": CD, "force": force}
        if kind == 6:
            return "blockdev-open-tray", {"device": CD, "force": force}
        if kind == 7:
            return "blockdev-close-tray", {"device": CD}
        if kind < 10:
            return "block_resize", {"device": "disk", "size": self.random.randrange(1, 12 * MIB // 512) * 512}
        if kind == 10 and len(self.files) < self.snapshots:
            self.files.append(path(f"over{len(self.files)}.qcow2"))
            return "blockdev-snapshot-sync", {"device": "disk", "snapshot_file": self.files[-1]}
        self.stopped = not self.stopped
        return ("stop" if self.stopped else "cont"), {}

    def step(self):
        self.say()
        for _ in range(self.random.randrange(0, 4)):
            command, arguments = self.command()
            try:
                self.guest.qmp.execute(command, **arguments)
            except Error as error:
                check("is locked and force was not" in error.args[1], command, arguments, error.args)
        if self.stopped:
            self.guest.qmp.execute("cont")
            self.stopped = False
        self.listen()
        self.guest.qmp.events.clear()


def run(seed, form, timing, *more):
    disk = path("disk.img")
    if form == "qcow2":
        subprocess.run(["qemu-img", "create", "-q", "-f", form, disk, "8M"], check=True)
    else:
        with open(disk, "wb") as out:
            out.write(b"\x21\x43\x65\x87" * (8 * MIB // 4))
    guest = Guest("random", "-drive", "if=ide,media=cdrom,index=2", "-drive",
                  ",".join([f"file={disk}", f"format={form}", "id=disk", *more]), timing=timing)
    play = Play(guest, seed, 6 if shutil.which("qemu-img") else 0)
    guest.begin()
    for n in range(60):
        play.step()
        if n == 30:
            refuse_odd(guest)
            for name in ("folder", "pipe", "socket"):
                os.rmdir(path(name)) if name == "folder" else os.unlink(path(name))
    guest.finish()
    for name in play.files + ([disk] if form == "qcow2" else []):
        done = subprocess.run(["qemu-img", "check", name], capture_output=True, text=True)
        check(done.returncode == 0, name, done.stdout, done.stderr)
    guest.replay(disk, *play.discs, *play.files)
    return len(guest.inputs("media")), len(guest.inputs("block-resize")), len(play.files)


def main():
    first, count = (int(word) for word in os.environ.get("VMRR_MEDIA_SEEDS", "1:2").split(":"))
    formats = ["raw", "qcow2"] if shutil.which("qemu-img") else ["raw"]
    for seed in range(first, first + count):
        for form in formats:
            for timing, more in (("model", ()), ("host", ()), ("host", ("cache=none", "aio=io_uring"))):
                print(f"seed {seed}, {form}, {timing}:", "media {}, sizes {}, snapshots {}".format(*run(seed, form, timing, *more)))


finish(main)

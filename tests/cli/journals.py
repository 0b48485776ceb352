#!/usr/bin/env python3
"""Journals of other versions and damaged ones, crafted by replay/FORMAT.md: what may be skipped is, the rest is refused by name.

Usage: journals.py VMRR GUESTS
"""
import os
import random
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "replay"))
from journal_reader import Frame, xxh3  # noqa: E402

VMRR, GUESTS = sys.argv[1:3]
CONFIG, EVENTS, INDEX, END = 1, 3, 6, 7
SKIPPABLE, STORED = 1, 2
COMMANDS = ("replay", "info", "dump", "verify")


def run(command, path):
    options = ["-serial", "none"] if command == "replay" else []
    return subprocess.run([VMRR, command, *options, path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", timeout=120, check=False)


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def file_header(major=1, minor=1):
    fields = struct.pack("<8sHHIQ", b"\x89VMRR\r\n\x1a", major, minor, 32, 0)
    return fields + struct.pack("<Q", xxh3(fields))


def pack_frame(kind, flags, sequence, first, last, content, events=0, delivers=0, raw=None):
    """content: as it lies on disk; raw: (size, checksum) of what it unpacks to when it is packed."""
    raw_size, raw_hash = raw or (len(content), xxh3(content))
    head = struct.pack("<4sBBHQ4QIIIIQ", b"VFRM", kind, flags, 80, sequence, *first, *last, raw_size, len(content),
                       events, delivers, raw_hash)
    return head + struct.pack("<Q", xxh3(head + content)) + content


def again(frame, sequence):
    """The frame with another sequence number."""
    return pack_frame(frame.kind, frame.flags, sequence, frame.first, frame.last, frame.packed, frame.events,
                      frame.delivers, (frame.raw_size, frame.raw_hash))


def events_content(code, flags):
    """One event of the kind, without a value, at the position of the event before."""
    columns = [bytes([0, 0]), bytes([1]), bytes([0]), bytes([code, flags, 0, 0, 0])] + [b""] * 8
    # tokens, implied digests, digest steps (65,536), next digest (none), columns
    return bytes([1, 0]) + b"\x80\x80\x04" + bytes([0, 12]) + bytes(len(c) for c in columns) + b"".join(columns)


def read_frames(data):
    at = 32
    while at < len(data):
        frame = Frame(data, at)
        yield frame
        at += 80 + frame.packed_size


class Cases:
    def __init__(self, directory):
        self.directory = directory
        self.journal = os.path.join(directory, "run.vmrr")
        done = subprocess.run([VMRR, "record", "-q", "-o", self.journal, "-serial", "none", "-m", "16M", "-kernel",
                               os.path.join(GUESTS, "protected32.elf")], stdin=subprocess.DEVNULL, check=False)
        check(done.returncode == 1, "record: exit code %d" % done.returncode)
        with open(self.journal, "rb") as file:
            self.data = file.read()
        self.frames = list(read_frames(self.data))
        self.body = [f for f in self.frames if f.kind not in (INDEX, END)]

    def path(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def refused(self, name, data, *words, commands=COMMANDS):
        path = self.path(name, data)
        for command in commands:
            done = run(command, path)
            check(done.returncode == 2, "%s of %s: exit code %d: %s" % (command, name, done.returncode, done.stderr[-800:]))
            check(path in done.stderr, "%s of %s does not name the file: %s" % (command, name, done.stderr[-800:]))
            for word in words:
                check(word in done.stderr, "%s of %s does not say %s: %s" % (command, name, word, done.stderr[-800:]))
            check(len(done.stderr) < 4000, "%s of %s says too much" % (command, name))

    def replays(self, name, data):
        done = run("replay", self.path(name, data))
        check(done.returncode == 0 and "replay: bit-exact" in done.stderr,
              "replay of %s: exit code %d: %s" % (name, done.returncode, done.stderr[-800:]))

    def versions(self):
        self.refused("major", file_header(2, 0) + self.data[32:], "2.0")
        self.refused("zero", file_header(0, 9) + self.data[32:], "0.9")
        self.replays("minor", file_header(1, 7) + self.data[32:])
        header = bytearray(file_header())
        header[31] ^= 1
        self.refused("header", bytes(header) + self.data[32:], "offset")

    def inserted(self, make):
        """The journal without index and end mark, a frame put in before its last events frame and one behind it."""
        out, sequence = file_header(1, 1), 0
        last_events = max(i for i, f in enumerate(self.body) if f.kind == EVENTS)
        for i, frame in enumerate(self.body):
            if i == last_events:
                out += make(sequence, self.body[i - 1].last)
                sequence += 1
            out += again(frame, sequence)
            sequence += 1
        return out + make(sequence, self.body[-1].last)

    def unknown_kinds(self):
        def frame(flags):
            return lambda sequence, at: pack_frame(77, STORED | flags, sequence, at, at, b"from the future" * 9)

        def event(flags):
            return lambda sequence, at: pack_frame(EVENTS, STORED, sequence, at, at, events_content(0x30, flags), events=1)

        self.replays("unknown frame, skippable", self.inserted(frame(SKIPPABLE)))
        self.replays("unknown event, skippable", self.inserted(event(1)))
        self.refused("unknown frame", self.inserted(frame(0)), "77", commands=("replay",))
        self.refused("unknown event", self.inserted(event(0)), commands=("replay", "dump", "info", "verify"))

    def with_kinds(self, kinds):
        """The journal with another field 128 (kinds of trace event), or with none."""
        config, at = self.body[0].content(True), 0
        while at < len(config) and config[at] != 128:
            size, shift, start = 0, 0, at + 1
            while True:
                size |= (config[start] & 0x7F) << shift
                start, shift = start + 1, shift + 7
                if config[start - 1] < 0x80:
                    break
            at = start + size
        check(config[at:at + 2] == b"\x80\x03", "the configuration has field 128: %s" % config[at:at + 2].hex())
        other = config[:at] + (bytes([128, len(kinds)]) + kinds if kinds else b"") + config[at + 5:]
        first = pack_frame(CONFIG, STORED, 0, (0, 0), (0, 0), other)
        return file_header(1, 1 if not kinds else 2) + first + b"".join(again(f, n) for n, f in enumerate(self.body) if n)

    def kinds_of_event(self):
        """A journal of version 1.1 says nothing of kinds; one of a later version may have some that nobody here can make."""
        self.replays("older", self.with_kinds(b""))
        self.replays("same kinds", self.with_kinds(b"\xfe\xff\x03"))
        later = self.with_kinds(b"\xfe\xff\x07")
        self.refused("later kinds", later, "kinds of trace events", commands=("replay",))
        done = run("info", self.path("later kinds", later))
        check(done.returncode == 0, "info of a journal with later kinds: exit code %d" % done.returncode)
        self.refused("too few kinds", self.with_kinds(b"\xfc\xff\x03"), "field tag 128", commands=("replay", "info", "verify"))

    def order(self):
        """Whole frames, right checksums, wrong places."""
        swapped = file_header() + b"".join(again(f, n) for n, f in enumerate(reversed(self.body)))
        self.refused("frames in reverse", swapped, commands=("replay", "info", "verify"))
        twice = file_header() + b"".join(again(f, n) for n, f in enumerate([self.body[0]] + self.body))
        self.refused("two configurations", twice, commands=("replay",))
        done = run("verify", self.path("after the end", self.data + b"\0" * 100))
        check(done.returncode == 2, "verify of a journal with something behind its end: exit code %d" % done.returncode)

    def damage(self, count):
        """One bit, anywhere: refused, or torn there; never a divergence, never a crash. replay may pass over the index."""
        rng = random.Random(4711)
        for n in range(count):
            at, bit = rng.randrange(len(self.data)), rng.randrange(8)
            damaged = bytearray(self.data)
            damaged[at] ^= 1 << bit
            path = self.path("damaged", damaged)
            for command in ("verify",) if n % 3 else COMMANDS:
                done = run(command, path)
                where = "%s with bit %d of byte %d changed: exit code %d: %s" % (command, bit, at, done.returncode,
                                                                                 done.stderr[-800:])
                check(done.returncode in ((2,) if command == "verify" else (0, 2)), where)
                check(done.returncode == 0 or "vmrr: " in done.stderr, where)

    def check_all(self):
        self.versions()
        self.unknown_kinds()
        self.kinds_of_event()
        self.order()
        self.damage(90)
        with open(self.journal, "rb") as file:
            check(file.read() == self.data, "the journal itself was changed")


with tempfile.TemporaryDirectory() as temporary:
    Cases(temporary).check_all()
print("other versions and damage: as specified")

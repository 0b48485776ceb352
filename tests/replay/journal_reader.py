#!/usr/bin/env python3
"""An independent reader of vmrr journals, written from replay/FORMAT.md.

Prints the events of a journal as the JSON lines of `vmrr dump --json`. Python's standard library and the zstd command only.
Exit code 0: read to the end (or to where a torn journal ends); 2: the file does not follow the format.
"""
import argparse
import json
import struct
import subprocess
import sys

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1
LIMIT = 1 << 63
RAW_MAX = 1 << 20
PACKED_MAX = 1064960

TRACE_NAMES = [None, "pio-read", "pio-write", "mmio-read", "mmio-write", "irq", "halt", "block-request",
               "block-completion", "host-write", "digest", "checkpoint", "reset", "end", "block-origin", "block-segment"]
STEP_NAMES = ["host-read", "host-write", "host-flush", "host-zero", "host-resize", "allocate", "free", "map", "table",
              "refcount", "reftable", "header", "copy-on-write", "decompress", "submit", "corrupt"]
INPUT_NAMES = ["wall-clock", "entropy", "io-status", "clock", "uncontrolled", "serial", "key", "mouse", "block",
               "media", "power-button", "reset-button", "fault", "block-fault", "block-resize"]
OPERATIONS = ["read", "write", "flush", "discard", "write-zeroes"]


class FormatError(Exception):
    """The file does not follow the format."""


# ---- XXH3-64, seed 0 (specification: xxHash's doc/xxhash_spec.md) ----

P32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
P64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


def u32(data, at=0):
    return struct.unpack_from("<I", data, at)[0]


def u64(data, at=0):
    return struct.unpack_from("<Q", data, at)[0]


def avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & M64
    return h ^ h >> 32


def avalanche_xxh64(h):
    h ^= h >> 33
    h = h * P64[1] & M64
    h ^= h >> 29
    h = h * P64[2] & M64
    return h ^ h >> 32


def fold(a, b):
    product = a * b
    return (product & M64) ^ (product >> 64)


def mix16(data, at, secret):
    return fold(u64(data, at) ^ u64(SECRET, secret), u64(data, at + 8) ^ u64(SECRET, secret + 8))


def hash_short(data):
    n = len(data)
    if n == 0:
        return avalanche_xxh64(u64(SECRET, 56) ^ u64(SECRET, 64))
    if n <= 3:
        combined = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return avalanche_xxh64(combined ^ (u32(SECRET, 0) ^ u32(SECRET, 4)))
    if n <= 8:
        keyed = (u64(SECRET, 8) ^ u64(SECRET, 16)) ^ (u32(data, n - 4) + (u32(data, 0) << 32) & M64)
        rotated = (keyed << 49 | keyed >> 15) & M64 ^ (keyed << 24 | keyed >> 40) & M64
        h = (keyed ^ rotated) * 0x9FB21C651E98DF25 & M64
        h ^= (h >> 35) + n & M64
        h = h * 0x9FB21C651E98DF25 & M64
        return h ^ h >> 28
    low = (u64(SECRET, 24) ^ u64(SECRET, 32)) ^ u64(data, 0)
    high = (u64(SECRET, 40) ^ u64(SECRET, 48)) ^ u64(data, n - 8)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return avalanche(n + swapped + high + fold(low, high) & M64)


def hash_medium(data):
    n = len(data)
    acc = n * P64[0] & M64
    if n <= 128:
        for i in range((n - 1) // 32, -1, -1):
            acc += mix16(data, 16 * i, 32 * i) + mix16(data, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(acc & M64)
    for i in range(8):
        acc += mix16(data, 16 * i, 16 * i)
    acc = avalanche(acc & M64)
    for i in range(8, n // 16):
        acc += mix16(data, 16 * i, 16 * (i - 8) + 3)
    acc += mix16(data, n - 16, 136 - 17)
    return avalanche(acc & M64)


def accumulate(acc, words, key):
    for i in range(8):
        value = words[i]
        keyed = value ^ key[i]
        acc[i ^ 1] += value
        acc[i] = acc[i] + (keyed & M32) * (keyed >> 32) & M64
    for i in range(8):
        acc[i] &= M64


def hash_long(data):
    n = len(data)
    acc = [P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]]
    keys = [struct.unpack_from("<8Q", SECRET, 8 * i) for i in range(16)]
    last_key = struct.unpack_from("<8Q", SECRET, 192 - 64)
    blocks = (n - 1) // 1024
    for block in range(blocks):
        for stripe in range(16):
            accumulate(acc, struct.unpack_from("<8Q", data, block * 1024 + stripe * 64), keys[stripe])
        for i in range(8):
            acc[i] = (acc[i] ^ acc[i] >> 47 ^ last_key[i]) * P32[0] & M64
    for stripe in range((n - 1 - blocks * 1024) // 64):
        accumulate(acc, struct.unpack_from("<8Q", data, blocks * 1024 + stripe * 64), keys[stripe])
    accumulate(acc, struct.unpack_from("<8Q", data, n - 64), struct.unpack_from("<8Q", SECRET, 192 - 64 - 7))
    result = n * P64[0]
    for i in range(4):
        result += fold(acc[2 * i] ^ u64(SECRET, 11 + 16 * i), acc[2 * i + 1] ^ u64(SECRET, 11 + 16 * i + 8))
    return avalanche(result & M64)


def xxh3(data):
    n = len(data)
    return hash_short(data) if n <= 16 else hash_medium(data) if n <= 240 else hash_long(data)


# ---- fields ----

class Source:
    """Bytes to read from, never past their end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise FormatError("content ends too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack("<H", self.take(2))[0]

    def u64(self):
        return u64(self.take(8))

    def varint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > M64:
                    break
                return value
        raise FormatError("varint too long")

    def zigzag(self):
        z = self.varint()
        return (z >> 1 ^ -(z & 1)) & M64

    def left(self):
        return len(self.data) - self.at


# ---- frames ----

class Frame:
    HEADER = struct.Struct("<4sBBHQ4QIIIIQQ")

    def __init__(self, data, offset):
        (self.magic, self.kind, self.flags, header, self.sequence, fi, fv, li, lv, self.raw_size, self.packed_size,
         self.events, self.delivers, self.raw_hash, self.disk_hash) = self.HEADER.unpack_from(data, offset)
        self.first, self.last = (fi, fv), (li, lv)
        self.header = data[offset:offset + 80]
        self.packed = data[offset + 80:offset + 80 + self.packed_size]
        if self.magic != b"VFRM" or header != 80 or self.kind == 0 or self.flags & ~3:
            raise FormatError("not a frame header")
        if self.raw_size > RAW_MAX or self.packed_size > PACKED_MAX:
            raise FormatError("frame too large")
        if max(fi, fv, li, lv) >= LIMIT or self.last < self.first:
            raise FormatError("positions out of order")

    def content(self, checksums):
        if checksums and xxh3(self.header[:72] + self.packed) != self.disk_hash:
            raise FormatError("wrong checksum of what lies on disk")
        raw = self.packed
        if not self.flags & 2:
            done = subprocess.run(["zstd", "-dcq"], input=self.packed, stdout=subprocess.PIPE, check=False)
            if done.returncode:
                raise FormatError("not a zstd frame")
            raw = done.stdout
        if len(raw) != self.raw_size or checksums and xxh3(raw) != self.raw_hash:
            raise FormatError("wrong raw size or checksum of the content")
        return raw


def frames(data):
    """Yields the frames, and at last why there are no more: None after the end mark."""
    offset, last = 32, (0, 0)
    sequence = 0
    while True:
        if len(data) - offset < 80:
            yield "the file ends without an end mark"
            return
        try:
            frame = Frame(data, offset)
            if frame.sequence != sequence or frame.first < last:
                raise FormatError("sequence or position out of order")
        except FormatError as error:
            yield "frame %d at offset %d: %s" % (sequence, offset, error)
            return
        if len(frame.packed) < frame.packed_size:
            yield "frame %d at offset %d: cut off" % (sequence, offset)
            return
        yield frame
        offset += 80 + frame.packed_size
        sequence += 1
        last = frame.last
        if frame.kind == 7:
            yield None if offset == len(data) else "something follows the end mark"
            return


# ---- sectors ----

def check_sectors(raw, next_content):
    """Walks the entries of a sectors frame; next_content: number of its first content. Returns that of the next frame."""
    source = Source(raw)
    entries, contents = source.varint(), source.varint()
    if entries > 4096 or contents * 512 > source.left():
        raise FormatError("counts of a sectors frame")
    own, end = next_content, next_content + contents
    for _ in range(entries):
        drive, sector, count, kind = source.varint(), source.varint(), source.varint(), source.u8()
        if drive > 65535 or not count or sector >= LIMIT or kind > 3:
            raise FormatError("entry of a sectors frame")
        number = source.varint() if kind == 2 else own
        if kind == 3 and source.varint() > M32:
            raise FormatError("tag of a failed request")
        if kind and number + count > end:
            raise FormatError("content that is not there")
        if kind in (1, 3):
            own += count
    if own != end or source.left() != contents * 512:
        raise FormatError("contents without an entry")
    return end


# ---- steps ----

def text(source):
    size = source.varint()
    if size > 4096:
        raise FormatError("text too long")
    data = source.take(size)
    if b"\0" in data:
        raise FormatError("NUL in a text")
    return data.decode("latin-1")


def table(source, read_entry):
    count = source.varint()
    if count > source.left():
        raise FormatError("counts of a steps frame")
    return [read_entry() for _ in range(count)]


class Steps:
    """The requests of a steps frame, as `vmrr dump --steps --json` prints them."""

    def __init__(self, raw, sequence):
        self.source, self.sequence = Source(raw), sequence
        source = self.source
        self.files = table(source, lambda: (source.varint(), source.varint(), text(source)))
        self.names = table(source, lambda: text(source))
        self.stacks = table(source, lambda: [self.name() for _ in range(source.varint())])
        self.requests = table(source, self.request)
        if source.left():
            raise FormatError("a steps frame goes on after its last request")

    def name(self):
        number = self.source.varint()
        if number >= len(self.names):
            raise FormatError("name that is not there")
        return self.names[number]

    def step(self, drive, expected):
        source = self.source
        kind, file, status, offset = source.u8(), source.varint(), source.zigzag(), source.zigzag() + expected & M64
        size, value, stack = source.varint(), source.varint(), source.varint()
        if file >= len(self.files) or self.files[file][0] != drive or stack > len(self.stacks):
            raise FormatError("a step's file or stack is not there")
        if status and status < (1 << 64) - (1 << 15):
            raise FormatError("status of a step")
        step = {"kind": STEP_NAMES[kind] if kind < len(STEP_NAMES) else "?", "file": self.files[file][2],
                "file_index": self.files[file][1], "offset": offset, "size": size, "status": signed32(status),
                "value": hex(value)}
        if stack:
            step["stack"] = self.stacks[stack - 1]
        return step, offset + size & M64

    def request(self):
        drive, tag, lost, count = (self.source.varint() for _ in range(4))
        if drive > 255 or tag > M32 or count * 7 > self.source.left():
            raise FormatError("request of a steps frame")
        steps, expected = [], 0
        for _ in range(count):
            step, expected = self.step(drive, expected)
            steps.append(step)
        return {"drive": drive, "tag": tag, "lost": lost, "steps": steps, "frame": self.sequence}


# ---- events ----

class Shape:
    def __init__(self, code, flags, form, extras, address):
        self.code, self.flags, self.form, self.address = code, flags, form, address
        self.value, self.extra, self.confidence = 0, [0] * extras, 8


def slot(a, b):
    return (a * 0x9E3779B1 + b * 0x85EBCA77 & M32) >> 20


class Decoder:
    """The events of one frame."""
    (RUN, MASK, SHAPE, DEFINITION, DELTA, SKIP, VALUE8, VALUE16, VALUE, HASH, EXTRA, DIGEST) = range(12)

    def __init__(self, raw, frame):
        source = Source(raw)
        self.tokens, self.implied, self.steps, self.next_digest = (source.varint() for _ in range(4))
        if self.tokens + self.implied != frame.events or frame.events > 1 << 20 or not self.steps:
            raise FormatError("counts of events")
        count = source.varint()
        if count < 12 or count > 64:
            raise FormatError("number of columns")
        sizes = [source.varint() for _ in range(count)]
        self.column = [Source(source.take(size)) for size in sizes][:12]
        if source.left():
            raise FormatError("columns do not fill the frame")
        self.shapes = []
        self.before = self.previous = self.last_delta = self.last_address = 0
        self.next, self.delta, self.pair_delta, self.value = ([0] * 4096 for _ in range(4))
        self.icount = frame.first[0]
        self.skip = frame.first[1] - frame.first[0] & M64
        self.run = None

    def mask(self):
        if self.run is None:
            self.run = self.column[self.RUN].varint()
        if self.run:
            self.run -= 1
            return 0
        self.run = None
        mask = self.column[self.MASK].u8()
        if not mask or mask & ~31 or mask & 6 == 6:
            raise FormatError("mask")
        return mask

    def define(self):
        source = self.column[self.DEFINITION]
        code, flags, form, extras = (source.u8() for _ in range(4))
        address = self.last_address + source.zigzag() & M64
        if not code or form not in (0, 1, 2, 4, 8, 64) or extras > 8 or len(self.shapes) == 4096:
            raise FormatError("shape definition")
        self.last_address = address
        self.shapes.append(Shape(code, flags, form, extras, address))

    def shape(self, mask):
        index = self.next[slot(self.before, self.previous)]
        if mask & 1:
            index = self.column[self.SHAPE].varint()
            if index == len(self.shapes):
                self.define()
        if index >= len(self.shapes):
            raise FormatError("shape is not defined")
        return index

    def read_value(self, shape):
        if shape.form == 1:
            return self.column[self.VALUE8].u8()
        if shape.form == 2:
            return self.column[self.VALUE16].u16()
        if shape.form == 64:
            return self.column[self.HASH].u64()
        return shape.value + self.column[self.VALUE].zigzag() & (M32 if shape.form == 4 else M64)

    def event_value(self, mask, index, shape):
        if not shape.form:
            return 0
        at = slot(index, shape.value & M32 ^ shape.value >> 32)
        value = self.value[at]
        if mask & 8 or shape.confidence < 4:
            value = self.read_value(shape)
        if shape.form < 8 and value >> 8 * shape.form:
            raise FormatError("predicted value is too wide")
        if self.value[at] == value:
            shape.confidence = min(shape.confidence + 1, 15)
        else:
            shape.confidence = max(shape.confidence - 2, 0)
            self.value[at] = value
        shape.value = value
        return value

    def token(self):
        """(skip expected before it, position, shape, value, extras)"""
        mask = self.mask()
        index = self.shape(mask)
        shape = self.shapes[index]
        pair = slot(self.previous, index)
        at = slot(pair, self.last_delta & M32)
        delta = self.column[self.DELTA].varint() if mask & 4 else self.pair_delta[pair] if mask & 2 else self.delta[at]
        expected = skip = self.skip
        if mask & 16:
            skip = skip + self.column[self.SKIP].zigzag() & M64
        value = self.event_value(mask, index, shape)
        for i in range(len(shape.extra)):
            shape.extra[i] = shape.extra[i] + self.column[self.EXTRA].zigzag() & M64
        self.next[slot(self.before, self.previous)] = index
        self.delta[at] = self.pair_delta[pair] = self.last_delta = delta
        self.before, self.previous = self.previous, index
        self.icount += delta
        position = (self.icount, self.icount + skip & M64)
        if max(position) >= LIMIT:
            raise FormatError("position")
        self.skip = (skip + value & M64) if shape.code == 6 else skip
        return expected, position, shape, value, list(shape.extra)

    def implied_digest(self, skip):
        at = self.next_digest
        whole = at // self.steps % 256 == 0
        source = self.column[self.DIGEST]
        value = source.u64() if whole else source.u8()
        self.next_digest = at + self.steps
        self.implied -= 1
        return {"kind": "digest", "icount": at, "vtime_ns": at + skip & M64, "bits": 64 if whole else 8,
                "value": "0x%0*x" % (16 if whole else 2, value)}

    def events(self):
        for _ in range(self.tokens):
            expected, position, shape, value, extra = self.token()
            while self.implied and self.next_digest < position[0]:
                yield self.implied_digest(expected)
            if shape.code == 10 and self.next_digest:
                self.next_digest = (position[0] // self.steps + 1) * self.steps
            event = describe(shape, value, extra)
            if event is None and not shape.flags & 1:
                raise FormatError("event code %d is unknown and not skippable" % shape.code)
            if event is not None:
                event["icount"], event["vtime_ns"] = position
                yield event
        while self.implied:
            yield self.implied_digest(self.skip)
        if self.run is None:
            self.run = self.column[self.RUN].varint()
        if self.run or any(column.left() for column in self.column):
            raise FormatError("columns go on after the last event")


def signed32(value):
    value &= M32
    return value - (1 << 32) if value >> 31 else value


def describe_block(shape, value, extra):
    operation = shape.address & 0xFF
    if operation >= len(OPERATIONS) or extra[1] >= LIMIT:
        raise FormatError("block event")
    return {"drive": shape.address >> 8 & M32, "op": OPERATIONS[operation], "tag": extra[0] & M32, "sector": extra[1],
            "sectors": extra[2] & M32, "status": signed32(extra[3]), "hash": "0x%016x" % value}


def describe(shape, value, extra):
    code = shape.code
    if code >= 0x80:
        if code - 0x80 >= len(INPUT_NAMES) or len(extra) != 3:
            return None
        return {"kind": "deliver", "input": INPUT_NAMES[code - 0x80], "target": extra[0] & M32, "a": hex(extra[1]),
                "b": hex(extra[2])}
    if code >= 0x40:
        if code - 0x40 >= len(INPUT_NAMES):
            return None
        return {"kind": "pull", "input": INPUT_NAMES[code - 0x40], "value": hex(value)}
    if code >= len(TRACE_NAMES):
        return None
    event = {"kind": TRACE_NAMES[code]}
    if code <= 4:
        event.update(address=hex(shape.address), size=shape.form, value=hex(value))
    elif code == 5:
        event.update(vector=hex(shape.address))
    elif code == 6:
        event.update(skipped_ns=value)
    elif code <= 9:
        event.update(describe_block(shape, value, extra))
    elif code == 10:
        event.update(bits=64, value="0x%016x" % value)
    elif code == 11:
        event.update(memory="0x%016x" % value, state="0x%016x" % extra[0])
    elif code == 12:
        event.update(value=hex(shape.address))
    elif code == 14:
        if shape.form != 8 or len(extra) != 3 or extra[2] > 255:
            raise FormatError("block-origin event")
        event.update(drive=shape.address >> 24 & M32, command=hex(shape.address & 0xFFFFFF), rip=hex(value),
                     tag=extra[0] & M32, cr3=hex(extra[1]), flags=hex(extra[2]))
    elif code == 15:
        if shape.form != 8 or len(extra) != 2:
            raise FormatError("block-segment event")
        event.update(drive=shape.address & M32, gpa=hex(value), tag=extra[0] & M32, size=extra[1] & M32)
    else:
        event.update(digest="0x%016x" % value, stop=hex(extra[0]))
    return event


# ---- checkpoints ----

class Checkpoints:
    """Frames of kinds 9, 10 and 5, as they come: what each checkpoint says, and that its pages are there."""

    def __init__(self):
        self.pages = self.pages_before = 0
        self.stream = b""

    def add_pages(self, content):
        if not content or len(content) % 4096 or len(content) > 64 * 4096:
            raise FormatError("pages: not 1 to 64 of them")
        self.pages += len(content) // 4096

    def add_state(self, content):
        self.stream += content

    def add_head(self, content, frame):
        source = Source(content)
        version, snapshot, icount, vtime, steps, state, pages, size = (source.varint() for _ in range(8))
        if version != 1 or size != len(self.stream) or state > size or (icount, vtime) != frame.last:
            raise FormatError("checkpoint: version, size or position")
        for _ in range(8):
            source.varint()
        numbers, number = Source(self.stream[state:]), 0
        for _ in range(pages):
            number = number + numbers.zigzag() & M64
            if number > self.pages:
                raise FormatError("checkpoint: page %d is not there" % number)
        if numbers.left() or source.left():
            raise FormatError("checkpoint: more bytes than fields")
        new, self.pages_before, self.stream = self.pages - self.pages_before, self.pages, b""
        return {"icount": icount, "vtime_ns": vtime, "steps": steps, "frame": frame.sequence, "state_bytes": state,
                "pages": pages, "new_pages": new}


# ---- the program ----

def check_header(data):
    if data[:8] != b"\x89VMRR\r\n\x1a":
        raise FormatError("offset 0: not a vmrr journal")
    major, minor, size = struct.unpack_from("<HHI", data, 8)
    if major != 1:
        raise FormatError("offset 8: major version 1 expected, the file has %d.%d" % (major, minor))
    if size != 32 or u64(data, 24) != xxh3(data[:24]):
        raise FormatError("offset 24: checksum of the file header")


def line(out, thing):
    out.write(json.dumps(thing, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n")


def read(path, out, checksums=True, steps=False, only_checkpoints=False):
    """Prints the events, or with steps what the block layer did, or the checkpoints; returns why the journal is torn, and how many events."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 32:
        raise FormatError("shorter than a file header")
    check_header(data)
    total = next_content = 0
    checkpoints = Checkpoints()
    for frame in frames(data):
        if frame is None:
            return None, total
        if isinstance(frame, str):
            return frame, total
        if frame.kind > 10 and not frame.flags & 1:
            raise FormatError("frame %d: kind %d is unknown and not skippable" % (frame.sequence, frame.kind))
        try:
            if frame.kind == 3 and not steps and not only_checkpoints:
                for event in Decoder(frame.content(checksums), frame).events():
                    total += 1
                    line(out, event)
            elif frame.kind == 4:
                next_content = check_sectors(frame.content(checksums), next_content)
            elif frame.kind == 8:
                for request in Steps(frame.content(checksums), frame.sequence).requests:
                    if steps:
                        line(out, request)
            elif frame.kind == 9:
                checkpoints.add_pages(frame.content(checksums))
            elif frame.kind == 10:
                checkpoints.add_state(frame.content(checksums))
            elif frame.kind == 5:
                head = checkpoints.add_head(frame.content(checksums), frame)
                if only_checkpoints:
                    line(out, head)
            elif frame.kind <= 7:
                frame.content(checksums)
        except FormatError as error:
            raise FormatError("frame %d: %s" % (frame.sequence, error)) from error
    raise AssertionError("unreachable")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("journal")
    parser.add_argument("--no-checksums", action="store_true", help="faster")
    parser.add_argument("--steps", action="store_true", help="what the block layer did, instead of the events")
    parser.add_argument("--checkpoints", action="store_true", help="the checkpoints, instead of the events")
    options = parser.parse_args()
    try:
        torn, _ = read(options.journal, sys.stdout, not options.no_checksums, options.steps,
                       options.checkpoints)
    except (FormatError, OSError) as error:
        print("journal_reader: %s: %s" % (options.journal, error), file=sys.stderr)
        return 2
    if torn:
        print("journal_reader: %s: torn: %s" % (options.journal, torn), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

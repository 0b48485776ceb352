#!/usr/bin/env python3
"""Replays a dm-log-writes log onto an image, as xfstests' replay-log does: written from the format (a super block, then entries
of one sector with the data behind), knows nothing of vmrr.

Usage: replay_log.py LOG IMAGE [--entries N] [--list]
"""
import struct
import sys

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


class Malformed(Exception):
    pass


class Entry:
    def __init__(self, sector, sectors, flags, mark, data_at):
        self.sector, self.sectors, self.flags, self.mark, self.data_at = sector, sectors, flags, mark, data_at


def entries(log):
    """Yields the entries of an open log file and checks what replay-log checks."""
    log.seek(0)
    magic, version, count, size = struct.unpack("<QQQI", log.read(28))
    if magic != MAGIC or version != 1 or size < 512 or size & size - 1:
        raise Malformed("super block")
    at = size
    for number in range(count):
        log.seek(at)
        block = log.read(size)
        if len(block) != size:
            raise Malformed("entry %d is not there" % number)
        sector, sectors, flags, length = struct.unpack_from("<QQQQ", block)
        if not flags and not sectors or flags & ~15:
            raise Malformed("entry %d: flags %x, %d sectors" % (number, flags, sectors))
        if flags != MARK and any(block[32:]):
            raise Malformed("entry %d: padding" % number)
        if flags == MARK and (sectors or length > size - 32):
            raise Malformed("entry %d: mark" % number)
        at += size
        yield Entry(sector, sectors, flags, block[32:32 + length].decode() if flags == MARK else "", at), size
        if not flags & DISCARD:
            at += sectors * size
    log.seek(0, 2)
    if log.tell() != at:
        raise Malformed("the log goes on behind its last entry")


def replay(log, image, limit=None):
    """Applies the first entries to the image; returns how many there were."""
    done = 0
    for entry, size in entries(log):
        if limit is not None and done == limit:
            break
        done += 1
        if not entry.sectors:
            continue
        image.seek(entry.sector * size)
        if entry.flags & DISCARD:
            image.write(bytes(entry.sectors * size))
            continue
        log.seek(entry.data_at)
        data = log.read(entry.sectors * size)
        if len(data) != entry.sectors * size:
            raise Malformed("data of entry %d are not there" % (done - 1))
        image.write(data)
    return done


def main():
    limit = int(sys.argv[sys.argv.index("--entries") + 1]) if "--entries" in sys.argv else None
    with open(sys.argv[1], "rb") as log:
        if "--list" in sys.argv:
            for number, (entry, _) in enumerate(entries(log)):
                names = [name for bit, name in ((FLUSH, "FLUSH"), (FUA, "FUA"), (DISCARD, "DISCARD"), (MARK, "MARK"))
                         if entry.flags & bit]
                print(number, entry.sector, entry.sectors, "|".join(names) or "-", entry.mark)
            return 0
        with open(sys.argv[2], "r+b") as image:
            print(replay(log, image, limit))
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Seeds of fuzz_storage: what drivers do, with the operations of fuzz_storage.c, and random ones. Usage: seeds_storage.py
DIRECTORY"""
import pathlib
import random
import sys

(PORT_WRITE, TABLE_WRITE, COMMAND, QUEUE, WAIT, IDE_WRITE, IDE_READ, EVENT) = range(8)


def little(value, size):
    return value.to_bytes(size, "little")


def port(number, reg, value):
    return bytes([PORT_WRITE | number << 3, reg // 4]) + little(value, 4)


def command(number, slot, code, lba, count, packet=b""):
    return bytes([COMMAND | number << 3, slot, code]) + little(lba, 2) + bytes([count]) + packet.ljust(12, b"\0")[
        :12 if code == 0xA0 else 0]


def issue(number, slots, queued=False):
    return bytes([QUEUE | number << 3 | (0x20 if queued else 0)]) + little(slots, 4)


def wait(count=255):
    return bytes([WAIT, count])


def out(reg, value):
    return bytes([IDE_WRITE, reg, value])


def ide_packet(packet, dma=False, limit=0xFFFE):
    packet = packet.ljust(12, b"\0")
    return (out(6, 0xA0) + out(1, int(dma)) + out(4, limit & 255) + out(5, limit >> 8) + out(7, 0xA0) +
            bytes([IDE_WRITE | 0x20, 0]) + packet)


restart = port(0, 0x18, 0x10) + port(0, 0x18, 0x11)
words = bytes([IDE_READ | 31 << 3, 0])
read_10 = b"\x28\0\0\0\0\x09\0\0\x05"
SEEDS = {
    "disk": command(0, 0, 0xEC, 0, 1) + issue(0, 1) + wait() + command(0, 1, 0x25, 8, 20) + issue(0, 2) + wait() * 4 +
    command(0, 2, 0x35, 8, 20) + issue(0, 4) + wait() * 4 + command(0, 3, 0xEA, 0, 0) + issue(0, 8) + wait() * 4 +
    command(0, 3, 0x06, 0, 1) + bytes([TABLE_WRITE, 3, 3, 1]) + issue(0, 8) + wait() * 4,
    "queued": b"".join(command(3, slot, 0x60 + slot % 2, slot * 60, 8) for slot in range(32)) +
    issue(3, 0xFFFFFFFF, True) + wait() * 9,
    "queued-error": command(0, 1, 0x60, 65000, 8) + command(0, 2, 0x61, 7, 8) + issue(0, 6, True) + wait() * 3 + restart +
    command(0, 0, 0x2F, 0x10, 1) + issue(0, 1) + wait() + command(0, 2, 0x61, 7, 8) + issue(0, 4, True) +
    command(0, 3, 0x25, 7, 8) + issue(0, 8) + wait() * 3,
    "resets": command(0, 0, 0x25, 5, 30) + issue(0, 1) + port(0, 0x2C, 0x301) + port(0, 0x2C, 0x300) + wait() + restart +
    issue(0, 1) + bytes([EVENT, 0]) + issue(0, 1) + wait(3) + restart + wait(),
    "packets": command(1, 0, 0xA0, 0, 2) + issue(1, 1) + port(1, 0x18, 0x10) + port(1, 0x18, 0x11) +
    b"".join(command(1, 0, 0xA0, 0, 40, packet) + issue(1, 1) + wait() * 2
             for packet in (b"\x03\0\0\0\x12", b"\x12\0\0\0\xff", read_10, b"\xbe\0\0\0\0\x09\0\0\x05\xf8", b"\x25",
                            b"\x43\0\0\0\0\0\0\0\xff", b"\x5a\0\x3f\0\0\0\0\0\xff", b"\x46\0\0\0\0\0\0\0\xff",
                            b"\x4a\x01\0\0\x10\0\0\0\x08", b"\xad\0\0\0\0\0\0\xff\x10", b"\x1b\0\0\0\x02")),
    "ide-pio": ide_packet(b"\0") + ide_packet(read_10) + wait() * 2 + words * 4 + wait() * 2 + words * 3 +
    ide_packet(b"\x12\0\0\0\x24", limit=7) + words + ide_packet(b"\xbe\0\0\0\0\x09\0\0\x05\xf8", limit=3000) + wait() +
    words * 5 + wait() + words * 3,
    "ide-dma": ide_packet(b"\0") + out(0x80, 9) + ide_packet(read_10, True) + wait() * 3 + out(0x80, 0) +
    ide_packet(b"\x28\0\0\0\0\x09\0\0\xff", True) + out(0x80, 9) + wait(2) + out(0x80, 0) + wait() + out(0x80, 9) + wait() * 9,
    "ide-media": ide_packet(b"\0") + ide_packet(read_10, limit=2048) + wait() + bytes([EVENT, 16 | 3]) + wait() + words * 6 +
    ide_packet(b"\0") + bytes([EVENT, 4 | 3]) + wait() + ide_packet(b"\0") + ide_packet(b"\x4a\x01\0\0\x10\0\0\0\x08") +
    words + out(7, 8) + out(0x46, 4) + out(0x46, 0) + out(7, 0x90) + out(7, 0xA1) + words * 2,
}


def main():
    source = random.Random(4)
    folder = pathlib.Path(sys.argv[1])
    for name, script in SEEDS.items():
        for choice in (0, 1):
            (folder / f"{name}-{choice}").write_bytes(bytes([choice]) + script)
    for number in range(12):
        (folder / f"random-{number}").write_bytes(bytes([number % 2]) + source.randbytes(400))


main()

#!/usr/bin/env python3
"""Seeds of fuzz_devices: what a driver does to each chip, written with the operations of script_accel.h, and random
operations. Usage: seeds_devices.py DIRECTORY"""
import pathlib
import random
import re
import sys

(OUT, IN, OUT_ANY, IN_ANY, STORE, LOAD, FILL, WAIT, HALT, MESSAGE, INTERRUPT, PCI_WRITE, PCI_READ, INS, OUTS,
 IDE) = range(16)
LAPIC, IOAPIC, HPET, VGA, TEXT, ROM, VIRTIO, VIRTIO_MSIX, NVME = 0, 1, 2, 3, 5, 6, 14, 15, 16


def little(value, size):
    return value.to_bytes(size, "little")


def outb(port, *values):
    return b"".join(bytes([OUT_ANY]) + little(port, 2) + bytes([value]) for value in values)


def inb(port, count=1):
    return (bytes([IN_ANY]) + little(port, 2)) * count


def store(region, offset, value, shift=2):
    return bytes([STORE | shift << 4, region]) + little(offset, 2) + little(value, 1 << shift)


def load(region, offset, shift=2):
    return bytes([LOAD | shift << 4, region]) + little(offset, 2)


def wait(count, shift=1):
    return bytes([WAIT | shift << 4, count])


def ide(drive, command, sectors=1, lba=0, dma=False):
    return bytes([IDE | (0x40 if dma else 0), drive, command, sectors]) + little(lba, 3)


def ins(index, count, shift):
    return bytes([INS | shift << 4, index, count])


def outs(index, count, shift, first=0):
    return bytes([OUTS | shift << 4, index, count, first])


def message(row, target, a, b=0):
    return bytes([MESSAGE, row, target]) + little(a, 2) + bytes([b])


def fill(gpa, length, byte):
    return bytes([FILL]) + little(gpa // 16, 2) + bytes([length, byte])


def available(index):
    """The available ring's index, and with it its flags, which leave interrupts on."""
    return fill(0x4000, 3, index & 0xFE)


def virtio_start(features=0, vector=None):
    """By the modern interface: the queue that fuzz_devices has laid down."""
    low = store(VIRTIO, 8, 0) + store(VIRTIO, 12, features) + store(VIRTIO, 8, 1) + store(VIRTIO, 12, 1)
    return (store(VIRTIO, 20, 3, 0) + low + store(VIRTIO, 20, 11, 0) + (store(VIRTIO, 26, vector, 1) if vector else b"") +
            b"".join(store(VIRTIO, 32 + 8 * n, 0x3000 + 0x1000 * n, 3) for n in range(3)) + store(VIRTIO, 28, 1, 1) +
            store(VIRTIO, 20, 15, 0))


def nvme_ring(queue, tail, head=0):
    """Both doorbells of a pair."""
    return store(NVME, 0x1000 + 8 * queue, tail | head << 32, 3)


def nvme_start(pages=0):
    return (store(NVME, 0x20, 0x000F000F << 32, 3) + store(NVME, 0x28, 0x40000, 3) + store(NVME, 0x30, 0x41000, 3) +
            store(NVME, 0x10, (0x00460001 | pages << 7) << 32, 3) + load(NVME, 0x18, 3))


def out32(port, value):
    return bytes([OUT_ANY | 32]) + little(port, 2) + little(value, 4)


halt = bytes([HALT])
virtio_kick = store(VIRTIO, 0x3000, 0, 1)
virtio_legacy = outb(0xC112, 3) + out32(0xC104, 0x30000200) + out32(0xC108, 3) + outb(0xC112, 7)
accept = bytes([INTERRUPT | 0x10])
pic = (outb(0x20, 0x11) + outb(0x21, 0x20, 4, 1, 0) + outb(0xA0, 0x11) + outb(0xA1, 0x28, 2, 1, 0))

SEEDS = {
    "ide-pio": pic + accept + ide(0, 0xEC) + halt + ins(0, 255, 1) + ide(0, 0x20, 3, 5) + halt + ins(0, 255, 1) + halt +
    inb(0x1F7) + ide(0, 0x30, 1, 9) + outs(0, 128, 2, 7) + halt + inb(0x1F7) + ide(0, 0xE7) + halt + inb(0x1F7),
    "ide-multiple": ide(0, 0xC6, 8) + halt + ide(0, 0xC4, 16, 1) + halt + ins(0, 255, 2) + halt + ins(0, 255, 2) +
    ide(0, 0xC5, 4, 100) + outs(0, 255, 2) + halt + outs(0, 255, 2) + halt + inb(0x3F6),
    "ide-dma": pic + accept + ide(0, 0xC8, 4, 3, True) + halt + inb(0xC002) + inb(0x1F7) + outb(0xC000, 0) +
    outb(0xC002, 6) + ide(4, 0xCA, 8, 70, True) + halt + halt + inb(0xC002) + ide(0, 0x25, 2, 60, True) + halt +
    ide(0, 0x35, 2, 60) + halt + outb(0x3F6, 4) + wait(9) + outb(0x3F6, 0) + halt + inb(0x1F7),
    "ide-errors": ide(2, 0x30, 1, 3) + outs(9, 255, 2) + halt + inb(0x177) + inb(0x171) + ide(2, 0x20, 1, 0xFFFFFF) +
    halt + inb(0x171) + ide(0, 0xFF) + ide(1, 0xEC) + ide(3, 0x90) + ide(0, 0xEF, 3) + ide(0, 0xE0) + halt + ide(0, 0xE5) +
    ide(0, 0xC8, 255, 0, True) + outb(0xC000, 0) + halt + halt,
    "virtio-modern": pic + accept + virtio_start() + available(8) + virtio_kick + halt * 5 + load(VIRTIO, 0x1000, 0) +
    available(100) + virtio_kick + halt * 40 + load(VIRTIO, 0x1000, 0) + load(VIRTIO, 0x2000, 3) + store(VIRTIO, 0x2020, 0, 0) +
    available(120) + virtio_kick + wait(9) + store(VIRTIO, 20, 0, 0) + halt,
    "virtio-messages": accept + store(LAPIC, 0xF0, 0x1FF) + bytes([PCI_WRITE | 16, 0x18, 0x9A, 0x00, 0x80]) +
    b"".join(store(VIRTIO_MSIX, 16 * n, 0xFEE00000) + store(VIRTIO_MSIX, 16 * n + 8, 0x50 + n) +
             store(VIRTIO_MSIX, 16 * n + 12, 0) for n in range(2)) + virtio_start(0x20000200, 1) + available(6) + virtio_kick +
    halt * 4 + store(VIRTIO_MSIX, 28, 1) + available(14) + virtio_kick + halt * 4 + load(VIRTIO_MSIX, 0x800) +
    store(VIRTIO_MSIX, 28, 0) + halt,
    "virtio-legacy": pic + accept + virtio_legacy + available(4) + out32(0xC110, 0) + halt * 4 + inb(0xC113) + available(90) +
    out32(0xC110, 0) + wait(30, 2) + outb(0xC112, 0) + virtio_legacy + available(92) + out32(0xC110, 0) + halt * 9,
    "virtio-broken": virtio_start(0x10000000) + fill(0x3010, 8, 4) + available(2) + virtio_kick + load(VIRTIO, 20, 0) +
    store(VIRTIO, 20, 0, 0) + virtio_start() + fill(0x4000, 4, 0x90) + virtio_kick + load(VIRTIO, 20, 0) +
    virtio_legacy + fill(0x3000, 255, 1) + available(2) + out32(0xC110, 0) + fill(0x8000, 16, 0xFF) + out32(0xC110, 0) + halt,
    "virtio-window": b"".join(bytes([PCI_WRITE | 32, 0x18, 0x88 + 4 * n]) + little(value, 4)
                              for n, value in enumerate((4, 20, 1, 3))) + bytes([PCI_READ | 32, 0x18, 0x94]),
    "nvme-io": pic + accept + nvme_start() + nvme_ring(0, 2) + nvme_ring(1, 9) + halt * 8 + nvme_ring(1, 63) + halt * 60 +
    nvme_ring(1, 63, 40) + nvme_ring(1, 20, 60) + halt * 20 + load(NVME, 0x18, 3) + store(NVME, 0x10, 0x00464001 << 32, 3) +
    halt * 9 + load(NVME, 0x18, 3) + store(NVME, 0x10, 0, 3) + halt,
    "nvme-admin": accept + nvme_start() + nvme_ring(0, 5) + nvme_ring(1, 20) + nvme_ring(0, 6, 4) + nvme_ring(0, 7, 5) +
    nvme_ring(9, 1) + nvme_ring(0, 8, 6) + halt * 4 + nvme_ring(0, 11, 10) + wait(9) + nvme_ring(0, 15, 13) + nvme_ring(0, 1, 15) +
    nvme_ring(1, 0xFFFF, 77) + halt * 9,
    "nvme-reset": nvme_start() + nvme_ring(0, 2) + nvme_ring(1, 40) + wait(20) + store(NVME, 0x10, 0, 3) + nvme_start() +
    nvme_ring(0, 2) + nvme_ring(1, 30) + wait(90, 2) + outb(0xCF9, 6) + halt * 4,
    "nvme-messages": accept + store(LAPIC, 0xF0, 0x1FF) + bytes([PCI_WRITE | 16, 0x20, 0x42, 0x00, 0x80]) +
    store(NVME, 0x2000, 0xFEE00000, 3) + store(NVME, 0x2008, 0x60, 3) + nvme_start() + nvme_ring(0, 2) + nvme_ring(1, 6) + halt * 6 +
    store(NVME, 0x2008, 0x100000060, 3) + nvme_ring(1, 12, 3) + halt * 6 + load(NVME, 0x3000, 3) + store(NVME, 0x2008, 0x61, 3) + halt,
    "nvme-broken": nvme_start(2) + nvme_ring(0, 2) + nvme_start() + fill(0x42000, 255, 0x11) + nvme_ring(0, 2) + nvme_ring(1, 9) +
    fill(0x44FF0, 16, 3) + fill(0x67000, 32, 0xFF) + nvme_ring(1, 20) + halt * 9 + bytes([PCI_WRITE, 0x20, 0x04, 0x02]) +
    nvme_ring(1, 25) + halt + load(NVME, 0x18, 3) + store(NVME, 0x10, 0, 3) + nvme_start(15) + load(NVME, 0x18, 3),
    "pic": pic + accept + outb(0x43, 0x34) + outb(0x40, 0, 4) + halt * 3 + outb(0x20, 0x20, 0x0A, 0x0B, 0xC7, 0x60, 0x68) +
    inb(0x20, 2) + outb(0xA0, 0x20) + outb(0x4D0, 0xFF) + outb(0x4D1, 0xFF) + outb(0x21, 0xFB) + outb(0x20, 0x0C) + inb(0x20),
    "pit": b"".join(outb(0x43, 0x30 | mode << 1) + outb(0x40, 9, 0) + wait(40, 2) + outb(0x43, 0xC2) + inb(0x40, 4)
                    for mode in range(8)) + outb(0x43, 0xB6) + outb(0x42, 50, 2) + outb(0x61, 3) + wait(9, 2) + inb(0x61),
    "rtc": outb(0x70, 0x0A) + outb(0x71, 0x26) + outb(0x70, 0x0B) + outb(0x71, 0x72) + halt * 2 + outb(0x70, 0x0C) +
    inb(0x71) + b"".join(outb(0x70, n) + inb(0x71) for n in (0, 2, 4, 6, 7, 8, 9, 13, 0x32)) + outb(0x70, 0x8B) +
    outb(0x71, 0x82) + outb(0x70, 0) + outb(0x71, 0x59) + halt,
    "keyboard": pic + accept + outb(0x64, 0xAE, 0xA8, 0x20) + inb(0x60) + outb(0x64, 0x60) + outb(0x60, 0x47) +
    message(1, 0, 0x1E, 1) + message(1, 0, 0xE048, 0) + wait(200, 3) + inb(0x60, 3) + outb(0x64, 0xD4) + outb(0x60, 0xF4) +
    message(2, 1, 5, 9) + halt + wait(255, 3) + inb(0x60, 5) + outb(0x60, 0xFF) + halt + inb(0x60, 2) + outb(0x60, 0xED, 7),
    "uart": pic + accept + outb(0x3FB, 0x83) + outb(0x3F8, 1) + outb(0x3F9, 0) + outb(0x3FB, 3) + outb(0x3FA, 0xC7) +
    outb(0x3FC, 0x0B) + outb(0x3F9, 0x0F) + outs(40, 20, 0, 65) + message(0, 0, 65) * 5 + halt * 3 + inb(0x3FA) + inb(0x3F8, 6) +
    outb(0x3FC, 0x1F) + outb(0x3F8, 9) + halt + inb(0x3FD, 2) + inb(0x3FE),
    "lapic": accept + store(LAPIC, 0xF0, 0x1FF) + store(LAPIC, 0x320, 0x20030) + store(LAPIC, 0x3E0, 0xB) +
    store(LAPIC, 0x380, 9000) + halt * 2 + load(LAPIC, 0x390) + store(LAPIC, 0x300, 0x44041) + store(LAPIC, 0xB0, 0) +
    store(LAPIC, 0x80, 0x40) + store(LAPIC, 0x320, 0x10030) + b"".join(load(LAPIC, n * 16) for n in range(0, 0x40, 5)),
    "ioapic-hpet": accept + store(LAPIC, 0xF0, 0x1FF) + b"".join(store(IOAPIC, 0, n) + store(IOAPIC, 16, 0x8030 + n)
                                                                for n in (0x14, 0x16, 0x2E)) +
    store(HPET, 0x10, 3, 3) + store(HPET, 0x100, 0x4C, 3) + store(HPET, 0x108, 1000, 3) + store(HPET, 0x108, 100000, 3) +
    halt * 3 + load(HPET, 0xF0, 3) + store(HPET, 0x20, 7, 3) + store(HPET, 0x10, 0, 3) + load(HPET, 0xF0, 3),
    "vga": outb(0x3C2, 0x67) + b"".join(outb(0x3C4, n, 0x0F) + outb(0x3CE, n, n) + outb(0x3D4, n, 0x20)
                                       for n in range(9)) + store(TEXT, 0, 0x07410741) + load(VGA, 0x100, 3) +
    outb(0x3C0, 0x10, 0x01) + inb(0x3DA) + outb(0x3C8, 1, 2, 3, 4) + inb(0x3C9, 3) +
    bytes([OUT_ANY | 16, 0xCE, 1, 4, 0, OUT_ANY | 16, 0xCF, 1, 0x41, 0, OUT_ANY | 16, 0xCE, 1, 1, 0]) +
    bytes([OUT_ANY | 16, 0xCF, 1, 0xFF, 0xFF]) + store(12, 64, 0x55, 3) + load(12, 64, 3),
    "fw_cfg": bytes([OUT_ANY | 16]) + little(0x510, 2) + b"\x19\x00" + ins(52, 200, 0) +
    bytes([FILL, 0x00, 0x02, 16, 0]) + bytes([OUT_ANY | 32]) + little(0x514, 2) + bytes(4) +
    bytes([OUT_ANY | 32]) + little(0x518, 2) + b"\x00\x00\x20\x00" + ins(54, 4, 2),
    "power": accept + bytes([OUT_ANY | 16]) + little(0xB004, 2) + b"\x01\x00" + inb(0xB008, 4) +
    bytes([OUT_ANY | 16]) + little(0xB002, 2) + b"\x21\x01" + message(3, 0, 0) + halt + inb(0xB000, 2) + halt +
    outb(0xB2, 0xF1) + message(4, 0, 0) + wait(1) + outb(0xCF9, 6) + wait(1) +
    bytes([OUT_ANY | 16]) + little(0xB004, 2) + b"\x00\x20",
    "pci": b"".join(bytes([PCI_READ | 32, function, offset]) + bytes([PCI_WRITE | 32, function, offset]) + b"\xff" * 4 +
                    bytes([PCI_READ | 32, function, offset])
                    for function in (0, 8, 9, 11, 16) for offset in (0x10, 0x20, 0x30, 0x40, 0x58)) + load(ROM, 0, 3),
    "pam": bytes([PCI_WRITE, 0, 0x59, 0x30]) + bytes([PCI_WRITE | 32, 0, 0x5A]) + b"\x33\x33\x11\x22" + store(8, 0, 5) +
    load(8, 0) + store(ROM, 8, 9, 3) + load(ROM, 8, 3) + bytes([PCI_WRITE, 0, 0x72, 0x4A]) + load(VGA, 0) + outb(0x92, 2),
    "dma": outb(8, 0) + outb(0xB, 0x46) + outb(0, 1, 2) + outb(1, 3, 4) + outb(0x81, 9) + inb(0, 4) + outb(0xD, 0) +
    outb(0xC0, 7) + outb(0xD6, 0xC0) + inb(0xD0) + outb(0xF4, 1) + outb(0x402, 65) + outb(0x80, 66) + outb(0xE9, 67),
}


def main():
    source = random.Random(2)
    folder = pathlib.Path(sys.argv[1])
    header = pathlib.Path(__file__).with_name("script_accel.h").read_text()
    names = re.findall(r"^    SCRIPT_(\w+),", header, re.M)
    assert [globals()[name] for name in names] == list(range(16)), names
    for number, (name, script) in enumerate(SEEDS.items()):
        for choice in (0, 1) if name.startswith(("ide", "virtio", "nvme")) else (number % 8 & 6,):
            (folder / f"{name}-{choice}").write_bytes(bytes([choice]) + script)
    for number in range(12):
        (folder / f"random-{number}").write_bytes(bytes([number % 8]) + source.randbytes(400))


main()

#!/usr/bin/env python3
"""Seeds of fuzz_loader: one small good kernel of each kind, with and without firmware. Usage: seeds_loader.py DIRECTORY"""
import struct
import sys


def put(image, offset, form, value):
    struct.pack_into("<" + form, image, offset, value)


def linux():
    image = bytearray(0x900)
    image[0x1F1] = 3
    put(image, 0x1FE, "H", 0xAA55)
    image[0x200:0x202] = b"\xeb\x6a"
    image[0x202:0x206] = b"HdrS"
    put(image, 0x206, "H", 0x020F)
    image[0x211] = 1
    put(image, 0x214, "I", 0x100000)
    put(image, 0x22C, "I", 0x7FFFFFFF)
    put(image, 0x230, "I", 0x200000)
    image[0x234] = 1
    put(image, 0x236, "H", 1)
    put(image, 0x238, "I", 2047)
    put(image, 0x258, "Q", 0x1000000)
    put(image, 0x260, "I", 0x800000)
    return image


def multiboot_header(image, offset, flags):
    struct.pack_into("<III", image, offset, 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)


def elf():
    image = bytearray(0x200)
    image[0:7] = b"\x7fELF\x01\x01\x01"
    struct.pack_into("<HHIIIIIHHHHHH", image, 16, 2, 3, 1, 0x200010, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    struct.pack_into("<IIIIIIII", image, 52, 1, 0x80, 0x200000, 0x200000, 0x80, 0x1000, 7, 0x1000)
    struct.pack_into("<IIIIIIII", image, 84, 1, 0x100, 0xC0300000, 0x300000, 0x40, 0x40, 7, 0x1000)
    multiboot_header(image, 0x180, 3)
    return image


def addresses():
    image = bytearray(0x100)
    multiboot_header(image, 0x10, 0x10003)
    struct.pack_into("<IIIII", image, 0x1C, 0x100010, 0x100000, 0x1000C0, 0x102000, 0x100040)
    return image


def vmlinux():
    image = bytearray(0x200)
    image[0:7] = b"\x7fELF\x02\x01\x01"
    struct.pack_into("<HHIQQQIHHHHHH", image, 16, 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    struct.pack_into("<IIQQQQQQ", image, 64, 1, 7, 0x100, 0xFFFFFFFF81000000, 0x1000000, 0x80, 0x1000, 0x1000)
    struct.pack_into("<IIQQQQQQ", image, 120, 1, 7, 0x180, 0xFFFFFFFF81200000, 0x1200000, 0x40, 0x40, 0x1000)
    return image


def main():
    kernels = {"vmlinux": vmlinux(), "linux": linux(), "elf": elf(), "addresses": addresses(), "sector": bytes(510) + b"\x55\xaa"}
    for name, image in kernels.items():
        for choice in (0x02, 0x05, 0x1A, 0x37):
            with open(f"{sys.argv[1]}/{name}-{choice:02x}", "wb") as out:
                out.write(bytes([choice]) + image)


main()

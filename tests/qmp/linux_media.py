#!/usr/bin/env python3
"""Linux's own drivers when media change and disks grow: sr on IDE and on AHCI reads the medium that is there, ejects it itself;
virtio_blk hears of a new size by its configuration interrupt, nvme by an asynchronous event. Recorded, and replayed without the
images. Usage: linux_media.py VMRR GUESTS ASSETS TESTS_LINUX"""
import hashlib
import os
import re

from media_guest import BLOCK, connected, make_disc
from vmrr import Qmp, check, connect, end, ending, finish, kernel_options, path, read_until, start

MIB = 1 << 20


class Shell:
    """Lines for the guest's shell, and what it says to each."""

    def __init__(self, console):
        self.console, self.count, self.log = console, 0, b""

    def run(self, line):
        self.count += 1
        mark = f"done-{self.count}"
        self.console.sendall(f"{line}; echo do''ne-{self.count}\n".encode())
        said = read_until(self.console, mark.encode() + b"\r\n")
        self.log += said
        text = said.decode(errors="replace").replace("\r", "")
        return text.split("\n", 1)[1].rsplit(mark, 1)[0].strip() if "\n" in text else text

    def until(self, line, wanted):
        for _ in range(100):
            said = self.run(line)
            if wanted in said:
                return said
            self.run("sleep 0.2")
        return check(False, line, "does not say", wanted, "but", said)


def block_sum(letter, n):
    return hashlib.md5((letter << 16 | n).to_bytes(4, "little") * (BLOCK // 4)).hexdigest()


def reads(shell, device, letter, n):
    said = shell.run(f"dd if=/dev/{device} bs=2k count=1 skip={n} 2>/dev/null | md5sum")
    check(block_sum(letter, n) in said, device, "block", n, "of", hex(letter), said)


def discs(qmp, shell):
    """Which of Linux's names is which drive: by what they read."""
    first = shell.run("dd if=/dev/sr0 bs=2k count=1 2>/dev/null | md5sum")
    names = {"ide1-cd0": "sr0", "sata": "sr1"} if block_sum(0xA, 0) in first else {"ide1-cd0": "sr1", "sata": "sr0"}
    for device, letter in (("ide1-cd0", 0xA), ("sata", 0xB)):
        name = names[device]
        reads(shell, name, letter, 5)
        disc = make_disc(f"next-{name}.iso", letter + 0x10, 300)
        qmp.execute("blockdev-change-medium", device=device, filename=disc)
        check(qmp.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"], "open")
        check(not qmp.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"], "closed")
        reads(shell, name, letter + 0x10, 5)
        reads(shell, name, letter + 0x10, 299)
        check(shell.run(f"cat /sys/block/{name}/size") == str(300 * 4), shell.run(f"cat /sys/block/{name}/size"))
        shell.run("echo 1 > /proc/sys/dev/cdrom/autoeject")
        reads(shell, name, letter + 0x10, 8)  # and is ejected when it is closed
        shell.run("echo 0 > /proc/sys/dev/cdrom/autoeject")
        moved = qmp.wait_event("DEVICE_TRAY_MOVED")["data"]
        check(moved["device"] == device and moved["tray-open"], moved)
        qmp.execute("blockdev-close-tray", device=device)
        check(not qmp.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"], "closed")
        reads(shell, name, letter + 0x10, 7)
        qmp.execute("eject", device=device, force=True)
        check("No medium" in shell.run(f"dd if=/dev/{name} of=/dev/null bs=2k count=1"), "no medium")


def sizes(qmp, shell):
    for device, name in (("virtio", "vda"), ("nvme", "nvme0n1")):
        check(shell.run(f"cat /sys/block/{name}/size") == str(4 * MIB // 512), name)
        qmp.execute("block_resize", device=device, size=9 * MIB)
        shell.until(f"cat /sys/block/{name}/size", str(9 * MIB // 512))
        said = shell.run(f"dd if=/dev/zero of=/dev/{name} bs=1M seek=8 count=1 conv=fsync && echo written")
        check("written" in said, said)
    check("detected capacity change from 8192 to 18432" in shell.run("dmesg | grep capacity"), shell.run("dmesg | tail"))


def main():
    kernel = kernel_options("kernel")
    images = [make_disc("a.iso", 0xA, 200), make_disc("b.iso", 0xB, 200)]
    for name in ("virtio.img", "nvme.img"):
        with open(path(name), "wb") as out:
            out.truncate(4 * MIB)
        images.append(path(name))
    process = start("record", "-o", path("run.vmrr"), "-S", "-qmp", f"unix:{path('qmp')},server=on,wait=off", "-serial",
                    f"unix:{path('serial')},server=on,wait=off", "-cdrom", images[0], "-device", "ahci,id=ahci", "-drive",
                    f"file={images[1]},format=raw,if=none,id=sata", "-device", "ide-cd,drive=sata,bus=ahci.1", "-drive",
                    f"file={images[2]},format=raw,if=virtio,id=virtio", "-drive",
                    f"file={images[3]},format=raw,if=none,id=nvme", "-device", "nvme,drive=nvme", *kernel, "-append",
                    "console=ttyS0 vmrr.task=shell vmrr.disk=vda "
                    "vmrr.modules=ata_piix,ahci,sr_mod,virtio_pci,virtio_blk,nvme")
    qmp, console = Qmp(path("qmp")), connect(path("serial"))
    console.settimeout(400)
    connected(qmp)
    qmp.execute("cont")
    read_until(console, b"# ")
    shell = Shell(console)
    shell.run("for n in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sr1 -a -b /dev/nvme0n1 ] || sleep 0.3; done")
    discs(qmp, shell)
    sizes(qmp, shell)
    console.sendall(b"poweroff -f\n")
    err = end(process)[1]
    check("guest: power-off" in err, err)
    bad = [line for line in shell.log.decode(errors="replace").splitlines()
           if re.search(r"(ata|sr|nvme)[0-9.]*:.*(exception|timeout|hard reset)", line)]
    check(not bad, bad)
    for name in os.listdir(path(".")):
        if name.endswith((".iso", ".img")):
            os.unlink(path(name))
    again = end(start("replay", "-serial", "none", path("run.vmrr")))[1]
    check("replay: bit-exact" in again and ending(again) == ending(err), again)
    print("Linux saw the media come and go and its disks grow, twice alike")


finish(main)

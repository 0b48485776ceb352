#!/usr/bin/env python3
"""block_resize of raw and qcow2 images: the guest sees the size, the file has it, what comes new is zeros; recorded, and replayed
bit-exactly without the image. Usage: resize.py VMRR GUESTS"""
import json
import random
import shutil
import subprocess

from media_guest import Guest
from vmrr import Qmp, check, end, finish, path, replay, start, until
from vmrr import guest as endless

MIB = 1 << 20


def make_disk(form):
    name = path(f"disk.{form}")
    if form == "raw":
        with open(name, "wb") as out:
            out.write(b"\x11\x11\0\0" * (4 * MIB // 4))
    else:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", name, "4M"], check=True)
    return name


def virtual_size(name):
    out = subprocess.run(["qemu-img", "info", "-U", "--output=json", name], capture_output=True, check=True).stdout
    return json.loads(out)["virtual-size"]


def size_is(guest, name, size):
    guest.tell("i", f"{size // 512} sectors")
    inserted = guest.drive("disk")["inserted"]
    check(inserted["image"]["virtual-size"] == size, inserted)
    if shutil.which("qemu-img"):
        check(virtual_size(name) == size, virtual_size(name), size)


def larger(guest, name):
    last = 8 * MIB // 512 - 1
    guest.tell(f"r {last}", f"sector {last}: error")
    guest.qmp.execute("block_resize", device="disk", size=8 * MIB)
    size_is(guest, name, 8 * MIB)
    guest.tell(f"r {last}", f"sector {last}: 0")
    guest.tell(f"w {last} 74565", f"sector {last}: 12345")
    guest.tell(f"r {last}", f"sector {last}: 12345")


def smaller_and_larger_again(guest, name):
    """What lay behind the nearer end is gone, read before or not."""
    guest.tell("w 5000 305419896", "sector 5000: 12345678")
    guest.tell("r 6000")
    check(guest.qmp.human("block_resize disk 2") == "", "block_resize")
    size_is(guest, name, 2 * MIB)
    guest.tell("r 4095")
    guest.tell("r 4096", "sector 4096: error")
    guest.tell("w 4095 42", "sector 4095: 2a")
    guest.qmp.execute("stop")
    guest.qmp.execute("block_resize", node_name=guest.drive("disk")["inserted"]["node-name"], size=6 * MIB)
    guest.qmp.execute("cont")
    size_is(guest, name, 6 * MIB)
    for sector in (4096, 5000, 6000, 8000, 12287):
        guest.tell(f"r {sector}", f"sector {sector}: 0")
    guest.tell("r 4095", "sector 4095: 2a")
    guest.tell("w 9000 77", "sector 9000: 4d")
    guest.tell("r 12288", "sector 12288: error")


def refusals(guest):
    qmp = guest.qmp
    qmp.refused("block_resize", "The new size must be a multiple of 512", device="disk", size=1000)
    qmp.refused("block_resize", "Parameter 'size' expects a >0 size", device="disk", size=-512)
    qmp.refused("block_resize", "Cannot find device='' nor node-name=''", size=512)
    qmp.refused("block_resize", "Cannot find device='nope' nor node-name=''", device="nope", size=512)
    qmp.refused("block_resize", "Cannot find device='' nor node-name='nope'", node_name="nope", size=512)
    qmp.refused("block_resize", "", device="disk", size=0)
    qmp.refused("block_resize", "", device="disk", size=(1 << 62) - 512)
    qmp.refused("block_resize", "Block node is read-only", device="fixed", size=MIB)
    qmp.refused("block_resize", "Device 'cd' has no medium", device="cd", size=MIB)
    check("invalid size" in qmp.human("block_resize disk -1") and "invalid size" in qmp.human("block_resize disk 1x"), "hmp")


def rerun(guest, disk):
    """The block layer again, on a scratch image that changes its size with the replay's: it comes to the same disk."""
    scratch = path("scratch")
    err = end(start("replay", "-serial", "none", "--block=rerun", f"--scratch={scratch}", guest.journal))[1]
    check("replay: bit-exact" in err and "0 calls failed" in err, err)
    subprocess.run(["qemu-img", "compare", "-q", disk, f"{scratch}/drive0.qcow2"], check=True)
    shutil.rmtree(scratch)


def run(form, timing, *more):
    disk, fixed = make_disk(form), path("fixed.img")
    with open(fixed, "wb") as out:
        out.truncate(MIB)
    guest = Guest("resize", "-drive", ",".join([f"file={disk}", f"format={form}", "id=disk", *more]), "-drive",
                  f"file={fixed},format=raw,id=fixed,readonly=on", "-drive", "if=ide,media=cdrom,id=cd,index=2",
                  timing=timing)
    guest.begin()
    size_is(guest, disk, 4 * MIB)
    larger(guest, disk)
    smaller_and_larger_again(guest, disk)
    refusals(guest)
    guest.tell("f", "ok")
    guest.finish()
    if form == "qcow2":
        done = subprocess.run(["qemu-img", "check", disk], capture_output=True, text=True)
        check(done.returncode == 0, done.stdout, done.stderr)
    check(len(guest.inputs("block-resize")) == 3, guest.inputs("block-resize"))
    if form == "qcow2":
        rerun(guest, disk)
    guest.replay(disk, fixed)


def under_load(timing, *more):
    """A guest that reads and writes without a pause while the end of its disk comes and goes: requests under way meet it."""
    options = [option + "".join(f",{item}" for item in ("id=disk", *more)) if option.startswith("file=") else option
               for option in endless("endless")]
    journal, rng = path("load.vmrr"), random.Random(7)
    process = start("record", "-o", journal, f"--timing={timing}", "-serial", "none", "-qmp",
                    f"unix:{path('qmp')},server=on,wait=off", *options)
    qmp = Qmp(path("qmp"))
    until(lambda: qmp.execute("query-blockstats")[0]["stats"]["wr_operations"] > 10, "the guest writes")
    for _ in range(150):
        qmp.execute("block_resize", device="disk", size=rng.randrange(1, 4096) * 512)
        at = qmp.execute("query-replay")["icount"]
        until(lambda: qmp.execute("query-replay")["icount"] > at + rng.randrange(100000), "the guest runs")
    stats = qmp.execute("query-blockstats")[0]["stats"]
    qmp.execute("quit")
    replay(journal, end(process)[1])
    return stats["failed_rd_operations"] + stats["failed_wr_operations"] + stats["invalid_rd_operations"] + \
        stats["invalid_wr_operations"]


def main():
    for timing, more in (("model", ()), ("host", ()), ("host", ("cache=none", "aio=native"))):
        print(f"under load, {timing}: {under_load(timing, *more)} requests met the end")
    for timing in ("model", "host"):
        run("raw", timing)
        run("raw", timing, "cache=none", "aio=io_uring")
        if shutil.which("qemu-img"):
            run("qcow2", timing)
    print("sizes changed, and again in the replay")


finish(main)

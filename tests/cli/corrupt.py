#!/usr/bin/env python3
"""A qcow2 image that contradicts itself stops the guest: the message names file, structure and offset, nothing but the mark
in the header is written, QMP has the events, and the recording replays bit-exactly without the image.
Usage: corrupt.py VMRR GUESTS"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qmp"))
from vmrr import GUESTS, PROGRAM, Qmp, check, end, ending, events, finish, path, replay, start  # noqa: E402

COPIED = 1 << 63
FAILED = 1


def make_image(name, patch):
    """2 MiB, all clusters placed; patch(data, l2 offset, refcount table offset) spoils it. Returns its bytes."""
    disk = path(name)
    subprocess.run([PROGRAM, "image", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata,cluster_size=4k", disk, "2M"],
                   check=True)
    with open(disk, "rb") as file:
        data = bytearray(file.read())
    l1, reftable = struct.unpack_from(">Q", data, 40)[0], struct.unpack_from(">Q", data, 48)[0]
    patch(data, struct.unpack_from(">Q", data, l1)[0] & ~COPIED, reftable)
    with open(disk, "wb") as file:
        file.write(data)
    return disk, bytes(data)


def over_refcounts(data, l2, reftable):
    for n in range(512):  # whatever the guest writes first
        struct.pack_into(">Q", data, l2 + 8 * n, reftable | COPIED)


def askew(data, l2, _):
    for n in range(512):
        entry = struct.unpack_from(">Q", data, l2 + 8 * n)[0]
        struct.pack_into(">Q", data, l2 + 8 * n, entry | 512)


def options(disk, extra=""):
    return ["-m", "16M", "-rtc", "base=2026-01-01T10:20:30", "-serial", "none", "-kernel", str(GUESTS / "dma_writer.elf"),
            "-drive", f"file={disk},format=qcow2,if=ide{extra}"]


def check_marked(disk, before):
    """Only the corrupt bit of the header is new."""
    with open(disk, "rb") as file:
        after = file.read()
    changed = [n for n in range(max(len(before), len(after))) if before[n:n + 1] != after[n:n + 1]]
    check(changed == [79] and after[79] == before[79] | 2, "bytes changed:", changed[:20])
    info = json.loads(subprocess.run([PROGRAM, "image", "info", "--output=json", disk], capture_output=True, check=True).stdout)
    check(info["format-specific"]["data"]["corrupt"] is True, info)
    if shutil.which("qemu-img"):
        theirs = json.loads(subprocess.run(["qemu-img", "info", "--output=json", disk], capture_output=True, check=True).stdout)
        check(theirs["format-specific"]["data"]["corrupt"] is True, theirs)


def check_journal(journal, op):
    last = [e for e in events(journal, "block-completion")][-1]
    check(last["status"] == -2 and last["op"] == op, "last completion", last)
    out = subprocess.run([PROGRAM, "writes", "--all", "--json", journal], capture_output=True, check=True).stdout
    request = [json.loads(line) for line in out.splitlines()][-1]
    check(request["tag"] == last["tag"] and any(s["kind"] == "corrupt" for s in request["steps"]), request)
    return next(s for s in request["steps"] if s["kind"] == "corrupt")


def check_told(journal, reftable):
    """The replay says where to look; there stands the offset."""
    said = end(start("replay", "-q", "-serial", "none", journal))[1]
    found = re.search(r"the image was corrupt \(vmrr (writes --all -v \S+ \d+\.\d+) says where\)", said)
    check(found, said)
    tree = subprocess.run([PROGRAM, *found.group(1).split()], capture_output=True, text=True, check=True).stdout
    check(re.search(r"corrupt .* value %x: " % reftable, tree), tree)


def overlap(timing, extra):
    disk, before = make_image("overlap.qcow2", over_refcounts)
    reftable = struct.unpack_from(">Q", before, 48)[0]
    journal = path(f"overlap-{timing}.vmrr")
    err = end(start("record", "-o", journal, f"--timing={timing}", *options(disk, extra)), FAILED)[1]
    check(f"{disk}: a write of " in err and f"would overwrite the refcount table at offset 0x{reftable:x}" in err, err)
    check("the image is corrupt, nothing more is written to it, the guest is stopped" in err, err)
    check(ending(err)[0] == "io-error", ending(err))
    check_marked(disk, before)
    step = check_journal(journal, "write")
    check(int(step["value"], 16) == reftable and step["offset"] // 4096 == reftable // 4096 and step["size"], step)
    again = end(start("record", "-o", path("again.vmrr"), *options(disk)), 2)[1]
    check("is marked corrupt" in again, again)
    os.unlink(disk)
    replay(journal, err)
    check_told(journal, reftable)


def entry(timing):
    """Found by a read or write of the map, on a drive whose errors are to be ignored."""
    disk, before = make_image("askew.qcow2", askew)
    journal = path(f"askew-{timing}.vmrr")
    err = end(start("record", "-o", journal, f"--timing={timing}", *options(disk, ",rerror=ignore,werror=ignore")), FAILED)[1]
    check(f"{disk}: guest cluster " in err and "expected a multiple of the cluster size" in err, err)
    check_marked(disk, before)
    replay(journal, err)


def qmp(timing):
    disk, before = make_image("qmp.qcow2", over_refcounts)
    journal = path(f"qmp-{timing}.vmrr")
    process = start("record", "-o", journal, "-S", f"--timing={timing}", "-qmp", f"unix:{path('qmp')},server=on,wait=off",
                    *options(disk))
    client = Qmp(path("qmp"))
    block = next(b for b in client.execute("query-block") if b.get("inserted"))
    client.execute("cont")
    event = client.wait_event("BLOCK_IMAGE_CORRUPTED")["data"]
    check(event["device"] == block["device"] and event["node-name"] == block["inserted"]["node-name"], event, block)
    check(event["fatal"] is True, event)
    check("would overwrite the refcount table" in event["msg"] and event["size"] > 0, event)
    check(event["offset"] // 4096 == struct.unpack_from(">Q", before, 48)[0] // 4096, event)
    check(client.wait_event("BLOCK_IO_ERROR")["data"]["action"] == "stop", "action")
    client.wait_event("STOP")
    check(client.execute("query-status")["status"] == "io-error", "state")
    client.execute("cont")  # the guest hears of it; its next write meets it again
    client.wait_event("RESUME")
    client.wait_event("STOP")
    check(not any(e["event"] == "BLOCK_IMAGE_CORRUPTED" for e in client.events), "said twice")
    client.execute("quit")
    err = end(process)[1]
    check_marked(disk, before)
    replay(journal, err)


def sound(timing):
    """The same image unspoilt: the guest comes to its end."""
    disk, _ = make_image("sound.qcow2", lambda *_: None)
    err = end(start("record", "-o", path("sound.vmrr"), f"--timing={timing}", *options(disk)), 1)[1]
    check("corrupt" not in err and ending(err)[0] != "io-error", err)


def main():
    for timing in ("model", "host"):
        sound(timing)
        overlap(timing, "")
        entry(timing)
        qmp(timing)
    overlap("host", ",cache=none,aio=io_uring")
    overlap("host", ",cache=none,aio=native")
    print("corrupt images: the guest stops, the image stays, the journal replays")


finish(main)

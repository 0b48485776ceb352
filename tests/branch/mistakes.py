#!/usr/bin/env python3
"""What is refused, with its reason, and leaves everything as it was.
Usage: mistakes.py VMRR GUESTS"""
import os

from branch import check, events, finish, info, new_disk, path, record, same, vmrr

record("dma_writer")
parent = path("parent.vmrr")
length = info(parent)["icount"]


def refused(words, *options, journal=parent):
    before = open(parent, "rb").read()
    done = vmrr("replay", journal, *options, code=2)
    check(f"{options}: {done.stderr}", words in done.stderr)
    check("the journal is as it was", open(parent, "rb").read() == before)


then = ("--then", "record", "-o", path("x.vmrr"))
refused("expected live or record", "--then", "later")
refused("--then=record: where to? Give -o", "--until", "5", "--then", "record")
refused("--then=live records nothing", "--until", "5", "--then", "live", "-o", path("x.vmrr"))
refused("a replay writes no journal", "--until", "5", "-o", path("x.vmrr"))
refused("only with --then", "-drive", f"file={new_disk('a.img')}")
refused("only with --then", "-blkfault", "op=write,kind=eio")
refused("expected a position behind --at", "--at", "500", "--until", "500", *then)
refused("not with --follow, --block=rerun", "--at", "5", "--follow", *then)
refused("not with --follow, --block=rerun", "--at", "5", "--block=rerun", f"--scratch={path('s')}", *then)
refused("not with --follow, --block=rerun", "--at", "5", f"--checkpoint-file={path('c')}", *then)
refused("goes on with -accel interp", "--at", "5", "-accel", "kvm", *then)
refused(f"ends at position {length}: there is no going on from {length + 1}", "--at", length + 1, *then)
refused("that is the journal to replay", "--at", "5", "-o", parent)
os.link(parent, path("link.vmrr"))
refused("that is the journal to replay", "--at", "5", "-o", path("link.vmrr"))
refused("that is the image of drive 0", "--at", "5", "-drive", f"file={path('disk.img')}", "-o", path("disk.img"))
refused("the journal has no such drive", "--at", "5", "-drive", f"file={path('disk.img')},index=1", *then)
refused("the journal has no such drive", "--at", "5", "-drive", f"file={path('a.img')}", "-drive", f"file={path('a.img')}", *then)
refused("file=, format= and index=", "--at", "5", "-drive", f"file={path('a.img')},if=ide", *then)
refused("expected file=", "--at", "5", "-drive", "index=0", *then)
refused("the journal has no such drive", "--at", "5", "--set", "drop-flush,drive=3", *then)
for text in ("drop", "drop-flush=3", "fail-write", "fail-write=EPERM", "torn-write", "torn-write=x", "flip=5", "flip=5:512:0",
             "flip=5:0:8", "flip=1-2:0:0", "delay", "delay=1s", "drop-flush,once", "drop-flush,lba", "fail-read=ENOSPC", "",
             "flip=5:0:0,lba=3"):
    refused("expected drop-flush, drop-write", "--at", "5", "--set", text, *then)
for text in (r"serial=\q", r"serial=\x4", "serial=\\"):
    refused("expected serial=TEXT with", "--at", "5", "--set", text, *then)
refused("expected key=NAME", "--at", "5", "--set", "key=nonsense", *then)
refused("expected key=NAME", "--at", "5", "--set", "key=", *then)
refused("a position (icount)", "--at", "x", *then)
refused("No such file", "--at", "5", *then, journal=path("nowhere.vmrr"))
check("none of them made a journal", not os.path.exists(path("x.vmrr")))
done = vmrr("replay", parent, "--at", "5", "-o", "/nowhere/x.vmrr", code=2)
check(done.stderr, "/nowhere/x.vmrr" in done.stderr)

# A damaged parent is found out before the branch begins, or while its sectors are read: no branch either way.
data = bytearray(open(parent, "rb").read())
data[len(data) // 2] ^= 4
open(path("bad.vmrr"), "wb").write(data)
done = vmrr("replay", path("bad.vmrr"), "--at", length - 10, *then, "-serial", "none", code=2)
check("no journal of it", not os.path.exists(path("x.vmrr")))

# The identity of the parent, computed from the file alone, and the same when the journal is cut behind the position.
vmrr("replay", parent, "--at", 1000, *then, "-serial", "none", code=1)
first = info(path("x.vmrr"))["parent"]["identity"]
check(first, first.startswith("0x") and len(first) == 34)
with open(parent, "rb") as file:
    data = file.read()
open(path("cut.vmrr"), "wb").write(data[:len(data) - 200])
vmrr("replay", path("cut.vmrr"), "--at", 1000, *then, "-serial", "none", code=1)
same("identity of the same run, cut", info(path("x.vmrr"))["parent"]["identity"], first)
record("dma_writer", "--seed=2")
vmrr("replay", parent, "--at", length // 2, *then, "-serial", "none", code=1)
check("another run, another identity", info(path("x.vmrr"))["parent"]["identity"] != first)
check("no parent", info(parent)["parent"] is None)
print("refused, each with its reason")
finish()

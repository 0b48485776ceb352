#!/usr/bin/env python3
"""blockdev-snapshot-sync while the guest runs and writes: each image holds what was written until the next one came, by
qemu-img; the guest notices nothing, nor does the replay. Usage: snapshot.py VMRR GUESTS"""
import os
import shutil
import subprocess

from media_guest import Guest
from vmrr import Qmp, check, end, finish, guest, path, replay, start

MIB = 1 << 20
SECTORS = 8 * MIB // 512


def image(*arguments, expect=0):
    done = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True)
    check(done.returncode == expect, "qemu-img", *arguments, done.stdout, done.stderr)
    return done.stdout


def content(name):
    """What an image holds, with its chain."""
    flat = path("flat")
    image("convert", "-O", "raw", name, flat)
    with open(flat, "rb") as out:
        return out.read()


def word_at(data, sector):
    return int.from_bytes(data[sector * 512:sector * 512 + 4], "little")


def make_base(form):
    base = path(f"base.{form}")
    image("create", "-q", "-f", form, base, "8M")
    return base


def chain_is(session, files):
    """query-block, query-named-block-nodes and info block show what was made."""
    inserted = session.drive("disk")["inserted"]
    check(inserted["backing_file_depth"] == len(files) - 1, inserted["backing_file_depth"], files)
    check(inserted["file"] == files[-1] and inserted["drv"] == ("qcow2" if len(files) > 1 else inserted["drv"]), inserted)
    info, names = inserted["image"], []
    while info:
        names.append(os.path.realpath(info["filename"]))
        info = info.get("backing-image")
    check(names == [os.path.realpath(name) for name in reversed(files)], names, files)
    nodes = session.qmp.execute("query-named-block-nodes")
    check(len(nodes) == 2 * len(files), [node["node-name"] for node in nodes])
    check(len({node["node-name"] for node in nodes}) == len(nodes), "names are not alone")
    check([node["ro"] for node in nodes] == [False] * 2 + [True] * (len(nodes) - 2), nodes)
    stats = session.qmp.execute("query-blockstats")[0]
    for _ in files[1:]:
        stats = stats["backing"]
    check("backing" not in stats, stats)
    if len(files) > 1:
        check(f"(chain depth: {len(files) - 1})" in session.qmp.human("info block"), session.qmp.human("info block"))


def several(form, timing, *more):
    """Between two snapshots the guest writes sector 100 + n and, again and again, sector 7."""
    base = make_base(form)
    session = Guest("snapshot", "-drive", ",".join([f"file={base}", f"format={form}", "id=disk", *more]), timing=timing)
    session.begin()
    files, names = [base], [session.drive("disk")["inserted"]["node-name"]]
    for n in range(4):
        session.tell(f"w {100 + n} {1000 + n}")
        session.tell(f"w 7 {2000 + n}")
        session.tell("r 3000", "sector 3000: 0")
        new = path(f"snapshot{n}.qcow2")
        chain_is(session, files)
        if n == 2:
            session.qmp.execute("stop")
        if n == 1:
            check(session.qmp.human(f"snapshot_blkdev disk {new}") == "", "snapshot_blkdev")
        else:
            session.qmp.execute("blockdev-snapshot-sync", device="disk", snapshot_file=new, snapshot_node_name=f"node{n}")
        if n == 2:
            session.qmp.execute("cont")
        files.append(new)
        names.append(session.drive("disk")["inserted"]["node-name"])
        check(n == 1 or names[-1] == f"node{n}", names)
        chain_is(session, files)
    before = [node["node-name"] for node in session.qmp.execute("query-named-block-nodes")][::2]
    check(before == names[::-1], before, names)
    session.tell("w 7 9999", "sector 7: 270f")
    for n in range(4):
        session.tell(f"r {100 + n}", f"sector {100 + n}: {1000 + n:x}")
    session.tell("i", f"{SECTORS} sectors")
    session.tell("f", "ok")
    session.finish()
    for n, name in enumerate(files):
        if not name.endswith(".raw"):
            image("check", name)
        data = content(name)
        check(word_at(data, 7) == (2000 + n if n < 4 else 9999), name, word_at(data, 7))
        for m in range(4):
            check(word_at(data, 100 + m) == (1000 + m if m <= n else 0), name, m, word_at(data, 100 + m))
    check(not [e for e in session.inputs("media") + session.inputs("block-resize")], "the guest was told something")
    session.replay(*files)


def under_load(timing, *more):
    """A guest that writes by DMA without a pause, and checks what it wrote; snapshots as fast as they go."""
    options = []
    for option in guest("dma_writer"):
        options.append(option.replace("file=", "id=disk,file=") if option.startswith("file=") else option)
        if option.startswith("file="):
            options[-1] += "".join(f",{item}" for item in more)
    base, journal = path("dma_writer.img"), path("load.vmrr")
    process = start("record", "-o", journal, "-S", f"--timing={timing}", "-qmp", f"unix:{path('qmp')},server=on,wait=off",
                    "-serial", f"file:{path('console')}", *options)
    qmp, files = Qmp(path("qmp")), [base]
    qmp.execute("cont")
    try:
        for n in range(6):
            new = path(f"load{n}.qcow2")
            qmp.execute("blockdev-snapshot-sync", device="disk", snapshot_file=new)
            files.append(new)
    except (SystemExit, OSError):
        pass  # the guest was faster: it is at its end
    err = end(process, 1)[1]
    with open(path("console"), encoding="ascii") as console:
        said = console.read()
    check("500 interrupts" in said and " 0 errors" in said, said)
    check(len(files) > 3, "the guest ended after", files)
    for name in files[1:]:
        image("check", name)
    # What the guest wrote is what an undisturbed run writes.
    with open(path("dma_writer.img"), "rb") as out:
        first = out.read()
    last = content(files[-1])
    guest("dma_writer")
    end(start("run", "-serial", "none", *options), 1)
    with open(base, "rb") as out:
        check(out.read() == last, "the chain holds something else than a disk without snapshots")
    check(first != last or len(files) == 1, "all was written before the first snapshot: nothing was tried")
    for name in files:
        os.unlink(name)
    replay(journal, err)


def existing_and_refused():
    base, other, made = make_base("raw"), path("other.raw"), path("made.qcow2")
    image("create", "-q", "-f", "raw", other, "8M")
    image("create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", made)
    image("create", "-q", "-f", "qcow2", "-b", other, "-F", "raw", path("wrong.qcow2"))
    image("create", "-q", "-f", "qcow2", path("alone.qcow2"), "8M")
    session = Guest("existing", "-drive", f"file={base},format=raw,id=disk,node-name=bottom", "-drive",
                    f"file={other},format=raw,id=thrown,snapshot=on", "-drive", "if=ide,media=cdrom,index=2,id=cd")
    session.begin()
    session.tell("w 1 5")
    qmp, snapshot = session.qmp, "blockdev-snapshot-sync"
    qmp.refused(snapshot, "No such file", device="disk", snapshot_file=path("none/new.qcow2"))
    qmp.refused(snapshot, "No such file", device="disk", snapshot_file=path("none.qcow2"), mode="existing")
    qmp.refused(snapshot, "its backing file is not", device="disk", snapshot_file=path("wrong.qcow2"), mode="existing")
    qmp.refused(snapshot, "its backing file is not", device="disk", snapshot_file=path("alone.qcow2"), mode="existing")
    qmp.refused(snapshot, "in use by device 'disk'", device="disk", snapshot_file=base)
    qmp.refused(snapshot, "in use by device 'thrown'", device="disk", snapshot_file=other)
    qmp.refused(snapshot, "snapshot=on", device="thrown", snapshot_file=path("new.qcow2"))
    qmp.refused(snapshot, "Device 'cd' has no medium", device="cd", snapshot_file=path("new.qcow2"))
    qmp.refused(snapshot, "Backing file not supported for file format 'raw'", device="disk", snapshot_file=path("new"),
                format="raw")
    qmp.refused(snapshot, "Unknown file format 'vmdk'", device="disk", snapshot_file=path("new"), format="vmdk")
    qmp.refused(snapshot, "Parameter 'mode' does not accept value 'x'", device="disk", snapshot_file=path("new"), mode="x")
    qmp.refused(snapshot, "Cannot find device='nope' nor node-name=''", device="nope", snapshot_file="x")
    qmp.refused(snapshot, "Cannot find device='' nor node-name=''", snapshot_file="x")
    qmp.refused(snapshot, "New overlay node-name missing", node_name="bottom", snapshot_file=path("new.qcow2"))
    qmp.refused(snapshot, "already in use", node_name="bottom", snapshot_file=path("new.qcow2"), snapshot_node_name="bottom")
    check(not os.path.exists(path("new.qcow2")) and not os.path.exists(path("new")), "a refused snapshot left a file")
    check(session.drive("disk")["inserted"]["file"] == base, "refusals changed something")
    qmp.execute(snapshot, node_name="bottom", snapshot_file=made, snapshot_node_name="top", mode="existing")
    check(session.drive("disk")["inserted"]["node-name"] == "top", session.drive("disk"))
    session.tell("r 1", "sector 1: 5")
    session.tell("w 1 6")
    session.finish()
    check((word_at(content(base), 1), word_at(content(made), 1)) == (5, 6), "base and overlay")
    session.replay(base, made, other)


def internal():
    """Who reads an internal snapshot has no file with that content to put a new one over."""
    name = path("inside.qcow2")
    image("create", "-q", "-f", "qcow2", name, "8M")
    image("snapshot", "-c", "one", name)
    session = Guest("internal", "-drive", f"file={name},format=qcow2,id=disk,internal-snapshot=one,readonly=on", command="run")
    session.begin()
    session.qmp.refused("blockdev-snapshot-sync", "reads an internal snapshot", device="disk", snapshot_file=path("new.qcow2"))
    check(not os.path.exists(path("new.qcow2")), "a refused snapshot left a file")
    session.finish()


def main():
    if not shutil.which("qemu-img"):
        print("SKIP: qemu-img (package qemu-utils) is not there to judge")
        raise SystemExit(77)
    for timing in ("model", "host"):
        for form in ("raw", "qcow2"):
            several(form, timing)
        several("raw", timing, "cache=none", "aio=native")
        under_load(timing)
    under_load("host", "cache=none", "aio=io_uring")
    existing_and_refused()
    internal()
    print("snapshots taken; the guest, and the replay, noticed nothing")


finish(main)

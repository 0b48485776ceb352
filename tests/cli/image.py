#!/usr/bin/env python3
"""vmrr image beside qemu-img: images of every option made by each and read by the other; check, info and map field by field,
compare and convert by exit code and content, snapshots, mending, errors. Usage: image.py VMRR"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

VMRR = os.path.abspath(sys.argv[1])
OPTIONS = ["compat=v2", "compat=v3", "cluster_size=512", "cluster_size=4k,refcount_bits=1", "cluster_size=2M",
           "refcount_bits=64", "cluster_size=1k,refcount_bits=2", "lazy_refcounts=on", "extended_l2=on",
           "extended_l2=on,cluster_size=16k", "preallocation=metadata", "preallocation=falloc", "preallocation=full",
           "extended_l2=on,preallocation=metadata", "compression_type=zstd"]
failures = []


def fail(text):
    print("FAIL:", text)
    failures.append(text)


def run(*command, code=0, text=True):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=text)
    if code is not None and done.returncode != code:
        fail("%s: exit %d, expected %d\n%s%s" % (" ".join(map(str, command)), done.returncode, code, done.stdout, done.stderr))
    return done


def ours(*command, code=0):
    return run(VMRR, "image", *command, code=code)


def theirs(*command, code=0):
    return run("qemu-img", *command, code=code)


def same_json(what, left, right):
    """Two documents, but for the space on the disk, which the host may change at any time."""
    def clean(node):
        if isinstance(node, dict):
            return {k: clean(v) for k, v in node.items() if k != "actual-size"}
        return [clean(n) for n in node] if isinstance(node, list) else node
    left, right = clean(json.loads(left)), clean(json.loads(right))
    if left != right:
        fail("%s differs:\n  ours   %s\n  theirs %s" % (what, json.dumps(left)[:1500], json.dumps(right)[:1500]))


def compare_tools(path, what):
    """All that both say of an image."""
    os.sync()  # how much of a file is allocated decides what map looks at
    for command in (("info", "--output=json"), ("info", "--output=json", "--backing-chain"), ("check", "--output=json"),
                    ("map", "--output=json")):
        same_json("%s: %s" % (what, " ".join(command)), ours(*command, path, code=None).stdout,
                  theirs(*command, path, code=None).stdout)
    for command in (["info"], ["check"], ["map"], ["snapshot", "-l"]):
        mine, other = ours(*command, path, code=None), theirs(*command, path, code=None)
        keep = [[line for line in t.stdout.splitlines() if not line.startswith("disk size:")] for t in (mine, other)]
        if keep[0] != keep[1] or mine.returncode != other.returncode:
            fail("%s: %s differs (exit %d and %d):\n%s\n--- theirs\n%s" %
                 (what, command, mine.returncode, other.returncode, "\n".join(keep[0]), "\n".join(keep[1])))


def make_raw(path, size, seed):
    rng = random.Random(seed)
    with open(path, "wb") as out:
        out.truncate(size)
        for _ in range(12):
            out.seek(rng.randrange(size // 512 - 400) * 512)
            kind = rng.randrange(3)
            length = rng.randrange(1, 300) * 512
            out.write(rng.randbytes(length) if kind else b"text " * (length // 5))


def both_ways():
    make_raw("disk.raw", 6 << 20, 1)
    for n, options in enumerate(OPTIONS):
        ours("convert", "-O", "qcow2", "-o", options, "disk.raw", "ours.qcow2")
        theirs("convert", "-O", "qcow2", "-o", options, "disk.raw", "theirs.qcow2")
        for path in ("ours.qcow2", "theirs.qcow2"):
            what = "%s with %s" % (path, options)
            compare_tools(path, what)
            ours("check", "-q", path)
            theirs("check", "-q", path)
            ours("compare", "-q", path, "disk.raw")
            theirs("compare", "-q", path, "disk.raw")
        if "preallocation" in options:
            continue
        for tool, path in ((ours, "ours.qcow2"), (theirs, "theirs.qcow2")):
            tool("convert", "-c", "-O", "qcow2", "-o", options, "disk.raw", path)
            theirs("check", "-q", path)
            ours("check", "-q", path)
            ours("compare", "-q", path, "disk.raw")
            theirs("compare", "-q", path, "disk.raw")
            same_json("%s, compressed with %s: check" % (path, options), ours("check", "--output=json", path).stdout,
                      theirs("check", "--output=json", path).stdout)


def data_files():
    for raw in ("off", "on"):
        options = "data_file=%s.data,data_file_raw=" + raw
        ours("convert", "-O", "qcow2", "-o", options % "ours", "disk.raw", "ours.qcow2")
        theirs("convert", "-O", "qcow2", "-o", options % "theirs", "disk.raw", "theirs.qcow2")
        for path in ("ours.qcow2", "theirs.qcow2"):
            compare_tools(path, "data file of " + path)
            ours("compare", "-q", path, "disk.raw")
            theirs("compare", "-q", path, "disk.raw")
        if raw == "on":
            ours("compare", "-q", "-f", "raw", "ours.data", "disk.raw")


def chains():
    os.makedirs("below", exist_ok=True)
    shutil.copy("disk.raw", "below/base.raw")
    ours("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "below/middle.qcow2")
    theirs("create", "-q", "-f", "qcow2", "-b", "below/middle.qcow2", "-F", "qcow2", "top.qcow2", "8M")
    compare_tools("top.qcow2", "a chain")
    run("qemu-io", "-c", "write -P 7 1000k 33k", "-c", "write -z 2M 1M", "-c", "discard 3M 64k", "top.qcow2")
    run("qemu-io", "-c", "write -P 9 4M 5k", "below/middle.qcow2")
    compare_tools("top.qcow2", "a chain that was written to")
    ours("convert", "-O", "raw", "top.qcow2", "flat.raw")
    theirs("compare", "-q", "top.qcow2", "flat.raw")
    ours("compare", "-q", "top.qcow2", "flat.raw")
    ours("create", "-f", "qcow2", "-b", "disk.raw", "none.qcow2", code=1)
    ours("create", "-q", "-f", "qcow2", "-b", "loop.qcow2", "-F", "qcow2", "-u", "loop.qcow2", "1M")
    if "own backing file" not in ours("map", "loop.qcow2", code=1).stderr:
        fail("an image that is its own backing file is not refused as such")
    ours("create", "-q", "-f", "qcow2", "-b", "gone.qcow2", "-F", "qcow2", "-u", "orphan.qcow2", "1M")
    if "gone.qcow2" not in ours("map", "orphan.qcow2", code=1).stderr:
        fail("a missing backing file is not named")
    ours("info", "orphan.qcow2")
    previous = "disk.raw"
    for n in range(70):  # longer than anyone means
        ours("create", "-q", "-u", "-f", "qcow2", "-b", previous, "-F", "qcow2" if n else "raw", "c%d.qcow2" % n, "6M")
        previous = "c%d.qcow2" % n
    ours("compare", "-q", "c60.qcow2", "disk.raw")
    if "chain of backing files" not in ours("map", previous, code=1).stderr:
        fail("a chain of 70 images is not refused")


def snapshots():
    for tool, other in ((ours, theirs), (theirs, ours)):
        tool("convert", "-O", "qcow2", "-o", "cluster_size=4k", "disk.raw", "s.qcow2")
        tool("snapshot", "-c", "one", "s.qcow2")
        compare_tools("s.qcow2", "a snapshot")
        run("qemu-io", "-c", "write -P 1 0 2M", "s.qcow2")
        other("snapshot", "-c", "two", "s.qcow2")
        compare_tools("s.qcow2", "two snapshots")
        run("qemu-io", "-c", "write -P 2 1M 2M", "s.qcow2")
        ours("convert", "-l", "one", "-O", "raw", "s.qcow2", "one.raw")
        theirs("compare", "-q", "one.raw", "disk.raw")
        tool("snapshot", "-d", "two", "s.qcow2")
        compare_tools("s.qcow2", "a deleted snapshot")
        tool("snapshot", "-a", "one", "s.qcow2")
        compare_tools("s.qcow2", "an applied snapshot")
        other("compare", "-q", "s.qcow2", "disk.raw")
        other("snapshot", "-d", "one", "s.qcow2")
        compare_tools("s.qcow2", "no snapshot any more")
    if "not found" not in ours("snapshot", "-a", "nosuch", "s.qcow2", code=1).stderr:
        fail("an unknown snapshot is not said to be unknown")


def poke(path, offset, data):
    with open(path, "r+b") as out:
        out.seek(offset)
        out.write(data)


def damage():
    """Each a harm to a good image: both find it, say as much, and mend it alike."""
    ours("convert", "-O", "qcow2", "disk.raw", "good.qcow2")
    clusters = (os.path.getsize("good.qcow2") + 0xFFFF) >> 16
    os.truncate("good.qcow2", (clusters + 1) << 16)  # room for a cluster that nobody uses
    with open("good.qcow2", "rb") as image:
        header = image.read(104)
        l1 = int.from_bytes(header[40:48], "big")
        image.seek(int.from_bytes(header[48:56], "big"))
        block = int.from_bytes(image.read(8), "big")
        image.seek(l1)
        l2 = int.from_bytes(image.read(8), "big") & ~(1 << 63)
        image.seek(l2)
        entries = [int.from_bytes(image.read(8), "big") for _ in range(96)]
    first = next(n for n, e in enumerate(entries) if e)
    harms = {
        "a leak": (block + 2 * clusters, b"\0\1"),
        "a count too low": (block + 2 * 5, b"\0\0"),
        "a count too high": (block + 2 * 6, b"\0\5"),
        "a copied flag gone": (l2 + 8 * first, bytes([0])),
        "a refcount block nowhere": (int.from_bytes(header[48:56], "big"), bytes(8)),
        "data past the end": (l2 + 8 * first, (1 << 63 | 0x7FFFFF0000).to_bytes(8, "big")),
        "the dirty bit": (79, b"\1"),
        "the corrupt bit": (79, b"\2"),
    }
    for name, (offset, data) in harms.items():
        for repair in (None, "leaks", "all") if name in ("a leak", "a count too high", "a copied flag gone") else (None, "all"):
            shutil.copy("good.qcow2", "a.qcow2")
            poke("a.qcow2", offset, data)
            shutil.copy("a.qcow2", "b.qcow2")
            extra = ["-r", repair] if repair else []
            mine, other = ours("check", *extra, "a.qcow2", code=None), theirs("check", *extra, "b.qcow2", code=None)
            if mine.returncode != other.returncode:
                fail("%s, check %s: exit %d, theirs %d\n%s%s\n--- theirs\n%s%s" %
                     (name, extra, mine.returncode, other.returncode, mine.stdout, mine.stderr, other.stdout, other.stderr))
            if repair == "all" and name != "data past the end":
                theirs("check", "-q", "a.qcow2")
                theirs("compare", "-q", "a.qcow2", "disk.raw")
    shutil.copy("good.qcow2", "a.qcow2")
    poke("a.qcow2", 79, b"\2")
    if "marked corrupt" not in ours("convert", "-n", "-O", "qcow2", "disk.raw", "a.qcow2", code=1).stderr:
        fail("an image marked corrupt was opened for writing")


def overlap():
    """The map says that data lie where the L2 table is, and the count that this is so: the write must not happen."""
    ours("create", "-q", "-f", "qcow2", "o.qcow2", "1M")
    run("qemu-io", "-c", "write -P 1 0 64k", "o.qcow2")
    with open("o.qcow2", "rb") as image:
        image.seek(0x30000)
        l2 = int.from_bytes(image.read(8), "big") & ~(1 << 63)
    poke("o.qcow2", l2, (1 << 63 | l2).to_bytes(8, "big"))
    before = open("o.qcow2", "rb").read()
    done = ours("convert", "-n", "-O", "qcow2", "disk1m.raw", "o.qcow2", code=1)
    if "0x%x would overwrite the active L2 table" % l2 not in done.stderr:
        fail("an overlapping write is not told: " + done.stderr)
    after = open("o.qcow2", "rb").read()
    if after[79] != 2 or after[:79] + after[80:] != before[:79] + before[80:]:
        fail("a write that overlaps a table wrote more than the corrupt bit")


def bitmaps():
    theirs("create", "-q", "-f", "qcow2", "m.qcow2", "4M")
    theirs("bitmap", "--add", "m.qcow2", "dirty")
    ours("check", "-q", "m.qcow2")
    ours("convert", "-O", "raw", "m.qcow2", "m.raw")
    if "dirty" not in theirs("info", "m.qcow2").stdout:
        fail("reading an image dropped its bitmap")
    ours("convert", "-n", "-O", "qcow2", "disk1m.raw", "m.qcow2")
    theirs("check", "-q", "m.qcow2")
    ours("check", "-q", "m.qcow2")
    if "name: dirty" in theirs("info", "m.qcow2").stdout:
        fail("a bitmap that nobody updated is still believed")


def comparing():
    shutil.copy("disk.raw", "other.raw")
    poke("other.raw", 5 << 20, b"different")
    for left, right, arguments in (("disk.raw", "other.raw", []), ("disk.raw", "disk.raw", []), ("disk.raw", "disk1m.raw", []),
                                   ("disk.raw", "disk1m.raw", ["-s"]), ("disk.raw", "nosuch", [])):
        mine = ours("compare", *arguments, "-f", "raw", "-F", "raw", left, right, code=None)
        other = theirs("compare", *arguments, "-f", "raw", "-F", "raw", left, right, code=None)
        if (mine.returncode, mine.stdout) != (other.returncode, other.stdout):
            fail("compare %s %s: %d %s, theirs %d %s" % (left, right, mine.returncode, mine.stdout, other.returncode, other.stdout))


def refused():
    for arguments, text in ((["create", "-f", "qcow2", "-o", "cluster_size=3k", "r", "1M"], "power of two"),
                            (["create", "-f", "qcow2", "-o", "encrypt.format=luks", "r", "1M"], "encryption is not supported"),
                            (["create", "-f", "qcow2", "-o", "compat=v2,lazy_refcounts=on", "r", "1M"], "1.1"),
                            (["create", "-f", "vmdk", "r", "1M"], "raw or qcow2"), (["create", "-f", "qcow2", "r"], "size"),
                            (["convert", "-c", "-O", "raw", "disk.raw", "r"], "cannot be compressed"),
                            (["info", "nosuch"], "nosuch"), (["nosuch"], "unknown command"),
                            (["check", "disk.raw"], "nothing to check")):
        done = run(VMRR, "image", *arguments, code=None)
        if done.returncode == 0 or text not in done.stderr:
            fail("%s: exit %d, said %s" % (arguments, done.returncode, done.stderr))


def main():
    if not shutil.which("qemu-img") or not shutil.which("qemu-io"):
        print("SKIP: no qemu-img (package qemu-utils)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_raw("disk1m.raw", 1 << 20, 2)
        for part in (both_ways, data_files, chains, snapshots, damage, overlap, bitmaps, comparing, refused):
            part()
        os.chdir("/")
    print("%d failures" % len(failures))
    sys.exit(1 if failures else 0)


main()

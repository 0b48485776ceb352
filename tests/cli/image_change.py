#!/usr/bin/env python3
"""vmrr image resize, rebase and commit beside qemu-img: the same command on two copies, then the same exit code, output, disk,
chain and virtual size, and a clean check by both. Usage: image_change.py VMRR"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

VMRR = os.path.abspath(sys.argv[1])
failures = []


def fail(text):
    print("FAIL:", text)
    failures.append(text)


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


def must(*command):
    done = run(*command)
    if done.returncode:
        sys.exit("%s: exit %d\n%s%s" % (" ".join(map(str, command)), done.returncode, done.stdout, done.stderr))
    return done.stdout


def disk(path, folder):
    """The bytes of the disk, as qemu-img reads them."""
    must("qemu-img", "convert", "-O", "raw", path, os.path.join(folder, "bytes.raw"))
    with open(os.path.join(folder, "bytes.raw"), "rb") as file:
        return file.read()


def described(path):
    info = json.loads(must("qemu-img", "info", "--output=json", "-U", path))
    return {key: info.get(key) for key in ("virtual-size", "format", "backing-filename", "backing-filename-format",
                                           "format-specific")}


def checked(path, what):
    if described(path)["format"] != "qcow2":
        return
    for tool in (["qemu-img"], [VMRR, "image"]):
        done = run(*tool, "check", path)
        if done.returncode:
            fail("%s: %s check: exit %d\n%s" % (what, tool[0], done.returncode, done.stdout + done.stderr))


def same_bytes(left, right):
    with open(left, "rb") as a, open(right, "rb") as b:
        return a.read() == b.read()


def both(files, *command, same_errors=True):
    """The command by each, in a folder of its own with copies of the files. The state afterwards must be alike."""
    what, seen = " ".join(command), []
    for name, tool in (("ours", [VMRR, "image"]), ("theirs", ["qemu-img"])):
        folder = os.path.join(os.getcwd(), name)
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        for file in files:
            shutil.copy(file, folder)
        done = subprocess.run([*tool, *command], capture_output=True, text=True, check=False, cwd=folder)
        state = []
        for file in files:
            path = os.path.join(folder, file)
            if same_bytes(path, file):
                state.append((file, "as it was", b""))
                continue
            checked(path, what)
            state.append((file, described(path), disk(path, os.getcwd())))
        seen.append((done.returncode, done.stdout.splitlines()[-1:], state, done.stderr))
    mine, other = seen
    if mine[:2] != other[:2]:
        fail("%s: exit %s, said %s %s; theirs %s, %s %s" % (what, *mine[:2], mine[3], *other[:2], other[3]))
    if same_errors and other[0] and other[3].split("qemu-img: ")[-1].splitlines()[0] not in mine[3]:
        fail("%s: said %s, theirs %s" % (what, mine[3], other[3]))
    for (file, *left), (_, *right) in zip(mine[2], other[2]):
        if left != right:
            fail("%s: %s is not the same afterwards: %s and %s; the disks are %s" %
                 (what, file, left[:-1], right[:-1], "alike" if left[-1] == right[-1] else "different"))
    return other[0]


def noise(path, size, seed, pieces=10):
    """A raw disk with some data in it."""
    rng = random.Random(seed)
    with open(path, "wb") as out:
        out.truncate(size)
        for _ in range(pieces):
            out.seek(rng.randrange(size // 512 - 200) * 512)
            out.write(rng.randbytes(rng.randrange(1, 190) * 512))


def write_some(path, seed, pieces=8):
    """Into an image, through qemu-io: data, zeros and discards."""
    rng = random.Random(seed)
    size = described(path)["virtual-size"]
    commands = []
    for _ in range(pieces):
        at, length = rng.randrange(size // 512 - 130) * 512, rng.randrange(1, 120) * 512
        how = rng.choice(["write -P %d" % rng.randrange(1, 255)] * 3 + ["write -z", "discard"])
        commands += ["-c", "%s %d %d" % (how, at, length)]
    must("qemu-io", "-f", "qcow2", *commands, path)


def sizes():
    for text in ("1M", "1.5M", "0.25g", "1.0000001M", "1536b", "3k", "2T", "1E", "7", "1.5", "1.5b", "1.M", ".5M", "1e3", "-1", "8E",
                 "99999999999999999999", "0x100k", "0x10000", "1MB", "1 M", "010k", ""):
        mine, other = (run(*tool, "create", "-q", "-f", "qcow2", "s.qcow2", text) for tool in ([VMRR, "image"], ["qemu-img"]))
        if mine.returncode != other.returncode:
            fail("size %s: exit %d, theirs %d %s" % (text, mine.returncode, other.returncode, other.stderr))
        if mine.returncode or other.returncode:
            continue
        must("qemu-img", "create", "-q", "-f", "qcow2", "s.qcow2", text)
        theirs = described("s.qcow2")["virtual-size"]
        must(VMRR, "image", "create", "-q", "-f", "qcow2", "s.qcow2", text)
        if described("s.qcow2")["virtual-size"] != theirs:
            fail("size %s: %d, theirs %d" % (text, described("s.qcow2")["virtual-size"], theirs))


def resize():
    noise("raw.img", 6 << 20, 1)
    for options in ("compat=v3", "compat=v2", "cluster_size=512", "cluster_size=4k,lazy_refcounts=on", "extended_l2=on",
                    "cluster_size=2M"):
        must("qemu-img", "convert", "-O", "qcow2", "-o", options, "raw.img", "a.qcow2")
        write_some("a.qcow2", 5)
        for command in (["10M"], ["+1.5M"], ["--shrink", "3M"], ["--shrink", "a.qcow2", "--", "-1M"], ["-q", "+64k"],
                        ["--shrink", "-f", "qcow2", "1234944"], ["3M"], ["--", "-1M"], ["--shrink", "1000"], ["0"], ["1x"],
                        ["--preallocation=metadata", "9M"], ["--preallocation=full", "+1M"], ["--preallocation=falloc", "+1M"],
                        ["--preallocation=falloc", "--shrink", "1M"], ["--preallocation=some", "9M"], ["400G"]):
            if options == "cluster_size=512" and command == ["400G"]:
                continue  # both refuse, at other limits
            if options not in ("compat=v3", "cluster_size=512") and command[-1] in ("3M", "0", "1x", "1000", "-1M", "1M"):
                continue  # mistakes: the same for all
            if "a.qcow2" not in command:
                command = command[:-1] + ["a.qcow2"] + command[-1:] if "--" not in command else \
                    ["a.qcow2", *command]
            if "400G" in command:
                resize_only(command)
            else:
                both(["a.qcow2"], "resize", *command, same_errors=False)
    for command in (["raw.img", "9M"], ["--shrink", "raw.img", "1M"], ["raw.img", "1M"], ["--preallocation=metadata", "raw.img", "9M"],
                    ["--preallocation=full", "raw.img", "9M"], ["--preallocation=falloc", "raw.img", "9M"]):
        both(["raw.img"], "resize", "-f", "raw", *command, same_errors=False)


def resize_only(command):
    """A disk too long to be read."""
    shutil.copy("a.qcow2", "long.qcow2")
    must(VMRR, "image", "resize", *[c.replace("a.qcow2", "long.qcow2") for c in command])
    checked("long.qcow2", "resize to 400G")
    if described("long.qcow2")["virtual-size"] != 400 << 30:
        fail("resize to 400G")
    must(VMRR, "image", "resize", "--shrink", "long.qcow2", "6M")
    checked("long.qcow2", "resize from 400G")


def resize_over():
    """What lies behind an image may not show in its new part, nor old data in a part that went and came back."""
    noise("base.raw", 6 << 20, 2, 30)
    must("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "o.qcow2", "3M")
    write_some("o.qcow2", 3)
    for command in (["5M"], ["9M"], ["--shrink", "o.qcow2", "1M"]):
        both(["base.raw", "o.qcow2"], "resize", *(command if "o.qcow2" in command else ["o.qcow2", *command]))
    must(VMRR, "image", "resize", "-q", "--shrink", "o.qcow2", "1M")
    must(VMRR, "image", "resize", "-q", "o.qcow2", "6M")
    if any(disk("o.qcow2", ".")[1 << 20:]):
        fail("after shrinking and growing, old data show")
    checked("o.qcow2", "shrunk and grown")
    must("qemu-img", "create", "-q", "-f", "qcow2", "p.qcow2", "4M")
    must("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 4M", "p.qcow2")
    must(VMRR, "image", "resize", "-q", "--shrink", "p.qcow2", "64k")
    must(VMRR, "image", "resize", "-q", "--preallocation=metadata", "p.qcow2", "4M")
    if any(disk("p.qcow2", ".")[1 << 16:]):
        fail("preallocated clusters show old data")
    checked("p.qcow2", "preallocated where data were")


def resize_snapshots():
    for compat in ("v2", "v3"):
        noise("raw.img", 2 << 20, 8)
        must("qemu-img", "convert", "-O", "qcow2", "-o", "compat=%s,cluster_size=4k" % compat, "raw.img", "s.qcow2")
        must("qemu-img", "snapshot", "-c", "first", "s.qcow2")
        write_some("s.qcow2", 9)
        for command in (["s.qcow2", "3M"], ["--shrink", "s.qcow2", "1M"]):
            both(["s.qcow2"], "resize", *command, same_errors=False)


def rebase():
    noise("one.raw", 4 << 20, 11, 20)
    noise("two.raw", 6 << 20, 12, 20)
    must("qemu-img", "create", "-q", "-f", "qcow2", "-b", "one.raw", "-F", "raw", "mid.qcow2")
    write_some("mid.qcow2", 13)
    for options in ("compat=v3", "compat=v2,cluster_size=4k", "extended_l2=on", "cluster_size=512"):
        must("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2", "5M")
        write_some("top.qcow2", 14)
        files = ["one.raw", "two.raw", "mid.qcow2", "top.qcow2"]
        for command in (["-b", "one.raw", "-F", "raw"], ["-b", "two.raw", "-F", "raw"], ["-b", ""], ["-b", "two.raw"],
                        ["-u", "-b", "two.raw", "-F", "raw"], ["-u", "-b", ""], ["-u", "-b", "two.raw"], ["-b", "nosuch", "-F", "raw"],
                        ["-b", "two.raw", "-F", "qcow2"], ["-p", "-b", "", "-f", "qcow2"], []):
            code = both(files, "rebase", *command, "top.qcow2", same_errors=command[-2:] != ["-F", "qcow2"] and "nosuch" not in command)
            if not code and "-u" not in command and disk("ours/top.qcow2", ".") != disk("top.qcow2", "."):
                fail("rebase %s changed the disk" % command)
    both(["one.raw", "two.raw"], "rebase", "-f", "raw", "-b", "two.raw", "-F", "raw", "one.raw")
    must("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "small.qcow2", "1M")
    for length in (50, 80, 100, 120, 400):
        mine, other = (run(*tool, "rebase", "-u", "-F", "raw", "-b", "x" * length, "small.qcow2")
                       for tool in ([VMRR, "image"], ["qemu-img"]))
        if mine.returncode != other.returncode:
            fail("a name of %d bytes: exit %d, theirs %d" % (length, mine.returncode, other.returncode))
    done = run(VMRR, "image", "rebase", "-u", "-F", "raw", "-b", "x" * 1100, "small.qcow2")
    if done.returncode != 1 or "too long" not in done.stderr:
        fail("a name that is too long: " + done.stderr)


def commit():
    noise("one.raw", 4 << 20, 21, 20)
    for seed, options in enumerate(("compat=v3", "compat=v2,cluster_size=4k", "extended_l2=on", "cluster_size=512")):
        must("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", "one.raw", "-F", "raw", "mid.qcow2")
        write_some("mid.qcow2", 22 + seed)
        must("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2", "5M")
        write_some("top.qcow2", 32 + seed)
        files = ["one.raw", "mid.qcow2", "top.qcow2"]
        before = disk("top.qcow2", ".")
        for command in ([], ["-d"], ["-q"], ["-p"], ["-b", "one.raw"], ["-b", "mid.qcow2"], ["-b", "nosuch"], ["-f", "raw"]):
            code = both(files, "commit", *command, "top.qcow2", same_errors="raw" not in command)
            if not code and disk("ours/top.qcow2", ".") != before:
                fail("commit %s changed the disk" % command)
        both(files, "commit", "mid.qcow2")


def main():
    if not shutil.which("qemu-img") or not shutil.which("qemu-io"):
        print("SKIP: no qemu-img (package qemu-utils)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for part in (sizes, resize, resize_over, resize_snapshots, rebase, commit):
            part()
        os.chdir("/")
    print("%d failures" % len(failures))
    sys.exit(1 if failures else 0)


main()

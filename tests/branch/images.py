#!/usr/bin/env python3
"""The disk of a branch: what the journal knows, the image that the run began with, and neither; a guest that does what it is
told (disk_shell) reads, writes and flushes otherwise than in the recorded run.
Usage: images.py VMRR GUESTS"""
import re
import struct
import subprocess

from branch import GUESTS, VMRR, check, ending, events, finish, new_disk, path, replays, same, text_of, vmrr


def words(lba):
    return [(lba * 1000 + n) & 0xFFFFFFFF for n in range(128)]


def told(values):
    total = 0
    for value in values:
        total = (total * 31 + value) & 0xFFFFFFFF
    return f"{values[0] ^ total:x}"


def content(lba):
    return struct.pack("<128I", *words(lba))


image = new_disk("start.img", b"".join(content(lba) for lba in range(4096)))
drive = f"file={path('run.img')},format=raw,if=ide"


def record(timing):
    """Line by line, each when the one before was answered."""
    with open(image, "rb") as start, open(path("run.img"), "wb") as run:
        run.write(start.read())
    guest = subprocess.Popen([VMRR, "record", "-q", "-o", path("parent.vmrr"), "-m", "16M", "-cpu", "max", "-kernel",
                              f"{GUESTS}/disk_shell.elf", "-drive", drive, "-serial", "stdio", f"--timing={timing}"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    answers = [guest.stdout.readline()]
    for line in ("r 5", "w 6 77", "r 6", "f", "x", "x", "q"):
        guest.stdin.write(line + "\n")
        guest.stdin.flush()
        answers.append(guest.stdout.readline())
    same("exit code", guest.wait(timeout=60), 1)
    same("answers", [re.sub(r" at .*", "", answer.strip()) for answer in answers],
         ["disk shell", f"read 5: ok {told(words(5))}", "write 6: ok 4d", f"read 6: ok {told([77 + n for n in range(128)])}",
          "flush 0: ok 0", *(answer.split(" at ")[0] for answer in answers[5:7]), answers[7].strip()])
    return answers[6].split(" at ")[0]


def after(answer):
    """A position behind the guest's whole answer and before the next line is typed."""
    typed = [int(line.split()[0]) for line in events(path("parent.vmrr")) if " deliver serial " in line]
    lines, at, count = [], 0, 0
    for line in events(path("parent.vmrr")):
        match = re.search(r"^(\d+) .*pio-write 3f8/1 = ([0-9a-f]{2})$", line)
        if match and match[2] == "0a":
            count += 1
            if count == answer + 1:
                at = int(match[1]) + 1
    check("the next line comes later", at and any(place >= at for place in typed))
    return at


def branch(at, code, text, *options, then=("--then", "record", "-o")):
    return vmrr("replay", path("parent.vmrr"), "--at", at, "--set", f"serial={text}", *then,
                *([path("branch.vmrr")] if "-o" in then else []), "-serial", f"file:{path('branch.txt')}", *options, code=code)


def answers():
    return [re.sub(r" at .*", "", line) for line in text_of("branch.txt").splitlines()]


for timing in ("model", "host"):
    record(timing)
    at = after(2)  # behind the write of sector 6
    # What the journal knows: read before, written before.
    done = branch(at, 1, r"r 5\nr 6\nw 100 3\nr 100\nf\nq\n")
    same("known sectors", answers()[3:7], [f"read 5: ok {told(words(5))}", f"read 6: ok {told([77 + n for n in range(128)])}",
                                           "write 100: ok 3", f"read 100: ok {told([3 + n for n in range(128)])}"])
    replays(path("branch.vmrr"), ending(done), text_of("branch.txt"))
    # What it does not know.
    for then in (("--then", "record", "-o"), ("--then", "live")):
        done = branch(at, 1, r"r 100\nr 5\nq\n", then=then)
        check(done.stderr, "drive 0: the guest wants sector 100, which it had not read in the recording: give the image that it "
                           "began with as -drive file=IMAGE,index=0\n" in done.stderr)
        check(f"the guest was told nothing: {answers()}", not any("read 100" in line for line in answers()))
    check("as far as it goes it replays", "replay: bit-exact" in
          vmrr("replay", path("branch.vmrr"), "-serial", "none").stderr)
    # From the image: not from the one that the run wrote to.
    start = open(image, "rb").read()
    done = branch(at, 1, r"r 100\nr 6\nr 4095\nw 100 3\nr 100\nq\n", "-drive", f"file={image},format=raw,index=0")
    same("from the image", answers()[3:8],
         [f"read 100: ok {told(words(100))}", f"read 6: ok {told([77 + n for n in range(128)])}",
          f"read 4095: ok {told(words(4095))}", "write 100: ok 3", f"read 100: ok {told([3 + n for n in range(128)])}"])
    replays(path("branch.vmrr"), ending(done), text_of("branch.txt"))
    check("the image is as it was", open(image, "rb").read() == start)
    vmrr("image", "convert", "-O", "qcow2", image, path("start.qcow2"))
    branch(at, 1, r"r 100\nq\n", "-drive", f"file={path('start.qcow2')}")
    same("from a qcow2 image", answers()[3], f"read 100: ok {told(words(100))}")
    # The position before all of that: sector 6 is not written yet there.
    branch(after(1), 1, r"r 6\nq\n", "-drive", f"file={image}")
    same("before the write", answers()[2], f"read 6: ok {told(words(6))}")
    # A flush that the drive drops, a failing one, a read with a flipped bit.
    branch(at, 1, r"f\nq\n", "--set", "drop-flush")
    same("a dropped flush succeeds", answers()[3], "flush 0: ok 0")
    branch(at, 1, r"f\nq\n", "--set", "fail-flush=EIO")
    same("a failing one does not", answers()[3], "flush 0: error 0")
    branch(at, 1, r"r 5\nr 5\nq\n", "--set", "flip=5:4:0")
    flipped = words(5)
    flipped[1] ^= 1
    same("a flipped bit, once", answers()[3:5], [f"read 5: ok {told(flipped)}", f"read 5: ok {told(words(5))}"])
    branch(at, 1, r"r 5\nr 5\nq\n", "--set", "fail-read=EIO")
    same("a failing read, once", answers()[3:5], ["read 5: error 0", f"read 5: ok {told(words(5))}"])

# Sector 5, as the guest read it first, is another one there; or the size is.
with open(path("run.img"), "r+b") as file:
    file.seek(5 * 512 + 3)
    file.write(b"!")
before = open(path("branch.vmrr"), "rb").read()
done = branch(at, 2, "q", "-drive", f"file={path('run.img')},format=raw")
check(done.stderr, f"{path('run.img')}: sector 5 is not what the recorded guest read there first" in done.stderr)
done = branch(at, 2, "q", "-drive", f"file={new_disk('small.img', sectors=4000)},format=raw")
check(done.stderr, "has 4000 sectors, drive 0 of the journal had 4096" in done.stderr)
done = branch(at, 2, "q", "-drive", f"file={path('nowhere.img')}")
check(done.stderr, "nowhere.img" in done.stderr)
# Entropy of a run with --timing=model goes on where it was.
random_number = record("model")
branch(after(5), 1, r"x\nq\n")
same("the parent's second random number", answers()[6], random_number)
print("disks of branches")
finish()

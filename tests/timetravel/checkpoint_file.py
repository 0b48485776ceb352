#!/usr/bin/env python3
"""--checkpoint-file: a replay that nobody walks about in leaves checkpoints; the next session begins with them, and goes to the
same places as one without. What is damaged, or another journal's, is not used, and said to be so.
Usage: checkpoint_file.py VMRR GUESTS"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../branch"))
from branch import check, ending, finish, info, path, record, same, vmrr  # noqa: E402

MONITOR = ("-S", "-monitor", "stdio", "-serial", "none")


def walk(places, *options):
    """Position and digest at each; and what was said besides."""
    words = "".join(f"goto {place}\ndigest\n" for place in places) + "quit\n"
    done = vmrr("replay", *MONITOR, path("parent.vmrr"), *options, stdin=words, code=1)  # interrupted
    seen = re.findall(r"icount (\d+),.*\n.*(state [0-9a-f]+ all [0-9a-f]+)", done.stdout)
    same("places", [int(place) for place, _ in seen], places)
    return seen, done.stderr


def keep(name):
    return f"--checkpoint-file={path(name)}"


end = ending(record("dma_writer"))
length = info(path("parent.vmrr"))["icount"]
places = [length * 7 // 8, length // 3, 1, length // 2 + 1]
plain, _ = walk(places)
same("the end", ending(vmrr("replay", path("parent.vmrr"), "-serial", "none", keep("file"))), end)
check("a file", os.path.isfile(path("file")))
for session in 1, 2:  # the first leaves those that it laid on its ways
    seen, said = walk(places, keep("file"))
    same(f"session {session}", seen, plain)
    check(f"session {session}: {said}", "not used" not in said)
check(f"{os.path.getsize(path('file'))} bytes", os.path.getsize(path("file")) > 100000)
same("and once more, to its end", ending(vmrr("replay", path("parent.vmrr"), "-serial", "none", keep("file"))), end)

with open(path("file"), "rb") as file:
    whole = file.read()
for what, content in {"cut": whole[:len(whole) // 2], "empty": b"", "bit": whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
                      "head": b"x" + whole[1:]}.items():
    with open(path("bad"), "wb") as file:
        file.write(content)
    seen, said = walk(places, keep("bad"))
    same(f"{what}: places", seen, plain)
    check(f"{what}: said: {said}", re.search(r"/bad: .*: not used", said))

os.rename(path("file"), path("other"))
os.rename(path("parent.vmrr"), path("first.vmrr"))
record("timers")
check("another journal's", ": not used" in vmrr("replay", path("parent.vmrr"), "-serial", "none", keep("other")).stderr)
os.mkdir(path("folder"))
check("a folder", "folder" in vmrr("replay", path("parent.vmrr"), "-serial", "none", keep("folder")).stderr)
check("no folder", "no/such" in vmrr("replay", path("parent.vmrr"), "-serial", "none", keep("no/such")).stderr)
finish()

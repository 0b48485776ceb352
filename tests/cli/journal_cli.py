#!/usr/bin/env python3
"""record, replay, info, dump and verify as a user calls them, over SeaBIOS; and the independent reader against dump.

Usage: journal_cli.py VMRR
"""
import io
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "replay"))
import journal_reader  # noqa: E402

VMRR = sys.argv[1]


def run(*arguments, expect=0):
    done = subprocess.run([VMRR, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, timeout=250)
    if done.returncode != expect:
        sys.exit("vmrr %s: exit code %d, expected %d\n%s%s" % (" ".join(arguments), done.returncode, expect,
                                                              done.stdout[-2000:], done.stderr[-2000:]))
    return done


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def compare(journal):
    """The two readers, line by line; returns the events."""
    mine = io.StringIO()
    torn, count = journal_reader.read(journal, mine)
    theirs = run("dump", "--json", journal)
    for a, b in zip(mine.getvalue().splitlines(), theirs.stdout.splitlines()):
        check(a == b, "the readers differ:\n%s\n%s" % (a, b))
    check(mine.getvalue() == theirs.stdout, "the readers give different numbers of events")
    check(bool(torn) == ("torn" in theirs.stderr), "the readers agree on torn")
    return [json.loads(line) for line in theirs.stdout.splitlines()], count


def main():
    with tempfile.TemporaryDirectory() as directory:
        journal, cut = os.path.join(directory, "a.vmrr"), os.path.join(directory, "cut.vmrr")
        disk = os.path.join(directory, "disk.img")
        with open(disk, "wb") as file:
            file.write(b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
        run("record", "-o", journal, "-m", "16M", "-drive", "file=%s,format=raw,if=ide" % disk, "--until=12000000")
        check("bit-exact" in run("replay", journal).stderr, "replay says bit-exact")
        check("whole" in run("verify", journal).stdout, "verify says whole")

        events, count = compare(journal)
        info = json.loads(run("info", "--json", journal).stdout)
        check(info["event_count"] == len(events) == count, "info counts the events")
        check(info["torn"] is None and info["stop"] is not None, "info says whole")
        check(info["machine"]["ram_bytes"] == 16 << 20, "info knows the memory")
        kinds = {event["kind"] for event in events}
        check({"pio-read", "pio-write", "digest", "end", "pull"} <= kinds, "kinds of event: %s" % kinds)
        text = run("info", journal).stdout
        check("disk.img" in text and "whole" in text, "info as text")

        some = run("dump", "--kind=pio,input", "--from=1000", "--to=2000000", "--json", journal).stdout.splitlines()
        wanted = [e for e in events if 1000 <= e["icount"] <= 2000000 and
                  e["kind"] in ("pio-read", "pio-write", "pull", "deliver")]
        check([json.loads(line) for line in some] == wanted, "dump with --kind, --from and --to")
        check(len(run("dump", journal).stdout.splitlines()) == len(events), "dump as text")

        with open(journal, "rb") as file:
            data = file.read()
        with open(cut, "wb") as file:
            file.write(data[:-150])
        run("verify", cut, expect=2)
        check("torn" in run("info", cut).stdout, "info says torn")
        check("torn" in run("replay", cut).stderr, "replay says torn")
        compare(cut)
        with open(cut, "wb") as file:
            file.write(data[:200] + bytes([data[200] ^ 1]) + data[201:])
        check(cut in run("replay", cut, expect=2).stderr, "a damaged journal is named")
        run("verify", cut, expect=2)
        with open(cut, "wb") as file:
            file.write(b"not a journal")
        for command in ("info", "dump", "verify", "replay"):
            check(cut in run(command, cut, expect=2).stderr, command + " names the file")
            run(command, expect=2)
            check("usage" in run(command, "--help").stdout, command + " --help")
    print("ok")


if __name__ == "__main__":
    main()

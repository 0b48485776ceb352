#!/usr/bin/env python3
"""vmrr fuzz against this host's CPU: some thousand sequences of each mode, the cases that once failed, and that the host's side
is locked up.

Usage: fuzz.py VMRR CASES-DIRECTORY
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from fuzz_case import write_case  # noqa: E402

VMRR, CASES = sys.argv[1:3]
WORK = tempfile.TemporaryDirectory()


def run(*arguments):
    return subprocess.run([VMRR, "fuzz", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=200)


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def summary(*arguments, expect=0):
    done = run("--json", "--output", WORK.name, *arguments)
    if done.returncode == 4:
        return None
    check(done.returncode == expect, "%s: exit code %d, expected %d\n%s%s" %
          (" ".join(arguments), done.returncode, expect, done.stdout[-4000:], done.stderr))
    return json.loads(done.stdout)


def check_modes():
    """Returns the modes that this host can judge."""
    modes = []
    for mode in ("64", "32", "16"):
        first = summary("--mode", mode, "--seed=1", "--count=2000")
        if first is None:
            print("%s-bit: not on this host" % mode)
            continue
        modes.append(mode)
        judged = first["same"] + sum(first["known"].values())
        check(first["cases"] == 2000 == judged + sum(first["not_judged"].values()) and judged > 1900, "sum: %s" % first)
        check(first["instructions"] > 8000 and first["failures"] == [], "instructions: %s" % first)
        other = summary("--mode", mode, "--seed=2", "--count=500")
        check(other["instructions"] != first["instructions"], "another seed")
    return modes


def case(mode, code, **state):
    return write_case(os.path.join(WORK.name, "case.json"), mode, code, state)


def check_locked_up(modes):
    """System calls of every kind end the case and reach nobody."""
    for mode, code in (("64", "0f05"), ("64", "cd80"), ("32", "cd80")):
        if mode not in modes:
            continue
        # exit_group, of either table, getpid, and a file's making
        for number in (231, 252, 39, 20, 85, 8):
            got = summary("--replay", case(mode, ["90", code, "90"], rax=number))
            check(got["not_judged"] == {"it came to a system call": 1}, "%s %d: %s" % (code, number, got))


def check_verdicts():
    got = summary("--replay", case("64", ["90"]))
    check(got["same"] == 1, "a NOP: %s" % got)
    got = summary("--replay", case("64", ["ebfe"]))
    check(got["not_judged"] == {"it does not end": 1}, "a branch to itself: %s" % got)
    # CPUID is the one thing that the two may say differently: so a difference is seen, and shown.
    path = case("64", ["90", "0fa2"], rax=0x80000002)
    done = run("--replay", path)
    check(done.returncode == 3 and "cpuid" in done.stdout and "rax" in done.stdout, "CPUID: " + done.stdout)
    got = summary("--replay", path, expect=3)
    failure, = got["failures"]
    check({d["name"] for d in failure["differences"]} <= {"rax", "rbx", "rcx", "rdx"} and failure["differences"],
          "CPUID: %s" % failure)
    check(len(failure["case"]["code"]) == 2, "--replay runs the case as it is")


def check_mistakes():
    bad = os.path.join(WORK.name, "bad.json")
    for text in ("", "{}", "[1]", "\x00", "{\"format\": \"vmrr-fuzz-1\", \"mode\": 64}"):
        with open(bad, "w") as file:
            file.write(text)
        done = run("--replay", bad)
        check(done.returncode == 2 and "bad.json: " in done.stderr, "%r: %s" % (text, done.stderr))
    for arguments in (("--mode=8",), ("--against=nobody",), ("--count=x",), ("--what",), ("word",),
                      ("--replay", "/nonexistent/file")):
        check(run(*arguments).returncode == 2, "mistake: %s" % (arguments,))


def main():
    modes = check_modes()
    if not modes:
        print("SKIP: no mode that this host can judge")
        sys.exit(77)
    for path in sorted(glob.glob(os.path.join(CASES, "*.json"))):
        with open(path) as file:
            mode = str(json.load(file)["mode"])
        got = summary("--replay", path) if mode in modes else {"same": 1}
        check(got["same"] + sum(got.get("known", {}).values()) == 1, "%s: %s" % (os.path.basename(path), got))
    check_locked_up(modes)
    if "64" in modes:
        check_verdicts()
    check_mistakes()
    print("fuzz: %s-bit, old cases, system calls, mistakes" % ", ".join(modes))


main()

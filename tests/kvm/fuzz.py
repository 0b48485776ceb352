#!/usr/bin/env python3
"""vmrr fuzz --against kvm: some hundred sequences of each mode at level 0, what is known by name, a difference that is seen, and what
does not end. Usage: fuzz.py VMRR"""
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from fuzz_case import write_case  # noqa: E402

VMRR, = sys.argv[1:2]
WORK = tempfile.TemporaryDirectory()


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def run(*arguments):
    return subprocess.run([VMRR, "fuzz", "--against=kvm", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=200)


def summary(*arguments, expect=0):
    done = run("--json", "--output", WORK.name, *arguments)
    check(done.returncode == expect, "%s: exit code %d, expected %d\n%s%s" %
          (arguments, done.returncode, expect, done.stdout[-4000:], done.stderr))
    return json.loads(done.stdout)


def case(mode, *code, level=0, **state):
    return write_case(os.path.join(WORK.name, "case.json"), mode, code, state, level=level)


if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("SKIP: /dev/kvm can't be opened")
    sys.exit(77)
for mode in (64, 32, 16):
    got = summary("--mode=%d" % mode, "--seed=3", "--count=600")
    judged = got["same"] + sum(got["known"].values())
    check(got["cases"] == 600 == judged + sum(got["not_judged"].values()) and judged > 590, "sum: %s" % got)
    check(got["instructions"] > 3000, "instructions: %s" % got)
    check(got["level"] == 0 and got["failures"] == [] and "prove nothing" in got["note"], "summary: %s" % got)
    for code in (["90"], ["fa", "fb"], ["0f06"], ["b8efbeadde"] if mode != 16 else ["b8adde"], ["01d8", "11c8"], ["f8", "0f01e0"]):
        got = summary("--replay", case(mode, *code, rbx=0x7FFFFFFF, rax=1))
        check(got["same"] == 1, "%d-bit %s: %s" % (mode, code, got))
for code in (["90"], ["01d8", "11c8"], ["2ea310100110"]):  # the last faults: a store through CS
    got = summary("--replay", case(32, *code, level=3, rbx=0x7FFFFFFF, rax=1))
    check(got["same"] == 1, "level 3, %s: %s" % (code, got))
got = summary("--replay", case(64, "ebfe"))
check(got["not_judged"] and not got["same"], "a branch to itself: %s" % got)
got = summary("--replay", case(64, "f30fbcc3", rbx=0))  # TZCNT of 0: 64 and CF; BSF: unchanged and ZF
check(got["same"] == 1 or got["known"] == {"tzcnt-as-bsf": 1}, "TZCNT: %s" % got)
# The processor's name is not the model's: a difference is seen.
done = run("--replay", case(64, "90", "0fa2", rax=0x80000001))
check(done.returncode == 3 and "cpuid" in done.stdout or done.returncode == 0, "CPUID: " + done.stdout)
check(run("--level=1").returncode == 2, "--level=1")
check(run("--paging=pse").returncode == 2 and run("--paging=pae", "--mode=64").returncode == 2, "--paging")
legacy = run("--paging=32", "--mode=32", "--count=20", "--json")
check(legacy.returncode == 0 and json.loads(legacy.stdout)["same"] > 10 or legacy.returncode == 4 and "no legacy paging" in legacy.stderr,
      "legacy paging: %s%s" % (legacy.stdout, legacy.stderr))
# What is executed by the interpreter on both sides is known before, and hardly taken.
got = summary("--seed=4", "--count=2000")
again = summary("--seed=4", "--count=4000")
helped = [int(one["note"].split()[0]) for one in (got, again)]
check(helped[1] - helped[0] < (again["instructions"] - got["instructions"]) / 5, "helped: %s" % helped)
host = subprocess.run([VMRR, "fuzz", "--level=0"], capture_output=True, text=True, check=False)
check(host.returncode == 4 and "level 3 only" in host.stderr, "the host at level 0: %s" % host.stderr)
host = subprocess.run([VMRR, "fuzz", "--mode=32", "--paging=pae"], capture_output=True, text=True, check=False)
check(host.returncode == 4 and "long mode only" in host.stderr, "the host in legacy mode: %s" % host.stderr)

#!/usr/bin/env python3
"""vmrr fuzz --against gdb: beside Debian's QEMU (TCG): some dozens of sequences of each mode and level, a difference that is seen, what does
not end, and targets that are none. Usage: fuzz.py VMRR"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from fuzz_case import write_case  # noqa: E402

VMRR, = sys.argv[1:2]
QEMU = shutil.which("qemu-system-x86_64")
WORK = tempfile.TemporaryDirectory()
SOCKET = os.path.join(WORK.name, "gdb.sock")


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def run(where, *arguments):
    return subprocess.run([VMRR, "fuzz", "--against=" + where, "--output", WORK.name, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=250)


def beside_qemu(*arguments):
    """Each run has a QEMU of its own, before its first instruction."""
    if os.path.exists(SOCKET):
        os.unlink(SOCKET)
    with subprocess.Popen([QEMU, "-M", "pc", "-cpu", "max", "-m", "16M", "-display", "none", "-nodefaults", "-accel", "tcg", "-S", "-gdb",
                           "unix:%s,server=on,wait=off" % SOCKET], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                if os.path.exists(SOCKET):
                    break
                check(process.poll() is None, "QEMU does not run")
                time.sleep(0.05)
            return run("gdb:unix:" + SOCKET, *arguments)
        finally:
            process.kill()


def case(mode, *code, level=0, paging="long", **state):
    return write_case(os.path.join(WORK.name, "case.json"), mode, code, state, level=level, paging=paging)


check(run("gdb:unix:%s/nobody" % WORK.name, "--count=1").returncode == 4, "nobody listens")
check(run("gdb", "--count=1").returncode == 2 and run("kvm:x", "--count=1").returncode == 2, "a reference without a place, one with")
if not QEMU:
    print("SKIP: no qemu-system-x86_64 (package qemu-system-x86)")
    sys.exit(77)
for mode, level, paging in ((64, 0, "long"), (32, 3, "long"), (16, 0, "long"), (32, 0, "32"), (32, 3, "pae"), (16, 3, "32"), (16, 0, "pae")):
    done = beside_qemu("--mode=%d" % mode, "--level=%d" % level, "--paging=" + paging, "--seed=3", "--count=48", "--json")
    check(done.returncode == 0, "%d-bit: exit code %d\n%s%s" % (mode, done.returncode, done.stdout[-3000:], done.stderr))
    got = json.loads(done.stdout)
    judged = got["same"] + sum(got["known"].values())
    check(got["paging"] == paging and got["level"] == level, "%d-bit: %s" % (mode, got))
    check(got["cases"] == 48 == judged + sum(got["not_judged"].values()) + got["unstable"] and got["same"] > 20 and judged > 40,
          "%d-bit: %s" % (mode, got))
done = beside_qemu("--replay", case(64, "b8efbeadde", "01d8", "11c8", rbx=0x7FFFFFFF, rcx=3), "--json")
check(done.returncode == 0 and json.loads(done.stdout)["same"] == 1, "ADC: %s%s" % (done.stdout, done.stderr))
done = beside_qemu("--replay", case(32, "0fa2", rax=0x80000002))  # the processor's name is not the model's
check(done.returncode == 3 and "cpuid" in done.stdout, "CPUID: %s%s" % (done.stdout, done.stderr))
# A store to a page that is not there, with a stack that is not either: one fault, at its place, in legacy mode too.
for paging in ("32", "pae"):
    for level in (0, 3):
        done = beside_qemu("--replay", case(32, "43", "a310500110", level=level, paging=paging, rsp=0x90000000), "--json")
        check(done.returncode == 0 and json.loads(done.stdout)["same"] == 1, "fault: %s%s" % (done.stdout, done.stderr))
    done = beside_qemu("--replay", case(32, "0fa2", rax=0x80000002, paging=paging))
    check(done.returncode == 3 and "cpuid" in done.stdout, "CPUID, %s: %s%s" % (paging, done.stdout, done.stderr))
done = beside_qemu("--replay", case(32, "f0660fbbcc"), "--json")  # QEMU 7.2 would end
check(done.returncode == 0 and json.loads(done.stdout)["not_judged"], "LOCK BTC SP, CX: %s%s" % (done.stdout, done.stderr))
done = beside_qemu("--replay", case(16, "ebfe"), "--json")
check(done.returncode == 0 and json.loads(done.stdout)["not_judged"], "a branch to itself: %s%s" % (done.stdout, done.stderr))

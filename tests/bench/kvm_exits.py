#!/usr/bin/env python3
"""The cost of an exit of a guest on KVM, beside QEMU's KVM on the same guest, and what recording adds.

  kvm_exits.py [--vmrr FILE] [--count N] [--rounds N]

Microseconds an exit of the guest kvm_exits.S, by this program's clock; programs take turns, the median of the rounds. Ratios are of medians. qemu: -machine pc,accel=kvm,kernel-irqchip=off, as its devices then are
in user space too.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PHASES = ["port write", "port read", "MMIO read", "MMIO write", "HLT, with the self-IPI and EOI around it"]


def build(work, counts):
    name = "-".join(str(count) for count in counts)
    obj, image, disk = work / f"{name}.o", work / f"{name}.bin", work / f"{name}.img"
    defines = [f"-DCOUNT{n}={count}" for n, count in enumerate(counts)]
    subprocess.run(["gcc", "-m32", "-c", *defines, HERE / "kvm_exits.S", "-o", obj], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x7C00", "--oformat=binary", obj, "-o", image], check=True)
    disk.write_bytes(image.read_bytes().ljust(1 << 20, b"\0"))
    return image, disk


def by_letters(command):
    """Seconds of each phase: QEMU writes each letter when it comes, but needs its firmware first."""
    times = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        seen = b""
        while len(times) < len(PHASES) + 1:
            byte = os.read(process.stdout.fileno(), 1)
            if not byte:
                sys.exit(f"kvm_exits.py: {command[0]}: said {seen!r}")
            if byte == b"abcdef"[len(times):len(times) + 1]:
                times.append(time.monotonic())
            seen += byte
        process.kill()
    return [b - a for a, b in zip(times, times[1:])]


def by_difference(command, images):
    """The same for vmrr, which buffers: whole runs with one phase long, less one with none."""
    def seconds(image):
        start = time.monotonic()
        done = subprocess.run([str(w) for w in command] + ["-kernel", str(image)], stdout=subprocess.PIPE, check=False)
        if done.returncode != 1 or done.stdout != b"abcdef":
            sys.exit(f"kvm_exits.py: {command[0]}: exit {done.returncode}, said {done.stdout!r}")
        return time.monotonic() - start
    none = seconds(images[0])
    return [seconds(image) - none for image in images[1:]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vmrr", default=str(HERE / "../../build/release/tools/vmrr"))
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        sys.exit("kvm_exits.py: /dev/kvm can't be opened")
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        count = options.count
        disk = build(work, [count] * len(PHASES))[1]
        images = [build(work, [1] * len(PHASES))[0]] + [build(work, [count if n == k else 1 for n in range(len(PHASES))])[0]
                                                  for k in range(len(PHASES))]
        common = ["-m", "16", "-debugcon", "stdio", "-serial", "none"]
        vmrr = {
            "run": [options.vmrr, "run", "-q", "-accel", "kvm", *common],
            "record": [options.vmrr, "record", "-q", "-accel", "kvm", "-o", work / "run.vmrr", *common],
        }
        qemu = ["qemu-system-x86_64", "-machine", "pc,accel=kvm,kernel-irqchip=off", "-display", "none", "-monitor", "none",
                "-nodefaults", "-global", "isa-debugcon.iobase=0xe9", "-drive", f"file={disk},format=raw,if=ide", *common]
        results = {"run": [], "record": [], "qemu": []}
        for _ in range(options.rounds):
            for name, command in vmrr.items():
                results[name].append(by_difference(command, images))
            results["qemu"].append(by_letters(qemu))
    print(f"microseconds an exit, median of {options.rounds} (load average {os.getloadavg()[0]:.1f})\n")
    print("| exit | run | record | qemu | run / qemu | record / run |\n|---|---|---|---|---|---|")
    for n, phase in enumerate(PHASES):
        us = {name: statistics.median(r[n] for r in rounds) / options.count * 1e6 for name, rounds in results.items()}
        print(f"| {phase} | {us['run']:.2f} | {us['record']:.2f} | {us['qemu']:.2f} | {us['run'] / us['qemu']:.2f} "
              f"| {us['record'] / us['run']:.2f} |")


main()

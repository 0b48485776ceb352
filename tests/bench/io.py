#!/usr/bin/env python3
"""The I/O benchmark: vmrr and QEMU on the same Linux guest and images, one after the other on this machine.

  io.py speed    [--controllers virtio,nvme,ahci,ide] [--formats raw,qcow2] [--caches ...] [--phases ...] [--divide N]
  io.py syscalls [the same]     host system calls per guest request, by strace

speed: wall seconds between the guest's lines that begin and end a phase, by the clock of this program; the best of --rounds.
syscalls: calls that name the image files (io_submit and io_uring_enter with them, where these submit something), and all
calls, in the same phases. Waiting for completions (futex, ppoll, io_getevents) is among all calls only.
Programs (--programs): run and record are vmrr with --timing=host; run-model and record-model with the latency model, where a
guest waits in virtual time only; qemu is TCG, kvm the same with KVM. Results are tables in Markdown; --json FILE keeps all.

The guest (io/iobench.c) is the only process of Debian's kernel, with direct I/O and a fixed number of requests a phase. The
cloud kernel has no AHCI: there it is the other one. One boot has the disks of several cache modes (IDE: at most four).
"""
import argparse
import json
import math
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
CACHES = ["writeback", "none", "writethrough", "directsync", "unsafe"]
PHASES = ["alloc", "write-seq-1m", "read-seq-1m", "write-rand-1m", "read-rand-1m", "write-seq-4k", "read-seq-4k",
          "write-rand-4k", "read-rand-4k", "write-rand-4k-q32", "read-rand-4k-q32", "write-fsync-4k"]
MODULES = {"ide": ["ata_piix", "sd_mod"], "ahci": ["ahci", "sd_mod"], "virtio": ["virtio_pci", "virtio_blk"], "nvme": ["nvme"]}
DISKS_MAX = {"ide": 4}
FIRST_MIB = 160  # disk n has n MiB more: that is how the guest knows it
LIMIT_SECONDS = 300


def kernel_of(controller):
    name = "kernel" if controller == "ahci" else "kernel-cloud"
    found = next((TOP / "build/assets" / name / "boot").glob("vmlinuz-*"), None)
    if not found:
        sys.exit("io.py: no kernel: run `ctest --test-dir build/release -R linux.assets` first")
    return found


def module_closure(kernel, names):
    """The modules and what they need, in the order of loading, as paths. What the kernel has built in is left out."""
    folder = kernel.parent.parent / "lib/modules" / kernel.name.removeprefix("vmlinuz-")
    files = {path.name.split(".")[0].replace("-", "_"): path for path in folder.rglob("*.ko*")}
    order = []

    def add(name):
        path = files.get(name.replace("-", "_"))
        if not path or path in order:
            return
        depends = subprocess.run(["modinfo", "-F", "depends", path], capture_output=True, text=True, check=True).stdout
        for other in filter(None, depends.strip().split(",")):
            add(other)
        order.append(path)

    for name in names:
        add(name)
    return order


class Guest:
    """Kernel, initrd and command line for one controller."""

    def __init__(self, controller, work):
        self.kernel = kernel_of(controller)
        program = work / "iobench"
        if not program.exists():
            subprocess.run(["gcc", "-O2", "-static", "-o", program, HERE / "io/iobench.c"], check=True)
        root = work / f"root-{controller}"
        for name in ("proc", "sys", "dev", "modules"):
            (root / name).mkdir(parents=True)
        shutil.copy(program, root / "init")
        modules = module_closure(self.kernel, MODULES[controller])
        for path in modules:
            target = root / "modules" / (path.name.split(".")[0] + ".ko")
            if path.suffix == ".xz":
                target.write_bytes(subprocess.run(["xz", "-dc", path], capture_output=True, check=True).stdout)
            else:
                shutil.copy(path, target)
        self.modules = ",".join(path.name.split(".")[0] for path in modules)
        self.initrd = work / f"initrd-{controller}"
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        with open(self.initrd, "wb") as file:
            subprocess.run(["cpio", "--create", "--format=newc", "--quiet"], input=names.encode(), stdout=file, cwd=root, check=True)

    def options(self, disks, arguments):
        words = f"console=ttyS0 quiet panic=-1 io.first={FIRST_MIB} io.disks={disks} io.divide={arguments.divide}"
        if arguments.phases:
            words += f" io.phases={arguments.phases}"
        if arguments.what == "syscalls":
            words += " io.settle=30"  # some time after its line is sent, an emulator writes it
        if self.modules:
            words += f" io.modules={self.modules}"
        return ["-m", "256", "-kernel", str(self.kernel), "-initrd", str(self.initrd), "-append", words, "-no-reboot"]


def make_images(vmrr, disks, work):
    paths = []
    for n, (image_format, _) in enumerate(disks):
        path = work / f"disk{n}.{image_format}"
        path.unlink(missing_ok=True)
        subprocess.run([vmrr, "image", "create", "-q", "-f", image_format, path, f"{FIRST_MIB + n}M"], check=True)
        paths.append(path)
    return paths


def drive_options(controller, disks, paths, arguments):
    options = ["-device", "ich9-ahci,id=ahci"] if controller == "ahci" else []
    for n, ((image_format, cache), path) in enumerate(zip(disks, paths)):
        aio = arguments.aio
        if aio == "native" and cache not in ("none", "directsync"):
            aio = "threads"
        drive = f"file={path},format={image_format},cache={cache},aio={aio}"
        if controller == "ide":
            options += ["-drive", f"{drive},if=ide,index={n}"]
            continue
        device = {"ahci": f"ide-hd,drive=d{n},bus=ahci.{n}", "virtio": f"virtio-blk-pci,drive=d{n}",
                  "nvme": f"nvme,drive=d{n},serial=bench{n}"}[controller]
        options += ["-drive", f"{drive},if=none,id=d{n}", "-device", device]
    return options


def command_of(program, arguments, options, work):
    vmrr = {"run": ["run"], "record": ["record", "-o", str(work / "run.vmrr")]}
    name, _, model = program.partition("-")
    if name in vmrr:
        serial = ["-serial", "file:/dev/stdout"]  # nobody who might type: a halted guest is not paced by host time
        return [arguments.vmrr] + vmrr[name] + ["-q", f"--timing={model or 'host'}"] + serial + options
    accelerator = {"qemu": "tcg", "kvm": "kvm"}[name]
    return ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-serial", "stdio", "-accel", accelerator] + options


def lines_of(command, cwd):
    """(seconds, line) as they come from the program's standard output, which is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.DEVNULL, cwd=cwd,
                               preexec_fn=lambda: os.nice(5))  # so that the reader runs as soon as a line is there
    os.close(slave)
    start, pending = time.monotonic(), b""
    try:
        while time.monotonic() - start < LIMIT_SECONDS:
            ready, _, _ = select.select([master], [], [], 1)
            if not ready:
                continue
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            now = time.monotonic()
            pending += data
            *lines, pending = pending.split(b"\n")
            for line in lines:
                yield now, line.decode("latin-1").strip()
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        os.close(master)


def timed_phases(command, disks, cwd):
    """{(disk, phase): (seconds, requests, bytes a request)}, or None when the guest does not come to its end."""
    begun, times, last = {}, {}, ""
    for now, line in lines_of(command, cwd):
        last = line or last
        match = re.match(r"([BE]) (\d+) (\S+)(?: (\d+) (\d+))?$", line)
        if line == "DONE" and len(times) and max(n for n, _ in times) == len(disks) - 1:
            return times
        if not match:
            continue
        key = (int(match.group(2)), match.group(3))
        if match.group(1) == "B":
            begun[key] = (now, int(match.group(4)), int(match.group(5)))
        elif key in begun:
            then, requests, size = begun[key]
            times[key] = (max(now - then, 1e-4), requests, size)  # both at once: this program was kept waiting
    print(f"io.py: the guest did not come to its end ({last}): {' '.join(command)}", file=sys.stderr)
    return None


STRACE_LINE = re.compile(r"(\d+) +(\w+)\(")
WAITS = re.compile(r"io_uring_enter\(\d+(?:<[^>]*>)?, 0,")
SAID = re.compile(r'writev?\(\d+</dev/pts/[^>]*>, (?:\[\{iov_base=)?"((?:[^"\\]|\\.)*)"')


def counted_phases(trace, work):
    """{(disk, phase): [image calls, all calls, requests of the disk, {name: image calls}, {name: all calls}]} of strace's output."""
    counts, key, text = {}, None, ""
    for line in open(trace, errors="replace"):
        call = STRACE_LINE.match(line)
        if not call:
            continue
        said = SAID.search(line)
        if said:
            text += said.group(1).replace("\\n", "\n").replace("\\r", "")
            *lines, text = text.split("\n")
            for done in lines:
                match = re.match(r"([BE]) (\d+) (\S+)(?: (\d+) (\d+))?$", done)
                if match and match.group(1) == "B":
                    key = (int(match.group(2)), match.group(3))
                    counts[key] = [0, 0, int(match.group(4)), {}, {}]
                elif match:
                    key = None
                sent = re.match(r"R (\d+) (\S+) (\d+)$", done)
                if sent:  # a request is one that reached the disk
                    counts[int(sent.group(1)), sent.group(2)][2] = int(sent.group(3)) or 1
        elif key:
            name = call.group(2)
            counts[key][1] += 1
            counts[key][4][name] = counts[key][4].get(name, 0) + 1
            if f"<{work}/disk" in line or name == "io_submit" or (name == "io_uring_enter" and not WAITS.search(line)):
                counts[key][0] += 1
                counts[key][3][name] = counts[key][3].get(name, 0) + 1
    return counts


def boots(controller, arguments):
    """The disks of each boot: lists of (format, cache)."""
    for image_format in arguments.formats.split(","):
        disks = [(image_format, cache) for cache in arguments.caches.split(",")]
        step = DISKS_MAX.get(controller, 5)
        for at in range(0, len(disks), step):
            yield disks[at:at + step]


def measure(arguments, work, one_boot):
    """{controller/format/cache/phase: {program: value}}: one_boot(command, disks, work) gives a boot's {(disk, phase): value}."""
    results, begun = {}, time.monotonic()
    for controller in arguments.controllers.split(","):
        guest = Guest(controller, work)
        for disks in boots(controller, arguments):
            minutes = (time.monotonic() - begun) / 60
            print(f"{minutes:5.1f} min: {controller} {' '.join('/'.join(disk) for disk in disks)}", file=sys.stderr)
            if arguments.minutes and minutes > arguments.minutes:
                print(f"io.py: {arguments.minutes} minutes are over: the rest is left out", file=sys.stderr)
                return results
            for program in arguments.programs.split(",") * arguments.rounds:
                paths = make_images(arguments.vmrr, disks, work)
                options = guest.options(len(disks), arguments) + drive_options(controller, disks, paths, arguments)
                values = one_boot(command_of(program, arguments, options, work), disks, work)
                for (n, phase), value in (values or {}).items():
                    row = results.setdefault("/".join((controller, *disks[n], phase)), {})
                    row[program] = min(value, row.get(program, value))
                for path in paths:
                    path.unlink()
    return results


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def ratio(results, program, base, chosen):
    """How many times base's throughput the program has, as the geometric mean over the chosen rows."""
    rows = [row for key, row in results.items() if chosen(key.split("/")) and program in row and base in row]
    return geometric_mean([row[base][0] / row[program][0] for row in rows])


def print_ratios(title, names, index, results, programs, base, only=lambda key: True):
    print(f"\n| {title} | " + " | ".join(programs) + " |\n|---" + "|---" * len(programs) + "|")
    for name in names:
        cells = [f"{ratio(results, p, base, lambda key, n=name: only(key) and key[index] == n):.2f}" for p in programs]
        if any(cell != "nan" for cell in cells):
            print(f"| {name} | " + " | ".join(cells) + " |")


def speed(arguments, work):
    results = measure(arguments, work, lambda command, disks, cwd: timed_phases(command, disks, cwd))
    programs = arguments.programs.split(",")
    base = next((program for program in ("qemu", "kvm") if program in programs), None)
    print(f"\nRequests a second\n\n| controller | format | cache | phase | {' | '.join(programs)} |\n|---|---|---|---"
          + "|---" * len(programs) + "|")
    for key, row in results.items():
        cells = [f"{row[p][1] / row[p][0]:.0f}" if p in row else "-" for p in programs]
        print(f"| {' | '.join(key.split('/'))} | {' | '.join(cells)} |")
    others = [program for program in programs if program != base]
    if base and others:
        print(f"\nThroughput as a multiple of {base}'s, geometric means")
        print_ratios("phase", PHASES, 3, results, others, base)
        print_ratios("controller", MODULES, 0, results, others, base)
        print_ratios("cache", CACHES, 2, results, others, base)
        print_ratios("format", ["raw", "qcow2"], 1, results, others, base)
        print("| all | " + " | ".join(f"{ratio(results, p, base, lambda key: True):.2f}" for p in others) + " |")
    return results


def strace_boot(command, disks, work):
    trace = work / "strace.txt"
    for _ in lines_of(["strace", "-f", "-y", "-s", "64", "-o", str(trace)] + command, work):
        pass
    counts = counted_phases(trace, work)
    if len(counts) == 0 or max(n for n, _ in counts) != len(disks) - 1:
        print(f"io.py: the guest did not come to its end: {' '.join(command)}", file=sys.stderr)
    return {key: tuple(value[:3]) + tuple(json.dumps(names, sort_keys=True) for names in value[3:]) for key, value in counts.items()}


def exceeds(one, other):
    """More calls on the image than the other, for the same work and a request of the disk too (kernels cut large ones)."""
    return one[0] > other[0] and one[0] / one[2] > other[0] / other[2]


def syscalls(arguments, work):
    results = measure(arguments, work, strace_boot)
    programs = arguments.programs.split(",")
    print("\nHost system calls a request that reaches the guest's disk: on the image, and in brackets all\n\n| controller | format | cache | phase | "
          + " | ".join(programs) + " | more than qemu |\n|---|---|---|---" + "|---" * len(programs) + "|---|")
    over = 0
    for key, row in results.items():
        cells = [f"{row[p][0] / row[p][2]:.2f} ({row[p][1] / row[p][2]:.1f})" if p in row else "-" for p in programs]
        more = [p for p in programs if "qemu" in row and p in row and exceeds(row[p], row["qemu"])]
        over += bool(more)
        detail = "; ".join(f"{p}, {row[p][2]} requests: {row[p][3]}" for p in more[:1] + ["qemu"]) if more else ""
        print(f"| {' | '.join(key.split('/'))} | {' | '.join(cells)} | {detail} |")
    print(f"\n{over} of {len(results)} rows have more calls on the image than QEMU")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "syscalls"])
    parser.add_argument("--vmrr", default=str(TOP / "build/release/tools/vmrr"))
    parser.add_argument("--programs", default="")
    parser.add_argument("--controllers", default="virtio,nvme,ahci,ide")
    parser.add_argument("--formats", default="raw,qcow2")
    parser.add_argument("--caches", default=",".join(CACHES))
    parser.add_argument("--phases", default="")
    parser.add_argument("--aio", choices=["threads", "native", "io_uring"], default="threads")
    parser.add_argument("--divide", type=int, default=0, help="a power of two; a phase has so much fewer requests (speed: 1, syscalls: 8)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="after so many, no further boot (0: no limit)")
    parser.add_argument("--json", help="where all values go")
    parser.add_argument("--dir", help="where the images lie (default: a new directory in TMPDIR)")
    arguments = parser.parse_args()
    arguments.vmrr = str(pathlib.Path(arguments.vmrr).resolve())
    arguments.programs = arguments.programs or ("run,record,qemu" if arguments.what == "speed" else "run,qemu")
    arguments.divide = arguments.divide or (1 if arguments.what == "speed" else 8)
    if not shutil.which("qemu-system-x86_64"):
        print("qemu-system-x86_64 is not installed: left out", file=sys.stderr)
        arguments.programs = ",".join(p for p in arguments.programs.split(",") if p not in ("qemu", "kvm"))
    with tempfile.TemporaryDirectory(dir=arguments.dir) as name:
        results = {"speed": speed, "syscalls": syscalls}[arguments.what](arguments, pathlib.Path(name))
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

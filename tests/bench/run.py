#!/usr/bin/env python3
"""Side-by-side benchmarks: vmrr and its peers on the same guests, one after the other on this machine.

  run.py baremetal [--vmrr PATH] [--peers qemu,qemu-icount,qemu-rr,bochs,bochs:PATH,vmrr:PATH] [--only KERNEL,...] [--rounds N]
  run.py linux     [--vmrr PATH] [--peers ...]       boot to init and power-off, and the cost of recording

Prints a table in Markdown; a peer that is not installed is left out with a line that says so. The clock is read when a line
arrives from the guest's serial port: the CPU time of the emulator's process, which does not count what else the machine does
(--clock wall: the host's time). Caches and clock rates are shared all the same: look at ratios, and run it again.
"""
import argparse
import collections
import hashlib
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
KERNELS = ["integer", "memory", "branches", "calls", "string", "muldiv", "x87", "sse2", "pio", "mmio",
           "smc", "jit", "nojit", "int", "irq", "timer", "tlb", "flush"]
LIMIT_SECONDS = 900
CLOCK = "cpu"
BOCHS_NO_SOUND = """speaker: enabled=1, mode=none
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
"""
BOCHS_MODELS = ["corei7_haswell_4770", "corei7_sandy_bridge_2600k", "corei5_arrandale_m520", "core2_penryn_t9600"]


def build_baremetal(work, only):
    image = work / "bench.img"
    system_only = ["-DSYSTEM_ONLY"] if only and all(KERNELS.index(name) >= KERNELS.index("smc") for name in only) else []
    subprocess.run(["gcc", "-c", *system_only, "bench.S", "-o", work / "bench.o"], cwd=HERE / "baremetal", check=True)
    subprocess.run(["ld", "-Ttext", "0x7C00", "--oformat", "binary", "-o", image, work / "bench.o"], check=True)
    with open(image, "r+b") as file:
        file.truncate(1 << 20)
    return image


def process_clock(process, start):
    """Seconds of --clock since the process began."""
    if CLOCK == "wall":
        return time.monotonic() - start
    try:
        return time.clock_gettime((~process.pid << 3) | 2)  # clock_getcpuclockid(3) of the whole process
    except OSError:
        return 0.0


def stream_lines(command, cwd, fifo=None):
    """Runs command on a pseudo-terminal (so that nothing is held back) and yields (seconds, line): of its output, or of the
    named pipe that it was told to use as serial port."""
    master, slave = pty.openpty()
    serial = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK) if fifo else master
    process = subprocess.Popen(command, stdin=slave if fifo else subprocess.DEVNULL, stdout=slave,
                               stderr=subprocess.DEVNULL, cwd=cwd, env={**os.environ, "TERM": "xterm"},
                               preexec_fn=lambda: os.nice(5))  # so that the reader runs as soon as a line is there
    os.close(slave)
    if fifo:
        os.write(master, b"c\n")  # Debian's Bochs waits in its debugger
    start, pending = time.monotonic(), b""
    try:
        while time.monotonic() - start < LIMIT_SECONDS and (process.poll() is None or not fifo):
            ready, _, _ = select.select([serial, master] if fifo else [master], [], [], 1)
            if not ready and process.poll() is not None:
                break
            for file in ready:
                try:
                    data = os.read(file, 65536)
                except OSError:
                    return
                if file != serial:
                    continue
                if not data and not fifo:
                    return
                if not data:
                    time.sleep(0.01)  # the writer has not opened the pipe yet
                now = process_clock(process, start)
                pending += data
                *lines, pending = pending.split(b"\n")
                for line in lines:
                    yield now, line.decode("latin-1").strip()
    finally:
        process.kill()
        process.wait()
        os.close(master)


def measure_baremetal(command, cwd, fifo=None):
    """Seconds a kernel, by (mode, name)."""
    begun, seconds = {}, {}
    for now, line in stream_lines(command, cwd, fifo):
        match = re.search(r"([BE]) (16|32|64) (\w+)", line)
        if not match:
            continue
        key = (match.group(2), match.group(3))
        if match.group(1) == "B":
            begun[key] = now
        elif key in begun:
            seconds[key] = now - begun[key]
            if key == ("64", KERNELS[-1]):
                break
    return seconds


def known_counts(vmrr, image, work):
    """As count_instructions, which takes minutes (the port kernels make twenty million events): kept by the image's hash."""
    kept = TOP / "build" / f"bench-counts-{hashlib.sha256(image.read_bytes()).hexdigest()[:16]}.json"
    if not kept.exists():
        counts = count_instructions(vmrr, image, work)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps({" ".join(key): count for key, count in counts.items()}))
    return {tuple(key.split()): count for key, count in json.loads(kept.read_text()).items()}


def count_instructions(vmrr, image, work):
    """Instructions a kernel: from the journal's positions of the serial lines, or as the guest itself says (REP)."""
    journal = work / "bench.vmrr"
    subprocess.run([vmrr, "record", "-q", "-serial", "none", "-o", journal, "-snapshot", "-hda", image],
                   stdin=subprocess.DEVNULL, check=False)
    dump = subprocess.Popen([vmrr, "dump", "--kind=pio", "--json", journal], stdout=subprocess.PIPE)
    port = subprocess.Popen(["grep", '"address":"0x3f8".*"pio-write"'], stdin=dump.stdout, stdout=subprocess.PIPE, text=True)
    text, begun, counts = "", {}, {}
    for line in port.stdout:  # a few hundred of some ten million
        event = json.loads(line)
        char = chr(int(event["value"], 0) & 0xFF)
        if char != "\n":
            text += char
            continue
        match = re.search(r"([BE]) (16|32|64) (\w+) ?(\d*)", text)
        text = ""
        if not match:
            continue
        key = (match.group(2), match.group(3))
        if match.group(1) == "B":
            begun[key] = event["icount"]
            if match.group(4) != "0":
                counts[key] = int(match.group(4))
        elif key not in counts:
            counts[key] = event["icount"] - begun[key]
    return counts


def bochs_help(binary, topic):
    """The words that `bochs --help topic` prints."""
    printed = subprocess.run([binary, "--help", topic], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             check=False, env={**os.environ, "TERM": "xterm"})
    return (printed.stdout + printed.stderr).split()


def bochs_cpu_model(binary):
    """The newest of the processors that this build of Bochs has."""
    listed = bochs_help(binary, "cpu")
    return next((model for model in BOCHS_MODELS if model in listed), "bx_generic")


def bochs_command(binary, image, work, megs=64):
    config = work / "bochsrc"
    bios = next((p for p in ("/usr/share/bochs/BIOS-bochs-legacy", "/usr/share/bochs/BIOS-bochs-latest")
                 if os.path.exists(p)), None)
    vga = next((p for p in ("/usr/share/bochs/VGABIOS-lgpl-latest", "/usr/share/vgabios/vgabios.bin")
                if os.path.exists(p)), None)
    fifo = work / "bochs.serial"
    if not fifo.exists():
        os.mkfifo(fifo)
    pathlib.Path(f"{image}.lock").unlink(missing_ok=True)
    sound = BOCHS_NO_SOUND if "sb16" in bochs_help(binary, "features") else ""  # without it Debian's build fails without a sound card
    config.write_text(f"""megs: {megs}
romimage: file={bios}
vgaromimage: file={vga}
boot: disk
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, mode=flat, path={image}, cylinders=0
com1: enabled=1, mode=file, dev={fifo}
cpu: model={bochs_cpu_model(binary)}, ips=50000000, reset_on_triple_fault=0
display_library: term
{sound}clock: sync=none, time0=1700000000
log: {work}/bochs.log
panic: action=fatal
""")
    return [binary, "-q", "-f", str(config)], str(fifo)


def vmrr_command(vmrr, image):
    return [vmrr, "run", "-q", "-m", "64", "-snapshot", "-hda", str(image)]


def peer_command(peer, image, work):
    """(command, serial pipe or None) of a peer on the bare-metal image, or None with the reason printed."""
    qemu = shutil.which("qemu-system-x86_64")
    base = [qemu, "-accel", "tcg", "-display", "none", "-serial", "stdio", "-net", "none", "-device",
            "isa-debug-exit,iobase=0xf4", "-m", "64"]
    drive = ["-drive", f"file={image},format=raw,snapshot=on"]
    if peer.startswith("qemu") and not qemu:
        print(f"{peer}: qemu-system-x86_64 is not installed: left out")
        return None
    if peer == "qemu":
        return base + drive, None
    if peer == "qemu-icount":
        return base + drive + ["-icount", "shift=0,sleep=off"], None
    if peer == "qemu-rr":
        return base + ["-icount", f"shift=0,rr=record,rrfile={work}/rr.bin", "-drive",
                       f"file={image},if=none,snapshot=on,format=raw,id=d", "-drive",
                       "driver=blkreplay,if=none,image=d,id=dr", "-device", "ide-hd,drive=dr"], None
    if peer.startswith("bochs"):
        binary = peer.partition(":")[2]
        binary = os.path.abspath(binary) if binary else shutil.which("bochs") or ""
        if not os.path.exists(binary):
            print(f"{peer}: not installed: left out")
            return None
        return bochs_command(binary, image, work)
    if peer.startswith("vmrr:"):
        return vmrr_command(os.path.abspath(peer.partition(":")[2]), image), None
    sys.exit(f"unknown peer {peer}")


def geometric_mean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 0


def print_table(rows, columns, counts, only):
    print("\n| kernel | M instr | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    speeds = {column: [] for column in columns}
    for mode in ("16", "32", "64"):
        for name in KERNELS:
            key = (mode, name)
            if only and name not in only or key not in counts:
                continue
            cells = []
            for column in columns:
                seconds = rows[column].get(key)
                mips = counts[key] / seconds / 1e6 if seconds else 0
                speeds[column].append(mips)
                cells.append(f"{mips:.1f}" if seconds else "-")
            print(f"| {mode} {name} | {counts[key] / 1e6:.1f} | " + " | ".join(cells) + " |")
    print("| geometric mean |  | " + " | ".join(f"{geometric_mean(speeds[c]):.1f}" for c in columns) + " |")
    base = geometric_mean(speeds[columns[0]])
    print("| vmrr is faster by |  | " + " | ".join(
        f"{base / geometric_mean(speeds[c]):.2f}" if geometric_mean(speeds[c]) else "-" for c in columns) + " |")


def baremetal(arguments):
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        only = arguments.only.split(",") if arguments.only else None
        image = build_baremetal(work, only)
        counts = known_counts(arguments.vmrr, image, work)
        commands = {"vmrr": (vmrr_command(arguments.vmrr, image), None)}
        for peer in arguments.peers.split(","):
            command = peer_command(peer, image, work) if peer else None
            if command:
                commands[peer] = command
        best = {}
        for _ in range(arguments.rounds):
            for column, (command, fifo) in commands.items():
                pathlib.Path(f"{image}.lock").unlink(missing_ok=True)
                seconds = measure_baremetal(command, work, fifo)
                row = best.setdefault(column, {})
                for key, value in seconds.items():
                    row[key] = min(value, row.get(key, value))
        print_table(best, list(commands), counts, only)


def linux_command(kernel, initrd, task, disk):
    return ["-m", "512M", "-kernel", str(kernel), "-initrd", str(initrd), "-append", f"console=ttyS0 vmrr.task={task}",
            "-drive", f"file={disk},format=raw,if=ide", "-no-reboot"]


def grub_disk_commands(arguments, kernel, initrd, work):
    """Bochs has no direct kernel boot: it and vmrr boot the same disk, through firmware and GRUB, to init."""
    disk = work / "grub.img"
    grub = TOP / "build/assets/grub/usr/lib/grub/i386-pc"
    subprocess.run([TOP / "tests/linux/make-grub-disk", grub, kernel, initrd,
                    f"console=ttyS0 vmrr.task={arguments.task}", disk], check=True, stdout=subprocess.DEVNULL)
    commands = {"vmrr run, from a GRUB disk": ([arguments.vmrr, "run", "-q", "-m", "512M", "-snapshot", "-hda", str(disk)], None)}
    for peer in arguments.peers.split(","):
        name, _, path = peer.partition(":")
        if name != "bochs":
            continue
        binary = path or shutil.which("bochs")
        if not binary:
            print("(bochs is not installed: left out)")
            continue
        label = f"Bochs, {'optimised build' if path else 'Debian'}, from the GRUB disk"
        directory = work / f"bochs-{len(commands)}"  # no comma: bochsrc separates by them
        directory.mkdir()
        image = directory / "grub.img"
        shutil.copy(disk, image)
        commands[label] = bochs_command(binary, image, directory, 512)
    return commands


def time_of_guest(command, cwd, fifo=None, last=None):
    """Seconds by what the guest says: init: to init; end: to power-off; NAME: between a line of init's and its "did NAME", summed
    up. last: what is waited for, where the end of the guest does not end the emulator."""
    times = collections.Counter()
    before = 0
    for now, line in stream_lines(command, cwd, fifo):
        if "vmrr-init:" in line:
            times["init"] = times["init"] or now
            did = re.search(r"vmrr-init: did (\w+)", line)
            if did:
                times[did[1]] += now - before
            before = now
        if last and last in line:
            return times
        if "Power down" in line or "Power off" in line:
            times["end"] = now
    return times


def linux(arguments):
    kernel = next((TOP / "build/assets/kernel/boot").glob("vmlinuz-*"), None)
    if not kernel:
        sys.exit("run.py: no kernel: run `ctest --test-dir build/release -R linux.assets` first")
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        initrd = work / "initrd.gz"
        subprocess.run([TOP / "tests/linux/make-initrd", TOP / "build/assets/kernel", initrd], check=True)
        disk = work / "disk.img"
        with open(disk, "wb") as file:
            file.truncate(64 << 20)
        options = linux_command(kernel, initrd, arguments.task, disk)
        journal = work / "run.vmrr"
        commands = {"vmrr run": [arguments.vmrr, "run", "-q"] + options,
                    "vmrr record": [arguments.vmrr, "record", "-q", "-o", str(journal)] + options,
                    "vmrr replay": [arguments.vmrr, "replay", "-q", str(journal)]}
        qemu = shutil.which("qemu-system-x86_64")
        if qemu and "qemu" in arguments.peers:
            base = [qemu, "-accel", "tcg", "-nographic", "-monitor", "none", "-net", "none"]
            commands["qemu tcg"] = base + options
            commands["qemu icount"] = base + options + ["-icount", "shift=auto"]
            rr = options[:options.index("-drive")] + ["-no-reboot"]
            drive = ["-drive", f"file={disk},if=none,format=raw,id=d", "-drive",
                     "driver=blkreplay,if=none,image=d,id=dr", "-device", "ide-hd,drive=dr"]
            commands["qemu rr record"] = base + rr + drive + ["-icount", f"shift=auto,rr=record,rrfile={work}/rr.bin"]
        results = {}
        for _ in range(arguments.rounds):
            for label, command in commands.items():
                times = time_of_guest(command, work)
                if not times["end"]:
                    sys.exit(f"run.py: {label}: the guest did not come to its end: {' '.join(map(str, command))}")
                before = results.setdefault(label, times)
                results[label] = collections.Counter({what: min(before[what], now) for what, now in times.items()})
        if "bochs" in arguments.peers:
            last = "vmrr-init:" if arguments.task == "boot" else "reboot: "
            for label, (command, fifo) in grub_disk_commands(arguments, kernel, initrd, work).items():
                results[label] = time_of_guest(command, work, fifo, last)
        did = [what for what in results["vmrr record"] if what not in ("init", "end")]
        print("\n| run | to init, s | whole run, s |" + "".join(f" {what}, s |" for what in did) + " to init / vmrr record |")
        print("|---|---|---|" + "---|" * len(did) + "---|")
        for label, times in results.items():
            print(f"| {label} |" + "".join(f" {times[what]:.2f} |" if times[what] else " - |" for what in ["init", "end", *did]) +
                  f" {times['init'] / results['vmrr record']['init']:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["baremetal", "linux"])
    parser.add_argument("--vmrr", default=str(TOP / "build/release/tools/vmrr"))
    parser.add_argument("--peers", default="qemu,qemu-icount,qemu-rr,bochs")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--task", default="boot")
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    arguments = parser.parse_args()
    global CLOCK
    CLOCK = arguments.clock
    arguments.vmrr = str(pathlib.Path(arguments.vmrr).resolve())
    {"baremetal": baremetal, "linux": linux}[arguments.what](arguments)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The write path: vmrr writes, blktrace, replay --block=rerun and record --host-stacks on guests that write by PIO and by DMA,
under both timings.

Usage: writes.py VMRR GUESTS
"""
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "replay"), os.path.join(HERE, "..", "support")]
import journal_reader  # noqa: E402
import replay_log  # noqa: E402

VMRR, GUESTS = sys.argv[1:3]
SECTOR = 512


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


def lines(*arguments):
    return [json.loads(line) for line in run(*arguments).stdout.splitlines()]


class Recording:
    def __init__(self, directory, guest, *options):
        self.directory, self.guest = directory, guest
        name = guest + "".join(options).replace("=", "-")
        self.journal, self.disk = (os.path.join(directory, name + suffix) for suffix in (".vmrr", ".img"))
        self.before = os.path.join(directory, "before.img")
        with open(self.before, "wb") as file:
            file.write(bytes(range(256)) * 2 * 100 + bytes((4096 - 100) * SECTOR))
        shutil.copy(self.before, self.disk)
        run("record", "-q", "-o", self.journal, "-serial", "none", "-m", "16M", "-rtc", "base=2026-01-01", "-kernel",
            os.path.join(GUESTS, guest + ".elf"), "-drive", "file=%s,format=raw,if=ide" % self.disk, *options, expect=1)
        check("bit-exact" in run("replay", "-serial", "none", self.journal).stderr, "replay of " + name)

    def instruction(self, address):
        """The bytes of the guest's program at an address, by its ELF segments."""
        with open(os.path.join(GUESTS, self.guest + ".elf"), "rb") as file:
            data = file.read()
        wide = data[4] == 2
        at, size, count = ((int.from_bytes(data[0x20:0x28], "little"), *data[0x36:0x3A:2]) if wide else
                           (int.from_bytes(data[0x1C:0x20], "little"), *data[0x2A:0x2E:2]))
        for n in range(count):
            head = data[at + n * size:at + (n + 1) * size]
            words = ([int.from_bytes(head[i:i + 8], "little") for i in (8, 16, 32)] if wide else
                     [int.from_bytes(head[i:i + 4], "little") for i in (4, 8, 16)])
            offset, base, length = words
            if head[0] == 1 and base <= address < base + length:
                return data[offset + address - base:offset + address - base + 3]
        return b""


def check_readers(recording):
    """The independent reader gives what dump gives: steps, and of the guest that does not poll for long the events too."""
    for steps in (False, True) if recording.guest == "ide_pio" else (True,):
        mine = io.StringIO()
        journal_reader.read(recording.journal, mine, steps=steps)
        theirs = run("dump", "--json", *(["--steps"] if steps else []), recording.journal).stdout
        check(mine.getvalue() == theirs, "the readers differ on " + ("steps" if steps else "events"))
        check(theirs, "nothing to compare")


def check_request(recording, request, events):
    name = "%d.%d" % (request["drive"], request["tag"])
    asked = events["block-request"][request["tag"]]
    done = events["block-completion"][request["tag"]]
    for key in ("drive", "tag", "op", "sector", "sectors", "icount", "vtime_ns"):
        check(request[key] == asked[key], "%s of %s" % (key, name))
    check(request["hash"] == (asked if request["op"] == "write" else done)["hash"], "hash of " + name)
    check(request["end_icount"] == done["icount"] and request["status"] == done["status"] == 0, "end of " + name)
    check(request["latency_ns"] == done["vtime_ns"] - asked["vtime_ns"] > 0, "latency of " + name)
    check(request["device"] == "ide0.0" and request["steps_lost"] == 0, "device of " + name)
    # What made the device start is an access to its ports.
    code = recording.instruction(int(request["rip"], 16))
    check(re.match(b"[\x66\xf3]*[\xe4-\xe7\xec-\xef\x6c-\x6f]", code), "rip of %s: %s at %s" % (name, code.hex(), request["rip"]))
    bytes_all = request["sectors"] * SECTOR
    dma = request["command"] in ("0xc8", "0xca", "0x25", "0x35")
    check(sum(s["size"] for s in request["segments"]) == (bytes_all if dma else 0), "segments of " + name)
    kinds = {"read": "host-read", "write": "host-write", "flush": "host-flush", "discard": "host-zero"}
    check([s["kind"] for s in request["steps"]] == [kinds[request["op"]]], "steps of " + name)
    step = request["steps"][0]
    check(step["file"] == recording.disk and step["file_index"] == step["status"] == 0, "file of " + name)
    if request["op"] != "flush":
        check((step["offset"], step["size"]) == (request["sector"] * SECTOR, bytes_all), "place of " + name)


def check_writes(recording):
    everything = lines("writes", "--all", "--json", recording.journal)
    events = {}
    for event in lines("dump", "--json", "--kind=block", recording.journal):
        events.setdefault(event["kind"], {})[event["tag"]] = event
    check(len(everything) == len(events["block-request"]) == len(events["block-origin"]) > 20, "number of requests")
    check([r["tag"] for r in everything] == list(range(len(everything))), "order of requests")
    for request in everything:
        check_request(recording, request, events)
    changes = [r for r in everything if r["op"] != "read"]
    check(lines("writes", "--json", recording.journal) == changes, "writes without reads")
    table = run("writes", recording.journal).stdout.splitlines()
    check(len(table) == len(changes) + 1 and table[0].startswith("id "), "a line a write")
    for line, request in zip(table[1:], changes):
        check(line.split()[0] == "0.%d" % request["tag"] and str(request["icount"]) in line.split(), "line: " + line)
    return everything, changes


def check_filters(recording, changes):
    journal = recording.journal
    some = next(r for r in changes[len(changes) // 2:] + changes if r["sectors"])
    first, count = some["sector"], some["sectors"]

    def selected(expected, *options):
        got = [r["tag"] for r in lines("writes", "--json", *options, journal)]
        check(got == [r["tag"] for r in changes if expected(r)], "%s gives %s" % (options, got))
        return got

    check(selected(lambda r: r["sectors"] and r["sector"] < first + count and first < r["sector"] + r["sectors"],
                   "--lba=%d+%d" % (first, count)), "--lba finds something")
    selected(lambda r: r["sectors"] and r["sector"] <= first < r["sector"] + r["sectors"], "--lba", str(first))
    at = first * SECTOR + 100
    check(selected(lambda r: r["sectors"] and r["sector"] * SECTOR <= at < (r["sector"] + r["sectors"]) * SECTOR,
                   "--file-offset=%d" % at), "--file-offset finds something")
    selected(lambda r: False, "--lba=0xffffffffffff")
    selected(lambda r: False, "--drive=1")
    selected(lambda r: True, "--drive=0")
    middle = some["icount"]
    selected(lambda r: r["icount"] >= middle, "--since=%d" % middle)
    selected(lambda r: r["icount"] <= middle, "--until=%d" % middle)
    tree = run("writes", "-v", journal, "0.%d" % some["tag"]).stdout
    for part in ("0.%d %s" % (some["tag"], some["op"]), some["command_name"], "rip " + some["rip"][2:], some["steps"][0]["kind"],
                 "completion  position %d" % some["end_icount"]):
        check(part in tree, "%s in the tree:\n%s" % (part, tree))
    check(tree.count("segment ") == len(some["segments"]), "segments in the tree")
    run("writes", journal, "0.99999999", expect=2)
    for wrong in (["--lba=x"], ["--lba=5-2"], ["--lba=5+0"], ["--since=-1"], ["--frobnicate"]):
        run("writes", *wrong, journal, expect=2)
    run("writes", journal, "zero", expect=2)
    run("writes", expect=2)


def check_symbols(recording, changes):
    address = int(changes[0]["rip"], 16)
    path = os.path.join(recording.directory, "System.map")
    with open(path, "w", encoding="ascii") as file:
        file.write("%016x T before\n%016x D data\n%016x t starter\n%016x T after\n" %
                   (address - 0x1000, address - 1, address - 4, address + 1))
    got = lines("writes", "--json", "--symbols=" + path, recording.journal)
    check(got[0]["symbol"] == "starter+0x4", "symbol: " + got[0]["symbol"])
    check("starter+0x4" in run("writes", "--symbols", path, recording.journal).stdout, "symbol in the table")
    run("writes", "--symbols", recording.disk, recording.journal, expect=2)


def check_log(recording, everything):
    log_path, image = os.path.join(recording.directory, "log"), os.path.join(recording.directory, "replayed.img")
    shutil.copy(recording.before, image)
    check("bit-exact" in run("blktrace", "-o", log_path, recording.journal).stderr, "blktrace replays")
    with open(log_path, "rb") as log, open(image, "r+b") as target:
        entries = [entry for entry, _ in replay_log.entries(log)]
        check(replay_log.replay(log, target) == len(entries), "number of entries")
    with open(image, "rb") as a, open(recording.disk, "rb") as b:
        check(a.read() == b.read(), "the log gives the image that the guest left")
    writes = [r for r in everything if r["op"] == "write"]
    flushes = [r for r in everything if r["op"] == "flush"]
    check(len([e for e in entries if e.flags & replay_log.FLUSH]) == len(flushes), "flushes in the log")
    check(sorted((e.sector, e.sectors) for e in entries if e.sectors) == sorted((r["sector"], r["sectors"]) for r in writes),
          "writes in the log")
    check(entries[-1].mark == "dm-log-writes-end", "the mark at the end")
    # Before each flush lies what had completed when it was submitted, but for what went out with the one before.
    for flush, number in zip(flushes, [n for n, e in enumerate(entries) if e.flags & replay_log.FLUSH]):
        expected = sum(r["end_icount"] <= flush["icount"] for r in writes)
        check(sum(bool(e.sectors) for e in entries[:number]) == expected, "what lies before a flush")
    text = run("blktrace", "--text", recording.journal).stdout.splitlines()
    check(len(text) == 3 * len(everything), "three lines a request")
    pattern = r" *8,0 +0 +\d+ +\d+\.\d{9} +0  [QDC] +(R|W|FN|D)F? (\d+ \+ \d+ )?\[[^\]]+\]$"
    for line in text:
        check(re.match(pattern, line), "line of blkparse: " + line)
    check([l.split()[5] for l in text].count("C") == len(everything), "completions")
    run("blktrace", "-o", log_path, "--drive=3", recording.journal, expect=2)
    run("blktrace", recording.journal, expect=2)
    run("blktrace", "-o", "/nonexistent/log", recording.journal, expect=1)


def check_rerun(recording):
    scratch = os.path.join(recording.directory, "scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    options = ["replay", "-q", "-serial", "none", "--block=rerun", "--scratch=" + scratch]
    said = run(*options, recording.journal).stderr
    check("bit-exact" in said and " 0 not as in the journal" in said and " 0 calls failed" in said, "rerun: " + said)
    verdicts = rerun_verdicts(said)
    check(verdicts[0] > 20 and verdicts[1:] == [0, 0, 0], "steps of the rerun: %s" % verdicts)
    with open(os.path.join(scratch, "drive0.raw"), "rb") as a, open(recording.disk, "rb") as b:
        again, original = a.read(), b.read()
    touched = {s for r in lines("writes", "--all", "--json", recording.journal) for s in
               range(r["sector"], r["sector"] + r["sectors"])}
    for sector in touched:
        check(again[sector * SECTOR:][:SECTOR] == original[sector * SECTOR:][:SECTOR], "sector %d after the rerun" % sector)
    with open(os.path.join(scratch, "drive0.steps"), encoding="utf-8") as file:
        steps = file.read()
    check(steps.count("host-write") == sum(r["op"] == "write" for r in lines("writes", "--json", recording.journal)),
          "steps of the rerun")
    run(*options, recording.journal, expect=2)  # the images are there
    run("replay", "--block=rerun", recording.journal, expect=2)
    run("replay", "--scratch=" + scratch, recording.journal, expect=2)
    run("replay", "--block=other", recording.journal, expect=2)


def rerun_verdicts(said):
    """Of how many requests the steps were as recorded, at other places, others, not recorded."""
    found = re.search(r"steps of (\d+) requests as recorded, of (\d+) at other places, of (\d+) others .*; (\d+) not recorded", said)
    check(found, "no word of steps in " + said)
    return [int(n) for n in found.groups()]


def check_map_by_steps(image, cluster, requests):
    """The tables as the steps say that they were changed lead where vmrr image map says."""
    with open(image, "rb") as file:
        header = file.read(112)
    l1 = int.from_bytes(header[40:48], "big")
    mask, entries, tables, found = 0x00fffffffffffe00, cluster // 8, {}, {}
    for request in requests:
        for step in request["steps"]:
            value = int(step["value"], 16) if isinstance(step["value"], str) else step["value"]
            if step["kind"] == "table":
                tables[value & mask] = (step["offset"] - l1) // 8
            elif step["kind"] == "map":
                table = step["offset"] // cluster * cluster
                check(table in tables, "a map step in a table that no step made: %s" % step)
                found[tables[table] * entries + step["offset"] % cluster // 8] = value & mask
    there = {}
    for extent in json.loads(run("image", "map", "--output=json", image).stdout):
        for at in range(0, extent["length"], cluster):
            if "offset" in extent and extent["data"]:
                there[(extent["start"] + at) // cluster] = extent["offset"] + at
    check(there and there == found, "the map by steps: %s and %s" % (sorted(found.items())[:20], sorted(there.items())[:20]))


def check_qcow2(directory, options, timing):
    """A guest on a new qcow2 image: all that its requests did is in the journal, and a rerun does the same on an image that is
    made alike."""
    journal, image, scratch = (os.path.join(directory, name) for name in ("q.vmrr", "q.qcow2", "qscratch"))
    shutil.rmtree(scratch, ignore_errors=True)
    run("image", "create", "-q", "-f", "qcow2", "-o", options, image, "2M")
    run("record", "-q", "-o", journal, "-serial", "none", "-m", "16M", "-kernel", os.path.join(GUESTS, "dma_writer.elf"),
        "--timing=" + timing, "-drive", "file=%s,format=qcow2,if=ide" % image, expect=1)
    requests = lines("writes", "--all", "--json", journal)
    check(len(requests) > 400 and not any(r["steps_lost"] for r in requests), "requests of a qcow2 image")
    for request in requests:
        calls = [s for s in request["steps"] if s["kind"] == "host-write" and s["status"] == 0]
        check(request["op"] != "write" or sum(s["size"] for s in calls) >= request["sectors"] * SECTOR,
              "host writes of %s" % request)
        check(request["op"] != "flush" or any(s["kind"] == "host-flush" for s in request["steps"]) or not calls,
              "a flush that writes and does not flush: %s" % request)
    kinds = {s["kind"] for r in requests for s in r["steps"]}
    check({"allocate", "refcount", "map", "table", "host-write", "host-flush"} <= kinds, "kinds of steps: %s" % kinds)
    info = json.loads(run("image", "info", "--output=json", image).stdout)
    if "extended_l2=on" not in options:
        check_map_by_steps(image, info["cluster-size"], requests)
    said = run("replay", "-q", "-serial", "none", "--block=rerun", "--scratch=" + scratch, journal).stderr
    check("bit-exact" in said and " 0 not as in the journal" in said and " 0 calls failed" in said, "rerun: " + said)
    same, elsewhere, others, unknown = rerun_verdicts(said)
    check(same + elsewhere == len(requests) and not others and not unknown, "steps of the rerun: " + said)
    check(timing == "host" or not elsewhere, "places of the rerun: " + said)
    again = json.loads(run("image", "info", "--output=json", os.path.join(scratch, "drive0.qcow2")).stdout)
    check([again[k] for k in ("cluster-size", "virtual-size", "format-specific")] ==
          [info[k] for k in ("cluster-size", "virtual-size", "format-specific")], "the scratch image is made alike: %s %s" % (again, info))
    if timing == "model":
        with open(os.path.join(scratch, "drive0.qcow2"), "rb") as a, open(image, "rb") as b:
            check(a.read() == b.read(), "the scratch image is the recorded one, byte for byte")


def stored_frame(content):
    """Frame 0 with this content."""
    head = struct.pack("<4sBBHQ4QIIIIQ", b"VFRM", 1, 2, 80, 0, 0, 0, 0, 0, len(content), len(content), 0, 0,
                       journal_reader.xxh3(content))
    return head + struct.pack("<Q", journal_reader.xxh3(head + content)) + content


def check_rerun_qcow2(recording):
    """The journal of a raw image, which says that it was qcow2: through qcow2's code the guest reads and leaves the same."""
    with open(recording.journal, "rb") as file:
        data = file.read()
    frames = [f for f in journal_reader.frames(data) if isinstance(f, journal_reader.Frame) and f.kind not in (6, 7)]
    config = frames[0].content(True)
    path = recording.disk.encode()
    drive = config.index(bytes([len(path)]) + path + b"\3raw") - 6  # tag, size, index, flags, sectors in 2 bytes
    size = config[drive + 1]
    check(config[drive] == 16 and size < 0x7E and config[drive + 2:drive + 2 + size].endswith(b"\3raw"), "the drive's field")
    other = (config[:drive + 1] + bytes([size + 2]) + config[drive + 2:drive + 2 + size].replace(b"\3raw", b"\5qcow2") +
             config[drive + 2 + size:])
    journal = os.path.join(recording.directory, "qcow2.vmrr")
    with open(journal, "wb") as file:
        file.write(data[:32] + stored_frame(other))
        for frame in frames[1:]:
            file.write(frame.header + frame.packed)
    scratch = os.path.join(recording.directory, "qcow2")
    shutil.rmtree(scratch, ignore_errors=True)
    said = run("replay", "-q", "-serial", "none", "--block=rerun", "--scratch=" + scratch, journal).stderr
    check("bit-exact" in said and " 0 not as in the journal" in said and " 0 calls failed" in said, "rerun: " + said)
    check(rerun_verdicts(said)[2] > 20, "that the steps of a raw image are others was not seen: " + said)
    image = os.path.join(scratch, "drive0.qcow2")
    run("image", "check", image)
    with open(os.path.join(scratch, "drive0.steps"), encoding="utf-8") as file:
        steps = file.read()
    check(": recorded were\n  host-write " in steps, "the recorded steps beside others")
    for kind in ("allocate", "host-write", "map"):
        check("  " + kind + " " in steps, "%s among the steps of qcow2" % kind)
    flat = os.path.join(scratch, "flat.img")
    run("image", "convert", "-O", "raw", image, flat)
    with open(flat, "rb") as a, open(recording.disk, "rb") as b:
        again, original = a.read(), b.read()
    for request in lines("writes", "--json", recording.journal):
        at, size = request["sector"] * SECTOR, request["sectors"] * SECTOR
        check(again[at:at + size] == original[at:at + size], "sectors at %d after the rerun" % request["sector"])


def check_rerun_sees(directory):
    """An image that changes behind the guest's back is noticed: the replay waits before the first instruction. The firmware
    reads the boot sector."""
    scratch, journal, disk = (os.path.join(directory, name) for name in ("tampered", "boot.vmrr", "boot.img"))
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        print("no SeaBIOS: no rerun of what was there before")
        return
    with open(disk, "wb") as file:
        file.write(b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    run("record", "-q", "-o", journal, "-m", "16M", "-serial", "none", "-hda", disk, "--until=40000000")
    process = subprocess.Popen([VMRR, "replay", "-q", "-S", "-serial", "none", "--block=rerun", "--scratch=" + scratch,
                                journal], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while "T" not in subprocess.run(["ps", "-o", "stat=", "-p", str(process.pid)], stdout=subprocess.PIPE, text=True,
                                    check=True).stdout:
        time.sleep(0.05)
    first = next(r for r in lines("writes", "--all", "--json", journal) if r["op"] == "read")
    check(first["sector"] == 0, "the firmware reads the boot sector first: %s" % first)
    with open(os.path.join(scratch, "drive0.raw"), "r+b") as image:
        image.seek(first["sector"] * SECTOR + 17)
        image.write(b"\xa5")
    process.send_signal(signal.SIGCONT)
    said = process.communicate(timeout=200)[1]
    check(process.returncode == 1, "exit code %d of a rerun that differs" % process.returncode)
    check("sector %d is not what the journal has" % first["sector"] in said and "bit-exact" in said, said)


def check_stacks(recording, writers):
    """writers: functions that a host write comes through: inline, or on a worker that did the transfer by itself."""
    stacks = [s for r in lines("writes", "--json", recording.journal) for s in r["steps"]]
    check([s["kind"] for s in stacks[:2]] == ["submit", "host-write"], "steps with stacks")
    if "stack" not in stacks[0]:
        sys.exit("failed: no stacks")
    for step, functions in ((stacks[0], ("block_submit", "ide_submit", "machine_run", "cmd_record")), (stacks[1], writers)):
        names = [frame.split()[0] for frame in step["stack"]]
        for function in functions:
            check(function in names, "%s in the stack of a %s: %s" % (function, step["kind"], names))
        check(any(re.search(r" block/[a-z_]+\.c:\d+$", frame) for frame in step["stack"]), "lines: %s" % step)
    check("#0 " in run("writes", "-v", recording.journal, "0.0").stdout, "stacks in the tree")
    check_readers(recording)


def main():
    with tempfile.TemporaryDirectory() as directory:
        for guest in ("ide_pio", "dma_writer", "dma_writer64"):
            for options in ((), ("--timing=host",), ("--seed=3",)):
                recording = Recording(directory, guest, *options)
                everything, changes = check_writes(recording)
                check_readers(recording)
                check_filters(recording, changes)
                check_log(recording, everything)
                check_rerun(recording)
        check_symbols(recording, changes)
        check_rerun_qcow2(recording)
        for options in ("cluster_size=4k", "compat=v2,cluster_size=512", "lazy_refcounts=on,refcount_bits=8",
                        "extended_l2=on,compression_type=zstd"):
            for timing in ("model", "host"):
                check_qcow2(directory, options, timing)
        check_rerun_sees(directory)
        refused = subprocess.run([VMRR, "record", "--host-stacks", "-o", os.path.join(directory, "x.vmrr"), "-m", "16M",
                                  "-kernel", os.path.join(GUESTS, "protected32.elf"), "-serial", "none"],
                                 stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if "without libunwind" in refused.stderr:
            print("SKIP: host stacks: " + refused.stderr.strip())
            return
        check_stacks(Recording(directory, "ide_pio", "--host-stacks"), ("host_file_write", "raw_write"))
        check_stacks(Recording(directory, "ide_pio", "--host-stacks", "--timing=host"), ("worker_main",))
    print("ok")


if __name__ == "__main__":
    main()

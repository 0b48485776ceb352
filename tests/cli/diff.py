#!/usr/bin/env python3
"""vmrr diff: pairs of recordings of which it is known what differs.

Usage: diff.py VMRR GUESTS
"""
import json
import os
import subprocess
import sys
import tempfile

VMRR, GUESTS = sys.argv[1:3]
WORK = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(WORK.name, name)


def run(*arguments, expect=0):
    done = subprocess.run([VMRR, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, timeout=100)
    if done.returncode != expect:
        sys.exit("vmrr %s: exit code %d, expected %d\n%s%s" % (" ".join(arguments), done.returncode, expect,
                                                              done.stdout[-3000:], done.stderr[-2000:]))
    return done


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def record(name, *options, guest="dma_writer", expect=1):
    with open(path("disk.img"), "wb") as file:
        file.truncate(2 << 20)
    journal = path(name + ".vmrr")
    run("record", "-q", "-o", journal, "-serial", "none", "-m", "16M", "-rtc", "base=2026-01-01", "-kernel",
        os.path.join(GUESTS, guest + ".elf"), "-drive", "file=%s,format=raw,if=ide" % path("disk.img"), *options,
        expect=expect)
    return journal


def diff(a, b, *options, expect=3, text=False):
    """The JSON report, and the text if asked for."""
    report = json.loads(run("diff", "--json", *options, a, b, expect=expect).stdout)
    verdict = {0: "equal", 3: "different", 4: "not-compared"}[expect]
    check(report["verdict"] == verdict, "verdict %s, expected %s" % (report["verdict"], verdict))
    text = run("diff", *options, a, b, expect=expect).stdout if text else ""
    check(not text or text.splitlines()[-1] == verdict, "the text's verdict: " + text[-200:])
    return report, text


def dump(journal, *options):
    return [json.loads(line) for line in run("dump", "--json", *options, journal).stdout.splitlines()]


def point(report, name):
    found = [p for p in report["state"]["points"] if p["name"] == name]
    check(len(found) == 1, "one point named %s in %s" % (name, [p["name"] for p in report["state"]["points"]]))
    return found[0]


def empty(state):
    return state["register_count"] == state["device_field_count"] == state["memory_pages"] == 0


def first_difference(a, b):
    """Index, and the two events, among the first: as diff should find them, from dump alone."""
    def edge(journal):
        return [e for e in dump(journal, "--to=100000") if e["kind"] not in ("digest", "checkpoint")
                and not (e.get("input") == "block-fault" and e["value"] == "0x0")]

    def same(x, y):
        return x == y or (x["kind"] == y["kind"] == "end" and x["stop"] == y["stop"] and x["icount"] == y["icount"])

    first, second = edge(a), edge(b)
    for index, (x, y) in enumerate(zip(first, second)):
        if not same(x, y):
            return index, x, y
    return None


def check_equal(base):
    for a, b in ((base, base), (base, record("again"))):
        report, text = diff(a, b, expect=0, text=True)
        check(report["config"] == [] and report["reasons"] == [], "equal: " + text)
        check(report["events"]["with_positions"] is None and report["events"]["digests"]["first"] is None, "events")
        check(report["requests"][0]["same_set"] and report["requests"][0]["first"] is None, "requests")
        check(report["requests"][0]["a_count"] == len(dump(base, "--kind=block-request")) > 500, "count of requests")


def check_seed(base):
    """Other latencies: the guest does the same, at other instants."""
    other = record("seed", "--seed=7")
    report, text = diff(base, other, text=True)
    check([(r["name"], r["a"], r["b"], r["guest"]) for r in report["config"]] == [("seed", "0", "7", False)], "config")
    index, a, b = first_difference(base, other)
    found = report["events"]["with_positions"]
    check((found["index"], found["a"], found["b"]) == (index, a, b), "first difference: %s" % found)
    # It is the first completion's.
    done = [dump(j, "--kind=block-completion")[0] for j in (base, other)]
    check([found["a"]["icount"], found["b"]["icount"]] == [e["icount"] for e in done], "first completion")
    check(found["fields"] == ["icount", "vtime_ns"], "fields")
    check(found["a_before"] == found["b_before"] and len(found["a_before"]) == 6, "events before")
    check(found["a_after"][1]["kind"] == "block-completion", "events after")
    shifted = report["events"]["without_positions"]
    check(shifted["index"] > index and shifted["a"]["kind"] != shifted["b"]["kind"], "without positions")
    kinds = {k["kind"]: k for k in report["events"]["by_kind"]}
    for kind in ("block-request", "block-completion", "irq"):
        check(kinds[kind]["first"] is None and kinds[kind]["a_count"] == kinds[kind]["b_count"] >= 500, kind)
    check(kinds["pio-read"]["a_count"] != kinds["pio-read"]["b_count"], "polls")
    check(report["requests"][0]["same_set"] and report["requests"][0]["first"] is None, "requests")
    check(report["sectors"]["drives"][0]["differ"] == 0 < report["sectors"]["drives"][0]["compared"], "sectors")
    before = point(report, "before-first-difference")
    check(before["a"] == before["b"] and before["a"]["icount"] == min(a["icount"], b["icount"]) - 1, "point")
    check(before["register_count"] == before["memory_pages"] == 0, "state before")
    check({f["name"] for f in before["devices"]} == {"drive0.latency.generator", "drive0.slot[0].due_ns"},
          "the due time differs: %s" % before["devices"])
    check("seed" in text and "block-completion" in text, "text")


def check_flip(base):
    """The sector, the byte, the bit and the request."""
    other = record("flip", "-blkfault", "drive=0,op=write,nth=9,kind=flip:77:3", expect=5)
    report, text = diff(base, other, text=True)
    written = [r for r in dump(base, "--kind=block-request") if r["op"] == "write"][8]
    found = report["events"]["with_positions"]
    check(found["b"]["input"] == "block-fault" and found["agree_again_after"] == {"a": 0, "b": 1}, "the fault: %s" % found)
    drive = report["sectors"]["drives"][0]
    check(drive["differ"] == drive["ranges"] == 1, "one sector: %s" % drive)
    sector, = report["sectors"]["ranges"]
    check((sector["sector"], sector["sectors"], sector["first_byte"], sector["single_bit"]) ==
          (written["sector"] + 77 // 512, 1, 77, 3), "where: %s" % sector)
    check(int(sector["a"]["byte"], 16) ^ int(sector["b"]["byte"], 16) == 1 << 3, "bytes")
    for side in "ab":
        by = sector[side]["written_by"]
        check(by["id"] == "0.%d" % written["tag"] and by["sector"] == written["sector"], "request of " + side)
    check("fault" not in sector["a"]["written_by"] and int(sector["b"]["written_by"]["fault"], 16) == 5 | (77 * 8 + 3) << 8,
          "fault: %s" % sector["b"])
    check("fault flip:77:3" in text and "byte 77, bit 3" in text, "text: " + text)
    kinds = {k["kind"]: k["first"] for k in report["events"]["by_kind"]}
    check(kinds["pio-write"]["fields"] == ["icount", "vtime_ns", "value"] or kinds["pio-write"]["fields"] == ["value"],
          "what the guest says on its console differs: %s" % kinds["pio-write"])
    check("hash" in kinds["block-completion"]["fields"] and kinds["block-request"] is None, "by kind")
    first = report["requests"][0]["first"]
    check(first["what"] == "content" and first["fields"] == ["hash"] and first["a"]["op"] == "read" and
          first["a"]["sector"] == written["sector"], "the read that saw it: %s" % first)
    check(empty(point(report, "start")) and empty(point(report, "before-first-difference")), "the same until then")
    end = point(report, "end")
    check([r["name"] for r in end["registers"]] == ["rax"] and end["memory_pages"] >= 1, "the guest counted it: %s" % end)
    # A rule that never fires leaves the runs equal.
    quiet = record("quiet", "-blkfault", "drive=0,op=write,nth=999,kind=eio")
    report, _ = diff(base, quiet, expect=0)
    check([r["name"] for r in report["config"]] == ["drive 0 faults"], "config")


def check_append(base):
    other = record("append", "-append", "hello")
    report, _ = diff(base, other)
    check([(r["name"], r["b"], r["guest"]) for r in report["config"]] == [("append", "hello", True)], "append")
    check(report["events"]["with_positions"] is None, "no event tells")
    digest = report["events"]["digests"]["first"]
    check(digest["a"]["kind"] == "checkpoint" and digest["a"]["icount"] == 0, "the first digest does")
    start = point(report, "start")
    check(start["register_count"] == start["device_field_count"] == 0 and start["memory_pages"] == 1, "memory")
    # At the first byte that differs stands the text.
    check(b"hello" in bytes.fromhex(start["memory"][0]["b"]), "the text: %s" % start["memory"])
    report, _ = diff(base, other, "--no-replay")
    check(report["state"]["not_replayed"] == "--no-replay" and "sectors" not in report, "--no-replay")


def check_guests(base):
    """Another program: all differs, lists stay short, and what one of them never touched is said so."""
    other = record("pio", guest="ide_pio")
    report, text = diff(base, other, "--max=3", text=True)
    check([r["name"] for r in report["config"] if r["guest"]] == ["kernel"], "config: %s" % report["config"])
    check(report["requests"][0]["first"]["what"] in ("place", "content"), "requests")
    check(len(report["sectors"]["ranges"]) == 3 < report["sectors"]["drives"][0]["ranges"], "--max")
    end = point(report, "end")
    check(len(end["memory"]) == 3 < end["memory_ranges"] and len(text.splitlines()) < 250, "lists stay short")
    only = [r for r in report["sectors"]["ranges"] if r["a"]["known"] != r["b"]["known"]]
    for one in only:
        check(one["first_byte"] is None, "an unknown sector has no bytes: %s" % one)
    for one in report["sectors"]["ranges"]:
        for side, journal in (("a", base), ("b", other)):
            writes = [r for r in dump(journal, "--kind=block-request") if r["op"] == "write" and
                      r["sector"] <= one["sector"] < r["sector"] + r["sectors"]]
            by = one[side]["written_by"]
            check((by and by["id"]) == ("0.%d" % writes[-1]["tag"] if writes else None), "who wrote %s" % one)
    touched = {"a": set(), "b": set()}
    for side, journal in (("a", base), ("b", other)):
        for r in dump(journal, "--kind=block-request"):
            touched[side].update(range(r["sector"], r["sector"] + r["sectors"]))
    check(report["sectors"]["drives"][0]["compared"] == len(touched["a"] | touched["b"]), "compared: all that was touched")


def check_spinner():
    """Two seeds of a guest that counts while its disk works: the first completion is at another instant."""
    runs = [record("spin%d" % seed, "--seed=%d" % seed, guest="spinner") for seed in (1, 2)]
    report, _ = diff(*runs)
    found = report["events"]["with_positions"]
    check("io-status" in (found["a"].get("input"), found["b"].get("input")), "spinner: %s" % found)
    check(report["requests"][0]["same_set"] and report["requests"][0]["first"] is None, "requests")


def check_kvm(base):
    """The same guest recorded on KVM, where the host can: positions count something else, the disk does the same."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as why:
        print("no recording on KVM: /dev/kvm: %s" % why.strerror)
        return
    with open(path("disk.img"), "wb") as file:
        file.truncate(2 << 20)
    done = subprocess.run([VMRR, "record", "-q", "-accel", "kvm", "-o", path("kvm.vmrr"), "-serial", "none", "-m", "16M",
                           "-rtc", "base=2026-01-01", "-kernel", os.path.join(GUESTS, "dma_writer.elf"), "-drive",
                           "file=%s,format=raw,if=ide" % path("disk.img")], stdin=subprocess.DEVNULL, timeout=100,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 1:
        print("no recording on KVM: " + done.stderr.strip())
        return
    report, text = diff(base, path("kvm.vmrr"), text=True)
    events = report["events"]
    check(not events["comparable_positions"] and events["with_positions"] is None, "positions: %s" % events)
    check(events["digests"]["first"] is None and "reason" in events["digests"], "digests")
    kinds = {k["kind"]: k for k in events["by_kind"]}
    for kind in ("block-request", "block-completion", "irq"):
        check(kinds[kind]["first"] is None and kinds[kind]["a_count"] == kinds[kind]["b_count"] >= 500, kind)
    check(report["requests"][0]["same_set"] and report["requests"][0]["first"] is None, "requests")
    check(report["sectors"]["drives"][0]["differ"] == 0 < report["sectors"]["drives"][0]["compared"], "sectors")
    check("one counts instructions, the other exits" in text, "text")
    check(diff(path("kvm.vmrr"), path("kvm.vmrr"), expect=0)[0]["events"]["comparable_positions"], "KVM beside itself")


def check_bad(base):
    with open(base, "rb") as file:
        whole = file.read()
    with open(path("torn.vmrr"), "wb") as file:
        file.write(whole[:len(whole) * 19 // 20])
    report, _ = diff(base, path("torn.vmrr"), expect=4)
    check(len(report["reasons"]) == 1 and ": torn: " in report["reasons"][0], "torn: %s" % report["reasons"])
    check(report["events"]["with_positions"] is None and report["requests"][0]["first"] is None, "what is there is equal")
    check(0 < report["events"]["b_count"] < report["events"]["a_count"], "some is there")
    # A difference before the tear is one.
    report, _ = diff(path("seed.vmrr"), path("torn.vmrr"), expect=3)
    with open(path("corrupt.vmrr"), "wb") as file:
        at = len(whole) * 2 // 3
        file.write(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    for pair in ((base, path("corrupt.vmrr")), (path("corrupt.vmrr"), base)):
        done = run("diff", *pair, expect=4)
        check("corrupt.vmrr: " in done.stderr and not done.stdout, "corrupt: " + done.stderr)
        report = json.loads(run("diff", "--json", *pair, expect=4).stdout)
        check(report["verdict"] == "not-compared" and "corrupt.vmrr" in report["reasons"][0], "corrupt as JSON")
    for wrong in (path("none.vmrr"), path("disk.img")):
        check(os.path.basename(wrong) in run("diff", base, wrong, expect=4).stderr, wrong)
    for arguments in ((base,), (base, base, base), ("--max=0", base, base), ("--max=x", base, base), ("--what", base, base)):
        check(run("diff", *arguments, expect=2).stderr, "usage")


def main():
    base = record("base")
    for test in (check_equal, check_seed, check_flip, check_append, check_guests, check_bad):
        test(base)
    check_spinner()
    check_kvm(base)
    print("diff: equal, seeds, a bit, a command line, two guests, torn and corrupt ones")


main()

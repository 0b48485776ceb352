#!/usr/bin/env bash
# Where a file of a Linux guest lies, seen three ways: debugfs on the image afterwards, the requests that wrote it, and the log of
# all writes. The disk task of tests/linux/init, recorded once.  Usage: writes.sh [CONTROLLER=WHERE] KERNEL_NAME [options]
. "$(dirname "$0")/lib.sh"
case $1 in CONTROLLER=*) CONTROLLER=${1#CONTROLLER=} && shift ;; esac
name=$1
shift
new_disk "$work/disk.img"
cp --sparse=always "$work/disk.img" "$work/replayed.img"
linux_options "$name" disk "$work/disk.img"
record "$work/run.vmrr" "$work/record.txt" "${options[@]}" "$@"
said "$work/record.txt" "vmrr-init: disk task done"
debugfs=$(command -v debugfs || echo /sbin/debugfs)

# Every block of /file4 was written by a request of 64-bit kernel code, from memory, with the bytes that lie in the image.
block_size=$("$debugfs" -R stats "$work/disk.img" 2>/dev/null | sed -n 's/^Block size: *//p')
blocks=$("$debugfs" -R "blocks /file4" "$work/disk.img" 2>/dev/null)
set -- $blocks
[ $# -gt 10 ] || fail "debugfs says that /file4 has the blocks: $blocks"
sectors=$((block_size / 512))
for block in $1 ${!#}; do
    lba=$((block * sectors))
    "$VMRR" writes --json --lba=$lba+$sectors "$work/run.vmrr" >"$work/found.json"
    [ -s "$work/found.json" ] || fail "no write of block $block (LBA $lba)"
    python3 - "$work/found.json" "$lba" <<'END' || fail "the writes of block $block are not as they should be: $(cat "$work/found.json")"
import json, sys
writes = [json.loads(line) for line in open(sys.argv[1])]
lba = int(sys.argv[2])
for w in writes:
    assert w["sector"] <= lba < w["sector"] + w["sectors"] and w["completed"] and w["status"] == 0
    if w["op"] != "write":
        continue
    assert w["mode"] == "64-bit" and w["cpl"] == 0 and int(w["rip"], 16) >> 47 == 0x1FFFF and int(w["cr3"], 16)
    assert sum(s["size"] for s in w["segments"]) == w["sectors"] * 512
    assert [(s["kind"], s["offset"], s["size"]) for s in w["steps"]][0] == ("host-write", w["sector"] * 512, w["sectors"] * 512)
assert any(w["op"] == "write" for w in writes)
END
done
# The same by the place in the image; and a place behind its end.
"$VMRR" writes --json --file-offset=$((lba * 512)) "$work/run.vmrr" | grep '"op":"write"' >/dev/null || fail "--file-offset finds nothing"
[ -z "$("$VMRR" writes --json --lba=$((64 * 2048)) "$work/run.vmrr")" ] || fail "somebody wrote behind the end"

# The log of all writes, put onto what the disk was before, gives the disk. Each prefix that ends with a flush is a file system.
"$VMRR" blktrace -o "$work/log" "$work/run.vmrr" 2>"$work/blktrace.err" || { code=$?; cat "$work/blktrace.err"; fail "blktrace: exit $code"; }
python3 "$here/../support/replay_log.py" "$work/log" "$work/replayed.img" >"$work/entries" || fail "the log can't be replayed"
cmp "$work/disk.img" "$work/replayed.img" || fail "the log gives another disk"
python3 "$here/../support/replay_log.py" "$work/log" - --list >"$work/list"
flushes=$(awk '$4 ~ /FLUSH/ { print $1 + 1 }' "$work/list")
[ "$(wc -w <<<"$flushes")" -ge 8 ] || fail "the guest flushed $(wc -w <<<"$flushes") times only"
for entries in $(tail -n 3 <<<"$flushes"); do
    new_disk "$work/replayed.img"
    python3 "$here/../support/replay_log.py" "$work/log" "$work/replayed.img" --entries "$entries" >/dev/null
    code=0 # what the journal mends is no error
    /sbin/e2fsck -y "$work/replayed.img" >"$work/fsck.txt" 2>&1 || code=$?
    [ $code -le 1 ] || { cat "$work/fsck.txt"; fail "e2fsck after $entries entries: exit $code"; }
done

# Through the block layer once more.
replay "$work/run.vmrr" "$work/replay.txt" --block=rerun --scratch="$work/scratch"
grep -q "rerun: drive [0-9]*: .*, 0 not as in the journal; .* 0 calls failed" "$work/replay.err" || { cat "$work/replay.err"; fail "rerun"; }
cmp "$work/disk.img" "$work"/scratch/drive*.raw || fail "the rerun's image is another one"
"$VMRR" writes "$work/run.vmrr" | tail -n 3
"$VMRR" info "$work/run.vmrr" | grep -E '^  (events|steps|sectors|file|block-)'

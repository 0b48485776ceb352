#!/usr/bin/env bash
# A recording is killed in the middle of the guest's work on a file system; a branch goes on from where the journal ends, with the
# disk that the run began with, to the end of the work. Its own journal has both and replays.  Usage: branch.sh KERNEL_NAME
. "$(dirname "$0")/lib.sh"
new_disk "$work/start.img"
linux_options "$1" disk "$work/disk.img"
append " vmrr.copies=250"
# Killed some time after the first write has reached the image, since the journal may lack the last second; false: that was too
# late, or too early.
killed_in_the_middle() {
    local pid
    new_disk "$work/disk.img"
    "$VMRR" record -q -o "$work/run.vmrr" -serial "file:$work/record.txt" "${options[@]}" </dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ "$(stat -c %b "$work/disk.img")" = 0 ]; do sleep 0.02; done
    sleep "$1"
    kill -KILL $pid || return 1
    wait $pid || true
    ! grep "disk task done" "$work/record.txt" && "$VMRR" dump --kind=block "$work/run.vmrr" | grep "block-request .* write" >/dev/null
}
for seconds in 1.5 1.2 2 4 none; do
    [ $seconds != none ] || fail "the recording was not killed in the middle"
    killed_in_the_middle $seconds && break
done
branch() { # branch JOURNAL CONSOLE options...
    "$VMRR" replay "$work/run.vmrr" --then record -o "$1" -drive "file=$work/start.img,format=raw" -serial "file:$2" "${@:3}" \
        </dev/null 2>"$work/branch.err" || { cat "$work/branch.err" "$2"; fail "branch: exit $?"; }
    cat "$work/branch.err"
}
branch "$work/branch.vmrr" "$work/branch.txt"
grep -q "disk task done" "$work/branch.txt" || { tail -n 20 "$work/branch.txt"; fail "the branch does not do the rest"; }
clean_log "$work/branch.txt"
replay "$work/branch.vmrr" "$work/replay.txt"
cmp "$work/branch.txt" "$work/replay.txt" || fail "the replay's console differs"
[ "$(sha256sum <"$work/start.img")" = "$(head -c 64M /dev/zero | sha256sum)" ] || fail "the image was written to"
# What if no write had succeeded any more? (Of one Linux tries again, and says nothing.) The file system, or its maker, tells.
branch "$work/failed.vmrr" "$work/failed.txt" -blkfault drive=0,op=write,kind=eio
grep -qE "I/O error|EXT4-fs error|Input/output error" "$work/failed.txt" || { tail -n 30 "$work/failed.txt"; fail "nobody noticed"; }
code=0
"$VMRR" diff --no-replay "$work/branch.vmrr" "$work/failed.vmrr" >"$work/diff.txt" || code=$?
[ $code = 3 ] || fail "diff: exit $code"
# A drive with rules asks them at every request: the first that they are asked about needs not be a write.
grep -q "b> .*pull input block-fault value 0x[01]$" "$work/diff.txt" || { cat "$work/diff.txt"; fail "diff does not name the fault"; }
"$VMRR" dump --kind=input "$work/failed.vmrr" | grep "pull block-fault = 1$" >/dev/null || fail "no fault in the journal"

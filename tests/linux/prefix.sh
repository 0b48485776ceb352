#!/usr/bin/env bash
# A recording is killed in the middle: what is in the file replays to its end, and info says that it is torn. A journal cut
# anywhere does too.  Usage: prefix.sh KERNEL_NAME
. "$(dirname "$0")/lib.sh"
new_disk "$work/disk.img"
linux_options "$1" disk "$work/disk.img"
"$VMRR" record -q -o "$work/run.vmrr" -serial "file:$work/record.txt" "${options[@]}" </dev/null &
pid=$!
sleep 4
kill -KILL $pid
wait $pid || true
"$VMRR" info "$work/run.vmrr" >"$work/info.txt" || fail "info: exit $?"
grep -qi torn "$work/info.txt" || { cat "$work/info.txt"; fail "info does not say that the journal is torn"; }
replay "$work/run.vmrr" "$work/replay.txt"
cat "$work/replay.err"
clean_log "$work/record.txt"
clean_log "$work/replay.txt"

size=$(stat -c %s "$work/run.vmrr")
for part in 99 90; do
    head -c $((size * part / 100)) "$work/run.vmrr" >"$work/cut.vmrr"
    code=0
    "$VMRR" replay -q -serial none "$work/cut.vmrr" 2>"$work/cut.err" || code=$?
    cat "$work/cut.err"
    # A cut inside firmware, kernel or initrd leaves nothing to start: that is said, with exit code 2.
    [ $code = 0 ] || [ $code = 2 ] || fail "replay of $part % of the journal: exit $code"
done

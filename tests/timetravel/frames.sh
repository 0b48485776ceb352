#!/usr/bin/env bash
# Checkpoints in the journal itself. A bare-metal guest, recorded with and without, with both timings: the same run; a cold start by
# them is anywhere that a straight replay is (walk.c); damaged ones are not used (frames.c); info, dump and verify know them; readers
# that follow FORMAT.md read them.
# Usage: frames.sh WALK FRAMES NAME GOTOS
. "$(dirname "$0")/../guests/lib.sh"
walk=$1 frames=$2 gotos=$4
reader=$(dirname "$0")/../replay/journal_reader.py
for timing in model host; do
    guest "$3"
    record "$work/plain.vmrr" "$work/plain.txt" 1 "${options[@]}" --timing=$timing
    plain=$(ending)
    guest "$3"
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" --timing=$timing --checkpoint-frames=131072
    said "$work/run.txt" "$verdict"
    if [ $timing = model ]; then
        [ "$(ending)" = "$plain" ] || fail "with checkpoints $(ending), without $plain"
        events "$work/plain.vmrr" | grep -v " checkpoint state " >"$work/plain.events"
        events "$work/run.vmrr" | grep -v " checkpoint state " >"$work/run.events"
        same "$work/plain.events" "$work/run.events"
    fi
    replay "$work/run.vmrr" "$work/again.txt"
    attempt 0 "$VMRR" verify "$work/run.vmrr"
    attempt 0 "$VMRR" info "$work/run.vmrr"
    said "$work/out" "^  begins at +[0-9]+ checkpoints, from "
    attempt 0 "$VMRR" dump --checkpoints --json "$work/run.vmrr"
    python3 "$reader" --checkpoints "$work/run.vmrr" >"$work/read.txt" || fail "the reader by FORMAT.md"
    same "$work/out" "$work/read.txt"
    [ -s "$work/read.txt" ] || fail "no checkpoints"
    at=$(($("$VMRR" dump --checkpoints "$work/run.vmrr" | awk 'END { print $1 }') + 100))
    printf 'goto %s\ninfo timeline\nquit\n' $at >"$work/cmd"
    "$VMRR" replay -q -S -serial none -monitor stdio "$work/run.vmrr" <"$work/cmd" >"$work/out" 2>"$work/err" || [ $? = 1 ]
    said "$work/out" "icount $at, "
    said "$work/out" "; set back 1 times, 1 of them by the journal's"
    not_said "$work/out" "not used"
    for memory in 64 1; do
        attempt 0 "$walk" "$work/run.vmrr" 1 "$gotos" $memory
        said "$work/out" " times set back, [1-9][0-9]* of them by the journal"
        echo "$3, --timing=$timing, $memory MiB: $(tail -n 2 "$work/out" | head -n 1)"
    done
    attempt 0 "$frames" "$work/run.vmrr" 1 20
    echo "$3, --timing=$timing: $(tail -n 1 "$work/out")"
done

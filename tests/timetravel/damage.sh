#!/usr/bin/env bash
# Damaged snapshots of a bare-metal guest, recorded with both timings (damage.c). Usage: damage.sh DAMAGE NAME ROUNDS
. "$(dirname "$0")/../guests/lib.sh"
for timing in model host; do
    guest "$2"
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" --timing=$timing
    attempt 0 "$1" "$work/run.vmrr" 1 "$3"
    echo "$2, --timing=$timing: $(tail -n 1 "$work/out")"
done

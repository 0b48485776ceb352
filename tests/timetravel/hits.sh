#!/usr/bin/env bash
# A bare-metal guest, recorded with both timings: points hit backwards where they hit forwards (hits.c).
# Usage: hits.sh HITS NAME ROUNDS
. "$(dirname "$0")/../guests/lib.sh"
for timing in model host; do
    guest "$2"
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" --timing=$timing
    for seed in 1 2; do
        attempt 0 "$1" "$work/run.vmrr" $seed "$3"
        echo "$2, --timing=$timing, seed $seed: $(tail -n 1 "$work/out")"
    done
done

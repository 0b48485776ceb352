#!/usr/bin/env bash
# A bare-metal guest, recorded with model and with host timing, and walked about in: walk.c. Usage: walk.sh WALK NAME GOTOS
. "$(dirname "$0")/../guests/lib.sh"
walk=$1 gotos=$3
for timing in model host; do
    guest "$2"
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" --timing=$timing
    said "$work/run.txt" "$verdict"
    for memory in 64 1; do # MiB: of 1 most checkpoints have to go again
        attempt 0 "$walk" "$work/run.vmrr" 1 "$gotos" $memory
        echo "$2, --timing=$timing, $memory MiB: $(tail -n 1 "$work/out")"
    done
done

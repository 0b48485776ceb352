#!/usr/bin/env bash
# A bare-metal guest, recorded with model and with host timing, and left at random places: divert.c. Usage: divert.sh DIVERT NAME COUNT
. "$(dirname "$0")/../guests/lib.sh"
divert=$1 count=$3
for timing in model host; do
    guest "$2"
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" --timing=$timing
    said "$work/run.txt" "$verdict"
    attempt 0 "$divert" "$work/run.vmrr" 7 "$count"
    echo "$2, --timing=$timing: $(tail -n 1 "$work/out")"
done

#!/usr/bin/env bash
# A run whose positions are exits, recorded by the interpreter (record_exits.c) or, with `kvm`, by KVM, and walked about in (walk.c).
# Usage: exits.sh WALK RECORD NAME GOTOS [kvm]
. "$(dirname "$0")/../guests/lib.sh"
walk=$1 recorder=$2 gotos=$4
if [ "${5:-}" = kvm ]; then
    . "$(dirname "$0")/../kvm/lib.sh"
    guest_needs "$3"
    guest "$3"
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" -accel kvm
    ways=("")
else
    ways=("" --checkpoint-frames=65536)
fi
for way in "${ways[@]}"; do
    if [ "${5:-}" != kvm ]; then
        guest "$3"
        attempt 1 "$recorder" -o "$work/run.vmrr" -serial "file:$work/run.txt" "${options[@]}" $way
    fi
    said "$work/run.txt" "$verdict"
    for memory in 64 1; do
        [ -z "$way" ] || [ $memory = 64 ] || continue
        attempt 0 "$walk" "$work/run.vmrr" 1 "$gotos" $memory
        [ -z "$way" ] || [ -z "$("$VMRR" dump --checkpoints "$work/run.vmrr")" ] || said "$work/out" " times set back, [1-9][0-9]* of them by the journal"
        echo "$3, $memory MiB $way: $(tail -n 2 "$work/out" | head -n 1)"
    done
done

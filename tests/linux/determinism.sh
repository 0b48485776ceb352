#!/usr/bin/env bash
# The same start gives the same event stream; another seed another one, which replays too.
# Usage: determinism.sh KERNEL_NAME TASK SEEDS
. "$(dirname "$0")/lib.sh"
linux_options "$1" "$2" "$work/disk.img"
for take in 1 2; do
    new_disk "$work/disk.img"
    record "$work/take$take.vmrr" "$work/take$take.txt" "${options[@]}"
    events "$work/take$take.vmrr" >"$work/take$take.events"
done
clean_log "$work/take1.txt"
cmp "$work/take1.events" "$work/take2.events" || fail "two recordings of the same start differ"
for ((seed = 1; seed <= $3; seed++)); do
    new_disk "$work/disk.img"
    record "$work/seed.vmrr" "$work/seed.txt" "${options[@]}" --seed="$seed"
    replay "$work/seed.vmrr" "$work/replay.txt"
    same_console "$work/seed.txt" "$work/replay.txt"
    events "$work/seed.vmrr" >"$work/seed.events"
    ! cmp -s "$work/take1.events" "$work/seed.events" || fail "seed $seed changes nothing"
done
echo "same start, same events; $3 seeds replayed"

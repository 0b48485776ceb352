#!/usr/bin/env bash
# 10,000 asynchronous interrupts recorded on KVM and replayed by the interpreter and on KVM, ROUNDS times, each bit-exactly.
# Usage: many.sh ROUNDS
. "$(dirname "$0")/lib.sh"
exact=0
for ((round = 1; round <= $1; round++)); do
    guest dma_many
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" -accel kvm --checkpoint-every=64
    said "$work/run.txt" "$verdict"
    first=$(ending)
    [ -n "$first" ] || fail "no ending"
    between=$(sed -nE 's/^kvm: .* ([0-9]+) landmarks.*/\1/p' "$work/err")
    for way in interp kvm; do
        attempt 0 "$VMRR" replay -accel $way -serial "file:$work/replay.txt" "$work/run.vmrr"
        said "$work/err" "^replay: bit-exact$"
        [ "$(ending)" = "$first" ] || fail "round $round: the replay on $way ends with $(ending), the recording with $first"
        same "$work/run.txt" "$work/replay.txt"
        [ $way = interp ] || passed=$(sed -nE 's/^kvm: ([0-9]+) landmarks were passed first/\1/p' "$work/err")
    done
    exact=$((exact + 1))
    echo "round $round: $between of 10000 interrupts between two exits; $exact of $round bit-exact; gone back ${passed:-0} times"
done

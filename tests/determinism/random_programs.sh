#!/usr/bin/env bash
# Whole guests of random instructions (tests/support/random_program.h): run, recorded and replayed; stopped on the way, all
# three have the same state. With OTHER (another vmrr: soft-float, arm64) each replays what the other recorded.
# Usage: random_programs.sh RANDOM_GUEST FROM COUNT [OTHER]
. "$(dirname "$0")/../guests/lib.sh"
make=$1 other=${4:-}
instructions() { ending | sed -E 's/.* ([0-9,]+) [0-9a-f]+$/\1/; s/,//g'; }
state() { sed -E '/^replay: |^journal: |^guest: /d' "$work/err"; }

total=0
for ((seed = $2; seed < $2 + $3; seed++)); do
    for bits in 16 32 64; do
        name="seed $seed, $bits bits"
        "$make" $seed $bits "$work/guest.bin"
        options=(-m 4M -cpu max -rtc base=2026-01-01T10:20:30 -kernel "$work/guest.bin")
        attempt 1 "$VMRR" run -serial none "${options[@]}"
        last=$(ending)
        end=$(instructions)
        record "$work/run.vmrr" "$work/console" 1 "${options[@]}"
        [ "$(ending)" = "$last" ] || fail "$name: the recording ends with $(ending), run with $last"
        replay "$work/run.vmrr" "$work/console"
        [ "$(ending)" = "$last" ] || fail "$name: the replay ends with $(ending), the recording with $last"
        for position in $((end / 7 + seed)) $((end / 2 + seed)); do
            attempt 0 "$VMRR" run -serial none "${options[@]}" --until=$position --dump-state
            state >"$work/run.state"
            attempt 0 "$VMRR" replay -serial none "$work/run.vmrr" --until=$position --dump-state
            state | diff "$work/run.state" - || fail "$name: at $position the states of run and replay differ"
            [ "$(instructions)" = $position ] || fail "$name: the replay stops at $(instructions), not at $position"
        done
        if [ -n "$other" ]; then
            VMRR=$other replay "$work/run.vmrr" "$work/console"
            [ "$(ending)" = "$last" ] || fail "$name: the other replay ends with $(ending), the recording with $last"
            VMRR=$other record "$work/other.vmrr" "$work/console" 1 "${options[@]}"
            last=$(ending)
            replay "$work/other.vmrr" "$work/console"
            [ "$(ending)" = "$last" ] || fail "$name: our replay ends with $(ending), the other's recording with $last"
        fi
        total=$((total + end))
    done
done
echo "$(($3 * 3)) programs, $total instructions"

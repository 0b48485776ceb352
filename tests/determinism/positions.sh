#!/usr/bin/env bash
# A position is an exact instant: run, record and replay stopped at it have the same state, to the last register and device
# field, wherever it falls: also in the middle of a REP instruction or while the CPU is halted. Usage: positions.sh NAME
. "$(dirname "$0")/../guests/lib.sh"
guest "$1"
record "$work/whole.vmrr" "$work/whole.txt" 1 "${options[@]}"
end=$(ending | sed -E 's/.* ([0-9,]+) [0-9a-f]+$/\1/; s/,//g')
[ -n "$end" ] || fail "no length"
for position in 1 2 777 65536 $((end / 5)) $((end / 3 + 1)) $((end / 2 + 17)) $((end - 1000)) $((end - 1)); do
    [ "$position" -gt 0 ] && [ "$position" -lt "$end" ] || continue
    states=()
    for way in run record replay-whole replay-part; do
        guest "$1"
        case $way in
        run) command=(run -serial none "${options[@]}") ;;
        record) command=(record -o "$work/part.vmrr" -serial none "${options[@]}") ;;
        replay-whole) command=(replay -serial none "$work/whole.vmrr") ;;
        replay-part) command=(replay -serial none "$work/part.vmrr") ;;
        esac
        [ $way = replay-part ] || command+=(--until=$position)
        attempt 0 "$VMRR" "${command[@]}" --dump-state
        [ "$(ending | sed -E 's/.* ([0-9,]+) [0-9a-f]+$/\1/; s/,//g')" = "$position" ] || fail "$way stops at $(ending), not at $position"
        sed -E '/^replay: |^journal: |^guest: /d' "$work/err" >"$work/$way.state"
        states+=("$(ending | sed 's/.* //')")
    done
    [ "$(wc -l <"$work/run.state")" -gt 50 ] || fail "--dump-state says next to nothing"
    for way in record replay-whole replay-part; do
        diff "$work/run.state" "$work/$way.state" || fail "at $position the states of run and $way differ"
    done
    [ "$(printf '%s\n' "${states[@]}" | sort -u | wc -l)" = 1 ] || fail "digests at $position: ${states[*]}"
done
echo "$1: same states at every position"

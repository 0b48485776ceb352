#!/usr/bin/env bash
# --timing=host: completions come when the host is through, random numbers from the host. Every recording is another run, and
# each replays. Usage: host_timing.sh NAME TIMES
. "$(dirname "$0")/../guests/lib.sh"
different=0
for ((take = 1; take <= $2; take++)); do
    guest "$1"
    record "$work/take.vmrr" "$work/take.txt" 1 "${options[@]}" --timing=host
    last=$(ending)
    said "$work/take.txt" "$verdict"
    for again in 1 2; do
        replay "$work/take.vmrr" "$work/replay.txt"
        [ "$(ending)" = "$last" ] || fail "the replay ends with $(ending), the recording with $last"
        same "$work/take.txt" "$work/replay.txt"
    done
    events "$work/take.vmrr" >"$work/events"
    [ $take = 1 ] || cmp -s "$work/events" "$work/events.before" || different=$((different + 1))
    mv "$work/events" "$work/events.before"
done
[ $different -gt 0 ] || fail "$2 recordings by host timing, all the same: the host's timing does not arrive"
echo "$1: $2 recordings by host timing replayed twice each, $different unlike the one before"

#!/usr/bin/env bash
# One guest: the same start recorded twice gives the same events, run gives the same end, two replays of a recording are
# bit-exact; the original disk is not touched by a replay; other seeds record and replay too. Usage: guest.sh NAME SEEDS
. "$(dirname "$0")/../guests/lib.sh"
guest "$1"
attempt 1 "$VMRR" run -serial "file:$work/run.txt" "${options[@]}"
first=$(ending)
for take in 1 2; do
    guest "$1"
    record "$work/take$take.vmrr" "$work/take$take.txt" 1 "${options[@]}"
    [ "$(ending)" = "$first" ] || fail "recording $take ends with $(ending), run with $first"
    same "$work/run.txt" "$work/take$take.txt"
    events "$work/take$take.vmrr" >"$work/take$take.events"
done
said "$work/take1.txt" "$verdict"
same "$work/take1.events" "$work/take2.events"

disk=$work/$1.img
[ ! -f "$disk" ] || cp --preserve "$disk" "$work/disk.before"
for take in 1 2; do
    # Nothing of the recording's surroundings is needed.
    [ ! -f "$disk" ] || [ $take = 1 ] || mv "$disk" "$disk.away"
    replay "$work/take1.vmrr" "$work/replay.txt"
    [ "$(ending)" = "$first" ] || fail "replay $take ends with $(ending), the recording with $first"
    same "$work/take1.txt" "$work/replay.txt"
done
if [ -f "$disk.away" ]; then
    same "$disk.away" "$work/disk.before"
    [ "$(stat -c %Y.%i.%s "$disk.away")" = "$(stat -c %Y "$work/disk.before").$(stat -c %i.%s "$disk.away")" ] ||
        fail "a replay changed the disk's times"
fi
attempt 0 "$VMRR" verify "$work/take1.vmrr"

different=0
for ((seed = 1; seed <= $2; seed++)); do
    guest "$1"
    record "$work/seed.vmrr" "$work/seed.txt" 1 "${options[@]}" --seed=$seed
    last=$(ending)
    said "$work/seed.txt" "$verdict"
    replay "$work/seed.vmrr" "$work/replay.txt"
    [ "$(ending)" = "$last" ] || fail "seed $seed: the replay ends with $(ending), the recording with $last"
    same "$work/seed.txt" "$work/replay.txt"
    events "$work/seed.vmrr" >"$work/seed.events"
    cmp -s "$work/take1.events" "$work/seed.events" || different=$((different + 1))
done
# What a seed changes: latencies of disk requests, RDRAND.
case $1 in
dma_writer* | spinner | ide_pio | monitor | self_modifying* | inputs | boot_disk)
    [ "$2" = 0 ] || [ $different = "$2" ] || fail "$(($2 - different)) of $2 seeds change nothing"
    ;;
esac
echo "$1: $first; $(wc -l <"$work/take1.events") events; $2 seeds replayed, $different of them other streams"

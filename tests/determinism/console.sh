#!/usr/bin/env bash
# What is typed is recorded, at the instruction where it arrived, and typed again by a replay.
. "$(dirname "$0")/../guests/lib.sh"
guest echo
typed=('one\n' 'tw' 'o\nand a longer line that does not fit the FIFO of sixteen bytes\n' 'quit\n')
type_text() {
    local part
    for part in "${typed[@]}"; do
        sleep 0.3
        printf "$part"
    done
}
count=$(printf "$(printf %s "${typed[@]}")" | wc -c)
for timing in model host; do
    code=0
    type_text | timeout 60 "$VMRR" record -o "$work/run.vmrr" -serial stdio "${options[@]}" --timing=$timing \
        >"$work/record.txt" 2>"$work/err" || code=$?
    [ $code = 1 ] || { cat "$work/err"; fail "recorder: exit $code"; }
    last=$(ending)
    for text in "^one, at" "^two, at" "^and a longer line that does not fit the FIFO of sixteen bytes, at" "$verdict"; do
        said "$work/record.txt" "$text"
    done
    found=$("$VMRR" dump --json --kind=input "$work/run.vmrr" | grep -c '"input":"serial"')
    [ "$found" = "$count" ] || fail "$found of $count typed bytes in the journal"
    for again in 1 2; do
        replay "$work/run.vmrr" "$work/replay.txt"
        [ "$(ending)" = "$last" ] || fail "the replay ends with $(ending), the recording with $last"
        same "$work/record.txt" "$work/replay.txt"
    done
done

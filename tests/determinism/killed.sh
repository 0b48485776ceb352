#!/usr/bin/env bash
# A recorder is killed at some moment: what it wrote replays and is called torn. Usage: killed.sh TIMES
. "$(dirname "$0")/../guests/lib.sh"
for ((take = 1; take <= $1; take++)); do
    for timing in model host; do
        guest endless
        start_recording "$work/run.vmrr" "$work/record.txt" "${options[@]}" --timing=$timing
        sleep $((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))
        # Now and then late: what the guest had said three seconds before its end must then be in the journal (at most the
        # last second is lost; the rest is for a busy host).
        said_before=0
        if [ $take = 1 ]; then
            said_before=$(stat -c %s "$work/record.txt")
            sleep 3
        fi
        end_recording KILL
        [ $code = 137 ] || fail "the recorder ended by itself: exit $code"
        code=0
        "$VMRR" replay -serial "file:$work/replay.txt" "$work/run.vmrr" >"$work/out" 2>"$work/err" </dev/null || code=$?
        if [ $code = 2 ] && [ $said_before = 0 ] && [ ! -s "$work/replay.txt" ]; then
            said "$work/err" "^vmrr: .*torn|^vmrr: .*not complete" # killed before a frame was out
            echo "$timing: nothing to replay"
            continue
        fi
        [ $code = 0 ] || { cat "$work/err"; fail "replay: exit $code"; }
        said "$work/err" "^replay: bit-exact$"
        said "$work/err" "torn"
        # The console of the replay is the beginning of what the recording said.
        head -c "$(stat -c %s "$work/replay.txt")" "$work/record.txt" | cmp - "$work/replay.txt" ||
            fail "the replay says something else"
        [ "$(stat -c %s "$work/replay.txt")" -ge "$said_before" ] ||
            fail "more than three seconds are lost: $(stat -c %s "$work/replay.txt") of $said_before bytes"
        echo "$timing: $(ending)"
        attempt 0 "$VMRR" info "$work/run.vmrr"
        said "$work/out" "journal +torn"
    done
done

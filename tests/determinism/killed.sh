#!/usr/bin/env bash
# A recorder is killed at some moment: what it wrote replays and is called torn. Usage: killed.sh TIMES
. "$(dirname "$0")/../guests/lib.sh"
for ((take = 1; take <= $1; take++)); do
    for timing in model host; do
        guest endless
        start_recording "$work/run.vmrr" "$work/record.txt" "${options[@]}" --timing=$timing
        sleep $((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))
        end_recording KILL
        [ $code = 137 ] || fail "the recorder ended by itself: exit $code"
        code=0
        "$VMRR" replay -serial "file:$work/replay.txt" "$work/run.vmrr" >"$work/out" 2>"$work/err" </dev/null || code=$?
        if [ $code = 2 ] && [ ! -s "$work/replay.txt" ]; then
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
        echo "$timing: $(ending)"
        attempt 0 "$VMRR" info "$work/run.vmrr"
        said "$work/out" "journal +torn"
    done
done

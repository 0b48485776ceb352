#!/usr/bin/env bash
# A journal is replayed while it is being recorded: the replay waits at its end, goes on, and ends with the recording.
. "$(dirname "$0")/../guests/lib.sh"
guest endless
start_recording "$work/run.vmrr" "$work/record.txt" "${options[@]}"
timeout 120 "$VMRR" replay --follow -serial "file:$work/replay.txt" "$work/run.vmrr" </dev/null >"$work/out" 2>"$work/err" &
follower=$!
jobs_started+=($follower)
sleep 3
kill -0 $follower || { cat "$work/err"; fail "the replay ended before the recording"; }
end_recording INT
[ $code = 0 ] || { cat "$work/record.err"; fail "recorder: exit $code"; }
code=0
wait $follower || code=$?
cat "$work/err"
[ $code = 0 ] || fail "replay --follow: exit $code"
said "$work/err" "^replay: bit-exact$"
not_said "$work/err" "torn"
same "$work/record.txt" "$work/replay.txt"

# The recorder dies: the follower ends there, and says so.
guest endless
start_recording "$work/run.vmrr" "$work/record.txt" "${options[@]}"
timeout 120 "$VMRR" replay --follow -serial "file:$work/replay.txt" "$work/run.vmrr" </dev/null >"$work/out" 2>"$work/err" &
follower=$!
jobs_started+=($follower)
sleep 2
end_recording KILL
code=0
wait $follower || code=$?
cat "$work/err"
[ $code = 0 ] || fail "replay --follow of a dead recorder's journal: exit $code"
said "$work/err" "torn"

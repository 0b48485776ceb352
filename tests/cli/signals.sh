#!/usr/bin/env bash
# A recording that is ended from outside has a whole journal, which replays bit-exactly; exit code 0. -S waits for SIGCONT. A
# replay that is interrupted says so.
. "$(dirname "$0")/../guests/lib.sh"
for signal in INT TERM HUP; do
    guest endless
    start_recording "$work/run.vmrr" "$work/record.txt" "${options[@]}"
    end_recording $signal
    [ $code = 0 ] || { cat "$work/record.err"; fail "SIG$signal: exit code $code"; }
    said "$work/record.err" "^guest: interrupt after"
    attempt 0 "$VMRR" verify "$work/run.vmrr"
    replay "$work/run.vmrr" "$work/replay.txt"
    [ "$(ending)" = "$(sed -nE 's/^guest: (.*) after ([0-9,]+) instr.* digest ([0-9a-f]+)$/\1 \2 \3/p' "$work/record.err")" ] ||
        fail "SIG$signal: the replay ends otherwise"
    same "$work/record.txt" "$work/replay.txt"
    attempt 0 "$VMRR" info "$work/run.vmrr"
    said "$work/out" "journal +whole"
    said "$work/out" "ended +interrupt"
done

# A guest that is halted for good, waiting for its console.
guest echo
mkfifo "$work/typing"
exec 3<>"$work/typing"
"$VMRR" record -o "$work/run.vmrr" -serial stdio "${options[@]}" <"$work/typing" >"$work/record.txt" 2>"$work/record.err" &
recorder=$!
jobs_started+=($recorder)
echo hello >&3
for ((n = 0; n < 100; n++)); do
    ! grep -q "^hello" "$work/record.txt" || break
    sleep 0.1
done
sleep 0.5
end_recording INT
[ $code = 0 ] || { cat "$work/record.err"; fail "halted: exit code $code"; }
replay "$work/run.vmrr" "$work/replay.txt"
same "$work/record.txt" "$work/replay.txt"

# A replay is interrupted: not a divergence, but not a success either.
guest endless
start_recording "$work/run.vmrr" "$work/record.txt" "${options[@]}"
sleep 2.5
end_recording INT
"$VMRR" replay -serial none "$work/run.vmrr" 2>"$work/err" &
replayer=$!
jobs_started+=($replayer)
sleep 0.6
kill -INT $replayer
code=0
wait $replayer || code=$?
if ! grep -q "^replay: bit-exact$" "$work/err"; then # it may have been through already
    [ $code = 1 ] || { cat "$work/err"; fail "interrupted replay: exit code $code"; }
    said "$work/err" "^replay: interrupted"
fi

# -S
guest protected32
"$VMRR" run -S "${options[@]}" >"$work/out" 2>"$work/err" </dev/null &
stopped=$!
jobs_started+=($stopped)
for ((n = 0; n < 100; n++)); do
    [ "$(sed 's/.*) //; s/ .*//' /proc/$stopped/stat)" != T ] || break
    sleep 0.1
done
[ "$(sed 's/.*) //; s/ .*//' /proc/$stopped/stat)" = T ] || fail "-S does not stop"
[ ! -s "$work/out" ] || fail "-S: the guest ran"
kill -CONT $stopped
code=0
wait $stopped || code=$?
[ $code = 1 ] || fail "-S: exit code $code"
said "$work/out" "$verdict"
echo "ended by signals, all replayed"

#!/usr/bin/env bash
# A recording with checkpoints that is killed: those in what is left are used. Usage: killed.sh WALK
. "$(dirname "$0")/../guests/lib.sh"
guest endless
start_recording "$work/run.vmrr" "$work/run.txt" "${options[@]}" --checkpoint-frames=1000000
for ((n = 0; n < 300; n++)); do
    [ "$("$VMRR" dump --checkpoints "$work/run.vmrr" 2>/dev/null | wc -l)" -lt 5 ] || break
    sleep 0.1
done
end_recording KILL
attempt 0 "$VMRR" info "$work/run.vmrr"
said "$work/out" "^  journal +torn: "
said "$work/out" "^  begins at +[0-9]+ checkpoints, from "
attempt 0 "$1" "$work/run.vmrr" 1 20 256
said "$work/out" " times set back, [1-9][0-9]* of them by the journal"
tail -n 2 "$work/out"

#!/usr/bin/env bash
# Prefixes of two journals: a guest that uses its disk, and one with many frames. Usage: prefixes.sh CUTS
. "$(dirname "$0")/../guests/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
guest ide_pio
record "$work/whole.vmrr" "$work/whole.txt" 1 "${options[@]}"
python3 "$here/cuts.py" "$VMRR" "$work/whole.vmrr" "$1"

# A guest that waits for someone to type: a frame a second, few instructions.
guest echo
code=0
{ sleep 0.3; for line in 1 2 3 4 quit; do echo $line; sleep 1.1; done; } |
    timeout 60 "$VMRR" record -q -o "$work/typed.vmrr" -serial stdio "${options[@]}" >"$work/typed.txt" || code=$?
[ $code = 1 ] || fail "recorder: exit $code"
python3 "$here/cuts.py" "$VMRR" "$work/typed.vmrr" "$1"

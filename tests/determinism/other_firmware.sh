#!/usr/bin/env bash
# A program with another DSDT built in says so at the start of a replay, and what it is not. The other program is a copy of
# this one with the OEM revision of the table changed.
. "$(dirname "$0")/../guests/lib.sh"
guest protected32
record "$work/run.vmrr" "$work/record.txt" 1 "${options[@]}"
python3 - "$VMRR" "$work/other" <<'PYTHON'
import sys
program = bytearray(open(sys.argv[1], "rb").read())
at, changed = program.find(b"DSDT"), 0
while at >= 0:
    if program[at + 10 : at + 14] == b"VMRR":
        program[at + 24] ^= 1
        changed += 1
    at = program.find(b"DSDT", at + 1)
open(sys.argv[2], "wb").write(program)
sys.exit(0 if changed else "no DSDT in the program")
PYTHON
chmod +x "$work/other"
code=0
"$work/other" replay -serial none "$work/run.vmrr" >"$work/out" 2>"$work/err" || code=$?
[ $code = 3 ] || fail "exit code $code, expected 3"
grep -q "divergence at instruction 0: .*the machine was built otherwise by vmrr" "$work/err" ||
    { head -n 5 "$work/err"; fail "the report does not say that the programs differ"; }
VMRR=$VMRR replay "$work/run.vmrr" "$work/replay.txt"
same "$work/record.txt" "$work/replay.txt"

#!/usr/bin/env bash
# Help, version, and that the output is fit for a pipe.
. "$(dirname "$0")/../guests/lib.sh"
attempt 0 "$VMRR" --version
said "$work/out" "^vmrr [0-9]+\.[0-9]+\.[0-9]+ \((gcc|clang) .*zstd .*xxhash .*capstone .*\)$"
attempt 0 "$VMRR" --help
for command in run record replay info dump verify writes blktrace diff fuzz image debug; do
    said "$work/out" "^  $command +"
done
for command in run record replay info dump verify writes blktrace diff fuzz image debug; do
    "$VMRR" $command --help >"$work/help" 2>"$work/err" || fail "$command --help: exit $?"
    said "$work/help" "^usage: vmrr $command"
    [ ! -s "$work/err" ] || fail "$command --help writes to standard error"
    ! grep -nE '.{121}' "$work/help" || fail "$command --help: lines too wide"
    attempt 0 "$VMRR" help $command
    same "$work/out" "$work/help"
done
# Each long option of the help is taken, or at least known.
for command in run record replay; do
    for option in $("$VMRR" $command --help | grep -oE '^  --?[A-Za-z][a-z-]*' | tr -d ' '); do
        # Twice nonsense behind it: one for its value, one to end with.
        attempt 2 "$VMRR" $command "$option" --frobnicate --frobnicate
        ! grep -q "unknown option $option" "$work/err" || fail "$command --help tells of $option, which is unknown"
    done
done

# On a pipe: no progress, no carriage returns, no escapes; -q says nothing at all.
guest spinner
attempt 1 "$VMRR" record -o "$work/run.vmrr" "${options[@]}"
! grep -q $'[\r\033]' "$work/out" "$work/err" || fail "control characters on a pipe"
[ "$(wc -l <"$work/err")" -le 4 ] || { cat "$work/err"; fail "progress on a pipe"; }
guest spinner
attempt 1 "$VMRR" record -q -o "$work/run.vmrr" "${options[@]}"
[ ! -s "$work/err" ] || fail "-q says: $(cat "$work/err")"
# A reader that goes away ends dump quietly.
{ "$VMRR" dump "$work/run.vmrr" 2>"$work/err" || [ $? = 141 ]; } | head -n 1 >"$work/line"
[ ! -s "$work/err" ] || fail "dump complains: $(cat "$work/err")"
[ -s "$work/line" ] || fail "no line"
echo "help, version, pipes"

#!/usr/bin/env bash
# One guest, unrecorded: its verdict and exit code. Usage: run.sh NAME
. "$(dirname "$0")/lib.sh"
guest "$1"
case $1 in
echo)
    code=0
    # Typed with pauses, as by a person: the guest halts in between.
    { sleep 0.3; echo "first line"; sleep 0.3; echo "second"; echo "quit"; } |
        timeout 60 "$VMRR" run -serial stdio "${options[@]}" >"$work/out" 2>"$work/err" || code=$?
    [ $code = 1 ] || { cat "$work/err"; fail "exit code $code"; }
    said "$work/out" "^first line, at "
    said "$work/out" "^second, at "
    ;;
vga_text*)
    attempt 1 "$VMRR" run "${options[@]}" --screendump="$work/screen.txt"
    said "$work/screen.txt" "^ {30}vmrr was here *$"
    [ "$(grep -c . "$work/screen.txt")" -ge 1 ] || fail "empty screen"
    cp "$work/out" "$work/out.text"
    attempt 1 "$VMRR" run "${options[@]}" --screendump="$work/screen.png"
    [ "$(head -c 4 "$work/screen.png" | tail -c 3)" = PNG ] || fail "not a PNG file"
    same "$work/out" "$work/out.text"
    ;;
*) attempt 1 "$VMRR" run "${options[@]}" ;;
esac
said "$work/out" "$verdict"
not_said "$work/err" "not implemented"
[ "$1" != vga_text_firmware ] || said "$work/out" "^rom: reset vector ea, not writable"
[ "$1" != inputs ] || said "$work/out" "^rtc 2026-1-1 10:20:30"
cat "$work/out"

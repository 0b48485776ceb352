#!/usr/bin/env bash
# The kernel's console on the display: the screen as text says what was printed, and a replay paints the same picture.
# Usage: screen.sh KERNEL_NAME
. "$(dirname "$0")/lib.sh"
linux_options "$1" boot
options+=(-append "console=tty0 vmrr.task=boot")
record "$work/run.vmrr" "$work/record.txt" "${options[@]}" --screendump="$work/screen.txt"
said "$work/screen.txt" "^vmrr-init: Linux .*, task boot$"
said "$work/screen.txt" "^vmrr-init: boot done$"
said "$work/screen.txt" "^\[ .*\] reboot: Power down$"
[ "$(wc -l <"$work/screen.txt")" -ge 25 ] || fail "not 25 lines of text"
clean_log "$work/screen.txt"
[ ! -s "$work/record.txt" ] || fail "console=tty0, but the serial line got text"
replay "$work/run.vmrr" "$work/replay.txt" --screendump="$work/replay.png"
"$VMRR" run -q -serial none "${options[@]}" --screendump="$work/run.png" </dev/null || fail "run: exit $?"
head -c 8 "$work/run.png" | cmp - <(printf '\211PNG\r\n\032\n') || fail "not a PNG"
# A picture with nothing on it packs to about 1 KiB.
[ "$(stat -c %s "$work/run.png")" -gt 3000 ] || fail "the picture is blank"
cmp "$work/run.png" "$work/replay.png" || fail "the replay's screen is another one"

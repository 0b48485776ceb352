#!/usr/bin/env bash
# memtest86+ on a small machine, until it is well into its first pass, or has completed one: no errors, and the replay has the
# same screen.
# Usage: memtest.sh PATTERN [pass]   (PATTERN of the program's name in the package: x64 or ia32)
. "$(dirname "$0")/lib.sh"
program=$(find "$ASSETS/memtest/boot" -name "memtest86+$1*.bin" 2>/dev/null | sort | head -n 1) || true
[ -n "$program" ] || skip "memtest86+ for $1 could not be fetched, or is an older one"
# It waits some seconds of its own for a key before it starts; no speed is asked for, only that it got going. The last test of a
# pass waits for minutes of the guest's time, spinning.
if [ "${2:-}" = pass ]; then until=235000000000 progress="Pass: *[1-9]"; else until=6000000000 progress="Pass *[1-9][0-9]*%"; fi
record "$work/run.vmrr" "$work/record.txt" -m 8M -kernel "$program" -append "console=ttyS0" -rtc base=2026-01-01 \
    --until=$until --screendump="$work/screen.txt"
cat "$work/screen.txt"
said "$work/screen.txt" "Memtest86+"
said "$work/screen.txt" "Memory *: *8MB"
said "$work/screen.txt" "$progress"
said "$work/screen.txt" "Errors: *0"
[ -s "$work/record.txt" ] || fail "nothing on the serial line"
replay "$work/run.vmrr" "$work/replay.txt" --screendump="$work/replay-screen.txt"
same_console "$work/record.txt" "$work/replay.txt"
cmp "$work/screen.txt" "$work/replay-screen.txt" || fail "the replay's screen is another one"

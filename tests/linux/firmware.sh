#!/usr/bin/env bash
# SeaBIOS runs first and starts the kernel through the option ROM that -kernel with -bios puts in.
# Usage: firmware.sh KERNEL_NAME
. "$(dirname "$0")/lib.sh"
bios=$(seabios) || exit $?
linux_options "$1" boot
record "$work/run.vmrr" "$work/record.txt" -bios "$bios" -debugcon "file:$work/debugcon.txt" "${options[@]}"
said "$work/debugcon.txt" "SeaBIOS (version"
said "$work/record.txt" "vmrr-init: boot done"
clean_log "$work/record.txt"
replay "$work/run.vmrr" "$work/replay.txt" -debugcon "file:$work/debugcon-replay.txt"
same_console "$work/record.txt" "$work/replay.txt"
same_console "$work/debugcon.txt" "$work/debugcon-replay.txt"

#!/usr/bin/env bash
# More memory than lies below the PCI hole: the rest is above 4 GiB, found and used by the kernel. With firmware (its memory
# map) and without (ours); the disk's 32-bit DMA goes through bounce buffers.  Usage: memory.sh KERNEL_NAME
. "$(dirname "$0")/lib.sh"
bios=$(seabios) || exit $?
new_disk "$work/disk.img"
linux_options "$1" disk "$work/disk.img"
big=("${options[@]}" -m 5G)
"$VMRR" run -q -serial "file:$work/bios.txt" -snapshot "${big[@]}" -bios "$bios" </dev/null || fail "run with firmware: exit $?"
record "$work/run.vmrr" "$work/record.txt" "${big[@]}"
for log in "$work/bios.txt" "$work/record.txt"; do
    said "$log" "e820: \[mem 0x0000000100000000-0x00000001[0-9a-f]*\] usable"
    said "$log" "vmrr-init: disk task done"
    clean_log "$log"
    # Memory: 5000000K/5242364K available
    total=$(sed -nE 's/.*Memory: [0-9]+K\/([0-9]+)K available.*/\1/p' "$log")
    [ -n "$total" ] && [ "$total" -gt $((5 * 1024 * 1024 - 2048)) ] || fail "$log: the kernel counts ${total:-no} KiB of 5 GiB"
done
rm "$work/disk.img"
replay "$work/run.vmrr" "$work/replay.txt"
same_console "$work/record.txt" "$work/replay.txt"

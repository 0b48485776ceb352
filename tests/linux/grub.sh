#!/usr/bin/env bash
# From a disk as Debian boots: SeaBIOS, MBR, GRUB with its menu on the serial line, ext2, Linux.
# Usage: grub.sh [CONTROLLER=WHERE] KERNEL_NAME   (WHERE: see lib.sh)
. "$(dirname "$0")/lib.sh"
seabios >/dev/null || exit $?
modules=$ASSETS/grub/usr/lib/grub/i386-pc
[ -f "$modules/boot.img" ] || skip "GRUB's package (grub-pc-bin) could not be fetched"
command -v grub-mkimage >/dev/null || skip "no grub-mkimage (package grub-common)"
kernel=$(kernel_of "$1") || exit $?
initrd=$(initrd_of "$1")
"$here/make-grub-disk" "$modules" "$kernel" "$initrd" "console=ttyS0 vmrr.task=boot" "$work/disk.img"

place_disk "$work/disk.img"
options=(-m 256M "${disk_options[@]}" -no-reboot -rtc base=2026-01-01)
record "$work/run.vmrr" "$work/record.txt" "${options[@]}"
said "$work/record.txt" "GNU GRUB  *version"
said "$work/record.txt" "vmrr test guest"
said "$work/record.txt" "the other entry"
said "$work/record.txt" "vmrr-init: boot done"
clean_log "$work/record.txt"
rm "$work/disk.img"
replay "$work/run.vmrr" "$work/replay.txt"
same_console "$work/record.txt" "$work/replay.txt"

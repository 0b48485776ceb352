#!/usr/bin/env bash
# From a CD as Debian's boot: SeaBIOS, El Torito, GRUB, ISO 9660, Linux, which then reads all of the CD, ejects it and loads it
# again. Recorded, and replayed without the CD.  Usage: cd.sh KERNEL_NAME [ide|ahci]
. "$(dirname "$0")/lib.sh"
seabios >/dev/null || exit $?
modules=$ASSETS/grub/usr/lib/grub/i386-pc
[ -f "$modules/boot.img" ] || skip "GRUB's package (grub-pc-bin) could not be fetched"
command -v grub-mkimage >/dev/null || skip "no grub-mkimage (package grub-common)"
command -v xorriso >/dev/null || skip "no xorriso (package xorriso)"
kernel=$(kernel_of "$1") || exit $?
initrd=$(initrd_of "$1")
"$here/make-iso" "$modules" "$kernel" "$initrd" "console=ttyS0 vmrr.task=cd" "$work/cd.iso"

options=(-m 256M -boot d -no-reboot -rtc base=2026-01-01)
case ${2:-ide} in
ide) options+=(-cdrom "$work/cd.iso") ;;
ahci) options+=(-device ich9-ahci,id=ahci -drive "file=$work/cd.iso,format=raw,if=none,id=cd,media=cdrom"
    -device ide-cd,drive=cd,bus=ahci.1) ;;
*) fail "no controller $2" ;;
esac
record "$work/run.vmrr" "$work/record.txt" "${options[@]}"
said "$work/record.txt" "GNU GRUB  *version"
said "$work/record.txt" "vmrr test CD"
said "$work/record.txt" "vmrr-init: cd task done"
sum=$(seq 300000 | md5sum | cut -d ' ' -f 1)
[ "$(grep -ac "^$sum  /mnt/numbers.txt" "$work/record.txt")" = 2 ] || fail "the guest read something else than what is on the CD"
said "$work/record.txt" "vmrr-init: ejected"
said "$work/record.txt" "raw: $(md5sum <"$work/cd.iso")"
clean_log "$work/record.txt"
! grep -aE "(ata|sr)[0-9.]*:.*(exception|error|fail|timeout)" "$work/record.txt" || fail "the driver complains"
rm "$work/cd.iso"
replay "$work/run.vmrr" "$work/replay.txt"
same_console "$work/record.txt" "$work/replay.txt"

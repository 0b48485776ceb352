#!/usr/bin/env bash
# A Debian with systemd from its disk to a shell on the serial line and to power-off, recorded and replayed.
# Usage: debian.sh ARCH [TASK [record options]]    ARCH amd64 or i386; TASK of debian-profile
. "$(dirname "$0")/lib.sh"
arch=$1
task=${2:-}
shift $(($# < 2 ? $# : 2))
made=$ASSETS/debian-$arch
(
    flock 9
    "$here/make-debian-disk" "$arch" "$made"
) 9>"$ASSETS/.lock-debian-$arch" || exit $?
cp --sparse=always "$made/disk.img" "$work/disk.img"
# Today's profile, whenever the disk was made.
debugfs -w -f - "$work/disk.img" >"$work/debugfs.txt" 2>&1 <<COMMANDS
rm /root/.profile
write $here/debian-profile /root/.profile
COMMANDS
debugfs -R "cat /root/.profile" "$work/disk.img" 2>/dev/null | cmp - "$here/debian-profile" ||
    { cat "$work/debugfs.txt"; fail "the profile is not on the disk"; }
record "$work/run.vmrr" "$work/record.txt" -m 1G -kernel "$made/vmlinuz" -initrd "$made/initrd.img" \
    -append "console=ttyS0 root=/dev/sda${task:+ vmrr.task=$task}" -drive "file=$work/disk.img,format=raw,if=ide" \
    -no-reboot -rtc base=2026-01-01 "$@"
said "$work/record.txt" "vmrr-debian: shell on"
said "$work/record.txt" "vmrr-debian: system running"
said "$work/record.txt" "vmrr-debian: done"
said "$work/record.txt" "reboot: Power down"
clean_log "$work/record.txt"
grep -aE 'vmrr-debian: ' "$work/record.txt" | grep -avE 'Hostname|login:|Linux ' || true
complaints=$(grep -aE 'vmrr-debian: error|FAILED|selftest not passed|alg: .*(fail|mismatch|wrong)' "$work/record.txt" || true)
[ -z "$complaints" ] || { echo "$complaints"; fail "the guest complains"; }
replay "$work/run.vmrr" "$work/replay.txt"
same_console "$work/record.txt" "$work/replay.txt"
"$VMRR" info "$work/run.vmrr"

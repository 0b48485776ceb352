#!/usr/bin/env bash
# A Debian kernel makes a file system on its disk, writes with fsync, checks and powers off. Recorded, replayed twice, and
# judged by the host's e2fsck.  Usage: disk.sh [CONTROLLER=WHERE] KERNEL_NAME [record options]   (WHERE: see lib.sh)
. "$(dirname "$0")/lib.sh"
name=$1
shift
new_disk "$work/disk.img"
linux_options "$name" disk "$work/disk.img"
record "$work/run.vmrr" "$work/record.txt" "${options[@]}" "$@"
said "$work/record.txt" "vmrr-init: disk task done"
case ${CONTROLLER:-ide} in virtio*) said "$work/record.txt" 'virtio0: .vda. 131072 512-byte logical blocks' ;; esac
clean_log "$work/record.txt"
/sbin/e2fsck -n -f "$work/disk.img" >"$work/fsck.txt" 2>&1 || { cat "$work/fsck.txt"; fail "e2fsck finds the disk broken"; }
sha256sum <"$work/disk.img" >"$work/disk.sum"

replay "$work/run.vmrr" "$work/replay1.txt"
same_console "$work/record.txt" "$work/replay1.txt"
replay "$work/run.vmrr" "$work/replay2.txt"
same_console "$work/record.txt" "$work/replay2.txt"
sha256sum <"$work/disk.img" | cmp - "$work/disk.sum" || fail "a replay changed the disk image"
"$VMRR" verify "$work/run.vmrr" >/dev/null || fail "verify: exit $?"
"$VMRR" info "$work/run.vmrr"

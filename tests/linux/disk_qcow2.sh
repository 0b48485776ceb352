#!/usr/bin/env bash
# The disk task of disk.sh on a qcow2 image over a raw one: recorded, replayed without either, judged by e2fsck through our
# convert and through qemu-img's, and by qemu-img check.
# Usage: disk_qcow2.sh [CONTROLLER=WHERE] KERNEL_NAME CREATE_OPTIONS [record options]
. "$(dirname "$0")/lib.sh"
name=$1
create=$2
shift 2
FORMAT=qcow2
new_disk "$work/base.img"
"$VMRR" image create -q -f qcow2 -b base.img -F raw -o "$create" "$work/disk.qcow2" || fail "image create: exit $?"
linux_options "$name" disk "$work/disk.qcow2"
record "$work/run.vmrr" "$work/record.txt" "${options[@]}" "$@"
said "$work/record.txt" "vmrr-init: disk task done"
clean_log "$work/record.txt"

"$VMRR" image check "$work/disk.qcow2" || fail "image check: exit $?"
"$VMRR" image convert -O raw "$work/disk.qcow2" "$work/ours.img" || fail "image convert: exit $?"
/sbin/e2fsck -n -f "$work/ours.img" >"$work/fsck.txt" 2>&1 || { cat "$work/fsck.txt"; fail "e2fsck finds the disk broken"; }
cmp -s "$work/base.img" <(head -c 64M /dev/zero) || fail "the backing file was written to"
if command -v qemu-img >/dev/null; then
    qemu-img check "$work/disk.qcow2" || fail "qemu-img check: exit $?"
    qemu-img compare -f qcow2 -F raw "$work/disk.qcow2" "$work/ours.img" || fail "qemu-img sees another disk"
else
    echo "no qemu-img (package qemu-utils): its verdict is missing"
fi

sha256sum <"$work/disk.qcow2" >"$work/disk.sum"
mv "$work/disk.qcow2" "$work/away"
rm "$work/base.img"
replay "$work/run.vmrr" "$work/replay.txt"
same_console "$work/record.txt" "$work/replay.txt"
sha256sum <"$work/away" | cmp - "$work/disk.sum" || fail "a replay changed the disk image"

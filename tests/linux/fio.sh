#!/usr/bin/env bash
# ext4, XFS or btrfs on one controller by Linux's own drivers, fio with verification on it and on the bare disk. Recorded,
# replayed without the image, and judged offline: the file system by its own checker, qcow2 by qemu-img, the files' contents by
# other programs than the guest's kernel where there are some.
# Usage: fio.sh [CONTROLLER=WHERE] KERNEL_NAME FILE_SYSTEM FORMAT CACHE AIO [record options]
. "$(dirname "$0")/lib.sh"
name=$1 fs=$2 FORMAT=$3 cache=$4 aio=$5
shift 5
tools=$(tools_disk) || exit $?
MODULES="xfs btrfs"
PATH=$PATH:/usr/sbin:/sbin
size=384M
case $cache in none | directsync)
    dd if=/dev/zero of="$work/direct" bs=4k count=1 oflag=direct status=none 2>/dev/null || skip "no O_DIRECT in ${TMPDIR:-/tmp}" ;;
esac

case $FORMAT in
raw) new_disk "$work/disk.img" $size ;;
qcow2) "$VMRR" image create -q -f qcow2 "$work/disk.img" $size || fail "image create: exit $?" ;;
esac
DRIVE="cache=$cache,aio=$aio,discard=unmap" linux_options "$name" fio "$work/disk.img"
append " vmrr.fs=$fs"
record "$work/run.vmrr" "$work/record.txt" "${options[@]}" -m 512M -drive "file=$tools,format=raw,if=ide,index=2,snapshot=on" "$@"
said "$work/record.txt" "vmrr-init: fio task done"
[ "$(grep -ac 'err= 0:' "$work/record.txt")" = 8 ] || { tail -n 40 "$work/record.txt"; fail "not all of fio's jobs ended well"; }
clean_log "$work/record.txt"
complaints=$(grep -aE '(I/O error|[Bb]uffer I/O|timeout|exception Emask|EXT4-fs (error|warning)|XFS.*(orrupt|[Ee]rror)|BTRFS (error|critical))' \
    "$work/record.txt" || true)
[ -z "$complaints" ] || { echo "$complaints"; fail "the guest's drivers complain"; }

mv "$work/disk.img" "$work/away"
replay "$work/run.vmrr" "$work/replay.txt"
same_console "$work/record.txt" "$work/replay.txt"

image=$work/away
if [ "$FORMAT" = qcow2 ]; then
    "$VMRR" image check "$work/away" || fail "image check: exit $?"
    if command -v qemu-img >/dev/null; then
        qemu-img check "$work/away" || fail "qemu-img check: exit $?"
        qemu-img convert -O raw "$work/away" "$work/raw.img"
    else
        "$VMRR" image convert -O raw "$work/away" "$work/raw.img"
    fi
    image=$work/raw.img
fi
judge() { # judge COMMAND...: has nothing to say against the file system
    "$@" >"$work/judge.txt" 2>&1 || { cat "$work/judge.txt"; fail "$*: exit $?"; }
}
mkdir "$work/files"
case $fs in
ext4)
    judge e2fsck -n -f "$image"
    debugfs -R "rdump / $work/files" "$image" >/dev/null 2>&1
    ;;
xfs) judge xfs_repair -n -f "$image" ;;
btrfs)
    judge btrfs check --readonly "$image"
    btrfs restore "$image" "$work/files" >/dev/null
    ;;
esac
[ "$(grep -acE '^[0-9a-f]{32}  q[0-9]+-' "$work/record.txt")" = 5 ] || fail "the guest did not sum five files"
if [ "$fs" != xfs ]; then
    (cd "$work/files" && md5sum q*) >"$work/sums"
    grep -aE '^[0-9a-f]{32}  q[0-9]+-' "$work/record.txt" | tr -d '\r' | cmp - "$work/sums" || fail "the files are not what the guest read"
fi
# The last job's blocks behind the file system carry fio's checksums: the host's fio reads them back.
DISK=$image OFFSET=320m fio --verify_only --section=last --ioengine=psync --direct=0 "$here/fio/disk.fio" >"$work/fio.txt" 2>&1 ||
    { cat "$work/fio.txt"; fail "the host's fio finds other data on the disk"; }
"$VMRR" info "$work/run.vmrr" | grep -E '^  (events|steps|sectors|file|block-)'

#!/usr/bin/env bash
# Drives: what is written lands in the file, or does not with snapshot=on and readonly=on; several drives; a full disk below the
# journal, a place where nothing can be written.
. "$(dirname "$0")/../guests/lib.sh"
options=(-m 16M -kernel "$GUESTS/ide_pio.elf")
new_disk "$work/disk.img"
cp "$work/disk.img" "$work/zero.img"
attempt 1 "$VMRR" run "${options[@]}" -drive "file=$work/disk.img,format=raw,if=ide,snapshot=on"
same "$work/disk.img" "$work/zero.img"
attempt 1 "$VMRR" run "${options[@]}" -snapshot "$work/disk.img"
same "$work/disk.img" "$work/zero.img"
chmod a-w "$work/disk.img"
attempt 1 "$VMRR" record -o "$work/run.vmrr" "${options[@]}" -snapshot -hda "$work/disk.img"
chmod u+w "$work/disk.img"
replay "$work/run.vmrr" "$work/replay.txt"
# A write to a read-only drive fails in the guest (which tries for long), not in vmrr.
attempt 0 "$VMRR" record -o "$work/run.vmrr" "${options[@]}" -drive "file=$work/disk.img,readonly=on" --until=20000000
same "$work/disk.img" "$work/zero.img"
replay "$work/run.vmrr" "$work/replay.txt"
attempt 1 "$VMRR" run "${options[@]}" -hda "$work/disk.img"
! cmp -s "$work/disk.img" "$work/zero.img" || fail "the guest's writes are not in the image"
# More drives: the guest uses the first; it looks for a slave, which must not be there.
new_disk "$work/second.img"
attempt 1 "$VMRR" record -o "$work/run.vmrr" "${options[@]}" -drive "file=$work/disk.img" \
    -drive "file=$work/second.img,index=2,readonly=on"
attempt 0 "$VMRR" info "$work/run.vmrr"
said "$work/out" "drive 0 .*disk.img, raw, 4096 sectors"
said "$work/out" "drive 2 .*second.img, raw, 4096 sectors .*read-only"
same "$work/second.img" "$work/zero.img"
replay "$work/run.vmrr" "$work/replay.txt"

# The image takes nothing beyond a file size limit: such writes fail in the guest, half-way where the limit is, and what it
# reads there later is what the image has. The replay must see the same.
for timing in model host; do
    new_disk "$work/small.img"
    code=0
    bash -c 'ulimit -f 100; exec "$@"' - "$VMRR" record -o "$work/run.vmrr" -m 16M -kernel "$GUESTS/endless.elf" \
        -drive "file=$work/small.img,werror=report" -serial none --timing=$timing --until=50000000 >"$work/out" 2>"$work/err" </dev/null || code=$?
    [ $code = 0 ] || { cat "$work/err"; fail "recording over an image that can't grow: exit $code"; }
    "$VMRR" dump --json --kind=block-completion "$work/run.vmrr" | grep '"op":"write"' >"$work/writes"
    said "$work/writes" '"status":-'
    replay "$work/run.vmrr" "$work/replay.txt"
done

# full WHERE command...: the recording stops by itself with a message, what is written is a journal that replays
full() {
    local code=0
    "${@:2}" >"$work/out" 2>"$work/err" </dev/null || code=$?
    [ $code != 137 ] && [ $code -lt 128 ] || fail "full disk: exit code $code"
    said "$work/err" "[Nn]o space left|[Ff]ile too large|File size limit"
    cp "$1" "$work/full.vmrr"
    attempt 0 "$VMRR" replay -serial none "$work/full.vmrr"
    said "$work/err" "^replay: bit-exact$"
    echo "full disk: $(ending)"
}
# The drive is a snapshot: the limit is not to strike the image. It is full of noise, which the journal has to keep.
head -c 2M /dev/urandom >"$work/disk.img"
# The module brings the journal near the end of the first reserve.
head -c 3584K /dev/urandom >"$work/noise"
endless=(-m 32M -kernel "$GUESTS/endless.elf" -initrd "$work/noise" -hda "$work/disk.img" -snapshot -serial none)
full "$work/limited.vmrr" timeout 120 bash -c 'ulimit -f 4100; exec "$@"' - "$VMRR" record -o "$work/limited.vmrr" "${endless[@]}"
mkdir "$work/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=9m vmrr-test "$work/small" 2>/dev/null; then
    trap 'umount -l "$work/small"; end_all' EXIT
    full "$work/small/full.vmrr" timeout 120 "$VMRR" record -o "$work/small/full.vmrr" "${endless[@]}"
    attempt 0 "$VMRR" verify "$work/full.vmrr" # with index and end mark: nothing is lost
else
    echo "no tmpfs can be mounted here: only the file size limit was tried"
fi

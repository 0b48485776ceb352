#!/usr/bin/env bash
# Faults on purpose, limits and errors that stop the machine: the guest meets them, and the journal alone brings the same run
# again, without the rules and without the image.
. "$(dirname "$0")/../guests/lib.sh"
disk=$work/disk.img

# once EXIT OUT-PATTERN options...: recorded over a fresh disk, then replayed
once() {
    local wanted=$1 pattern=$2 code=0
    new_disk "$disk"
    "$VMRR" record -o "$work/run.vmrr" -m 16M -kernel "$GUESTS/dma_writer.elf" -serial "file:$work/console" "${@:3}" \
        >"$work/out" 2>"$work/err" </dev/null || code=$?
    [ $code = "$wanted" ] || { cat "$work/err" "$work/console"; fail "exit code $code, expected $wanted: ${*:3}"; }
    [ -z "$pattern" ] || said "$work/console" "$pattern"
    local end
    end=$(ending)
    rm -f "$disk"
    replay "$work/run.vmrr" "$work/replay.txt"
    [ "$end" = "$(ending)" ] || fail "recorded $end, replayed $(ending)"
    same "$work/console" "$work/replay.txt"
}
faults() { "$VMRR" dump "$work/run.vmrr" | grep -c "block-fault = [0-9a-f]*[1-9a-f]" || true; }

good="500 interrupts, [0-9]* sectors, 0 errors"
bad="500 interrupts, [0-9]* sectors, [1-9][0-9]* errors"
for timing in model host; do
    run=(--timing=$timing -drive "file=$disk,format=raw,if=ide")
    once 1 "$good" "${run[@]}" -blkfault drive=0,op=write,nth=999,kind=eio
    [ "$(faults)" = 0 ] || fail "a rule that never fires fired"
    once 5 "$bad" "${run[@]}" -blkfault drive=0,op=write,nth=20,kind=eio
    [ "$(faults)" = 1 ] || fail "$(faults) faults, expected 1"
    once 5 "$bad" "${run[@]}" -blkfault drive=0,op=read,every=50,kind=eio
    [ "$(faults)" = 5 ] || fail "$(faults) faults, expected 5"
    once 5 "$bad" "${run[@]}" -blkfault drive=0,op=write,lba=100-200,every=3,kind=torn:1
    once 5 "$bad" "${run[@]}" -blkfault drive=0,op=write,nth=7,kind=lost -blkfault drive=0,op=write,nth=9,kind=flip:77:3
    once 5 "$bad" "${run[@]}" -blkfault drive=0,op=read,nth=30,kind=flip:0:0,once
    once 1 "$good" "${run[@]}" -blkfault drive=0,op=write,every=10,kind=delay:3000000
    once 1 "$good" "${run[@]}" -blkfault drive=0,op=write,every=2,kind=reorder
    once 1 "$good" "${run[@]}" -blkfault drive=0,op=flush,every=2,kind=lost
    once 1 "$good" --timing=$timing -drive "file=$disk,format=raw,throttling.iops-write=500,throttling.bps-read=1000000"
    # Nobody can say cont: the run ends there.
    once 1 "" --timing=$timing -drive "file=$disk,format=raw,werror=stop" -blkfault drive=0,op=write,nth=20,kind=eio
    said "$work/err" "^guest: io-error"
    once 1 "$good" --timing=$timing -drive "file=$disk,format=raw,werror=ignore,cache=writethrough,discard=unmap" \
        -blkfault drive=0,op=flush,nth=3,kind=eio
done
# The image that the writes really reached: what a lost write, or one that the drive kept to the end, left.
new_disk "$disk"
attempt 5 "$VMRR" run -m 16M -kernel "$GUESTS/dma_writer.elf" -hda "$disk" -blkfault drive=0,op=write,every=1,kind=lost
new_disk "$work/zero.img"
same "$disk" "$work/zero.img"
echo "faults: met, recorded, replayed"

#!/usr/bin/env bash
# Cache modes and aio=: what the host is really asked for, as strace shows it. Locks, beside qemu-img's and qemu-io's.
. "$(dirname "$0")/../guests/lib.sh"
command -v strace >/dev/null || skip "no strace"
disk=$work/disk.img
new_disk "$disk"
strace -o "$work/trace" true 2>/dev/null || skip "strace may not trace here"

# traced DRIVE_OPTIONS options...: the guest that writes 250 times and flushes 15 times, right to the end
traced() {
    local drive=$1
    new_disk "$disk"
    attempt 1 strace -f -qq -y -e trace=openat,pread64,pwrite64,fdatasync,fsync,fallocate,fcntl,io_submit,io_uring_enter \
        -o "$work/trace" "$VMRR" run -m 16M -kernel "$GUESTS/dma_writer.elf" -serial stdio \
        -drive "file=$disk,format=raw,if=ide${drive:+,$drive}" "${@:2}"
    said "$work/out" "500 interrupts, [0-9]* sectors, 0 errors"
    grep -E "disk\.img|io_submit|io_uring_enter" "$work/trace" >"$work/calls" || true
}
count() { grep -cE -- "$1" "$work/calls" || true; }
expect() { # expect WHAT PATTERN MIN MAX
    local n
    n=$(count "$2")
    [ "$n" -ge "$3" ] && [ "$n" -le "$4" ] || { head -40 "$work/calls"; fail "$1: $n of $2, expected $3 to $4"; }
}
direct() { # direct MODE 0|1
    expect "$1" "openat.*disk\.img.*O_RDWR.*" 1 9
    expect "$1" "openat.*disk\.img.*O_DIRECT" "$2" $(($2 * 9))
}

has_direct=1
dd if="$disk" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null || has_direct=0
for timing in model host; do
    traced "" --timing=$timing
    direct "default $timing" 0
    expect "default $timing" fdatasync 15 17
    expect "default $timing" pwrite64 250 260
    traced cache=writeback --timing=$timing
    expect "writeback $timing" fdatasync 15 17
    traced cache=writethrough --timing=$timing
    direct "writethrough $timing" 0
    expect "writethrough $timing" fdatasync 250 270
    traced cache=unsafe --timing=$timing
    direct "unsafe $timing" 0
    expect "unsafe $timing" 'fdatasync|fsync' 0 0
    if [ $has_direct = 1 ]; then
        traced cache=none --timing=$timing
        direct "none $timing" 1
        expect "none $timing" fdatasync 15 17
        traced cache=directsync --timing=$timing
        direct "directsync $timing" 1
        expect "directsync $timing" fdatasync 250 270
        traced cache.direct=on,cache.writeback=off --timing=$timing
        direct "long forms $timing" 1
        expect "long forms $timing" fdatasync 250 270
        traced cache.direct=on,cache.no-flush=on --timing=$timing
        expect "direct, no flush $timing" fdatasync 0 0
        traced cache=none,aio=native --timing=$timing
        expect "native $timing" io_submit 500 510
        expect "native $timing" pwrite64 0 0
    fi
    traced aio=threads --timing=$timing
    expect "threads $timing" 'io_submit|io_uring_enter' 0 0
    if ! grep -q 1 /proc/sys/kernel/io_uring_disabled 2>/dev/null; then
        traced aio=io_uring --timing=$timing
        expect "io_uring $timing" io_uring_enter 500 2500
        expect "io_uring $timing" pwrite64 0 0
        expect "io_uring $timing" fdatasync 15 17
    fi
done
traced detect-zeroes=on
expect "no zeros are written here" fallocate 0 0

# Combinations that make no sense, said as QEMU says them.
refused() { # refused DRIVE_OPTIONS PATTERN
    attempt 2 "$VMRR" run -kernel "$GUESTS/dma_writer.elf" -drive "file=$disk,$1"
    said "$work/err" "$2"
}
refused aio=native "aio=native was given, but it needs cache.direct=on"
refused cache=fast "expected cache=writeback"
refused detect-zeroes=unmap "needs discard=unmap"
refused rerror=enospc "expected rerror="
refused throttling.bps-total=5,throttling.bps-read=5 "exclude each other"
refused throttling.iops-total-max=5 "needs the limit itself"
refused throttling.iops-total=x "expected a limit"
refused locking=maybe "expected locking="
attempt 2 "$VMRR" run -kernel "$GUESTS/dma_writer.elf" -hda "$disk" -blkfault drive=3,op=read,kind=eio
said "$work/err" "there is no such drive"
attempt 2 "$VMRR" run -kernel "$GUESTS/dma_writer.elf" -hda "$disk" -blkfault drive=0,op=read,kind=torn:1
said "$work/err" "cannot happen to this op"

# ---- locks ----

spin() { # spin DRIVE_OPTIONS: in the background, until the disk is locked or a while has passed
    "$VMRR" run -m 16M -kernel "$GUESTS/endless.elf" -serial "file:$work/console" -drive "file=$disk$1" </dev/null \
        >/dev/null 2>"$work/spin.err" &
    spinner=$!
    jobs_started+=($spinner)
    for ((n = 0; n < 200; n++)); do
        [ ! -s "$work/console" ] || return 0
        sleep 0.1
    done
    cat "$work/spin.err"
    fail "the guest says nothing"
}
stop() {
    kill -TERM $spinner
    wait $spinner || true
    rm -f "$work/console"
}
new_disk "$disk"
spin ""
attempt 2 "$VMRR" run -kernel "$GUESTS/endless.elf" -hda "$disk"
said "$work/err" 'disk.img: cannot get the "write" lock: another process'
attempt 2 "$VMRR" run -kernel "$GUESTS/endless.elf" -drive "file=$disk,readonly=on"
said "$work/err" 'cannot get the shared "write" lock'
attempt 0 "$VMRR" run -kernel "$GUESTS/endless.elf" -drive "file=$disk,file.locking=off,snapshot=on" --until=1000
if command -v qemu-io >/dev/null; then
    ! qemu-io -f raw -c "write 0 512" "$disk" >"$work/out" 2>&1 || fail "qemu-io writes to an image in use"
    said "$work/out" 'Failed to get "write" lock'
fi
stop
spin ",locking=off"
attempt 0 "$VMRR" run -kernel "$GUESTS/endless.elf" -drive "file=$disk,snapshot=on" --until=1000
stop
if command -v qemu-system-x86_64 >/dev/null; then
    for ((n = 0; n < 20; n++)); do # a vmrr that is sooner has the lock, and the other ends
        qemu-system-x86_64 -S -display none -monitor none -serial none -drive "file=$disk,format=raw" >/dev/null 2>&1 &
        other=$!
        jobs_started+=($other)
        sleep $((1 + n / 2))
        "$VMRR" run -kernel "$GUESTS/endless.elf" -hda "$disk" --until=1000 >/dev/null 2>"$work/err" </dev/null || break
        kill -KILL $other 2>/dev/null || true
    done
    said "$work/err" 'cannot get the "write" lock'
    kill -TERM $other
fi
echo "cache modes, aio, locks: as promised"

#!/usr/bin/env bash
# What -drive tells a qcow2 image: table caches, overlap-check, internal-snapshot. The last is shown by a guest that starts from
# the disk; the overlap check by an image whose map leads into its own structures.
. "$(dirname "$0")/../guests/lib.sh"
[ -f $firmware ] || skip "no $firmware"
disk=$work/disk.qcow2
refused() { # refused PATTERN drive options
    attempt 2 "$VMRR" run -serial none -m 16M -kernel "$GUESTS/dma_writer.elf" -drive "file=$disk,if=ide,$2"
    said "$work/err" "$1"
}

# An internal snapshot: the disk that starts lies in it alone.
"$VMRR" image convert -O qcow2 "$GUESTS/boot_disk.bin" "$disk"
"$VMRR" image snapshot -c "good one" "$disk"
head -c 64K /dev/zero >"$work/zeros"
"$VMRR" image convert -n -S 0 -O qcow2 "$work/zeros" "$disk"
"$VMRR" image compare -q "$GUESTS/boot_disk.bin" "$disk" && fail "the disk was to be overwritten"
sha256sum "$disk" >"$work/sum"
for name in "good one" 1 snapshot.id=1 "snapshot.name=good one" "snapshot.id=1,,snapshot.name=good one"; do
    attempt 1 "$VMRR" record -o "$work/run.vmrr" -m 16M -rtc base=2026-01-01 -serial "file:$work/console" \
        -drive "file=$disk,if=ide,snapshot=on,internal-snapshot=$name"
    said "$work/console" "^boot disk: all as expected"
done
rm -f "$work/moved"
mv "$disk" "$work/moved"
replay "$work/run.vmrr" "$work/replay.txt"
same "$work/console" "$work/replay.txt"
mv "$work/moved" "$disk"
sha256sum -c --quiet "$work/sum" || fail "the image was written to"
refused "can only be opened read-only" "internal-snapshot=1"
refused "snapshot 7: not found" "readonly=on,internal-snapshot=7"
refused "snapshot snapshot.id=1,snapshot.name=x: not found" "readonly=on,internal-snapshot=snapshot.id=1,,snapshot.name=x"

# Caches: what contradicts itself, what a raw image has not, and one table at a time.
refused "may not be set at the same time" "cache-size=1M,l2-cache-size=512k,refcount-cache-size=512k"
refused "l2-cache-size may not exceed cache-size" "cache-size=1M,l2-cache-size=1.5M"
refused "refcount-cache-size may not exceed cache-size" "cache-size=1M,refcount-cache-size=2M"
refused "expected l2-cache-size=SIZE" "l2-cache-size=many"
refused "overlap-check=all, cached, constant or none" "overlap-check=some"
refused "overlap-check.template, main-header" "overlap-check.l3=on"
refused "a raw image has none" "format=raw,l2-cache-size=1M"
for caches in l2-cache-size=1 cache-size=512 refcount-cache-size=1,cache-size=64k l2-cache-size=8M,refcount-cache-size=1M; do
    rm "$disk"
    "$VMRR" image create -q -f qcow2 -o cluster_size=512 "$disk" 2M
    attempt 1 "$VMRR" run -m 16M -serial "file:$work/console" -kernel "$GUESTS/dma_writer.elf" \
        -drive "file=$disk,if=ide,$caches"
    said "$work/console" "^dma writer: 500 interrupts, [0-9]* sectors, 0 errors"
    "$VMRR" image check -q "$disk" || fail "$caches: image check: exit $?"
done

# The overlap check: entries of the active map that lead to an L2 table of a snapshot, or to the refcount table.
spoil() { # spoil WHERE: all entries of the active L2 table
    python3 - "$disk" "$1" <<'PYTHON'
import struct, sys
with open(sys.argv[1], "r+b") as file:
    data = bytearray(file.read())
    get = lambda at: struct.unpack_from(">Q", data, at)[0]
    l2 = get(get(40)) & ~(1 << 63)
    victim = {"inactive-l2": lambda: get(get(get(64))), "refcount-table": lambda: get(48)}[sys.argv[2]]() & ~(1 << 63)
    assert victim and victim != l2
    for n in range(512):
        struct.pack_into(">Q", data, l2 + 8 * n, victim | 1 << 63)
    file.seek(0)
    file.write(data)
PYTHON
}
overlap() { # overlap EXPECTED WHERE options: stopped or goes-on
    rm "$disk"
    "$VMRR" image create -q -f qcow2 -o cluster_size=4k "$disk" 2M
    "$VMRR" image convert -n -S 0 -O qcow2 "$work/zeros" "$disk"
    "$VMRR" image snapshot -c s "$disk"
    head -c 64K /dev/urandom >"$work/noise"
    "$VMRR" image convert -n -S 0 -O qcow2 "$work/noise" "$disk"
    spoil "$2"
    "$VMRR" run -m 16M -serial none -kernel "$GUESTS/dma_writer.elf" -drive "file=$disk,if=ide,$3" --until=30000000 \
        >"$work/out" 2>"$work/err" </dev/null || true
    case $1 in
    stopped) said "$work/err" "would overwrite the (inactive L2|refcount) table .* the guest is stopped" ;;
    *) not_said "$work/err" "would overwrite" ;;
    esac
}
overlap stopped inactive-l2 overlap-check=all
overlap goes-on inactive-l2 overlap-check=cached
overlap goes-on inactive-l2 overlap-check.inactive-l2=off
overlap stopped inactive-l2 overlap-check=none,overlap-check.inactive-l2=on
overlap stopped inactive-l2 overlap-check.inactive-l2=on,overlap-check.template=none
overlap stopped refcount-table overlap-check=cached
overlap stopped refcount-table overlap-check=constant
overlap goes-on refcount-table overlap-check=none
echo "drive options of qcow2: caches, overlap-check, internal-snapshot"

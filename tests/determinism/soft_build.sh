#!/usr/bin/env bash
# A journal replays with the same digests on a program whose floating point is not the host's: one built with VMRR_SOFT_FLOAT, or
# one for arm64 run by qemu-user; and theirs on ours. Usage: soft_build.sh SOURCE_DIR BUILD_DIR soft|arm64
# VMRR is the program under test, the one built here is the other.
. "$(dirname "$0")/../guests/lib.sh"
source=$1 build=$2 kind=$3
other=$build/tools/vmrr
guests=(floating ide_pio protected32 exceptions64)
case $kind in
soft)
    configure=(-DVMRR_SOFT_FLOAT=ON -DCMAKE_BUILD_TYPE=Release)
    guests+=(self_modifying64 timers)
    ;;
arm64)
    for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
        command -v $tool >/dev/null || skip "no $tool (tools/setup --arm64)"
    done
    for file in /usr/include/simde/x86/sse4.2.h /usr/lib/aarch64-linux-gnu/pkgconfig/{libzstd,libxxhash,capstone,libpng,jansson}.pc; do
        [ -f $file ] || skip "no $file (tools/setup --arm64)"
    done
    configure=(-DCMAKE_TOOLCHAIN_FILE="$source/tools/arm64.cmake" -DCMAKE_BUILD_TYPE=Release)
    ;;
esac
command -v ninja >/dev/null || skip "no ninja"
{
    cmake -S "$source" -B "$build" -G Ninja "${configure[@]}"
    ninja -C "$build" -j2 vmrr
} >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "the other build does not build"; }
if [ $kind = arm64 ]; then
    printf '#!/bin/sh\nexec qemu-aarch64 %s "$@"\n' "$(readlink -f "$other")" >"$work/vmrr-arm64"
    chmod +x "$work/vmrr-arm64"
    other=$work/vmrr-arm64
fi
this=$VMRR
"$other" --version

for name in "${guests[@]}"; do
    guest "$name"
    VMRR=$this record "$work/this.vmrr" "$work/this.txt" 1 "${options[@]}"
    said "$work/this.txt" "$verdict"
    last=$(ending)
    VMRR=$other replay "$work/this.vmrr" "$work/replay.txt"
    [ "$(ending)" = "$last" ] || fail "$name: the other replay ends with $(ending), the recording with $last"
    same "$work/this.txt" "$work/replay.txt"
    echo "$name: $last"
done
# What the transcendental functions give may differ in the last bit, so the recordings may; all else is the same.
guest floating
VMRR=$this record "$work/this.vmrr" "$work/this.txt" 1 "${options[@]}"
VMRR=$other record "$work/other.vmrr" "$work/other.txt" 1 "${options[@]}"
said "$work/other.txt" "$verdict"
last=$(ending)
same <(grep -v ^transcendental "$work/this.txt") <(grep -v ^transcendental "$work/other.txt")
VMRR=$this replay "$work/other.vmrr" "$work/replay.txt"
[ "$(ending)" = "$last" ] || fail "floating: our replay ends with $(ending), the other's recording with $last"
same "$work/other.txt" "$work/replay.txt"
echo "floating, recorded by the other: $last"

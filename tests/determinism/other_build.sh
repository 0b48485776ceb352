#!/usr/bin/env bash
# A journal does not know what built the program: another compiler and optimisation level replays it with the same digests, and
# records the same events. Usage: other_build.sh SOURCE_DIR BUILD_DIR COMPILER BUILD_TYPE [C_FLAGS]
# VMRR is the program under test, the one built here is the other.
. "$(dirname "$0")/../guests/lib.sh"
source=$1 build=$2 compiler=$3 type=$4 flags=${5:-}
command -v "$compiler" >/dev/null || skip "no $compiler"
command -v ninja >/dev/null || skip "no ninja"
{
    cmake -S "$source" -B "$build" -G Ninja -DCMAKE_C_COMPILER="$compiler" -DCMAKE_BUILD_TYPE="$type" -DCMAKE_C_FLAGS="$flags"
    ninja -C "$build" -j2 vmrr
} >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "the other build does not build"; }
this=$VMRR other=$build/tools/vmrr
"$other" --version

for name in "${all_guests[@]}"; do
    guest "$name"
    VMRR=$this record "$work/this.vmrr" "$work/this.txt" 1 "${options[@]}"
    last=$(ending)
    VMRR=$other replay "$work/this.vmrr" "$work/replay.txt"
    [ "$(ending)" = "$last" ] || fail "$name: the other replay ends with $(ending), the recording with $last"
    same "$work/this.txt" "$work/replay.txt"
    guest "$name"
    VMRR=$other record "$work/other.vmrr" "$work/other.txt" 1 "${options[@]}"
    [ "$(ending)" = "$last" ] || fail "$name: the other recording ends with $(ending), the first with $last"
    events "$work/this.vmrr" >"$work/this.events"
    events "$work/other.vmrr" >"$work/other.events"
    same "$work/this.events" "$work/other.events"
    VMRR=$this replay "$work/other.vmrr" "$work/replay.txt"
    echo "$name: $last"
done
guest ide_pio
VMRR=$this record "$work/host.vmrr" "$work/this.txt" 1 "${options[@]}" --timing=host
last=$(ending)
VMRR=$other replay "$work/host.vmrr" "$work/replay.txt"
[ "$(ending)" = "$last" ] || fail "host timing: the other replay ends with $(ending), the recording with $last"

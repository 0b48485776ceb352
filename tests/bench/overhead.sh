#!/usr/bin/env bash
# The cost of recording: `vmrr run` and `vmrr record` of the same guest in turns; least and all of user + system and of wall
# seconds. Usage: overhead.sh [VMRR] [ROUNDS] [KERNEL_NAME] [TASK]
# KERNEL_NAME: kernel-cloud or kernel, as tests/linux/fetch-assets has unpacked them. TMPDIR says where the journal goes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export VMRR=${1:-$here/../../build/release/tools/vmrr} ASSETS=${ASSETS:-$here/../../build/assets}
rounds=${2:-5}
. "$here/../linux/lib.sh"
linux_options "${3:-kernel-cloud}" "${4:-disk}" "$work/disk.img"

measure() { # measure NAME command...: appends "cpu wall" to $work/NAME
    local name=$1 TIMEFORMAT='%U %S %R'
    shift
    new_disk "$work/disk.img"
    { time "$@" -q -serial none "${options[@]}" </dev/null >"$work/out" 2>&1; } 2>"$work/time"
    awk '{ printf "%.2f %.2f\n", $1 + $2, $3 }' "$work/time" >>"$work/$name"
}
for ((round = 1; round <= rounds; round++)); do
    measure run "$VMRR" run
    measure record "$VMRR" record -o "$work/run.vmrr"
done
echo "load average: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors"
for column in 1 2; do
    [ $column = 1 ] && echo "user + system seconds" || echo "wall seconds"
    for name in run record; do
        echo "  $name: $(cut -d' ' -f$column "$work/$name" | tr '\n' ' ')"
    done
    least() { cut -d' ' -f$column "$work/$1" | sort -n | head -1; }
    awk -v run="$(least run)" -v record="$(least record)" \
        'BEGIN { printf "  least: %.2f and %.2f: %+.1f %%\n", run, record, (record / run - 1) * 100 }'
done

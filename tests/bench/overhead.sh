#!/usr/bin/env bash
# The cost of recording: `vmrr run` and `vmrr record` of the same guest, both at once on one processor, where the scheduler
# gives them turns of milliseconds: what else the machine does slows both alike. Compared are user + system seconds.
# Usage: overhead.sh [VMRR] [ROUNDS] [KERNEL_NAME] [TASK]
# KERNEL_NAME: kernel-cloud or kernel, as tests/linux/fetch-assets has unpacked them. TMPDIR says where the journal goes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export VMRR=${1:-$here/../../build/release/tools/vmrr} ASSETS=${ASSETS:-$here/../../build/assets}
rounds=${2:-5}
. "$here/../linux/lib.sh"

measure() { # measure NAME PROCESSOR command...: appends user + system seconds to $work/NAME
    local name=$1 processor=$2 TIMEFORMAT='%U %S'
    shift 2
    linux_options "$kernel" "$task" "$work/disk-$name.img"
    new_disk "$work/disk-$name.img"
    { time taskset -c "$processor" "$@" -q -serial none "${options[@]}" </dev/null >"$work/out-$name" 2>&1; } 2>"$work/time-$name"
    awk '{ printf "%.2f\n", $1 + $2 }' "$work/time-$name" >>"$work/$name"
}
kernel=${3:-kernel-cloud} task=${4:-disk}
for ((round = 1; round <= rounds; round++)); do
    processor=$((round % $(nproc)))
    measure run $processor "$VMRR" run &
    measure record $processor "$VMRR" record -o "$work/run.vmrr" &
    wait
done
echo "load average: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors; user + system seconds"
for name in run record; do
    echo "  $name: $(tr '\n' ' ' <"$work/$name")"
done
paste "$work/run" "$work/record" | awk '
    { change = ($2 / $1 - 1) * 100; sum += change; changes = changes sprintf(" %+.1f", change); run += $1; record += $2 }
    END { printf "  record against run, %% by round:%s; mean %+.1f, of the sums %+.1f\n", changes, sum / NR, (record / run - 1) * 100 }'

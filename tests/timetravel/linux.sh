#!/usr/bin/env bash
# A Debian kernel at its disk task, recorded, and walked about in: walk.c. Usage: linux.sh WALK GOTOS [CONTROLLER=WHERE] KERNEL_NAME
# [record options]
walk=$1 gotos=$2
shift 2
. "$(dirname "$0")/../linux/lib.sh"
name=$1
shift
new_disk "$work/disk.img"
linux_options "$name" disk "$work/disk.img"
record "$work/run.vmrr" "$work/record.txt" "${options[@]}" "$@"
said "$work/record.txt" "vmrr-init: disk task done"
"$walk" "$work/run.vmrr" 1 "$gotos" 256 || fail "walking about"

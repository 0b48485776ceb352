#!/usr/bin/env bash
# On a processor below x86-64-v2: a message that names what is missing, exit code 1. On one that is just that, a guest runs,
# so nothing newer is used without asking. Processors by qemu-x86_64.
. "$(dirname "$0")/../guests/lib.sh"
command -v qemu-x86_64 >/dev/null || skip "no qemu-x86_64 (package qemu-user)"
[ "$(uname -m)" = x86_64 ] || skip "not an x86-64 host"
! grep -aq __asan_init "$VMRR" || skip "AddressSanitizer's shadow memory does not fit into qemu-x86_64"
cd "$work"
guest protected32

attempt 1 qemu-x86_64 -cpu core2duo "$VMRR" run -serial none "${options[@]}"
said "$work/err" "no SSE4.1"
attempt 1 qemu-x86_64 -cpu Nehalem,-popcnt "$VMRR" replay nothing.vmrr
said "$work/err" "no POPCNT"
attempt 0 qemu-x86_64 -cpu core2duo "$VMRR" --version

# The guest leaves through the test device with 1.
attempt 1 qemu-x86_64 -cpu Nehalem "$VMRR" run "${options[@]}"
said "$work/out" "$verdict"

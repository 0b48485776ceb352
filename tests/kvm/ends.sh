#!/usr/bin/env bash
# How runs on KVM end: a guest that makes no exits and Ctrl-C, a killed recorder, --until, RDTSC that nobody controls, a journal
# that counts instructions, no KVM.
. "$(dirname "$0")/lib.sh"

# A guest that does not end.
guest endless
start_recording "$work/run.vmrr" "$work/run.txt" "${options[@]}" -accel kvm
sleep 0.5
end_recording INT
[ $code = 0 ] || { cat "$work/record.err"; fail "exit code $code after Ctrl-C"; }
said "$work/record.err" "^guest: interrupt after "
replay "$work/run.vmrr" "$work/replay.txt"
same "$work/run.txt" "$work/replay.txt"

# Killed: what is written replays.
guest endless
start_recording "$work/killed.vmrr" "$work/run.txt" "${options[@]}" -accel kvm
sleep 2
end_recording KILL
[ $code = 137 ] || fail "exit code $code"
attempt 0 "$VMRR" replay "$work/killed.vmrr"
said "$work/err" "the journal is torn"
said "$work/err" "^replay: bit-exact$"

# A position to stop at.
guest boot_sector
record "$work/until.vmrr" "$work/until.txt" 0 "${options[@]}" -accel kvm --until 20
said "$work/err" "^guest: limit after 20 exits"
replay "$work/until.vmrr" "$work/replay.txt"

# A guest that reads the TSC though CPUID does not say how fast it is: the value goes out, and is another one in the replay.
printf '%s\n' '.code16' '.globl _start' '_start: rdtsc' 'mov $0x3F8, %dx' 'mov $4, %cx' '1: out %al, %dx' 'shr $8, %eax' \
    'loop 1b' 'mov $0x501, %dx' 'xor %al, %al' 'out %al, %dx' 'hlt' '.org 510' '.word 0xAA55' >"$work/tsc.S"
if as --32 "$work/tsc.S" -o "$work/tsc.o" && ld -m elf_i386 -Ttext=0x7C00 --oformat=binary "$work/tsc.o" -o "$work/tsc.bin"; then
    record "$work/tsc.vmrr" "$work/tsc.txt" 1 -m 16M -kernel "$work/tsc.bin" -accel kvm
    attempt 3 "$VMRR" replay "$work/tsc.vmrr"
    said "$work/err" "uncontrolled: rdtsc at RIP 0000000000007c00 between exits [0-9]+ and [0-9]+"
else
    fail "no assembler"
fi

# Positions that are instructions can't be met.
record "$work/steps.vmrr" "$work/steps.txt" 1 "${options[@]}"
attempt 2 "$VMRR" replay -accel kvm "$work/steps.vmrr"
said "$work/err" "positions are instructions"

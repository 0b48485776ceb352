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

# The host fails in the middle: KVM_RUN, then a call that fetches state. Counted from the VM's creation on, so that it is not one of
# the probe's.
cat >"$work/fail.c" <<'EOF'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
int ioctl(int fd, unsigned long request, ...)
{
    static int left = -1;
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (request == 0xAE01) /* KVM_CREATE_VM */
        left = atoi(getenv("FAIL_AFTER"));
    if (request == strtoul(getenv("FAIL_REQUEST"), NULL, 0) && left-- == 0) {
        errno = EIO;
        return -1;
    }
    return real(fd, request, argument);
}
EOF
cc -shared -fPIC -o "$work/fail.so" "$work/fail.c" -ldl || fail "no compiler"
# A sanitizer's runtime wants to be first and refuses.
if LD_PRELOAD="$work/fail.so" FAIL_REQUEST=0 FAIL_AFTER=0 "$VMRR" --version >/dev/null 2>&1; then
    for call in 0xAE80:500:KVM_RUN 0x8080AEA1:3:KVM_GET_DEBUGREGS; do
        IFS=: read -r request after name <<<"$call"
        guest ide_pio
        attempt 1 env LD_PRELOAD="$work/fail.so" FAIL_REQUEST="$request" FAIL_AFTER="$after" \
            "$VMRR" record -o "$work/failed.vmrr" "${options[@]}" -accel kvm --checkpoint-every=64
        said "$work/err" "^vmrr: accel kvm: $name: Input/output error"
        attempt 0 "$VMRR" verify "$work/failed.vmrr"
        attempt 0 "$VMRR" dump "$work/failed.vmrr"
        said "$work/out" " end error "
    done
fi

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

# What the host's KVM can't do is said, and not tried again for ever.
if [ "$(fact paging_32)" = no ]; then
    printf '%s\n' '.code16' '.globl _start' '_start: cli' 'lgdt gd' 'mov %cr0, %eax' 'or $1, %al' 'mov %eax, %cr0' 'ljmp $8, $pm' \
        '.code32' 'pm: mov %cr0, %eax' 'or $0x80000000, %eax' 'mov %eax, %cr0' 'hlt' 'gd: .word 23' '.long gdt' '.align 8' \
        'gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff' '.org 510' '.word 0xAA55' >"$work/page.S"
    as --32 "$work/page.S" -o "$work/page.o" && ld -m elf_i386 -Ttext=0x7C00 --oformat=binary "$work/page.o" -o "$work/page.bin"
    attempt 1 "$VMRR" record -o "$work/page.vmrr" -m 16M -kernel "$work/page.bin" -accel kvm
    said "$work/err" "the guest turns on 32-bit paging .MOV to CR0 at RIP 0x7c[0-9a-f]+., which this host's KVM does not do"
    attempt 0 "$VMRR" verify "$work/page.vmrr"
fi

# Positions that are instructions can't be met.
record "$work/steps.vmrr" "$work/steps.txt" 1 "${options[@]}"
attempt 2 "$VMRR" replay -accel kvm "$work/steps.vmrr"
said "$work/err" "positions are instructions, .* record such a run with --positions exits"
attempt 2 "$VMRR" record -o "$work/no.vmrr" "${options[@]}" -accel kvm --positions instructions
said "$work/err" "can't count them"

# The interpreter stops a guest that makes no exits, too, and the end is the same again.
guest endless
start_recording "$work/interp.vmrr" "$work/run.txt" "${options[@]}" --positions exits
sleep 0.5
end_recording INT
[ $code = 0 ] || { cat "$work/record.err"; fail "exit code $code after Ctrl-C"; }
said "$work/record.err" "^guest: interrupt after .* exits"
replay "$work/interp.vmrr" "$work/replay.txt"
same "$work/run.txt" "$work/replay.txt"

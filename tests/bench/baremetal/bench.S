/* Bare-metal benchmark: a disk image that boots under any PC emulator (MBR at 0x7C00, the rest loaded behind it), runs the
 * kernels of kernels.inc in real mode, 32-bit protected mode and long mode, and tells by COM1 when each begins and ends:
 *
 *     B 64 integer 0      begin: mode, name, instructions that it will execute (0: as vmrr's icount says)
 *     E 64 integer        end
 *
 * The clock is the host's, at the reader of the serial line. At the end: isa-debug-exit at 0xF4, then "Shutdown" to Bochs'
 * port 0x8900, then HLT. */

#define COM1 0x3F8
#define BUFFER 0x20000 /* 64 KiB of data for memory and string kernels */
#define BUFFER_LOW 0x6000
#define IOAPIC 0xFEC00000
#define APIC_BASE 0xFEE00000
#define STACK 0x7000
#define JIT_CODE 0xC000 /* within 64 KiB, as the gates */
#define JIT_DATA 0xD000
#define IDT 0xE000
#define PAGED_AT 0x40000000
#define PAGED_DIRECTORY 0x900000
#define PAGED_TABLES 0x910000
#define PAGE_TABLES 0x40000

        .code16
        .text
        .globl _start
_start:
        ljmp $0, $1f
1:      cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $STACK, %sp
        sti
        mov %dl, boot_drive
        mov $load_packet, %si
        mov $0x42, %ah
        int $0x13
        jc load_failed
        cli
        jmp stage2
load_failed:
        hlt
        jmp load_failed
boot_drive: .byte 0
        .balign 4
load_packet:
        .byte 16, 0
        .word (stage2_end - stage2 + 511) / 512
        .word 0x7E00, 0
        .quad 1

        .org 446
        .byte 0x80, 0, 2, 0, 0x83, 0, 2, 0 /* a partition entry, for firmware that insists on one */
        .long 1, 2048
        .org 510
        .word 0xAA55

/* ---- 0x7E00 ---- */
stage2:
        .code16
        /* A20, then unreal mode: FS with a limit of 4 GiB, for the MMIO kernel */
        in $0x92, %al
        or $2, %al
        out %al, $0x92
        lgdtl gdt_pointer
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        jmp 1f
1:      mov $0x10, %bx
        mov %bx, %fs
        and $0xFE, %al
        mov %eax, %cr0
        ljmp $0, $2f
2:      mov %cr4, %eax
        or $0x600, %eax /* OSFXSR, OSXMMEXCPT */
        mov %eax, %cr4
        mov %cr0, %eax
        and $~4, %eax /* no EM */
        or $2, %eax
        mov %eax, %cr0
        fninit
        mov $COM1 + 3, %dx /* 115200 baud: Bochs' port takes the time that a line takes */
        mov $0x83, %al
        out %al, %dx
        mov $COM1, %dx
        mov $1, %al
        out %al, %dx
        mov $COM1 + 1, %dx
        mov $0, %al
        out %al, %dx
        mov $COM1 + 3, %dx
        mov $3, %al
        out %al, %dx

#define MODE 16
#define A ax
#define B bx
#define C cx
#define D dx
#define SI si
#define DI di
#define BP bp
#include "kernels.inc"
#undef MODE
#undef A
#undef B
#undef C
#undef D
#undef SI
#undef DI
#undef BP
        .code16
        cli
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmp $0x08, $protected
        .code32
protected:
        mov $0x10, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov %ax, %fs
        mov $STACK, %esp

#define MODE 32
#define A eax
#define B ebx
#define C ecx
#define D edx
#define SI esi
#define DI edi
#define BP ebp
#include "kernels.inc"
#undef MODE
#undef A
#undef B
#undef C
#undef D
#undef SI
#undef DI
#undef BP
        .code32
        /* long mode: 4 GiB identity-mapped by 2 MiB pages */
        mov $PAGE_TABLES, %edi
        xor %eax, %eax
        mov $(6 * 4096 / 4), %ecx
        rep stosl
        movl $(PAGE_TABLES + 0x1003), PAGE_TABLES
        mov $PAGE_TABLES + 0x1000, %edi
        mov $(PAGE_TABLES + 0x2003), %eax
        mov $4, %ecx
1:      mov %eax, (%edi)
        add $8, %edi
        add $0x1000, %eax
        loop 1b
        mov $PAGE_TABLES + 0x2000, %edi
        mov $0x83, %eax
        mov $2048, %ecx
1:      mov %eax, (%edi)
        add $8, %edi
        add $0x200000, %eax
        loop 1b
        mov $PAGE_TABLES, %eax
        mov %eax, %cr3
        mov %cr4, %eax
        or $0x20, %eax
        mov %eax, %cr4
        mov $0xC0000080, %ecx
        rdmsr
        or $0x100, %eax
        wrmsr
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0
        ljmp $0x18, $long_mode
        .code64
long_mode:
#define MODE 64
#define A rax
#define B rbx
#define C rcx
#define D rdx
#define SI rsi
#define DI rdi
#define BP rbp
#include "kernels.inc"

        mov $COM1 + 5, %dx /* the last line has left */
1:      in %dx, %al
        test $0x40, %al
        jz 1b
        mov $0xF4, %dx
        xor %eax, %eax
        out %al, %dx
        mov $shutdown, %rsi
        mov $8, %ecx
        mov $0x8900, %edx
1:      lodsb
        out %al, %dx
        loop 1b
2:      hlt
        jmp 2b
shutdown: .ascii "Shutdown"

        .balign 8
gdt:    .quad 0
        .quad 0x00CF9A000000FFFF /* 08: 32-bit code */
        .quad 0x00CF92000000FFFF /* 10: data */
        .quad 0x00AF9A000000FFFF /* 18: 64-bit code */
gdt_pointer:
        .word . - gdt - 1
        .long gdt
idt_pointer:
        .word 0x7F * 16 - 1
        .quad IDT
        .balign 16
constants: .double 1.0000001, 0.9999999, 1.5, 0.25
        .text 2 /* behind the kernels' names in subsection 1 */
        .balign 512
stage2_end:

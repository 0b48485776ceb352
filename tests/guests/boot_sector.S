/* A flat boot sector: real mode at 0x7C00, says so on COM1, leaves. Works from a disk under firmware and as -kernel. */
        .code16
        .text
        .globl _start
_start: cli
        xor %ax, %ax
        mov %ax, %ds
        mov $0x3FB, %dx
        mov $3, %al
        out %al, %dx
        mov $text, %si
1:      mov $0x3FD, %dx
2:      in %dx, %al
        test $0x20, %al
        jz 2b
        lodsb
        test %al, %al
        jz 3f
        mov $0x3F8, %dx
        out %al, %dx
        jmp 1b
3:      mov $0xF4, %dx
        xor %al, %al
        out %al, %dx
4:      hlt
        jmp 4b
text:   .asciz "boot sector: all as expected\n"
        .org 510
        .word 0xAA55

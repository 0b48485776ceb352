/* Multiboot header, entry, and interrupt stubs of 32-bit guests. */
        .section .multiboot, "a"
        .balign 4
        .long 0x1BADB002, 0, -0x1BADB002

        .text
        .code32
        .globl _start
_start:
        mov $stack_top, %esp
        lgdt gdt_pointer
        ljmp $0x08, $1f
1:      mov $0x10, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov %ax, %fs
        mov %ax, %gs
        call guest_start

        .macro STUB vector, has_error
stub_\vector:
        .if \has_error == 0
        push $0
        .endif
        push $\vector
        jmp common
        .endm
        .altmacro
        .set n, 0
        .rept 48
        .if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17)
        STUB %n, 1
        .else
        STUB %n, 0
        .endif
        .set n, n + 1
        .endr

common: pusha
        mov %esp, %eax
        lea 40(%eax), %ecx
        push %ecx           /* address of the interrupted EIP */
        push 36(%eax)       /* error code */
        push 32(%eax)       /* vector */
        call guest_interrupt
        add $12, %esp
        popa
        add $8, %esp
        iret

        .macro ENTRY vector
        .long stub_\vector
        .endm
        .section .rodata
        .globl interrupt_stubs
interrupt_stubs:
        .set n, 0
        .rept 48
        ENTRY %n
        .set n, n + 1
        .endr
        .balign 8
gdt:    .quad 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
        .word . - gdt - 1
        .long gdt
        .bss
        .balign 16
        .skip 16384
stack_top:
        .section .note.GNU-stack, "", @progbits

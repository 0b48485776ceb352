/* Port writes, port reads, MMIO reads and MMIO writes, COUNT0 to COUNT3 of them, at CPL0; a letter to the debug console before, between and
 * after. A boot sector: 16-bit code with a 32-bit data segment, so that it reaches the I/O APIC. */
        .code16
        .globl _start
_start: cli
        xor %ax, %ax
        mov %ax, %ds
        lgdt gd
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        mov $8, %bx
        mov %bx, %es
        and $0xFE, %al
        mov %eax, %cr0
        mov $0xFEC00000, %esi   /* I/O APIC: the index register */
        call mark
        mov $COUNT0, %ecx
1:      out %al, $0x80
        dec %ecx
        jnz 1b
        call mark
        mov $COUNT1, %ecx
1:      in $0x61, %al
        dec %ecx
        jnz 1b
        call mark
        mov $COUNT2, %ecx
1:      movl %es:(%esi), %eax
        dec %ecx
        jnz 1b
        call mark
        mov $COUNT3, %ecx
1:      movl %edi, %es:(%esi)
        dec %ecx
        jnz 1b
        call mark
        mov $0x501, %dx         /* isa-debug-exit */
        xor %al, %al
        out %al, %dx
2:      hlt
        jmp 2b
mark:   mov $0xE9, %dx            /* not 0x402, where firmware talks */
        mov letter, %al
        out %al, %dx
        incb letter
        ret
letter: .byte 'a'
        .align 8
gdt:    .quad 0, 0x00CF92000000FFFF
gd:     .word 15
        .long gdt
        .org 510
        .word 0xAA55

/* Port writes, port reads, MMIO reads and MMIO writes, COUNT0 to COUNT3 of them, at CPL0, and COUNT4 times HLT with an interrupt that is
 * there already (one to itself by the local APIC's ICR, behind STI; its handler writes EOI); a letter to the debug console before,
 * between and after. A boot sector: 16-bit code with a 32-bit data segment, so that it reaches the APICs. */
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
        mov $0xFF, %al          /* nothing of the PICs */
        out %al, $0x21
        out %al, $0xA1
        movw $handler, 0x40 * 4
        movw %cs, 0x40 * 4 + 2
        mov $0xFEE00000, %esi   /* local APIC: on, self-IPI of vector 40h */
        movl $0x1FF, %es:0xF0(%esi)
        mov $COUNT4, %ecx
1:      movl $0x44040, %es:0x300(%esi)
        sti
        hlt
        cli
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
handler:
        movl $0, %es:0xB0(%esi)
        iret
letter: .byte 'a'
        .align 8
gdt:    .quad 0, 0x00CF92000000FFFF
gd:     .word 15
        .long gdt
        .org 510
        .word 0xAA55

/* Multiboot header, the way into long mode (first 4 GiB identity-mapped by 2 MiB pages), and interrupt stubs of 64-bit guests. */
        .section .multiboot, "a"
        .balign 4
        .long 0x1BADB002, 0, -0x1BADB002

        .text
        .code32
        .globl _start
_start:
        mov $stack_top, %esp
        movl $pdpt + 3, pml4
        mov $pdpt, %edi
        mov $directories + 3, %eax
        mov $4, %ecx
1:      mov %eax, (%edi)
        add $8, %edi
        add $4096, %eax
        loop 1b
        mov $directories, %edi
        mov $0x83, %eax
        mov $2048, %ecx
1:      mov %eax, (%edi)
        add $8, %edi
        add $0x200000, %eax
        loop 1b
        mov $pml4, %eax
        mov %eax, %cr3
        mov %cr4, %eax
        or $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
        mov %eax, %cr4
        mov $0xC0000080, %ecx
        rdmsr
        or $0x900, %eax /* LME, NXE */
        wrmsr
        mov %cr0, %eax
        and $~4, %eax
        or $0x80010002, %eax /* PG, WP, MP */
        mov %eax, %cr0
        lgdt gdt_pointer
        ljmp $0x08, $1f
        .code64
1:      mov $0x10, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $stack_top, %rsp
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

common: push %rax
        push %rcx
        push %rdx
        push %rsi
        push %rdi
        push %r8
        push %r9
        push %r10
        push %r11
        mov 72(%rsp), %rdi  /* vector */
        mov 80(%rsp), %rsi  /* error code */
        lea 88(%rsp), %rdx  /* address of the interrupted RIP */
        mov %rsp, %rax
        and $-16, %rsp
        push %rax
        push %rax
        cld
        call guest_interrupt
        pop %rsp
        pop %r11
        pop %r10
        pop %r9
        pop %r8
        pop %rdi
        pop %rsi
        pop %rdx
        pop %rcx
        pop %rax
        add $16, %rsp
        iretq

        .macro ENTRY vector
        .quad stub_\vector
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
gdt:    .quad 0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF, 0x00CFFA000000FFFF
gdt_pointer:
        .word . - gdt - 1
        .long gdt
        .bss
        .balign 4096
        .globl pml4, directories
pml4:   .skip 4096
pdpt:   .skip 4096
directories: .skip 4 * 4096
        .skip 16384
stack_top:
        .section .note.GNU-stack, "", @progbits

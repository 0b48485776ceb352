/* A firmware image that goes through real mode, 32-bit protected mode with paging, and long mode, without devices, and halts: for
 * comparing processors (vmrr diff against QEMU), which may have nothing else in common. 64 KiB; the last 16 bytes are where a
 * processor begins. At 0x600 in RAM it counts how far it came. */
        .set DONE, 0x600
        .set STACK16, 0x7000
        .set GDT, 0x1000
        .set IDT, 0x2000
        .set TABLES, 0x10000
        .set PAE, 0x20000
        .set DATA, 0x8000
        .set VIRTUAL, 0x400000 /* mapped to DATA */
        .text
        .code16
base:

/* ---- real mode ---- */
start:  cli
        cld
        xor %ax, %ax
        mov %ax, %ss
        mov %ax, %ds
        mov %ax, %es
        mov $STACK16, %sp
        movw $(divided - base), 0x00
        movw $0xF000, 0x02
        movw $(called - base), 0x40*4
        movw $0xF000, 0x40*4+2
        mov $40, %cx
        mov $0x1234, %bx
1:      mov %cx, %ax
        imul $77, %ax, %dx
        adc %dx, %bx
        rol $3, %bx
        mov %bl, %al
        daa
        sbb %al, %ah
        das
        aaa
        aas
        mov %bx, %ax
        aam
        aad
        xor %dx, %dx
        mov %cx, %si
        or $1, %si
        div %si
        push %ax
        pushf
        pop %di
        pop %bp
        lea 7(%bx,%si), %si
        xchg %si, %di
        bt %cx, %bx
        rcr $1, %bp
        sar %cl, %bp
        cmp %bp, %bx
        setg %al
        cbw
        cwd
        mov %ax, DATA(%bx)
        addw %bp, DATA(%bx)
        int $0x40
        loop 1b
        mov $DATA, %si /* strings, both ways, overlapping */
        mov $DATA+1, %di
        mov $300, %cx
        rep movsb
        std
        mov $DATA+600, %di
        mov $100, %cx
        mov $0xA5A5, %ax
        rep stosw
        cld
        mov $DATA, %si
        mov $DATA+300, %di
        mov $200, %cx
        repe cmpsb
        mov $DATA, %di
        mov $400, %cx
        mov $0xA5, %al
        repne scasb
        xor %cx, %cx
        div %cx /* #DE: the handler goes past it */
        lcall $0xF000, $(far_code - base)
        incw DONE

/* ---- protected mode ---- */
        mov $0xF000, %ax
        mov %ax, %ds
        mov $(gdt - base), %si
        mov $GDT, %di
        mov $(gdt_end - gdt), %cx
        rep movsb
        xor %ax, %ax
        mov %ax, %ds
        movw $(gdt_end - gdt - 1), 0x700
        movl $GDT, 0x702
        lgdtl 0x700
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x08, $(protected - base + 0xF0000)

divided: /* DIV CX has two bytes */
        push %bp
        mov %sp, %bp
        addw $2, 2(%bp)
        pop %bp
        iret
called: push %bp
        mov %sp, %bp
        xorw $0x801, 6(%bp) /* CF, OF of the interrupted code */
        pop %bp
        iret
far_code:
        mov %cs, %ax
        lret

        .code32
/* Constants of the assembler: the image is linked at 0, and lies at 0xF0000. */
protected:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        mov %eax, %ss
        mov $STACK16, %esp
        mov $(breakpoint - base + 0xF0000), %eax
        mov $3, %edi
        call set_gate
        mov $(faulted - base + 0xF0000), %eax
        mov $14, %edi
        call set_gate
        movw $0x7FF, 0x710
        movl $IDT, 0x712
        lidt 0x710
        mov $TABLES, %edi /* one directory, a table of the first 4 MiB, one page of the next */
        xor %eax, %eax
        mov $0x3000/4, %ecx
        rep stosl
        movl $TABLES+0x1000+7, TABLES
        movl $TABLES+0x2000+7, TABLES+4
        movl $DATA+3, TABLES+0x2000
        mov $TABLES+0x1000, %edi
        mov $7, %eax
1:      stosl
        add $0x1000, %eax
        cmp $0x400007, %eax
        jb 1b
        mov $TABLES, %eax
        mov %eax, %cr3
        mov %cr0, %eax
        or $0x80010000, %eax /* PG WP */
        mov %eax, %cr0
        mov $60, %ecx
        mov $0x9E3779B9, %ebx
1:      mov %ebx, VIRTUAL(,%ecx,4)
        mov DATA(,%ecx,4), %eax
        mul %ecx
        add %eax, %ebx
        adc %edx, %ebx
        shld $5, %eax, %edx
        bswap %edx
        xor %edx, %ebx
        cmpxchg %ebx, VIRTUAL(,%ecx,4)
        xadd %eax, DATA(,%ecx,4)
        bsr %ebx, %esi
        cmovc %esi, %eax
        movsx %bl, %edi
        lock incl VIRTUAL
        loop 1b
        int3
        mov VIRTUAL+0x1000, %eax /* not present: the handler skips its 5 bytes */
        push $0x20
        andl $~2, TABLES+0x2000
        invlpg VIRTUAL
        movl $1, VIRTUAL /* a page that can't be written to: its 10 bytes */
        pop %eax
        incl DONE+4

/* ---- long mode ---- */
        mov %cr0, %eax
        and $0x7FFFFFFF, %eax
        mov %eax, %cr0
        mov $PAE, %edi
        xor %eax, %eax
        mov $0x3000/4, %ecx
        rep stosl
        movl $PAE+0x1000+7, PAE
        movl $PAE+0x2000+7, PAE+0x1000
        movl $0x87, PAE+0x2000 /* 2 MiB each */
        movl $0x87, PAE+0x2010 /* the third is the first again */
        mov $PAE, %eax
        mov %eax, %cr3
        mov $0x620, %eax /* PAE OSFXSR OSXMMEXCPT */
        mov %eax, %cr4
        mov $0xC0000080, %ecx
        rdmsr
        or $0x100, %eax
        wrmsr
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0
        ljmp $0x18, $(long_mode - base + 0xF0000)

set_gate: /* EAX: handler, EDI: vector */
        mov %eax, %edx
        mov %ax, IDT(,%edi,8)
        movw $8, IDT+2(,%edi,8)
        movw $0x8E00, IDT+4(,%edi,8)
        shr $16, %edx
        mov %dx, IDT+6(,%edi,8)
        ret
breakpoint:
        incl DONE+8
        iret
faulted:
        push %eax
        mov %cr2, %eax
        mov %eax, DONE+12
        mov 8(%esp), %eax
        cmpb $0xA1, (%eax) /* MOV EAX, moffs */
        jne 1f
        addl $5, 8(%esp)
        jmp 2f
1:      addl $10, 8(%esp)
2:      pop %eax
        add $4, %esp
        iret

        .code64
long_mode:
        mov $0x10, %eax
        mov %eax, %ss
        mov $0x7000, %rsp
        mov $60, %ecx
        movabs $0x9E3779B97F4A7C15, %rbx
        mov $0x408000, %r8 /* DATA once more */
1:      mov %rbx, %rax
        mul %rcx
        add %rdx, %rbx
        adc %rax, %rbx
        mov %rbx, (%r8,%rcx,8)
        mov DATA(,%rcx,8), %r9
        bswap %r9
        shrd $13, %r9, %r10
        ror %cl, %r10
        imul %r10, %r11
        movslq %ebx, %r12
        bts %rcx, %r13
        btr %r12, %r13
        sete %r14b
        movzbl %r14b, %r15d
        lock cmpxchg %r15, (%r8)
        movq %rbx, %xmm0
        movq %r9, %xmm1
        paddw %xmm0, %xmm2
        pshufd $0x1B, %xmm2, %xmm3
        pmullw %xmm1, %xmm3
        cvtsi2sd %ecx, %xmm4
        addsd %xmm4, %xmm5
        mulsd %xmm5, %xmm4
        sqrtsd %xmm4, %xmm6
        ucomisd %xmm4, %xmm6
        movdqu %xmm3, 0x100(%r8,%rcx,8)
        push %rbx
        xor %rsp, (%rsp)
        pop %rdi
        dec %ecx
        jnz 1b
        mov $DATA, %esi
        mov $DATA+0x1000, %edi
        mov $300, %ecx
        rep movsq
        mov $100, %ecx
        xor %eax, %eax
        repne scasl
        incl DONE+16
        hlt

        .balign 8
gdt:    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00AF9B000000FFFF
gdt_end:
        .org 0xFFF0
        .code16
        ljmp $0xF000, $(start - base)
        .org 0x10000

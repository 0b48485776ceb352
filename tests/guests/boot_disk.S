/* A disk of its own: a boot sector that loads the rest by firmware's INT 13h and works on in real mode: memory map, extended reads
 * and writes, text on the screen, the timer's ticks. Says what it found on COM1. */
        .code16
        .text
        .globl _start
_start: cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x7C00, %sp
        sti
        mov %dl, drive
        mov $0x0204, %ax        /* four sectors by cylinder, head, sector */
        mov $0x0002, %cx
        mov $0, %dh
        mov drive, %dl
        mov $0x7E00, %bx
        int $0x13
        jc failed
        jmp stage2

failed: mov $failure, %si
        call print
        mov $3, %al
leave:  mov $0xF4, %dx
        out %al, %dx
1:      hlt
        jmp 1b

print:  lodsb                   /* to COM1 and the screen */
        test %al, %al
        jz 1f
        call character
        jmp print
1:      ret
character:
        push %ax
        mov $0x3FD, %dx
1:      in %dx, %al
        test $0x20, %al
        jz 1b
        pop %ax
        mov $0x3F8, %dx
        out %al, %dx
        mov $0x0E, %ah
        mov $7, %bx
        int $0x10
        ret
number: mov $8, %cx             /* EAX in hexadecimal */
1:      rol $4, %eax
        push %eax
        push %cx
        and $15, %al
        add $'0', %al
        cmp $'9', %al
        jbe 2f
        add $'a' - '9' - 1, %al
2:      call character
        pop %cx
        pop %eax
        loop 1b
        ret
drive:  .byte 0
failure: .asciz "boot disk: the firmware failed\r\n"
        .org 510
        .word 0xAA55

stage2: mov $hello, %si
        call print
        /* Memory below 4 GiB, from the firmware's map. */
        xor %ebx, %ebx
        xor %ebp, %ebp
1:      mov $0xE820, %eax
        mov $0x534D4150, %edx
        mov $24, %ecx
        mov $map, %di
        int $0x15
        jc failed
        cmp $0x534D4150, %eax
        jne failed
        cmpl $1, map + 16
        jne 2f
        cmpl $0, map + 4
        jne 2f
        add map + 8, %ebp
2:      test %ebx, %ebx
        jnz 1b
        mov $memory, %si
        call print
        mov %ebp, %eax
        shr $20, %eax           /* whole MiB: how much firmware keeps for itself is its own matter */
        call number

        /* A sector written and read back, by extended INT 13h. */
        mov $0x9000, %di
        mov $256, %cx
        mov $0x1234, %ax
1:      stosw
        add $0x4567, %ax
        loop 1b
        mov $0x4300, %ax
        mov $packet, %si
        mov drive, %dl
        int $0x13
        jc failed
        movw $0x9200, packet + 4
        mov $0x42, %ah
        mov $packet, %si
        mov drive, %dl
        int $0x13
        jc failed
        mov $0x9000, %si
        mov $0x9200, %di
        mov $256, %cx
        repe cmpsw
        jne failed

        /* Two ticks of the firmware's clock, halted. */
        mov 0x46C, %eax
        add $2, %eax
1:      sti
        hlt
        cmp 0x46C, %eax
        ja 1b
        mov $verdict, %si
        call print
        xor %al, %al
        jmp leave

hello:  .asciz "boot disk: loaded\r\n"
memory: .asciz "memory, MiB: "
verdict: .asciz "\r\nboot disk: all as expected\r\n"
        .balign 4
packet: .word 16, 1, 0x9000, 0
        .quad 40
map:    .skip 24
        .org 512 * 4096

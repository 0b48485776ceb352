/* What a remote target executes for vmrr fuzz --against gdb in legacy protected mode (gdb_guest.h; native_legacy.c says how the machine
 * is made): a way from real mode, and the server. It goes to a case by IRET, or at level 0 by LSS and a far JMP, which leave the case's stack
 * alone; each vector's task comes back to it. Intel SDM vol. 3A 9.9.1 (to protected mode), 7.3 (task switching).
 * The numbers are gdb_guest.h's and native_internal.h's, as the asserts hold them. */
#include "tools/fuzz/gdb_guest.h"

#include "tools/fuzz/native_internal.h"

_Static_assert(NATIVE_LEGACY_SUPERVISOR == 0xC0000000 && PHYS_TSS == 0x22000, "as below");
_Static_assert(PHYS_GDT == 0x20000 && PHYS_IDT == 0x21000 && PHYS_STACK_TOP == 0x25000, "as below");
_Static_assert(NATIVE_LEGACY_CASE == 0x38 && NATIVE_LEGACY_TASK == 0x80 && NATIVE_LEGACY_GDT_LIMIT == 0x17F,
               "as below");
_Static_assert(GDB_GUEST_BOOT == 0x8000 && GDB_GUEST_BOOT_TABLES == 0x30000 && PHYS_TABLES == 0x10000, "as below");
_Static_assert(GDB_GUEST_IN == 0x27000 && GDB_GUEST_OUT == 0x28000 && PHYS_SERVER == 0x26000, "as below");
_Static_assert(GDB_GUEST_FRAME == 0x80 && GDB_GUEST_DS == 0xA8 && GDB_GUEST_XSAVE == 0x100, "as below");
_Static_assert(GDB_GUEST_CR2 == 0x80 && GDB_GUEST_FROM == 0x88 && GDB_GUEST_PUSHED == 0x90 &&
                   GDB_GUEST_CPUID == 0x800 && GDB_GUEST_TSS == 0x440,
               "as below");

/* clang-format off */
__asm__(
    ".pushsection .rodata\n"
    ".globl fuzz_gdb32_boot, fuzz_gdb32_boot_end, fuzz_gdb32_settings, fuzz_gdb32_server, fuzz_gdb32_server_end\n"
    ".globl fuzz_gdb32_done, fuzz_gdb32_entry, fuzz_gdb32_common\n"
    ".hidden fuzz_gdb32_boot, fuzz_gdb32_boot_end, fuzz_gdb32_settings, fuzz_gdb32_server, fuzz_gdb32_server_end\n"
    ".hidden fuzz_gdb32_done, fuzz_gdb32_entry, fuzz_gdb32_common\n"
    ".code16\n"
    "fuzz_gdb32_boot:\n"
    "cli\n"
    "movb $0xFF, %al\n"
    "outb %al, $0x21\n" /* no interrupts: both controllers masked */
    "outb %al, $0xA1\n"
    "xorw %ax, %ax\n"
    "movw %ax, %ds\n"
    "lgdtl 0x8000 + (1f - fuzz_gdb32_boot)\n"
    "movl 0x8000 + (fuzz_gdb32_settings - fuzz_gdb32_boot), %eax\n"
    "movl %eax, %cr4\n"
    "movl $0x30000, %eax\n"
    "movl %eax, %cr3\n"
    "movl $0xC0000080, %ecx\n"
    "xorl %edx, %edx\n"
    "movl 0x8000 + (fuzz_gdb32_settings + 4 - fuzz_gdb32_boot), %eax\n"
    "wrmsr\n"
    "movl $0x80050033, %eax\n"
    "movl %eax, %cr0\n"
    "ljmpl $0x08, $0x8000 + (2f - fuzz_gdb32_boot)\n"
    ".code32\n"
    "fuzz_gdb32_settings: .long 0, 0\n" /* CR4, EFER */
    "1: .word 0x17F\n"
    ".long 0x20000\n"
    "3: .word 0x17F\n" /* the machine's own */
    ".long 0xC0020000\n"
    "4: .word 0xFF\n"
    ".long 0xC0021000\n"
    "2: movl $0x18, %eax\n"
    "movl %eax, %ss\n"
    "movl %eax, %ds\n"
    "movl %eax, %es\n"
    "xorl %eax, %eax\n"
    "movl %eax, %fs\n"
    "movl %eax, %gs\n"
    "lgdt 0x8000 + (3b - fuzz_gdb32_boot)\n"
    "lidt 0x8000 + (4b - fuzz_gdb32_boot)\n"
    "movl $0x38, %eax\n"
    "ltr %ax\n"
    "movl $0x48, %eax\n"
    "lldt %ax\n"
    "xorl %ecx, %ecx\n"
    "xorl %edx, %edx\n"
    "movl $7, %eax\n"
    "xsetbv\n"
    "movl $0xC0028800, %edi\n"
    ".irp leaf, 1, 7, 0xD, 0x80000001\n"
    "movl $\\leaf, %eax\n"
    "xorl %ecx, %ecx\n"
    ".if \\leaf == 0xD\n"
    "incl %ecx\n"
    ".endif\n"
    "cpuid\n"
    "movl %eax, (%edi)\n"
    "movl %ebx, 4(%edi)\n"
    "movl %ecx, 8(%edi)\n"
    "movl %edx, 12(%edi)\n"
    "addl $16, %edi\n"
    ".endr\n"
    "movl $0xC0026000, %eax\n"
    "jmp *%eax\n"
    "fuzz_gdb32_boot_end:\n"

    ".set in32, 0xC0027000\n"
    ".set out32, 0xC0028000\n"
    "fuzz_gdb32_server:\n"
    "movl $0x10000, %eax\n" /* the machine's tables, without what the way here needed */
    "movl %eax, %cr3\n"
    "fuzz_gdb32_done:\n"
    "nop\n" /* who asked stops here */
    "jmp fuzz_gdb32_done\n"
    "fuzz_gdb32_entry:\n"
    "clts\n"
    "movl $0xC0025000, %esp\n"
    "movl $0xC0020085, %eax\n" /* no task is busy */
    "movl $32, %ecx\n"
    "5: andb $0xFD, (%eax)\n"
    "addl $8, %eax\n"
    "loop 5b\n"
    "andb $0xFD, 0xC002003D\n"
    "movl $0x38, %eax\n"
    "ltr %ax\n"
    "movl $0x48, %eax\n" /* a vector's task has none */
    "lldt %ax\n"
    "pushl $2\n" /* NT */
    "popfl\n"
    "movl in32 + 0xA8, %eax\n"
    "movl %eax, %ds\n"
    "movl %eax, %es\n"
    "movl $7, %eax\n"
    "xorl %edx, %edx\n"
    "xrstor in32 + 0x100\n"
    "movl in32 + 8, %ecx\n"
    "movl in32 + 16, %edx\n"
    "movl in32 + 24, %ebx\n"
    "movl in32 + 40, %ebp\n"
    "movl in32 + 48, %esi\n"
    "movl in32 + 56, %edi\n"
    "testb $3, in32 + 0x84\n"
    "movl in32, %eax\n"
    "jz 6f\n"
    "movl $in32 + 0x80, %esp\n"
    "iretl\n"
    "6: pushl in32 + 0x88\n"
    "popfl\n"
    "lss in32 + 0x8C, %esp\n"
    "ljmp *in32 + 0x80\n"
    "fuzz_gdb32_common:\n" /* called by each vector's task: the return address says which */
    "clts\n"
    "movl %cr2, %eax\n"
    "movl %eax, out32 + 0x80\n"
    "movl (%esp), %eax\n"
    "movl %eax, out32 + 0x88\n"
    "movl 4(%esp), %eax\n"
    "movl %eax, out32 + 0x90\n"
    "movl $0xC0022000, %esi\n"
    "movl $out32 + 0x440, %edi\n"
    "movl $26, %ecx\n"
    "cld\n"
    "rep movsl\n"
    "movl $7, %eax\n"
    "xorl %edx, %edx\n"
    "xsave out32 + 0x100\n"
    "jmp fuzz_gdb32_done\n"
    "fuzz_gdb32_server_end:\n"
    ".code64\n"
    ".popsection\n");
/* clang-format on */

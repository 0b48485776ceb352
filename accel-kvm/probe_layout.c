/* Where everything of a probe's guest lies, and the registers of each mode: Intel SDM vol. 3A, 3 to 6 and 8.
 *
 *   0x1000 GDT   0x2000 IDT   0x3000 TSS   0x4000 PML4, PDPT, PD, PT   0x8000 32-bit PD   0x9000 PAE PDPT, PD
 *   0xd000 stack of CPL0 (grows down)   0xf000 stack of CPL3   0x10000 code   0x11000 data   0x20000 handlers, LSTAR
 *
 * The handlers and what SYSCALL enters are supervisor pages, all else is the user's too. The TSS opens every port up to
 * 0xff, so OUT works at CPL3 whatever IOPL does. Selectors of CPL3 are unlike those of Linux, so that a host's own show. */
#include "accel-kvm/probe_vm.h"

#include <string.h>
#include <sys/ioctl.h>

#define GDT 0x1000u
#define IDT 0x2000u
#define TSS 0x3000u
#define PML4 0x4000u
#define PDPT 0x5000u
#define PD 0x6000u
#define PT 0x7000u
#define PD_32 0x8000u
#define PDPT_PAE 0x9000u
#define PD_PAE 0xa000u
#define STACK_CPL0 0xd000u
#define STACK_CPL3 0xf000u
#define HANDLERS 0x20000u
#define LSTAR 0x21000u
#define HANDLER_BYTES 16u

#define CODE64_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define CODE32_SELECTOR 0x18
#define USER_CODE64_SELECTOR (0x58 | 3)
#define USER_DATA_SELECTOR (0x60 | 3)
#define USER_CODE32_SELECTOR (0x68 | 3)
#define TSS_SELECTOR 0x70
#define GDT_BYTES 0x80u
#define TSS_BITMAP 0x68u
#define TSS_BYTES (TSS_BITMAP + 0x21u) /* ports 0 to 0xff, and the byte of ones behind them */

#define PAGE_PRESENT 1u
#define PAGE_WRITE 2u
#define PAGE_USER 4u
#define PAGE_ACCESSED 0x20u
#define PAGE_DIRTY 0x40u
#define PAGE_LARGE 0x80u
#define PAGE_ALL (PAGE_PRESENT | PAGE_WRITE | PAGE_USER | PAGE_ACCESSED | PAGE_DIRTY)

#define CR0_PE 1u
#define CR0_MP 2u
#define CR0_ET 0x10u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_PG 0x80000000u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u
#define EFER_SCE 1u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u

static void put64(uint8_t *memory, uint32_t gpa, uint64_t value)
{
    memcpy(memory + gpa, &value, sizeof value); /* x86 only: little-endian */
}

static void put32(uint8_t *memory, uint32_t gpa, uint32_t value)
{
    memcpy(memory + gpa, &value, sizeof value);
}

uint64_t probe_layout_lstar(void)
{
    return LSTAR;
}

/* SYSCALL loads CS from bits 47:32 and SS from the next descriptor; SYSRET is not used. */
uint64_t probe_layout_star(void)
{
    return (uint64_t)CODE64_SELECTOR << 32;
}

uint16_t probe_layout_user_cs(enum probe_mode mode)
{
    return mode == PROBE_COMPAT_CPL3 ? USER_CODE32_SELECTOR : USER_CODE64_SELECTOR;
}

uint16_t probe_layout_user_ss(void)
{
    return USER_DATA_SELECTOR;
}

uint32_t probe_layout_user_rights(void)
{
    return 0x00affb00;
}

uint32_t probe_layout_gdt(void)
{
    return GDT;
}

/* ---- memory ---- */

static void layout_descriptors(uint8_t *memory)
{
    put64(memory, GDT + CODE64_SELECTOR, 0x00af9b000000ffff);
    put64(memory, GDT + DATA_SELECTOR, 0x00cf93000000ffff);
    put64(memory, GDT + CODE32_SELECTOR, 0x00cf9b000000ffff);
    put64(memory, GDT + (USER_CODE64_SELECTOR & ~7u), 0x00affb000000ffff);
    put64(memory, GDT + (USER_DATA_SELECTOR & ~7u), 0x00cff3000000ffff);
    put64(memory, GDT + (USER_CODE32_SELECTOR & ~7u), 0x00cffb000000ffff);
    put64(memory, GDT + TSS_SELECTOR, 0x00008b0000000000 | (uint64_t)TSS << 16 | (TSS_BYTES - 1));
    put64(memory, TSS + 4, STACK_CPL0);
    memory[TSS + 0x66] = TSS_BITMAP;
    memset(memory + TSS + TSS_BITMAP, 0, 0x20);
    memory[TSS + TSS_BYTES - 1] = 0xff;
}

/* Each: mov al, VECTOR; out 0xee, al; hlt */
static void layout_handlers(uint8_t *memory)
{
    for (uint32_t vector = 0; vector < 256; vector++) {
        uint32_t handler = HANDLERS + vector * HANDLER_BYTES;
        const uint8_t code[] = {0xb0, (uint8_t)vector, 0xe6, PROBE_PORT_EXCEPTION, 0xf4};
        memcpy(memory + handler, code, sizeof code);
        put64(memory, IDT + vector * 16,
              (handler & 0xffff) | (uint64_t)CODE64_SELECTOR << 16 | 0xee00ull << 32 | (uint64_t)(handler >> 16) << 48);
        put64(memory, IDT + vector * 16 + 8, 0);
    }
}

static void layout_pages(uint8_t *memory)
{
    put64(memory, PML4, PDPT | PAGE_ALL);
    put64(memory, PDPT, PD | PAGE_ALL);
    put64(memory, PD, PT | PAGE_ALL);
    put64(memory, PD + PROBE_DEVICE / 0x200000 * 8, PROBE_DEVICE | PAGE_LARGE | PAGE_ALL);
    for (uint32_t page = 0; page < PROBE_RAM_BYTES / 4096; page++) {
        bool supervisor = page == HANDLERS / 4096 || page == LSTAR / 4096;
        put64(memory, PT + page * 8, page * 4096 | (PAGE_ALL & ~(supervisor ? PAGE_USER : 0)));
    }
    put32(memory, PD_32, PAGE_LARGE | PAGE_ALL);
    put64(memory, PDPT_PAE, PD_PAE | PAGE_PRESENT);
    put64(memory, PD_PAE, PAGE_LARGE | PAGE_ALL);
}

void probe_layout_memory(uint8_t *memory)
{
    const struct probe_guest *entry = probe_guest_get(PROBE_GUEST_syscall_entry);
    layout_descriptors(memory);
    layout_handlers(memory);
    layout_pages(memory);
    memcpy(memory + LSTAR, entry->code, entry->size_bytes);
}

void probe_layout_code(uint8_t *memory, const struct probe_guest *guest)
{
    memset(memory + PROBE_CODE, 0xf4, 256);
    memcpy(memory + PROBE_CODE, guest->code, guest->size_bytes);
    memset(memory + PROBE_DATA, 0, 4096);
    put32(memory, PROBE_DATA, 0x11223344);
    put32(memory, PROBE_DATA + 0x100, 0xcafe0001);
}

/* ---- registers ---- */

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool big, bool is_long)
{
    return (struct kvm_segment){.selector = selector,
                                .limit = 0xffffffff,
                                .type = type,
                                .present = 1,
                                .dpl = selector & 3,
                                .db = big,
                                .s = 1,
                                .l = is_long,
                                .g = 1};
}

static void set_data_segments(struct kvm_sregs *sregs, struct kvm_segment data)
{
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
}

static void start_real(struct kvm_regs *regs, struct kvm_sregs *sregs)
{
    struct kvm_segment real = {.limit = 0xffff, .type = 3, .present = 1, .s = 1};
    sregs->cs = real;
    sregs->cs.base = PROBE_CODE;
    sregs->cs.selector = PROBE_CODE >> 4;
    sregs->cs.type = 11;
    set_data_segments(sregs, real);
    sregs->cr0 = CR0_ET;
    regs->rip = 0;
    regs->rsp = STACK_CPL0;
}

static void start_protected(enum probe_mode mode, struct kvm_sregs *sregs)
{
    sregs->cs = segment(CODE32_SELECTOR, 11, true, false);
    set_data_segments(sregs, segment(DATA_SELECTOR, 3, true, false));
    sregs->cr0 = CR0_PE | CR0_ET | CR0_NE;
    if (mode == PROBE_PROTECTED)
        return;
    sregs->cr0 |= CR0_PG;
    sregs->cr3 = mode == PROBE_PAGING_PAE ? PDPT_PAE : PD_32;
    sregs->cr4 = mode == PROBE_PAGING_PAE ? CR4_PAE : CR4_PSE;
}

static void start_long(enum probe_mode mode, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
    if (mode == PROBE_CPL0) {
        sregs->cs = segment(CODE64_SELECTOR, 11, false, true);
        set_data_segments(sregs, segment(DATA_SELECTOR, 3, true, false));
    } else {
        bool compat = mode == PROBE_COMPAT_CPL3;
        sregs->cs = segment(compat ? USER_CODE32_SELECTOR : USER_CODE64_SELECTOR, 11, compat, !compat);
        set_data_segments(sregs, segment(USER_DATA_SELECTOR, 3, true, false));
        regs->rsp = STACK_CPL3;
    }
    sregs->idt = (struct kvm_dtable){.base = IDT, .limit = 0xfff};
    sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    sregs->cr3 = PML4;
    sregs->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    sregs->efer = EFER_LME | EFER_LMA | EFER_SCE;
}

bool probe_layout_registers(const struct probe_vm *vm, const struct probe_start *start, struct kvm_regs *regs,
                            struct kvm_sregs *sregs)
{
    struct kvm_segment task = {.base = TSS, .limit = TSS_BYTES - 1, .selector = TSS_SELECTOR, .type = 11, .present = 1};
    struct kvm_segment none = {.type = 2, .present = 1, .unusable = 1};
    *regs = (struct kvm_regs){.rip = PROBE_CODE, .rsp = STACK_CPL0, .rcx = start->rcx, .rflags = 2 | start->rflags};
    if (ioctl(vm->vcpu, KVM_GET_SREGS, sregs)) /* the APIC's base and what else KVM has there stay */
        return false;
    sregs->cr0 = sregs->cr2 = sregs->cr3 = sregs->cr4 = sregs->cr8 = sregs->efer = 0;
    memset(sregs->interrupt_bitmap, 0, sizeof sregs->interrupt_bitmap);
    sregs->tr = task;
    sregs->ldt = none;
    sregs->gdt = (struct kvm_dtable){.base = GDT, .limit = GDT_BYTES - 1};
    sregs->idt = (struct kvm_dtable){0};
    if (start->mode == PROBE_REAL)
        start_real(regs, sregs);
    else if (start->mode < PROBE_CPL0)
        start_protected(start->mode, sregs);
    else
        start_long(start->mode, regs, sregs);
    sregs->cr0 |= start->cr0;
    sregs->cr4 |= start->cr4;
    return true;
}

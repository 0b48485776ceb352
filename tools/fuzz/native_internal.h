/* What the files of the native instruction check share, and its tests. */
#ifndef VMRR_TOOLS_FUZZ_NATIVE_INTERNAL_H
#define VMRR_TOOLS_FUZZ_NATIVE_INTERNAL_H

#include "accel-interp/opcodes.h"
#include "tools/fuzz/native_host.h"

/* ---- the made-up machine: selectors, what lies where ---- */

#define NATIVE_KERNEL_CS32 0x08u
#define NATIVE_KERNEL_CS64 0x10u
#define NATIVE_KERNEL_DS 0x18u
/* Selectors as Linux has them. */
#define NATIVE_USER_CS64 0x33u
#define NATIVE_USER_CS32 0x23u
#define NATIVE_USER_DS 0x2Bu

/* Guest physical layout, all below 1 MiB. Supervisor structures are mapped in the upper half, where no case can tell
 * them from the host's kernel. */
#define NATIVE_SUPERVISOR 0xFFFFFF8000000000ull
enum {
    PHYS_TABLES = 0x10000,
    PHYS_GDT = 0x20000,
    PHYS_IDT = 0x21000,
    PHYS_TSS = 0x22000,
    PHYS_HANDLERS = 0x23000,
    PHYS_STACK = 0x24000,
    PHYS_STACK_TOP = 0x25000,
    PHYS_SERVER = 0x26000, /* gdb_guest.h; two pages behind it, too */
    PHYS_TASKS = 0x2A000,  /* native_legacy.c */
    PHYS_ARENA = 0x40000, /* NATIVE_CODE + x lies at PHYS_ARENA + x */
};
#define NO_EXECUTE (1ull << 63)
#define NATIVE_SYSTEM_CALL 0x200u /* behind the handlers of 32 vectors */
/* Its memory, 2 MiB. */
uint8_t *native_memory(struct native_harness *h, uint64_t gpa);
unsigned native_level(const struct native_harness *h);

enum native_paging native_paging(const struct native_harness *h);

/* ---- legacy protected mode (native_legacy.c) ---- */

#define NATIVE_LEGACY_SUPERVISOR 0xC0000000u
#define NATIVE_LEGACY_HIGH (PHYS_TABLES + 0x4000u) /* the table that maps it */
#define NATIVE_LEGACY_CASE 0x38u /* selectors of tasks: the case's, the first handler's */
#define NATIVE_LEGACY_TASK 0x80u
#define NATIVE_LEGACY_GDT_LIMIT 0x17Fu
struct cpu_state;
void native_legacy_tables(struct native_harness *h);
void native_legacy_descriptors(struct native_harness *h);
void native_legacy_state(const struct native_harness *h, struct cpu_state *s);
void native_legacy_begin(struct native_harness *h); /* before each case: no handler's task is busy */
bool native_legacy_in_handler(const struct cpu_state *s);
void native_legacy_unwind(struct native_harness *h, const struct cpu_state *s, struct native_state *out);
void native_legacy_take(const uint8_t *tss, struct native_state *out); /* general registers, RIP, flags */

/* ---- cases ---- */

/* A case being put together. */
struct native_encoding {
    uint8_t bytes[96]; /* an instruction, or what random_program.c puts around one */
    unsigned length;
};
struct native_choice {
    bool operand16, address, memory, has_sib, rip_relative;
    uint8_t rex_bits; /* WRXB, of REX or VEX */
    uint8_t vvvv;     /* of VEX, not inverted */
    uint8_t modrm, sib;
    unsigned disp_bytes, disp_at;
    int64_t disp;
};
void native_emit(struct native_encoding *e, uint64_t value, unsigned size_bytes);
/* MOV of a register of all bits, 32 outside 64-bit code. */
void native_emit_move(struct native_encoding *e, unsigned bits, unsigned reg, uint64_t value);
bool native_chance(struct native_case *c, unsigned percent);
uint64_t native_between(struct native_case *c, uint64_t low, uint64_t high);
/* Is `name` one of the row's operands? Has it one that begins with a letter and goes on with a size? */
bool native_has_operand(const struct opcode_row *row, const char *name);
bool native_has_letter(const struct opcode_row *row, char letter);
/* native_vex.c: the prefix and opcode of a VEX row; the index vector of a VSIB operand, so that most elements lie in the
 * data. */
void native_emit_vex(struct native_case *c, struct native_encoding *e, struct native_choice *k);
bool native_is_vsib(const struct opcode_row *row);
void native_place_vsib(struct native_case *c, struct native_choice *k);

/* Makes the case of (row, seed): encoding, registers, memory. False: the row has no encoding in this mode. */
bool native_generate(struct native_case *c, const struct opcode_row *row, const struct native_profile *profile,
                     uint64_t seed);
/* A number that only (row, n) determine. */
uint64_t native_seed(const struct opcode_row *row, unsigned n);
/* Does the machine's CPU model have a row's feature? Null: always. */
bool native_has_feature(const struct native_harness *h, const char *feature);
/* Of the instruction at the start of code; null: it is none. */
const struct opcode_row *native_row_of(const struct native_harness *h, unsigned bits, const uint8_t *code,
                                       unsigned length);
/* The same, and how many bytes it has. */
const struct opcode_row *native_row_at(const struct native_harness *h, unsigned bits, const uint8_t *code,
                                       unsigned length, unsigned *size);
/* Is `name` one of the words of the list? */
bool native_in_list(const char *list, const char *name);
/* A relative branch: from its first byte to its target. False: it is none. */
bool native_branch_of(const struct native_harness *h, unsigned bits, const uint8_t *code, unsigned length,
                      int64_t *distance);
/* Do the case's bytes, which need not be its row's (VEX bits turned round on purpose), want a feature that the host lacks? */
bool native_host_lacks_case(const struct native_harness *h, const struct native_case *c);
/* The interpreter of the harness. */
struct accel *native_accel(struct native_harness *h);

#endif

/* Forms: how one instruction becomes a set of specialised functions.
 *
 * A row of an opcodes_*.def file names a `struct insn_forms`; the decoder picks fn[effective operand size][form] once, and the
 * function so picked never asks again. Null entries fall back: a null fn[size][form] means "not encodable" (#UD).
 *
 *   form REG    ModRM operand is a register, or there is none
 *   form MEM64  memory operand, 64-bit code, 64-bit address size, segment base 0    -> ea64
 *   form BASE64 the same without an index (null: MEM64's function)                  -> ea_base64
 *   form MEM32  memory operand, 32-bit address size, flat segment (or 64-bit code)  -> ea32
 *   form MEMSEG memory operand, anything else                                       -> ea_general
 *
 * FORMS_ANY(f)      one function for everything (it asks insn_osize, ea_general itself)
 * FORMS_RM(r, m)    REG -> r, any memory -> m (uses ea_general)
 * FORMS_SIZES(...)  see below; exec_alu.c generates full sets by macro. */
#ifndef VMRR_ACCEL_INTERP_FORMS_H
#define VMRR_ACCEL_INTERP_FORMS_H

#include "accel-interp/interp.h"

enum insn_form { FORM_REG, FORM_MEM64, FORM_MEM32, FORM_MEMSEG, FORM_BASE64, FORM_COUNT };

struct insn_forms {
    insn_fn *fn[4][FORM_COUNT]; /* [operand size 0: 8 .. 3: 64][form] */
    /* Optional, for what depends on the code's mode beyond its memory operand (implicit stack accesses, strings, branches): a
     * set that replaces this one. A null fn in it falls back to the one above. */
    const struct insn_forms
        *code64; /* 64-bit code: stack 64 bits wide, ES CS SS DS flat; address size may still be 32 */
    const struct insn_forms *flat32; /* 32-bit code, MODE_FLAT and MODE_STACK32; address size may still be 16 */
    const struct insn_forms
        *other_page; /* direct branches whose target is in another page than the block; after the above */
};

#define FORMS_ROW_(r, m)                                                                                               \
    {                                                                                                                  \
        r, m, m, m                                                                                                     \
    }
#define FORMS_RM(name, r, m)                                                                                           \
    const struct insn_forms name = {.fn = {FORMS_ROW_(r, m), FORMS_ROW_(r, m), FORMS_ROW_(r, m), FORMS_ROW_(r, m)}}
#define FORMS_ANY(name, f) FORMS_RM(name, f, f)

#endif

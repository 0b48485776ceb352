/* The instruction table: one row an encoding, in the notation of the Intel SDM vol. 2 appendix A.
 *
 * opcodes.def includes one file a group (opcodes_int.def, opcodes_system.def, opcodes_x87.def, opcodes_sse.def, opcodes_avx_*.def...); each row is
 *
 *   OP(map, opcode, prefix, modrm, "MNEMONIC", "operands", forms, feature, flags)
 *
 *   map      MAP_1, MAP_0F, MAP_0F38, MAP_0F3A
 *   opcode   the byte. Rows with the register in the opcode's low 3 bits: flag OPREG, the row stands for opcode..opcode+7
 *   prefix   PFX_ANY  66/F2/F3 are not part of the encoding (operand size, REP, ignored)
 *            PFX_NONE none of them may be present; PFX_66, PFX_F3, PFX_F2 mandatory prefixes
 *   modrm    MODRM_NONE, MODRM_ANY (/r), MODRM_MEM, MODRM_REG (mod != 3, mod = 3), MODRM_D(n) (/n), MODRM_D_MEM(n),
 *            MODRM_D_REG(n), MODRM_BYTE(b) (exactly this byte)
 *   operands comma-separated: E G M R with size letter (b w d q v z y dq...): Eb Ev Ew Ed Ey Gb Gv Gw M Mb Md Mq Mdq...,
 *            registers by name ("AL", "rAX", "CL", "DX", "1"), segment Sw, control Cd, debug Dd, Vx Wx (SSE), Pq Qq Nq (MMX),
 *            immediates Ib (zero-extended byte), sIb (sign-extended to operand size), Iw, Iz (16/32, sign-extended to
 *            64), Iv (16/32/64), Jb, Jz, Ap (far pointer: imm = offset | selector << 32), Ob Ov (moffs: address in imm),
 *            Xb Xv Yb Yv (strings), "Iw,Ib" (ENTER: imm = Iw | Ib << 16).
 *            VEX: H (vector in vvvv: Hx Hdq Hqq Hss...), B (general register in vvvv: By), L (vector in imm8[7:4]: Lx; the
 *            byte is fetched, its bit 7 is clear outside 64-bit code), vMd vMq (VSIB memory with dword, qword elements).
 *            x is dq or qq by VEX.L; dq 128 bits, qq 256.
 *            "Zb" "Zv": the register in the opcode (OPREG); 8-bit when OP_B8. A R (register, whatever mod says: MOV CR) is never memory.
 *            The decoder takes from it: which immediate to fetch, whether reg and rm are 8-bit registers (b: byte offsets),
 *            and the tests take all of it.
 *   forms    the struct insn_forms (declared by the includer)
 *   feature  CPUID feature name that must be in the model (core/cpu_model.h) as a string ("sse2"), or BASE (null)
 *   flags    0, or OP_* below ORed:
 *            B8      byte operation: operand size 0 whatever the prefixes
 *            D64     operand size defaults to 64 in 64-bit mode (PUSH, POP, ...); F64: always 64 there (near branches)
 *            I64     #UD in 64-bit mode; O64: only there
 *            LOCKOK  LOCK allowed with a memory destination; otherwise LOCK raises #UD
 *            END     ends the block
 *            OPREG   see above
 *            PROT    #UD in real and virtual-8086 mode
 *            VEX     the encoding is VEX: C5, or C4 with mmmmm = map; prefix (NONE, 66, F3, F2; not ANY) is pp. A row without it
 *                    is legacy. LOCK, 66, F2, F3 or REX before VEX is #UD; so are real and virtual-8086 mode, and a vvvv other
 *                    than 1111b in a row that has no H or B operand: the decoder sees to all that. Operand size: 64 with W in
 *                    64-bit code, else 32. CR4.OSXSAVE, XCR0 and CR0.TS are the function's (AVX_CHECK of avx.h; not for
 *                    general-register instructions)
 *            L0 L1   VEX.L must be 0, 1 (neither: ignored)
 *            W0 W1   VEX.W, of legacy rows REX.W, must be 0, 1 (neither: ignored)
 *            NO_REP  F2 and F3 are #UD (MOVBE)
 *            SUPPRESS_REP  F2/F3 are meaningless and ignored (default: passed on in bits)
 *
 * A row with a mandatory prefix wins over a PFX_ANY row of the same opcode; MODRM_BYTE over MODRM_D over MODRM_ANY. What no
 * row matches is #UD, counted in the run's summary unless it is an architecturally undefined encoding (UD0, UD1, UD2). */
#ifndef VMRR_ACCEL_INTERP_OPCODES_H
#define VMRR_ACCEL_INTERP_OPCODES_H

#include "accel-interp/forms.h"

enum { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A };
enum { PFX_ANY, PFX_NONE, PFX_66, PFX_F3, PFX_F2 };

#define MODRM_NONE 0x000u
#define MODRM_ANY 0x100u
#define MODRM_MEM 0x200u
#define MODRM_REG 0x300u
#define MODRM_D(n) (0x400u | (n))
#define MODRM_D_MEM(n) (0x500u | (n))
#define MODRM_D_REG(n) (0x600u | (n))
#define MODRM_BYTE(b) (0x700u | (b))

#define BASE NULL

#define OP_B8 0x0001u
#define OP_D64 0x0002u
#define OP_F64 0x0004u
#define OP_I64 0x0008u
#define OP_O64 0x0010u
#define OP_LOCKOK 0x0020u
#define OP_END 0x0040u
#define OP_OPREG 0x0080u
#define OP_PROT 0x0100u
#define OP_SUPPRESS_REP 0x0200u
#define OP_VEX 0x0400u
#define OP_L0 0x0800u
#define OP_L1 0x1000u
#define OP_W0 0x2000u
#define OP_W1 0x4000u
#define OP_NO_REP 0x8000u

struct opcode_row {
    uint8_t map;
    uint8_t opcode;
    uint8_t prefix;
    uint16_t modrm;
    uint16_t flags; /* OP_* */
    const char *mnemonic;
    const char *operands;
    const struct insn_forms *forms;
    const char *feature; /* null: base */
};

/* All rows, from opcodes.def; opcode_rows_count of them. For the decoder and for the tests. */
extern const struct opcode_row opcode_rows[];
extern const unsigned opcode_rows_count;

#endif

/* Names of the bits of control registers and MSRs (Intel SDM vol. 3, 2.5, 2.2.1, 17.2). */
#ifndef VMRR_ACCEL_INTERP_SYSTEM_BITS_H
#define VMRR_ACCEL_INTERP_SYSTEM_BITS_H

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)
#define CR0_ALL (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

#define CR4_VME (1u << 0)
#define CR4_PVI (1u << 1)
#define CR4_TSD (1u << 2)
#define CR4_DE (1u << 3)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_MCE (1u << 6)
#define CR4_PGE (1u << 7)
#define CR4_PCE (1u << 8)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP (1u << 11)
#define CR4_FSGSBASE (1u << 16)
#define CR4_OSXSAVE (1u << 18)
#define CR4_SMEP (1u << 20)
#define CR4_PCIDE (1u << 17)
#define CR4_SMAP (1u << 21)
#define CR4_PKE (1u << 22)

#define CR3_PCID 0xFFFu
#define CR3_NO_FLUSH (1ull << 63)

#define XCR0_X87 (1u << 0)
#define XCR0_SSE (1u << 1)
#define XCR0_AVX (1u << 2)
#define XCR0_PKRU (1u << 9)

#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)

#define DR6_BS (1u << 14)
#define DR6_BT (1u << 15)
#define DR6_BD (1u << 13)
#define DEBUG_CONTROL_BTF (1u << 1)

#define DR6_FIXED 0xFFFF0FF0u
#define DR7_FIXED 0x00000400u
#define DR7_GD (1u << 13)
#define DR7_ENABLED 0xFFu

#define PHYSICAL_BITS 40u
#define PHYSICAL_MASK ((1ull << PHYSICAL_BITS) - 1)

#endif

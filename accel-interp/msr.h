/* Model-specific registers (msr.c). */
#ifndef VMRR_ACCEL_INTERP_MSR_H
#define VMRR_ACCEL_INTERP_MSR_H

#include "accel-interp/interp.h"

#define MSR_TSC 0x10u
#define MSR_PLATFORM_ID 0x17u
#define MSR_APIC_BASE 0x1Bu
#define MSR_FEATURE_CONTROL 0x3Au
#define MSR_TSC_ADJUST 0x3Bu
#define MSR_BIOS_UPDATE_TRIGGER 0x79u
#define MSR_BIOS_SIGN_ID 0x8Bu
#define MSR_PLATFORM_INFO 0xCEu
#define MSR_MTRR_CAP 0xFEu
#define MSR_ARCH_CAPABILITIES 0x10Au
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_MISC_FEATURES 0x140u /* of later models: not here, but Linux asks */
#define MSR_MCG_CAP 0x179u
#define MSR_MCG_STATUS 0x17Au
#define MSR_MISC_ENABLE 0x1A0u
#define MISC_ENABLE_MONITOR (1u << 18) /* MONITOR and MWAIT are there */
#define MSR_DEBUG_CONTROL 0x1D9u
#define MSR_MTRR_VARIABLE 0x200u /* 8 pairs of base and mask */
#define MSR_MTRR_FIXED_64K 0x250u
#define MSR_MTRR_FIXED_16K 0x258u /* 2 */
#define MSR_MTRR_FIXED_4K 0x268u  /* 8 */
#define MSR_PAT 0x277u
#define MSR_MTRR_DEF_TYPE 0x2FFu
#define MSR_TSC_DEADLINE 0x6E0u
#define MSR_XSS 0xDA0u
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST 0x8FFu
#define MSR_AMD_FIRST 0xC0010000u /* another vendor's block */
#define MSR_AMD_LAST 0xC001FFFFu
#define MSR_EFER 0xC0000080u
#define MSR_STAR 0xC0000081u
#define MSR_LSTAR 0xC0000082u
#define MSR_CSTAR 0xC0000083u
#define MSR_SFMASK 0xC0000084u
#define MSR_FS_BASE 0xC0000100u
#define MSR_GS_BASE 0xC0000101u
#define MSR_KERNEL_GS_BASE 0xC0000102u
#define MSR_TSC_AUX 0xC0000103u

/* At instruction i; raise #GP(0) for what is not there or not allowed, naming unknown registers in the run's summary. */
uint64_t msr_read(struct interp *cpu, const struct insn *i, uint32_t index);
void msr_write(struct interp *cpu, const struct insn *i, uint32_t index, uint64_t value);

#endif

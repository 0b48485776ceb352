/* The code that a remote target executes for vmrr fuzz --against gdb, and what lies where in the target's memory (physical
 * addresses; below 1 MiB as in native_internal.h, and mapped as there). */
#ifndef VMRR_TOOLS_FUZZ_GDB_GUEST_H
#define VMRR_TOOLS_FUZZ_GDB_GUEST_H

#include <stdint.h>

#define GDB_GUEST_BOOT 0x8000u         /* fuzz_gdb_boot, entered in real mode with CS 0 */
#define GDB_GUEST_BOOT_TABLES 0x30000u /* of the way: the first 2 MiB also where they are; three pages */
#define GDB_GUEST_IN 0x27000u          /* a page: general registers, and: */
#define GDB_GUEST_OUT 0x28000u         /* the same of what came out */
/* Offsets. */
#define GDB_GUEST_FRAME 0x80u  /* in: RIP, CS, RFLAGS, RSP, SS; in legacy mode 4 bytes each */
#define GDB_GUEST_DS 0xA8u     /* in: DS and ES */
#define GDB_GUEST_CR2 0x80u    /* out */
#define GDB_GUEST_FROM 0x88u   /* out: behind the handler's call; 0: its stack was no handler's */
#define GDB_GUEST_PUSHED 0x90u /* out: six words of the handler's stack, error code first where there is one */
#define GDB_GUEST_XSAVE 0x100u /* both: standard form, x87, SSE, AVX */
#define GDB_GUEST_XSAVE_BYTES 832u
#define GDB_GUEST_CPUID 0x800u /* out: 16 bytes each, leaves 1, 7, 0DH (1), 80000001H */
#define GDB_GUEST_TSS (GDB_GUEST_XSAVE + GDB_GUEST_XSAVE_BYTES) /* out, legacy mode: the case's task */
#define GDB_GUEST_TSS_BYTES 104u
#define GDB_GUEST_BYTES (GDB_GUEST_TSS + GDB_GUEST_TSS_BYTES)

#define GDB_GUEST_HIDDEN __attribute__((visibility("hidden")))
extern const uint8_t fuzz_gdb_boot[] GDB_GUEST_HIDDEN, fuzz_gdb_boot_end[] GDB_GUEST_HIDDEN;
extern const uint8_t fuzz_gdb_server[] GDB_GUEST_HIDDEN, fuzz_gdb_server_end[] GDB_GUEST_HIDDEN;
/* In the server: where it waits; where a case begins; what each handler calls. */
extern const uint8_t fuzz_gdb_done[] GDB_GUEST_HIDDEN, fuzz_gdb_entry[] GDB_GUEST_HIDDEN,
    fuzz_gdb_common[] GDB_GUEST_HIDDEN;
/* The same in legacy protected mode (gdb_guest_legacy.c). settings, in the boot code: CR4 and EFER, 4 bytes each. */
extern const uint8_t fuzz_gdb32_boot[] GDB_GUEST_HIDDEN, fuzz_gdb32_boot_end[] GDB_GUEST_HIDDEN,
    fuzz_gdb32_settings[] GDB_GUEST_HIDDEN;
extern const uint8_t fuzz_gdb32_server[] GDB_GUEST_HIDDEN, fuzz_gdb32_server_end[] GDB_GUEST_HIDDEN;
extern const uint8_t fuzz_gdb32_done[] GDB_GUEST_HIDDEN, fuzz_gdb32_entry[] GDB_GUEST_HIDDEN,
    fuzz_gdb32_common[] GDB_GUEST_HIDDEN;

#endif

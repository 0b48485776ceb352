/* A client of gdb's remote protocol ("Remote Protocol" in gdb's manual, appendix E), as far as lockstep needs one: registers,
 * memory, single steps of one x86 CPU. The peer may say anything: sizes, numbers and texts of it are checked, and a call
 * ends after a bounded number of its packets, or when it is silent for too long. Thread: the caller's. */
#ifndef VMRR_TOOLS_LOCKSTEP_REMOTE_H
#define VMRR_TOOLS_LOCKSTEP_REMOTE_H

#include "core/cpu_state.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REMOTE_REGISTERS_MAX 256u
#define REMOTE_MEMORY_BYTES 1024u /* of one request */

struct remote_wire {
    void *opaque;
    bool (*send)(void *opaque, const uint8_t *bytes, size_t size_bytes);
    int (*receive)(void *opaque, uint8_t *bytes, size_t size_bytes); /* how many, at least 1; 0: it is gone or silent */
    bool (*ready)(void *opaque, int timeout_ms); /* something can be received; null: receive is called without asking */
    void (*close)(void *opaque);                 /* may be null */
};

struct remote;
/* "unix:PATH" or "tcp:HOST:PORT", and what remote_create says. */
struct remote *remote_open(const char *where, struct error *error);
/* Over a wire, which it takes over, also when it fails: asks what the target is. Null: no x86 target that describes its
 * registers. */
struct remote *remote_create(const struct remote_wire *wire, struct error *error);
void remote_close(struct remote *remote); /* null allowed; the target is left where it stands */

/* Puts what the target says into state, the rest stays: general registers, RIP, RFLAGS, selectors, and where it has them bases of FS
 * and GS, control registers, EFER, XMM, MXCSR and the x87's control and status words. */
enum status remote_read_cpu(struct remote *remote, struct cpu_state *state, struct error *error) MUST_CHECK;
/* Makes the target's general registers, RFLAGS, MXCSR, XMM and the x87's control and status words those of `to`, where they differ from `from`, what it has now. */
enum status remote_write_cpu(struct remote *remote, const struct cpu_state *from, const struct cpu_state *to,
                             struct error *error) MUST_CHECK;
/* One instruction, or one iteration of a repeated one. *ended: the target is gone or has exited. */
enum status remote_step(struct remote *remote, bool *ended, struct error *error) MUST_CHECK;

/* A register by its name in the target's description: not all that are read can be written. STATUS_NOT_FOUND: it has none. */
enum status remote_write_register(struct remote *remote, const char *name, uint64_t value, struct error *error) MUST_CHECK;
/* Where remote_continue stops; it stays. */
enum status remote_insert_breakpoint(struct remote *remote, uint64_t linear, struct error *error) MUST_CHECK;
/* Until it stops; after timeout_ms it is told to (*late). */
enum status remote_continue(struct remote *remote, int timeout_ms, bool *late, struct error *error) MUST_CHECK;

/* Can it be asked by physical address (QEMU's PhyMemMode)? */
bool remote_has_physical(const struct remote *remote);
/* At most REMOTE_MEMORY_BYTES. STATUS_NOT_FOUND: not mapped there. */
enum status remote_read_memory(struct remote *remote, uint64_t address, bool physical, uint8_t *bytes,
                               size_t size_bytes, struct error *error) MUST_CHECK;
enum status remote_write_memory(struct remote *remote, uint64_t address, bool physical, const uint8_t *bytes,
                                size_t size_bytes, struct error *error) MUST_CHECK;

/* From now on remote_write_register and remote_write_block do not wait for the reply, where the target allows that; remote_continue and
 * whatever asks for something does, and says what was wrong. */
void remote_defer_writes(struct remote *remote);
/* The same of any size, at most REMOTE_BLOCK_BYTES; where the target allows it, with some requests under way at a time. */
#define REMOTE_BLOCK_BYTES (192u << 10)
enum status remote_read_block(struct remote *remote, uint64_t address, bool physical, uint8_t *bytes, size_t size_bytes,
                              struct error *error) MUST_CHECK;
enum status remote_write_block(struct remote *remote, uint64_t address, bool physical, const uint8_t *bytes,
                               size_t size_bytes, struct error *error) MUST_CHECK;

/* ---- what a target says of itself (remote_registers.c) ---- */

struct remote_register {
    char name[16];
    uint16_t number, bits; /* bits: a multiple of 8, up to 512 */
    uint32_t offset;       /* in the register packet, bytes */
};
struct remote_registers {
    struct remote_register list[REMOTE_REGISTERS_MAX];
    unsigned count;
    uint32_t bytes; /* of the register packet */
};
/* Adds the registers of one document of the description, numbered on from *next; calls include for each document that it
 * includes, in its place. STATUS_CORRUPT: no description that makes sense. */
enum status remote_registers_add(struct remote_registers *registers, const char *xml, unsigned *next,
                                 enum status (*include)(void *opaque, const char *name), void *opaque,
                                 struct error *error) MUST_CHECK;
/* Offsets, when all are there. False: none, or a number twice. */
bool remote_registers_place(struct remote_registers *registers);
/* bytes: the register packet, known: how much of it the target gave. */
void remote_registers_take(const struct remote_registers *registers, const uint8_t *bytes, size_t known,
                           struct cpu_state *state);
/* The register's content in state; false: it is none that can be written. out: 64 bytes. */
bool remote_register_value(const struct remote_register *reg, const struct cpu_state *state, uint8_t *out);

#endif

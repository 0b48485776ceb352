/* Run control for debuggers (tools/gdbstub) and tools: look at a stopped machine, and stop a running one, without changing
 * what the guest does. Addresses are linear unless said otherwise. Thread: machine thread, machine not running.
 *
 * A debugger is not in the guest: points change no byte of guest memory, no register, no digest, and no position. Stopping
 * and going on at a place gives the run that there would have been without the stop. */
#ifndef VMRR_CORE_DEBUG_H
#define VMRR_CORE_DEBUG_H

#include "core/machine.h"

/* ---- where to stop -------------------------------------------------------------------------------------------- */

/* Execution breakpoints stop machine_run with MACHINE_STOP_DEBUG before the instruction at `address` begins (CS base + RIP;
 * 32 bits wide outside 64-bit code), after interrupts that come before it, and before the guest's own debug
 * registers are looked at. Watchpoints stop after the instruction, or the delivery of an exception or interrupt, that
 * read or wrote any of size_bytes bytes from `address` on; after the iteration, in a repeated string instruction. What a
 * faulting instruction had accessed before its fault does not count.
 *
 * By a watchpoint's linear address are seen: accesses of instructions and event deliveries with a linear address in its
 * range, and DMA to the memory that the range was mapped to when the CPU last looked (on insertion, or an access in the
 * same page; at most DEBUG_PAGES_MAX pages are kept in mind). By a physical one: all accesses to these bytes of RAM or of
 * MMIO by instructions, and writes by DMA. Not seen: page walks' own reads, and their accessed and dirty bits; instruction
 * fetches; reads by DMA. */
enum debug_point_kind { DEBUG_EXECUTE, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS };
/* On a repeated string instruction: stop before each iteration, and not only before each step of it (position.h: a slice
 * of 4,096). Where its steps end does not change. */
#define DEBUG_EACH_ITERATION 1u
/* Watchpoints only. */
#define DEBUG_PHYSICAL 2u
#define DEBUG_PAGES_MAX 4096u

struct debug_point {
    enum debug_point_kind kind;
    uint32_t flags;
    uint64_t address;
    uint64_t size_bytes; /* of a watchpoint: 1 .. */
};

/* Any number. What is inserted twice must be removed twice. STATUS_UNSUPPORTED: not with this accelerator, or not this
 * kind; STATUS_INVALID: no size, or a range over the end of the address space; STATUS_NOT_FOUND: no such point. */
enum status debug_insert(struct machine *machine, const struct debug_point *point) MUST_CHECK;
enum status debug_remove(struct machine *machine, const struct debug_point *point) MUST_CHECK;

/* ---- why it stopped ------------------------------------------------------------------------------------------- */

enum debug_by { DEBUG_BY_CPU, DEBUG_BY_DMA };
struct debug_hit {
    struct debug_point point;
    uint64_t address; /* first byte of the access, in the point's address space */
    uint32_t size_bytes;
    bool write;
    enum debug_by by;
};
#define DEBUG_HITS_MAX 16
/* After MACHINE_STOP_DEBUG: what was hit, in the order of the accesses, each point once for reads and once for writes; what is
 * more than the list holds is left out. */
struct debug_stop {
    unsigned hits;
    struct debug_hit hit[DEBUG_HITS_MAX];
};
const struct debug_stop *debug_stop(struct machine *machine); /* never null */

/* Something was hit that machine_run has not stopped for yet: it had come to its limit before. debug_stop says what. */
bool debug_hit_waits(struct machine *machine);

/* The instruction where the machine stands is executed by the next machine_run, whatever breakpoint is on it. After a stop
 * by a breakpoint it is so already. */
void debug_go_past(struct machine *machine);

/* The next machine_run that gets so far ends with MACHINE_STOP_DEBUG after one step, with or without hits: for machines whose
 * positions count no steps. debug_go_past takes it back. */
void debug_step(struct machine *machine);

/* For machines whose positions count no steps: machine_run ends with MACHINE_STOP_DEBUG, without a hit, once the accelerator has
 * executed so many steps since the machine was made, before anything else happens there (unless a hit or debug_step ends it at the
 * same step). Met: whether it did since it was asked for; takes it back. */
void debug_run_until(struct machine *machine, uint64_t icount);
bool debug_until_met(struct machine *machine);

/* Until it is taken back nothing stops the machine, though the points stay where they are. */
void debug_mute(struct machine *machine, bool mute);

/* The machine stands between two iterations of a slice: the position is that of its beginning, and machine_run finishes it
 * before anything else is looked at. A checkpoint cannot be made here. */
bool debug_in_step(struct machine *machine);

/* ---- looking -------------------------------------------------------------------------------------------------- */

/* Reads guest memory through the present page tables, without access bits and without touching MMIO. Returns the bytes
 * read before the first unmapped one. */
size_t debug_read_linear(struct machine *machine, uint64_t linear, void *buffer, size_t size_bytes);
/* The same by physical address: bytes before the first that is no memory. */
size_t debug_read_physical(struct machine *machine, uint64_t gpa, void *buffer, size_t size_bytes);
/* Writes guest memory, by linear or physical address: RAM alone, all or nothing. The guest is another one from then on. */
bool debug_write(struct machine *machine, uint64_t address, const void *buffer, size_t size_bytes, bool physical);
/* Text of the registers, several lines. */
void debug_print_registers(struct machine *machine, FILE *out);
/* Linear address of the next instruction, and the CPU's mode as 16, 32 or 64. */
uint64_t debug_code_address(struct machine *machine, unsigned *bits);

#endif

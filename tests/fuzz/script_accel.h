/* A CPU that carries out a script of bytes instead of instructions, one operation a step: what fuzz_devices drives a board
 * with. Everything it reads goes into its state, so that the machine's digest has it. */
#ifndef VMRR_TESTS_FUZZ_SCRIPT_ACCEL_H
#define VMRR_TESTS_FUZZ_SCRIPT_ACCEL_H

#include "core/machine.h"

/* Operations: the low four bits of an operation's byte; the high ones are its flags (size: 1 << (flags & 3) bytes). What
 * they take is little-endian and follows; a script that ends early reads zeros. */
enum script_op {
    SCRIPT_OUT,       /* index of a well-known port, value (size bytes) */
    SCRIPT_IN,        /* index */
    SCRIPT_OUT_ANY,   /* port (2), value */
    SCRIPT_IN_ANY,    /* port (2) */
    SCRIPT_STORE,     /* index of a region, offset (2), value */
    SCRIPT_LOAD,      /* index of a region, offset (2) */
    SCRIPT_FILL,      /* gpa / 16 (2), length, byte: what the guest has in memory for a device */
    SCRIPT_WAIT,      /* n: n << (4 * flags) steps, flags 0..3 */
    SCRIPT_HALT,      /* until the next timer or message */
    SCRIPT_MESSAGE,   /* row, target, a (2), b: something arrives (live only) */
    SCRIPT_INTERRUPT, /* flags & 1: accept interrupts from now on or not */
    SCRIPT_PCI_WRITE, /* device and function, register, value */
    SCRIPT_PCI_READ,  /* device and function, register */
    SCRIPT_INS,       /* index of a port, count: so many reads */
    SCRIPT_OUTS,      /* index of a port, count, byte: so many writes */
    SCRIPT_IDE,       /* drive, command, sectors, lba (3): the task file, then the command; flags & 4: bus master */
};

struct script {
    const uint8_t *bytes;
    size_t size;
    struct input_mailbox *mailbox; /* null: messages come from elsewhere */
};

/* The machine takes it over. The script is borrowed. At its end the machine stops with MACHINE_STOP_DEBUG_EXIT. */
struct accel *script_accel_create(struct machine *machine, const struct script *script);

#endif

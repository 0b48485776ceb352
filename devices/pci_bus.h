/* PCI bus 0 behind configuration mechanism #1 (PCI Local Bus 2.1, 3.7.4): ports 0xCF8 and 0xCFC.
 *
 * A chip with a PCI function embeds struct pci_function, names it in its field list
 *     N(T, struct pci_function, pci, 1, pci_function_fields)      (so that chip->pci is a pointer to it)
 * and in create calls pci_function_init, then pci_function_define_* for registers and pci_function_add_bar; in reset
 * pci_function_reset; in post_load pci_function_post_load. The wiring in the struct is not state.
 *
 * Create the bus before any chip with ports among 0xCF8..0xCFF (the reset control register at 0xCF9 lies inside
 * CONFIG_ADDRESS, and the mapping made last wins for bytes).
 *
 * Interrupts: pin INTA..INTD of a slot drives PIRQ (slot - 1 + pin - 1) & 3 (PIRQA is 0): a slot 1 INTA is PIRQA. The
 * ACPI _PRT must say the same. Thread: machine thread. */
#ifndef VMRR_DEVICES_PCI_BUS_H
#define VMRR_DEVICES_PCI_BUS_H

#include "core/machine.h"

#define PCI_CONFIG_BYTES 256
#define PCI_BARS 7
#define PCI_BAR_ROM 6 /* the expansion ROM register at 0x30 */
#define PCI_PIRQS 4

/* Standard header offsets. */
#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_REVISION 0x08
#define PCI_CLASS_PROG 0x09
#define PCI_CLASS_SUB 0x0A
#define PCI_CLASS_BASE 0x0B
#define PCI_HEADER_TYPE 0x0E
#define PCI_BAR0 0x10
#define PCI_SUBSYSTEM_VENDOR 0x2C
#define PCI_SUBSYSTEM 0x2E
#define PCI_ROM_BAR 0x30
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT_LINE 0x3C
#define PCI_INTERRUPT_PIN 0x3D

#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u

struct pci_bus;
struct pci_function;

/* A 64-bit BAR takes the next one's register too. */
enum pci_bar_kind {
    PCI_BAR_NONE,
    PCI_BAR_IO,
    PCI_BAR_MEMORY,
    PCI_BAR_MEMORY_PREFETCH,
    PCI_BAR_MEMORY_64,
    PCI_BAR_MEMORY_64_PREFETCH,
    PCI_BAR_EXPANSION_ROM
};

struct pci_function_ops {
    /* The range of a BAR changed, or its decoding was switched. base is meaningless when not enabled. */
    void (*bar_changed)(void *opaque, unsigned bar, uint64_t base, bool enabled);
    /* After a guest's write was stored (masks applied): registers with side effects. offset is that of the access. */
    void (*config_written)(void *opaque, unsigned offset, unsigned size_bytes);
    /* Before a guest's read: registers that are made when they are read. */
    void (*config_reading)(void *opaque, unsigned offset, unsigned size_bytes);
};

struct pci_bar {
    enum pci_bar_kind kind;
    uint64_t size_bytes;
    uint64_t mapped_base; /* derived: what bar_changed was last told */
    bool mapped;
};

#define PCI_FUNCTION_STATE(S, A, N, T)                                                                                 \
    A(T, uint8_t, config, PCI_CONFIG_BYTES)                                                                            \
    S(T, bool, intx_level)

struct pci_function {
    STATE_MEMBERS(PCI_FUNCTION_STATE)
    struct pci_bus *bus;
    unsigned slot, function;
    const struct pci_function_ops *ops; /* null, or null members: no interest */
    void *opaque;
    uint8_t reset_config[PCI_CONFIG_BYTES];
    uint8_t write_mask[PCI_CONFIG_BYTES]; /* bits a guest's write changes */
    uint8_t clear_mask[PCI_CONFIG_BYTES]; /* bits a guest clears by writing one */
    struct pci_bar bar[PCI_BARS];
    unsigned capabilities_end; /* where the next capability goes; 0: none yet */
};
extern const struct state_field pci_function_fields[];

struct pci_identity {
    uint16_t vendor, device;
    uint8_t revision;
    uint8_t class_base, class_sub, class_prog;
    uint16_t subsystem_vendor, subsystem;
    uint8_t interrupt_pin; /* 0: none, 1..4: INTA..INTD */
    bool multifunction;    /* on function 0 of a slot that has more */
};

/* The bus is a device ("pci"). */
struct pci_bus *pci_bus_create(struct machine *machine);
/* Who gets the PIRQ levels: piix3_isa.c. */
void pci_bus_set_router(struct pci_bus *bus, void (*set_pirq)(void *opaque, unsigned pirq, bool level), void *opaque);

/* Who gets messages (MSI, MSI-X): the local APIC. */
void pci_bus_set_msi(struct pci_bus *bus, void (*send)(void *opaque, uint64_t address, uint32_t data), void *opaque);

/* Plugs the function in; the place must be free. The command register has bus master and INTx disable as writable bits,
 * and those for I/O and memory with a BAR that needs them; a function that is otherwise defines it anew. */
void pci_function_init(struct pci_function *function, struct pci_bus *bus, unsigned slot, unsigned number,
                       const struct pci_identity *identity, const struct pci_function_ops *ops, void *opaque);
/* size a power of two: at least 4 for I/O, 16 for memory, 2048 for ROM. */
void pci_function_add_bar(struct pci_function *function, unsigned bar, enum pci_bar_kind kind, uint64_t size_bytes);
/* Reset value and writable bits of a register of 1, 2 or 4 bytes. */
void pci_function_define(struct pci_function *function, unsigned offset, unsigned size_bytes, uint32_t reset_value,
                         uint32_t write_mask);
/* Links a capability of size_bytes (header included) into the list; returns its offset. The bytes behind the header are
 * zero and read-only until defined. From 0x40 up, in the order of the calls; the list is in that order too. */
unsigned pci_function_add_capability(struct pci_function *function, uint8_t id, unsigned size_bytes);
void pci_function_reset(struct pci_function *function);
void pci_function_post_load(struct pci_function *function);

/* The function's own view of its registers: no masks, no side effects. */
uint32_t pci_function_get(const struct pci_function *function, unsigned offset, unsigned size_bytes);
void pci_function_set(struct pci_function *function, unsigned offset, unsigned size_bytes, uint32_t value);
/* By a chip that has stored into its own BAR or command register with pci_function_set. */
void pci_function_update_bars(struct pci_function *function);
/* Level of the function's interrupt pin. */
void pci_function_set_intx(struct pci_function *function, bool level);
/* A message-signalled interrupt: a write of 4 bytes by the function as bus master, to the local APIC or, if the guest has
 * said so, to memory. Vanishes while the function is no bus master. */
void pci_function_send_msi(struct pci_function *function, uint64_t address, uint32_t data);

struct machine *pci_function_machine(const struct pci_function *function);

/* Configuration cycles, as CONFIG_DATA makes them; all ones where nothing is. For firmware-less boots and tests. */
uint32_t pci_bus_config_read(struct pci_bus *bus, unsigned slot, unsigned number, unsigned offset, unsigned size_bytes);
void pci_bus_config_write(struct pci_bus *bus, unsigned slot, unsigned number, unsigned offset, uint32_t value,
                          unsigned size_bytes);

#endif

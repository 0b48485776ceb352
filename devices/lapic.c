/* Local APIC in xAPIC mode, one CPU with APIC ID 0. Intel SDM vol. 3, chapter 11 (APIC), MP specification 1.4 (virtual
 * wire). The timer is lapic_timer.c.
 *
 * LINT0 starts as the MP specification's virtual wire (ExtINT, not masked), as firmware would leave it, so that a guest
 * started without firmware gets its 8259 interrupts.
 * Not modelled: x2APIC mode (IA32_APIC_BASE.EXTD raises #GP), INIT and start-up IPIs (one CPU: they are dropped),
 * suppression of EOI broadcasts, thermal and performance-counter interrupts (their LVT entries are storage), a base
 * address over RAM, remote read. */
#include "devices/lapic.h"

#include "core/bus.h"
#include "devices/lapic_internal.h"
#include "devices/pic_8259.h"

#define LAPIC_VERSION 0x00050014u /* six LVT entries */
#define LAPIC_BYTES 4096u

#define MSR_APIC_BASE 0x1Bu
#define MSR_TSC_DEADLINE 0x6E0u
#define BASE_BSP 0x100u
#define BASE_ENABLE 0x800u
#define BASE_ADDRESS 0xFFFFFF000ull

#define LVT_LEVEL 0x8000u
#define LVT_REMOTE_IRR 0x4000u
#define LVT_PENDING 0x1000u
#define MSI_LOGICAL 0x4u
#define MSI_LEVEL 0x8000u
#define MSI_ASSERT 0x4000u
#define ESR_SEND_VECTOR 0x20u
#define ESR_RECEIVED_VECTOR 0x40u
#define ESR_REGISTER 0x80u

static const uint32_t lvt_writable[LVT_COUNT] = {0x700FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF};

STATE_TABLE(lapic_fields, struct lapic, LAPIC_STATE);

static int bits_highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return i * 32 + 31 - __builtin_clz(bits[i]);
    return -1;
}

static void bits_set(uint32_t bits[8], unsigned vector)
{
    bits[vector >> 5] |= 1u << (vector & 31);
}

static void bits_clear(uint32_t bits[8], unsigned vector)
{
    bits[vector >> 5] &= ~(1u << (vector & 31));
}

static bool bits_test(const uint32_t bits[8], unsigned vector)
{
    return bits[vector >> 5] >> (vector & 31) & 1;
}

static bool lapic_software_enabled(const struct lapic *lapic)
{
    return (lapic->base_msr & BASE_ENABLE) && (lapic->svr & SVR_ENABLE);
}

static uint32_t lapic_ppr(const struct lapic *lapic)
{
    int in_service = bits_highest(lapic->isr);
    uint32_t service_class = in_service < 0 ? 0 : (uint32_t)in_service & 0xF0;
    return (lapic->tpr & 0xF0) >= service_class ? lapic->tpr : service_class;
}

/* The vector to be delivered next from IRR; -1: none. */
static int lapic_deliverable(const struct lapic *lapic)
{
    int vector = bits_highest(lapic->irr);
    if (vector < 0 || !lapic_software_enabled(lapic))
        return -1;
    return ((uint32_t)vector & 0xF0) > (lapic_ppr(lapic) & 0xF0) ? vector : -1;
}

/* Does the 8259's INT reach the CPU? With the APIC off, LINT0 is the CPU's INTR pin. */
static bool lapic_extint_asserted(const struct lapic *lapic)
{
    if (!lapic->lint[0])
        return false;
    if (!(lapic->base_msr & BASE_ENABLE))
        return true;
    uint32_t entry = lapic->lvt[LVT_LINT0];
    return !(entry & LVT_MASKED) && (entry >> 8 & 7) == LAPIC_EXTINT;
}

static void lapic_update(struct lapic *lapic)
{
    bool level = lapic->extint || lapic_extint_asserted(lapic) || lapic_deliverable(lapic) >= 0;
    machine_set_intr(lapic->device.machine, level);
}

static void lapic_error(struct lapic *lapic, uint32_t bit);

static void lapic_request(struct lapic *lapic, unsigned vector, bool level)
{
    if (vector < 16) {
        lapic_error(lapic, ESR_RECEIVED_VECTOR);
        return;
    }
    bits_set(lapic->irr, vector);
    if (level)
        bits_set(lapic->tmr, vector);
    else
        bits_clear(lapic->tmr, vector);
    lapic_update(lapic);
}

static void lapic_error(struct lapic *lapic, uint32_t bit)
{
    bool first = !(lapic->esr_next & bit);
    lapic->esr_next |= bit;
    uint32_t entry = lapic->lvt[LVT_ERROR];
    if (first && !(entry & LVT_MASKED) && (entry & 0xFF) >= 16)
        lapic_request(lapic, entry & 0xFF, false);
}

void lapic_local(struct lapic *lapic, enum lvt_index index)
{
    uint32_t entry = lapic->lvt[index];
    if (entry & LVT_MASKED)
        return;
    switch (index == LVT_TIMER || index == LVT_ERROR ? LAPIC_FIXED : entry >> 8 & 7) {
    case LAPIC_FIXED:
        if (lapic_software_enabled(lapic))
            lapic_request(lapic, entry & 0xFF, index == LVT_LINT0 && (entry & LVT_LEVEL));
        break;
    case LAPIC_NMI: machine_raise_nmi(lapic->device.machine); break;
    case LAPIC_SMI: machine_raise_smi(lapic->device.machine); break;
    default: /* ExtINT is a level: lapic_extint_asserted; INIT makes no sense here */ break;
    }
}

static bool lint_is_level(uint32_t entry)
{
    return (entry >> 8 & 7) == LAPIC_FIXED && (entry & LVT_LEVEL);
}

/* A level-triggered fixed LINT0 asks again until EOI finds the pin low. */
static void lapic_poll_lint0(struct lapic *lapic)
{
    uint32_t *entry = &lapic->lvt[LVT_LINT0];
    if (!lapic->lint[0] || !lint_is_level(*entry) || (*entry & (LVT_MASKED | LVT_REMOTE_IRR)) ||
        !lapic_software_enabled(lapic))
        return;
    *entry |= LVT_REMOTE_IRR;
    lapic_local(lapic, LVT_LINT0);
}

static void lapic_set_lint(void *opaque, unsigned pin, bool level)
{
    struct lapic *lapic = opaque;
    if (lapic->lint[pin] == level)
        return;
    lapic->lint[pin] = level;
    uint32_t entry = lapic->lvt[pin == 0 ? LVT_LINT0 : LVT_LINT1];
    if (pin == 0 && lint_is_level(entry))
        lapic_poll_lint0(lapic);
    else if (level && (lapic->base_msr & BASE_ENABLE))
        lapic_local(lapic, pin == 0 ? LVT_LINT0 : LVT_LINT1);
    else if (level && pin == 1) /* with the APIC off LINT1 is the CPU's NMI pin */
        machine_raise_nmi(lapic->device.machine);
    lapic_update(lapic);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static bool lapic_addressed(const struct lapic *lapic, const struct lapic_message *message)
{
    if (!message->logical)
        return message->destination == lapic->id || message->destination == 0xFF;
    if (message->destination == 0xFF)
        return true;
    if (lapic->destination_format == 0xF) /* flat */
        return lapic->logical_id & message->destination;
    return (lapic->logical_id >> 4 == message->destination >> 4) && (lapic->logical_id & message->destination & 0x0F);
}

static bool lapic_accept(struct lapic *lapic, const struct lapic_message *message)
{
    switch (message->delivery) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST:
        if (!lapic_software_enabled(lapic))
            return false;
        lapic_request(lapic, message->vector, message->level);
        return true;
    case LAPIC_SMI: machine_raise_smi(lapic->device.machine); return true;
    case LAPIC_NMI: machine_raise_nmi(lapic->device.machine); return true;
    case LAPIC_EXTINT:
        lapic->extint = true;
        lapic_update(lapic);
        return true;
    default: return false;
    }
}

bool lapic_deliver(struct device *device, const struct lapic_message *message)
{
    struct lapic *lapic = device_of(device, struct lapic);
    return (lapic->base_msr & BASE_ENABLE) && lapic_addressed(lapic, message) && lapic_accept(lapic, message);
}

/* SDM vol. 3, 11.11. The redirection hint makes no difference with one CPU. A level-triggered message that takes the
 * level away has nothing to say to a local APIC. */
bool lapic_deliver_msi(struct device *device, uint64_t address, uint32_t data)
{
    struct lapic_message message = {
        .vector = (uint8_t)data,
        .delivery = data >> 8 & 7,
        .destination = (uint8_t)(address >> 12),
        .logical = address & MSI_LOGICAL,
        .level = data & MSI_LEVEL,
    };
    if ((data & MSI_LEVEL) && !(data & MSI_ASSERT))
        return false;
    return lapic_deliver(device, &message);
}

static void lapic_write_icr(struct lapic *lapic, uint32_t value)
{
    lapic->icr[0] = value & ~LVT_PENDING; /* sent at once: delivery status stays idle */
    struct lapic_message message = {
        .vector = (uint8_t)value,
        .delivery = value >> 8 & 7,
        .destination = (uint8_t)(lapic->icr[1] >> 24),
        .logical = value & 0x800,
        .level = false,
    };
    unsigned shorthand = value >> 18 & 3; /* 0 destination, 1 self, 2 all, 3 all others */
    if (message.delivery <= LAPIC_LOWEST && message.vector < 16) {
        lapic_error(lapic, ESR_SEND_VECTOR);
        return;
    }
    if (shorthand == 3 || message.delivery == LAPIC_EXTINT)
        return;
    if (shorthand != 0 || lapic_addressed(lapic, &message))
        (void)lapic_accept(lapic, &message);
}

static void lapic_write_eoi(struct lapic *lapic)
{
    int vector = bits_highest(lapic->isr);
    if (vector < 0)
        return;
    bits_clear(lapic->isr, (unsigned)vector);
    if (bits_test(lapic->tmr, (unsigned)vector)) {
        uint32_t *lint0 = &lapic->lvt[LVT_LINT0];
        if ((*lint0 & LVT_REMOTE_IRR) && (*lint0 & 0xFF) == (uint32_t)vector) {
            *lint0 &= ~LVT_REMOTE_IRR;
            lapic_poll_lint0(lapic);
        }
        if (lapic->eoi)
            lapic->eoi(lapic->eoi_opaque, (uint8_t)vector);
    }
    lapic_update(lapic);
}

/* --- registers ---------------------------------------------------------------------------------------------------- */

static void lapic_lvt_write(struct lapic *lapic, enum lvt_index index, uint32_t value)
{
    uint32_t old = lapic->lvt[index];
    value &= lvt_writable[index];
    if (!(lapic->svr & SVR_ENABLE))
        value |= LVT_MASKED;
    if (index == LVT_LINT0 && lint_is_level(value))
        value |= old & LVT_REMOTE_IRR;
    bool mode_changes = index == LVT_TIMER && ((old ^ value) & TIMER_MODE);
    if (mode_changes)
        lapic_timer_rebase(lapic);
    lapic->lvt[index] = value;
    if (mode_changes)
        lapic_timer_mode_changed(lapic, old & TIMER_MODE);
    if (index == LVT_LINT0)
        lapic_poll_lint0(lapic);
    lapic_update(lapic);
}

static void lapic_write_svr(struct lapic *lapic, uint32_t value)
{
    bool was_enabled = lapic->svr & SVR_ENABLE;
    lapic->svr = value & 0x3FF;
    if (was_enabled && !(lapic->svr & SVR_ENABLE))
        for (unsigned i = 0; i < LVT_COUNT; i++)
            lapic->lvt[i] |= LVT_MASKED;
    lapic_update(lapic);
}

static uint32_t lapic_read_register(struct lapic *lapic, unsigned reg)
{
    switch (reg) {
    case 0x02: return (uint32_t)lapic->id << 24;
    case 0x03: return LAPIC_VERSION;
    case 0x08: return lapic->tpr;
    case 0x09: /* arbitration priority: as PPR, there is no one to arbitrate with */
    case 0x0A: return lapic_ppr(lapic);
    case 0x0B: /* EOI: write-only */ return 0;
    case 0x0D: return (uint32_t)lapic->logical_id << 24;
    case 0x0E: return (uint32_t)lapic->destination_format << 28 | 0x0FFFFFFF;
    case 0x0F: return lapic->svr;
    case 0x28: return lapic->esr;
    case 0x30:
    case 0x31: return lapic->icr[reg & 1];
    case 0x32 ... 0x37: return lapic->lvt[reg - 0x32];
    case 0x38: return lapic->timer_initial;
    case 0x39: return lapic_timer_current(lapic);
    case 0x3E: return lapic->timer_divide;
    case 0x10 ... 0x17: return lapic->isr[reg & 7];
    case 0x18 ... 0x1F: return lapic->tmr[reg & 7];
    case 0x20 ... 0x27: return lapic->irr[reg & 7];
    default: lapic_error(lapic, ESR_REGISTER); return 0;
    }
}

static void lapic_write_register(struct lapic *lapic, unsigned reg, uint32_t value)
{
    switch (reg) {
    case 0x0B: lapic_write_eoi(lapic); break;
    case 0x02: lapic->id = (uint8_t)(value >> 24); break;
    case 0x08:
        lapic->tpr = value & 0xFF;
        lapic_update(lapic);
        break;
    case 0x0D: lapic->logical_id = (uint8_t)(value >> 24); break;
    case 0x0E: lapic->destination_format = (uint8_t)(value >> 28); break;
    case 0x0F: lapic_write_svr(lapic, value); break;
    case 0x28:
        lapic->esr = lapic->esr_next;
        lapic->esr_next = 0;
        break;
    case 0x30: lapic_write_icr(lapic, value); break;
    case 0x31: lapic->icr[1] = value & 0xFF000000; break;
    case 0x32 ... 0x37: lapic_lvt_write(lapic, (enum lvt_index)(reg - 0x32), value); break;
    case 0x38: lapic_timer_write_initial(lapic, value); break;
    case 0x3E: lapic_timer_write_divide(lapic, value); break;
    case 0x03: /* read-only */
    case 0x09:
    case 0x0A:
    case 0x10 ... 0x27:
    case 0x39: break;
    default: lapic_error(lapic, ESR_REGISTER); break;
    }
}

static uint64_t lapic_mmio_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    unsigned shift = (unsigned)(address & 3) * 8;
    (void)size_bytes;
    if (address & 0x0C) /* registers are at multiples of 16 */
        return 0;
    return lapic_read_register(opaque, (unsigned)(address >> 4)) >> shift;
}

static void lapic_mmio_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    (void)size_bytes;
    if (!(address & 0x0F))
        lapic_write_register(opaque, (unsigned)(address >> 4), (uint32_t)value);
}

static const struct bus_ops lapic_mmio_ops = {.read = lapic_mmio_read, .write = lapic_mmio_write, .max_size_bytes = 4};

/* --- the CPU's side ----------------------------------------------------------------------------------------------- */

static int lapic_acknowledge(void *opaque)
{
    struct lapic *lapic = opaque;
    int vector = lapic_deliverable(lapic);
    if (vector >= 0) {
        bits_clear(lapic->irr, (unsigned)vector);
        bits_set(lapic->isr, (unsigned)vector);
        lapic_update(lapic);
    } else if ((lapic->extint || lapic_extint_asserted(lapic)) && lapic->pic) {
        lapic->extint = false;
        vector = pic_8259_acknowledge(lapic->pic); /* its INT output comes back through lapic_set_lint */
        lapic_update(lapic);
    }
    return vector;
}

static uint8_t lapic_read_cr8(void *opaque)
{
    const struct lapic *lapic = opaque;
    return (uint8_t)(lapic->tpr >> 4);
}

static void lapic_write_cr8(void *opaque, uint8_t value)
{
    struct lapic *lapic = opaque;
    lapic->tpr = (uint32_t)(value & 15) << 4;
    lapic_update(lapic);
}

/* Power-on state of all but the ID, the base and the pins. */
static void lapic_clear(struct lapic *lapic)
{
    lapic->tpr = 0;
    lapic->logical_id = 0;
    lapic->destination_format = 0xF;
    lapic->svr = 0xFF;
    for (unsigned i = 0; i < 8; i++)
        lapic->isr[i] = lapic->tmr[i] = lapic->irr[i] = 0;
    lapic->esr = lapic->esr_next = 0;
    lapic->icr[0] = lapic->icr[1] = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        lapic->lvt[i] = LVT_MASKED;
    lapic->lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
    lapic->extint = false;
    lapic->timer_initial = lapic->timer_count = lapic->timer_divide = 0;
    lapic->timer_start_ns = vtime_now_ns(lapic->device.machine);
    lapic->tsc_deadline = 0;
    lapic_timer_arm(lapic);
}

static void lapic_map(struct lapic *lapic)
{
    bus_mapping_set(lapic->mapping, lapic->base_msr & BASE_ADDRESS, lapic->base_msr & BASE_ENABLE);
}

static bool lapic_write_base(struct lapic *lapic, uint64_t value)
{
    if (value & ~(BASE_ADDRESS | BASE_ENABLE | BASE_BSP))
        return false;
    bool was_enabled = lapic->base_msr & BASE_ENABLE;
    lapic->base_msr = value;
    if (was_enabled && !(value & BASE_ENABLE))
        lapic_clear(lapic);
    lapic_map(lapic);
    lapic_update(lapic);
    return true;
}

static bool lapic_read_msr(void *opaque, uint32_t index, uint64_t *value)
{
    const struct lapic *lapic = opaque;
    if (index == MSR_TSC_DEADLINE)
        *value = lapic->tsc_deadline;
    else if (index == MSR_APIC_BASE)
        *value = lapic->base_msr;
    else
        return false;
    return true;
}

static bool lapic_write_msr(void *opaque, uint32_t index, uint64_t value)
{
    struct lapic *lapic = opaque;
    if (index == MSR_APIC_BASE)
        return lapic_write_base(lapic, value);
    if (index != MSR_TSC_DEADLINE)
        return false;
    if (lapic_timer_mode(lapic) == TIMER_DEADLINE) {
        lapic->tsc_deadline = value;
        lapic_timer_arm(lapic);
    }
    return true;
}

static const struct cpu_link_ops lapic_link_ops = {
    .acknowledge = lapic_acknowledge,
    .read_cr8 = lapic_read_cr8,
    .write_cr8 = lapic_write_cr8,
    .read_msr = lapic_read_msr,
    .write_msr = lapic_write_msr,
};

static void lapic_reset(struct device *device)
{
    struct lapic *lapic = device_of(device, struct lapic);
    lapic->base_msr = LAPIC_DEFAULT_BASE | BASE_ENABLE | BASE_BSP;
    lapic->id = 0;
    lapic_clear(lapic);
    lapic_map(lapic);
    lapic_update(lapic);
}

static void lapic_post_load(struct device *device)
{
    struct lapic *lapic = device_of(device, struct lapic);
    lapic_map(lapic);
    lapic_timer_arm(lapic);
    lapic_update(lapic);
}

static void lapic_destroy(struct device *device)
{
    vtimer_disarm(&device_of(device, struct lapic)->timer);
}

const struct device_class lapic_class = {.name = "lapic",
                                         .version = 1,
                                         .size = sizeof(struct lapic),
                                         .fields = lapic_fields,
                                         .reset = lapic_reset,
                                         .post_load = lapic_post_load,
                                         .destroy = lapic_destroy};

void lapic_connect_pic(struct device *device, struct device *pic)
{
    device_of(device, struct lapic)->pic = pic;
}

void lapic_connect_eoi(struct device *device, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    struct lapic *lapic = device_of(device, struct lapic);
    lapic->eoi = eoi;
    lapic->eoi_opaque = opaque;
}

struct irq_line lapic_lint_line(struct device *device, unsigned pin)
{
    CHECK(pin < 2);
    return (struct irq_line){.set = lapic_set_lint, .opaque = device_of(device, struct lapic), .pin = pin};
}

struct device *lapic_create(struct machine *machine)
{
    struct lapic *lapic = device_alloc(&lapic_class, machine, "lapic");
    vtimer_init(&lapic->timer, machine, lapic_timer_fire, lapic);
    struct bus *bus = machine_bus(machine);
    lapic->mapping = bus_map_mmio(bus, LAPIC_DEFAULT_BASE, LAPIC_BYTES, &lapic_mmio_ops, lapic, "lapic");
    machine_set_cpu_link(machine, (struct cpu_link){.ops = &lapic_link_ops, .opaque = lapic});
    lapic_reset(&lapic->device);
    machine_add_device(machine, &lapic->device);
    return &lapic->device;
}

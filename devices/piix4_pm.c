/* PIIX4 power management. Intel 82371AB (PIIX4) data sheet (290562), chapters 7.2 and 11; ACPI specification chapter 4.
 *
 * The power management timer is virtual time at 3.579545 MHz; a timer runs only for an enabled overflow.
 * Not modelled: SMM (SMIs do nothing), sleep states other than S5, clock control and device monitors (global and device
 * registers are storage), SMBus slaves (every transaction ends with a device error), thermal and lid inputs. */
#include "devices/piix4_pm.h"

#include "core/bus.h"
#include "core/machine.h"
#include "devices/ticks.h"

#define PM_TIMER_HZ 3579545u
#define PM_TIMER_MASK 0xFFFFFFu
#define PM_TIMER_HALF_SHIFT 23 /* status is set when bit 23 changes */

#define PM1_TIMER 0x0001u
#define PM1_GLOBAL 0x0020u
#define PM1_POWER_BUTTON 0x0100u
#define PM1_RTC 0x0400u
#define PM1_RESUME 0x8000u
#define PM1_STATUS_BITS (PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC | PM1_RESUME)
#define PM1_ENABLE_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC)
#define CONTROL_SCI_EN 0x0001u
#define CONTROL_SLP_TYP 0x1C00u
#define CONTROL_SLP_EN 0x2000u
#define CONTROL_BITS (CONTROL_SCI_EN | 0x0002u | CONTROL_SLP_TYP)
#define RESET_CPU 0x04u
#define SMBUS_STATUS_DEVICE_ERROR 0x04u
#define SMBUS_STATUS_CLEARABLE 0x1Eu
#define SMBUS_CONTROL_START 0x40u

#define PM_STORED_START 0x10u /* PCNTRL: offsets from here are storage */

#define PIIX4_PM_STATE(S, A, N, T)                                                                                     \
    S(T, uint16_t, base)                                                                                               \
    S(T, bool, base_enabled)                                                                                           \
    S(T, uint16_t, smbus_base)                                                                                         \
    S(T, bool, smbus_enabled)                                                                                          \
    S(T, uint16_t, pm1_status) /* all but the timer's bit */                                                           \
    S(T, uint16_t, pm1_enable)                                                                                         \
    S(T, uint16_t, pm1_control)                                                                                        \
    S(T, uint64_t, timer_half_seen) /* half periods of the timer when its status was last cleared */                   \
    S(T, uint16_t, gpe_status)                                                                                         \
    S(T, uint16_t, gpe_enable)                                                                                         \
    A(T, uint8_t, stored, 48) /* PCNTRL and on */                                                                      \
    S(T, uint8_t, smi_command)                                                                                         \
    S(T, uint8_t, smi_status)                                                                                          \
    S(T, uint8_t, reset_control)                                                                                       \
    S(T, uint8_t, smbus_status)                                                                                        \
    A(T, uint8_t, smbus, 16)                                                                                           \
    S(T, uint64_t, deadline_ns) /* of the timer overflow */
struct piix4_pm {
    struct device device;
    STATE_MEMBERS(PIIX4_PM_STATE)
    struct irq_line sci;
    struct bus_mapping *io;
    struct bus_mapping *smbus_io;
    struct vtimer timer;
};
STATE_TABLE(piix4_pm_fields, struct piix4_pm, PIIX4_PM_STATE);
_Static_assert(PM_STORED_START + 48 == PIIX4_PM_IO_BYTES, "the storage ends with the block");

static uint64_t pm_ticks(const struct piix4_pm *pm)
{
    return ticks_from_ns(vtime_now_ns(pm->device.machine), PM_TIMER_HZ);
}

static uint16_t pm_status(const struct piix4_pm *pm)
{
    bool overflow = pm_ticks(pm) >> PM_TIMER_HALF_SHIFT != pm->timer_half_seen;
    return pm->pm1_status | (overflow ? PM1_TIMER : 0);
}

/* After a change: the SCI line, and the timer when an overflow is awaited. */
static void pm_update(struct piix4_pm *pm)
{
    uint16_t status = pm_status(pm);
    bool event = (status & pm->pm1_enable & PM1_ENABLE_BITS) || (pm->gpe_status & pm->gpe_enable);
    irq_set(pm->sci, event && (pm->pm1_control & CONTROL_SCI_EN));
    pm->deadline_ns = VTIME_NEVER;
    if ((pm->pm1_enable & PM1_TIMER) && !(status & PM1_TIMER))
        pm->deadline_ns = ticks_to_ns((pm->timer_half_seen + 1) << PM_TIMER_HALF_SHIFT, PM_TIMER_HZ);
    vtimer_arm(&pm->timer, pm->deadline_ns);
}

static void pm_timer_fire(void *opaque)
{
    pm_update(opaque);
}

static void pm_write_status(struct piix4_pm *pm, uint16_t value)
{
    pm->pm1_status &= (uint16_t)~value;
    if (value & PM1_TIMER)
        pm->timer_half_seen = pm_ticks(pm) >> PM_TIMER_HALF_SHIFT;
}

static void pm_write_control(struct piix4_pm *pm, uint16_t value)
{
    pm->pm1_control = value & CONTROL_BITS;
    if ((value & CONTROL_SLP_EN) && (value & CONTROL_SLP_TYP) >> 10 == PIIX4_SLP_TYP_S5)
        machine_request_stop(pm->device.machine, MACHINE_STOP_POWER_OFF, 0);
}

/* --- the I/O block, by bytes so that every access size works ------------------------------------------------------ */

static uint16_t pm_word(const struct piix4_pm *pm, unsigned offset)
{
    switch (offset) {
    case 0x00: return pm_status(pm);
    case 0x02: return pm->pm1_enable;
    case 0x04: return pm->pm1_control;
    case 0x0C: return pm->gpe_status;
    case 0x0E: return pm->gpe_enable;
    default: return 0;
    }
}

static uint64_t pm_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct piix4_pm *pm = opaque;
    uint64_t value = 0;
    uint32_t timer = (uint32_t)pm_ticks(pm) & PM_TIMER_MASK;
    for (unsigned i = 0; i < size_bytes; i++) {
        unsigned offset = (unsigned)(address + i) % PIIX4_PM_IO_BYTES;
        uint8_t byte = offset >= PM_STORED_START ? pm->stored[offset - PM_STORED_START]
                                                 : (uint8_t)(pm_word(pm, offset & ~1u) >> (offset & 1) * 8);
        if (offset >= PIIX4_PM_TIMER && offset < PIIX4_PM_TIMER + 4)
            byte = (uint8_t)(timer >> (offset - PIIX4_PM_TIMER) * 8);
        value |= (uint64_t)byte << i * 8;
    }
    return value;
}

/* value and mask: the bytes written of the word. */
static void pm_write_word(struct piix4_pm *pm, unsigned offset, uint16_t value, uint16_t mask)
{
    switch (offset) {
    case 0x00: pm_write_status(pm, value & mask); break;
    case 0x02: pm->pm1_enable = (uint16_t)((pm->pm1_enable & ~mask) | (value & mask)) & PM1_ENABLE_BITS; break;
    case 0x04: pm_write_control(pm, (uint16_t)((pm->pm1_control & ~mask) | (value & mask))); break;
    case 0x0C: pm->gpe_status &= (uint16_t) ~(value & mask); break;
    case 0x0E: pm->gpe_enable = (uint16_t)((pm->gpe_enable & ~mask) | (value & mask)); break;
    default: break;
    }
}

static void pm_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct piix4_pm *pm = opaque;
    unsigned first = (unsigned)address % PIIX4_PM_IO_BYTES;
    for (unsigned i = 0; i < size_bytes;) {
        unsigned offset = first + i;
        uint8_t byte = (uint8_t)(value >> i * 8);
        if (offset >= PIIX4_PM_IO_BYTES)
            break;
        if (offset >= PM_STORED_START) {
            pm->stored[offset - PM_STORED_START] = byte;
            i++;
        } else if ((offset & 1) || i + 1 == size_bytes) {
            pm_write_word(pm, offset & ~1u, (uint16_t)(byte << (offset & 1) * 8), offset & 1 ? 0xFF00 : 0x00FF);
            i++;
        } else {
            pm_write_word(pm, offset, (uint16_t)(value >> i * 8), 0xFFFF);
            i += 2;
        }
    }
    pm_update(pm);
}

static const struct bus_ops pm_ops = {.read = pm_read, .write = pm_write, .max_size_bytes = 4};

/* --- SMI command and status ports --------------------------------------------------------------------------------- */

static uint64_t smi_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct piix4_pm *pm = opaque;
    (void)size_bytes;
    return address == 0 ? pm->smi_command : pm->smi_status;
}

static void smi_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct piix4_pm *pm = opaque;
    (void)size_bytes;
    if (address == 1) {
        pm->smi_status = (uint8_t)value;
        return;
    }
    pm->smi_command = (uint8_t)value;
    if (value == PIIX4_ACPI_ENABLE)
        pm->pm1_control |= CONTROL_SCI_EN;
    else if (value == PIIX4_ACPI_DISABLE)
        pm->pm1_control &= (uint16_t)~CONTROL_SCI_EN;
    pm_update(pm);
    machine_raise_smi(pm->device.machine);
}

static const struct bus_ops smi_ops = {.read = smi_read, .write = smi_write, .max_size_bytes = 1};

/* --- reset control ------------------------------------------------------------------------------------------------ */

static uint64_t reset_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct piix4_pm *pm = opaque;
    (void)address;
    (void)size_bytes;
    return pm->reset_control;
}

/* A reset happens on the bit's rising edge; soft or hard (bit 1), the machine resets as a whole. */
static void reset_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct piix4_pm *pm = opaque;
    bool rises = (value & RESET_CPU) && !(pm->reset_control & RESET_CPU);
    (void)address;
    (void)size_bytes;
    pm->reset_control = value & 0x06;
    if (rises)
        machine_request_reset(pm->device.machine);
}

static const struct bus_ops reset_ops = {.read = reset_read, .write = reset_write, .max_size_bytes = 1};

/* --- SMBus host --------------------------------------------------------------------------------------------------- */

static uint64_t smbus_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct piix4_pm *pm = opaque;
    (void)size_bytes;
    return address == 0 ? pm->smbus_status : pm->smbus[address & 15];
}

static void smbus_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct piix4_pm *pm = opaque;
    (void)size_bytes;
    if (address == 0) {
        pm->smbus_status &= (uint8_t) ~(value & SMBUS_STATUS_CLEARABLE);
        return;
    }
    pm->smbus[address & 15] = (uint8_t)value;
    if (address == 2 && (value & SMBUS_CONTROL_START)) { /* no device answers */
        pm->smbus[2] &= (uint8_t)~SMBUS_CONTROL_START;
        pm->smbus_status |= SMBUS_STATUS_DEVICE_ERROR;
    }
}

static const struct bus_ops smbus_ops = {.read = smbus_read, .write = smbus_write, .max_size_bytes = 1};

/* --- the device --------------------------------------------------------------------------------------------------- */

static void pm_receive_power_button(void *opaque, const struct input_message *message)
{
    struct piix4_pm *pm = opaque;
    (void)message;
    pm->pm1_status |= PM1_POWER_BUTTON;
    pm_update(pm);
}

void piix4_pm_raise_gpe(struct device *device, unsigned bit)
{
    struct piix4_pm *pm = device_of(device, struct piix4_pm);
    CHECK(bit < 16);
    pm->gpe_status |= (uint16_t)(1u << bit);
    pm_update(pm);
}

void piix4_pm_set_base(struct device *device, uint16_t base, bool enabled)
{
    struct piix4_pm *pm = device_of(device, struct piix4_pm);
    pm->base = base & (uint16_t) ~(PIIX4_PM_IO_BYTES - 1);
    pm->base_enabled = enabled;
    bus_mapping_set(pm->io, pm->base, enabled);
}

void piix4_pm_set_smbus_base(struct device *device, uint16_t base, bool enabled)
{
    struct piix4_pm *pm = device_of(device, struct piix4_pm);
    pm->smbus_base = base & (uint16_t) ~(PIIX4_SMBUS_IO_BYTES - 1);
    pm->smbus_enabled = enabled;
    bus_mapping_set(pm->smbus_io, pm->smbus_base, enabled);
}

/* The bases belong to the PCI function, which resets and sets them. */
static void pm_reset(struct device *device)
{
    struct piix4_pm *pm = device_of(device, struct piix4_pm);
    pm->pm1_status = pm->pm1_enable = pm->pm1_control = 0;
    pm->gpe_status = pm->gpe_enable = 0;
    pm->timer_half_seen = pm_ticks(pm) >> PM_TIMER_HALF_SHIFT;
    for (unsigned i = 0; i < sizeof(pm->stored); i++)
        pm->stored[i] = 0;
    for (unsigned i = 0; i < sizeof(pm->smbus); i++)
        pm->smbus[i] = 0;
    pm->smi_command = pm->smi_status = pm->reset_control = pm->smbus_status = 0;
    pm_update(pm);
}

static void pm_post_load(struct device *device)
{
    struct piix4_pm *pm = device_of(device, struct piix4_pm);
    bus_mapping_set(pm->io, pm->base, pm->base_enabled);
    bus_mapping_set(pm->smbus_io, pm->smbus_base, pm->smbus_enabled);
    vtimer_arm(&pm->timer, pm->deadline_ns);
}

static void pm_destroy(struct device *device)
{
    vtimer_disarm(&device_of(device, struct piix4_pm)->timer);
}

const struct device_class piix4_pm_class = {.name = "piix4_pm",
                                            .version = 1,
                                            .size = sizeof(struct piix4_pm),
                                            .fields = piix4_pm_fields,
                                            .reset = pm_reset,
                                            .post_load = pm_post_load,
                                            .destroy = pm_destroy};

struct device *piix4_pm_create(struct machine *machine, struct irq_line sci)
{
    struct piix4_pm *pm = device_alloc(&piix4_pm_class, machine, "pm");
    struct bus *bus = machine_bus(machine);
    pm->sci = sci;
    vtimer_init(&pm->timer, machine, pm_timer_fire, pm);
    pm->io = bus_map_io(bus, PIIX4_PM_DEFAULT_BASE, PIIX4_PM_IO_BYTES, &pm_ops, pm, "pm");
    pm->smbus_io = bus_map_io(bus, PIIX4_SMBUS_DEFAULT_BASE, PIIX4_SMBUS_IO_BYTES, &smbus_ops, pm, "smbus");
    piix4_pm_set_base(&pm->device, PIIX4_PM_DEFAULT_BASE, false);
    piix4_pm_set_smbus_base(&pm->device, PIIX4_SMBUS_DEFAULT_BASE, false);
    pm_reset(&pm->device);
    bus_map_io(bus, PIIX4_SMI_COMMAND, 2, &smi_ops, pm, "smi");
    bus_map_io(bus, PIIX4_RESET_PORT, 1, &reset_ops, pm, "reset-control");
    machine_set_receiver(machine, INPUT_POWER_BUTTON, UINT32_MAX, pm_receive_power_button, pm);
    machine_add_device(machine, &pm->device);
    return &pm->device;
}

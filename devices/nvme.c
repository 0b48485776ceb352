/* An NVMe controller: registers, interrupts, resets, saved state (NVM Express 1.4, 3.1, 7.3, 7.6.2).
 *
 * CAP: 2048 entries a queue, contiguous queues, round robin, NVM command set, memory pages of 4 to 64 KiB, 7.5 s to
 * become ready (it is at once). Registers take aligned accesses of 4 and 8 bytes; smaller ones read, and write nothing.
 * Disabling the controller drops what is under way: writes that have been fetched still reach the drive.
 * Not modelled: subsystem reset, controller memory buffer, persistent memory region, boot partitions, SR-IOV. */
#include "devices/nvme.h"

#include "devices/nvme_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAR 0
#define BAR_BYTES 0x4000u
#define DOORBELLS 0x1000u
#define MSIX_TABLE 0x2000u
#define MSIX_PENDING 0x3000u

#define REG_CAP 0x00u
#define REG_VS 0x08u
#define REG_INTMS 0x0Cu
#define REG_INTMC 0x10u
#define REG_CC 0x14u
#define REG_CSTS 0x1Cu
#define REG_AQA 0x24u
#define REG_ASQ 0x28u
#define REG_ACQ 0x30u

#define CAP_CONTIGUOUS (1ull << 16)
#define CAP_TIMEOUT (15ull << 24) /* 500 ms each */
#define CAP_NVM_COMMAND_SET (1ull << 37)
#define CAP_PAGE_MAX ((uint64_t)(NVME_PAGE_SHIFT_MAX - NVME_PAGE_SHIFT_MIN) << 52)
#define VERSION_1_4 0x00010400u
#define CC_WRITABLE 0x00FFFFF1u
#define CC_SELECTIONS 0x00003870u /* command set and arbitration: only 0 is offered */
#define CC_SHN 0x0000C000u
#define AQA_WRITABLE 0x0FFF0FFFu
#define PAGE_ADDRESS_LOW 0xFFFFF000u
#define INTERRUPT_VECTORS_PIN 32u

static const struct state_field nvme_sq_fields[] = {
    NVME_SQ_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct nvme_sq){.name = NULL}};
static const struct state_field nvme_cq_fields[] = {
    NVME_CQ_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct nvme_cq){.name = NULL}};
static const struct state_field nvme_command_fields[] = {
    NVME_COMMAND_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct nvme_command){.name = NULL}};
static const struct state_field nvme_error_fields[] = {
    NVME_ERROR_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct nvme_error){.name = NULL}};
STATE_TABLE(nvme_fields, struct nvme, NVME_STATE);

/* ---- interrupts ---- */

static bool asks(const struct nvme *nvme, const struct nvme_cq *cq)
{
    bool masked = cq->vector < INTERRUPT_VECTORS_PIN && nvme->intms >> cq->vector & 1;
    return cq->size && cq->interrupts && cq->head != cq->tail && !masked;
}

void nvme_update_intx(struct nvme *nvme)
{
    bool level = false;
    if (!pci_msix_enabled(nvme->msix)) {
        for (unsigned n = 0; n < NVME_QUEUES && !level; n++)
            level = asks(nvme, &nvme->cq[n]);
    }
    pci_function_set_intx(nvme->pci, level);
}

void nvme_interrupt(struct nvme *nvme, unsigned cqid)
{
    if (!nvme->cq[cqid].interrupts)
        return;
    if (pci_msix_enabled(nvme->msix))
        pci_msix_notify(nvme->msix, nvme->cq[cqid].vector);
    else
        nvme_update_intx(nvme);
}

void nvme_fail(struct nvme *nvme)
{
    nvme->csts |= NVME_CSTS_CFS;
}

/* ---- enabling and disabling ---- */

static void drop_queues(struct nvme *nvme)
{
    memset(nvme->sq, 0, sizeof nvme->sq);
    memset(nvme->cq, 0, sizeof nvme->cq);
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++)
        nvme_command_release(&nvme->command[n]);
    memset(nvme->held_cid, 0, sizeof nvme->held_cid);
    memset(nvme->event_pending, 0, sizeof nvme->event_pending);
    memset(nvme->event_masked, 0, sizeof nvme->event_masked);
    memset(nvme->event_info, 0, sizeof nvme->event_info);
    nvme->namespace_changed = false;
    nvme->held_count = nvme->next_sq = 0;
    nvme->fetch_due_ns = VTIME_NEVER;
    vtimer_disarm(&nvme->fetch_timer);
}

/* A controller level reset (7.3.2): all but the admin queue's registers. */
static void controller_reset(struct nvme *nvme)
{
    block_drive_abandon(nvme->drive);
    drop_queues(nvme);
    nvme_features_reset(nvme);
    nvme->csts = nvme->intms = 0;
    nvme_update_intx(nvme);
}

static void enable(struct nvme *nvme)
{
    uint32_t sq_size = (nvme->aqa & 0xFFF) + 1, cq_size = (nvme->aqa >> 16 & 0xFFF) + 1;
    uint64_t unaligned = (1ull << nvme_page_shift(nvme)) - 1;
    if (nvme_page_shift(nvme) > NVME_PAGE_SHIFT_MAX || (nvme->cc & CC_SELECTIONS) || sq_size < 2 || cq_size < 2 ||
        (nvme->asq & unaligned) || (nvme->acq & unaligned) || !nvme->asq || !nvme->acq) {
        nvme_fail(nvme);
        return;
    }
    nvme->sq[0] = (struct nvme_sq){.base = nvme->asq, .size = sq_size};
    nvme->cq[0] = (struct nvme_cq){.base = nvme->acq, .size = cq_size, .interrupts = true, .phase = true};
    nvme->csts |= NVME_CSTS_RDY;
}

/* Both kinds of shutdown bring the cache to the medium. */
static void write_cc(struct nvme *nvme, uint32_t value)
{
    uint32_t before = nvme->cc;
    nvme->cc = value & CC_WRITABLE;
    if ((before & NVME_CC_EN) && !(value & NVME_CC_EN))
        controller_reset(nvme);
    else if (!(before & NVME_CC_EN) && (value & NVME_CC_EN))
        enable(nvme);
    if ((value & CC_SHN) && !(before & CC_SHN) && !(nvme->csts & NVME_CSTS_SHST)) {
        nvme->csts |= NVME_CSTS_SHST_OCCURRING;
        nvme_process(nvme);
    }
}

/* ---- registers ---- */

static uint64_t capabilities(void)
{
    return (NVME_QUEUE_ENTRIES_MAX - 1) | CAP_CONTIGUOUS | CAP_TIMEOUT | CAP_NVM_COMMAND_SET | CAP_PAGE_MAX;
}

static uint64_t read_pair(const struct nvme *nvme, uint64_t offset)
{
    switch (offset) {
    case REG_CAP: return capabilities();
    case REG_VS: return VERSION_1_4 | (uint64_t)nvme->intms << 32;
    case REG_INTMC: return nvme->intms | (uint64_t)nvme->cc << 32;
    case REG_CSTS & ~7u: return (uint64_t)nvme->csts << 32;
    case REG_AQA & ~7u: return (uint64_t)nvme->aqa << 32;
    case REG_ASQ: return nvme->asq;
    case REG_ACQ: return nvme->acq;
    default: return 0;
    }
}

static void set_half(uint64_t *reg, bool high, uint32_t value)
{
    *reg = high ? (*reg & 0xFFFFFFFFu) | (uint64_t)value << 32 : (*reg & ~0xFFFFFFFFull) | (value & PAGE_ADDRESS_LOW);
}

static void write_register(struct nvme *nvme, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case REG_INTMS:
    case REG_INTMC:
        nvme->intms = offset == REG_INTMS ? nvme->intms | value : nvme->intms & ~value;
        nvme_update_intx(nvme);
        break;
    case REG_CC: write_cc(nvme, value); break;
    case REG_AQA: nvme->aqa = value & AQA_WRITABLE; break;
    case REG_ASQ:
    case REG_ASQ + 4: set_half(&nvme->asq, offset != REG_ASQ, value); break;
    case REG_ACQ:
    case REG_ACQ + 4: set_half(&nvme->acq, offset != REG_ACQ, value); break;
    default: break;
    }
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    struct nvme *nvme = opaque;
    if (offset >= MSIX_TABLE) {
        uint64_t value = pci_msix_read(nvme->msix, offset, size_bytes < 4 ? size_bytes : 4);
        return size_bytes < 8 ? value : value | pci_msix_read(nvme->msix, offset + 4, 4) << 32;
    }
    unsigned shift = 8 * (unsigned)(offset & 7);
    uint64_t value = read_pair(nvme, offset & ~7ull) >> shift;
    if (shift && size_bytes > 8 - (offset & 7))
        value |= read_pair(nvme, (offset & ~7ull) + 8) << (64 - shift);
    return value;
}

static void write_dword(struct nvme *nvme, uint32_t offset, uint32_t value)
{
    if (offset >= DOORBELLS)
        nvme_doorbell(nvme, offset - DOORBELLS, value);
    else
        write_register(nvme, offset, value);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct nvme *nvme = opaque;
    for (unsigned done = 0; done < size_bytes; done += 4) {
        uint32_t at = (uint32_t)offset + done, part = (uint32_t)(value >> (8 * done));
        unsigned part_bytes = size_bytes < 4 ? size_bytes : 4;
        if (at >= MSIX_TABLE)
            pci_msix_write(nvme->msix, at, part, part_bytes);
        else if (part_bytes == 4 && !(at & 3))
            write_dword(nvme, at, part);
    }
}

static void bar_changed(void *opaque, unsigned bar, uint64_t base, bool enabled)
{
    struct nvme *nvme = opaque;
    (void)bar;
    bus_mapping_set(nvme->mapping, enabled ? base : 0, enabled);
}

static void config_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    struct nvme *nvme = opaque;
    pci_msix_config_written(nvme->msix, offset, size_bytes);
    nvme_update_intx(nvme);
}

/* ---- the device ---- */

static void fetch_timer_fired(void *opaque)
{
    nvme_process(opaque);
}

static void nvme_reset(struct device *device)
{
    struct nvme *nvme = device_of(device, struct nvme);
    controller_reset(nvme);
    nvme->cc = nvme->aqa = 0;
    nvme->asq = nvme->acq = 0;
    pci_function_reset(nvme->pci);
    pci_msix_reset(nvme->msix);
}

/* ---- loaded state: what indexes or counts must be what this chip could have saved ---- */

static bool queues_sound(const struct nvme *nvme)
{
    for (unsigned n = 0; n < NVME_QUEUES; n++) {
        uint32_t size_max = n ? NVME_QUEUE_ENTRIES_MAX : NVME_ADMIN_ENTRIES_MAX;
        const struct nvme_sq *sq = &nvme->sq[n];
        const struct nvme_cq *cq = &nvme->cq[n];
        if (sq->size > size_max || cq->size > size_max || cq->vector >= NVME_QUEUES)
            return false;
        if (cq->size && (cq->size < 2 || cq->head >= cq->size || cq->tail >= cq->size))
            return false;
        if (sq->size && (sq->size < 2 || sq->head >= sq->size || sq->tail >= sq->size || sq->cqid >= NVME_QUEUES ||
                         !nvme->cq[sq->cqid].size || (sq->cqid != 0) != (n != 0)))
            return false;
    }
    bool ready = nvme->csts & NVME_CSTS_RDY;
    return nvme->next_sq < NVME_QUEUES && nvme->held_count <= NVME_HELD_MAX && (!ready || nvme->sq[0].size) &&
           nvme_page_shift(nvme) <= (ready ? NVME_PAGE_SHIFT_MAX : NVME_PAGE_SHIFT_MIN + 15);
}

static bool command_sound(const struct nvme *nvme, const struct nvme_command *command)
{
    uint64_t sectors = block_drive_sectors(nvme->drive);
    return command->owner < NVME_OWNERS && command->sqid < NVME_QUEUES && command->request_op < TRACE_BLOCK_OPS &&
           (command->owner != NVME_GUEST || nvme->sq[command->sqid].size) && command->sector <= sectors &&
           command->sectors <= sectors - command->sector && command->request_sectors <= BLOCK_REQUEST_SECTORS_MAX &&
           command->request_sectors <= command->sectors && command->ranges <= NVME_RANGES_MAX &&
           command->next_range <= command->ranges;
}

static bool commands_sound(struct nvme *nvme)
{
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++) {
        struct nvme_command *command = &nvme->command[n];
        if (command->owner != NVME_FREE && (!command_sound(nvme, command) || !nvme_command_reattach(nvme, command)))
            return false;
    }
    return true;
}

static void find_blocks(struct nvme *nvme)
{
    nvme->blocks = block_drive_sectors(nvme->drive) >> nvme->block_shift;
}

static void nvme_post_load(struct device *device)
{
    struct nvme *nvme = device_of(device, struct nvme);
    pci_function_post_load(nvme->pci);
    pci_msix_post_load(nvme->msix);
    find_blocks(nvme);
    if (!queues_sound(nvme) || !commands_sound(nvme)) {
        nvme_reset(device);
        return;
    }
    vtimer_arm(&nvme->fetch_timer, nvme->fetch_due_ns);
}

static void nvme_destroy(struct device *device)
{
    struct nvme *nvme = device_of(device, struct nvme);
    vtimer_disarm(&nvme->fetch_timer);
    free(nvme->scratch);
    free(nvme->segment);
}

static const struct device_class nvme_class = {
    .name = "nvme",
    .version = 1,
    .size = sizeof(struct nvme),
    .fields = nvme_fields,
    .reset = nvme_reset,
    .post_load = nvme_post_load,
    .destroy = nvme_destroy,
};

/* Another size: Namespace Attribute Changed (5.2). */
static void resized(void *opaque)
{
    struct nvme *nvme = opaque;
    find_blocks(nvme);
    nvme->namespace_changed = true;
    nvme_event_raise(nvme, NVME_EVENT_NOTICE, 0);
    nvme_process(nvme);
}

static void create_function(struct nvme *nvme, struct pci_bus *bus, unsigned slot)
{
    static const struct pci_identity identity = {
        .vendor = 0x1B36,
        .device = 0x0010,
        .revision = 2,
        .class_base = 0x01,
        .class_sub = 0x08,
        .class_prog = 0x02,
        .subsystem_vendor = 0x1AF4,
        .subsystem = 0x1100,
        .interrupt_pin = 1,
    };
    static const struct pci_function_ops function_ops = {.bar_changed = bar_changed, .config_written = config_written};
    static const struct bus_ops bar_ops = {bar_read, bar_write, 8};
    nvme->mapping = bus_map_mmio(machine_bus(nvme->device.machine), 0, BAR_BYTES, &bar_ops, nvme, "nvme");
    bus_mapping_set(nvme->mapping, 0, false);
    pci_function_init(nvme->pci, bus, slot, 0, &identity, &function_ops, nvme);
    pci_function_add_bar(nvme->pci, BAR, PCI_BAR_MEMORY_64, BAR_BYTES);
    pci_msix_init(nvme->msix, nvme->pci, NVME_QUEUES, BAR, MSIX_TABLE, MSIX_PENDING);
}

struct device *nvme_create(struct machine *machine, struct pci_bus *bus, unsigned slot,
                           const struct nvme_options *options)
{
    struct nvme *nvme = device_alloc(&nvme_class, machine, NULL);
    uint32_t block_bytes = options->block_bytes ? options->block_bytes : BLOCK_SECTOR_BYTES;
    CHECK(block_bytes == 512 || block_bytes == 4096);
    nvme->drive = options->drive;
    nvme->has_cache = !(options->flags & BLOCK_ATTACH_NO_WRITE_CACHE) && block_drive_write_cache(nvme->drive);
    nvme->has_discard = !(options->flags & BLOCK_ATTACH_NO_DISCARD);
    nvme->block_shift = block_bytes == 4096 ? 3 : 0;
    find_blocks(nvme);
    block_drive_listen(nvme->drive, (struct block_listener){.resized = resized, .opaque = nvme});
    snprintf(nvme->id, sizeof nvme->id, "nvme%u", (unsigned)block_drive_index(nvme->drive));
    nvme->device.id = nvme->id;
    if (options->serial && options->serial[0])
        snprintf(nvme->serial, sizeof nvme->serial, "%s", options->serial);
    else
        snprintf(nvme->serial, sizeof nvme->serial, "VMRR%06u", (unsigned)block_drive_index(nvme->drive) + 1);
    nvme->scratch = malloc(NVME_TRANSFER_BYTES_MAX);
    nvme->segment = calloc(BLOCK_SEGMENTS_TRACED, sizeof *nvme->segment);
    CHECK(nvme->scratch && nvme->segment);
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++)
        nvme->command[n].nvme = nvme;
    vtimer_init(&nvme->fetch_timer, machine, fetch_timer_fired, nvme);
    create_function(nvme, bus, slot);
    machine_add_device(machine, &nvme->device);
    return &nvme->device;
}

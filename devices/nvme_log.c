/* Log pages (NVM Express 1.4, 5.14) and asynchronous events (5.2): error information, SMART / health, firmware slots,
 * changed namespaces, commands supported and their effects.
 * An event of a type that has been reported is not reported again until its log page has been read. The temperature
 * stands still; lifetime counters are those of this machine. Not modelled: telemetry, spare, endurance, other notices than
 * that of a namespace with another size. */
#include "devices/nvme_internal.h"

#include <string.h>

#define TEMPERATURE_KELVIN 323u
#define WARNING_TEMPERATURE 2u
#define RETAIN_EVENT 0x8000u
#define ERROR_ENTRY_BYTES 64u
#define SMART_BYTES 512u
#define FIRMWARE_BYTES 512u
#define CHANGED_BYTES 4096u
#define EFFECTS_BYTES 4096u
#define EFFECTS_IO 1024u
#define EFFECT_SUPPORTED 0x01u
#define EFFECT_CONTENT 0x02u
#define LOCATION_UNKNOWN 0xFFFFu
#define UNIT_SECTORS 1000u
#define NS_AN_HOUR 3600000000000ull

/* ---- errors ---- */

static bool has_lba(const struct nvme_sqe *sqe)
{
    return sqe->sqid && (sqe->opcode == NVME_IO_READ || sqe->opcode == NVME_IO_WRITE ||
                         sqe->opcode == NVME_IO_COMPARE || sqe->opcode == NVME_IO_WRITE_ZEROES);
}

void nvme_log_error(struct nvme *nvme, const struct nvme_sqe *sqe, unsigned status)
{
    memmove(&nvme->error[1], &nvme->error[0], sizeof nvme->error - sizeof nvme->error[0]);
    nvme->error[0] = (struct nvme_error){.count = ++nvme->error_count,
                                         .lba = has_lba(sqe) ? (uint64_t)sqe->dword[1] << 32 | sqe->dword[0] : 0,
                                         .nsid = sqe->nsid,
                                         .sqid = sqe->sqid,
                                         .cid = sqe->cid,
                                         .status = (uint16_t)((status | NVME_MORE) << 1)};
}

static uint32_t error_page(const struct nvme *nvme, uint8_t *data)
{
    for (unsigned n = 0; n < NVME_ERRORS_MAX && nvme->error[n].count; n++) {
        const struct nvme_error *error = &nvme->error[n];
        uint8_t *entry = data + (size_t)n * ERROR_ENTRY_BYTES;
        nvme_put(entry, 0, 8, error->count);
        nvme_put(entry, 8, 2, error->sqid);
        nvme_put(entry, 10, 2, error->cid);
        nvme_put(entry, 12, 2, error->status);
        nvme_put(entry, 14, 2, LOCATION_UNKNOWN);
        nvme_put(entry, 16, 8, error->lba);
        nvme_put(entry, 24, 4, error->nsid);
    }
    return NVME_ERRORS_MAX * ERROR_ENTRY_BYTES;
}

/* ---- health ---- */

uint8_t nvme_critical_warning(const struct nvme *nvme)
{
    bool outside = TEMPERATURE_KELVIN >= nvme->threshold[0] || TEMPERATURE_KELVIN <= nvme->threshold[1];
    return outside ? WARNING_TEMPERATURE : 0;
}

/* In thousands of 512 bytes, rounded up. */
static uint64_t data_units(uint64_t sectors)
{
    return sectors / UNIT_SECTORS + (sectors % UNIT_SECTORS != 0);
}

static uint32_t smart_page(const struct nvme *nvme, uint8_t *data)
{
    data[0] = nvme_critical_warning(nvme);
    nvme_put(data, 1, 2, TEMPERATURE_KELVIN);
    data[3] = 100; /* per cent of the spare blocks there, */
    data[4] = 10;  /* and how few are too few */
    nvme_put(data, 32, 16, data_units(nvme->read_sectors));
    nvme_put(data, 48, 16, data_units(nvme->written_sectors));
    nvme_put(data, 64, 16, nvme->read_commands);
    nvme_put(data, 80, 16, nvme->write_commands);
    nvme_put(data, 112, 16, 1); /* power cycles */
    nvme_put(data, 128, 16, vtime_now_ns(nvme->device.machine) / NS_AN_HOUR);
    nvme_put(data, 160, 16, nvme->media_errors);
    nvme_put(data, 176, 16, nvme->error_count);
    return SMART_BYTES;
}

/* ---- what there is ---- */

static uint32_t firmware_page(uint8_t *data)
{
    data[0] = 1; /* the active slot */
    memcpy(data + 8, "1.0     ", 8);
    return FIRMWARE_BYTES;
}

static uint32_t effects_page(const struct nvme *nvme, uint8_t *data)
{
    static const uint8_t admin[] = {NVME_ADMIN_DELETE_SQ,  NVME_ADMIN_CREATE_SQ,    NVME_ADMIN_GET_LOG_PAGE,
                                    NVME_ADMIN_DELETE_CQ,  NVME_ADMIN_CREATE_CQ,    NVME_ADMIN_IDENTIFY,
                                    NVME_ADMIN_ABORT,      NVME_ADMIN_SET_FEATURES, NVME_ADMIN_GET_FEATURES,
                                    NVME_ADMIN_ASYNC_EVENT};
    static const uint8_t changing[] = {NVME_IO_WRITE, NVME_IO_WRITE_ZEROES, NVME_IO_DATASET};
    static const uint8_t other[] = {NVME_IO_FLUSH, NVME_IO_READ, NVME_IO_COMPARE};
    for (unsigned n = 0; n < sizeof admin; n++)
        data[4 * admin[n]] = EFFECT_SUPPORTED;
    for (unsigned n = 0; n < sizeof changing; n++)
        data[EFFECTS_IO + 4 * changing[n]] = EFFECT_SUPPORTED | EFFECT_CONTENT;
    for (unsigned n = 0; n < sizeof other; n++)
        data[EFFECTS_IO + 4 * other[n]] = EFFECT_SUPPORTED;
    if (!nvme->has_discard)
        data[EFFECTS_IO + 4 * NVME_IO_DATASET] = 0;
    return EFFECTS_BYTES;
}

static uint32_t changed_page(const struct nvme *nvme, uint8_t *data)
{
    nvme_put(data, 0, 4, nvme->namespace_changed ? NVME_NSID : 0);
    return CHANGED_BYTES;
}

/* ---- Get Log Page ---- */

static uint32_t fill(const struct nvme *nvme, uint32_t page, uint8_t *data)
{
    switch (page) {
    case NVME_LOG_ERROR: return error_page(nvme, data);
    case NVME_LOG_SMART: return smart_page(nvme, data);
    case NVME_LOG_FIRMWARE: return firmware_page(data);
    case NVME_LOG_CHANGED: return changed_page(nvme, data);
    case NVME_LOG_EFFECTS: return effects_page(nvme, data);
    default: return 0;
    }
}

/* Reading a page ends the silence about its events. */
static void unmask(struct nvme *nvme, uint32_t page)
{
    if (page == NVME_LOG_ERROR)
        nvme->event_masked[NVME_EVENT_ERROR] = false;
    else if (page == NVME_LOG_SMART)
        nvme->event_masked[NVME_EVENT_SMART] = false;
    else if (page == NVME_LOG_CHANGED)
        nvme->event_masked[NVME_EVENT_NOTICE] = nvme->namespace_changed = false;
}

/* Beyond the end of a page there is nothing: the transfer is shorter. */
unsigned nvme_get_log_page(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint8_t data[NVME_DATA_BYTES] = {0};
    uint32_t page = sqe->dword[0] & 0xFF, page_bytes = fill(nvme, page, data);
    uint64_t dwords = (uint64_t)(sqe->dword[1] & 0xFFFF) << 16 | sqe->dword[0] >> 16;
    uint64_t bytes = (dwords + 1) * 4, offset = (uint64_t)sqe->dword[3] << 32 | sqe->dword[2];
    if (!page_bytes)
        return NVME_INVALID_LOG_PAGE | NVME_DO_NOT_RETRY;
    if (offset % 4 || offset >= page_bytes || (sqe->nsid != NVME_NSID_ALL && sqe->nsid != 0))
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    if (bytes > page_bytes - offset)
        bytes = page_bytes - offset;
    unsigned status = nvme_prp_transfer(nvme, sqe->prp, data + offset, (uint32_t)bytes, NVME_TO_GUEST);
    if (!status && !(sqe->dword[0] & RETAIN_EVENT))
        unmask(nvme, page);
    return status;
}

/* ---- events ---- */

static bool wanted(const struct nvme *nvme, enum nvme_event_type type)
{
    uint32_t bit = type == NVME_EVENT_NOTICE ? NVME_NOTICE_NAMESPACE : WARNING_TEMPERATURE;
    return type == NVME_EVENT_ERROR || (nvme->event_config & bit);
}

void nvme_event_raise(struct nvme *nvme, enum nvme_event_type type, uint8_t info)
{
    if (!wanted(nvme, type) || nvme->event_masked[type] || nvme->event_pending[type])
        return;
    nvme->event_pending[type] = true;
    nvme->event_info[type] = info;
}

static void deliver(struct nvme *nvme, enum nvme_event_type type)
{
    static const uint8_t pages[NVME_EVENT_TYPES] = {NVME_LOG_ERROR, NVME_LOG_SMART, NVME_LOG_CHANGED};
    uint32_t page = pages[type];
    uint32_t result = (uint32_t)type | (uint32_t)nvme->event_info[type] << 8 | page << 16;
    uint16_t cid = nvme->held_cid[0];
    nvme->held_count--;
    for (unsigned n = 0; n < NVME_HELD_MAX; n++)
        nvme->held_cid[n] = n < nvme->held_count ? nvme->held_cid[n + 1] : 0;
    nvme->event_pending[type] = false;
    nvme->event_masked[type] = true;
    nvme->event_info[type] = 0;
    nvme_post(nvme, 0, cid, result, NVME_SUCCESS);
}

void nvme_events_deliver(struct nvme *nvme)
{
    for (unsigned type = 0; type < NVME_EVENT_TYPES; type++) {
        if (nvme->event_pending[type] && nvme->held_count && nvme_cq_room(nvme, 0))
            deliver(nvme, (enum nvme_event_type)type);
    }
}

/* Get and Set Features (NVM Express 1.4, 5.14, 5.21). No feature is saved or per namespace. Values are kept and given
 * back; only the write cache, the temperature threshold and the event configuration do something.
 * Not supported: the optional ones (host memory buffer, timestamp, power state transitions, host identifier, ...). */
#include "devices/nvme_internal.h"

#define FEATURE_ARBITRATION 0x01u
#define FEATURE_POWER 0x02u
#define FEATURE_TEMPERATURE 0x04u
#define FEATURE_ERROR_RECOVERY 0x05u
#define FEATURE_WRITE_CACHE 0x06u
#define FEATURE_QUEUES 0x07u
#define FEATURE_COALESCING 0x08u
#define FEATURE_VECTOR 0x09u
#define FEATURE_ATOMICITY 0x0Au
#define FEATURE_EVENTS 0x0Bu

#define SELECT_CURRENT 0u
#define SELECT_CAPABILITIES 3u
#define CAPABILITY_CHANGEABLE 4u
#define SAVE 0x80000000u
#define QUEUES_GIVEN ((NVME_QUEUES - 2) << 16 | (NVME_QUEUES - 2)) /* I/O queues, counted from 0 */
#define THRESHOLD_OVER 0x0157u
#define NO_COALESCING 0x00010000u
#define SENSOR_ALL 15u
#define EVENT_TEMPERATURE 1u

void nvme_features_reset(struct nvme *nvme)
{
    nvme->arbitration = 7; /* no burst limit */
    nvme->power = nvme->error_recovery = nvme->coalescing = nvme->atomicity = nvme->event_config = 0;
    nvme->threshold[0] = THRESHOLD_OVER;
    nvme->threshold[1] = 0;
    nvme->vector_no_coalescing = 0;
    nvme->write_cache = true;
}

/* Where a feature that is one stored word lies, and which bits of it are. */
static uint32_t *stored_word(struct nvme *nvme, uint32_t feature, uint32_t *mask)
{
    switch (feature) {
    case FEATURE_ARBITRATION: *mask = 0xFFFFFF07; return &nvme->arbitration;
    case FEATURE_POWER: *mask = 0xE0; return &nvme->power; /* power state 0 is the only one */
    case FEATURE_ERROR_RECOVERY: *mask = 0xFFFF; return &nvme->error_recovery;
    case FEATURE_COALESCING: *mask = 0xFFFF; return &nvme->coalescing;
    case FEATURE_ATOMICITY: *mask = 1; return &nvme->atomicity;
    case FEATURE_EVENTS: *mask = 0x1F | NVME_NOTICE_NAMESPACE; return &nvme->event_config;
    default: return NULL;
    }
}

/* ---- temperature ---- */

static bool threshold_selected(uint32_t selection, bool set, unsigned *which)
{
    uint32_t sensor = selection >> 16 & 15, kind = selection >> 20 & 3;
    *which = kind & 1;
    return kind < 2 && (sensor == 0 || (set && sensor == SENSOR_ALL));
}

static unsigned set_threshold(struct nvme *nvme, uint32_t value)
{
    unsigned which;
    if (!threshold_selected(value, true, &which))
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    nvme->threshold[which] = value & 0xFFFF;
    if (nvme_critical_warning(nvme))
        nvme_event_raise(nvme, NVME_EVENT_SMART, EVENT_TEMPERATURE);
    return NVME_SUCCESS;
}

/* ---- vectors ---- */

static bool vector_exists(uint32_t value)
{
    return (value & 0xFFFF) < NVME_QUEUES;
}

static unsigned set_vector(struct nvme *nvme, uint32_t value)
{
    if (!vector_exists(value))
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    uint64_t bit = 1ull << (value & 0xFFFF);
    if (value & NO_COALESCING)
        nvme->vector_no_coalescing |= bit;
    else
        nvme->vector_no_coalescing &= ~bit;
    return NVME_SUCCESS;
}

/* ---- queues ---- */

static unsigned set_queues(struct nvme *nvme, uint32_t value, uint32_t *result)
{
    if ((value & 0xFFFF) == 0xFFFF || value >> 16 == 0xFFFF)
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    for (unsigned n = 1; n < NVME_QUEUES; n++) {
        if (nvme->sq[n].size || nvme->cq[n].size)
            return NVME_COMMAND_SEQUENCE_ERROR | NVME_DO_NOT_RETRY;
    }
    *result = QUEUES_GIVEN;
    return NVME_SUCCESS;
}

/* ---- write cache ---- */

bool nvme_features_need_flush(const struct nvme *nvme, const struct nvme_sqe *sqe)
{
    return (sqe->dword[0] & 0xFF) == FEATURE_WRITE_CACHE && nvme->has_cache && nvme->write_cache &&
           !(sqe->dword[1] & 1);
}

/* Switching it off brings what is in it to the medium. */
static unsigned set_write_cache(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    bool flush = nvme_features_need_flush(nvme, sqe);
    if (!nvme->has_cache)
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    nvme->write_cache = sqe->dword[1] & 1;
    if (!flush)
        return NVME_SUCCESS;
    nvme_flush(nvme, sqe, NVME_GUEST);
    return NVME_PENDING;
}

/* ---- set ---- */

static unsigned set_stored(struct nvme *nvme, uint32_t feature, uint32_t value)
{
    uint32_t mask, *word = stored_word(nvme, feature, &mask);
    if (!word || (feature == FEATURE_POWER && value & 31))
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    *word = value & mask;
    if (feature == FEATURE_EVENTS && nvme_critical_warning(nvme))
        nvme_event_raise(nvme, NVME_EVENT_SMART, EVENT_TEMPERATURE);
    return NVME_SUCCESS;
}

unsigned nvme_set_features(struct nvme *nvme, const struct nvme_sqe *sqe, uint32_t *result)
{
    uint32_t feature = sqe->dword[0] & 0xFF, value = sqe->dword[1];
    if (sqe->dword[0] & SAVE)
        return NVME_FEATURE_NOT_SAVEABLE | NVME_DO_NOT_RETRY;
    switch (feature) {
    case FEATURE_TEMPERATURE: return set_threshold(nvme, value);
    case FEATURE_WRITE_CACHE: return set_write_cache(nvme, sqe);
    case FEATURE_QUEUES: return set_queues(nvme, value, result);
    case FEATURE_VECTOR: return set_vector(nvme, value);
    default: return set_stored(nvme, feature, value);
    }
}

/* ---- get ---- */

static unsigned read_feature(struct nvme *nvme, uint32_t feature, uint32_t selection, uint32_t *result)
{
    uint32_t mask, *word = stored_word(nvme, feature, &mask);
    unsigned which;
    bool valid = true;
    switch (feature) {
    case FEATURE_TEMPERATURE:
        valid = threshold_selected(selection, false, &which);
        *result = nvme->threshold[which];
        break;
    case FEATURE_WRITE_CACHE:
        valid = nvme->has_cache;
        *result = nvme->write_cache;
        break;
    case FEATURE_QUEUES: *result = QUEUES_GIVEN; break;
    case FEATURE_VECTOR:
        valid = vector_exists(selection);
        if (valid)
            *result =
                (selection & 0xFFFF) | (nvme->vector_no_coalescing >> (selection & 0xFFFF) & 1 ? NO_COALESCING : 0);
        break;
    default:
        valid = word != NULL;
        *result = valid ? *word : 0;
        break;
    }
    return valid ? NVME_SUCCESS : NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
}

/* Defaults, which are also the saved values, are what a controller has after reset. */
unsigned nvme_get_features(struct nvme *nvme, const struct nvme_sqe *sqe, uint32_t *result)
{
    uint32_t feature = sqe->dword[0] & 0xFF, select = sqe->dword[0] >> 8 & 7, selection = sqe->dword[1];
    struct nvme fresh = {.has_cache = nvme->has_cache};
    if (select > SELECT_CAPABILITIES)
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    nvme_features_reset(&fresh);
    unsigned status = read_feature(select == SELECT_CURRENT ? nvme : &fresh, feature, selection, result);
    if (!status && select == SELECT_CAPABILITIES)
        *result = CAPABILITY_CHANGEABLE;
    return status;
}

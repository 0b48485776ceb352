/* The parts of the NVMe controller among themselves: nvme.c (registers, interrupts, reset, saved state), nvme_queue.c
 * (fetching commands and posting completions), nvme_prp.c (guest memory), nvme_io.c (commands on the namespace),
 * nvme_admin.c (admin commands, queues), nvme_identify.c, nvme_features.c, nvme_log.c (log pages, events). Sections and
 * figures are those of NVM Express 1.4.
 *
 * A command is in one of these places: in its submission queue in guest memory; held, if it is an Asynchronous Event
 * Request; in command[], if it waits for the block layer; completed. So those two lists are all that is saved of it.
 *
 * Invariants:
 * (1) An entry of a completion queue is free for each command in command[] that will be answered there: a command is
 *     fetched only then, and no completion ever waits.
 * (2) A command in command[] has exactly one request at the drive.
 * (3) Guest memory is touched when a command is fetched and when its request completes, and never for one that has been
 *     answered (aborted, queue deleted). */
#ifndef VMRR_DEVICES_NVME_INTERNAL_H
#define VMRR_DEVICES_NVME_INTERNAL_H

#include "devices/nvme.h"
#include "devices/pci_msix.h"

#define NVME_QUEUES 64u /* pairs: the admin queues and 63 I/O queues */
#define NVME_QUEUE_ENTRIES_MAX 2048u
#define NVME_ADMIN_ENTRIES_MAX 4096u
#define NVME_SQE_BYTES 64u
#define NVME_CQE_BYTES 16u
#define NVME_COMMANDS_MAX BLOCK_PENDING_MAX
#define NVME_MDTS 7u /* 2^7 pages of 4 KiB */
#define NVME_TRANSFER_BYTES_MAX (4096u << NVME_MDTS)
#define NVME_PAGE_SHIFT_MIN 12u
#define NVME_PAGE_SHIFT_MAX 16u
#define NVME_HELD_MAX 4u   /* Asynchronous Event Requests */
#define NVME_ERRORS_MAX 4u /* entries of the error log */
#define NVME_RANGES_MAX 256u
#define NVME_RANGE_BYTES 16u
#define NVME_DATA_BYTES 4096u /* of Identify data, and the longest log page */
#define NVME_NSID 1u
#define NVME_NSID_ALL 0xFFFFFFFFu

#define NVME_CC_EN 0x00000001u
#define NVME_CSTS_RDY 0x01u
#define NVME_CSTS_CFS 0x02u
#define NVME_CSTS_SHST 0x0Cu
#define NVME_CSTS_SHST_OCCURRING 0x04u
#define NVME_CSTS_SHST_COMPLETE 0x08u

/* Status field without phase: code, type * 100h (4.6.1). */
enum nvme_status {
    NVME_SUCCESS = 0x000,
    NVME_INVALID_OPCODE = 0x001,
    NVME_INVALID_FIELD = 0x002,
    NVME_DATA_TRANSFER_ERROR = 0x004,
    NVME_INTERNAL_ERROR = 0x006,
    NVME_ABORT_REQUESTED = 0x007,
    NVME_ABORTED_SQ_DELETION = 0x008,
    NVME_INVALID_NAMESPACE = 0x00B,
    NVME_COMMAND_SEQUENCE_ERROR = 0x00C,
    NVME_INVALID_PRP_OFFSET = 0x013,
    NVME_WRITE_PROTECTED = 0x020,
    NVME_LBA_OUT_OF_RANGE = 0x080,
    NVME_INVALID_COMPLETION_QUEUE = 0x100,
    NVME_INVALID_QUEUE_ID = 0x101,
    NVME_INVALID_QUEUE_SIZE = 0x102,
    NVME_EVENT_LIMIT_EXCEEDED = 0x105,
    NVME_INVALID_VECTOR = 0x108,
    NVME_INVALID_LOG_PAGE = 0x109,
    NVME_INVALID_QUEUE_DELETION = 0x10C,
    NVME_FEATURE_NOT_SAVEABLE = 0x10D,
    NVME_WRITE_FAULT = 0x280,
    NVME_UNRECOVERED_READ = 0x281,
    NVME_COMPARE_FAILURE = 0x285,
    NVME_MORE = 0x2000,
    NVME_DO_NOT_RETRY = 0x4000,
    NVME_PENDING = 0x8000 /* not a status: the command will be answered later */
};

enum nvme_admin_opcode {
    NVME_ADMIN_DELETE_SQ = 0x00,
    NVME_ADMIN_CREATE_SQ = 0x01,
    NVME_ADMIN_GET_LOG_PAGE = 0x02,
    NVME_ADMIN_DELETE_CQ = 0x04,
    NVME_ADMIN_CREATE_CQ = 0x05,
    NVME_ADMIN_IDENTIFY = 0x06,
    NVME_ADMIN_ABORT = 0x08,
    NVME_ADMIN_SET_FEATURES = 0x09,
    NVME_ADMIN_GET_FEATURES = 0x0A,
    NVME_ADMIN_ASYNC_EVENT = 0x0C
};

enum nvme_io_opcode {
    NVME_IO_FLUSH = 0x00,
    NVME_IO_WRITE = 0x01,
    NVME_IO_READ = 0x02,
    NVME_IO_COMPARE = 0x05,
    NVME_IO_WRITE_ZEROES = 0x08,
    NVME_IO_DATASET = 0x09
};

enum nvme_event_type { NVME_EVENT_ERROR, NVME_EVENT_SMART, NVME_EVENT_NOTICE, NVME_EVENT_TYPES };
enum nvme_log_page {
    NVME_LOG_ERROR = 1,
    NVME_LOG_SMART = 2,
    NVME_LOG_FIRMWARE = 3,
    NVME_LOG_CHANGED = 4,
    NVME_LOG_EFFECTS = 5
};
#define NVME_NOTICE_NAMESPACE 0x100u /* its bit in Asynchronous Event Configuration and in OAES */

/* A submission queue entry as fetched (figure 105). dword[0] is CDW10. */
struct nvme_sqe {
    uint16_t sqid, cid;
    uint8_t opcode, flags;
    uint32_t nsid;
    uint64_t prp[2];
    uint32_t dword[6];
};

/* size in entries; 0: there is no such queue. */
#define NVME_SQ_STATE(S, A, N, T)                                                                                      \
    S(T, uint64_t, base)                                                                                               \
    S(T, uint32_t, size)                                                                                               \
    S(T, uint32_t, head)                                                                                               \
    S(T, uint32_t, tail)                                                                                               \
    S(T, uint32_t, cqid)

struct nvme_sq {
    STATE_MEMBERS(NVME_SQ_STATE)
};

#define NVME_CQ_STATE(S, A, N, T)                                                                                      \
    S(T, uint64_t, base)                                                                                               \
    S(T, uint32_t, size)                                                                                               \
    S(T, uint32_t, head)                                                                                               \
    S(T, uint32_t, tail)                                                                                               \
    S(T, uint16_t, vector)                                                                                             \
    S(T, bool, interrupts)                                                                                             \
    S(T, bool, phase)

struct nvme_cq {
    STATE_MEMBERS(NVME_CQ_STATE)
};

enum nvme_owner {
    NVME_FREE,
    NVME_GUEST,    /* to be answered */
    NVME_ANSWERED, /* only the drive still works at it */
    NVME_SHUTDOWN, /* the controller's own flush */
    NVME_OWNERS
};

/* A command at the block layer. sector and sectors: what is still to be done, the request in flight included. */
#define NVME_COMMAND_STATE(S, A, N, T)                                                                                 \
    A(T, uint64_t, prp, 2)                                                                                             \
    S(T, uint64_t, sector)                                                                                             \
    S(T, uint64_t, sectors)                                                                                            \
    S(T, uint64_t, request_sector)                                                                                     \
    S(T, uint32_t, request_sectors)                                                                                    \
    S(T, uint32_t, request_tag)                                                                                        \
    S(T, uint16_t, sqid)                                                                                               \
    S(T, uint16_t, cid)                                                                                                \
    S(T, uint16_t, ranges)                                                                                             \
    S(T, uint16_t, next_range)                                                                                         \
    S(T, uint8_t, owner)                                                                                               \
    S(T, uint8_t, opcode)                                                                                              \
    S(T, uint8_t, request_op)                                                                                          \
    S(T, bool, fua)

struct nvme_command {
    STATE_MEMBERS(NVME_COMMAND_STATE)
    struct nvme *nvme;
    struct block_request request;
};

#define NVME_ERROR_STATE(S, A, N, T)                                                                                   \
    S(T, uint64_t, count)                                                                                              \
    S(T, uint64_t, lba)                                                                                                \
    S(T, uint32_t, nsid)                                                                                               \
    S(T, uint16_t, sqid)                                                                                               \
    S(T, uint16_t, cid)                                                                                                \
    S(T, uint16_t, status)

struct nvme_error {
    STATE_MEMBERS(NVME_ERROR_STATE)
};

/* The newest error first. Features as CDW11 gives them. */
#define NVME_STATE(S, A, N, T)                                                                                         \
    N(T, struct pci_function, pci, 1, pci_function_fields)                                                             \
    N(T, struct pci_msix, msix, 1, pci_msix_fields)                                                                    \
    S(T, uint64_t, asq)                                                                                                \
    S(T, uint64_t, acq)                                                                                                \
    S(T, uint32_t, aqa)                                                                                                \
    S(T, uint32_t, intms)                                                                                              \
    S(T, uint32_t, cc)                                                                                                 \
    S(T, uint32_t, csts)                                                                                               \
    S(T, uint64_t, fetch_due_ns)                                                                                       \
    S(T, uint64_t, read_commands)                                                                                      \
    S(T, uint64_t, write_commands)                                                                                     \
    S(T, uint64_t, read_sectors)                                                                                       \
    S(T, uint64_t, written_sectors)                                                                                    \
    S(T, uint64_t, media_errors)                                                                                       \
    S(T, uint64_t, error_count)                                                                                        \
    S(T, uint64_t, vector_no_coalescing)                                                                               \
    S(T, uint32_t, arbitration)                                                                                        \
    S(T, uint32_t, power)                                                                                              \
    S(T, uint32_t, error_recovery)                                                                                     \
    S(T, uint32_t, coalescing)                                                                                         \
    S(T, uint32_t, atomicity)                                                                                          \
    S(T, uint32_t, event_config)                                                                                       \
    A(T, uint32_t, threshold, 2)                                                                                       \
    S(T, uint32_t, next_sq)                                                                                            \
    S(T, uint32_t, held_count)                                                                                         \
    A(T, uint16_t, held_cid, NVME_HELD_MAX)                                                                            \
    A(T, bool, event_pending, NVME_EVENT_TYPES)                                                                        \
    A(T, bool, event_masked, NVME_EVENT_TYPES)                                                                         \
    A(T, uint8_t, event_info, NVME_EVENT_TYPES)                                                                        \
    S(T, bool, write_cache)                                                                                            \
    S(T, bool, namespace_changed) /* since its log page was read */                                                    \
    N(T, struct nvme_error, error, NVME_ERRORS_MAX, nvme_error_fields)                                                 \
    N(T, struct nvme_sq, sq, NVME_QUEUES, nvme_sq_fields)                                                              \
    N(T, struct nvme_cq, cq, NVME_QUEUES, nvme_cq_fields)                                                              \
    N(T, struct nvme_command, command, NVME_COMMANDS_MAX, nvme_command_fields)

struct nvme {
    struct device device;
    STATE_MEMBERS(NVME_STATE)
    struct block_drive *drive;
    struct bus_mapping *mapping;
    struct vtimer fetch_timer;
    uint8_t *scratch;              /* NVME_TRANSFER_BYTES_MAX: what a compare has in guest memory */
    struct block_segment *segment; /* BLOCK_SEGMENTS_TRACED: where the last transfer was; no state */
    uint32_t segment_count;
    unsigned block_shift;
    bool has_cache, has_discard;
    uint64_t blocks;
    char id[16];
    char serial[NVME_SERIAL_BYTES_MAX + 1];
};

/* nvme.c */
void nvme_interrupt(struct nvme *nvme, unsigned cqid); /* an entry was posted */
void nvme_update_intx(struct nvme *nvme);
void nvme_fail(struct nvme *nvme); /* Controller Fatal Status */

/* nvme_queue.c */
void nvme_doorbell(struct nvme *nvme, uint32_t offset, uint32_t value); /* offset from 1000h */
/* Fetches what there is room for, fairly among the queues; leaves the rest to the next completion or to the timer. */
void nvme_process(struct nvme *nvme);
unsigned nvme_cq_room(const struct nvme *nvme, unsigned cqid); /* entries that nobody has a claim on */
void nvme_post(struct nvme *nvme, unsigned sqid, uint16_t cid, uint32_t result, unsigned status);

/* nvme_prp.c: false, or a status: an address is not memory, or the function is no bus master. */
bool nvme_dma_read(struct nvme *nvme, uint64_t gpa, void *data, uint32_t size_bytes);
bool nvme_dma_write(struct nvme *nvme, uint64_t gpa, const void *data, uint32_t size_bytes);
unsigned nvme_page_shift(const struct nvme *nvme);
enum nvme_direction { NVME_CHECK_ONLY, NVME_FROM_GUEST, NVME_TO_GUEST };
/* size_bytes: at most NVME_TRANSFER_BYTES_MAX. data: null for NVME_CHECK_ONLY. */
unsigned nvme_prp_transfer(struct nvme *nvme, const uint64_t prp[2], uint8_t *data, uint32_t size_bytes,
                           enum nvme_direction direction);

/* nvme_io.c */
struct nvme_command *nvme_command_free(struct nvme *nvme); /* null: none, or no room at the drive */
unsigned nvme_io_execute(struct nvme *nvme, const struct nvme_sqe *sqe);
/* Starts a flush that answers an admin command, or ends a shutdown. There is a free command. */
void nvme_flush(struct nvme *nvme, const struct nvme_sqe *sqe, enum nvme_owner owner);
void nvme_command_release(struct nvme_command *command);
/* Loaded state: the command's request is found again at the drive; false: there is none such. */
bool nvme_command_reattach(struct nvme *nvme, struct nvme_command *command);

/* nvme_admin.c */
unsigned nvme_admin_execute(struct nvme *nvme, const struct nvme_sqe *sqe, uint32_t *result);
bool nvme_admin_needs_flush(const struct nvme *nvme, const struct nvme_sqe *sqe);

/* nvme_identify.c, nvme_features.c, nvme_log.c */
unsigned nvme_identify(struct nvme *nvme, const struct nvme_sqe *sqe);
unsigned nvme_get_features(struct nvme *nvme, const struct nvme_sqe *sqe, uint32_t *result);
unsigned nvme_set_features(struct nvme *nvme, const struct nvme_sqe *sqe, uint32_t *result);
bool nvme_features_need_flush(const struct nvme *nvme, const struct nvme_sqe *sqe);
void nvme_features_reset(struct nvme *nvme);
unsigned nvme_get_log_page(struct nvme *nvme, const struct nvme_sqe *sqe);
void nvme_log_error(struct nvme *nvme, const struct nvme_sqe *sqe, unsigned status);
uint8_t nvme_critical_warning(const struct nvme *nvme);
void nvme_event_raise(struct nvme *nvme, enum nvme_event_type type, uint8_t info);
void nvme_events_deliver(struct nvme *nvme); /* held requests and room permitting */

static inline void nvme_put(uint8_t *data, unsigned offset, unsigned size_bytes, uint64_t value)
{
    for (unsigned n = 0; n < size_bytes; n++)
        data[offset + n] = n < 8 ? (uint8_t)(value >> (8 * n)) : 0;
}

static inline uint64_t nvme_get(const uint8_t *data, unsigned offset, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t)data[offset + n] << (8 * n);
    return value;
}

#endif

/* NVM command set (NVM Express 1.4, 6): flush, write, read, compare, write zeroes, dataset management.
 *
 * The data of a write are gathered when it is fetched, those of a read scattered when they are there; compare gathers
 * then. Write zeroes and the ranges of dataset management go to the drive one piece after the other; each range is read
 * again from guest memory when its turn comes.
 * Not modelled: protection information and metadata, fused commands, Write Uncorrectable, Verify, reservations. A command
 * is not atomic beyond one block when it fails. */
#include "devices/nvme_internal.h"

#include <stdlib.h>
#include <string.h>

#define CDW12_FUA 0x40000000u
#define CDW12_DEALLOCATE 0x02000000u
#define CDW11_DEALLOCATE 0x4u
#define COUNT_MASK 0xFFFFu

static void request_done(void *opaque, struct block_request *request, enum status status);

/* ---- places ---- */

struct nvme_command *nvme_command_free(struct nvme *nvme)
{
    if (!block_drive_room(nvme->drive))
        return NULL;
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++) {
        if (nvme->command[n].owner == NVME_FREE)
            return &nvme->command[n];
    }
    return NULL;
}

void nvme_command_release(struct nvme_command *command)
{
    struct nvme_command blank = {.nvme = command->nvme};
    *command = blank; /* all fields: equal states must have equal digests */
}

static struct nvme_command *take(struct nvme *nvme, const struct nvme_sqe *sqe, enum nvme_owner owner)
{
    struct nvme_command *command = nvme_command_free(nvme);
    CHECK(command);
    command->owner = (uint8_t)owner;
    command->sqid = sqe->sqid;
    command->cid = sqe->cid;
    command->opcode = sqe->opcode;
    command->prp[0] = sqe->prp[0];
    command->prp[1] = sqe->prp[1];
    return command;
}

static bool reads(uint8_t opcode)
{
    return opcode == NVME_IO_READ || opcode == NVME_IO_COMPARE;
}

/* ---- requests ---- */

/* data: of a write; a read's are lent when it is done. */
static void fill_request(struct nvme_command *command, void *data)
{
    command->request = (struct block_request){.op = (enum trace_block_op)command->request_op,
                                              .sector = command->request_sector,
                                              .sectors = command->request_sectors,
                                              .fua = command->fua,
                                              .data = data,
                                              .complete = request_done,
                                              .command = command->opcode,
                                              .opaque = command,
                                              .tag = command->request_tag};
}

/* The next piece of what is to be done. */
static void submit(struct nvme *nvme, struct nvme_command *command, enum trace_block_op op, void *data)
{
    uint64_t sectors =
        command->sectors < BLOCK_REQUEST_SECTORS_MAX ? command->sectors : (uint64_t)BLOCK_REQUEST_SECTORS_MAX;
    command->request_op = (uint8_t)op;
    command->request_sector = op == TRACE_BLOCK_FLUSH ? 0 : command->sector;
    command->request_sectors = op == TRACE_BLOCK_FLUSH ? 0 : (uint32_t)sectors;
    fill_request(command, data);
    if (op == TRACE_BLOCK_READ || op == TRACE_BLOCK_WRITE) {
        command->request.segment = nvme->segment;
        command->request.segment_count = nvme->segment_count;
    }
    block_submit(nvme->drive, &command->request);
    command->request_tag = command->request.tag;
}

void nvme_flush(struct nvme *nvme, const struct nvme_sqe *sqe, enum nvme_owner owner)
{
    submit(nvme, take(nvme, sqe, owner), TRACE_BLOCK_FLUSH, NULL);
}

bool nvme_command_reattach(struct nvme *nvme, struct nvme_command *command)
{
    bool data = command->request_op == TRACE_BLOCK_READ || command->request_op == TRACE_BLOCK_WRITE;
    if (data && command->request_sectors > NVME_TRANSFER_BYTES_MAX / BLOCK_SECTOR_BYTES)
        return false;
    fill_request(command, NULL);
    return block_reattach(nvme->drive, &command->request);
}

/* ---- data ---- */

static void count_blocks(struct nvme *nvme, const struct nvme_command *command)
{
    if (reads(command->opcode)) {
        nvme->read_commands++;
        nvme->read_sectors += command->sectors;
    } else {
        nvme->write_commands++;
        nvme->written_sectors += command->sectors;
    }
}

static unsigned block_range(const struct nvme *nvme, const struct nvme_sqe *sqe, uint64_t *sector, uint64_t *sectors)
{
    uint64_t lba = (uint64_t)sqe->dword[1] << 32 | sqe->dword[0], count = (sqe->dword[2] & COUNT_MASK) + 1ull;
    if (lba >= nvme->blocks || count > nvme->blocks - lba)
        return NVME_LBA_OUT_OF_RANGE | NVME_DO_NOT_RETRY;
    *sector = lba << nvme->block_shift;
    *sectors = count << nvme->block_shift;
    return NVME_SUCCESS;
}

/* Without a cache every write is durable as it is. */
static bool write_through(const struct nvme *nvme, const struct nvme_sqe *sqe)
{
    return nvme->has_cache && ((sqe->dword[2] & CDW12_FUA) || !nvme->write_cache);
}

static unsigned data_command(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint64_t sector, sectors, bytes = ((sqe->dword[2] & COUNT_MASK) + 1ull) * BLOCK_SECTOR_BYTES << nvme->block_shift;
    bool to_drive = sqe->opcode == NVME_IO_WRITE;
    if (bytes > NVME_TRANSFER_BYTES_MAX)
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    unsigned status = block_range(nvme, sqe, &sector, &sectors);
    if (status)
        return status;
    void *data = to_drive ? block_write_buffer(nvme->drive, bytes) : NULL;
    status = nvme_prp_transfer(nvme, sqe->prp, data, (uint32_t)bytes, to_drive ? NVME_FROM_GUEST : NVME_CHECK_ONLY);
    if (status)
        return status;
    struct nvme_command *command = take(nvme, sqe, NVME_GUEST);
    command->sector = sector;
    command->sectors = sectors;
    command->fua = to_drive && write_through(nvme, sqe);
    count_blocks(nvme, command);
    submit(nvme, command, to_drive ? TRACE_BLOCK_WRITE : TRACE_BLOCK_READ, data);
    return NVME_PENDING;
}

static unsigned compare(struct nvme *nvme, const struct nvme_command *command)
{
    uint32_t bytes = command->request_sectors * BLOCK_SECTOR_BYTES;
    unsigned status = nvme_prp_transfer(nvme, command->prp, nvme->scratch, bytes, NVME_FROM_GUEST);
    if (status)
        return status;
    return memcmp(command->request.data, nvme->scratch, bytes) ? NVME_COMPARE_FAILURE | NVME_DO_NOT_RETRY
                                                               : NVME_SUCCESS;
}

/* ---- no data ---- */

static unsigned flush(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    nvme_flush(nvme, sqe, NVME_GUEST);
    return NVME_PENDING;
}

static unsigned write_zeroes(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint64_t sector, sectors;
    unsigned status = block_range(nvme, sqe, &sector, &sectors);
    if (status)
        return status;
    struct nvme_command *command = take(nvme, sqe, NVME_GUEST);
    command->sector = sector;
    command->sectors = sectors;
    command->fua = write_through(nvme, sqe);
    bool discard = nvme->has_discard && block_drive_discards(nvme->drive) && (sqe->dword[2] & CDW12_DEALLOCATE);
    submit(nvme, command, discard ? TRACE_BLOCK_DISCARD : TRACE_BLOCK_WRITE_ZEROES, NULL);
    return NVME_PENDING;
}

/* The next range that is not empty into sector and sectors (0: there is none). */
static unsigned next_range(struct nvme *nvme, struct nvme_command *command)
{
    uint8_t list[NVME_RANGES_MAX * NVME_RANGE_BYTES];
    unsigned status =
        nvme_prp_transfer(nvme, command->prp, list, (uint32_t)command->ranges * NVME_RANGE_BYTES, NVME_FROM_GUEST);
    command->sectors = 0;
    while (!status && !command->sectors && command->next_range < command->ranges) {
        const uint8_t *range = list + (size_t)command->next_range++ * NVME_RANGE_BYTES;
        uint64_t count = nvme_get(range, 4, 4), lba = nvme_get(range, 8, 8);
        if (lba > nvme->blocks || count > nvme->blocks - lba)
            status = NVME_LBA_OUT_OF_RANGE | NVME_DO_NOT_RETRY;
        command->sector = lba << nvme->block_shift;
        command->sectors = count << nvme->block_shift;
    }
    return status;
}

static unsigned discard_next(struct nvme *nvme, struct nvme_command *command)
{
    unsigned status = next_range(nvme, command);
    if (status || !command->sectors)
        return status;
    submit(nvme, command, TRACE_BLOCK_DISCARD, NULL);
    return NVME_PENDING;
}

/* Only Deallocate does anything: the rest are hints. */
static unsigned dataset(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    if (!(sqe->dword[1] & CDW11_DEALLOCATE))
        return NVME_SUCCESS;
    struct nvme_command *command = take(nvme, sqe, NVME_GUEST);
    command->ranges = (uint16_t)((sqe->dword[0] & 0xFF) + 1);
    unsigned status = discard_next(nvme, command);
    if (status != NVME_PENDING)
        nvme_command_release(command);
    return status;
}

unsigned nvme_io_execute(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    if (sqe->nsid != NVME_NSID && !(sqe->opcode == NVME_IO_FLUSH && sqe->nsid == NVME_NSID_ALL))
        return NVME_INVALID_NAMESPACE | NVME_DO_NOT_RETRY;
    switch (sqe->opcode) {
    case NVME_IO_FLUSH: return flush(nvme, sqe);
    case NVME_IO_WRITE:
    case NVME_IO_READ:
    case NVME_IO_COMPARE: return data_command(nvme, sqe);
    case NVME_IO_WRITE_ZEROES: return write_zeroes(nvme, sqe);
    case NVME_IO_DATASET:
        if (nvme->has_discard)
            return dataset(nvme, sqe);
        return NVME_INVALID_OPCODE | NVME_DO_NOT_RETRY;
    default: return NVME_INVALID_OPCODE | NVME_DO_NOT_RETRY;
    }
}

/* ---- outcome of a request ---- */

static unsigned failure(struct nvme *nvme, const struct nvme_command *command, enum status status)
{
    if (status == STATUS_READ_ONLY)
        return NVME_WRITE_PROTECTED | NVME_DO_NOT_RETRY;
    if (command->request_op == TRACE_BLOCK_FLUSH)
        return NVME_INTERNAL_ERROR;
    nvme->media_errors++;
    return command->request_op == TRACE_BLOCK_READ ? NVME_UNRECOVERED_READ : NVME_WRITE_FAULT;
}

/* Write zeroes that must be on the medium, or all ranges done, are followed by a flush. */
static unsigned next_piece(struct nvme *nvme, struct nvme_command *command)
{
    enum trace_block_op op = (enum trace_block_op)command->request_op;
    command->sector += command->request_sectors;
    command->sectors -= command->request_sectors;
    if (op == TRACE_BLOCK_FLUSH)
        return NVME_SUCCESS;
    if (!command->sectors && command->opcode == NVME_IO_DATASET)
        return discard_next(nvme, command);
    if (!command->sectors && !command->fua)
        return NVME_SUCCESS;
    submit(nvme, command, command->sectors ? op : TRACE_BLOCK_FLUSH, NULL);
    return NVME_PENDING;
}

static unsigned go_on(struct nvme *nvme, struct nvme_command *command)
{
    if (!command->sqid) /* a flush that a feature asked for */
        return NVME_SUCCESS;
    switch (command->opcode) {
    case NVME_IO_READ:
        return nvme_prp_transfer(nvme, command->prp, command->request.data,
                                 command->request_sectors * BLOCK_SECTOR_BYTES, NVME_TO_GUEST);
    case NVME_IO_COMPARE: return compare(nvme, command);
    case NVME_IO_WRITE_ZEROES:
    case NVME_IO_DATASET: return next_piece(nvme, command);
    default: return NVME_SUCCESS;
    }
}

static void answer(struct nvme *nvme, struct nvme_command *command, unsigned status)
{
    struct nvme_sqe sqe = {.sqid = command->sqid, .cid = command->cid, .opcode = command->opcode, .nsid = NVME_NSID};
    uint64_t lba = command->request_sector >> nvme->block_shift;
    sqe.dword[0] = (uint32_t)lba;
    sqe.dword[1] = (uint32_t)(lba >> 32);
    nvme_command_release(command);
    if (status) {
        nvme_log_error(nvme, &sqe, status);
        status |= NVME_MORE;
    }
    nvme_post(nvme, sqe.sqid, sqe.cid, 0, status);
}

static void request_done(void *opaque, struct block_request *request, enum status status)
{
    struct nvme_command *command = opaque;
    struct nvme *nvme = command->nvme;
    unsigned outcome = NVME_SUCCESS;
    (void)request;
    if (command->owner == NVME_GUEST)
        outcome = status ? failure(nvme, command, status) : go_on(nvme, command);
    if (outcome == NVME_PENDING)
        return;
    if (command->owner == NVME_GUEST) {
        answer(nvme, command, outcome);
    } else {
        if (command->owner == NVME_SHUTDOWN)
            nvme->csts = (nvme->csts & ~NVME_CSTS_SHST) | NVME_CSTS_SHST_COMPLETE;
        nvme_command_release(command);
    }
    nvme_process(nvme);
}

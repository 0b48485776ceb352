/* The NVMe controller's way to guest memory, and physical region pages (NVM Express 1.4, 4.3).
 * Not modelled: scatter gather lists, metadata, transfers to other devices' memory (a data transfer error). */
#include "devices/nvme_internal.h"

#define PRP_BYTES 8u
#define PRP_ALIGNMENT_BITS 3u

unsigned nvme_page_shift(const struct nvme *nvme)
{
    return NVME_PAGE_SHIFT_MIN + (nvme->cc >> 7 & 15);
}

static bool reachable(struct nvme *nvme, uint64_t gpa, uint32_t size_bytes)
{
    struct memory *memory = machine_memory(nvme->device.machine);
    uint64_t last = gpa + size_bytes - 1;
    if (!(pci_function_get(nvme->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER) || last < gpa)
        return false;
    for (uint64_t page = gpa >> MEMORY_PAGE_SHIFT; page <= last >> MEMORY_PAGE_SHIFT; page++) {
        if (!memory_lookup(memory, page << MEMORY_PAGE_SHIFT).host)
            return false;
    }
    return true;
}

bool nvme_dma_read(struct nvme *nvme, uint64_t gpa, void *data, uint32_t size_bytes)
{
    if (!reachable(nvme, gpa, size_bytes))
        return false;
    memory_read(machine_memory(nvme->device.machine), gpa, data, size_bytes);
    return true;
}

bool nvme_dma_write(struct nvme *nvme, uint64_t gpa, const void *data, uint32_t size_bytes)
{
    if (!reachable(nvme, gpa, size_bytes))
        return false;
    memory_write(machine_memory(nvme->device.machine), gpa, data, size_bytes);
    return true;
}

/* What is left of a transfer. */
struct transfer {
    struct nvme *nvme;
    uint8_t *data;
    uint32_t left_bytes;
    enum nvme_direction direction;
};

/* Pages that follow on one another are one piece. */
static void note_segment(struct nvme *nvme, uint64_t gpa, uint32_t size_bytes)
{
    struct block_segment *last = nvme->segment_count ? &nvme->segment[nvme->segment_count - 1] : NULL;
    if (last && last->gpa + last->size_bytes == gpa)
        last->size_bytes += size_bytes;
    else if (nvme->segment_count < BLOCK_SEGMENTS_TRACED)
        nvme->segment[nvme->segment_count++] = (struct block_segment){gpa, size_bytes};
}

static unsigned move(struct transfer *transfer, uint64_t gpa, uint32_t room_bytes)
{
    uint32_t part = room_bytes < transfer->left_bytes ? room_bytes : transfer->left_bytes;
    bool done;
    switch (transfer->direction) {
    case NVME_FROM_GUEST: done = nvme_dma_read(transfer->nvme, gpa, transfer->data, part); break;
    case NVME_TO_GUEST: done = nvme_dma_write(transfer->nvme, gpa, transfer->data, part); break;
    default: done = reachable(transfer->nvme, gpa, part); break;
    }
    note_segment(transfer->nvme, gpa, part);
    if (transfer->data)
        transfer->data += part;
    transfer->left_bytes -= part;
    return done ? NVME_SUCCESS : NVME_DATA_TRANSFER_ERROR;
}

/* The last entry of a page points to the next list if there is more to transfer than one page. A list that starts in
 * that entry costs one entry more; every other has a page full of them: the walk ends. */
static unsigned move_list(struct transfer *transfer, uint64_t list)
{
    uint64_t page_bytes = 1ull << nvme_page_shift(transfer->nvme);
    if (list % PRP_BYTES)
        return NVME_INVALID_PRP_OFFSET | NVME_DO_NOT_RETRY;
    while (transfer->left_bytes) {
        uint8_t bytes[PRP_BYTES];
        if (!nvme_dma_read(transfer->nvme, list, bytes, PRP_BYTES))
            return NVME_DATA_TRANSFER_ERROR;
        uint64_t entry = nvme_get(bytes, 0, PRP_BYTES);
        if (entry % page_bytes)
            return NVME_INVALID_PRP_OFFSET | NVME_DO_NOT_RETRY;
        if ((list + PRP_BYTES) % page_bytes == 0 && transfer->left_bytes > page_bytes) {
            list = entry;
            continue;
        }
        unsigned status = move(transfer, entry, (uint32_t)page_bytes);
        if (status)
            return status;
        list += PRP_BYTES;
    }
    return NVME_SUCCESS;
}

unsigned nvme_prp_transfer(struct nvme *nvme, const uint64_t prp[2], uint8_t *data, uint32_t size_bytes,
                           enum nvme_direction direction)
{
    struct transfer transfer = {nvme, data, size_bytes, direction};
    uint64_t page_bytes = 1ull << nvme_page_shift(nvme);
    CHECK(size_bytes && size_bytes <= NVME_TRANSFER_BYTES_MAX);
    nvme->segment_count = 0;
    if (prp[0] & PRP_ALIGNMENT_BITS)
        return NVME_INVALID_PRP_OFFSET | NVME_DO_NOT_RETRY;
    unsigned status = move(&transfer, prp[0], (uint32_t)(page_bytes - prp[0] % page_bytes));
    if (status || !transfer.left_bytes)
        return status;
    if (!prp[1])
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    if (transfer.left_bytes > page_bytes)
        return move_list(&transfer, prp[1]);
    if (prp[1] % page_bytes)
        return NVME_INVALID_PRP_OFFSET | NVME_DO_NOT_RETRY;
    return move(&transfer, prp[1], (uint32_t)page_bytes);
}

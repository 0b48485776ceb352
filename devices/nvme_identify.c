/* Identify (NVM Express 1.4, 5.15): controller, namespace, lists. One controller, one namespace, one LBA format.
 * The controller's name in the subsystem and the namespace's UUID are made of the serial number.
 * Not supported (invalid field): namespace management's lists, NVM sets, I/O command sets (NVM Express 2.0). */
#include "devices/nvme_internal.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define CNS_NAMESPACE 0x00u
#define CNS_CONTROLLER 0x01u
#define CNS_ACTIVE_NAMESPACES 0x02u
#define CNS_DESCRIPTORS 0x03u

#define VERSION_1_4 0x00010400u
#define UUID_BYTES 16u
#define DESCRIPTOR_UUID 3u
#define ONCS_COMPARE 0x01u
#define ONCS_DATASET 0x04u
#define ONCS_WRITE_ZEROES 0x08u
#define VWC_PRESENT 0x01u
#define VWC_FLUSH_ALL 0x06u /* a flush of all namespaces is supported */
#define LPA_EFFECTS_EXTENDED 0x06u
#define FRMW_ONE_SLOT_READ_ONLY 0x03u
#define DLFEAT_ZEROES 0x01u       /* deallocated blocks read as zeros */
#define DLFEAT_WRITE_ZEROES 0x08u /* which may deallocate */
#define NSATTR_READ_ONLY 0x01u

static void put_text(uint8_t *data, unsigned offset, unsigned size_bytes, const char *text)
{
    size_t length = strlen(text);
    for (unsigned n = 0; n < size_bytes; n++)
        data[offset + n] = n < length ? (uint8_t)text[n] : ' ';
}

/* Version 8 (RFC 9562): a hash. */
static void make_uuid(const struct nvme *nvme, uint64_t seed, uint8_t uuid[UUID_BYTES])
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(nvme->serial, strlen(nvme->serial), seed);
    nvme_put(uuid, 0, 8, hash.low64);
    nvme_put(uuid, 8, 8, hash.high64);
    uuid[6] = (uint8_t)(0x80 | (uuid[6] & 0x0F));
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3F));
}

static void put_subsystem_name(const struct nvme *nvme, uint8_t *data, unsigned offset)
{
    uint8_t uuid[UUID_BYTES];
    char *name = (char *)data + offset;
    make_uuid(nvme, 0, uuid);
    name += sprintf(name, "nqn.2014-08.org.nvmexpress:uuid:");
    for (unsigned n = 0; n < UUID_BYTES; n++)
        name += sprintf(name, n == 4 || n == 6 || n == 8 || n == 10 ? "-%02x" : "%02x", uuid[n]);
}

static void identify_controller(const struct nvme *nvme, uint8_t *data)
{
    nvme_put(data, 0, 2, pci_function_get(nvme->pci, PCI_VENDOR_ID, 2));
    nvme_put(data, 2, 2, pci_function_get(nvme->pci, PCI_SUBSYSTEM_VENDOR, 2));
    put_text(data, 4, 20, nvme->serial);
    put_text(data, 24, 40, "VMRR NVMe Ctrl");
    put_text(data, 64, 8, "1.0");
    data[72] = 6;                    /* recommended arbitration burst: 2^6 */
    nvme_put(data, 73, 3, 0x525400); /* IEEE OUI */
    data[77] = NVME_MDTS;
    nvme_put(data, 80, 4, VERSION_1_4);
    nvme_put(data, 92, 4, NVME_NOTICE_NAMESPACE);
    data[111] = 1; /* an I/O controller */
    data[258] = 3; /* aborts at a time, counted from 0 */
    data[259] = NVME_HELD_MAX - 1;
    data[260] = FRMW_ONE_SLOT_READ_ONLY;
    data[261] = LPA_EFFECTS_EXTENDED;
    data[262] = NVME_ERRORS_MAX - 1;
    nvme_put(data, 266, 2, 0x0157); /* warning and critical temperature, kelvin */
    nvme_put(data, 268, 2, 0x0175);
    data[512] = 0x66; /* entries of 64 bytes */
    data[513] = 0x44; /* and of 16 */
    nvme_put(data, 516, 4, 1);
    nvme_put(data, 520, 2, ONCS_COMPARE | ONCS_WRITE_ZEROES | (nvme->has_discard ? ONCS_DATASET : 0));
    data[525] = VWC_FLUSH_ALL | (nvme->has_cache ? VWC_PRESENT : 0);
    put_subsystem_name(nvme, data, 768);
    nvme_put(data, 2048, 2, 2500); /* power state 0: at most 25 W */
    nvme_put(data, 2052, 4, 16);   /* us to enter, to leave */
    nvme_put(data, 2056, 4, 4);
}

static void identify_namespace(const struct nvme *nvme, uint8_t *data)
{
    nvme_put(data, 0, 8, nvme->blocks);  /* size, */
    nvme_put(data, 8, 8, nvme->blocks);  /* capacity, */
    nvme_put(data, 16, 8, nvme->blocks); /* and use: there is no thin provisioning */
    if (block_drive_discards(nvme->drive))
        data[33] = DLFEAT_ZEROES | (nvme->has_discard ? DLFEAT_WRITE_ZEROES : 0);
    data[99] = block_drive_read_only(nvme->drive) ? NSATTR_READ_ONLY : 0;
    data[130] = (uint8_t)(9 + nvme->block_shift); /* LBA format 0: 2^n bytes, no metadata */
}

static void identify_descriptors(const struct nvme *nvme, uint8_t *data)
{
    data[0] = DESCRIPTOR_UUID;
    data[1] = UUID_BYTES;
    make_uuid(nvme, 1, data + 4);
}

static unsigned fill(const struct nvme *nvme, const struct nvme_sqe *sqe, uint8_t *data)
{
    uint32_t cns = sqe->dword[0] & 0xFF;
    bool of_namespace = cns == CNS_NAMESPACE || cns == CNS_DESCRIPTORS;
    if (of_namespace && sqe->nsid != NVME_NSID)
        return NVME_INVALID_NAMESPACE | NVME_DO_NOT_RETRY;
    switch (cns) {
    case CNS_NAMESPACE: identify_namespace(nvme, data); return NVME_SUCCESS;
    case CNS_CONTROLLER: identify_controller(nvme, data); return NVME_SUCCESS;
    case CNS_DESCRIPTORS: identify_descriptors(nvme, data); return NVME_SUCCESS;
    case CNS_ACTIVE_NAMESPACES:
        if (sqe->nsid >= 0xFFFFFFFE)
            return NVME_INVALID_NAMESPACE | NVME_DO_NOT_RETRY;
        nvme_put(data, 0, 4, sqe->nsid < NVME_NSID ? NVME_NSID : 0);
        return NVME_SUCCESS;
    default: return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    }
}

unsigned nvme_identify(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint8_t data[NVME_DATA_BYTES] = {0};
    unsigned status = fill(nvme, sqe, data);
    return status ? status : nvme_prp_transfer(nvme, sqe->prp, data, sizeof data, NVME_TO_GUEST);
}

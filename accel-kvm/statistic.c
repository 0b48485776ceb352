/* The descriptors of KVM's statistics: see statistic.h. */
#include "accel-kvm/statistic.h"

#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#define STATS_MAX 4096u
#define NAME_MAX_BYTES 256u

bool kvm_statistic_find(int fd, const char *name, uint64_t *offset)
{
    struct kvm_stats_header header;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header || header.num_desc > STATS_MAX ||
        header.name_size == 0 || header.name_size > NAME_MAX_BYTES)
        return false;
    union {
        struct kvm_stats_desc desc; /* the name follows */
        char room[sizeof(struct kvm_stats_desc) + NAME_MAX_BYTES];
    } row;
    size_t bytes = sizeof row.desc + header.name_size;
    for (uint32_t n = 0; n < header.num_desc; n++) {
        memset(&row, 0, sizeof row);
        if (pread(fd, &row, bytes, (off_t)(header.desc_offset + n * bytes)) != (ssize_t)bytes)
            return false;
        if (!strncmp(row.room + sizeof row.desc, name, header.name_size)) {
            *offset = header.data_offset + row.desc.offset;
            return row.desc.size == 1;
        }
    }
    return false;
}

/* Between qcow2_check.c, which counts, and qcow2_repair.c, which mends. */
#ifndef VMRR_BLOCK_QCOW2_CHECK_H
#define VMRR_BLOCK_QCOW2_CHECK_H

#include "block/qcow2_internal.h"

#define TALLY_PAGE 4096u
#define TALLY_CLUSTERS_MAX (1ull << 33)

/* A counter a cluster; pages appear when something in them is counted. */
struct qcow2_tally {
    uint32_t **page;
    uint64_t pages;
};

struct qcow2_count {
    struct qcow2_image *image;
    struct qcow2_check *check;
    struct qcow2_tally refs;   /* references to clusters */
    struct qcow2_tally tables; /* L1 entries that name an L2 table */
    uint64_t clusters;         /* of the file */
    uint64_t limit;            /* clusters that are looked at */
    enum qcow2_repair repair;  /* what this pass mends on its way */
    uint64_t flag_errors;      /* of the corruptions: copied flags alone, which harm nobody */
    bool rebuild;              /* refcounts can't be mended where they are */
    bool refcounts_only;       /* no refcount blocks or table are counted */
};

uint32_t qcow2_tally_get(const struct qcow2_tally *tally, uint64_t cluster);
enum status qcow2_count_all(struct qcow2_count *count, struct error *error) MUST_CHECK;
void qcow2_count_free(struct qcow2_count *count);
void qcow2_check_say(struct qcow2_check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* New refcount table and blocks from what was counted, at the end of the file. */
enum status qcow2_rebuild(struct qcow2_image *image, const struct qcow2_count *count) MUST_CHECK;
/* In the block that is there. */
enum status qcow2_set_refcount(struct qcow2_image *image, uint64_t cluster, uint64_t value) MUST_CHECK;

#endif

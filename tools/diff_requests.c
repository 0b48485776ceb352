/* vmrr diff: the requests of the guest. Each journal's are written to an unnamed file, so that two walks of any length can be
 * held against each other drive by drive: in order, and as sets whatever the order. */
#include "tools/device_names.h"
#include "tools/diff.h"
#include "tools/json_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NEAR 1024u /* how far the one that differs is looked for in the other */

/* ---- gathering ---- */

struct gather {
    FILE *file;
    bool failed;
};

static bool keep(void *opaque, const struct request_walk *walk, const struct guest_request *request)
{
    struct gather *gather = opaque;
    struct diff_request kept;
    (void)walk;
    memset(&kept, 0, sizeof kept);
    kept.drive = request->drive;
    kept.tag = request->tag;
    kept.op = request->op;
    kept.sector = request->sector;
    kept.sectors = request->sectors;
    kept.hash = request->hash;
    kept.fault = request->fault;
    kept.submit = request->submit;
    kept.end = request->end;
    kept.status = request->status;
    kept.completed = request->completed;
    kept.has_origin = request->has_origin;
    kept.command = request->origin.op;
    kept.flags = request->origin.flags;
    kept.rip = request->origin.address;
    kept.cr3 = request->origin.value;
    gather->failed = fwrite(&kept, sizeof kept, 1, gather->file) != 1;
    return !gather->failed;
}

static enum status gather_requests(struct diff *diff, unsigned side, struct error *error)
{
    struct gather gather = {.file = tmpfile()};
    struct request_walk walk = {.each = keep, .opaque = &gather};
    if (!gather.file)
        return error_status(error, STATUS_IO, "temporary file: %s", strerror(errno));
    diff->requests[side] = gather.file;
    enum status status = request_walk(&walk, diff->reader[side], error);
    if (!status && (gather.failed || fflush(gather.file)))
        status = error_status(error, STATUS_IO, "temporary file: %s", strerror(errno));
    return status;
}

bool diff_request_next(FILE *file, uint32_t drive, struct diff_request *request)
{
    while (fread(request, sizeof *request, 1, file) == 1) {
        if (request->drive == drive)
            return true;
    }
    return false;
}

/* ---- one request ---- */

static bool is_fua(const struct diff_request *request)
{
    return request->has_origin && (request->flags & TRACE_ORIGIN_FUA);
}

json_t *diff_request_json(const struct diff *diff, unsigned side, const struct diff_request *request)
{
    const struct block_attachment *at =
        request->drive < JOURNAL_DRIVES ? &diff->config[side].config.drive[request->drive].at : NULL;
    json_t *object = json_object();
    char id[32], command[40];
    snprintf(id, sizeof id, "%u.%u", request->drive, request->tag);
    json_object_set_new(object, "id", json_string(id));
    json_set_number(object, "icount", request->submit.icount);
    json_set_number(object, "vtime_ns", request->submit.vtime_ns);
    json_object_set_new(object, "op", json_string(trace_block_op_name((enum trace_block_op)request->op)));
    json_set_number(object, "sector", request->sector);
    json_set_number(object, "sectors", request->sectors);
    json_set_hex(object, "hash", request->hash, 16);
    json_object_set_new(object, "fua", json_boolean(is_fua(request)));
    json_object_set_new(object, "status", request->completed ? json_integer(request->status) : json_null());
    if (request->has_origin && at) {
        json_object_set_new(object, "command",
                            json_string(device_command_name(at, request->command, command, sizeof command)));
        json_set_hex(object, "rip", request->rip, 1);
        json_set_hex(object, "cr3", request->cr3, 1);
    }
    if (request->fault)
        json_set_hex(object, "fault", request->fault, 1);
    return object;
}

/* What the guest asked for and got; not where it was, nor when. */
static bool same_request(const struct diff_request *a, const struct diff_request *b)
{
    return a->op == b->op && a->sector == b->sector && a->sectors == b->sectors && a->hash == b->hash &&
           is_fua(a) == is_fua(b) && a->status == b->status;
}

static json_t *fields_of(const struct diff_request *a, const struct diff_request *b)
{
    json_t *list = json_array();
    const struct {
        const char *name;
        bool differ;
    } fields[] = {
        {"op", a->op != b->op},       {"sector", a->sector != b->sector}, {"sectors", a->sectors != b->sectors},
        {"hash", a->hash != b->hash}, {"fua", is_fua(a) != is_fua(b)},    {"status", a->status != b->status}};
    for (size_t n = 0; n < sizeof fields / sizeof fields[0]; n++) {
        if (fields[n].differ)
            json_array_append_new(list, json_string(fields[n].name));
    }
    return list;
}

/* ---- two drives ---- */

struct pass {
    const struct diff *diff;
    uint32_t drive;
    uint64_t count[2], set[2], index;
    struct diff_request first[2];
    bool have[2], differ, torn;
    long after[2]; /* in the files: behind the first that differs */
    uint64_t faults[2];
};

static void add_to_set(struct pass *pass, unsigned side, const struct diff_request *request)
{
    const uint64_t key[] = {request->op,   request->sector, request->sectors,
                            request->hash, is_fua(request), (uint64_t)request->status};
    pass->set[side] += XXH3_64bits(key, sizeof key); /* a sum does not see the order */
    pass->count[side]++;
    pass->faults[side] += request->fault != 0;
}

static void compare_in_order(struct pass *pass)
{
    struct diff_request request[2];
    bool have[2];
    rewind(pass->diff->requests[0]);
    rewind(pass->diff->requests[1]);
    do {
        for (unsigned side = 0; side < 2; side++) {
            have[side] = diff_request_next(pass->diff->requests[side], pass->drive, &request[side]);
            if (have[side])
                add_to_set(pass, side, &request[side]);
        }
        if (have[0] != have[1] && journal_reader_torn(pass->diff->reader[have[0]]))
            pass->torn = true; /* what it does not have is no difference */
        if (!pass->differ && !pass->torn &&
            (have[0] != have[1] || (have[0] && !same_request(&request[0], &request[1])))) {
            pass->differ = true;
            for (unsigned side = 0; side < 2; side++) {
                pass->first[side] = request[side];
                pass->have[side] = have[side];
                pass->after[side] = ftell(pass->diff->requests[side]);
            }
        }
        pass->index += !pass->differ && have[0] && have[1];
    } while (have[0] || have[1]);
}

/* How many of the drive's requests later the other side has the same one; null: not soon. */
static json_t *found_later(struct pass *pass, unsigned side)
{
    unsigned other = !side;
    struct diff_request request;
    FILE *file = pass->diff->requests[other];
    if (!pass->have[side] || !pass->have[other] || fseek(file, pass->after[other], SEEK_SET))
        return json_null();
    for (int later = 1; later <= (int)NEAR && diff_request_next(file, pass->drive, &request); later++) {
        if (same_request(&pass->first[side], &request))
            return json_integer(later);
    }
    return json_null();
}

/* "order" only where what the one does next the other does later. */
static json_t *first_json(struct pass *pass)
{
    if (!pass->differ)
        return json_null();
    json_t *object = json_object();
    const struct diff_request *a = &pass->first[0], *b = &pass->first[1];
    json_t *later_in_b = found_later(pass, 0), *later_in_a = found_later(pass, 1);
    bool order = !json_is_null(later_in_a) || !json_is_null(later_in_b);
    bool one = !pass->have[0] || !pass->have[1];
    bool place = !one && (a->op != b->op || a->sector != b->sector || a->sectors != b->sectors);
    json_set_number(object, "index", pass->index);
    json_object_set_new(object, "what", json_string(one ? "count" : order ? "order" : place ? "place" : "content"));
    json_object_set_new(object, "fields", one ? json_array() : fields_of(a, b));
    json_object_set_new(object, "a", pass->have[0] ? diff_request_json(pass->diff, 0, a) : json_null());
    json_object_set_new(object, "b", pass->have[1] ? diff_request_json(pass->diff, 1, b) : json_null());
    json_object_set_new(object, "a_found_later_in_b", later_in_b);
    json_object_set_new(object, "b_found_later_in_a", later_in_a);
    return object;
}

static json_t *drive_json(struct pass *pass)
{
    json_t *object = json_object();
    json_set_number(object, "drive", pass->drive);
    json_set_number(object, "a_count", pass->count[0]);
    json_set_number(object, "b_count", pass->count[1]);
    json_set_number(object, "a_faults", pass->faults[0]);
    json_set_number(object, "b_faults", pass->faults[1]);
    json_object_set_new(object, "same_set",
                        json_boolean(pass->count[0] == pass->count[1] && pass->set[0] == pass->set[1]));
    json_object_set_new(object, "first", first_json(pass));
    return object;
}

enum status diff_requests(struct diff *diff, struct error *error)
{
    json_t *drives = json_array();
    enum status status = STATUS_OK;
    json_object_set_new(diff->report, "requests", drives);
    for (unsigned side = 0; side < 2 && !status; side++)
        status = gather_requests(diff, side, error);
    for (uint32_t drive = 0; drive < JOURNAL_DRIVES && !status; drive++) {
        struct pass pass = {.diff = diff, .drive = drive};
        compare_in_order(&pass);
        if (pass.count[0] || pass.count[1])
            json_array_append_new(drives, drive_json(&pass));
    }
    return status;
}

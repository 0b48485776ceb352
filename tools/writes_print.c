/* A guest's request as a line of a table, as a tree, as JSON. */
#include "tools/device_names.h"
#include "tools/json_text.h"
#include "tools/tools.h"
#include "tools/writes.h"

#include <inttypes.h>
#include <string.h>

bool writes_is_host_step(const struct guest_step *step)
{
    return step->step.kind <= BLOCK_STEP_HOST_RESIZE;
}

bool writes_changes_host(const struct guest_step *step)
{
    return writes_is_host_step(step) && step->step.kind != BLOCK_STEP_HOST_READ;
}

unsigned writes_host_calls(const struct guest_request *request)
{
    unsigned calls = 0;
    for (size_t n = 0; n < request->step_count; n++)
        calls += writes_is_host_step(&request->step[n]);
    return calls;
}

/* ---- parts ---- */

struct texts {
    char device[32], command[40], rip[96], latency[32], status[32], range[48];
};

static void rip_text(const struct guest_request *request, const struct symbols *symbols, char *out, size_t size)
{
    if (!request->has_origin)
        snprintf(out, size, "-");
    else if (!symbols || !symbols_name(symbols, request->origin.address, out, size))
        snprintf(out, size, "%" PRIx64, request->origin.address);
}

static void latency_text(const struct guest_request *request, char *out, size_t size)
{
    if (request->completed)
        snprintf(out, size, "%.1f us", (double)(request->end.vtime_ns - request->submit.vtime_ns) / 1e3);
    else
        snprintf(out, size, "-");
}

static const char *status_text(const struct guest_request *request)
{
    return !request->completed ? "in flight" : request->status ? status_name((enum status)request->status) : "ok";
}

static void make_texts(const struct request_walk *walk, const struct guest_request *request,
                       const struct symbols *symbols, struct texts *texts)
{
    static const struct block_attachment nothing = {.kind = BLOCK_ATTACH_KINDS};
    const struct block_attachment *at =
        request->drive < JOURNAL_DRIVES ? &walk->config.drive[request->drive].at : &nothing;
    device_name(at, texts->device, sizeof texts->device);
    if (request->has_origin)
        device_command_name(at, request->origin.op, texts->command, sizeof texts->command);
    else
        snprintf(texts->command, sizeof texts->command, "%s", trace_block_op_name((enum trace_block_op)request->op));
    rip_text(request, symbols, texts->rip, sizeof texts->rip);
    latency_text(request, texts->latency, sizeof texts->latency);
    snprintf(texts->status, sizeof texts->status, "%s", status_text(request));
    if (request->op == TRACE_BLOCK_FLUSH)
        snprintf(texts->range, sizeof texts->range, "-");
    else
        snprintf(texts->range, sizeof texts->range, "%" PRIu64 "+%u", request->sector, request->sectors);
}

static bool has_hash(const struct guest_request *request)
{
    return request->op == TRACE_BLOCK_WRITE || (request->op == TRACE_BLOCK_READ && request->hash);
}

static bool is_fua(const struct guest_request *request)
{
    return request->has_origin && (request->origin.flags & TRACE_ORIGIN_FUA);
}

/* ---- table ---- */

void writes_print_header(FILE *out)
{
    fprintf(out, "%-9s %14s %14s %-12s %-12s %-22s %-16s %-3s %-16s %12s %-9s %4s  %s\n", "id", "position", "time (s)",
           "device", "operation", "command", "sectors", "fua", "hash", "latency", "status", "host", "rip");
}

void writes_print_line(const struct request_walk *walk, const struct guest_request *request,
                       const struct symbols *symbols, FILE *out)
{
    struct texts texts;
    char id[32], hash[20] = "-", host[16] = "-";
    make_texts(walk, request, symbols, &texts);
    snprintf(id, sizeof id, "%u.%u", request->drive, request->tag);
    if (has_hash(request))
        snprintf(hash, sizeof hash, "%016" PRIx64, request->hash);
    if (request->has_steps)
        snprintf(host, sizeof host, "%u", writes_host_calls(request));
    fprintf(out, "%-9s %14" PRIu64 " %14.9f %-12s %-12s %-22s %-16s %-3s %-16s %12s %-9s %4s  %s\n", id,
           request->submit.icount, (double)request->submit.vtime_ns / 1e9, texts.device,
           trace_block_op_name((enum trace_block_op)request->op), texts.command, texts.range,
           is_fua(request) ? "fua" : "-", hash, texts.latency, texts.status, host, texts.rip);
}

/* ---- tree ---- */

static void print_guest(const struct guest_request *request, const struct texts *texts)
{
    printf("  guest       position %" PRIu64 ", %.9f s: %s, %s%s\n", request->submit.icount,
           (double)request->submit.vtime_ns / 1e9, texts->device, texts->command, is_fua(request) ? ", FUA" : "");
    if (request->has_origin)
        printf("    at        rip %s, cr3 %" PRIx64 ", cpl %u, %s\n", texts->rip, request->origin.value,
               request->origin.flags & TRACE_ORIGIN_CPL, trace_origin_mode(request->origin.flags));
    if (has_hash(request))
        printf("    data      hash %016" PRIx64 "\n", request->hash);
    for (size_t n = 0; n < request->segment_count; n++)
        printf("    segment   gpa %09" PRIx64 ", %u bytes\n", request->segment[n].gpa, request->segment[n].size_bytes);
}

static const char *kind_name(const struct guest_step *step)
{
    return block_step_name((enum block_step_kind)step->step.kind);
}

static void print_step(const struct guest_step *step)
{
    const struct block_step *s = &step->step;
    if (s->kind == BLOCK_STEP_SUBMIT)
        printf("  submitted\n");
    else
        printf("  %-11s %-13s %s[%u] offset %" PRIu64 ", %" PRIu64 " bytes, value %" PRIx64 ": %s\n",
               writes_is_host_step(step) ? "host" : "format", kind_name(step), step->file, s->file, s->offset,
               s->size_bytes, s->value, s->status ? status_name((enum status)s->status) : "ok");
    for (size_t n = 0; n < step->depth; n++)
        printf("    #%-3zu %s\n", n, step->stack[n]);
}

static void print_completion(const struct guest_request *request, const struct texts *texts)
{
    if (request->completed)
        printf("  completion  position %" PRIu64 ", %.9f s, latency %s: %s\n", request->end.icount,
               (double)request->end.vtime_ns / 1e9, texts->latency, texts->status);
    else
        printf("  completion  none in the journal\n");
}

void writes_print_tree(const struct request_walk *walk, const struct guest_request *request,
                       const struct symbols *symbols)
{
    struct texts texts;
    make_texts(walk, request, symbols, &texts);
    printf("%u.%u %s %s\n", request->drive, request->tag, trace_block_op_name((enum trace_block_op)request->op),
           texts.range);
    print_guest(request, &texts);
    for (size_t n = 0; n < request->step_count; n++)
        print_step(&request->step[n]);
    if (request->steps_lost)
        printf("  (%" PRIu64 " more steps were not kept)\n", request->steps_lost);
    print_completion(request, &texts);
}

/* ---- JSON ---- */

static json_t *json_segments(const struct guest_request *request)
{
    json_t *list = json_array();
    for (size_t n = 0; n < request->segment_count; n++) {
        json_t *segment = json_object();
        json_set_hex(segment, "gpa", request->segment[n].gpa, 1);
        json_set_number(segment, "size", request->segment[n].size_bytes);
        json_array_append_new(list, segment);
    }
    return list;
}

static json_t *json_step(const struct guest_step *step)
{
    json_t *object = json_object();
    json_set_step(object, &step->step, step->file, strlen(step->file));
    if (step->depth) {
        json_t *stack = json_array();
        for (size_t n = 0; n < step->depth; n++)
            json_array_append_new(stack, json_text(step->stack[n], strlen(step->stack[n])));
        json_object_set_new(object, "stack", stack);
    }
    return object;
}

static void json_origin(json_t *object, const struct guest_request *request, const struct texts *texts,
                        const struct symbols *symbols)
{
    json_set_hex(object, "command", request->origin.op, 2);
    json_object_set_new(object, "command_name", json_string(texts->command));
    json_set_hex(object, "rip", request->origin.address, 1);
    json_set_hex(object, "cr3", request->origin.value, 1);
    json_set_number(object, "cpl", request->origin.flags & TRACE_ORIGIN_CPL);
    json_object_set_new(object, "mode", json_string(trace_origin_mode(request->origin.flags)));
    json_object_set_new(object, "fua", json_boolean(is_fua(request)));
    if (symbols)
        json_object_set_new(object, "symbol", json_text(texts->rip, strlen(texts->rip)));
}

static void json_completion(json_t *object, const struct guest_request *request)
{
    json_set_number(object, "end_icount", request->end.icount);
    json_set_number(object, "end_vtime_ns", request->end.vtime_ns);
    json_set_number(object, "latency_ns", request->end.vtime_ns - request->submit.vtime_ns);
    json_set_number(object, "status", (uint64_t)(int64_t)request->status);
}

void writes_print_json(const struct request_walk *walk, const struct guest_request *request,
                       const struct symbols *symbols)
{
    struct texts texts;
    json_t *object = json_object(), *steps = json_array();
    make_texts(walk, request, symbols, &texts);
    json_set_number(object, "drive", request->drive);
    json_set_number(object, "tag", request->tag);
    json_set_number(object, "icount", request->submit.icount);
    json_set_number(object, "vtime_ns", request->submit.vtime_ns);
    json_object_set_new(object, "device", json_string(texts.device));
    json_object_set_new(object, "op", json_string(trace_block_op_name((enum trace_block_op)request->op)));
    json_set_number(object, "sector", request->sector);
    json_set_number(object, "sectors", request->sectors);
    json_set_hex(object, "hash", request->hash, 16);
    json_object_set_new(object, "completed", json_boolean(request->completed));
    if (request->has_origin)
        json_origin(object, request, &texts, symbols);
    if (request->completed)
        json_completion(object, request);
    json_object_set_new(object, "segments", json_segments(request));
    for (size_t n = 0; n < request->step_count; n++)
        json_array_append_new(steps, json_step(&request->step[n]));
    json_object_set_new(object, "steps", steps);
    json_set_number(object, "steps_lost", request->steps_lost);
    json_print_line(object);
}

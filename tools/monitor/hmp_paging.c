/* info mem and info tlb: the present page tables (Intel SDM vol. 3, 4.3 to 4.5), read without access bits. The tables are the
 * guest's and may say anything: a table entry outside memory reads as not present, and at most LINES_MAX lines are
 * written and ENTRIES_MAX entries read. */
#include "tools/monitor/hmp.h"

#include "tools/session.h"

#include <inttypes.h>

#define LINES_MAX 4096u
#define ENTRIES_MAX (1u << 20)

#define PRESENT 1ull
#define WRITE 2ull
#define USER 4ull
#define ACCESSED 0x20ull
#define DIRTY 0x40ull
#define LARGE 0x80ull
#define GLOBAL 0x100ull
#define NO_EXECUTE (1ull << 63)
#define ADDRESS ((uint64_t)0x000FFFFFFFFFF000)

struct walk {
    struct memory *memory;
    FILE *out;
    bool each; /* tlb: every page, else ranges of equal rights */
    unsigned entry_bytes, levels;
    unsigned lines, entries;
    /* the range that grows */
    uint64_t start, end, rights;
    bool open;
};

static bool more(struct walk *walk)
{
    return walk->lines < LINES_MAX && walk->entries < ENTRIES_MAX;
}

static uint64_t canonical(const struct walk *walk, uint64_t linear)
{
    return walk->levels == 4 && linear >> 47 & 1 ? linear | 0xFFFF000000000000ull : linear;
}

static void close_range(struct walk *walk)
{
    if (!walk->open)
        return;
    walk->open = false;
    walk->lines++;
    fprintf(walk->out, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %c%c%c%c\n", canonical(walk, walk->start),
            canonical(walk, walk->end - 1) + 1, walk->end - walk->start, walk->rights & USER ? 'u' : '-', 'r',
            walk->rights & WRITE ? 'w' : '-', walk->rights & NO_EXECUTE ? '-' : 'x');
}

static void add_range(struct walk *walk, uint64_t linear, uint64_t size, uint64_t rights)
{
    if (walk->open && walk->end == linear && walk->rights == rights) {
        walk->end += size;
        return;
    }
    close_range(walk);
    walk->open = true;
    walk->start = linear;
    walk->end = linear + size;
    walk->rights = rights;
}

static void add_page(struct walk *walk, uint64_t linear, uint64_t size, uint64_t entry, uint64_t rights)
{
    if (!walk->each) {
        add_range(walk, linear, size, rights);
        return;
    }
    walk->lines++;
    fprintf(walk->out, "%016" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c\n", canonical(walk, linear),
            (uint64_t)(entry & ADDRESS & ~(size - 1)), rights & NO_EXECUTE ? 'X' : '-', entry & GLOBAL ? 'G' : '-',
            size > 4096 ? 'P' : '-', entry & DIRTY ? 'D' : '-', entry & ACCESSED ? 'A' : '-', rights & USER ? 'U' : '-',
            rights & WRITE ? 'W' : '-');
}

static uint64_t read_entry(struct walk *walk, uint64_t gpa)
{
    walk->entries++;
    if (!memory_lookup(walk->memory, gpa).host)
        return 0;
    return walk->entry_bytes == 8 ? memory_read_u64(walk->memory, gpa) : memory_read_u32(walk->memory, gpa);
}

/* level: 1 for a page table. size: of what one entry of it maps. */
static void walk_table(struct walk *walk, uint64_t table, unsigned level, uint64_t linear, uint64_t rights)
{
    unsigned bits = walk->entry_bytes == 8 ? 9 : 10;
    uint64_t size = 4096ull << (bits * (level - 1));
    unsigned count = walk->levels == 3 && level == 3 ? 4 : 1u << bits;
    for (unsigned n = 0; n < count && more(walk); n++, linear += size) {
        uint64_t entry = read_entry(walk, table + (uint64_t)n * walk->entry_bytes);
        if (!(entry & PRESENT))
            continue;
        bool top_pae = walk->levels == 3 && level == 3; /* its entries have no rights */
        uint64_t here = top_pae ? rights : (rights & entry & (USER | WRITE)) | ((rights | entry) & NO_EXECUTE);
        if (level == 1 || (entry & LARGE && level <= 3 && !top_pae))
            add_page(walk, linear, size, entry, here);
        else
            walk_table(walk, entry & ADDRESS, level - 1, linear, here);
    }
}

static void walk_all(struct session *session, bool each, FILE *out)
{
    struct cpu_state cpu;
    struct accel *accel = machine_accel(session->machine);
    accel->ops->get_state(accel, &cpu);
    struct walk walk = {.memory = machine_memory(session->machine), .out = out, .each = each};
    if (!(cpu.cr0 >> 31 & 1)) {
        fprintf(out, "PG disabled\n");
        return;
    }
    bool pae = cpu.cr4 >> 5 & 1, lma = cpu.efer >> 10 & 1;
    walk.entry_bytes = pae ? 8 : 4;
    walk.levels = lma ? 4 : pae ? 3 : 2;
    walk_table(&walk, cpu.cr3 & (walk.levels == 3 ? 0xFFFFFFE0ull : ADDRESS), walk.levels, 0, USER | WRITE);
    close_range(&walk);
    if (!more(&walk))
        fprintf(out, "... and more\n");
}

void hmp_info_mem(struct session *session, const char *words, FILE *out)
{
    (void)words;
    walk_all(session, false, out);
}

void hmp_info_tlb(struct session *session, const char *words, FILE *out)
{
    (void)words;
    walk_all(session, true, out);
}

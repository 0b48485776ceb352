/* bzImage payloads (Linux Documentation/arch/x86/boot.rst, payload_offset and payload_length: the compressed vmlinux, of which
 * the last four bytes say the unpacked size but for gzip, whose own trailer says it too). LZ4 is the format of `lz4 -l`: a magic
 * number, then blocks of u32 size and data, each of 8 MiB unpacked but the last.
 *
 * Not done: bzip2, LZMA, LZO. */
#include "tools/kernel_unpack.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define HEADER_BYTES 0x250u
#define SETUP_SECTS 0x1F1
#define HEADER_MAGIC 0x202
#define VERSION 0x206
#define PAYLOAD_OFFSET 0x248
#define PAYLOAD_LENGTH 0x24C
#define VMLINUX_MAX_BYTES (512ull << 20)
#define LZ4_BLOCK_BYTES (8u << 20)

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}
static uint64_t get64(const uint8_t *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}
static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

/* ---- formats: in all, out_bytes is what the payload's end promises, and anything else is a fault ---- */

struct packed {
    const uint8_t *in;
    size_t in_bytes;
    uint8_t *out;
    size_t out_bytes;
};

static bool unpack_gzip(const struct packed *packed)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)packed->in,
                       .avail_in = (uInt)packed->in_bytes,
                       .next_out = packed->out,
                       .avail_out = (uInt)packed->out_bytes};
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
        return false;
    int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    return result == Z_STREAM_END && stream.total_out == packed->out_bytes;
}

static bool unpack_xz(const struct packed *packed)
{
    uint64_t memory_limit = UINT64_C(256) << 20;
    size_t in = 0, out = 0;
    lzma_ret result = lzma_stream_buffer_decode(&memory_limit, 0, NULL, packed->in, &in, packed->in_bytes, packed->out, &out,
                                                packed->out_bytes);
    return result == LZMA_OK && out == packed->out_bytes;
}

static bool unpack_zstd(const struct packed *packed)
{
    size_t frame = ZSTD_findFrameCompressedSize(packed->in, packed->in_bytes);
    return !ZSTD_isError(frame) &&
           ZSTD_decompress(packed->out, packed->out_bytes, packed->in, frame) == packed->out_bytes;
}

static bool unpack_lz4(const struct packed *packed)
{
    size_t at = 4, out = 0;
    while (out < packed->out_bytes && packed->in_bytes - at > 4) {
        size_t size = get32(packed->in + at), left = packed->out_bytes - out;
        at += 4;
        if (size > packed->in_bytes - at || size > INT32_MAX)
            return false;
        int got = LZ4_decompress_safe((const char *)packed->in + at, (char *)packed->out + out, (int)size,
                                      (int)(left < LZ4_BLOCK_BYTES ? left : LZ4_BLOCK_BYTES));
        if (got <= 0)
            return false;
        at += size;
        out += (size_t)got;
    }
    return out == packed->out_bytes;
}

static const struct format {
    const char *name;
    uint8_t magic[4];
    unsigned magic_bytes;
    bool (*unpack)(const struct packed *packed);
} formats[] = {
    {"gzip", {0x1F, 0x8B}, 2, unpack_gzip},
    {"xz", {0xFD, '7', 'z', 'X'}, 4, unpack_xz},
    {"zstd", {0x28, 0xB5, 0x2F, 0xFD}, 4, unpack_zstd},
    {"LZ4", {0x02, 0x21, 0x4C, 0x18}, 4, unpack_lz4},
};

static const struct format *format_of(const struct packed *packed)
{
    for (size_t n = 0; n < sizeof formats / sizeof *formats; n++) {
        if (packed->in_bytes >= 8 && !memcmp(packed->in, formats[n].magic, formats[n].magic_bytes))
            return &formats[n];
    }
    return NULL;
}

static bool is_elf(const struct journal_blob *blob)
{
    return blob->size_bytes >= 64 && !memcmp(blob->bytes, "\177ELF\2\1", 6);
}

static enum status find_payload(const struct journal_blob *kernel, const char *name, struct packed *packed,
                                struct error *error)
{
    const uint8_t *bytes = kernel->bytes;
    if (kernel->size_bytes < HEADER_BYTES || memcmp(bytes + HEADER_MAGIC, "HdrS", 4) != 0 || get16(bytes + VERSION) < 0x208)
        return error_status(error, STATUS_UNSUPPORTED,
                            "%s: neither a 64-bit ELF file nor a bzImage of boot protocol 2.08 or newer (\"HdrS\" at offset 202h)",
                            name);
    uint64_t setup = 512u * (1u + (bytes[SETUP_SECTS] ? bytes[SETUP_SECTS] : 4u));
    uint64_t offset = setup + get32(bytes + PAYLOAD_OFFSET), size = get32(bytes + PAYLOAD_LENGTH);
    if (size < 8 || offset > kernel->size_bytes || size > kernel->size_bytes - offset)
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%x (payload_offset, payload_length): 0x%" PRIx64 " bytes at 0x%" PRIx64
                            ", expected within the file's 0x%" PRIx64,
                            name, PAYLOAD_OFFSET, size, offset, kernel->size_bytes);
    packed->in = bytes + offset;
    packed->in_bytes = size;
    packed->out_bytes = get32(packed->in + size - 4);
    if (!packed->out_bytes || packed->out_bytes > VMLINUX_MAX_BYTES)
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%" PRIx64 " (unpacked size): %zu, expected 1 to %llu", name, offset + size - 4,
                            packed->out_bytes, VMLINUX_MAX_BYTES);
    return STATUS_OK;
}

enum status kernel_unpack(struct journal_blob *kernel, const char *name, struct error *error)
{
    struct packed packed = {0};
    if (is_elf(kernel))
        return STATUS_OK;
    enum status status = find_payload(kernel, name, &packed, error);
    if (status)
        return status;
    uint64_t offset = (uint64_t)(packed.in - kernel->bytes);
    const struct format *format = format_of(&packed);
    if (!format)
        return error_status(error, STATUS_UNSUPPORTED,
                            "%s: offset 0x%" PRIx64 " (payload): %02x %02x %02x %02x: expected gzip, xz, zstd or LZ4", name, offset,
                            packed.in[0], packed.in[1], packed.in[2], packed.in[3]);
    packed.out = malloc(packed.out_bytes);
    CHECK(packed.out);
    struct journal_blob unpacked = {packed.out, packed.out_bytes};
    if (!format->unpack(&packed) || !is_elf(&unpacked)) {
        free(packed.out);
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%" PRIx64 " (payload): expected an ELF file of %zu bytes, packed by %s", name, offset,
                            packed.out_bytes, format->name);
    }
    free(kernel->bytes);
    *kernel = unpacked;
    return STATUS_OK;
}

/* ---- RDTSC, RDRAND, RDSEED ---- */

#define SHDR_BYTES 64u
#define SHT_NOBITS 8u
#define SHF_EXECINSTR 4u
#define IN_EAX_IMM8 0xE5u
#define CLC 0xF8u
#define NOP 0x90u

struct sites {
    uint64_t *list;
    uint32_t count;
    bool full;
};

static void add_site(struct sites *sites, uint64_t address)
{
    if (sites->count == JOURNAL_TSC_SITES_MAX) {
        sites->full = true;
        return;
    }
    sites->list[sites->count++] = address;
}

/* Instruction by instruction from the section's start, as a disassembler lists it: data between them is passed over by bytes. */
static void trap_section(csh handle, cs_insn *insn, uint8_t *bytes, uint64_t size, uint64_t address, struct sites *sites)
{
    const uint8_t *at = bytes;
    size_t left = size;
    while (cs_disasm_iter(handle, &at, &left, &address, insn)) {
        uint8_t *code = bytes + (at - bytes) - insn->size;
        if (insn->id == X86_INS_RDTSC && insn->size == 2) {
            code[0] = IN_EAX_IMM8;
            code[1] = MACHINE_TSC_PORT;
        } else if (insn->id == X86_INS_RDRAND || insn->id == X86_INS_RDSEED) {
            code[0] = CLC; /* no number is there: a kernel must be ready for that */
            memset(code + 1, NOP, insn->size - 1u);
        } else {
            continue;
        }
        add_site(sites, insn->address);
    }
}

static enum status trap_sections(csh handle, cs_insn *insn, struct journal_blob *vmlinux, const char *name,
                                 struct sites *sites, struct error *error)
{
    uint64_t table = get64(vmlinux->bytes + 40);
    unsigned size = get16(vmlinux->bytes + 58), count = get16(vmlinux->bytes + 60);
    if (size != SHDR_BYTES || !count || table > vmlinux->size_bytes ||
        (uint64_t)count * SHDR_BYTES > vmlinux->size_bytes - table)
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x28 (e_shoff, e_shentsize, e_shnum): %u sections of %u bytes at 0x%" PRIx64
                            ": expected a table of sections of %u bytes within the file",
                            name, count, size, table, SHDR_BYTES);
    for (unsigned n = 0; n < count; n++) {
        const uint8_t *header = vmlinux->bytes + table + n * SHDR_BYTES;
        uint64_t offset = get64(header + 24), bytes = get64(header + 32);
        if (get32(header + 4) == SHT_NOBITS || !(get64(header + 8) & SHF_EXECINSTR))
            continue;
        if (offset > vmlinux->size_bytes || bytes > vmlinux->size_bytes - offset)
            return error_status(error, STATUS_CORRUPT,
                                "%s: offset 0x%" PRIx64 " (sh_size): 0x%" PRIx64 " bytes at 0x%" PRIx64
                                ", but the file has only 0x%" PRIx64,
                                name, table + n * SHDR_BYTES + 32, bytes, offset, vmlinux->size_bytes);
        trap_section(handle, insn, vmlinux->bytes + offset, bytes, get64(header + 16), sites);
    }
    return STATUS_OK;
}

enum status kernel_trap_tsc(struct journal_blob *vmlinux, const char *name, uint64_t **list, uint32_t *count,
                            struct error *error)
{
    csh handle;
    struct sites sites = {.list = calloc(JOURNAL_TSC_SITES_MAX, sizeof *sites.list)};
    CHECK(sites.list && is_elf(vmlinux));
    CHECK(cs_open(CS_ARCH_X86, CS_MODE_64, &handle) == CS_ERR_OK);
    cs_option(handle, CS_OPT_SKIPDATA, CS_OPT_ON);
    cs_insn *insn = cs_malloc(handle);
    CHECK(insn);
    enum status status = trap_sections(handle, insn, vmlinux, name, &sites, error);
    cs_free(insn, 1);
    cs_close(&handle);
    if (!status && sites.full)
        status = error_status(error, STATUS_UNSUPPORTED, "%s: more than %u RDTSC instructions", name, JOURNAL_TSC_SITES_MAX);
    if (!status && !sites.count)
        status = error_status(error, STATUS_NOT_FOUND, "%s: no RDTSC in its executable sections", name);
    if (status) {
        free(sites.list);
        return status;
    }
    *list = sites.list;
    *count = sites.count;
    return STATUS_OK;
}

/* vmrr: finds the subcommand. */
#include "tools/help.h"
#include "tools/host_check.h"
#include "tools/tools.h"
#include "tools/version.h"

#include <capstone/capstone.h>
#include <signal.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char *tool_version(void)
{
    return "vmrr " VMRR_VERSION " (" COMPILER ", zstd " ZSTD_VERSION_STRING ", xxhash " VMRR_XXHASH_VERSION
           ", capstone " VMRR_CAPSTONE_VERSION ")";
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"run", cmd_run},           {"record", cmd_record}, {"replay", cmd_replay}, {"info", cmd_info},
                    {"dump", cmd_dump},         {"verify", cmd_verify}, {"image", cmd_image},   {"writes", cmd_writes},
                    {"blktrace", cmd_blktrace}, {"diff", cmd_diff},     {"fuzz", cmd_fuzz},     {"debug", cmd_debug}};
    signal(SIGPIPE, SIG_IGN); /* a reader of the console that goes away must not tear the journal */
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk: an error of write, not a death */
    if (argc < 2) {
        help_print(NULL);
        return EXIT_CODE_USAGE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-version")) {
        puts(tool_version());
        return EXIT_CODE_OK;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help_print(argc > 2 ? argv[2] : NULL);
        return EXIT_CODE_OK;
    }
    for (size_t n = 0; n < sizeof commands / sizeof commands[0]; n++) {
        if (!strcmp(argv[1], commands[n].name))
            return host_check() ? commands[n].run(argc - 1, argv + 1) : EXIT_CODE_FAILED;
    }
    tool_error("unknown command %s (see vmrr --help)", argv[1]);
    return EXIT_CODE_USAGE;
}

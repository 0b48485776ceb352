/* The human monitor: the table of its commands, and those that have no file of their own. Wording as QEMU's. */
#include "tools/monitor/hmp.h"

#include "tools/monitor/keys.h"
#include "tools/qmp/commands.h"
#include "tools/screendump.h"
#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_WHITE " \t"
#define WORD_BYTES 64

static bool too_much(const char *words, FILE *out)
{
    if (!*words)
        return false;
    fprintf(out, "extraneous characters at the end of line\n");
    return true;
}

/* ---- commands that QMP has as well ---- */

static void run_qmp(struct session *session, qmp_command_fn *run, json_t *arguments, FILE *out)
{
    struct qmp_result result = {0};
    run(session, arguments, &result);
    if (result.class)
        fprintf(out, "Error: %s\n", result.text);
    json_decref(result.value);
    json_decref(arguments);
}

static void do_stop(struct session *session, const char *words, FILE *out)
{
    if (!too_much(words, out))
        control_stop(session);
}

static void do_cont(struct session *session, const char *words, FILE *out)
{
    if (!too_much(words, out))
        run_qmp(session, qmp_cont, json_object(), out);
}

static void do_quit(struct session *session, const char *words, FILE *out)
{
    if (!too_much(words, out))
        control_quit(session);
}

static void do_powerdown(struct session *session, const char *words, FILE *out)
{
    if (!too_much(words, out))
        run_qmp(session, qmp_system_powerdown, json_object(), out);
}

static void do_reset(struct session *session, const char *words, FILE *out)
{
    if (!too_much(words, out))
        run_qmp(session, qmp_system_reset, json_object(), out);
}

static void do_screendump(struct session *session, const char *words, FILE *out)
{
    struct error error = {0};
    if (!*words || !strcmp(words, "-"))
        fprintf(out, "screendump: string expected\nTry \"help screendump\" for more information\n");
    else if (screendump_to(session->machine, words, SCREENDUMP_BY_NAME, &error))
        fprintf(out, "Error: %s\n", error.text);
}

static void run_at_icount(struct session *session, qmp_command_fn *run, const char *words, FILE *out)
{
    uint64_t icount;
    if (parse_u64(words, &icount) || icount > INT64_MAX)
        fprintf(out, "a position (icount) expected\n");
    else
        run_qmp(session, run, json_pack("{s:I}", "icount", (json_int_t)icount), out);
}

static void do_replay_break(struct session *session, const char *words, FILE *out)
{
    run_at_icount(session, qmp_replay_break, words, out);
}

static void do_replay_seek(struct session *session, const char *words, FILE *out)
{
    run_at_icount(session, qmp_replay_seek, words, out);
}

static void do_replay_delete_break(struct session *session, const char *words, FILE *out)
{
    if (!too_much(words, out))
        run_qmp(session, qmp_replay_delete_break, json_object(), out);
}

static bool next_key(const char **at, char name[WORD_BYTES])
{
    size_t length = strcspn(*at, "-");
    if (!length || length >= WORD_BYTES)
        return false;
    memcpy(name, *at, length);
    name[length] = 0;
    *at += length + ((*at)[length] == '-');
    return true;
}

static void do_sendkey(struct session *session, const char *words, FILE *out)
{
    uint32_t codes[KEYS_AT_ONCE];
    unsigned count = 0;
    char name[WORD_BYTES], *end;
    if (!*words) {
        fprintf(out, "sendkey: string expected\nTry \"help sendkey\" for more information\n");
        return;
    }
    while (*words) {
        if (count == KEYS_AT_ONCE || !next_key(&words, name)) {
            fprintf(out, "invalid parameter: %s\n", words);
            return;
        }
        bool known = key_code(!strcmp(name, "<") ? "less" : name, &codes[count]);
        if (!known && !strncmp(name, "0x", 2))
            known = key_number(strtol(name, &end, 16), &codes[count]) && !*end;
        if (!known) {
            fprintf(out, "invalid parameter: %s\n", name);
            return;
        }
        count++;
    }
    keys_press(session, codes, count);
}

/* ---- help, info ---- */

static hmp_fn do_help, do_info;

static const struct hmp_command commands[] = {
    {"help", "[cmd]", "show the help", do_help, false},
    {"?", "[cmd]", "show the help", do_help, false},
    {"info", "[subcommand]", "show various information about the machine", do_info, false},
    {"stop", "", "stop the machine", do_stop, false},
    {"s", "", "stop the machine", do_stop, false},
    {"cont", "", "let the machine go on", do_cont, false},
    {"c", "", "let the machine go on", do_cont, false},
    {"quit", "", "end the run", do_quit, false},
    {"q", "", "end the run", do_quit, false},
    {"system_powerdown", "", "press the power button", do_powerdown, true},
    {"system_reset", "", "press the reset button", do_reset, true},
    {"sendkey", "keys", "press keys ('sendkey ctrl-alt-f1')", do_sendkey, true},
    {"eject", "[-f] device", "eject a removable medium (use -f to force it)", hmp_eject, true},
    {"change", "device [-f] filename [format [read-only-mode]]",
     "change a removable medium, optional format, use -f to force the operation", hmp_change, true},
    {"block_resize", "device size", "resize a block image", hmp_block_resize, true},
    {"snapshot_blkdev", "[-n] device new-image-file [format]",
     "from now on, writes go to a new qcow2 image (-n: one that is there)", hmp_snapshot_blkdev, true},
    {"screendump", "filename", "save the screen: PNG, *.ppm or *.txt", do_screendump, false},
    {"x", "/fmt addr", "memory at a linear address ('x /10i $rip', 'x /4xg 0x1000')", hmp_examine, false},
    {"xp", "/fmt addr", "memory at a guest physical address", hmp_examine_physical, false},
    {"print", "/fmt expr", "the value of an expression ($reg for CPU registers)", hmp_print, false},
    {"p", "/fmt expr", "the value of an expression ($reg for CPU registers)", hmp_print, false},
    {"when", "", "the position, the virtual time, how much of the journal that is", hmp_when, false},
    {"digest", "", "of CPU and devices, and with memory", hmp_digest, false},
    {"goto", "place", "stop a replay and go there: icount, P%, start, end, event N, time SECONDS, exit N, a bookmark", hmp_goto,
     false},
    {"bookmark", "[name]", "give this position a name; without one: the names", hmp_bookmark, false},
    {"checkpoint", "", "lay one where a replay stands", hmp_checkpoint, false},
    {"last-store", "paddr [bytes]", "go back to before the store, by CPU or DMA, that changed a physical address last",
     hmp_last_store, false},
    {"diversion", "[off|keep]", "the copy of a replay that a debugger has changed: end it, or make it a live run", hmp_diversion,
     false},
    {"replay_break", "icount", "stop the replay at this position", do_replay_break, false},
    {"replay_delete_break", "", "no stop of the replay", do_replay_delete_break, false},
    {"writes", "[count]", "what the guest wrote around here: so many requests to each side", hmp_writes, false},
    {"events", "[around] [icount [count]]", "the journal's events around here, or around a position", hmp_events,
     false},
    {"last-write", "sector [drive]", "go back to the request that wrote a sector last", hmp_last_write, false},
    {"next-write", "sector [drive]", "go on to the request that writes a sector next", hmp_next_write, false},
    {"replay_seek", "icount", "go to this position of the replay", do_replay_seek, false},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const char *skip_white(const char *text)
{
    return text + strspn(text, WORDS_WHITE);
}

/* The name ends at white space, or where a format begins: "x/4xw". */
const struct hmp_command *hmp_find(const struct hmp_command *list, size_t count, const char *line, const char **words)
{
    size_t length = strcspn(line, WORDS_WHITE "/");
    for (size_t n = 0; n < count; n++) {
        if (strlen(list[n].name) == length && !strncmp(list[n].name, line, length)) {
            *words = skip_white(line + length);
            return &list[n];
        }
    }
    return NULL;
}

static void describe(const struct hmp_command *command, const char *prefix, FILE *out)
{
    fprintf(out, "%s%s %s -- %s\n", prefix, command->name, command->arguments, command->help);
}

void hmp_list(const struct hmp_command *list, size_t count, const char *prefix, FILE *out)
{
    for (size_t n = 0; n < count; n++)
        describe(&list[n], prefix, out);
}

static void do_help(struct session *session, const char *words, FILE *out)
{
    const char *rest;
    (void)session;
    if (!*words) {
        hmp_list(commands, COMMANDS, "", out);
        return;
    }
    const struct hmp_command *command = hmp_find(commands, COMMANDS, words, &rest);
    if (command && command->run == do_info && *rest)
        command = hmp_find(hmp_info_commands, hmp_info_command_count, rest, &rest);
    else if (command && command->run == do_info)
        hmp_list(hmp_info_commands, hmp_info_command_count, "info ", out);
    if (command)
        describe(command, "", out);
    else
        fprintf(out, "unknown command: '%s'\n", words);
}

static void do_info(struct session *session, const char *words, FILE *out)
{
    const char *rest;
    if (!*words) {
        hmp_list(hmp_info_commands, hmp_info_command_count, "info ", out);
        return;
    }
    const struct hmp_command *command = hmp_find(hmp_info_commands, hmp_info_command_count, words, &rest);
    if (!command)
        fprintf(out, "unknown command: 'info %s'\n", words);
    else if (command->arguments[0] || !too_much(rest, out))
        command->run(session, rest, out);
}

/* ---- a line ---- */

static char *with_returns(const char *text)
{
    size_t lines = 0, used = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    char *copy = malloc(strlen(text) + lines + 1);
    CHECK(copy);
    for (; *text; text++) {
        if (*text == '\n')
            copy[used++] = '\r';
        copy[used++] = *text;
    }
    copy[used] = 0;
    return copy;
}

static void run(struct session *session, const char *line, FILE *out)
{
    const char *words;
    line = skip_white(line);
    if (!*line)
        return;
    const struct hmp_command *command = hmp_find(commands, COMMANDS, line, &words);
    if (!command)
        fprintf(out, "unknown command: '%.*s'\n", (int)strcspn(line, WORDS_WHITE), line);
    else if (command->changes && session->player)
        fprintf(out, "Error: '%s' changes the guest: a replay gives it what the journal has, and no more\n",
                command->name);
    else if (command->changes && control_over(session))
        fprintf(out, "Error: the guest's run is over\n");
    else
        command->run(session, words, out);
}

char *hmp_run_line(struct session *session, const char *line)
{
    char *text = NULL;
    size_t size;
    char *trimmed = strdup(line);
    FILE *out = open_memstream(&text, &size);
    CHECK(out && trimmed);
    for (size_t length = strlen(trimmed); length && strchr(WORDS_WHITE "\r\n", trimmed[length - 1]); length--)
        trimmed[length - 1] = 0;
    run(session, trimmed, out);
    CHECK(!fclose(out));
    char *shown = with_returns(text);
    free(text);
    free(trimmed);
    return shown;
}

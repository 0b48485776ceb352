/* eject, change, block_resize, snapshot_blkdev: words to the arguments of QMP's commands. */
#include "tools/monitor/hmp.h"

#include "tools/qmp/commands.h"
#include "tools/session.h"

#include <stdlib.h>
#include <string.h>

#define ARGUMENTS_MAX 6u
#define WHITE " \t"

/* A line cut into words; flags (-f) are taken out. */
struct words {
    char *text; /* owned; the words lie in it */
    char *word[ARGUMENTS_MAX];
    unsigned count;
    bool flag, too_many;
};

/* A word may be in double quotes, in which a backslash takes the next character as it is. */
static char *next_word(char **at)
{
    char *start = *at + strspn(*at, WHITE), *from = start, *to = start;
    bool quoted = *start == '"';
    if (!*start)
        return NULL;
    from += quoted;
    while (*from && (quoted ? *from != '"' : !strchr(WHITE, *from))) {
        if (quoted && *from == '\\' && from[1])
            from++;
        *to++ = *from++;
    }
    *at = from + (*from != 0);
    *to = 0;
    return start;
}

static void cut(struct words *words, const char *line, char flag)
{
    *words = (struct words){.text = strdup(line)};
    CHECK(words->text);
    char *at = words->text, *word, option[3] = {'-', flag, 0};
    while ((word = next_word(&at))) {
        if (!strcmp(word, option))
            words->flag = true;
        else if (words->count < ARGUMENTS_MAX)
            words->word[words->count++] = word;
        else
            words->too_many = true;
    }
}

/* Which of the names (null at the end) have no word; what has no name. */
static bool check(const struct words *words, const char *command, const char *const *names, unsigned needed,
                  unsigned max, FILE *out)
{
    if (words->count < needed) {
        fprintf(out, "%s: %s expected\nTry \"help %s\" for more information\n", command, names[words->count], command);
        return false;
    }
    if (words->count > max || words->too_many) {
        fprintf(out, "%s: extraneous characters at the end of line\n", command);
        return false;
    }
    return true;
}

static void run_and_free(struct session *session, qmp_command_fn *run, json_t *arguments, struct words *words,
                         FILE *out)
{
    struct qmp_result result = {0};
    if (arguments)
        run(session, arguments, &result);
    else
        fprintf(out, "Error: not UTF-8\n");
    if (result.class)
        fprintf(out, "Error: %s\n", result.text);
    json_decref(result.value);
    json_decref(arguments);
    free(words->text);
}

void hmp_eject(struct session *session, const char *line, FILE *out)
{
    static const char *const names[] = {"block device name"};
    struct words words;
    cut(&words, line, 'f');
    if (!check(&words, "eject", names, 1, 1, out)) {
        free(words.text);
        return;
    }
    run_and_free(session, qmp_eject, json_pack("{s:s, s:b}", "device", words.word[0], "force", words.flag), &words,
                 out);
}

void hmp_change(struct session *session, const char *line, FILE *out)
{
    static const char *const names[] = {"block device name", "filename"};
    struct words words;
    cut(&words, line, 'f');
    if (!check(&words, "change", names, 2, 4, out)) {
        free(words.text);
        return;
    }
    json_t *arguments =
        json_pack("{s:s, s:s, s:b}", "device", words.word[0], "filename", words.word[1], "force", words.flag);
    if (arguments && words.count > 2)
        json_object_set_new(arguments, "format", json_string(words.word[2]));
    if (arguments && words.count > 3)
        json_object_set_new(arguments, "read-only-mode", json_string(words.word[3]));
    run_and_free(session, qmp_blockdev_change_medium, arguments, &words, out);
}

/* A number alone is mebibytes, as in QEMU. */
static bool parse_size(const char *text, json_int_t *bytes)
{
    static const char units[] = "bkmgte";
    char *end;
    unsigned shift = 20;
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *text == '-')
        return false;
    if (*end) {
        const char *unit = strchr(units, *end | 0x20);
        if (!unit || end[1])
            return false;
        shift = 10 * (unsigned)(unit - units);
    }
    *bytes = (json_int_t)(number << shift);
    return number <= (unsigned long long)INT64_MAX >> shift;
}

void hmp_block_resize(struct session *session, const char *line, FILE *out)
{
    static const char *const names[] = {"block device name"};
    struct words words;
    json_int_t size;
    cut(&words, line, 0);
    if (!check(&words, "block_resize", names, 1, 2, out)) {
        free(words.text);
        return;
    }
    if (words.count < 2 || !parse_size(words.word[1], &size)) {
        fprintf(out, "invalid size\nTry \"help block_resize\" for more information\n");
        free(words.text);
        return;
    }
    run_and_free(session, qmp_block_resize, json_pack("{s:s, s:I}", "device", words.word[0], "size", size), &words,
                 out);
}

void hmp_snapshot_blkdev(struct session *session, const char *line, FILE *out)
{
    static const char *const names[] = {"block device name"};
    struct words words;
    cut(&words, line, 'n');
    bool fine = check(&words, "snapshot_blkdev", names, 1, 3, out);
    if (fine && words.count < 2)
        fprintf(out, "Error: Parameter 'snapshot-file' is missing\n");
    if (!fine || words.count < 2) {
        free(words.text);
        return;
    }
    json_t *arguments = json_pack("{s:s, s:s, s:s}", "device", words.word[0], "snapshot-file", words.word[1], "mode",
                                  words.flag ? "existing" : "absolute-paths");
    if (arguments && words.count > 2)
        json_object_set_new(arguments, "format", json_string(words.word[2]));
    run_and_free(session, qmp_blockdev_snapshot_sync, arguments, &words, out);
}

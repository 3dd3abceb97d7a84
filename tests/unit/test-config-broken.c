/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The shipped configs with each line broken in turn: they load, or the error names the line. */
#include <unistd.h>

#include "../tap.h"
#include "base/fail.h"
#include "base/str.h"
#include "config/config.h"

/* libconfig 1.5 leaks what it had of a text that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig";
}

static char dir[] = "/tmp/berth-config-XXXXXX";

static char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static char *put(const char *name, const char *text, size_t len)
{
    char *path = path_of(name);
    FILE *f = fopen(path, "w");

    if (!f || fwrite(text, 1, len, f) != len || fclose(f)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    return path;
}

static char *sample;
static size_t sample_len;

static void read_sample(const char *name)
{
    const char *src = getenv("BERTH_SRCDIR");
    char path[4096];

    snprintf(path, sizeof path, "%s/conf/%s", src ? src : ".", name);
    if (read_file(path, 1 << 20, &sample, &sample_len) < 0) {
        ok(false, "cannot read %s", path);
        exit(tap_done());
    }
}

static int tried, loaded;

/* Loads clean, or fails naming file and line. */
static bool is_told(const char *text, size_t len)
{
    struct berth_error err = {0};
    struct config *c = NULL;
    char *path = put("broken.conf", text, len), *line;
    int r = config_load(path, &c, &err);

    tried++;
    loaded += r >= 0;
    config_free(c);
    if (r >= 0)
        return true;
    if (strncmp(err.text, path, strlen(path)) || !(line = err.text + strlen(path)) ||
        *line != ':' || atoi(line + 1) < 1 || strlen(err.text) < strlen(path) + 10) {
        printf("# %s\n", err.text);
        return false;
    }
    return true;
}

enum breakage {
    NO_QUOTE,
    MISSPELT,
    WRONG_TYPE,
    NO_BRACKET,
    NO_EQUALS,
    NO_SEMICOLON,
    CUT,
    DOUBLED,
    GONE,
    NO_COMMENT,
    BREAKAGES
};

/* Copies the sample with line `start`..`end` broken; 0 if that line cannot be broken so. */
static size_t break_line(enum breakage how, const char *start, const char *end, char *out)
{
    static const char *const targets[BREAKAGES] = {[NO_QUOTE] = "\"",
                                                   [NO_BRACKET] = "{}[]()",
                                                   [NO_EQUALS] = "=",
                                                   [NO_SEMICOLON] = ";,",
                                                   [NO_COMMENT] = "#"};
    size_t head = (size_t)(start - sample), len = (size_t)(end - start);
    char line[512], *at;
    size_t n = 0;

    memcpy(line, start, len);
    line[len] = '\0';
    at = targets[how] ? strpbrk(line, targets[how]) : line + strspn(line, " ");
    if (!at || !*at)
        return 0;
    memcpy(out, sample, head);
    n = head;
    switch (how) {
    case MISSPELT:
        memmove(at + 1, at + 2, strlen(at + 1));
        n += (size_t)sprintf(out + n, "%s", line);
        break;
    case WRONG_TYPE:
        at = strchr(line, '=');
        if (!at)
            return 0;
        n += (size_t)sprintf(out + n, "%.*s= %s;", (int)(at - line), line,
                             strchr(at, '"') ? "-3" : "\"x y\"");
        break;
    case CUT: /* the file ends in the middle of this line */
        n += (size_t)sprintf(out + n, "%.*s", (int)(len / 2), line);
        return n;
    case DOUBLED:
        n += (size_t)sprintf(out + n, "%s\n%s", line, line);
        break;
    case GONE:
        break;
    default:
        n += (size_t)sprintf(out + n, "%.*s%s", (int)(at - line), line, at + 1);
    }
    memcpy(out + n, end, sample_len - head - len);
    return n + sample_len - head - len;
}

static void test_broken(const char *name)
{
    char *out;
    int bad = 0, line = 0;

    read_sample(name);
    out = malloc(2 * sample_len + 1024);
    ok(is_told(sample, sample_len) && loaded, "conf/%s is valid as it is", name);
    tried = loaded = 0;
    for (const char *p = sample, *end; p < sample + sample_len; p = end + 1) {
        end = memchr(p, '\n', sample_len - (size_t)(p - sample));
        line++;
        for (int how = 0; how < BREAKAGES; how++) {
            size_t len = break_line(how, p, end, out);
            if (len && !is_told(out, len)) {
                printf("# %s line %d, breakage %d\n", name, line, how);
                bad++;
            }
        }
    }
    ok(!bad, "conf/%s, each line broken: told or harmless", name);
    ok(tried > 100 && loaded < tried, "%d tried, %d harmless", tried, loaded);
    free(out);
    free(sample);
}

/* Each byte in turn becomes something else: never a crash. */
static void test_bytes_broken(void)
{
    static const char junk[] = {'\0', '"', '{', '@', '\xff'};
    int bad = 0;

    read_sample("quickstart.conf");
    for (size_t i = 0; i < sample_len; i++) {
        char was = sample[i];
        sample[i] = junk[i % countof(junk)];
        bad += !is_told(sample, sample_len);
        sample[i] = was;
    }
    ok(!bad, "each byte broken: told or harmless");
    free(sample);
}

int main(void)
{
    if (!mkdtemp(dir))
        return EXIT_FAILURE;
    test_broken("berth.conf");
    test_broken("quickstart.conf");
    test_bytes_broken();
    ok(unlink(path_of("broken.conf")) == 0 && rmdir(dir) == 0, "nothing is left behind");
    return tap_done();
}

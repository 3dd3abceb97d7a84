/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Log lines: each is built on the stack and leaves in one write, so lines of several
 * processes and threads do not mix and no lock can be held across a fork. */
#include "base/log.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fail.h"
#include "base/str.h"

#define LOG_LINE_MAX 4096

static struct {
    const char *role;
    int level;
    bool journal;
} state = {"berth", BERTH_LOG_INFO, false};

static const struct {
    const char *name;
    int level;
} levels[] = {{"err", BERTH_LOG_ERR},
              {"warn", BERTH_LOG_WARN},
              {"info", BERTH_LOG_INFO},
              {"debug", BERTH_LOG_DEBUG}};

/* systemd.exec(5): stderr is the journal if it is the file that JOURNAL_STREAM names. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t dev, ino;
    struct stat st;

    return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
           !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

void log_init(const char *role, int level)
{
    state.role = role;
    state.level = level;
    state.journal = stderr_is_journal();
}

void log_set_level(int level)
{
    state.level = level;
}

int log_level_parse(const char *name)
{
    for (size_t i = 0; name && i < countof(levels); i++)
        if (!strcmp(levels[i].name, name))
            return levels[i].level;
    return -1;
}

static const char *level_name(int level)
{
    for (size_t i = 0; i < countof(levels); i++)
        if (level <= levels[i].level)
            return levels[i].name;
    return "debug";
}

static size_t put_head(char *line, size_t size, int level, const char *subject)
{
    struct timespec ts;
    struct tm tm;
    size_t len;

    if (state.journal) {
        len = (size_t)snprintf(line, size, "<%d>%s: ", level, state.role);
    } else {
        clock_gettime(CLOCK_REALTIME, &ts);
        gmtime_r(&ts.tv_sec, &tm);
        len = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
        len += (size_t)snprintf(line + len, size - len,
                                ".%03ldZ %-5s %s: ", ts.tv_nsec / 1000000,
                                level_name(level), state.role);
    }
    if (subject && *subject)
        len += (size_t)snprintf(line + len, size - len, "%.160s: ", subject);
    return len;
}

void log_linev(int level, const char *subject, const char *format, va_list ap)
{
    char line[LOG_LINE_MAX];
    size_t len;

    if (level > state.level)
        return;
    len = put_head(line, 512, level, subject);
    vsnprintf(line + len, sizeof(line) - len, format, ap);
    clean_text(line, sizeof(line) - 2);
    len = strlen(line);
    line[len++] = '\n';
    /* Nobody is left to tell when stderr is gone. */
    if (write(STDERR_FILENO, line, len) < 0)
        return;
}

void log_line(int level, const char *subject, const char *format, ...)
{
    va_list ap;

    if (level > state.level)
        return;
    va_start(ap, format);
    log_linev(level, subject, format, ap);
    va_end(ap);
}

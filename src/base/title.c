/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Linux shows as a command line whatever stands in the memory where execve put the
 * arguments. The environment follows it, and is copied away so that a title may be longer
 * than the arguments were.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/title.h"

extern char **environ;

static char *title_area;
static size_t title_size;

/* Copies a NULL-terminated list of strings; NULL if out of memory (what was copied is
 * not given back: this happens once, at start). */
static char **title_copy(char **list)
{
    size_t count = 0;
    while (list[count])
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(list[i]);
        if (!copy[i])
            return NULL;
    }
    return copy;
}

static char *title_end(char **list, char *end)
{
    for (; *list && *list == end; list++)
        end += strlen(end) + 1;
    return end;
}

void title_init(int argc, char **argv)
{
    if (title_area || argc < 1 || !argv || !argv[0] || !environ)
        return;
    char *area = argv[0];
    char *end = title_end(environ, title_end(argv, area));
    char **env = title_copy(environ), **args = title_copy(argv);
    if (!env || !args)
        return;
    environ = env;
    for (int i = 0; i < argc; i++)
        argv[i] = args[i];
    free(args);
    title_area = area;
    title_size = (size_t)(end - area);
}

void title_set(const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    prctl(PR_SET_NAME, text);
    if (!title_area)
        return;
    size_t len = strlen(text) < title_size ? strlen(text) : title_size - 1;
    memcpy(title_area, text, len);
    memset(title_area + len, 0, title_size - len);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/task.h"
#include "codec/value.h"

void fuzz_failed(const char *file, int line, const char *condition, const char *text)
{
    fprintf(stderr, "%s:%d: does not hold: %s%s%s\n", file, line, condition,
            text ? ": " : "", text ? text : "");
    abort();
}

void fuzz_check_error(int r, const struct berth_error *err)
{
    if (r >= 0)
        return;
    fuzz_check_said(err->code > 0, err->text);
    fuzz_check(err->text[0]);
    fuzz_check(memchr(err->text, '\0', sizeof err->text));
}

void fuzz_must(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "cannot set up: %s: %s\n", what, strerror(-r));
    exit(2);
}

void fuzz_file(int number, const void *data, size_t len)
{
    if (fcntl(number, F_GETFD) < 0) {
        int fd = memfd_create("input", MFD_CLOEXEC);
        fuzz_must(fd < 0 || dup3(fd, number, O_CLOEXEC) < 0 ? -errno : 0, "memfd_create");
        close(fd);
        fuzz_must(fchmod(number, 0600) < 0 ? -errno : 0, "fchmod");
    }
    fuzz_must(ftruncate(number, 0) < 0 ? -errno : 0, "ftruncate");
    fuzz_must(len && pwrite(number, data, len, 0) != (ssize_t)len ? -EIO : 0, "pwrite");
}

static char directory[4096];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_dir(void)
{
    const char *top = getenv("TMPDIR");
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "%s/berth-fuzz.XXXXXX", top ? top : "/tmp");
        fuzz_must(mkdtemp(directory) ? 0 : -errno, directory);
        atexit(remove_directory);
    }
    return directory;
}

char *fuzz_line(struct fuzz_lines *in)
{
    if (in->p >= in->end)
        return NULL;
    const char *eol = memchr(in->p, '\n', (size_t)(in->end - in->p));
    size_t len = (size_t)((eol ? eol : in->end) - in->p);
    char *line = strndup(in->p, len);
    in->p += len + (eol != NULL);
    return line;
}

struct value *fuzz_map(struct arena *a, const char *json)
{
    struct berth_error err = {0};
    struct value *v = arena_alloc(a, sizeof *v);
    if (!v || value_from_json(a, json, strlen(json), NULL, v, &err) < 0 ||
        v->type != VALUE_MAP)
        return NULL;
    return v;
}

struct value *fuzz_map_packed(struct arena *a, const char *json)
{
    struct value *v = fuzz_map(a, json);
    for (uint32_t i = 0; v && i < v->count; i++) {
        struct value_pair *p = &v->pairs[i];
        cleanup_buf struct buf out = BUF_INIT;
        if (strcmp(p->key.s, "task") != 0 || p->val.type != VALUE_MAP)
            continue;
        fuzz_check(value_to_msgpack(&p->val, &out) == 0);
        p->val = value_new_bin(a, out.data, out.len);
    }
    return v;
}

void fuzz_quiet(void)
{
    log_init("fuzz", -1);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Lines of words: "secret KEY", "public KEY", "client KEY [TENANT]". What begins with # is a comment, which a
 * key may, too: that is why the word comes first.
 */
#include "zeromq_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)
#define BLANKS " \t\r"
#define Z85                                                                  \
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/" \
    "*?&<>()[]{}@%$#"
#define TENANT_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

struct client {
    char key[KEYS_KEY], tenant[KEYS_TENANT];
};

struct keys {
    char *path;
    struct stat seen; /* the version that was looked at last, good or bad */
    struct client *clients;
    size_t count;
};

__attribute__((format(printf, 3, 4))) static int wrong(char *why, int code,
                                                       const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, KEYS_WHY, format, ap);
    va_end(ap);
    return -code;
}

bool key_is_valid(const char *key)
{
    return strlen(key) == KEYS_KEY - 1 && !key[strspn(key, Z85)];
}

/* ---- a file ---- */

static int check_file(const char *path, const struct stat *st, mode_t forbidden, char *why)
{
    if (!S_ISREG(st->st_mode))
        return wrong(why, EINVAL, "'%.150s' is no regular file", path);
    if (st->st_mode & forbidden)
        return wrong(why, EPERM, "'%.150s' is open to others (mode %04o): chmod %s it",
                     path, (unsigned)st->st_mode & 07777, forbidden == 077 ? "600" : "644");
    if (st->st_size > FILE_MAX)
        return wrong(why, EFBIG, "'%.150s' is larger than 1 MiB", path);
    return 0;
}

static int read_file(const char *path, mode_t forbidden, struct stat *st, char **ret,
                     char *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st) < 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return wrong(why, code, "cannot read '%.150s': %s", path, strerror(code));
    }
    int rc = check_file(path, st, forbidden, why);
    char *text = rc == 0 ? calloc(1, FILE_MAX + 1) : NULL;
    if (rc == 0 && !text)
        rc = wrong(why, ENOMEM, "out of memory for '%.150s'", path);
    ssize_t n = text ? read(fd, text, FILE_MAX) : 0;
    if (n < 0)
        rc = wrong(why, errno, "cannot read '%.150s': %s", path, strerror(errno));
    close(fd);
    if (rc == 0)
        *ret = text;
    else
        free(text);
    return rc;
}

/* Calls fn for each line that says something, its words in order; fn's failure ends it. */
typedef int line_fn(void *arg, char *words[4], const char **ret_wrong);

static int each_line(const char *path, char *text, line_fn *fn, void *arg, char *why)
{
    char *line, *save;
    unsigned number = 0;
    while ((line = strsep(&text, "\n"))) {
        char *words[4] = {NULL};
        const char *what = "has more words than that";
        int n = 0;
        number++;
        for (char *w = strtok_r(line, BLANKS, &save); w && n < 4;
             w = strtok_r(NULL, BLANKS, &save))
            words[n++] = w;
        if (!n || words[0][0] == '#')
            continue;
        int rc = n < 4 ? fn(arg, words, &what) : -EINVAL;
        if (rc < 0)
            return wrong(why, -rc, "'%.120s', line %u %s", path, number, what);
    }
    return 0;
}

/* ---- our own ---- */

static int secret_line(void *arg, char *words[4], const char **ret_wrong)
{
    char *ret = arg;
    *ret_wrong = "is not 'secret KEY' or 'public KEY', a KEY has 40 characters of Z85";
    bool secret = !strcmp(words[0], "secret");
    if ((!secret && strcmp(words[0], "public") != 0) || !words[1] || words[2] ||
        !key_is_valid(words[1]))
        return -EINVAL;
    if (secret)
        strcpy(ret, words[1]);
    return 0;
}

int keys_read_secret(const char *path, char ret[KEYS_KEY], char why[KEYS_WHY])
{
    struct stat st;
    char *text;
    int rc = read_file(path, 077, &st, &text, why);
    if (rc < 0)
        return rc;
    ret[0] = '\0';
    rc = each_line(path, text, secret_line, ret, why);
    explicit_bzero(text, FILE_MAX);
    free(text);
    if (rc == 0 && !ret[0])
        rc = wrong(why, EINVAL, "'%.150s' has no line 'secret KEY'", path);
    return rc;
}

/* ---- those of clients ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct client *)a)->key, ((const struct client *)b)->key);
}

static int client_line(void *arg, char *words[4], const char **ret_wrong)
{
    struct keys *k = arg;
    const char *tenant = words[2] ? words[2] : "";
    *ret_wrong =
        "is not 'client KEY' or 'client KEY TENANT', a KEY has 40 characters of Z85";
    if (strcmp(words[0], "client") != 0 || !words[1] || !key_is_valid(words[1]))
        return -EINVAL;
    *ret_wrong = "has a tenant that is not 1 to 64 of [A-Za-z0-9._-]";
    if (strlen(tenant) >= KEYS_TENANT || tenant[strspn(tenant, TENANT_CHARS)] ||
        (*tenant && strchr("._-", *tenant)))
        return -EINVAL;
    struct client *more = realloc(k->clients, (k->count + 1) * sizeof *more);
    *ret_wrong = "found no memory";
    if (!more)
        return -ENOMEM;
    k->clients = more;
    strcpy(more[k->count].key, words[1]);
    strcpy(more[k->count++].tenant, tenant);
    return 0;
}

static int read_clients(struct keys *k, char *why)
{
    struct keys fresh = {.path = k->path};
    char *text;
    int rc = read_file(k->path, 022, &k->seen, &text, why);
    if (rc < 0)
        return rc;
    rc = each_line(k->path, text, client_line, &fresh, why);
    free(text);
    if (rc < 0) {
        free(fresh.clients);
        return rc;
    }
    if (fresh.count)
        qsort(fresh.clients, fresh.count, sizeof *fresh.clients, compare);
    free(k->clients);
    k->clients = fresh.clients;
    k->count = fresh.count;
    return 0;
}

int keys_open(const char *path, struct keys **ret, char why[KEYS_WHY])
{
    struct keys *k = calloc(1, sizeof *k);
    if (!k || !(k->path = strdup(path))) {
        free(k);
        return wrong(why, ENOMEM, "out of memory");
    }
    int rc = read_clients(k, why);
    if (rc == 0)
        *ret = k;
    else
        keys_close(k);
    return rc;
}

void keys_close(struct keys *k)
{
    if (!k)
        return;
    free(k->clients);
    free(k->path);
    free(k);
}

int keys_refresh(struct keys *k, char why[KEYS_WHY])
{
    struct stat st;
    if (stat(k->path, &st) < 0 ||
        (st.st_ino == k->seen.st_ino && st.st_size == k->seen.st_size &&
         st.st_mode == k->seen.st_mode && st.st_mtim.tv_sec == k->seen.st_mtim.tv_sec &&
         st.st_mtim.tv_nsec == k->seen.st_mtim.tv_nsec))
        return 0;
    int rc = read_clients(k, why);
    k->seen = st;
    return rc == 0 ? 1 : rc;
}

const char *keys_tenant(const struct keys *k, const char *key)
{
    struct client wanted;
    if (strlen(key) >= sizeof wanted.key)
        return NULL;
    strcpy(wanted.key, key);
    const struct client *found =
        k->count ? bsearch(&wanted, k->clients, k->count, sizeof wanted, compare) : NULL;
    return found ? found->tenant : NULL;
}

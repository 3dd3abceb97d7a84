/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Looking for a plugin's file along the plugin path. */
#include "plugin/gates.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"

#define NAMES_MAX 255 /* considered when a name is wrong */

static size_t names_in(struct arena *a, const char *dir, const char **names, size_t count)
{
    DIR *d = opendir(dir);
    if (!d)
        return count;
    for (struct dirent *e; count < NAMES_MAX && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 4 || strcmp(e->d_name + len - 3, ".so"))
            continue;
        const char *name = arena_mem(a, e->d_name, len - 3);
        if (name)
            names[count++] = name;
    }
    closedir(d);
    return count;
}

static int not_found(const char *const *dirs, const char *name, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf places = BUF_INIT;
    const char *names[NAMES_MAX + 1] = {NULL};
    size_t count = 0;
    for (size_t i = 0; dirs[i]; i++) {
        buf_fmt(&places, "%s%s", i ? ", " : "", dirs[i]);
        if (a)
            count = names_in(a, dirs[i], names, count);
    }
    const char *near = nearest_name(name, names);
    return berth_fail(err, ENOENT, "no plugin '%s'%s%s%s: looked for %s.so in %s", name,
                      near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "",
                      name, places.len ? places.data : "no directory");
}

int plugin_find(const char *const *dirs, const char *name, char **ret_path,
                struct berth_error *err)
{
    if (!dirs || !name || !ret_path)
        return berth_fail(err, EINVAL,
                          "plugin_find needs directories, a name and a result");
    if (!is_plugin_name(name))
        return berth_fail(
            err, EINVAL,
            "'%s' is no plugin name: [a-z][a-z0-9-]{0,31}, the file's name without .so",
            name);
    for (size_t i = 0; dirs[i]; i++) {
        cleanup_free char *path = NULL;
        if (asprintf(&path, "%s/%s.so", dirs[i], name) < 0) {
            path = NULL;
            return berth_fail(err, ENOMEM, "out of memory");
        }
        /* O_NONBLOCK: a FIFO of that name must not hold the daemon. */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0) {
            *ret_path = take_ptr(path);
            return fd;
        }
        if (errno != ENOENT && errno != ENOTDIR)
            return berth_fail_errno(err, errno, "cannot open plugin '%s'", path);
    }
    return not_found(dirs, name, err);
}

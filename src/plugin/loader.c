/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Mapping a plugin and taking a copy of its tables.
 *
 * It is mapped through /proc/self/fd/N, so that no other file can take the checked one's
 * place in between. The descriptor stays open for good: glibc tells mapped objects apart by
 * name first, and would hand out the old object for a number that is used again.
 */
#include "plugin/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "plugin/gates.h"
#include "plugin/mark.h"

void plugin_free(struct plugin *p)
{
    if (!p)
        return;
    free(p->path);
    free(p);
}

static void plugin_freep(struct plugin **p)
{
    plugin_free(*p);
}

static void copy_part(void *to, size_t to_size, const void *from, size_t from_size)
{
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
}

/* The linker's words, with the file's own name for the one that it was opened by. */
static int linker_failed(const char *name, struct berth_error *err)
{
    const char *why = dlerror();
    size_t len = strlen(name);
    if (!why)
        why = "unknown error";
    if (!strncmp(why, name, len) && !strncmp(why + len, ": ", 2))
        why += len + 2;
    return berth_fail(err, ENOEXEC, "%s", why);
}

static int map(struct plugin *p, int *fd, struct berth_error *err)
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", *fd);
    mark_enter(p->path, "load"); /* its constructors, if it has any in spite of the contract */
    p->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    mark_leave();
    if (!p->handle)
        return linker_failed(name, err);
    (void)take_fd(*fd);
    return 0;
}

static int copy_tables(struct plugin *p, const struct berth_plugin *d,
                       struct berth_error *err)
{
    if (!d)
        return berth_fail(err, ENOEXEC, "berth_plugin_entry returned no descriptor");
    if (d->abi < BERTH_ABI_MIN || d->abi > BERTH_ABI)
        return berth_fail(err, ENOEXEC,
                          "it was built for plugin ABI %u, this berth loads %u to %u: %s",
                          (unsigned)d->abi, BERTH_ABI_MIN, BERTH_ABI,
                          d->abi > BERTH_ABI ? "update berth" : "build it again");
    if (d->size < offsetof(struct berth_plugin, transport) + sizeof(d->transport))
        return berth_fail(err, ENOEXEC, "its descriptor is too small (%u bytes)",
                          (unsigned)d->size);
    copy_part(&p->desc, sizeof(p->desc), d, d->size);
    if (p->desc.runtime)
        copy_part(&p->runtime, sizeof(p->runtime), p->desc.runtime, p->desc.runtime->size);
    if (p->desc.transport)
        copy_part(&p->transport, sizeof(p->transport), p->desc.transport,
                  p->desc.transport->size);
    return 0;
}

static int load(struct plugin *p, int *fd, struct berth_error *err)
{
    int r = map(p, fd, err);
    if (r < 0)
        return r;
    berth_plugin_entry_fn *entry;
    *(void **)&entry = dlsym(p->handle, "berth_plugin_entry");
    if (!entry)
        return berth_fail(
            err, ENOEXEC,
            "it has no symbol 'berth_plugin_entry': end it with BERTH_PLUGIN(...)");
    mark_enter(p->path, "berth_plugin_entry");
    const struct berth_plugin *d = entry();
    mark_leave();
    r = copy_tables(p, d, err);
    return r < 0 ? r : gate_contract(p, err);
}

bool plugin_resolves(const struct plugin *p, const char *symbol)
{
    dlerror();
    return dlsym(p->handle, symbol) || !dlerror();
}

int plugin_load(int take_fd, const char *path, struct plugin **ret, struct berth_error *err)
{
    cleanup_close int fd = take_fd;
    if (fd < 0 || !path || !ret)
        return berth_fail(err, EINVAL, "plugin_load needs a file, its path and a result");
    int r = gate_file(fd, path, err);
    if (r < 0)
        return r;
    __attribute__((cleanup(plugin_freep))) struct plugin *p = calloc(1, sizeof(*p));
    if (!p || !(p->path = strdup(path)))
        return berth_fail(err, ENOMEM, "out of memory");
    r = load(p, &fd, err);
    if (r < 0) {
        berth_wrap(err, "plugin '%s'", path);
        return r;
    }
    *ret = take_ptr(p);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The mark that a process leaves while it is in a plugin. */
#include "plugin/mark.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/str.h"

static struct mark unread;
static struct mark *own = &unread;
/* 1 in the process that uses the mark, and wiped by the kernel in what a plugin forks. NULL: not to be had. */
static volatile char *here;
/* A callback may call the host, and that another callback. */
static struct {
    char plugin[sizeof unread.plugin], callback[sizeof unread.callback];
} outer[4];
static unsigned depth;

struct mark *mark_new(void)
{
    void *page = mmap(NULL, sizeof(struct mark), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

void mark_free(struct mark *m)
{
    if (m)
        munmap(m, sizeof *m);
}

void mark_use(struct mark *m)
{
    own = m ? m : &unread;
    depth = 0;
    if (!here) {
        void *page =
            mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || madvise(page, 1, MADV_WIPEONFORK) < 0)
            return;
        here = page;
    }
    *here = 1;
}

void mark_clear(struct mark *m)
{
    if (m)
        memset(m, 0, sizeof *m);
}

static void copy(char *to, const char *from, size_t size)
{
    size_t len = strnlen(from, size - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

/* A plugin that dies leaves these stores behind only if the compiler makes them before the call. */
void mark_enter(const char *plugin, const char *callback)
{
    if (depth && depth <= countof(outer)) {
        memcpy(outer[depth - 1].plugin, own->plugin, sizeof own->plugin);
        memcpy(outer[depth - 1].callback, own->callback, sizeof own->callback);
    }
    depth++;
    copy(own->plugin, plugin, sizeof own->plugin);
    own->calls++;
    copy(own->callback, callback, sizeof own->callback);
    own->in = 1;
    atomic_signal_fence(memory_order_seq_cst);
}

/* Two hosts, or two supervisors of one attempt, must not be. */
void mark_leave(void)
{
    if (here && !*here)
        _exit(EXIT_FAILURE);
    atomic_signal_fence(memory_order_seq_cst);
    own->in = --depth > 0;
    if (depth && depth <= countof(outer)) {
        memcpy(own->plugin, outer[depth - 1].plugin, sizeof own->plugin);
        memcpy(own->callback, outer[depth - 1].callback, sizeof own->callback);
    }
}

bool mark_read(const struct mark *m, struct mark *ret)
{
    *ret = m ? *m : (struct mark){.calls = 0};
    ret->plugin[sizeof ret->plugin - 1] = ret->callback[sizeof ret->callback - 1] = '\0';
    clean_text(ret->plugin, sizeof ret->plugin - 1);
    clean_text(ret->callback, sizeof ret->callback - 1);
    return ret->in && ret->callback[0];
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The thread owns its job until it has written one byte into the pipe; then the loop owns it. A job that was
 * cancelled before keeps its end of the pipe open until the thread has come back, so that nobody waits.
 */
#define _GNU_SOURCE
#include "redis_resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct resolve {
    struct berth_ctx *ctx;
    resolve_fn *fn; /* NULL: cancelled */
    void *arg;
    int pipe[2], watch;
    char name[254], address[64], why[128];
};

static void *resolve_thread(void *arg)
{
    struct resolve *r = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(r->name, NULL, &hints, &found);
    if (code == 0)
        code = getnameinfo(found->ai_addr, found->ai_addrlen, r->address, sizeof r->address,
                           NULL, 0, NI_NUMERICHOST);
    if (code != 0)
        snprintf(r->why, sizeof r->why, "%s", gai_strerror(code));
    if (found)
        freeaddrinfo(found);
    while (write(r->pipe[1], "", 1) < 0 && errno == EINTR)
        ;
    return NULL;
}

static void resolve_free(struct resolve *r)
{
    if (r->watch > 0)
        r->ctx->host->unwatch(r->ctx, r->watch);
    close(r->pipe[0]);
    close(r->pipe[1]);
    free(r);
}

static void resolve_done(struct berth_ctx *ctx, int fd, uint32_t events, void *arg)
{
    struct resolve job = *(struct resolve *)arg;
    (void)ctx, (void)fd, (void)events;
    resolve_free(arg);
    if (job.fn)
        job.fn(job.arg, job.why[0] ? "" : job.address, job.why);
}

static int start_thread(struct resolve *r)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, old;
    sigfillset(&all); /* signals are the loop's */
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&thread, &attr, resolve_thread, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -code;
}

struct resolve *resolve_start(struct berth_ctx *ctx, const char *name, resolve_fn *fn,
                              void *arg)
{
    struct resolve *r = calloc(1, sizeof *r);
    if (!r || pipe2(r->pipe, O_CLOEXEC) < 0) {
        free(r);
        return NULL;
    }
    r->ctx = ctx;
    r->fn = fn;
    r->arg = arg;
    snprintf(r->name, sizeof r->name, "%s", name);
    r->watch = ctx->host->watch_fd(ctx, r->pipe[0], EPOLLIN, resolve_done, r);
    if (r->watch > 0 && start_thread(r) == 0)
        return r;
    resolve_free(r);
    return NULL;
}

void resolve_cancel(struct resolve **r)
{
    if (*r)
        (*r)->fn = NULL;
    *r = NULL;
}

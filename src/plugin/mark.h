/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Which callback of which plugin a process is in, kept where another process can read it:
 * whoever has to say why that one died, or notices that it hangs. Two copies of a few bytes
 * per callback. The process that is looked at may have been damaged by the plugin, so the
 * reader believes nothing but bytes.
 */
#ifndef PLUGIN_MARK_H
#define PLUGIN_MARK_H

#include <stdbool.h>
#include <stdint.h>

struct mark {
    char plugin[256];  /* name of its block, or path while it is loaded */
    char callback[20]; /* the last one; "": there was none */
    uint32_t in;       /* 1: it has not returned */
    uint32_t calls;    /* grows with each */
};

struct mark *mark_new(void); /* shared with processes forked later; NULL if out of memory */
void mark_free(struct mark *m);
/* This process's from now on; NULL: one that nobody reads. Called in each process that we fork. */
void mark_use(struct mark *m);
void mark_enter(const char *plugin, const char *callback);
/* Ends the process if it is one that the plugin forked, which came back with the first. */
void mark_leave(void);
/* A copy that is fit to be printed; false: in no callback, ret->callback is the last one. m may be NULL. */
bool mark_read(const struct mark *m, struct mark *ret);
void mark_clear(struct mark *m); /* before a new process uses it */

#endif

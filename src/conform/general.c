/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Rules for every plugin: its file, its descriptor, its options, its lifecycle. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fail.h"
#include "base/str.h"
#include "conform/elf.h"
#include "conform/rules.h"
#include "conform/trial.h"
#include "plugin/gates.h"

#define CHECKING "berth-plugin(3), CHECKING"
#define TOP "berth/plugin.h, top of the file"
#define CYCLES 8      /* of open and close, per look at the memory */
#define LEAST_LEAK 64 /* bytes per cycle */

/* ---- the file ---- */

struct names {
    struct buf wrong;
    const struct plugin *plugin;
};

/* What sanitizers, coverage and old linkers add. */
static bool is_instrument(const char *name)
{
    static const char *const prefixes[] = {"__asan", "__ubsan",    "__sanitizer",
                                           "__lsan", "__tsan",     "__msan",
                                           "__gcov", "__odr_asan", "__llvm"};
    static const char *const linkers[] = {"_init", "_fini", "_edata", "_end",
                                          "__bss_start"};
    for (size_t i = 0; i < countof(prefixes); i++)
        if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
            return true;
    for (size_t i = 0; i < countof(linkers); i++)
        if (!strcmp(name, linkers[i]))
            return true;
    return false;
}

static void add_name(struct names *n, const char *name)
{
    buf_fmt(&n->wrong, "%s%s", n->wrong.len ? ", " : "", name);
}

static void exported(void *arg, const char *name)
{
    if (strcmp(name, "berth_plugin_entry") != 0 && !is_instrument(name))
        add_name(arg, name);
}

static void instrumented(void *arg, const char *name)
{
    *(bool *)arg |= is_instrument(name) && !strncmp(name, "__", 2);
}

static void asked(void *arg, const char *name)
{
    struct names *n = arg;
    if (!is_instrument(name) && !plugin_resolves(n->plugin, name))
        add_name(n, name);
}

static void check_exports(const struct elf *e)
{
    struct names others = {.plugin = NULL};
    if (!elf_has_symbols(e)) {
        expect_skip("its section headers were stripped", "it exports its entry alone");
        return;
    }
    elf_symbols(e, true, exported, &others);
    expect(!others.wrong.len, TOP, "it exports its entry alone");
    seen("exported besides berth_plugin_entry: %s: compile with -fvisibility=hidden",
         others.wrong.len ? others.wrong.data : "");
    buf_free(&others.wrong);
}

static void check_constructors(const struct elf *e)
{
    bool instrument = false;
    elf_symbols(e, false, instrumented, &instrument);
    if (instrument) {
        expect_skip("it was built with a sanitizer or coverage", "nothing runs at load");
        return;
    }
    expect(elf_constructors(e) == 0,
           "berth/plugin.h, \"Nothing of the plugin runs at load\"",
           "nothing runs at load");
    seen("it has %zu functions that run at load: do in 'open' what they do",
         elf_constructors(e));
}

/* Libraries come from the system's places or from such that nobody else can write. */
static void check_search_path(const struct elf *e)
{
    const char *path = elf_search_path(e);
    struct buf wrong = BUF_INIT;
    for (const char *p = path; p && *p; p += strcspn(p, ":"), p += *p == ':') {
        char dir[512];
        struct stat st;
        snprintf(dir, sizeof dir, "%.*s", (int)strcspn(p, ":"), p);
        if (*dir == '$') /* $ORIGIN: the plugin's own directory, which was looked at */
            continue;
        if (*dir != '/')
            buf_fmt(&wrong, " '%s' is no absolute path", dir);
        else if (stat(dir, &st) == 0 && st.st_mode & (S_IWGRP | S_IWOTH))
            buf_fmt(&wrong, " '%s' can be written by others", dir);
    }
    expect(!wrong.len, CHECKING, "its libraries come from where nobody else can write");
    seen("its run path:%s", wrong.len ? wrong.data : "");
    buf_free(&wrong);
}

static void needed(void *arg, const char *library)
{
    if (!strncmp(library, "libberth", 8))
        add_name(arg, library);
}

void rules_file(void *arg)
{
    const struct subject *s = arg;
    struct berth_error err = {0};
    struct names ours = {.plugin = NULL};
    struct elf *e = NULL;
    cleanup_free char *real = realpath(s->path, NULL);
    cleanup_close int fd = real ? open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    int rc = fd < 0 ? berth_fail_errno(&err, errno, "cannot open '%s'", s->path)
                    : gate_file(fd, real, &err);
    if (!expect(rc == 0, CHECKING,
                "the file is a whole shared object, and nobody else can write it or its "
                "directory"))
        seen("%s", err.text);
    if (!real || elf_open(real, &e, &err) < 0)
        return;
    check_exports(e);
    check_constructors(e);
    check_search_path(e);
    elf_needed(e, needed, &ours);
    expect(!ours.wrong.len, TOP, "it links nothing of berth's");
    seen("it needs %s", ours.wrong.len ? ours.wrong.data : "");
    expect(!elf_wants_executable_stack(e), CHECKING,
           "it does not make the stack executable");
    seen("its PT_GNU_STACK says so, or is missing: link with -Wl,-z,noexecstack");
    expect(!elf_has_text_relocations(e), CHECKING, "its code is position-independent");
    seen("it has text relocations: compile with -fPIC");
    buf_free(&ours.wrong);
    elf_free(e);
}

/* ---- the descriptor ---- */

static bool is_line(const char *text)
{
    size_t len = strlen(text);
    bool capital = isupper((unsigned char)text[0]) && islower((unsigned char)text[1]);
    return len && text[len - 1] != '.' && !capital;
}

static void check_words(const struct berth_plugin *d)
{
    const struct berth_option *const tables[] = {d->options, d->executer_options};
    struct buf wrong = BUF_INIT;
    if (!is_line(d->summary))
        buf_fmt(&wrong, " summary '%s'", d->summary);
    for (size_t i = 0; i < countof(tables); i++)
        for (const struct berth_option *o = tables[i]; o && o->name; o++)
            if (!is_line(o->help))
                buf_fmt(&wrong, " option %s '%s'", o->name, o->help);
    expect(!wrong.len, "berth/plugin.h, struct berth_plugin and struct berth_option",
           "summary and help are lines in lower case, without a full stop");
    seen("not so:%s", wrong.len ? wrong.data : "");
    buf_free(&wrong);
}

static void check_symbols(const struct subject *s, const struct plugin *p)
{
    struct names missing = {.plugin = p};
    struct berth_error err;
    struct elf *e;
    if (elf_open(s->path, &e, &err) < 0)
        return;
    elf_symbols(e, false, asked, &missing);
    expect(!missing.wrong.len, "berth-plugin(3), BUILDING",
           "each symbol that it asks for is in a library that it names");
    seen("berthd happens to have these, another host may not: %s: link with -Wl,-z,defs",
         missing.wrong.len ? missing.wrong.data : "");
    buf_free(&missing.wrong);
    elf_free(e);
}

static void tell_kind(const struct plugin *p)
{
    int kind = p->desc.runtime ? KIND_RUNTIME : KIND_TRANSPORT;
    if (p->runtime.run)
        kind |= KIND_FULL;
    if (p->runtime.prepare)
        kind |= KIND_PREPARE;
    trial_tell(kind);
}

void rules_load(void *arg)
{
    const struct subject *s = arg;
    static struct contact c;
    if (!contact_load(&c, STAGE_LOAD, s)) {
        contact_end(&c);
        return;
    }
    const struct berth_plugin *d = &c.plugin->desc;
    expect(true, "",
           "berthd loads it: entry, ABI number, sizes, name, options, capabilities");
    remark("%s '%s', version %s, ABI %u", d->runtime ? "runtime" : "transport", d->name,
           d->version, (unsigned)d->abi);
    check_symbols(s, c.plugin);
    check_words(d);
    expect(*d->version != '\0', "berth/plugin.h, struct berth_plugin", "it has a version");
    if (d->transport) {
        expect(!d->capabilities || !d->capabilities[0], "berth-plugin(3), THE DESCRIPTOR",
               "a transport asks for no capability");
        expect(!(c.plugin->transport.flags &
                 ~(BERTH_TRANSPORT_DURABLE | BERTH_TRANSPORT_RESUMES)),
               "berth/transport.h, struct berth_transport", "its flags are known");
    }
    tell_kind(c.plugin);
    contact_end(&c);
}

/* ---- the lifecycle ---- */

static bool cycle(struct contact *c)
{
    const struct berth_plugin *d = &c->plugin->desc;
    int rc = 0;
    unsigned threads = d->transport ? WORLD_THREADS : 0;
    c->lender.ctx.data = NULL;
    if (d->open)
        rc = CALL(c, "open", WORLD_NEW_FDS, 0, d->open(&c->lender.ctx, &c->err));
    c->is_open = rc == 0;
    if (rc == 0 && d->start)
        rc =
            CALL(c, "start", WORLD_NEW_FDS | threads, 0, d->start(&c->lender.ctx, &c->err));
    if (rc < 0)
        contact_fault(c, true, "berth/plugin.h, struct berth_plugin",
                      "it worked before, and fails after 'close': %s", c->err.text);
    contact_close(c);
    return rc == 0 && !contact_has_faults(c);
}

/* In the same process again and again: what is not given back adds up. */
void rules_lifecycle(void *arg)
{
    static struct contact c;
    struct growth heap = {.count = 0};
    bool good = contact_load(&c, STAGE_OPEN, arg) && contact_open(&c);
    if (good)
        contact_close(&c);
    bool again = good && c.plugin->desc.close;
    for (int i = 0; again && i < 4 * CYCLES; i++) {
        again = cycle(&c);
        if (i % CYCLES == CYCLES - 1)
            growth_look(&heap, heap_bytes());
    }
    if (again) {
        expect(!growth_is_steady(&heap, CYCLES * LEAST_LEAK),
               "berth/plugin.h, struct berth_plugin",
               "'close' gives back the memory that 'open' and 'start' took");
        seen("%ld bytes more each time", (heap.at[3] - heap.at[2]) / CYCLES);
    }
    contact_end(&c);
}

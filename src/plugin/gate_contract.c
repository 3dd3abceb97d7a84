/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Does the descriptor keep the contract of berth/plugin.h? */
#include "plugin/gates.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "plugin/option.h"
#include "priv/priv.h"

#define OPTION_FLAGS (BERTH_OPTION_REQUIRED | BERTH_OPTION_SECRET)

static bool has_only(const char *s, const char *extra)
{
    for (; *s; s++)
        if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) &&
            !strchr(extra, *s))
            return false;
    return true;
}

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

bool is_plugin_name(const char *name)
{
    return name && is_letter(*name) && strlen(name) <= 32 && has_only(name, "-");
}

static bool is_option_name(const char *name)
{
    return is_letter(*name) && has_only(name, "_");
}

static bool is_line(const char *s)
{
    return s && !strchr(s, '\n') && is_utf8(s, strlen(s));
}

static int gate_name(const struct plugin *p, struct berth_error *err)
{
    const char *name = p->desc.name;
    if (!is_plugin_name(name))
        return berth_fail(err, ENOEXEC,
                          "its name '%s' is not of the form [a-z][a-z0-9-]{0,31}",
                          is_line(name) ? name : "");
    const char *base = strrchr(p->path, '/');
    base = base ? base + 1 : p->path;
    size_t len = strlen(name);
    if (strncmp(base, name, len) || strcmp(base + len, ".so"))
        return berth_fail(err, ENOEXEC, "its name is '%s': the file must be called '%s.so'",
                          name, name);
    if (!is_line(p->desc.version) || !is_line(p->desc.summary))
        return berth_fail(err, ENOEXEC, "version and summary must be given, one line each");
    return 0;
}

static int gate_option(const struct berth_option *table, const struct berth_option *o,
                       const char *which, struct berth_error *err)
{
    int64_t i;
    double f;
    if (!is_option_name(o->name))
        return berth_fail(err, ENOEXEC, "%s: name '%s' is not of the form [a-z][a-z0-9_]*",
                          which, is_line(o->name) ? o->name : "");
    for (const struct berth_option *other = table; other != o; other++)
        if (!strcmp(other->name, o->name))
            return berth_fail(err, ENOEXEC, "%s: '%s' is there twice", which, o->name);
    if (!option_type_name(o->type))
        return berth_fail(err, ENOEXEC, "%s: '%s' has the unknown type %u", which, o->name,
                          (unsigned)o->type);
    if (o->flags & ~OPTION_FLAGS)
        return berth_fail(err, ENOEXEC, "%s: '%s' has unknown flags 0x%x", which, o->name,
                          (unsigned)o->flags);
    if (!is_line(o->help))
        return berth_fail(err, ENOEXEC, "%s: '%s' needs one line of help", which, o->name);
    if (o->value && o->flags & BERTH_OPTION_REQUIRED)
        return berth_fail(err, ENOEXEC, "%s: '%s' is required and has a default", which,
                          o->name);
    if (o->value && option_parse(o, o->value, &i, &f) < 0)
        return berth_fail(err, ENOEXEC, "%s: default '%s' of '%s' is not %s", which,
                          o->value, o->name, option_type_words(o->type));
    return 0;
}

static int gate_options(const struct berth_option *table, const char *which,
                        struct berth_error *err)
{
    for (const struct berth_option *o = table; o && o->name; o++) {
        int r = gate_option(table, o, which, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int gate_capabilities(const struct plugin *p, struct berth_error *err)
{
    capset set;
    if (!p->desc.capabilities || capset_parse(p->desc.capabilities, &set, err) == 0)
        return 0;
    if (err)
        err->code = ENOEXEC;
    berth_wrap(err, "capabilities");
    return -ENOEXEC;
}

static int gate_runtime(const struct berth_runtime *r, struct berth_error *err)
{
    if (r->size < offsetof(struct berth_runtime, prepare) + sizeof(r->prepare))
        return berth_fail(err, ENOEXEC, "its runtime table is too small (%u bytes)",
                          (unsigned)r->size);
    if (!r->command == !r->run)
        return berth_fail(err, ENOEXEC,
                          "a runtime gives exactly one of 'command' and 'run'");
    return 0;
}

static int gate_transport(const struct plugin *p, struct berth_error *err)
{
    const struct berth_transport *t = &p->transport;
    if (t->size < offsetof(struct berth_transport, drain) + sizeof(t->drain))
        return berth_fail(err, ENOEXEC, "its transport table is too small (%u bytes)",
                          (unsigned)t->size);
    if (!t->recv || !t->reply || !t->settle)
        return berth_fail(err, ENOEXEC, "a transport must give '%s'",
                          !t->recv    ? "recv"
                          : !t->reply ? "reply"
                                      : "settle");
    if (p->desc.executer_options)
        return berth_fail(err, ENOEXEC, "a transport has no executer_options");
    return 0;
}

static int gate_kind(const struct plugin *p, struct berth_error *err)
{
    if (!p->desc.runtime == !p->desc.transport)
        return berth_fail(err, ENOEXEC,
                          "it must be exactly one of runtime and transport, not %s",
                          p->desc.runtime ? "both" : "neither");
    return p->desc.runtime ? gate_runtime(&p->runtime, err) : gate_transport(p, err);
}

int gate_contract(const struct plugin *p, struct berth_error *err)
{
    int r = gate_name(p, err);
    if (r == 0)
        r = gate_kind(p, err);
    if (r == 0)
        r = gate_options(p->desc.options, "options", err);
    if (r == 0)
        r = gate_options(p->desc.executer_options, "executer_options", err);
    if (r == 0)
        r = gate_capabilities(p, err);
    return r;
}

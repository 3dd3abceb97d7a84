/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A plugin as a value, for `berth plugin show`. */
#include "plugin/loader.h"

#include <errno.h>

#include "plugin/option.h"

static struct value describe_options(struct arena *a, const struct berth_option *o)
{
    struct value list = value_new_array(a);
    for (; o && o->name; o++) {
        struct value one = value_new_map(a);
        value_put_str(a, &one, "name", o->name);
        value_put_str(a, &one, "type", option_type_name(o->type));
        value_put_str(a, &one, "default", o->flags & BERTH_OPTION_SECRET ? NULL : o->value);
        value_put_bool(a, &one, "required", o->flags & BERTH_OPTION_REQUIRED);
        value_put_bool(a, &one, "secret", o->flags & BERTH_OPTION_SECRET);
        value_put_str(a, &one, "help", o->help);
        value_add(a, &list, one);
    }
    return list;
}

static struct value describe_capabilities(struct arena *a, const char *const *names)
{
    struct value list = value_new_array(a);
    for (; names && *names; names++)
        value_add(a, &list, value_new_str(a, *names));
    return list;
}

static const char *form_of(const struct plugin *p)
{
    if (!p->desc.runtime)
        return NULL;
    return p->runtime.command ? "command" : "run";
}

int plugin_describe(const struct plugin *p, struct arena *a, struct value *ret)
{
    if (!p || !a || !ret)
        return -EINVAL;
    struct value v = value_new_map(a);
    value_put_str(a, &v, "name", p->desc.name);
    value_put_str(a, &v, "kind", p->desc.runtime ? "runtime" : "transport");
    value_put_str(a, &v, "form", form_of(p));
    value_put_str(a, &v, "version", p->desc.version);
    value_put_str(a, &v, "summary", p->desc.summary);
    value_put_str(a, &v, "path", p->path);
    value_put_int(a, &v, "abi", p->desc.abi);
    value_put(a, &v, "capabilities", describe_capabilities(a, p->desc.capabilities));
    value_put(a, &v, "options", describe_options(a, p->desc.options));
    value_put(a, &v, "executer_options", describe_options(a, p->desc.executer_options));
    *ret = v;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Capabilities, users and groups by name. */
#include "priv/priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "priv/caps.h"

static int unknown_capability(const char *name, struct berth_error *err)
{
    char names[64][40];
    const char *list[65] = {NULL};
    for (int n = 0; n < 64 && capset_name(n, names[n]) == 0; n++)
        list[n] = names[n];
    const char *near = nearest_name(name, list);
    return berth_fail(err, EINVAL, "unknown capability '%s'%s%s%s", name,
                      near ? ", did you mean '" : ", see capabilities(7)", near ? near : "",
                      near ? "'?" : "");
}

int capset_parse(const char *const *names, capset *ret, struct berth_error *err)
{
    if (!names || !ret)
        return berth_fail(err, EINVAL, "capset_parse needs names and a result");
    capset set = 0;
    for (; *names; names++) {
        int n = capset_number(*names);
        if (n < 0)
            return unknown_capability(*names, err);
        set |= (capset)1 << n;
    }
    *ret = set;
    return 0;
}

void capset_format(capset set, char *out, size_t len)
{
    char name[40];
    size_t used = 0;
    if (!out || !len)
        return;
    snprintf(out, len, "%s", set ? "" : "none");
    for (int n = 0; n < 64 && set >> n; n++) {
        if (!(set >> n & 1) || capset_name(n, name) < 0)
            continue;
        int w = snprintf(out + used, len - used, "%s%s", used ? " " : "", name);
        if (w < 0 || (size_t)w >= len - used) {
            out[used] = '\0'; /* whole names only */
            return;
        }
        used += (size_t)w;
    }
}

/* -1 is no id: the calls take it for "leave as it is". */
static bool parse_id(const char *text, uint32_t *ret)
{
    int64_t n;
    if (parse_int(text, &n) < 0 || n < 0 || n >= UINT32_MAX)
        return false;
    *ret = (uint32_t)n;
    return true;
}

int priv_lookup_group(const char *group, gid_t *ret, struct berth_error *err)
{
    uint32_t id;
    if (!group || !*group || !ret)
        return berth_fail(err, EINVAL, "no group was named");
    errno = 0;
    struct group *g = getgrnam(group);
    if (!g && !parse_id(group, &id))
        return berth_fail(err, errno && errno != ENOENT ? errno : ENOENT,
                          "no group '%s': make it with groupadd --system '%s'", group,
                          group);
    *ret = g ? g->gr_gid : id;
    return 0;
}

int priv_lookup(const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid,
                struct berth_error *err)
{
    uint32_t id = 0;
    if (!user || !*user || !ret_uid || !ret_gid)
        return berth_fail(err, EINVAL, "no user was named");
    errno = 0;
    struct passwd *p = getpwnam(user);
    if (!p && !parse_id(user, &id))
        return berth_fail(err, errno && errno != ENOENT ? errno : ENOENT,
                          "no user '%s': make it with useradd --system '%s'", user, user);
    if (!p)
        p = getpwuid(id);
    gid_t gid = p ? p->pw_gid : id;
    int r = group ? priv_lookup_group(group, &gid, err) : 0;
    if (r < 0)
        return r;
    *ret_uid = p ? p->pw_uid : id;
    *ret_gid = gid;
    return 0;
}

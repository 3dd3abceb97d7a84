/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Dropping privileges with libcap.
 *
 * The order matters. The bounding set and the secure bits can only be changed with
 * CAP_SETPCAP, and the ids only with CAP_SETUID, so the sets that hold both go last;
 * PR_SET_KEEPCAPS carries the permitted set over the change of uid, which empties the
 * effective one.
 */
#include "priv/priv.h"

#include <errno.h>
#include <grp.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#define capset capset_call /* libcap declares the system call, which is our type's name */
#include <sys/capability.h>
#undef capset

#include "base/fail.h"
#include "priv/caps.h"

#define SECUREBITS                                                   \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | \
     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |       \
     SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static void cap_freep(cap_t *c)
{
    if (*c)
        cap_free(*c);
}
#define cleanup_cap __attribute__((cleanup(cap_freep)))

static capset cap_bit(int n)
{
    return (capset)1 << n;
}

int capset_number(const char *name)
{
    char full[40];
    cap_value_t n;
    const char *bare = strncasecmp(name, "cap_", 4) ? name : name + 4;
    if (snprintf(full, sizeof(full), "cap_%s", bare) >= (int)sizeof(full))
        return -EINVAL;
    return cap_from_name(full, &n) < 0 || n >= cap_max_bits() || n >= 64 ? -EINVAL : n;
}

int capset_name(int n, char out[40])
{
    if (n < 0 || n >= cap_max_bits() || n >= 64)
        return -EINVAL;
    char *full = cap_to_name(n);
    if (!full)
        return -ENOMEM;
    snprintf(out, 40, "%s", strncmp(full, "cap_", 4) ? full : full + 4);
    cap_free(full);
    return 0;
}

static capset cap_read(cap_t c, cap_flag_t flag)
{
    capset set = 0;
    for (int n = 0; n < cap_max_bits() && n < 64; n++) {
        cap_flag_value_t on = CAP_CLEAR;
        if (cap_get_flag(c, n, flag, &on) == 0 && on == CAP_SET)
            set |= cap_bit(n);
    }
    return set;
}

capset capset_permitted(void)
{
    cleanup_cap cap_t c = cap_get_proc();
    return c ? cap_read(c, CAP_PERMITTED) : 0;
}

/* Permitted and effective become set, inheritable empty. */
static int caps_apply(capset set, struct berth_error *err)
{
    cleanup_cap cap_t c = cap_init();
    if (!c)
        return berth_fail(err, ENOMEM, "out of memory");
    for (int n = 0; n < cap_max_bits() && n < 64; n++) {
        cap_value_t v = n;
        if (set & cap_bit(n) && (cap_set_flag(c, CAP_PERMITTED, 1, &v, CAP_SET) < 0 ||
                                 cap_set_flag(c, CAP_EFFECTIVE, 1, &v, CAP_SET) < 0))
            return berth_fail_errno(err, errno, "cannot build a set of capabilities");
    }
    if (cap_set_proc(c) < 0)
        return berth_fail_errno(err, errno, "cannot set capabilities");
    return 0;
}

static int check_permitted(capset keep, capset permitted, struct berth_error *err)
{
    char names[160];
    if (!(keep & ~permitted))
        return 0;
    capset_format(keep & ~permitted, names, sizeof(names));
    return berth_fail(
        err, EPERM,
        "this process does not have the capabilities to keep: %s (look at the unit's "
        "CapabilityBoundingSet or the container's options)",
        names);
}

static int drop_bounding(struct berth_error *err)
{
    for (int n = 0; prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0; n++)
        if (prctl(PR_CAPBSET_DROP, n, 0, 0, 0) < 0)
            return berth_fail_errno(err, errno,
                                    "cannot drop capability %d of the bounding set", n);
    return 0;
}

static int change_ids(const struct priv_drop *d, struct berth_error *err)
{
    if (setgroups(d->group_count, d->groups) < 0)
        return berth_fail_errno(err, errno, "cannot set %zu groups", d->group_count);
    if (setresgid(d->gid, d->gid, d->gid) < 0)
        return berth_fail_errno(err, errno, "cannot change to gid %u", (unsigned)d->gid);
    if (setresuid(d->uid, d->uid, d->uid) < 0)
        return berth_fail_errno(err, errno, "cannot change to uid %u", (unsigned)d->uid);
    return 0;
}

static int set_flags(struct berth_error *err)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return berth_fail_errno(err, errno, "cannot clear ambient capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return berth_fail_errno(err, errno, "cannot set no_new_privs");
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        return berth_fail_errno(err, errno, "cannot stay dumpable");
    return 0;
}

static int check_groups(const struct priv_drop *d, struct berth_error *err)
{
    int n = getgroups(0, NULL);
    cleanup_free gid_t *have = calloc(n > 0 ? (size_t)n : 1, sizeof(gid_t));
    if (!have)
        return berth_fail(err, ENOMEM, "out of memory");
    n = getgroups(n, have);
    for (int i = 0; i < n; i++) {
        bool wanted = false;
        for (size_t j = 0; j < d->group_count; j++)
            wanted |= d->groups[j] == have[i];
        if (!wanted)
            return berth_fail(err, EPERM, "group %u was not dropped", (unsigned)have[i]);
    }
    return n < 0 ? berth_fail_errno(err, errno, "cannot read the groups") : 0;
}

static int check_ids(const struct priv_drop *d, struct berth_error *err)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;
    if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
        return berth_fail_errno(err, errno, "cannot read the ids");
    if (r != d->uid || e != d->uid || s != d->uid || rg != d->gid || eg != d->gid ||
        sg != d->gid)
        return berth_fail(err, EPERM, "ids were not dropped: uid %u %u %u, gid %u %u %u",
                          (unsigned)r, (unsigned)e, (unsigned)s, (unsigned)rg, (unsigned)eg,
                          (unsigned)sg);
    return check_groups(d, err);
}

static int check_set(const char *which, capset have, capset want, struct berth_error *err)
{
    char names[160];
    if (have == want)
        return 0;
    capset_format(have, names, sizeof(names));
    return berth_fail(err, EPERM, "%s capabilities are '%s' after the drop", which, names);
}

static capset read_each(int option, int sub)
{
    capset set = 0;
    for (int n = 0; n < 64; n++)
        if ((sub ? prctl(option, sub, n, 0, 0) : prctl(option, n, 0, 0, 0)) == 1)
            set |= cap_bit(n);
    return set;
}

/*
 * Without CAP_SETPCAP the bounding set stays as it was. With nothing permitted and
 * no_new_privs that gives nothing back, so it is accepted; with something kept the promise
 * of the header is broken.
 */
static int check_sets(const struct priv_drop *d, bool setpcap, struct berth_error *err)
{
    cleanup_cap cap_t c = cap_get_proc();
    if (!c)
        return berth_fail_errno(err, errno, "cannot read the capabilities");
    int r = check_set("permitted", cap_read(c, CAP_PERMITTED), d->keep, err);
    if (r == 0)
        r = check_set("effective", cap_read(c, CAP_EFFECTIVE), d->keep, err);
    if (r == 0)
        r = check_set("inheritable", cap_read(c, CAP_INHERITABLE), 0, err);
    if (r == 0)
        r = check_set("ambient", read_each(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET), 0, err);
    if (r < 0 || d->keep_bounding || (!setpcap && !d->keep))
        return r;
    r = check_set("bounding", read_each(PR_CAPBSET_READ, 0), 0, err);
    return r < 0 && !setpcap
               ? berth_wrap(err, "'setpcap' is needed to empty the bounding set")
               : r;
}

static int verify(const struct priv_drop *d, bool setpcap, struct berth_error *err)
{
    int r = d->change_ids ? check_ids(d, err) : 0;
    if (r == 0)
        r = check_sets(d, setpcap, err);
    if (r == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        r = berth_fail(err, EPERM, "no_new_privs is not set");
    return r;
}

/* All that needs the capabilities that go. */
static int give_up_rest(const struct priv_drop *d, capset permitted, bool setpcap,
                        struct berth_error *err)
{
    int r = caps_apply(permitted, err); /* effective may have been less than permitted */
    if (r == 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 && d->change_ids)
        r = berth_fail_errno(err, errno, "cannot keep capabilities over the change of uid");
    if (r == 0 && setpcap && !d->keep_bounding)
        r = drop_bounding(err);
    if (r == 0 && d->change_ids)
        r = change_ids(d, err);
    if (r < 0)
        return r;
    r = caps_apply(permitted, err);
    /* The monitor starts itself again with exec, and needs root's meaning for that. */
    if (r == 0 && setpcap && !d->keep_bounding &&
        prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0)
        r = berth_fail_errno(err, errno, "cannot set the secure bits");
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0); /* refused where the secure bits have done it */
    return r;
}

int priv_drop(const struct priv_drop *d, struct berth_error *err)
{
    if (!d || (d->group_count && !d->groups))
        return berth_fail(err, EINVAL, "priv_drop needs to be told what to drop");
    capset permitted = capset_permitted();
    bool setpcap = permitted & cap_bit(CAP_SETPCAP);
    int r = check_permitted(d->keep, permitted, err);
    if (r == 0)
        r = give_up_rest(d, permitted, setpcap, err);
    if (r == 0)
        r = caps_apply(d->keep, err);
    if (r == 0)
        r = set_flags(err);
    if (r == 0)
        r = verify(d, setpcap, err);
    return r;
}

int priv_drop_child(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    /* Refused without CAP_SETPCAP; no_new_privs makes up for it. */
    for (int n = 0; prctl(PR_CAPBSET_DROP, n, 0, 0, 0) == 0;)
        n++;
    prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capset, &head, data) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capget, &head, data) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        if (data[i].permitted | data[i].effective | data[i].inheritable)
            return -EPERM;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -EPERM;
}

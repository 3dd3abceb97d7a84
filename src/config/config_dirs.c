/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Where berth keeps its state when the config does not say (XDG Base Directories). */
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

/* Value of a variable if it is an absolute path; the specification tells to ignore others. */
static const char *dirs_env(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] == '/' ? value : NULL;
}

static const char *dirs_home(void)
{
    const char *home = dirs_env("HOME");
    const struct passwd *pw = home ? NULL : getpwuid(geteuid());

    return home ? home : pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : "/tmp";
}

static const char *dirs_state(struct arena *a)
{
    const char *dir = dirs_env("BERTH_STATE_DIR");

    if (dir)
        return arena_str(a, dir);
    if (!geteuid())
        return "/var/lib/berth";
    dir = dirs_env("XDG_STATE_HOME");
    return dir ? arena_fmt(a, "%s/berth", dir)
               : arena_fmt(a, "%s/.local/state/berth", dirs_home());
}

void config_default_dirs(struct arena *a, const char **ret_state, const char **ret_run)
{
    const char *state = dirs_state(a), *dir = dirs_env("BERTH_RUN_DIR");

    *ret_state = state;
    if (dir)
        *ret_run = arena_str(a, dir);
    else if (!geteuid())
        *ret_run = "/run/berth";
    else if ((dir = dirs_env("XDG_RUNTIME_DIR")))
        *ret_run = arena_fmt(a, "%s/berth", dir);
    else
        *ret_run = state ? arena_fmt(a, "%s/run", state) : NULL;
}

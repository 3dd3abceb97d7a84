/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Speaking to the host, and reading the command line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"
#include "config/config.h"
#include "wire/conn.h"

static const struct flag *flag_find(const struct flag *flags, const char *word, size_t len)
{
    for (; flags && flags->name; flags++) {
        if (word[1] != '-' && len == 2 && flags->letter && word[1] == flags->letter)
            return flags;
        if (word[1] == '-' && strlen(flags->name) == len - 2 &&
            !strncmp(word + 2, flags->name, len - 2))
            return flags;
    }
    return NULL;
}

static int flag_unknown(const struct flag *flags, const struct flag *common,
                        const char *word, size_t len)
{
    char wrong[64];
    const char *names[64];
    size_t n = 0;
    for (const struct flag *f = flags; f && f->name && n < countof(names) - 3; f++)
        names[n++] = f->name;
    for (const struct flag *f = common; f->name && n < countof(names) - 1; f++)
        names[n++] = f->name;
    names[n] = NULL;
    snprintf(wrong, sizeof wrong, "%.*s", (int)(len > 2 ? len - 2 : 0), word + 2);
    const char *near = nearest_name(wrong, names);
    fprintf(stderr, "berth: '%.*s' is not an option%s%s%s\n", (int)len, word,
            near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
    return -1;
}

static int flag_take(struct cli *c, const struct flag *f, const char *value)
{
    if (f->set)
        *f->set = true;
    if (f->value)
        *f->value = value;
    return f->add ? f->add(c, value, f->arg) : 0;
}

int cli_flags(struct cli *c, const struct flag *flags, int argc, char **argv, int *ret_rest)
{
    const struct flag common[] = {{.name = "json", .set = &c->json},
                                  {.name = "run-dir", .value = &c->run_dir},
                                  {.name = NULL}};
    int n = 0, i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || !word[1]) {
            argv[n++] = argv[i];
            continue;
        }
        size_t len = strcspn(word, "=");
        const struct flag *f = flag_find(flags, word, len);
        if (!f)
            f = flag_find(common, word, len);
        if (!f)
            return flag_unknown(flags, common, word, len);
        bool wants = f->value || f->add;
        if (!wants && word[len]) {
            fprintf(stderr, "berth: option '%.*s' takes no value\n", (int)len, word);
            return -1;
        }
        if (wants && !word[len] && (i + 1 >= argc)) {
            fprintf(stderr, "berth: option '%s' needs a value\n", word);
            return -1;
        }
        if (flag_take(c, f, !wants ? NULL : word[len] ? word + len + 1 : argv[++i]) < 0)
            return -1;
    }
    if (i < argc)
        i++; /* the "--" itself */
    if (ret_rest)
        *ret_rest = i;
    else
        for (; i < argc; i++)
            argv[n++] = argv[i];
    return n;
}

int cli_connect(struct cli *c)
{
    const char *state, *run = c->run_dir;
    cleanup_free char *path = NULL;
    if (c->fd >= 0)
        return 0;
    if (!run)
        config_default_dirs(c->arena, &state, &run);
    if (!run || asprintf(&path, "%s/ctl.sock", run) < 0)
        return berth_fail(&c->err, ENOMEM, "out of memory");
    c->fd = unix_connect(path, &c->err);
    if (c->fd >= 0)
        return 0;
    if (c->fd == -EACCES)
        return berth_fail(&c->err, EPERM,
                          "not allowed to use '%s' (host.ctl_group in the config names "
                          "the group that may)",
                          path);
    return berth_fail(
        &c->err, ECONNREFUSED,
        "berthd does not answer at '%s': is it running? (--run-dir names another place)",
        path);
}

void cli_disconnect(struct cli *c)
{
    if (c->fd >= 0)
        close(take_fd(c->fd));
}

int cli_send(struct cli *c, int type, const struct value *body)
{
    int rc = cli_connect(c);
    return rc < 0 ? rc : wire_send(c->fd, type, body, &c->err);
}

int cli_recv(struct cli *c, int *ret_type, struct value *ret)
{
    int rc = wire_recv(c->fd, c->arena, ret_type, ret, &c->err);
    if (rc < 0)
        return berth_wrap(&c->err, "the host went away");
    if (*ret_type != FRAME_CTL_ERROR)
        return 0;
    return berth_fail(&c->err, (int)value_int(ret, "code", EIO), "%s",
                      value_str(ret, "message", "error"));
}

struct value cli_question(struct cli *c, const char *what, const char *id)
{
    struct value v = value_new_map(c->arena);
    value_put_str(c->arena, &v, "what", what);
    value_put_str(c->arena, &v, "id", id);
    return v;
}

int cli_query(struct cli *c, struct value request, struct value *ret)
{
    int type;
    int rc = cli_send(c, FRAME_CTL_QUERY, &request);
    return rc < 0 ? rc : cli_recv(c, &type, ret);
}

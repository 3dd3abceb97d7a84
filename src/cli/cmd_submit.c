/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth submit: a task from the command line, a file and standard input. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/send.h"
#include "codec/task.h"

#define INPUT_MAX (64u << 20)

struct submit {
    struct value task; /* map */
    struct value env, files_in, resources, labels, require;
    const char *executer, *runtime, *image, *file, *input, *id, *timeout, *retries,
        *priority, *tenant, *network, *memory, *cpus, *pids, *gpus, *disk, *to, *patience;
    bool wait, quiet;
};

static int add_pair(struct cli *c, const char *value, void *arg)
{
    const char *eq = strchr(value, '=');
    if (!eq || eq == value) {
        fprintf(stderr, "berth: '%s' is not NAME=VALUE\n", value);
        return -1;
    }
    value_put_str(c->arena, arg, arena_mem(c->arena, value, (size_t)(eq - value)), eq + 1);
    return 0;
}

static int add_word(struct cli *c, const char *value, void *arg)
{
    value_add(c->arena, arg, value_new_str(c->arena, value));
    return 0;
}

/* --put PATH=LOCALFILE: the content travels with the task. */
static int add_file(struct cli *c, const char *value, void *arg)
{
    const char *eq = strchr(value, '=');
    cleanup_free char *data = NULL;
    size_t len;
    if (!eq || eq == value) {
        fprintf(stderr, "berth: '%s' is not PATH=FILE\n", value);
        return -1;
    }
    int rc = read_file(eq + 1, INPUT_MAX, &data, &len);
    if (rc < 0) {
        fprintf(stderr, "berth: cannot read '%s': %s\n", eq + 1, strerror(-rc));
        return -1;
    }
    struct value file = value_new_map(c->arena);
    value_put_str(c->arena, &file, "path",
                  arena_mem(c->arena, value, (size_t)(eq - value)));
    value_put_bin(c->arena, &file, "data", data, len);
    value_add(c->arena, arg, file);
    return 0;
}

static int read_stdin(struct cli *c, struct buf *in)
{
    char *room;
    ssize_t n;
    while ((room = buf_room(in, 65536)) && (n = read(0, room, 65536)) > 0) {
        in->len += (size_t)n;
        if (in->len > INPUT_MAX)
            return berth_fail(&c->err, E2BIG,
                              "standard input is over %u MiB: send large input by file",
                              INPUT_MAX >> 20);
    }
    return room && n == 0
               ? 0
               : berth_fail_errno(&c->err, room ? errno : ENOMEM, "standard input");
}

/* Standard input is the task's input unless it is a terminal, /dev/null or the like. */
static int take_input(struct cli *c, struct submit *s)
{
    cleanup_buf struct buf in = BUF_INIT;
    struct stat st;
    bool piped = fstat(0, &st) == 0 &&
                 (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
    if (s->input && strcmp(s->input, "-") != 0) {
        int rc = read_file(s->input, INPUT_MAX, &in.data, &in.len);
        if (rc < 0)
            return berth_fail_errno(&c->err, -rc, "cannot read '%s'", s->input);
    } else if (s->input || (piped && !s->file)) {
        int rc = read_stdin(c, &in);
        if (rc < 0)
            return rc;
    }
    if (in.len)
        value_put_bin(c->arena, &s->task, "input", in.data, in.len);
    return 0;
}

static struct value *find_key(struct value *map, const char *key)
{
    for (uint32_t i = 0; i < map->count; i++)
        if (!strcmp(map->pairs[i].key.s, key))
            return &map->pairs[i].val;
    return NULL;
}

/* Maps and lists grow by what is given; all else, and the words of a command, is replaced. */
static void merge(struct cli *c, struct value *into, const struct value *given)
{
    for (uint32_t i = 0; i < given->count; i++) {
        const char *key = given->pairs[i].key.s;
        const struct value *v = &given->pairs[i].val;
        struct value *old = find_key(into, key);
        bool both_lists = old && old->type == VALUE_ARRAY && v->type == VALUE_ARRAY;
        if (!old)
            value_put(c->arena, into, key, *v);
        else if (old->type == VALUE_MAP && v->type == VALUE_MAP)
            merge(c, old, v);
        else if (both_lists && strcmp(key, "args") != 0 && strcmp(key, "command") != 0)
            for (uint32_t k = 0; k < v->count; k++)
                value_add(c->arena, old, v->items[k]);
        else
            *old = *v;
    }
}

/* The file's task under what the command line says. */
static int take_file(struct cli *c, struct submit *s)
{
    cleanup_free char *data = NULL;
    size_t len;
    int rc = read_file(s->file, INPUT_MAX, &data, &len);
    if (rc < 0)
        return berth_fail_errno(&c->err, -rc, "cannot read '%s'", s->file);
    struct value task;
    rc = value_from_json(c->arena, data, len, &value_limits_default, &task, &c->err);
    if (rc == 0 && task.type != VALUE_MAP)
        rc = berth_fail(&c->err, EINVAL, "not a JSON object");
    if (rc < 0)
        return berth_wrap(&c->err, "%s", s->file);
    merge(c, &task, &s->task);
    s->task = task;
    return 0;
}

static int put_int(struct cli *c, struct value *map, const char *key, const char *text)
{
    int64_t i;
    if (!text)
        return 0;
    if (parse_int(text, &i) < 0)
        return berth_fail(&c->err, EINVAL, "--%s: '%s' is not a whole number", key, text);
    value_put_int(c->arena, map, key, i);
    return 0;
}

static int put_amounts(struct cli *c, struct submit *s)
{
    double cpus;
    int64_t timeout;
    if (s->cpus && parse_float(s->cpus, &cpus) < 0)
        return berth_fail(&c->err, EINVAL, "--cpus: '%s' is not a number", s->cpus);
    if (s->cpus)
        value_put_float(c->arena, &s->resources, "cpus", cpus);
    value_put_str(c->arena, &s->resources, "memory", s->memory);
    value_put_str(c->arena, &s->resources, "disk", s->disk);
    if (s->timeout && parse_duration(s->timeout, &timeout) < 0)
        return berth_fail(&c->err, EINVAL, "--timeout: '%s' is no duration like 90s or 2h",
                          s->timeout);
    if (s->timeout)
        value_put_int(c->arena, &s->task, "timeout_ms", timeout);
    int rc = put_int(c, &s->resources, "pids", s->pids);
    if (rc == 0)
        rc = put_int(c, &s->resources, "gpus", s->gpus);
    if (rc == 0)
        rc = put_int(c, &s->task, "retries", s->retries);
    return rc < 0 ? rc : put_int(c, &s->task, "priority", s->priority);
}

static void put_words(struct cli *c, struct submit *s, const char *key, char **words,
                      int count)
{
    struct value list = value_new_array(c->arena);
    for (int i = 0; i < count; i++)
        value_add(c->arena, &list, value_new_str(c->arena, words[i]));
    if (count)
        value_put(c->arena, &s->task, key, list);
}

/* The exit status. */
static int build(struct cli *c, struct submit *s, char **words, int count)
{
    if (put_amounts(c, s) < 0)
        return cli_fail_here(c, EXIT_USAGE);
    if (take_input(c, s) < 0)
        return cli_fail_here(c, EXIT_BAD);
    value_put_str(c->arena, &s->task, "executer", s->executer);
    value_put_str(c->arena, &s->task, "runtime", s->runtime);
    value_put_str(c->arena, &s->task, "image", s->image);
    value_put_str(c->arena, &s->task, "id", s->id);
    value_put_str(c->arena, &s->task, "tenant", s->tenant);
    value_put_str(c->arena, &s->task, "network", s->network);
    put_words(c, s, s->runtime ? "command" : "args", words, count);
    const struct {
        const char *key;
        struct value *v;
    } parts[] = {{"env", &s->env},
                 {"resources", &s->resources},
                 {"labels", &s->labels},
                 {"require", &s->require}};
    for (size_t i = 0; i < countof(parts); i++)
        if (parts[i].v->count)
            value_put(c->arena, &s->task, parts[i].key, *parts[i].v);
    if (s->files_in.count) {
        struct value files = value_new_map(c->arena);
        value_put(c->arena, &files, "in", s->files_in);
        value_put(c->arena, &s->task, "files", files);
    }
    return s->file && take_file(c, s) < 0 ? cli_fail_here(c, EXIT_BAD) : EXIT_GOOD;
}

static int wait_result(struct cli *c, const struct submit *s)
{
    struct value frame;
    int type;
    do {
        if (cli_recv(c, &type, &frame) < 0)
            return cli_fail(c);
    } while (type != FRAME_CTL_RESULT);
    return print_result(c, &frame, s->quiet);
}

static int submit(struct cli *c, struct submit *s)
{
    struct value request = value_new_map(c->arena), reply;
    int type;
    value_put(c->arena, &request, "task", s->task);
    value_put_bool(c->arena, &request, "wait", s->wait);
    if (cli_send(c, FRAME_CTL_SUBMIT, &request) < 0 || cli_recv(c, &type, &reply) < 0)
        return cli_fail(c);
    if (s->wait)
        return wait_result(c, s);
    if (c->json)
        return cli_print_json(c, &reply);
    puts(value_str(&reply, "id", ""));
    return EXIT_GOOD;
}

/* The task as a file that berth-send finds on its standard input. */
static int leave_task(struct cli *c, const struct submit *s)
{
    cleanup_buf struct buf data = BUF_INIT;
    cleanup_close int fd = memfd_create("task", MFD_CLOEXEC);
    if (value_to_msgpack(&s->task, &data) < 0)
        return berth_fail(&c->err, ENOMEM, "out of memory");
    if (fd < 0 || write(fd, data.data, data.len) != (ssize_t)data.len ||
        lseek(fd, 0, SEEK_SET) < 0 || dup2(fd, 0) < 0)
        return berth_fail_errno(&c->err, errno, "cannot pass the task on");
    return 0;
}

/* To another host than this machine's, or to a queue. */
static int send_to(struct cli *c, const struct submit *s)
{
    static const char program[] = BERTH_LIBEXECDIR "/berth-send";
    char ms[24], flags[4] = "", *flag = flags;
    int64_t patience = 10000;
    if (s->patience && parse_duration(s->patience, &patience) < 0)
        return berth_fail(&c->err, EINVAL, "--patience: '%s' is no duration like 90s or 2h",
                          s->patience);
    snprintf(ms, sizeof ms, "%lld", (long long)(patience > 0 ? patience : 1));
    if (s->wait)
        *flag++ = SEND_WAIT;
    if (s->quiet)
        *flag++ = SEND_QUIET;
    if (c->json)
        *flag++ = SEND_JSON;
    int rc = leave_task(c, s);
    if (rc < 0)
        return rc;
    execl(program, "berth-send", s->to, ms, flags, (char *)NULL);
    return berth_fail_errno(&c->err, errno, "cannot run '%s'", program);
}

int cmd_submit(struct cli *c, int argc, char **argv)
{
    struct submit s = {.task = value_new_map(c->arena),
                       .env = value_new_map(c->arena),
                       .labels = value_new_map(c->arena),
                       .resources = value_new_map(c->arena),
                       .files_in = value_new_array(c->arena),
                       .require = value_new_array(c->arena)};
    const struct flag flags[] = {
        {.name = "executer", .letter = 'e', .value = &s.executer},
        {.name = "runtime", .value = &s.runtime},
        {.name = "image", .value = &s.image},
        {.name = "file", .value = &s.file},
        {.name = "input", .letter = 'i', .value = &s.input},
        {.name = "put", .add = add_file, .arg = &s.files_in},
        {.name = "id", .value = &s.id},
        {.name = "env", .add = add_pair, .arg = &s.env},
        {.name = "label", .add = add_pair, .arg = &s.labels},
        {.name = "require", .add = add_word, .arg = &s.require},
        {.name = "tenant", .value = &s.tenant},
        {.name = "network", .value = &s.network},
        {.name = "priority", .value = &s.priority},
        {.name = "retries", .value = &s.retries},
        {.name = "timeout", .value = &s.timeout},
        {.name = "memory", .value = &s.memory},
        {.name = "cpus", .value = &s.cpus},
        {.name = "pids", .value = &s.pids},
        {.name = "gpus", .value = &s.gpus},
        {.name = "disk", .value = &s.disk},
        {.name = "to", .value = &s.to},
        {.name = "patience", .value = &s.patience},
        {.name = "wait", .letter = 'w', .set = &s.wait},
        {.name = "quiet", .letter = 'q', .set = &s.quiet},
        {.name = NULL},
    };
    int rest, n = cli_flags(c, flags, argc, argv, &rest);
    if (n < 0)
        return EXIT_USAGE;
    if (n > 0) {
        fprintf(stderr, "berth: '%s' is not an option; a task's arguments follow '--'\n",
                argv[0]);
        return EXIT_USAGE;
    }
    if (!s.executer && !s.runtime && !s.file) {
        fputs("berth: say which --executer (see berth executers), or --runtime and a "
              "command after "
              "'--', or a --file\n",
              stderr);
        return EXIT_USAGE;
    }
    int status = build(c, &s, argv + rest, argc - rest);
    if (status == EXIT_GOOD && s.to) {
        send_to(c, &s);
        return cli_fail_here(c, EXIT_BAD);
    }
    return status == EXIT_GOOD ? submit(c, &s) : status;
}

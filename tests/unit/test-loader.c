/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The gates of the loader, each with a plugin built for it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "plugin/loader.h"
#include "plugin/mark.h"
#include "tap.h"

static char dir[] = "/tmp/berth-test-loader-XXXXXX";
static const char *const dirs[] = {dir, NULL};

/* One source for all; macros make the difference. */
static const char source[] =
    "#include <berth/runtime.h>\n"
    "#include <berth/transport.h>\n"
    "static int command(struct berth_ctx *c, const struct berth_task *t, struct "
    "berth_command *m,\n"
    "                   struct berth_error *e) { return !c || !t || !m || !e; }\n"
    "static int run(struct berth_ctx *c, const struct berth_task *t, struct berth_error "
    "*e)\n"
    "{ return !c || !t || !e; }\n"
    "static int rec(struct berth_ctx *c, struct berth_message *m, struct berth_error *e)\n"
    "{ return !c || !m || !e; }\n"
    "static int reply(struct berth_ctx *c, const struct berth_reply *r, struct berth_error "
    "*e)\n"
    "{ return !c || !r || !e; }\n"
    "static int settle(struct berth_ctx *c, uint64_t m, int h, struct berth_error *e)\n"
    "{ return !c || !m || !h || !e; }\n"
    "static const struct berth_runtime rt = BERTH_RUNTIME(RUNTIME);\n"
    "static const struct berth_transport tr = BERTH_TRANSPORT(TRANSPORT);\n"
    "const void *const used[] = {(void *)command, (void *)run, (void *)rec, (void "
    "*)reply,\n"
    "                            (void *)settle, &rt, &tr};\n"
    "static const struct berth_option options[] = {OPTIONS {0, 0, 0, 0, 0}};\n"
    "static const char *const capabilities[] = {CAPABILITIES (char *)0};\n"
    "struct longer { struct berth_plugin p; char more[64]; };\n"
    "static const struct longer plugin = {{.size = SIZE, .abi = ABI, .name = NAME, "
    ".version = \"1\",\n"
    "    .summary = SUMMARY, .options = options, .capabilities = capabilities, KIND}, "
    "\"x\"};\n"
    "BERTH_EXPORT const struct berth_plugin *ENTRY(void) { return RESULT; }\n";

/* Defaults of the macros: a good runtime called NAME. */
static const char prelude[] =
    "#ifndef RUNTIME\n#define RUNTIME .command = command\n#endif\n"
    "#ifndef TRANSPORT\n#define TRANSPORT .recv = rec, .reply = reply, .settle = "
    "settle\n#endif\n"
    "#ifndef OPTIONS\n#define OPTIONS\n#endif\n"
    "#ifndef CAPABILITIES\n#define CAPABILITIES\n#endif\n"
    "#ifndef SIZE\n#define SIZE sizeof(struct berth_plugin)\n#endif\n"
    "#ifndef ABI\n#define ABI BERTH_ABI\n#endif\n"
    "#ifndef NAME\n#define NAME \"good\"\n#endif\n"
    "#ifndef SUMMARY\n#define SUMMARY \"s\"\n#endif\n"
    "#ifndef KIND\n#define KIND .runtime = &rt\n#endif\n"
    "#ifndef ENTRY\n#define ENTRY berth_plugin_entry\n#endif\n"
    "#ifndef RESULT\n#define RESULT &plugin.p\n#endif\n";

static const char *in_dir(const char *name)
{
    static char path[4][512];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static void write_text(const char *path, const char *a, const char *b, const char *c)
{
    FILE *f = fopen(path, "w");
    if (!f || fprintf(f, "%s%s%s", a, b, c) < 0 || fclose(f))
        exit(99);
}

/* Builds NAME.so with lines of #define before the source; extra: further options of the
 * compiler. */
static void build(const char *name, const char *defines, const char *extra)
{
    char command[2048];
    const char *cc = getenv("CC"), *src = getenv("BERTH_SRCDIR");
    char file[64];
    snprintf(file, sizeof(file), "%s.so", name);
    write_text(in_dir("plugin.c"), defines, prelude, source);
    snprintf(command, sizeof(command),
             "umask 022; %s -I'%s/include' -w -fPIC -shared %s -o '%s' '%s' >'%s' 2>&1",
             cc && *cc ? cc : "cc", src && *src ? src : ".", extra, in_dir(file),
             in_dir("plugin.c"), in_dir("log"));
    if (system(command) != 0) {
        printf("Bail out! cannot build a plugin: %s\n", command);
        exit(99);
    }
}

static int load(const char *file, struct plugin **p, struct berth_error *err)
{
    int fd = open(in_dir(file), O_RDONLY | O_CLOEXEC);
    *err = (struct berth_error){0};
    *p = NULL;
    return plugin_load(fd, in_dir(file), p, err);
}

static void refused(const char *file, int code, const char *text, const char *what)
{
    struct berth_error err;
    struct plugin *p;
    int r = load(file, &p, &err);
    is_int(r, -code, "%s is refused", what);
    is_int(err.code, code, "%s: the code stands in the error too", what);
    has_str(err.text, text, "%s: the reason is told", what);
    has_str(err.text, in_dir(file), "%s: the file is named", what);
    ok(!p, "%s: the result is untouched", what);
    plugin_free(p);
}

static void test_arguments(void)
{
    struct berth_error err = {0};
    struct plugin *p = NULL;
    char *path = NULL;
    const struct config_plugin block = {.name = "x", .file = "c", .line = 1};
    struct value v;
    is_int(plugin_load(-1, "x", &p, &err), -EINVAL, "load: no file");
    is_int(plugin_load(dup(1), NULL, &p, NULL), -EINVAL, "load: no path, no error struct");
    is_int(plugin_load(dup(1), "x", NULL, &err), -EINVAL, "load: no result");
    is_int(plugin_find(NULL, "x", &path, &err), -EINVAL, "find: no directories");
    is_int(plugin_find(dirs, NULL, &path, &err), -EINVAL, "find: no name");
    is_int(plugin_find(dirs, "good", NULL, &err), -EINVAL, "find: no result");
    is_int(plugin_find(dirs, "../good", &path, &err), -EINVAL, "find: a path is no name");
    is_int(plugin_find(dirs, "", &path, &err), -EINVAL, "find: an empty name");
    is_int(plugin_find(dirs, "good.so", &path, &err), -EINVAL,
           "find: a file's name is no name");
    has_str(err.text, "without .so", "find: and what is right is told");
    is_int(plugin_check_grants(NULL, &block, &err), -EINVAL, "grants: no plugin");
    is_int(plugins_check(NULL, &err), -EINVAL, "check: no config");
    is_int(plugin_describe(NULL, NULL, &v), -EINVAL, "describe: no plugin");
    plugin_free(NULL);
}

static void test_good(void)
{
    struct berth_error err;
    struct plugin *p, *again;
    build("good",
          "#define OPTIONS {\"list\", BERTH_OPTION_LIST, 0, \"a, b\", \"help\"},"
          "{\"secret\", BERTH_OPTION_STRING, BERTH_OPTION_SECRET, \"pw\", \"help\"},\n"
          "#define CAPABILITIES \"kill\", \"setuid\",\n",
          "");
    is_int(load("good.so", &p, &err), 0, "a good runtime is loaded (%s)", err.text);
    if (!p)
        return;
    is_str(p->desc.name, "good", "its descriptor was copied");
    ok(p->runtime.command && !p->runtime.run && !p->transport.recv, "its table was copied");
    is_int(load("good.so", &again, &err), 0, "it is loaded a second time");
    plugin_free(again);

    struct arena *a = arena_new();
    struct value v;
    is_int(plugin_describe(p, a, &v), 0, "it is described");
    is_str(value_str(&v, "kind", ""), "runtime", "as a runtime");
    is_str(value_str(&v, "form", ""), "command", "of the simple form");
    const struct value *options = value_get(&v, "options");
    is_int(options ? options->count : 0, 2, "with its options");
    is_str(options ? value_str(&options->items[0], "type", "") : "", "list",
           "and their types");
    ok(options && !value_get(&options->items[1], "default"),
       "a secret's default is not shown");
    arena_free(a);
    plugin_free(p);
}

static void grants_of(struct plugin *p, const char *const *given, int want,
                      const char *what)
{
    struct berth_error err = {0};
    const struct config_plugin block = {.plugin = "good",
                                        .name = "g",
                                        .file = "berth.conf",
                                        .line = 7,
                                        .capabilities = given,
                                        .capabilities_given = given != NULL};
    is_int(plugin_check_grants(p, &block, &err), want, "%s", what);
    if (want == -EPERM)
        has_str(err.text, "berth.conf:7: ", "%s: the place is told", what);
    if (want == -EPERM && given[0])
        has_str(err.text, "capabilities = [ \"chown\", \"cap_kill\", \"setuid\" ];",
                "%s: the line to write is told", what);
}

static void test_grants(void)
{
    struct berth_error err;
    struct plugin *p;
    if (load("good.so", &p, &err) < 0)
        return;
    grants_of(p, NULL, 0, "a block that says nothing grants all");
    grants_of(p, (const char *const[]){"setuid", "kill", "chown", NULL}, 0,
              "more than it wants");
    grants_of(p, (const char *const[]){"CAP_SETUID", "cap_kill", NULL}, 0,
              "other spellings");
    grants_of(p, (const char *const[]){"chown", "cap_kill", NULL}, -EPERM,
              "one is missing");
    grants_of(p, (const char *const[]){NULL}, -EPERM, "nothing granted");
    grants_of(p, (const char *const[]){"kil", NULL}, -EINVAL, "an unknown one");
    plugin_free(p);
}

static void test_two_at_one_number(void)
{
    struct berth_error err;
    struct plugin *p, *q;
    build("one", "#define NAME \"one\"\n", "");
    /* Written for 1.0, whose table ended before `dead`. */
    build("two",
          "#define NAME \"two\"\n#define KIND .transport = &tr\n"
          "#define TRANSPORT .recv = rec, .reply = reply, .settle = settle, "
          ".dead = (void *)1, .size = offsetof(struct berth_transport, dead)\n",
          "");
    is_int(load("one.so", &p, &err), 0, "one is loaded (%s)", err.text);
    is_int(load("two.so", &q, &err), 0, "two is loaded (%s)", err.text);
    is_str(p ? p->desc.name : "", "one", "one is one");
    is_str(q ? q->desc.name : "", "two", "two is not one again");
    ok(q && q->transport.recv && !q->runtime.command, "two is a transport");
    ok(q && !q->transport.dead, "of an older table nothing is read beyond its end");
    plugin_free(p);
    plugin_free(q);
}

static void test_versions(void)
{
    struct berth_error err;
    struct plugin *p;
    build("good", "#define SIZE sizeof(struct longer)\n", "");
    is_int(load("good.so", &p, &err), 0,
           "a descriptor of a later, larger release is cut (%s)", err.text);
    plugin_free(p);
    build("good", "#define SIZE 16\n", "");
    refused("good.so", ENOEXEC, "too small (16 bytes)", "a descriptor that is too small");
    build("good", "#define ABI 99\n", "");
    refused("good.so", ENOEXEC, "ABI 99", "a later ABI");
    build("good", "#define ABI 0\n", "");
    refused("good.so", ENOEXEC, "ABI 0", "no ABI");
    build("good", "#define RUNTIME .command = command, .size = 8\n", "");
    refused("good.so", ENOEXEC, "runtime table is too small",
            "a runtime table that is too small");
    build("good",
          "#define KIND .transport = &tr\n#define TRANSPORT .recv = rec, .size = 8\n", "");
    refused("good.so", ENOEXEC, "transport table is too small",
            "a transport table too small");
}

static void test_contract(void)
{
    static const struct {
        const char *defines, *text, *what;
    } cases[] = {
        {"#define ENTRY other\n", "'berth_plugin_entry'", "no entry"},
        {"#define RESULT 0\n", "no descriptor", "an entry that gives nothing"},
        {"#define NAME 0\n", "not of the form", "no name"},
        {"#define NAME \"Good\"\n", "not of the form", "a bad name"},
        {"#define NAME \"other\"\n", "must be called 'other.so'",
         "a name that is not the file's"},
        {"#define SUMMARY \"a\\nb\"\n", "one line", "a summary of two lines"},
        {"#define SUMMARY 0\n", "one line", "no summary"},
        {"#define KIND .runtime = &rt, .transport = &tr\n", "not both", "both kinds"},
        {"#define KIND .open = 0\n", "not neither", "no kind"},
        {"#define RUNTIME .cleanup = 0\n", "'command' and 'run'", "a runtime of no form"},
        {"#define RUNTIME .command = command, .run = run\n", "'command' and 'run'",
         "of two forms"},
        {"#define KIND .transport = &tr\n#define TRANSPORT .recv = rec, .settle = settle\n",
         "'reply'", "a transport without reply"},
        {"#define KIND .transport = &tr\n#define TRANSPORT .reply = reply, .settle = "
         "settle\n",
         "'recv'", "a transport without recv"},
        {"#define KIND .transport = &tr\n#define TRANSPORT .recv = rec, .reply = reply\n",
         "'settle'", "a transport without settle"},
        {"#define KIND .transport = &tr, .executer_options = options\n", "executer_options",
         "a transport with executer_options"},
        {"#define CAPABILITIES \"kil\",\n", "'kill'", "a capability that is none"},
        {"#define OPTIONS {\"A\", 0, 0, 0, \"h\"},\n", "'A'", "an option with a bad name"},
        {"#define OPTIONS {\"a\", 0, 0, 0, \"h\"}, {\"a\", 0, 0, 0, \"h\"},\n", "twice",
         "an option that is there twice"},
        {"#define OPTIONS {\"a\", 77, 0, 0, \"h\"},\n", "type 77", "an option of no type"},
        {"#define OPTIONS {\"a\", 0, 64, 0, \"h\"},\n", "flags 0x40",
         "an option with other flags"},
        {"#define OPTIONS {\"a\", 0, 0, 0, 0},\n", "help", "an option without help"},
        {"#define OPTIONS {\"a\", 4, 0, \"12X\", \"h\"},\n", "a size",
         "a default that is no size"},
        {"#define OPTIONS {\"a\", 0, 1, \"x\", \"h\"},\n", "required",
         "required with a default"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        build("good", cases[i].defines, "");
        refused("good.so", ENOEXEC, cases[i].text, cases[i].what);
    }
    build("good", "extern int nowhere(void);\n#define RESULT nowhere() ? &plugin.p : 0\n",
          "");
    refused("good.so", ENOEXEC, "undefined symbol: nowhere", "an undefined symbol");
}

static void test_permissions(void)
{
    build("good", "", "");
    chmod(in_dir("good.so"), 0664);
    refused("good.so", EPERM, "chmod go-w", "a file that its group can write");
    chmod(in_dir("good.so"), 0646);
    refused("good.so", EPERM, "chmod go-w", "a file that all can write");
    chmod(in_dir("good.so"), 0644);
    chmod(dir, 0777);
    refused("good.so", EPERM, "directory", "a directory that all can write");
    chmod(dir, 01777);
    refused("good.so", EPERM, "directory", "the same with the sticky bit");
    chmod(dir, 0755);

    mkdir(in_dir("open"), 0777);
    chmod(in_dir("open"), 0777);
    char link[512];
    snprintf(link, sizeof(link), "%s/open/good.so", dir);
    if (symlink(in_dir("good.so"), link) == 0)
        refused("open/good.so", EPERM, "/open'",
                "a link in a directory that all can write");
    rename(in_dir("good.so"), link);
    if (symlink(link, in_dir("good.so")) == 0)
        refused("good.so", EPERM, "/open'", "a link into a directory that all can write");
    unlink(in_dir("good.so"));
    rename(link, in_dir("good.so"));
    rmdir(in_dir("open"));

    if (geteuid() != 0) {
        skip("needs root to give files away", "");
        return;
    }
    if (chown(in_dir("good.so"), 12345, 0) == 0)
        refused("good.so", EPERM, "uid 12345", "a file of somebody else");
    if (chown(in_dir("good.so"), 0, 0) == 0 && chown(dir, 12345, 0) == 0)
        refused("good.so", EPERM, "uid 12345", "a directory of somebody else");
    if (chown(dir, 0, 0) < 0)
        exit(99);
}

static void test_files(void)
{
    struct stat st;
    write_text(in_dir("good.so"), "", "", "");
    refused("good.so", ENOEXEC, "not a shared object", "an empty file");
    write_text(in_dir("good.so"), "#!/bin/sh\n", source, source);
    refused("good.so", ENOEXEC, "not a shared object", "a text file");
    unlink(in_dir("good.so"));
    mkdir(in_dir("good.so"), 0755);
    refused("good.so", ENOEXEC, "not a regular file", "a directory");
    rmdir(in_dir("good.so"));
    build("good", "", "");
    if (stat(in_dir("good.so"), &st) == 0)
        for (int i = 1; i < 4; i++)
            if (truncate(in_dir("good.so"), st.st_size * (4 - i) / 5) == 0)
                refused("good.so", ENOEXEC, i < 3 ? "cut short" : "", "a file cut short");
    build("good", "", "-Wl,-z,now");
    int fd = open(in_dir("good.so"), O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && pwrite(fd, "\xb7", 1, 18) ==
                       1) /* e_machine: AArch64, or whatever that is not ours */
        refused("good.so", ENOEXEC, "another kind of machine",
                "a file for another machine");
    close(fd);
}

static void test_find(void)
{
    struct berth_error err = {0};
    char *path = NULL;
    const char *const two[] = {"/nonexistent", dir, NULL};
    build("good", "", "");
    int fd = plugin_find(two, "good", &path, &err);
    ok(fd >= 0, "a plugin is found in the second directory");
    is_str(path, in_dir("good.so"), "and its path is told");
    ok(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC, "its descriptor goes at exec");
    close(fd);
    free(path);
    path = NULL;
    is_int(plugin_find(two, "godo", &path, &err), -ENOENT, "an unknown one is not found");
    has_str(err.text, "did you mean 'good'?", "and the nearest is told");
    has_str(err.text, "/nonexistent, /", "and where it was looked for");
    ok(!path, "and the result is untouched");
    mkfifo(in_dir("pipe.so"), 0600);
    fd = plugin_find(two, "pipe", &path, &err);
    is_int(plugin_load(fd, "pipe.so", &(struct plugin *){NULL}, &err), -ENOEXEC,
           "a FIFO neither blocks nor loads");
    free(path);
    unlink(in_dir("pipe.so"));
}

static struct config_key config_key(const char *name, const char *const *values)
{
    return (struct config_key){
        .name = name, .values = values, .file = "berth.conf", .line = 9};
}

static void test_check(void)
{
    static const char *const x[] = {"x", NULL};
    struct berth_error err = {0};
    build("good", "#define OPTIONS {\"path\", 0, 0, 0, \"h\"},\n", "");
    build("two",
          "#define NAME \"two\"\n#define KIND .transport = &tr\n"
          "#define OPTIONS {\"url\", 0, BERTH_OPTION_REQUIRED, 0, \"where to\"},\n",
          "");
    struct config_key url = config_key("url", x), wrong = config_key("paht", x);
    struct config_plugin transports[] = {{.plugin = "two",
                                          .name = "two",
                                          .file = "berth.conf",
                                          .line = 3,
                                          .keys = {&url, 1, NULL}}};
    struct config_plugin runtimes[] = {
        {.plugin = "good", .name = "g", .file = "berth.conf", .line = 5}};
    struct config_executer executers[] = {
        {.name = "e", .runtime = "g", .file = "berth.conf", .line = 8}};
    struct config c = {.plugin_path = dirs,
                       .transports = transports,
                       .transport_count = 1,
                       .runtimes = runtimes,
                       .runtime_count = 1,
                       .executers = executers,
                       .executer_count = 1};
    is_int(plugins_check(&c, &err), 0, "a config that fits its plugins (%s)", err.text);

    transports[0].keys.count = 0;
    is_int(plugins_check(&c, &err), -EINVAL, "a required key is missing");
    is_str(err.text, "berth.conf:3: transport 'two': key 'url' is missing (where to)",
           "as told");
    transports[0].keys.count = 1;

    runtimes[0].keys = (struct config_keys){&wrong, 1, NULL};
    is_int(plugins_check(&c, &err), -EINVAL, "a runtime's key is wrong");
    is_str(err.text, "berth.conf:9: runtime 'g': unknown key 'paht', did you mean 'path'?",
           "as told");
    runtimes[0].keys = (struct config_keys){NULL, 0, NULL};

    executers[0].keys = (struct config_keys){&wrong, 1, NULL};
    is_int(plugins_check(&c, &err), -EINVAL, "an executer's key is wrong");
    is_str(err.text, "berth.conf:9: executer 'e': unknown key 'paht', its plugin has none",
           "as told");
    executers[0].keys = (struct config_keys){NULL, 0, NULL};

    runtimes[0].plugin = "two";
    is_int(plugins_check(&c, &err), -EINVAL, "a transport under runtimes");
    is_str(err.text, "berth.conf:5: plugin 'two' is a transport: list it under transports",
           "as told");
    runtimes[0].plugin = "tow";
    is_int(plugins_check(&c, &err), -ENOENT, "a plugin that is not there");
    has_str(err.text, "berth.conf:5: no plugin 'tow' (did you mean 'two'?)", "as told");
}

static void test_mark(void)
{
    struct mark *m = mark_new(), at;
    mark_use(m);
    mark_enter("one", "recv");
    mark_enter("two", "reply");
    ok(mark_read(m, &at) && !strcmp(at.callback, "reply"), "in the callback of a callback");
    mark_leave();
    ok(mark_read(m, &at) && !strcmp(at.plugin, "one") && !strcmp(at.callback, "recv"),
       "back in the first");
    mark_leave();
    ok(!mark_read(m, &at), "in none");
    mark_use(NULL);
    mark_free(m);
}

int main(void)
{
    if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
        return 99;
    test_arguments();
    test_good();
    test_grants();
    test_two_at_one_number();
    test_versions();
    test_contract();
    test_permissions();
    test_files();
    test_find();
    test_check();
    test_mark();
    char command[600];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ok(system(command) == 0, "cleaned up");
    return tap_done();
}

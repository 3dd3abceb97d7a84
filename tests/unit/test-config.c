/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The config: what it reads, and what it says about each way to get it wrong. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"
#include "base/fail.h"
#include "base/str.h"
#include "config/config.h"
#include <berth/plugin.h>

static char dir[] = "/tmp/berth-config-XXXXXX";

static char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static char *put(const char *name, const char *text, size_t len)
{
    char *path = path_of(name);
    FILE *f = fopen(path, "w");

    if (!f || fwrite(text, 1, len, f) != len || fclose(f)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    return path;
}

static struct config *load(const char *text, struct berth_error *err)
{
    struct config *c = NULL;
    int r;

    memset(err, 0, sizeof *err);
    r = config_load(put("t.conf", text, strlen(text)), &c, err);
    if (r < 0 && (c || err->code != -r))
        ok(false, "failure leaves the result alone and fills the error");
    return c;
}

#define RUNTIME "runtimes = ( { plugin = \"process\"; } );\n"
#define EXECUTER(keys) \
    RUNTIME "executers = (\n{ name = \"e\"; runtime = \"process\";\n" keys "} );"

static void test_arguments(void)
{
    struct config *c = NULL;
    struct berth_error err = {0};

    is_int(config_load(path_of("missing"), &c, &err), -ENOENT, "a missing file");
    has_str(err.text, "missing: No such file", "is named");
    is_int(config_load(dir, &c, &err), -EISDIR, "a directory is no config");
    ok(config_load(path_of("missing"), &c, NULL) == -ENOENT, "the error may be NULL");
    ok(!c, "nothing is returned on failure");
    config_free(NULL);
}

static void test_defaults(void)
{
    struct berth_error err;
    struct config *c = load("", &err);

    if (!ok(c, "an empty file is a config: %s", err.text))
        return;
    ok(is_name(c->name), "the node has a name");
    ok(c->state_dir[0] == '/' && c->run_dir[0] == '/', "directories are absolute");
    is_int(c->log_level, BERTH_LOG_INFO, "log level");
    is_int(c->max_task_bytes, 8 << 20, "max_task");
    is_int(c->defaults.resources.memory_bytes, 512 << 20, "memory");
    is_int(c->defaults.resources.pids, 256, "pids");
    is_int(c->defaults.timeout_ms, 3600000, "timeout");
    is_int(c->uid_base, 1879048192, "uid_base");
    is_int(c->capacity.memory_bytes, -1, "capacity is left to the machine");
    ok(!c->gpus && c->in_roots && !c->in_roots[0] && !c->urls[0], "lists");
    is_str(c->plugin_path[0], BERTH_PLUGINDIR, "the installed directory is searched");
    ok(!c->plugin_path[1], "and nothing else");
    is_str(config_tenant(c, "anyone")->name, "*", "there is always a tenant");
    ok(config_tenant(c, NULL)->weight == 1, "with a weight");
    ok(!config_executer(c, "e") && !config_executer(c, NULL) && !config_runtime(c, ""),
       "lookups of nothing");
    config_free(c);
}

static const char everything[] =
    "host = { name = \"n1\"; state_dir = \"/a//b/./c/\"; run_dir = \"/r\"; user = "
    "\"u\";\n"
    "  log_level = \"debug\"; max_task = \"1.5M\"; max_queued = 7; gpus = [ \"0\", "
    "\"GPU-x\" ];\n"
    "  resources = { memory = 34359738368L; cpus = 3; };\n"
    "  defaults = { resources = { cpus = 0.5; }; timeout = \"90s\"; retries = 2; };\n"
    "  retention = { age = \"1d\"; count = 5; }; uid_base = 70000; uid_count = 10;\n"
    "  files = { in_roots = [ \"/data/\" ]; urls = [ \"https://x.org/a/\" ]; }; };\n"
    "plugin_path = [ \"/opt/p\" ];\n"
    "transports = ( { plugin = \"http\"; listen = \"[::1]:1\"; ratio = 0.1; deep = { a "
    "= { b = "
    "7L; }; };\n on = true; many = ( 1, \"b\" ); ready = 500; } );\n"
    "runtimes = ( { plugin = \"process\"; capabilities = [ \"sys_admin\" ]; },\n"
    " { plugin = \"process\"; name = \"p2\"; } );\n"
    "executers = ( { name = \"e\"; runtime = \"p2\"; command = ( \"/bin/x\", \"\" ); "
    "env = { A = "
    "\"1\"; };\n env_allow = [ \"X_*\" ]; allow_args = false; resources = { gpus = 1; "
    "}; max = { "
    "memory = \"1G\"; };\n max_timeout = 5000; network = \"host\"; require = [ "
    "\"memory\" ]; nice "
    "= -5; } );\n"
    "tenants = ( { name = \"*\"; max_queued = 3; }, { name = \"t\"; weight = 2; } );\n"
    "adhoc = ( { runtime = \"process\"; images = [ \"a/*\" ]; } );\n";

static void check_host(const struct config *c)
{
    is_str(c->state_dir, "/a/b/c", "a path is tidied");
    is_int(c->max_task_bytes, 1572864, "a size with a unit");
    is_int(c->capacity.memory_bytes, 34359738368, "a number beyond 32 bits");
    ok(c->capacity.cpus == 3 && c->capacity.pids == -1, "a part of the resources");
    ok(c->defaults.resources.cpus == 0.5 && c->defaults.resources.pids == 256,
       "a part of the defaults leaves the others");
    is_str(c->gpus[1], "GPU-x", "gpus");
    is_str(c->in_roots[0], "/data", "a root");
    is_str(c->plugin_path[0], "/opt/p", "plugin_path");
    is_str(c->plugin_path[1], BERTH_PLUGINDIR, "and the installed directory after it");
}

static void check_entries(const struct config *c)
{
    const struct config_plugin *t = &c->transports[0];
    is_int(t->ready_ms, 500, "a transport's own key");
    is_int(t->keys.count, 5, "the plugin's keys");
    is_str(t->keys.items[0].name, "listen", "by name");
    is_str(t->keys.items[1].values[0], "0.1", "a float as it was written");
    is_str(t->keys.items[2].name, "deep.a.b", "groups are flattened");
    is_str(t->keys.items[3].values[0], "true", "a boolean");
    ok(t->keys.items[4].is_list && !strcmp(t->keys.items[4].values[1], "b") &&
           !t->keys.items[4].values[2],
       "a list");
    is_int(t->keys.items[3].line, 9, "with its line");
    is_str(t->keys.own[0], "plugin", "the config's own keys are there for messages");
    ok(c->runtimes[0].capabilities_given && !c->runtimes[1].capabilities_given, "grants");
    is_str(c->runtimes[0].name, "process", "a name by default");

    const struct config_executer *e = config_executer(c, "e");
    is_int(e->timeout_ms, 5000, "max_timeout bounds the default timeout");
    is_str(e->command[1], "", "an argument may be empty");
    is_str(e->env[0], "A=1", "env as a group");
    is_int(e->network, 1, "network");
    is_int(e->retries, 2, "retries of the defaults");
    ok(!e->allow_args && e->max.memory_bytes == 1 << 30 && e->max.cpus == -1, "limits");
    is_str(e->keys.items[0].values[0], "-5", "a key for the runtime plugin");
    ok(config_tenant(c, "t")->weight == 2 && config_tenant(c, "u")->max_queued == 3,
       "tenants");
    ok(!strcmp(c->adhoc[0].commands[0], "*") && !strcmp(c->adhoc[0].images[0], "a/*"),
       "adhoc");
}

static void test_values(void)
{
    struct berth_error err;
    struct config *c = load(everything, &err);

    if (!ok(c, "a config with everything: %s", err.text))
        return;
    check_host(c);
    check_entries(c);
    config_free(c);
}

static const struct {
    const char *text;
    int line;
    const char *says;
} wrong[] = {
    {"host = { stat_dir = \"/x\"; };", 1,
     "key 'host.stat_dir': unknown key; did you mean 'state_dir'?"},
    {"\nhots = { };", 2, "key 'hots': unknown key; did you mean 'host'?"},
    {"zzz = 1;", 1, "key 'zzz': unknown key"},
    {"host = {\n name = \"a\";\n name = \"b\"; };", 3,
     "key 'name' is given twice, first at "},
    {"host = { };\nhost = { };", 2, "key 'host' is given twice"},
    {"host = 5;", 1, "key 'host': must be a group"},
    {"host = { name = 5; };", 1, "key 'host.name': must be a string"},
    {"host = { name = \"a b\"; };", 1, "'a b' is no name"},
    {"host = { state_dir = \"x/y\"; };", 1, "must be an absolute path"},
    {"host = { state_dir = \"/x/../y\"; };", 1, "'..'"},
    {"host = { run_dir = "
     "\"/long/long/long/long/long/long/long/long/long/long/long/long/long/long/"
     "long/long/long\"; };",
     1, "longer than 84"},
    {"host = { max_queued = 0; };", 1, "must be 1 to 1000000000, not 0"},
    {"host = { max_queued = 1.5; };", 1, "must be a whole number"},
    {"host = { max_queued = \"7\"; };", 1, "must be a whole number"},
    {"host = { max_task = \"1 M\"; };", 1, "'1 M' is no size"},
    {"host = { max_task = -5; };", 1, "must not be negative"},
    {"host = { max_task = \"2G\"; };", 1, "must be 1K to 1G"},
    {"host = { max_task = true; };", 1, "key 'host.max_task': must be a number of bytes"},
    {"host = { resources = {\n memory = 34359738368; }; };", 2, "34359738368L"},
    {"host = { resources = { memory = 0xFFFFFFFF; }; };", 1, "0xFFFFFFFFL"},
    {"host = { resources = { memory = 99999999999999999999L; }; };", 1, "too large"},
    {"host = { resources = { memory = \"9999999P\"; }; };", 1, "must be 0B to"},
    {"host = { resources = { mem = 5; }; };", 1, "key 'host.resources.mem': unknown key"},
    {"host = { resources = { cpus = -1; }; };", 1, "must be 0 to 65536, not -1"},
    {"host = { resources = { cpus = 1e999; }; };", 1, "too large"},
    {"host = { adopt = \"5x\"; };", 1, "'5x' is no duration"},
    {"host = { adopt = 5; };", 1, "must be 1.0s to 1d00h"},
    {"host = { log_level = \"loud\"; };", 1, "\"err\", \"warn\""},
    {"host = { gpus = [ \"0\", \"0\" ]; };", 1, "'0' is given twice"},
    {"host = { gpus = [ \"\" ]; };", 1, "must not be empty"},
    {"host = { gpus = \"0\"; };", 1, "must be a list of strings"},
    {"host = { uid_base = 0; };", 1, "must be 1 to"},
    {"host = {\n uid_base = 65000;\n uid_count = 600; };", 3, "65534"},
    {"host = {\n uid_base = 65535; };", 2, "65534"},
    {"host = { uid_base = 4294967290L; };", 1, "4294967293"},
    {"host = { files = { urls = [ \"https://x.org\" ]; }; };", 1, "https://host/"},
    {"host = { files = { urls = [ \"ftp://x.org/\" ]; }; };", 1, "https://host/"},
    {"host = { files = { urls = [ \"https://u@x.org/\" ]; }; };", 1, "https://host/"},
    {"host = { files = { in_roots = [ 5 ]; }; };", 1, "must be a string"},
    {"transports = { };", 1, "key 'transports': must be a list of groups"},
    {"transports = ( 5 );", 1, "key 'transports': must be a group"},
    {"transports = (\n{ listen = \"x\"; } );", 2, "'plugin' is missing"},
    {"transports = ( { plugin = \"../x\"; } );", 1, "is no plugin name"},
    {"transports = ( { plugin = \"a\"; },\n { plugin = \"a\"; } );", 2,
     "'a' is there already, in line 1"},
    {"transports = ( { plugin = \"a\"; k = ( ( 1 ) ); } );", 1,
     "may hold only strings and numbers"},
    {"runtimes = ( { plugin = \"a\"; capabilities = [ \"CAP_KILL\" ]; } );", 1,
     "small letters"},
    {EXECUTER("comand = 1; command = [ \"\" ]; "), 4, "must not be empty"},
    {EXECUTER("command = \"/bin/cat\"; "), 4, "key 'executers.command': must be a list"},
    {EXECUTER("command = [ 5 ]; "), 4, "must be a string"},
    {EXECUTER("env = [ \"A\" ]; "), 4, "\"NAME=value\""},
    {EXECUTER("env = [ \"1=2\" ]; "), 4, "\"NAME=value\""},
    {EXECUTER("env = [ \"A=1\", \"A=2\" ]; "), 4, "'A' is given twice"},
    {EXECUTER("env = { A-B = \"1\"; }; "), 4, "no name of a variable"},
    {EXECUTER("env = { A = 1; }; "), 4, "'A' must be a string"},
    {EXECUTER("env = 1; "), 4, "must be a group of strings or a list"},
    {EXECUTER("allow_args = 1; "), 4, "must be true or false"},
    {EXECUTER("network = \"hots\"; "), 4, "\"none\", \"host\" or \"private\""},
    {EXECUTER("require = [ \"memroy\" ]; "), 4, "did you mean 'memory'?"},
    {EXECUTER("timeout = \"2h\";\n max_timeout = \"1h\"; "), 4,
     "is more than 'max_timeout'"},
    {EXECUTER("timeout = 0; max_timeout = \"1h\"; "), 4, "is more than 'max_timeout'"},
    {EXECUTER("max = { gpus = 0; };\n resources = { gpus = 1; }; "), 5,
     "'gpus' is more than 'max.gpus'"},
    {EXECUTER("max = { memory = \"1M\"; };\n resources = { memory = \"2M\"; }; "), 5,
     "'memory' is more"},
    {EXECUTER("resources = { memory = true; }; "), 4, "key 'executers.resources.memory'"},
    {RUNTIME "executers = ( { name = \"e\"; } );", 2, "'runtime' is missing"},
    {RUNTIME "executers = (\n { name = \"e\";\n runtime = \"proces\"; } );", 4,
     "no runtime 'proces' in 'runtimes'; did you mean 'process'?"},
    {EXECUTER("name = \"f\"; "), 4, "key 'name' is given twice"},
    {RUNTIME
     "executers = ( { name = \"e\"; runtime = \"process\"; },\n{ name = \"e\"; runtime = "
     "\"process\"; } );",
     3, "'e' is there already, in line 2"},
    {"tenants = ( { weight = 1; } );", 1, "'name' is missing"},
    {"tenants = ( { name = \"a b\"; } );", 1, "is no name"},
    {"tenants = ( { name = \"a\"; weight = 0; } );", 1, "must be 0.001 to 1e+06, not 0"},
    {"tenants = ( { name = \"a\"; wieght = 1; } );", 1, "did you mean 'weight'?"},
    {"adhoc = ( { runtime = \"docker\"; } );", 1, "no runtime 'docker'"},
    /* the text itself */
    {"host = {\n name = \"a;\n};", 2, "a '\"' is missing"},
    {"host = {\n name = a;\n};", 2, "'a' is neither a key (no '=' follows) nor a value"},
    {"host = {\n name \"a\";\n};", 2, "'name' is neither a key"},
    {"host = {\n\n};\n/* to the end", 4, "no end"},
    {"host = {\n name = \"a\";\n", 1, "the '{' of this line is not closed"},
    {"host = (\n };", 2, "'}' where ')' should close"},
    {"\n);", 2, "')' closes nothing"},
    {"host = { };\n?", 2, "unexpected character '?'"},
    {"host = { };\n\x01", 2, "unexpected byte 0x01"},
    {"_x = 1;", 1, "not with '_'"},
    {"host = { name = \"\xff\"; };", 1, "not valid UTF-8"},
    {"host = { name = ; };", 1, "syntax error"},
    {"a = [ 1, \"x\" ];", 1, "mismatched element type"},
    {"\n@include \"nope.conf\"\n", 2, "cannot include it: "},
    {"\n@include \"/etc/passwd\"\n", 2, "relative to the directory"},
    {"\n@include \".\"\n", 2, "not a regular file"},
    {"\n@include \"t.conf\"\n", 2, "nested deeper than 9"},
    {"\n@include nope.conf\n", 2, "expected @include \"file\""},
    {"host = { @include \"x\"\n};", 1, "expected @include \"file\""},
    {"a = ((((((((((((((((((((((((((((((((((((((", 1, "nested deeper than 31"},
};

static void test_wrong(void)
{
    struct berth_error err;
    char at[32];

    for (size_t i = 0; i < countof(wrong); i++) {
        struct config *c = load(wrong[i].text, &err);

        snprintf(at, sizeof at, "t.conf:%d: ", wrong[i].line);
        ok(!c, "refused: %s", err.text);
        has_str(err.text, at, "names file and line");
        has_str(err.text, wrong[i].says, "says why");
        config_free(c);
    }
}

static void test_bytes(void)
{
    struct berth_error err = {0};
    struct config *c = NULL;
    char *big = malloc(2 << 20);

    config_load(put("nul", "a = 1;\n\0b = 2;\n", 15), &c, &err);
    has_str(err.text, "nul:2: a NUL byte", "a NUL byte is no end");
    memset(big, '\n', 2 << 20);
    is_int(config_load(put("big", big, 2 << 20), &c, &err), -EFBIG, "a huge file");
    free(big);
    if (!geteuid()) {
        char *path = put("open", "", 0);
        chmod(path, 0666);
        is_int(config_load(path, &c, &err), -EPERM,
               "root takes no config that all can write");
        has_str(err.text, "chmod o-w", "and says what to do");
    } else {
        skip("not root", " ");
    }
    ok(!c, "nothing is returned");
}

static void test_include(void)
{
    struct berth_error err;
    struct config *c;
    const char *keys = "max_queued = 5;\nname = \"inc\";\n";

    mkdir(path_of("sub"), 0755);
    put("sub/keys.conf", keys, strlen(keys));
    c = load("host = {\n@include \"sub/keys.conf\"\n};\n", &err);
    ok(c && c->max_queued == 5, "@include within a group: %s", err.text);
    config_free(c);
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    ok(chdir(dir) == 0 && config_load("t.conf", &c, &err) >= 0,
       "a bare name: from here: %s", err.text);
    ok(fchdir(here) == 0 && close(here) == 0, "back again");
    config_free(c);
    c = load("host = {\nname = \"x\";\n@include \"sub/keys.conf\"\n};\n", &err);
    has_str(err.text, "sub/keys.conf:2: key 'name' is given twice, first at",
            "twice, in two files");
    config_free(c);
    keys = "max_queued = true;\n";
    put("sub/keys.conf", keys, strlen(keys));
    c = load("host = {\n@include \"sub/keys.conf\"\n};\n", &err);
    has_str(err.text, "sub/keys.conf:1: key 'host.max_queued'",
            "the included file is named");
    config_free(c);
}

/* With a path of its own each, so that only the variables decide. */
static void test_dirs(void)
{
    struct arena *a = arena_new();
    const char *state, *run;

    setenv("BERTH_STATE_DIR", "/s", 1);
    setenv("BERTH_RUN_DIR", "/r", 1);
    config_default_dirs(a, &state, &run);
    is_str(state, "/s", "BERTH_STATE_DIR");
    is_str(run, "/r", "BERTH_RUN_DIR");
    unsetenv("BERTH_STATE_DIR");
    unsetenv("BERTH_RUN_DIR");
    if (!geteuid()) {
        config_default_dirs(a, &state, &run);
        is_str(state, "/var/lib/berth", "root's state");
        is_str(run, "/run/berth", "root's sockets");
        if (seteuid(65534) < 0)
            exit(EXIT_FAILURE);
    }
    setenv("HOME", "/h", 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    config_default_dirs(a, &state, &run);
    is_str(state, "/h/.local/state/berth", "a user's state");
    is_str(run, "/h/.local/state/berth/run", "a user's sockets");
    setenv("XDG_STATE_HOME", "/xs", 1);
    setenv("XDG_RUNTIME_DIR", "/xr", 1);
    config_default_dirs(a, &state, &run);
    is_str(state, "/xs/berth", "XDG_STATE_HOME");
    is_str(run, "/xr/berth", "XDG_RUNTIME_DIR");
    setenv("XDG_STATE_HOME", "relative", 1);
    config_default_dirs(a, &state, &run);
    is_str(state, "/h/.local/state/berth", "a relative XDG_STATE_HOME is ignored");
    if (!getuid() && seteuid(0) < 0)
        exit(EXIT_FAILURE);
    arena_free(a);
}

static void test_choice(void)
{
    struct berth_error err = {0};
    struct config *c = NULL;

    setenv("BERTH_CONFIG", put("env.conf", "host = { name = \"from-env\"; };", 30), 1);
    ok(config_load(NULL, &c, &err) >= 0 && !strcmp(c->name, "from-env"), "BERTH_CONFIG: %s",
       err.text);
    config_free(c);
    c = NULL;
    unsetenv("BERTH_CONFIG");
    if (access(BERTH_SYSCONFDIR "/berth.conf", F_OK)) {
        ok(config_load(NULL, &c, &err) >= 0, "the built-in config loads: %s", err.text);
        is_str(c ? c->path : "", "(built in)", "and is called so");
        ok(c && config_executer(c, "echo") && c->adhoc_count == 1,
           "and is the quickstart's");
        config_free(c);
    }
}

int main(void)
{
    if (!mkdtemp(dir))
        return EXIT_FAILURE;
    test_arguments();
    test_defaults();
    test_values();
    test_wrong();
    test_bytes();
    test_include();
    test_dirs();
    test_choice();
    static const char *const made[] = {"t.conf", "nul",      "big",
                                       "open",   "env.conf", "sub/keys.conf"};
    for (size_t i = 0; i < countof(made); i++)
        unlink(path_of(made[i]));
    rmdir(path_of("sub"));
    ok(rmdir(dir) == 0, "nothing is left behind");
    return tap_done();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Plans: what a task gets, what it is refused, and how large the node is taken to be. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"
#include "base/fail.h"
#include "base/str.h"
#include "plan/node.h"
#include "plan/plan.h"
#include <berth/transport.h>

static char dir[] = "/tmp/berth-plan-XXXXXX";

static const char config_text[] =
    "host = { state_dir = \"/nowhere/at/all\"; gpus = [ \"0\", \"1\" ];\n"
    "  resources = { cpus = 8; memory = \"16G\"; pids = 1000; };\n"
    "  defaults = { timeout = \"1m\"; retries = 1; };\n"
    "  files = { in_roots = [ \"/data/in\" ]; out_roots = [ \"/\" ]; urls = [ "
    "\"https://h/pub/\" ]; }; };\n"
    "runtimes = ( { plugin = \"process\"; }, { plugin = \"docker\"; } );\n"
    "executers = (\n"
    "  { name = \"plain\"; runtime = \"process\"; command = [ \"/bin/x\", \"-a\" ]; },\n"
    "  { name = \"strict\"; runtime = \"process\"; image = \"im\"; allow_args = false;\n"
    "    env = [ \"A=1\", \"B=2\" ]; env_allow = [ \"B\", \"OMP_*\", \"LD_PRELOAD\" ]; "
    "require = [ \"memory\" ];\n"
    "    resources = { cpus = 2; gpus = 1; }; max = { cpus = 4; memory = \"256M\"; disk = "
    "\"1G\"; gpus = 1; };\n"
    "    timeout = \"2s\"; max_timeout = \"10s\"; kill_grace = \"3s\"; output_max = "
    "\"2K\"; retries = 5;\n"
    "    network = \"private\"; },\n"
    "  { name = \"open\"; runtime = \"docker\"; env = [ \"A=1\" ]; env_allow = [ \"*\" ]; "
    "allow_network = true;\n"
    "    resources = { memory = 0; }; max = { gpus = 0; }; } );\n"
    "adhoc = (\n"
    "  { runtime = \"docker\"; images = [ \"reg/*\" ]; commands = [ \"/opt/t/*\" ]; "
    "tenants = [ \"lab-*\" ]; },\n"
    "  { runtime = \"process\"; } );\n";

static struct config *config;

static const char *path_of(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

/* Writes a file with its directories. */
static void put(const char *name, const char *text)
{
    char parent[512];

    snprintf(parent, sizeof parent, "%s", path_of(name));
    *strrchr(parent, '/') = '\0';
    if (make_dirs(parent, 0755) < 0 ||
        write_file_atomic(path_of(name), text, strlen(text), 0644) < 0) {
        perror(name);
        exit(EXIT_FAILURE);
    }
}

static int plan(struct arena *a, const char *json, struct plan *p, struct berth_error *err)
{
    struct task t;

    memset(err, 0, sizeof *err);
    if (task_decode(a, json, strlen(json), BERTH_FORMAT_JSON, 1 << 20, &t, err) < 0)
        return -EDOM;
    return plan_make(config, &t, a, p, err);
}

/* ---- refusals ---- */

#define E(name, keys) "{\"executer\":\"" name "\"" keys "}"
#define AD(runtime, keys) "{\"runtime\":\"" runtime "\"" keys "}"
#define CMD ",\"command\":[\"/opt/t/x\"],\"tenant\":\"lab-1\""

static const struct {
    const char *json;
    int code;
    const char *says;
} refused[] = {
    {E("plian", ""), ENOENT, "no executer 'plian'; did you mean 'plain'?"},
    {E("zzzzzz", ""), ENOENT, "no executer 'zzzzzz'"},
    {E("strict", ",\"args\":[\"x\"]"), EPERM,
     "key 'args': executer 'strict' takes no arguments"},
    {E("plain", ",\"env\":{\"PATH\":\"x\"}"), EPERM,
     "key 'env': a task of executer 'plain' may not set 'PATH'"},
    {E("plain", ",\"env\":{\"LD_PRELOAD\":\"x\"}"), EPERM, "LD_PRELOAD"},
    {E("plain", ",\"env\":{\"BERTH_X\":\"x\"}"), EPERM, "BERTH_X"},
    {E("plain", ",\"env\":{\"TMPDIR\":\"x\"}"), EPERM, "TMPDIR"},
    {E("plain", ",\"env\":{\"CUDA_VISIBLE_DEVICES\":\"0\"}"), EPERM,
     "CUDA_VISIBLE_DEVICES"},
    {E("open", ",\"env\":{\"LD_PRELOAD\":\"x\"}"), EPERM, "LD_PRELOAD"},
    {E("strict", ",\"env\":{\"A\":\"9\"}"), EPERM, "may not set 'A'"},
    {E("strict", ",\"env\":{\"LD_LIBRARY_PATH\":\"9\"}"), EPERM, "may not set"},
    {E("strict", ",\"resources\":{\"cpus\":5}"), EINVAL,
     "key 'resources.cpus': 5 is more than 4, the most that executer 'strict' allows"},
    {E("strict", ",\"resources\":{\"memory\":\"1G\"}"), EINVAL, "1G is more than 256M"},
    {E("strict", ",\"resources\":{\"gpus\":2}"), EINVAL, "2 is more than 1"},
    {E("open", ",\"resources\":{\"gpus\":1}"), EINVAL,
     "1 is more than 0, the most that executer 'open'"},
    {E("plain", ",\"resources\":{\"cpus\":9}"), EINVAL,
     "9 is more than 8, which is all that this node has"},
    {E("plain", ",\"resources\":{\"memory\":\"17G\"}"), EINVAL,
     "17G is more than 16G, which is all"},
    {E("plain", ",\"resources\":{\"gpus\":3}"), EINVAL, "3 is more than 2"},
    {E("plain", ",\"resources\":{\"pids\":1001}"), EINVAL, "1001 is more than 1000"},
    {E("strict", ",\"timeout_ms\":10001"), EINVAL,
     "executer 'strict' allows at most 10000 (10.0s)"},
    {E("strict", ",\"network\":\"host\""), EPERM,
     "key 'network': executer 'strict' does not allow 'host'"},
    {E("plain", ",\"network\":\"private\""), EPERM, "its network is 'none'"},
    {E("plain", ",\"files\":{\"in\":[{\"path\":\"a\",\"from\":\"/data/inside\"}]}"), EPERM,
     "host.files.in_roots"},
    {E("plain", ",\"files\":{\"in\":[{\"path\":\"a\",\"from\":\"/data/in\"}]}"), EPERM,
     "host.files.in_roots"},
    {E("plain", ",\"files\":{\"in\":[{\"path\":\"a\",\"from\":\"//data/in/x\"}]}"), EPERM,
     "in_roots"},
    {E("plain", ",\"files\":{\"in\":[{\"path\":\"a\",\"from\":\"https://h/public\"}]}"),
     EPERM, "host.files.urls"},
    {E("plain", ",\"files\":{\"in\":[{\"path\":\"a\",\"from\":\"https://h.evil/pub/\"}]}"),
     EPERM, "files.urls"},
    {E("plain", ",\"files\":{\"out\":[{\"path\":\"a\",\"to\":\"http://h/pub/x\"}]}"), EPERM,
     "files.out.to"},
    {AD("podman", CMD), ENOENT, "no runtime 'podman'"},
    {AD("proces", CMD), ENOENT, "did you mean 'process'?"},
    {AD("docker", ",\"command\":[\"x\"],\"image\":\"reg/a\""), EPERM,
     "key 'tenant': '' may not"},
    {AD("docker", CMD), EPERM, "key 'image': '' is not allowed"},
    {AD("docker", CMD ",\"image\":\"reg/a/b\""), EPERM,
     "key 'image': 'reg/a/b' is not allowed"},
    {AD("docker", CMD ",\"image\":\"reg/..\""), EPERM, "key 'image'"},
    {AD("docker",
        ",\"tenant\":\"lab-1\",\"image\":\"reg/a\",\"command\":[\"/opt/t/../../bin/sh\"]"),
     EPERM, "key 'command': '/opt/t/../../bin/sh' is not allowed"},
    {AD("docker", ",\"tenant\":\"lab-1\",\"image\":\"reg/a\",\"command\":[\"/opt/t/..\"]"),
     EPERM, "key 'command'"},
    {AD("docker", CMD ",\"image\":\"reg/a\",\"network\":\"host\""), EPERM,
     "key 'network': ad-hoc tasks"},
    {AD("process", CMD ",\"image\":\"x\""), EPERM, "key 'image': 'x' is not allowed"},
    {AD("process", CMD ",\"env\":{\"HOME\":\"/\"}"), EPERM,
     "an ad-hoc task may not set 'HOME'"},
};

static void test_refused(void)
{
    struct berth_error err;
    struct plan p;

    for (size_t i = 0; i < countof(refused); i++) {
        struct arena *a = arena_new();
        memset(&p, 0x5a, sizeof p);
        is_int(plan(a, refused[i].json, &p, &err), -refused[i].code, "%s", refused[i].json);
        has_str(err.text, refused[i].says, "says why");
        is_int(p.retries, 0x5a5a5a5a, "the result is untouched");
        arena_free(a);
    }
}

/* ---- plans ---- */

static void test_plain(struct arena *a)
{
    struct berth_error err;
    struct plan p;

    is_int(plan(a, E("plain", ",\"args\":[\"b\"],\"env\":{\"MODE\":\"x\"}"), &p, &err), 0,
           "plain: %s", err.text);
    ok(!strcmp(p.argv[0], "/bin/x") && !strcmp(p.argv[2], "b") && !p.argv[3],
       "command and args");
    ok(!strcmp(p.env[0], "MODE=x") && !p.env[1], "environment");
    ok(p.resources.cpus == 1 && p.resources.memory_bytes == 512 << 20 &&
           p.resources.pids == 256 && p.resources.disk_bytes == 0 && p.resources.gpus == 0,
       "the host's defaults");
    ok(p.timeout_ms == 60000 && p.retries == 1 && p.network == BERTH_NETWORK_NONE &&
           !p.require[0],
       "the other defaults");
    is_str(p.runtime->name, "process", "runtime");
    is_int(plan(a,
                E("plain", ",\"timeout_ms\":5,\"retries\":0,\"resources\":{\"gpus\":2},"
                           "\"require\":[\"time\"]"),
                &p, &err),
           0, "asking for more: %s", err.text);
    ok(p.timeout_ms == 5 && p.retries == 0 && p.resources.gpus == 2 &&
           !strcmp(p.require[0], "time"),
       "gives it");
}

static void test_strict(struct arena *a)
{
    struct berth_error err;
    struct plan p;

    is_int(plan(a,
                E("strict", ",\"env\":{\"B\":\"9\",\"OMP_X\":\"1\",\"LD_PRELOAD\":\"l\"},"
                            "\"require\":[\"cpus\"]"),
                &p, &err),
           0, "strict: %s", err.text);
    ok(!strcmp(p.env[0], "A=1") && !strcmp(p.env[1], "B=9") &&
           !strcmp(p.env[2], "OMP_X=1") && !strcmp(p.env[3], "LD_PRELOAD=l") && !p.env[4],
       "one environment, no name twice");
    ok(p.resources.cpus == 2 && p.resources.gpus == 1, "the executer's resources");
    is_int(p.resources.memory_bytes, 256 << 20, "a default is bounded by max");
    is_int(p.resources.disk_bytes, 1 << 30, "and so is 'not limited'");
    ok(p.timeout_ms == 2000 && p.kill_grace_ms == 3000 && p.output_max_bytes == 2048 &&
           p.retries == 5,
       "times and sizes");
    ok(!strcmp(p.require[0], "memory") && !strcmp(p.require[1], "cpus") && !p.require[2],
       "require");
    is_int(p.network, BERTH_NETWORK_PRIVATE, "network");
    is_str(p.image, "im", "image");
    is_int(plan(a, E("strict", ",\"network\":\"none\""), &p, &err), 0, "less network: %s",
           err.text);
    is_int(p.network, BERTH_NETWORK_NONE, "is always allowed");
    is_int(plan(a, E("open", ",\"network\":\"host\",\"env\":{\"A\":\"2\"}"), &p, &err), 0,
           "open: %s", err.text);
    ok(p.network == BERTH_NETWORK_HOST && !strcmp(p.env[0], "A=2") && !p.env[1] &&
           !p.argv[0],
       "as asked");
    is_int(p.resources.memory_bytes, 0, "an executer may have no limit");
}

static void test_adhoc(struct arena *a)
{
    struct berth_error err;
    struct plan p;

    is_int(plan(a, AD("docker", CMD ",\"image\":\"reg/a\",\"args\":[\"1\"]"), &p, &err), 0,
           "ad-hoc: %s", err.text);
    ok(!p.executer && !strcmp(p.image, "reg/a") && !strcmp(p.argv[1], "1"), "as asked");
    ok(p.timeout_ms == 60000 && p.resources.memory_bytes == 512 << 20,
       "within the host's defaults");
    is_int(
        plan(a, AD("process", ",\"command\":[\"/bin/sh\"],\"network\":\"none\""), &p, &err),
        0, "any command: %s", err.text);
    is_int(
        plan(a,
             E("plain",
               ",\"files\":{\"in\":[{\"path\":\"a\",\"from\":\"/data/in/x/y\"},{\"path\":"
               "\"b\",\"from\":\"https://h/pub/x\"}],\"out\":[{\"path\":\"c\",\"to\":\"/"
               "any\"}"
               ",{\"path\":\"d\"}]}"),
             &p, &err),
        0, "allowed files: %s", err.text);
}

/* ---- the node ---- */

#define MEMINFO "MemTotal:        1000000 kB\nMemFree: 1 kB\n"

static void measure(struct node *n, struct arena *a)
{
    ok(node_measure(dir, a, n) >= 0, "measured");
}

static void test_node(struct arena *a)
{
    struct node n;
    cpu_set_t set;

    sched_getaffinity(0, sizeof set, &set);
    ok(node_measure(path_of("none"), a, &n) >= 0 && !n.memory_bytes && !n.gpu_count &&
           n.cpus >= 1,
       "a root with nothing in it");
    put("proc/meminfo", MEMINFO);
    put("proc/sys/kernel/threads-max", "5000\n");
    put("proc/sys/kernel/pid_max", "4000\n");
    measure(&n, a);
    ok(n.memory_bytes == 1024000000 && n.pids == 4000 && n.cpus == CPU_COUNT(&set),
       "no cgroups");
    put("proc/driver/nvidia/gpus/0000:81:00.0/information",
        "Model: \t X\nDevice Minor: \t 10\n");
    put("proc/driver/nvidia/gpus/0000:02:00.0/information", "Device Minor: \t 2\n");
    put("proc/driver/nvidia/gpus/0000:03:00.0/information", "Model: broken\n");
    measure(&n, a);
    ok(n.gpu_count == 2 && !strcmp(n.gpus[0], "2") && !strcmp(n.gpus[1], "10") &&
           !n.gpus[2],
       "GPUs by their minors, in order");
}

static void test_cgroups(struct arena *a)
{
    struct node n;

    put("proc/self/cgroup", "0::/sys.slice/b.service\n");
    put("proc/self/mountinfo",
        "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n");
    put("sys/fs/cgroup/sys.slice/b.service/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/sys.slice/b.service/memory.max", "max\n");
    put("sys/fs/cgroup/sys.slice/cpu.max", "50000 100000\n");
    put("sys/fs/cgroup/sys.slice/memory.max", "500000000\n");
    put("sys/fs/cgroup/sys.slice/pids.max", "77\n");
    measure(&n, a);
    ok(n.cpus == 0.5 && n.memory_bytes == 500000000 && n.pids == 77,
       "v2: an ancestor's limits");

    put("proc/self/cgroup",
        "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n3:name=systemd:/\n0::/\n");
    put("proc/self/mountinfo",
        "40 30 0:35 /docker/x /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
        "41 30 0:36 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "42 30 0:37 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n"
        "43 30 0:38 / /tmp rw - tmpfs tmpfs rw\nnonsense\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "25000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "300000000\n");
    measure(&n, a);
    ok(n.cpus == 0.25 && n.memory_bytes == 300000000,
       "v1 in a container: the mount's root is ours");

    put("proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:memory:/elsewhere\n");
    measure(&n, a);
    ok(n.cpus == 0.25 && n.memory_bytes == 300000000,
       "v1, outside of what is mounted: its top");

    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    measure(&n, a);
    ok(n.cpus >= 1 && n.memory_bytes == 1024000000, "v1 without limits");
}

static void test_capacity(struct arena *a)
{
    struct task_resources r;
    const char *const *gpus;

    node_capacity(config, a, &r, &gpus);
    ok(r.cpus == 8 && r.memory_bytes == 16LL << 30 && r.pids == 1000 && r.gpus == 2,
       "as configured");
    ok(!strcmp(gpus[1], "1") && !gpus[2], "GPUs by name");
    ok(r.disk_bytes > 0, "disk of the file system that the state directory will be on");
    config->capacity = (struct task_resources)TASK_RESOURCES_UNSET;
    config->gpus = NULL;
    node_capacity(config, a, &r, &gpus);
    ok(r.cpus > 0 && r.memory_bytes > 0 && r.pids > 0 && r.gpus >= 0 && gpus,
       "of the machine");
    config->capacity.gpus = 0;
    config->capacity.cpus = 0.25;
    node_capacity(config, a, &r, &gpus);
    ok(r.gpus == 0 && !gpus[0], "GPUs kept from tasks");

    struct berth_error err;
    struct plan p;
    ok(plan(a, E("plain", ""), &p, &err) == 0 && p.resources.cpus == 0.25,
       "a default larger than the node is cut: %s", err.text);
    is_int(plan(a, E("strict", ""), &p, &err), -EINVAL, "an executer's own is refused");
}

static void load_config(void)
{
    struct berth_error err = {0};

    put("t.conf", config_text);
    if (config_load(path_of("t.conf"), &config, &err) < 0) {
        ok(false, "%s", err.text);
        exit(tap_done());
    }
}

static void remove_all(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -r %s", dir);
    ok(system(command) == 0, "nothing is left behind");
}

int main(void)
{
    struct arena *a = arena_new();

    if (!mkdtemp(dir))
        return EXIT_FAILURE;
    load_config();
    test_refused();
    test_plain(a);
    test_strict(a);
    test_adhoc(a);
    test_node(a);
    test_cgroups(a);
    test_capacity(a);
    config_free(config);
    arena_free(a);
    remove_all();
    return tap_done();
}

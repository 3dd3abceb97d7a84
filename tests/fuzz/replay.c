/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The main of a target without libFuzzer: each file given, or all of tests/fuzz/corpus/NAME and
 * tests/fuzz/crashes/NAME, once. A crash is one: the last name printed is the input's.
 */
#include <dirent.h>
#include <errno.h>
#include <time.h>

#include "base/str.h"
#include "fuzz/fuzz.h"
#include "tap.h"

#define INPUT_MAX (16u << 20)

/* Seconds of processor time for one input; a shared machine's clock says nothing. More where it is slowed down. */
static double slow_s(void)
{
    const char *given = getenv("BERTH_FUZZ_SLOW_S");
    return given ? atof(given) : 1;
}

static double processor_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds it took; below 0: it cannot be read. */
static double feed(const char *path)
{
    char *data;
    size_t len;
    int r = read_file(path, INPUT_MAX, &data, &len);
    if (r < 0) {
        printf("# %s: %s\n", path, strerror(-r));
        return -1;
    }
    printf("# %s\n", path);
    fflush(stdout);
    double before = processor_time();
    LLVMFuzzerTestOneInput((const uint8_t *)data, len);
    free(data);
    return processor_time() - before;
}

static void feed_directory(const char *kind, const char *name, bool may_be_empty)
{
    char dir[2048], path[4096];
    const char *top = getenv("BERTH_SRCDIR");
    struct dirent **files;
    int fed = 0, good = 0;
    snprintf(dir, sizeof dir, "%s/tests/fuzz/%s/%s", top ? top : ".", kind, name);
    int n = scandir(dir, &files, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]->d_name);
        if (files[i]->d_name[0] != '.') {
            double s = feed(path);
            fed++;
            good += s >= 0 && s < slow_s();
        }
        free(files[i]);
    }
    if (n >= 0)
        free(files);
    if (n >= 0 || !may_be_empty)
        ok(fed > 0 && good == fed, "%s: %d of %d inputs of %s, each within %g s", name,
           good, fed, kind, slow_s());
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    name = strncmp(name, "lt-", 3) ? name : name + 3;
    name = strncmp(name, "fuzz-", 5) ? name : name + 5;
    for (int i = 1; i < argc; i++) {
        double s = feed(argv[i]);
        ok(s >= 0 && s < slow_s(), "%s took %.3f s", argv[i], s);
    }
    if (argc == 1) {
        feed_directory("corpus", name, false);
        feed_directory("crashes", name, true);
    }
    return tap_done();
}

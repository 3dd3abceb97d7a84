/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Trials, and TAP of what they found. */
#include "conform/trial.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fail.h"
#include "base/str.h"
#include "plugin/mark.h"

#define REPORT_MAX (256 * 1024)
#define LINE_MAX_ 600
#define LOOK_MS 5
#define TRIAL_SECONDS 120 /* for a trial as a whole */

/* Lines of the report: 'P'assed, 'F'ailed, 'S'kipped, 'D'etail, and the text. */
struct report {
    atomic_size_t len;
    atomic_int ended, feeding, feeds, fact;
    char text[REPORT_MAX];
};

static struct report *report;
static struct mark *mark;
static int count, failed;
static bool last_failed;

/* ---- in the trial ---- */

static void put(char kind, const char *format, va_list ap)
{
    char line[LINE_MAX_];
    int n = vsnprintf(line, sizeof line, format, ap);
    if (n < 0)
        return;
    clean_text(line, sizeof line - 1);
    size_t len = strlen(line), at = atomic_load(&report->len);
    if (at + len + 3 > sizeof report->text)
        return;
    report->text[at] = kind;
    memcpy(report->text + at + 1, line, len);
    report->text[at + 1 + len] = '\n';
    atomic_store(&report->len, at + len + 2);
}

__attribute__((format(printf, 2, 3))) static void putf(char kind, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    put(kind, format, ap);
    va_end(ap);
}

bool expect(bool good, const char *where, const char *rule, ...)
{
    va_list ap;
    va_start(ap, rule);
    put(good ? 'P' : 'F', rule, ap);
    va_end(ap);
    last_failed = !good;
    seen("rule: %s", where);
    return good;
}

void seen(const char *format, ...)
{
    va_list ap;
    if (!last_failed)
        return;
    va_start(ap, format);
    put('D', format, ap);
    va_end(ap);
}

void expect_skip(const char *why, const char *rule, ...)
{
    char text[LINE_MAX_];
    va_list ap;
    va_start(ap, rule);
    vsnprintf(text, sizeof text, rule, ap);
    va_end(ap);
    last_failed = false;
    putf('S', "%s # SKIP %s", text, why);
}

void remark(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    put('D', format, ap);
    va_end(ap);
}

void trial_feed(void)
{
    atomic_store(&report->feeding, 1);
}

int trial_feeds(void)
{
    return atomic_load(&report->feeds);
}

void trial_tell(int fact)
{
    atomic_store(&report->fact, fact);
}

int trial_told(void)
{
    return report ? atomic_load(&report->fact) : 0;
}

/* ---- in the parent ---- */

static void print_check(bool good, const char *subject, const char *text, size_t len)
{
    printf("%sok %d - %s: %.*s\n", good ? "" : "not ", ++count, subject, (int)len, text);
    failed += !good;
}

static void print_report(const char *subject)
{
    const char *p = report->text, *end = p + atomic_load(&report->len);
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((eol ? eol : end) - p - 1);
        if (*p == 'D')
            printf("#   %.*s\n", (int)len, p + 1);
        else
            print_check(*p != 'F', subject, p + 1, len);
        p += len + 2;
    }
}

static void print_death(const char *subject, int status, int late_seconds)
{
    struct mark at;
    char name[300] = "it reaches its end", how[200];
    bool in = mark_read(mark, &at);
    if (in)
        snprintf(name, sizeof name, "'%s' returns", at.callback);
    print_check(false, subject, name, strlen(name));
    if (late_seconds)
        snprintf(how, sizeof how, "did not return within %d s", late_seconds);
    else if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "crashed with signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "ended the process with exit status %d",
                 WEXITSTATUS(status));
    printf("#   %s %s\n", in ? at.callback : "the trial", how);
    if (in && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        printf("#   an exception that leaves a plugin, and a failed check of the "
               "allocator, look like this\n");
}

static pid_t feed_start(const char *feed)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setpgid(0, 0);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout is for TAP */
    execl("/bin/sh", "sh", "-c", feed, (char *)NULL);
    _exit(127);
}

static void feed_turn(const char *feed, pid_t *pid)
{
    int status;
    if (!feed || !atomic_load(&report->feeding))
        return;
    if (*pid > 0 && waitpid(*pid, &status, WNOHANG) == *pid) {
        *pid = 0;
        atomic_fetch_add(&report->feeds, 1);
    }
    if (!*pid)
        *pid = feed_start(feed);
}

static void kill_group(pid_t pid)
{
    if (pid > 0)
        kill(-pid, SIGKILL);
}

/* All that the trial left, however it hid: this process is the nearest subreaper. */
static void kill_rest(void)
{
    for (;;) {
        cleanup_free char *text = NULL;
        size_t len;
        if (read_file("/proc/thread-self/children", 1 << 20, &text, &len) == 0)
            for (char *p = text, *end;; p = end) {
                pid_t pid = (pid_t)strtol(p, &end, 10);
                if (end == p)
                    break;
                kill(pid, SIGKILL);
            }
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
            return;
    }
}

/* Waits for the trial. 0, or the seconds after which it was killed. */
static int wait_for_trial(pid_t pid, int limit_seconds, const char *feed, int *ret_status)
{
    struct mark at;
    uint32_t calls = 0;
    pid_t feeder = 0;
    int64_t start = now_ms(), since = 0;
    int late = 0;
    while (waitpid(pid, ret_status, WNOHANG) != pid) {
        int64_t now = now_ms();
        bool in = mark_read(mark, &at);
        if (!in || at.calls != calls)
            since = now;
        calls = at.calls;
        late = in && now - since > limit_seconds * 1000LL ? limit_seconds
               : now - start > TRIAL_SECONDS * 1000LL     ? TRIAL_SECONDS
                                                          : 0;
        if (late) {
            kill(pid, SIGKILL);
            waitpid(pid, ret_status, 0);
            break;
        }
        feed_turn(feed, &feeder);
        poll(NULL, 0, LOOK_MS);
    }
    kill_group(feeder);
    return late;
}

static _Noreturn void trial_child(trial_fn *fn, void *arg)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that children of children are seen */
    setpgid(0, 0);
    mark_use(mark);
    fn(arg);
    atomic_store(&report->ended, 1);
    _exit(0);
}

bool trial_run(const char *subject, int limit_seconds, const char *feed, trial_fn *fn,
               void *arg)
{
    int status = 0, before = failed;
    if (!report) {
        void *page = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        report = page == MAP_FAILED ? NULL : page;
        mark = mark_new();
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
    if (!report || !mark) {
        printf("Bail out! out of memory\n");
        exit(1);
    }
    memset(report, 0, sizeof *report);
    mark_clear(mark);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        printf("Bail out! cannot fork: %s\n", strerror(errno));
        exit(1);
    }
    if (pid == 0)
        trial_child(fn, arg);
    int late = wait_for_trial(pid, limit_seconds, feed, &status);
    print_report(subject);
    if (!atomic_load(&report->ended))
        print_death(subject, status, late);
    kill_group(pid);
    kill_rest();
    fflush(stdout);
    return failed == before;
}

void trial_skip(const char *what, const char *why)
{
    printf("ok %d - %s # SKIP %s\n", ++count, what, why);
}

int trials_end(void)
{
    printf("1..%d\n", count);
    if (failed)
        printf("# %d of %d checks failed\n", failed, count);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

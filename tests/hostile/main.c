/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * hostile NAME [ARGUMENT...]: payloads that do what a shell cannot, for the tests of what holds
 * them (tests/e2e/hostile-*.t). Those that try forbidden things print a line for each:
 * "refused NAME REASON" or "DONE NAME".
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"

static const struct {
    const char *name;
    hostile_fn *run;
} tools[] =
    {
        {"whoami", hostile_whoami},
        {"frozen", hostile_frozen},
},
  payloads[] = {
      {"bomb", hostile_bomb},
      {"deaf", hostile_deaf},
      {"flee", hostile_flee},
      {"stop-self", hostile_stop_self},
      {"at-parent", hostile_at_parent},
      {"disguise", hostile_disguise},
      {"linger", hostile_linger},
      {"limit-init", hostile_limit_init},
      {"flood", hostile_flood},
      {"close-all", hostile_close_all},
      {"steal-output", hostile_steal_output},
      {"descriptors", hostile_descriptors},
      {"memory", hostile_memory},
      {"disk", hostile_disk},
      {"inodes", hostile_inodes},
      {"deep", hostile_deep},
      {"pipes", hostile_pipes},
      {"keep", hostile_keep},
      {"gain", hostile_gain},
      {"reach", hostile_reach},
};

void hostile_try(const char *name, const char *what, long (*act)(const char *what))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        printf("broken %s: fork: %s\n", name, strerror(errno));
        return;
    }
    if (pid == 0) {
        errno = 0;
        long r = act(what);
        _exit(r >= 0 ? 0 : errno > 0 && errno < 255 ? errno : 255);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        printf("refused %s %s %s\n", name, what, strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        printf("refused %s %s %s\n", name, what, strerror(WEXITSTATUS(status)));
    else
        printf("DONE %s %s\n", name, what);
}

/* All of it works only too well on a machine where nothing holds it. */
static bool is_harmless(void)
{
    return getuid() && geteuid() && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < countof(tools); i++)
        if (!strcmp(argv[1], tools[i].name))
            return tools[i].run(argc - 1, argv + 1);
    if (!is_harmless()) {
        fputs("hostile: runs only as a payload: with no_new_privs, and not as root\n",
              stderr);
        return 2;
    }
    for (size_t i = 0; argc > 1 && i < countof(payloads); i++)
        if (!strcmp(argv[1], payloads[i].name))
            return payloads[i].run(argc - 1, argv + 1);
    fprintf(stderr, "usage: hostile NAME [ARGUMENT...], where NAME is one of");
    for (size_t i = 0; i < countof(payloads); i++)
        fprintf(stderr, " %s", payloads[i].name);
    fputc('\n', stderr);
    return 2;
}

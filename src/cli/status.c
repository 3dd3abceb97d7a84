/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Exit statuses, and what is said with them. */
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"

int cli_fail_here(struct cli *c, int status)
{
    fprintf(stderr, "berth: %s\n", c->err.text);
    return status;
}

int cli_fail(struct cli *c)
{
    fprintf(stderr, "berth: %s\n", c->err.text);
    switch (c->err.code) {
    case ENOENT:
        return EXIT_NOT_FOUND;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        return EXIT_NO_DAEMON;
    case EINVAL:
    case EPERM:
    case E2BIG:
    case EEXIST:
    case EAGAIN:
    case ENOSPC:
        return EXIT_REFUSED;
    default:
        return EXIT_BAD;
    }
}

int cli_verdict_status(const char *verdict)
{
    int v = berth_verdict_parse(verdict);
    if (v == BERTH_VERDICT_SUCCEEDED)
        return EXIT_GOOD;
    return v == BERTH_VERDICT_REJECTED ? EXIT_REFUSED : EXIT_VERDICT + v;
}

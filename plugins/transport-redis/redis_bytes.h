/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A buffer that grows, and commands of the Redis protocol written into one. */
#ifndef REDIS_BYTES_H
#define REDIS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    char *data;
    size_t len, cap;
    bool failed; /* out of memory: what was put since is missing */
};

void bytes_free(struct bytes *b);
void bytes_put(struct bytes *b, const void *data, size_t len);
void bytes_drop(struct bytes *b, size_t len); /* from the front */

#define DIGEST 17 /* with its NUL */
/* FNV-1a, 64 bits: tells an honest sender's two tasks of one id apart; it guards against nobody. */
void bytes_digest(const void *data, size_t len, char ret[DIGEST]);

/* A command: arguments first, then link_send or cmd_write puts the count in front. */
struct cmd {
    struct bytes args;
    unsigned count;
};

void cmd_free(struct cmd *c);
void cmd_data(struct cmd *c, const void *data, size_t len);
void cmd_str(struct cmd *c, const char *s);
void cmd_int(struct cmd *c, int64_t n);
void cmd_words(struct cmd *c, const char *words); /* separated by one blank each */
void cmd_add(struct cmd *c, const struct cmd *more); /* its arguments behind those of c */
int cmd_write(const struct cmd *c,
              struct bytes *out); /* 0 or -ENOMEM, then nothing is written */

#endif

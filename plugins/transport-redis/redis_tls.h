/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * TLS as a filter between a socket and the protocol, in memory: the link does all I/O. Nothing else names
 * OpenSSL; without it each function fails and says so.
 */
#ifndef REDIS_TLS_H
#define REDIS_TLS_H

#include "redis_bytes.h"

struct tls_config;
struct tls;

/* Files may be NULL; ca NULL: the system's certificates. 0, or -errno with why. */
int tls_config_new(const char *ca, const char *cert, const char *key,
                   struct tls_config **ret, char *why, size_t why_size);
void tls_config_free(struct tls_config *c);

/* host: what the certificate must be for. NULL: out of memory. */
struct tls *tls_new(struct tls_config *c, const char *host);
void tls_free(struct tls *t);

/* Each appends to `out` what is to be sent. -EPROTO with why, else 0. */
int tls_start(struct tls *t, struct bytes *out, char *why, size_t why_size);
int tls_write(struct tls *t, const void *data, size_t len, struct bytes *out, char *why,
              size_t why_size);
/* Takes what came from the socket, and appends what it says to `in`. */
int tls_read(struct tls *t, const void *data, size_t len, struct bytes *in,
             struct bytes *out, char *why, size_t why_size);
bool tls_is_up(const struct tls *t);

#endif

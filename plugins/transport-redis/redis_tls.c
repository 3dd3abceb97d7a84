/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* TLS on two memory buffers. */
#include "redis_tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef REDIS_WITH_TLS

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct tls_config {
    SSL_CTX *ctx;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

static int tls_failed(const char *what, char *why, size_t why_size)
{
    char reason[160] = "the other side closed";
    unsigned long code = ERR_get_error();
    if (code)
        ERR_error_string_n(code, reason, sizeof reason);
    snprintf(why, why_size, "%s: %s", what, reason);
    ERR_clear_error();
    return -EPROTO;
}

int tls_config_new(const char *ca, const char *cert, const char *key,
                   struct tls_config **ret, char *why, size_t why_size)
{
    struct tls_config *c = calloc(1, sizeof *c);
    int good = c && (c->ctx = SSL_CTX_new(TLS_client_method())) != NULL;
    if (good) {
        SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
        SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
        good = ca ? SSL_CTX_load_verify_locations(c->ctx, ca, NULL)
                  : SSL_CTX_set_default_verify_paths(c->ctx);
    }
    if (good && cert)
        good = SSL_CTX_use_certificate_chain_file(c->ctx, cert) == 1 &&
               SSL_CTX_use_PrivateKey_file(c->ctx, key ? key : cert, SSL_FILETYPE_PEM) == 1;
    if (good) {
        *ret = c;
        return 0;
    }
    int rc = tls_failed("cannot set up TLS", why, why_size);
    tls_config_free(c);
    return rc;
}

void tls_config_free(struct tls_config *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ctx);
    free(c);
}

/* A name is sent (SNI) and checked as a name, an address as an address. */
static int tls_expect(SSL *ssl, const char *host)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    return SSL_set_tlsext_host_name(ssl, host) && SSL_set1_host(ssl, host);
}

struct tls *tls_new(struct tls_config *c, const char *host)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->ssl = SSL_new(c->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->ssl && t->in && t->out) {
        SSL_set_bio(t->ssl, t->in, t->out);
        SSL_set_connect_state(t->ssl);
        if (tls_expect(t->ssl, host))
            return t;
    } else {
        BIO_free(t->in);
        BIO_free(t->out);
    }
    tls_free(t);
    return NULL;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

static void tls_collect(struct tls *t, struct bytes *out)
{
    char piece[4096];
    int n;
    while ((n = BIO_read(t->out, piece, sizeof piece)) > 0)
        bytes_put(out, piece, (size_t)n);
}

/* 0 or -EPROTO: what one call of OpenSSL returned. */
static int tls_step(struct tls *t, int result, struct bytes *out, char *why,
                    size_t why_size)
{
    int error = result > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, result);
    tls_collect(t, out);
    if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ ||
        error == SSL_ERROR_WANT_WRITE)
        return 0;
    long bad = SSL_get_verify_result(t->ssl);
    if (bad == X509_V_OK)
        return tls_failed("TLS", why, why_size);
    snprintf(why, why_size, "TLS: the server's certificate is not accepted: %s",
             X509_verify_cert_error_string(bad));
    ERR_clear_error();
    return -EPROTO;
}

int tls_start(struct tls *t, struct bytes *out, char *why, size_t why_size)
{
    return tls_step(t, SSL_do_handshake(t->ssl), out, why, why_size);
}

int tls_write(struct tls *t, const void *data, size_t len, struct bytes *out, char *why,
              size_t why_size)
{
    size_t done;
    return tls_step(t, SSL_write_ex(t->ssl, data, len, &done), out, why, why_size);
}

int tls_read(struct tls *t, const void *data, size_t len, struct bytes *in,
             struct bytes *out, char *why, size_t why_size)
{
    char piece[16384];
    size_t n;
    if (BIO_write(t->in, data, (int)len) != (int)len)
        return tls_failed("TLS", why, why_size);
    if (!SSL_is_init_finished(t->ssl)) {
        int rc = tls_step(t, SSL_do_handshake(t->ssl), out, why, why_size);
        if (rc < 0 || !SSL_is_init_finished(t->ssl))
            return rc;
    }
    int result;
    while ((result = SSL_read_ex(t->ssl, piece, sizeof piece, &n)) > 0)
        bytes_put(in, piece, n);
    return tls_step(t, result, out, why, why_size);
}

bool tls_is_up(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

#else

#include <string.h>

int tls_config_new(const char *ca, const char *cert, const char *key,
                   struct tls_config **ret, char *why, size_t why_size)
{
    (void)ca, (void)cert, (void)key, (void)ret;
    snprintf(why, why_size,
             "this berth was built without TLS (OpenSSL was missing): let stunnel "
             "speak it, and connect to that with redis:// or unix://");
    return -EPROTO;
}
void tls_config_free(struct tls_config *c)
{
    (void)c;
}
struct tls *tls_new(struct tls_config *c, const char *host)
{
    (void)c, (void)host;
    return NULL;
}
void tls_free(struct tls *t)
{
    (void)t;
}
int tls_start(struct tls *t, struct bytes *out, char *why, size_t why_size)
{
    (void)t, (void)out, (void)why, (void)why_size;
    return -EPROTO;
}
int tls_write(struct tls *t, const void *data, size_t len, struct bytes *out, char *why,
              size_t why_size)
{
    (void)t, (void)data, (void)len, (void)out, (void)why, (void)why_size;
    return -EPROTO;
}
int tls_read(struct tls *t, const void *data, size_t len, struct bytes *in,
             struct bytes *out, char *why, size_t why_size)
{
    (void)t, (void)data, (void)len, (void)in, (void)out, (void)why, (void)why_size;
    return -EPROTO;
}
bool tls_is_up(const struct tls *t)
{
    (void)t;
    return false;
}

#endif

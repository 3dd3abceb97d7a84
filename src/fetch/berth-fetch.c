/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * berth-fetch get|put: one http(s) transfer between a URL and standard input or output, for
 * staging files. The URL stands in the environment, so that a signature in it is not in the
 * list of processes. Redirects are not followed: the operator allowed this URL, not where
 * its server points. The only user of libcurl.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "fetch/fetch.h"

#define CONNECT_SECONDS 30L
#define STALL_SECONDS 60L

static size_t write_out(char *data, size_t size, size_t count, void *arg)
{
    size_t len = size * count;
    (void)arg;
    for (size_t done = 0; done < len;) {
        ssize_t n = write(STDOUT_FILENO, data + done, len - done);
        if (n < 0)
            return 0;
        done += (size_t)n;
    }
    return len;
}

static size_t read_in(char *data, size_t size, size_t count, void *arg)
{
    (void)arg;
    ssize_t n = read(STDIN_FILENO, data, size * count);
    return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

/* The answer to a PUT is of no interest, and standard output not its place. */
static size_t write_nothing(char *data, size_t size, size_t count, void *arg)
{
    (void)data, (void)arg;
    return size * count;
}

static void set_common(CURL *c, const char *url, char *why)
{
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "berth-fetch");
}

static void set_get(CURL *c)
{
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, write_out);
}

static void set_put(CURL *c)
{
    off_t size = lseek(STDIN_FILENO, 0, SEEK_END);
    lseek(STDIN_FILENO, 0, SEEK_SET);
    curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, read_in);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, write_nothing);
    curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
                     (curl_off_t)size); /* -1, of a pipe: not known */
}

static int finish(CURL *c, CURLcode rc, const char *why)
{
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (rc == CURLE_OK && status >= 300) {
        fprintf(stderr,
                "the server redirects (status %ld): allow and give its target instead\n",
                status);
        return FETCH_EXIT_REFUSED;
    }
    if (rc == CURLE_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s\n", *why ? why : curl_easy_strerror(rc));
    return (status >= 400 && status < 500 && status != 408 && status != 429) ||
                   rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL
               ? FETCH_EXIT_REFUSED
               : FETCH_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    static char why[CURL_ERROR_SIZE];
    const char *url = getenv(FETCH_URL);
    int is_get = argc == 2 && !strcmp(argv[1], "get");
    int is_put = argc == 2 && !strcmp(argv[1], "put");
    if (!url || (!is_get && !is_put)) {
        fprintf(stderr, "usage: " FETCH_URL "=URL berth-fetch get|put\n");
        return FETCH_EXIT_USAGE;
    }
    CURL *c = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!c) {
        fprintf(stderr, "libcurl cannot be started\n");
        return FETCH_EXIT_FAILED;
    }
    set_common(c, url, why);
    if (is_get)
        set_get(c);
    else
        set_put(c);
    CURLcode rc = curl_easy_perform(c);
    int status = finish(c, rc, why);
    curl_easy_cleanup(c);
    return status;
}

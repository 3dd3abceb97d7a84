/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What the fuzz targets share. A target is one function that is given bytes of foreign origin and has to
 * survive them. Linked with libFuzzer it is fed with new ones (tests/fuzz/run); linked with
 * replay.c, as everywhere else, with the files of tests/fuzz/corpus and tests/fuzz/crashes.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "codec/value.h"

/* 0: good; -1: libFuzzer should not keep this input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise that must hold for every input. */
#define fuzz_check(condition) \
    ((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition, NULL))
#define fuzz_check_said(condition, text) \
    ((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition, (text)))
_Noreturn void fuzz_failed(const char *file, int line, const char *condition,
                           const char *text);

/* r says what err must: nothing said on success; a code and a text on failure. */
void fuzz_check_error(int r, const struct berth_error *err);

/* Ends the program if r < 0: for what a target sets up before it can begin. */
void fuzz_must(int r, const char *what);

/* A file in memory under a fixed number; its path is "/proc/self/fd/NUMBER". */
void fuzz_file(int number, const void *data, size_t len);

/* A directory of this process, removed at exit. */
const char *fuzz_dir(void);

/* The next line of the input, copied and NUL-terminated; NULL at the end. Free it. */
struct fuzz_lines {
    const char *p, *end;
};
char *fuzz_line(struct fuzz_lines *in);

/* A map from JSON; NULL if it is no map. */
struct value *fuzz_map(struct arena *a, const char *json);
/* The same, where JSON cannot say all: a map under the key "task" becomes the binary of its msgpack. */
struct value *fuzz_map_packed(struct arena *a, const char *json);

/* Nothing is logged but by berth itself. */
void fuzz_quiet(void);

#endif

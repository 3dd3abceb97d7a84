/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The contract, as trials. Each takes a const struct subject. */
#ifndef CONFORM_RULES_H
#define CONFORM_RULES_H

#include "conform/contact.h"

/* What rules_load tells the parent with trial_tell: bits. */
#define KIND_RUNTIME 0x1
#define KIND_TRANSPORT 0x2
#define KIND_FULL 0x4 /* the form of a runtime */
#define KIND_PREPARE 0x8

/* general.c */
void rules_file(void *subject);
void rules_load(void *subject);
void rules_lifecycle(void *subject);
/* runtime.c */
void rules_probe(void *subject);
void rules_command(void *subject);
void rules_run(void *subject);
void rules_end(void *subject); /* collect, signal, cleanup */
void rules_prepare(void *subject);
/* transport.c */
void rules_idle(void *subject);
void rules_serve(void *subject);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What can be seen of a shared object without loading it. */
#ifndef CONFORM_ELF_H
#define CONFORM_ELF_H

#include <stdbool.h>
#include <stddef.h>

#include <berth/error.h>

struct elf;
/* -ENOEXEC with the reason if it cannot be read as a shared object of this machine. */
int elf_open(const char *path, struct elf **ret, struct berth_error *err);
void elf_free(struct elf *e);

bool elf_has_symbols(const struct elf *e); /* false: its section headers were stripped */
/* Calls fn for each global symbol of the dynamic table: defined here, or asked of others. */
void elf_symbols(const struct elf *e, bool defined, void (*fn)(void *arg, const char *name),
                 void *arg);
void elf_needed(const struct elf *e, void (*fn)(void *arg, const char *library), void *arg);
const char *elf_search_path(const struct elf *e); /* RPATH or RUNPATH, NULL if none */
/* Functions that run at load, but for the one that every shared object has. */
size_t elf_constructors(const struct elf *e);
bool elf_wants_executable_stack(const struct elf *e);
bool elf_has_text_relocations(const struct elf *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Reading a shared object from its bytes. Each offset is checked: the file may be anything. */
#include "conform/elf.h"

#include <errno.h>
#include <link.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"

#define FILE_MAX_ (512u << 20)

struct elf {
    char *data;
    size_t len;
    const ElfW(Ehdr) * head;
    const ElfW(Dyn) * dyn;
    size_t dyn_count;
    const char *strings; /* of the dynamic section; NUL-terminated */
    size_t strings_len;
    const ElfW(Sym) * symbols; /* NULL: no section headers */
    size_t symbol_count;
};

/* The bytes, or NULL if they are not all there or badly placed. */
static const void *at(const struct elf *e, uint64_t offset, uint64_t len, size_t align)
{
    if (offset > e->len || len > e->len - offset || offset % align)
        return NULL;
    return e->data + offset;
}

static const ElfW(Phdr) * header_of(const struct elf *e, size_t i)
{
    if (i >= e->head->e_phnum)
        return NULL;
    return at(e, e->head->e_phoff + i * sizeof(ElfW(Phdr)), sizeof(ElfW(Phdr)),
              sizeof(void *));
}

/* Address in memory to bytes in the file. */
static const char *mapped(const struct elf *e, uint64_t address, uint64_t len)
{
    const ElfW(Phdr) * p;
    for (size_t i = 0; (p = header_of(e, i)); i++)
        if (p->p_type == PT_LOAD && address >= p->p_vaddr &&
            address - p->p_vaddr <= p->p_filesz &&
            len <= p->p_filesz - (address - p->p_vaddr))
            return at(e, p->p_offset + (address - p->p_vaddr), len, 1);
    return NULL;
}

static bool dyn_value(const struct elf *e, ElfW(Sxword) tag, uint64_t *ret)
{
    for (size_t i = 0; i < e->dyn_count && e->dyn[i].d_tag != DT_NULL; i++)
        if (e->dyn[i].d_tag == tag) {
            *ret = e->dyn[i].d_un.d_val;
            return true;
        }
    return false;
}

static void find_dynamic(struct elf *e)
{
    const ElfW(Phdr) * p;
    uint64_t address, len;
    for (size_t i = 0; (p = header_of(e, i)); i++)
        if (p->p_type == PT_DYNAMIC) {
            e->dyn = at(e, p->p_offset, p->p_filesz, sizeof(void *));
            e->dyn_count = e->dyn ? p->p_filesz / sizeof *e->dyn : 0;
        }
    if (!dyn_value(e, DT_STRTAB, &address) || !dyn_value(e, DT_STRSZ, &len) || !len)
        return;
    e->strings = mapped(e, address, len);
    if (e->strings && e->strings[len - 1] == '\0')
        e->strings_len = len;
}

static void find_symbols(struct elf *e)
{
    for (size_t i = 0; i < e->head->e_shnum; i++) {
        const ElfW(Shdr) *s =
            at(e, e->head->e_shoff + i * sizeof *s, sizeof *s, sizeof(void *));
        if (!s || s->sh_type != SHT_DYNSYM)
            continue;
        e->symbols = at(e, s->sh_offset, s->sh_size, sizeof(void *));
        e->symbol_count = e->symbols ? s->sh_size / sizeof *e->symbols : 0;
    }
}

int elf_open(const char *path, struct elf **ret, struct berth_error *err)
{
    struct elf *e = calloc(1, sizeof *e);
    if (!e)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = read_file(path, FILE_MAX_, &e->data, &e->len);
    if (rc < 0) {
        elf_free(e);
        return berth_fail_errno(err, -rc, "cannot read '%s'", path);
    }
    e->head = at(e, 0, sizeof *e->head, 1);
    if (!e->head || memcmp(e->head->e_ident, ELFMAG, SELFMAG) != 0 ||
        e->head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        e->head->e_type != ET_DYN) {
        elf_free(e);
        return berth_fail(err, ENOEXEC, "'%s' is no shared object for this machine", path);
    }
    find_dynamic(e);
    find_symbols(e);
    *ret = e;
    return 0;
}

void elf_free(struct elf *e)
{
    if (!e)
        return;
    free(e->data);
    free(e);
}

static const char *string_of(const struct elf *e, uint64_t offset)
{
    return offset < e->strings_len ? e->strings + offset : "";
}

bool elf_has_symbols(const struct elf *e)
{
    return e->symbols != NULL;
}

void elf_symbols(const struct elf *e, bool defined, void (*fn)(void *arg, const char *name),
                 void *arg)
{
    for (size_t i = 1; i < e->symbol_count; i++) {
        const ElfW(Sym) *s = &e->symbols[i];
        unsigned bind = ELF64_ST_BIND(s->st_info), seen = ELF64_ST_VISIBILITY(s->st_other);
        bool here = s->st_shndx != SHN_UNDEF;
        if (here != defined || bind == STB_LOCAL || (bind == STB_WEAK && !defined) ||
            seen == STV_HIDDEN || seen == STV_INTERNAL || !*string_of(e, s->st_name))
            continue;
        fn(arg, string_of(e, s->st_name));
    }
}

void elf_needed(const struct elf *e, void (*fn)(void *arg, const char *library), void *arg)
{
    for (size_t i = 0; i < e->dyn_count && e->dyn[i].d_tag != DT_NULL; i++)
        if (e->dyn[i].d_tag == DT_NEEDED)
            fn(arg, string_of(e, e->dyn[i].d_un.d_val));
}

const char *elf_search_path(const struct elf *e)
{
    uint64_t offset;
    if (dyn_value(e, DT_RUNPATH, &offset) || dyn_value(e, DT_RPATH, &offset))
        return string_of(e, offset);
    return NULL;
}

/* The compiler's start files put one function there, frame_dummy. */
size_t elf_constructors(const struct elf *e)
{
    uint64_t bytes;
    if (!dyn_value(e, DT_INIT_ARRAYSZ, &bytes))
        return 0;
    size_t count = bytes / sizeof(void *);
    return count ? count - 1 : 0;
}

bool elf_wants_executable_stack(const struct elf *e)
{
    const ElfW(Phdr) * p;
    for (size_t i = 0; (p = header_of(e, i)); i++)
        if (p->p_type == PT_GNU_STACK)
            return p->p_flags & PF_X;
    return true; /* without a word about it the kernel and the linker assume so */
}

bool elf_has_text_relocations(const struct elf *e)
{
    uint64_t v;
    return dyn_value(e, DT_TEXTREL, &v) || (dyn_value(e, DT_FLAGS, &v) && v & DF_TEXTREL);
}

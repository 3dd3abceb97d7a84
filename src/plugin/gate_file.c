/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Is this file fit to be mapped? Looks at the open file, and at the directories that lead
 * to it. */
#include "plugin/gates.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"

/* The worker that loads has often another uid than the one who started berthd; that one was
 * root then. */
static bool is_trusted(uid_t uid)
{
    return uid == 0 || uid == geteuid() || uid == getuid();
}

/* what: the file, or its directory; place: its path. */
static int gate_mode(const struct stat *st, const char *path, const char *what,
                     const char *place, struct berth_error *err)
{
    if (!is_trusted(st->st_uid))
        return berth_fail(
            err, EPERM,
            "plugin '%s': %s is owned by uid %u, neither root nor the user of berthd: "
            "chown root '%s'",
            path, what, (unsigned)st->st_uid, place);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return berth_fail(
            err, EPERM,
            "plugin '%s': %s can be written by others (mode %04o): chmod go-w '%s'", path,
            what, (unsigned)(st->st_mode & 07777), place);
    return 0;
}

/* The directory of place, which is path, or what path leads to. */
static int gate_dir(const char *path, const char *place, struct berth_error *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(place, '/');
    int len = !slash || slash == place ? 1 : (int)(slash - place);
    if (snprintf(dir, sizeof(dir), "%.*s", len, slash ? place : ".") >= (int)sizeof(dir))
        return berth_fail(err, ENAMETOOLONG, "path '%s' is too long", path);
    struct stat st;
    if (stat(dir, &st) < 0)
        return berth_fail_errno(err, errno, "plugin '%s': directory '%s'", path, dir);
    return gate_mode(&st, path, "its directory", dir, err);
}

/* A symbolic link leads from one directory to another: both count. */
static int gate_dirs(int fd, const char *path, struct berth_error *err)
{
    char link[64], real[PATH_MAX];
    int r = gate_dir(path, path, err);
    if (r < 0)
        return r;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, sizeof(real) - 1);
    if (n < 0)
        return berth_fail_errno(err, errno, "plugin '%s': cannot read '%s'", path, link);
    real[n] = '\0';
    return real[0] == '/' && strcmp(real, path) ? gate_dir(path, real, err) : 0;
}

static bool is_for_this_machine(const ElfW(Ehdr) * eh)
{
    cleanup_close int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ElfW(Ehdr) own;
    if (fd < 0 || pread(fd, &own, sizeof(own), 0) != (ssize_t)sizeof(own))
        return true; /* dlopen decides then */
    return eh->e_ident[EI_CLASS] == own.e_ident[EI_CLASS] &&
           eh->e_ident[EI_DATA] == own.e_ident[EI_DATA] && eh->e_machine == own.e_machine;
}

/* The dynamic linker trusts the program headers: a file cut short costs it a SIGBUS. */
static bool is_whole(int fd, const ElfW(Ehdr) * eh, uint64_t size)
{
    if (eh->e_phentsize != sizeof(ElfW(Phdr)))
        return false;
    for (unsigned i = 0; i < eh->e_phnum; i++) {
        ElfW(Phdr) ph;
        off_t at = (off_t)(eh->e_phoff + i * sizeof(ph));
        if (pread(fd, &ph, sizeof(ph), at) != (ssize_t)sizeof(ph))
            return false;
        if (ph.p_offset > size || ph.p_filesz > size - ph.p_offset)
            return false;
    }
    return eh->e_phnum > 0;
}

static int gate_elf(int fd, uint64_t size, const char *path, struct berth_error *err)
{
    ElfW(Ehdr) eh;
    ssize_t n = pread(fd, &eh, sizeof(eh), 0);
    if (n < 0)
        return berth_fail_errno(err, errno, "plugin '%s': cannot read it", path);
    if (n < (ssize_t)sizeof(eh) || memcmp(eh.e_ident, ELFMAG, SELFMAG))
        return berth_fail(err, ENOEXEC,
                          "plugin '%s' is not a shared object: build it with -shared",
                          path);
    if (!is_for_this_machine(&eh))
        return berth_fail(err, ENOEXEC, "plugin '%s' was built for another kind of machine",
                          path);
    if (eh.e_type != ET_DYN)
        return berth_fail(err, ENOEXEC,
                          "plugin '%s' is not a shared object: build it with -shared",
                          path);
    if (!is_whole(fd, &eh, size))
        return berth_fail(err, ENOEXEC, "plugin '%s' is cut short: install it again", path);
    return 0;
}

int gate_file(int fd, const char *path, struct berth_error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return berth_fail_errno(err, errno, "plugin '%s'", path);
    if (!S_ISREG(st.st_mode))
        return berth_fail(err, ENOEXEC, "plugin '%s' is not a regular file", path);
    int r = gate_mode(&st, path, "the file", path, err);
    if (r == 0)
        r = gate_dirs(fd, path, err);
    return r < 0 ? r : gate_elf(fd, (uint64_t)st.st_size, path, err);
}

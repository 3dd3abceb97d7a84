/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Unix sockets by path. */
#include <errno.h>
#include <sys/stat.h>

#include "../tap.h"
#include "base/fail.h"
#include "base/str.h"
#include "wire/conn.h"

static void test_invalid(void)
{
    struct berth_error err = {0};

    is_int(unix_listen(NULL, 0600, &err), -EINVAL, "listen: no path");
    is_int(unix_listen("", 0600, &err), -EINVAL, "listen: empty path");
    is_int(unix_listen("/nowhere/at/all", 0600, &err), -ENOENT, "listen: no directory");
    is_int(unix_connect(NULL, &err), -EINVAL, "connect: no path");
    is_int(unix_connect("", &err), -EINVAL, "connect: empty path");
}

static void check_path(const char *path)
{
    struct berth_error err = {0};
    cleanup_close int l = unix_listen(path, 0620, &err), c = -1, again = -1;
    struct stat st;

    if (!ok(l >= 0, "listen, %zu characters", strlen(path)))
        printf("# %s\n", err.text);
    ok(!stat(path, &st) && (st.st_mode & 0777) == 0620, "its mode, whatever the umask");
    c = unix_connect(path, &err);
    ok(c >= 0, "connect");
    again = unix_listen(path, 0600, &err);
    ok(again >= 0, "an old socket is replaced");
    unlink(path);
    is_int(unix_connect(path, &err), -ENOENT, "nobody listens");
    has_str(err.text, "cannot connect to '/tmp/berth-test-", "says where");
}

static void test_paths(void)
{
    char dir[] = "/tmp/berth-test-XXXXXX", path[400], deep[300];
    struct berth_error err = {0};
    mode_t mask = umask(0077);

    ok(mkdtemp(dir) != NULL, "directory for sockets");
    snprintf(path, sizeof(path), "%s/s", dir);
    check_path(path);
    is_int(write_file_atomic(path, "x", 1, 0600), 0, "a file in its place");
    is_int(unix_listen(path, 0600, &err), -EEXIST, "is not removed");
    has_str(err.text, "not a socket", "says why");
    ok(!unlink(path), "still there");
    snprintf(deep, sizeof(deep), "%s/%0150d", dir, 0);
    is_int(mkdir(deep, 0700), 0, "a directory with a long name");
    snprintf(path, sizeof(path), "%s/sock", deep);
    check_path(path);
    ok(!rmdir(deep) && !rmdir(dir), "nothing is left");
    umask(mask);
}

int main(void)
{
    test_invalid();
    test_paths();
    return tap_done();
}

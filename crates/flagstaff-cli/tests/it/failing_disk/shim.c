/* A disk that fails on demand: preloaded into a process, it lets writing to some of its files fail.
 *
 * The file that FAILING_DISK names says how: one rule to a line, `write NAME` or `sync NAME`, for files whose path ends
 * in that name. Without that file, or while it is empty,
 * everything works. It is read anew each time, so that the disk fails, and is well again, while the process runs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(const char *what, int file) {
    const char *control = getenv("FAILING_DISK");
    if (!control) return 0;
    int saved = errno;
    char rules[4096];
    int opened = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    if (opened < 0) {
        errno = saved;
        return 0;
    }
    ssize_t size = read(opened, rules, sizeof rules - 1);
    close(opened);
    errno = saved;
    if (size <= 0) return 0;
    rules[size] = 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length <= 0) return 0;
    path[length] = 0;
    char *rest = NULL;
    for (char *rule = strtok_r(rules, "\n", &rest); rule; rule = strtok_r(NULL, "\n", &rest)) {
        size_t word = strlen(what);
        if (strncmp(rule, what, word) != 0 || rule[word] != ' ') continue;
        const char *name = rule + word + 1;
        size_t size_of_name = strlen(name);
        if ((size_t)length >= size_of_name && strcmp(path + length - size_of_name, name) == 0) return 1;
    }
    return 0;
}

#define REAL(type, name, ...)                                              \
    static type (*real)(__VA_ARGS__);                                      \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (fails("write", file)) return errno = EIO, -1;
    return real(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    if (fails("write", file)) return errno = EIO, -1;
    return real(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    if (fails("write", file)) return errno = EIO, -1;
    return real(file, bytes, count, at);
}

int fsync(int file) {
    REAL(int, "fsync", int);
    if (fails("sync", file)) return errno = EIO, -1;
    return real(file);
}

int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    if (fails("sync", file)) return errno = EIO, -1;
    return real(file);
}

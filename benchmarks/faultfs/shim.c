/* Preloaded (LD_PRELOAD) into a process: logs, or refuses, what it does to files below one folder.
 * shim_set() chooses; without it every call goes straight through. One thread at a time is assumed to be watched. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char prefix[PATH_MAX];
static int log_fd = -1;
static long fail_at = -1, count = 0;
static int fail_errno = 0, sticky = 0, short_write = 0;

#define REAL(name, type) static __typeof__(type) real; if (!real) real = (__typeof__(type))dlsym(RTLD_NEXT, name)

void shim_set(const char *folder, int log, long at, int error, int stays, int cut) {
    strncpy(prefix, folder, sizeof prefix - 1);
    log_fd = log; fail_at = at; fail_errno = error; sticky = stays; short_write = cut; count = 0;
}
long shim_count(void) { return count; }

static int below(const char *path) { return prefix[0] && path && !strncmp(path, prefix, strlen(prefix)); }
static int path_of(int fd, char *out) {
    char link[64]; snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    char *gone = strstr(out, " (deleted)"); if (gone) *gone = 0;
    return below(out);
}
static void put(const char *op, const char *a, const char *b, long long at, const void *data, long long size) {
    if (log_fd < 0) return;
    char head[3 * PATH_MAX];
    int n = snprintf(head, sizeof head, "%s\t%s\t%s\t%lld\t%lld\n", op, a, b ? b : "", at, size);
    static ssize_t (*out)(int, const void *, size_t);
    if (!out) out = dlsym(RTLD_NEXT, "write");
    out(log_fd, head, n);
    for (long long done = 0; data && done < size; ) done += out(log_fd, (const char *)data + done, size - done);
}
/* 1: this operation is to fail */
static int refuse(void) {
    if (fail_at < 0) { count++; return 0; }
    long now = count++;
    if (now == fail_at || (sticky && now > fail_at)) { errno = fail_errno; return 1; }
    return 0;
}

static int opened(const char *path, int flags, int existed) {
    if (!below(path)) return 0;
    if ((flags & O_CREAT) && !existed) return 1;
    if (existed && (flags & O_TRUNC)) return 2;
    return 0;
}
#define OPEN_BODY(call) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list v; va_start(v, flags); mode = va_arg(v, mode_t); va_end(v); } \
    int existed = below(path) && !access(path, F_OK); int what = opened(path, flags, existed); \
    if (what && refuse()) return -1; \
    int fd = call; \
    if (fd >= 0 && what) put(what == 1 ? "create" : "truncate", path, 0, 0, 0, 0); \
    return fd;
int open(const char *path, int flags, ...) { REAL("open", int (*)(const char *, int, ...)); OPEN_BODY(real(path, flags, mode)) }
int open64(const char *path, int flags, ...) { REAL("open64", int (*)(const char *, int, ...)); OPEN_BODY(real(path, flags, mode)) }
int openat(int d, const char *path, int flags, ...) { REAL("openat", int (*)(int, const char *, int, ...)); OPEN_BODY(real(d, path, flags, mode)) }
int openat64(int d, const char *path, int flags, ...) { REAL("openat64", int (*)(int, const char *, int, ...)); OPEN_BODY(real(d, path, flags, mode)) }

static ssize_t written(int fd, const void *data, size_t size, off64_t at, ssize_t (*direct)(int, const void *, size_t),
                       ssize_t (*placed)(int, const void *, size_t, off64_t)) {
    char path[PATH_MAX];
    if (!prefix[0] || !path_of(fd, path)) return placed ? placed(fd, data, size, at) : direct(fd, data, size);
    if (refuse()) {
        if (!short_write || size < 2) return -1;
        size /= 2; errno = 0;
    }
    ssize_t n = placed ? placed(fd, data, size, at) : direct(fd, data, size);
    if (n > 0) put("write", path, 0, placed ? at : lseek64(fd, 0, SEEK_CUR) - n, data, n);
    return n;
}
ssize_t write(int fd, const void *data, size_t size) {
    REAL("write", ssize_t (*)(int, const void *, size_t)); return written(fd, data, size, 0, real, 0);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL("pwrite", ssize_t (*)(int, const void *, size_t, off64_t)); return written(fd, data, size, at, 0, real);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t)); return written(fd, data, size, at, 0, real);
}
#define ON_FD(name, op, type, args, pass, at) int name args { REAL(#name, type); char path[PATH_MAX]; \
    if (!prefix[0] || !path_of(fd, path)) return real pass; \
    if (refuse()) return -1; \
    int r = real pass; if (!r) put(op, path, 0, at, 0, 0); return r; }
ON_FD(ftruncate, "resize", int (*)(int, off_t), (int fd, off_t size), (fd, size), size)
ON_FD(ftruncate64, "resize", int (*)(int, off64_t), (int fd, off64_t size), (fd, size), size)
ON_FD(fsync, "sync", int (*)(int), (int fd), (fd), 0)
ON_FD(fdatasync, "sync", int (*)(int), (int fd), (fd), 0)
#define ON_PATH(name, op, type, args, pass, a, b) int name args { REAL(#name, type); \
    if (!below(a)) return real pass; \
    if (refuse()) return -1; \
    int r = real pass; if (!r) put(op, a, b, 0, 0, 0); return r; }
ON_PATH(rename, "rename", int (*)(const char *, const char *), (const char *a, const char *b), (a, b), a, b)
ON_PATH(renameat, "rename", int (*)(int, const char *, int, const char *), (int x, const char *a, int y, const char *b), (x, a, y, b), a, b)
ON_PATH(link, "link", int (*)(const char *, const char *), (const char *a, const char *b), (a, b), a, b)
ON_PATH(linkat, "link", int (*)(int, const char *, int, const char *, int), (int x, const char *a, int y, const char *b, int f), (x, a, y, b, f), a, b)
ON_PATH(unlink, "unlink", int (*)(const char *), (const char *a), (a), a, 0)
ON_PATH(unlinkat, "unlink", int (*)(int, const char *, int), (int x, const char *a, int f), (x, a, f), a, 0)
ON_PATH(mkdir, "mkdir", int (*)(const char *, mode_t), (const char *a, mode_t m), (a, m), a, 0)
ON_PATH(mkdirat, "mkdir", int (*)(int, const char *, mode_t), (int x, const char *a, mode_t m), (x, a, m), a, 0)

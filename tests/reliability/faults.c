// Preloaded into a command (LD_PRELOAD), makes one of its calls on files fail, or ends the process before it. Calls are
// counted on files below REWIND_FAULT_FOLDER only, so that the same number means the same call in every run.
//   REWIND_FAULT=count           writes the number of calls to the file REWIND_FAULT_COUNT when the process ends
//   REWIND_FAULT=kill:N          SIGKILL before call N
//   REWIND_FAULT=enospc:N, eio:N that call and all later calls that write fail so
//   REWIND_FAULT=eintr:N         call N is interrupted once
//   REWIND_FAULT=short:N         from call N on writes take half of what they are given, at least one byte
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int calls;
static atomic_char watched[4096];
static char kind[16];
static int at;
static const char* folder;

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  const char* fault = getenv("REWIND_FAULT");
  folder = getenv("REWIND_FAULT_FOLDER");
  if (fault != NULL) sscanf(fault, "%15[a-z]:%d", kind, &at);
}

__attribute__((destructor)) static void end(void) {
  const char* to = getenv("REWIND_FAULT_COUNT");
  if (to == NULL || strcmp(kind, "count") != 0) return;
  char text[32];
  const int n = snprintf(text, sizeof text, "%d\n", atomic_load(&calls));
  const int fd = REAL(open)(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd >= 0 && REAL(write)(fd, text, (size_t)n) == n) REAL(close)(fd);
}

static int ours(const char* path) {
  return folder != NULL && (path[0] != '/' || strncmp(path, folder, strlen(folder)) == 0);
}

static int watching(int fd) { return fd >= 0 && fd < 4096 && atomic_load(&watched[fd]); }

// Counts a call; the error that it is to fail with, 0 for none.
static int fault(int writes) {
  const int n = atomic_fetch_add(&calls, 1) + 1;
  if (n == at && strcmp(kind, "kill") == 0) raise(SIGKILL);
  if (n == at && strcmp(kind, "eintr") == 0) return EINTR;
  if (n >= at && writes && strcmp(kind, "enospc") == 0) return ENOSPC;
  if (n >= at && writes && strcmp(kind, "eio") == 0) return EIO;
  return 0;
}

#define FAIL_IF(condition, writes)               \
  if (condition) {                               \
    const int error = fault(writes);             \
    if (error != 0) return errno = error, -1;    \
  }

static int opened(const char* path, int fd) {
  if (fd >= 0 && fd < 4096) atomic_store(&watched[fd], (char)ours(path));
  return fd;
}

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  FAIL_IF(ours(path), (flags & O_CREAT) != 0)
  return opened(path, REAL(open)(path, flags, mode));
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  FAIL_IF(ours(path), (flags & O_CREAT) != 0)
  return opened(path, REAL(open)(path, flags, mode));
}
int close(int fd) {
  if (watching(fd)) fault(0);  // a close that is interrupted has closed
  if (fd >= 0 && fd < 4096) atomic_store(&watched[fd], 0);
  return REAL(close)(fd);
}
ssize_t write(int fd, const void* data, size_t n) {
  FAIL_IF(watching(fd), 1)
  const int halve = watching(fd) && strcmp(kind, "short") == 0 && atomic_load(&calls) >= at && n > 1;
  return REAL(write)(fd, data, halve ? n / 2 : n);
}
ssize_t read(int fd, void* data, size_t n) {
  FAIL_IF(watching(fd), 0)
  const int halve = watching(fd) && strcmp(kind, "short") == 0 && atomic_load(&calls) >= at && n > 1;
  return REAL(read)(fd, data, halve ? n / 2 : n);
}
int fsync(int fd) {
  FAIL_IF(watching(fd), 1)
  return REAL(fsync)(fd);
}
int fchmod(int fd, mode_t mode) {
  FAIL_IF(watching(fd), 1)
  return REAL(fchmod)(fd, mode);
}
int rename(const char* from, const char* to) {
  FAIL_IF(ours(to), 1)
  return REAL(rename)(from, to);
}
int unlink(const char* path) {
  FAIL_IF(ours(path), 0)
  return REAL(unlink)(path);
}

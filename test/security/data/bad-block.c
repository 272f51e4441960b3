/* Preloaded, it makes one block of a disk unreadable: reads of the file with inode BAD_INODE that touch byte BAD_BYTE end
 * with EIO, as those of a worn out SD card do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*reader)(int, void *, size_t, off_t);

static int is_bad(int fd, size_t count, off_t from) {
  const char *inode = getenv("BAD_INODE");
  const char *byte = getenv("BAD_BYTE");
  struct stat found;
  if (!inode || !byte || fstat(fd, &found) || found.st_ino != (ino_t)atoll(inode)) return 0;
  off_t at = atoll(byte);
  return from <= at && at < from + (off_t)count;
}

static ssize_t read_or_fail(const char *name, int fd, void *to, size_t count, off_t from) {
  if (is_bad(fd, count, from)) {
    errno = EIO;
    return -1;
  }
  return ((reader)dlsym(RTLD_NEXT, name))(fd, to, count, from);
}

ssize_t pread(int fd, void *to, size_t count, off_t from) { return read_or_fail("pread", fd, to, count, from); }
ssize_t pread64(int fd, void *to, size_t count, off_t from) { return read_or_fail("pread64", fd, to, count, from); }

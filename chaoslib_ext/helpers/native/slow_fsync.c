/* Preloaded into one process, makes every wait for its disk last MUSTER_FSYNC_MS longer: fsync and its relatives.

   Programs that make their own system calls (Go) never come by here. The delay is a system call of its own, so that a
   library that fakes the clock of the same process does not bend it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_disk(void)
{
    const char *text = getenv("MUSTER_FSYNC_MS");
    long ms = text ? strtol(text, NULL, 10) : 0;
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
    int kept = errno;
    while (ms > 0 && syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &left, &left) != 0 && errno == EINTR) {
    }
    errno = kept;
}

#define NEXT(name) (*(void **)&real = dlsym(RTLD_NEXT, #name))

#define DELAYED(name, parameters, arguments)   \
    int name parameters                        \
    {                                          \
        static int(*real) parameters;          \
        if (!real && !NEXT(name)) {            \
            errno = ENOSYS;                    \
            return -1;                         \
        }                                      \
        wait_for_disk();                       \
        return real arguments;                 \
    }

DELAYED(fsync, (int fd), (fd))
DELAYED(fdatasync, (int fd), (fd))
DELAYED(syncfs, (int fd), (fd))
DELAYED(msync, (void *start, size_t length, int flags), (start, length, flags))
DELAYED(sync_file_range, (int fd, off64_t from, off64_t length, unsigned int flags), (fd, from, length, flags))

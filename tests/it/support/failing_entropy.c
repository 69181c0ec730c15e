// The system's random bytes of the process that this is loaded into, which fail for some calls. The file that
// FAILING_ENTROPY names is mapped: the calls so far, and from which call to before which other one they fail.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct plan {
    _Atomic int64_t calls, from, to;
};

static struct plan *plan;

__attribute__((constructor)) static void map_plan(void) {
    const char *path = getenv("FAILING_ENTROPY");
    int file = path ? open(path, O_RDWR) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(0, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    close(file);
    plan = mapped;
}

ssize_t getrandom(void *bytes, size_t size, unsigned flags) {
    int64_t call = plan ? atomic_fetch_add(&plan->calls, 1) : -1;
    if (plan && call >= atomic_load(&plan->from) && call < atomic_load(&plan->to)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_getrandom, bytes, size, flags);
}

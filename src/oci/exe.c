/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/exe.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fence/mount.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool is_protected(int exe)
{
    struct statvfs s;
    int seals = fcntl(exe, F_GET_SEALS);

    if (seals >= 0)
        return (seals & SEALS) == SEALS;
    return !fstatvfs(exe, &s) && (s.f_flag & ST_RDONLY);
}

/* Cheap, but only for who may mount. */
static int readonly_mount(void)
{
    struct error err;
    int fd = mount_copy(AT_FDCWD, "/proc/self/exe", false, false, &err);

    if (fd >= 0 && mount_attr(fd, MOUNT_ATTR_RDONLY, 0, false, -1, &err)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int sealed_copy(int exe)
{
    int fd = memfd_create("ringfence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    off_t left;
    ssize_t n = 1;

    if (fd < 0 || fstat(exe, &st))
        return fd;
    for (left = st.st_size; left && n > 0; left -= n)
        n = sendfile(fd, exe, NULL, (size_t)left);
    if (left || fcntl(fd, F_ADD_SEALS, SEALS)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* --- the program that runs, moved to another file --- */

#define PAGE 4096ul

/* The linker's: where we are loaded. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* Of one segment, what is mapped from the file. */
struct segment {
    uintptr_t start;
    size_t len;
    off_t offset;
    int prot;
};

static uintptr_t page_up(uintptr_t a)
{
    return (a + PAGE - 1) & -PAGE;
}

static struct segment segment_of(const ElfW(Phdr) * p, uintptr_t base)
{
    uintptr_t start = base + p->p_vaddr;

    return (struct segment){
        .start = start & -PAGE,
        .len = page_up(start + p->p_filesz) - (start & -PAGE),
        .offset = (off_t)(p->p_offset & -PAGE),
        .prot = (p->p_flags & PF_R ? PROT_READ : 0) |
                (p->p_flags & PF_W ? PROT_WRITE : 0) |
                (p->p_flags & PF_X ? PROT_EXEC : 0),
    };
}

/* No memcpy(): it may look at every access, as in a build with sanitizers. */
static void copy(void *to, const void *from, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

/* Variables: what they hold by now, in memory that is of no file. */
static int segment_copy(const struct segment *s)
{
    void *m = mmap(NULL, s->len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (m == MAP_FAILED)
        return -errno;
    copy(m, (const void *)s->start, s->len);
    if (mremap(m, s->len, s->len, MREMAP_MAYMOVE | MREMAP_FIXED,
               (void *)s->start) == MAP_FAILED)
        return -errno;
    return 0;
}

static int segment_move(const struct segment *s, int file)
{
    if (s->prot & PROT_WRITE)
        return segment_copy(s);
    /* The same bytes at the same place: no instruction sees the change. */
    return mmap((void *)s->start, s->len, s->prot, MAP_PRIVATE | MAP_FIXED,
                file, s->offset) == MAP_FAILED
               ? -errno
               : 0;
}

/* Variables that only the start-up writes are read-only after it. */
static int protect_again(const ElfW(Phdr) * p, uintptr_t base)
{
    uintptr_t start = (base + p->p_vaddr) & -PAGE;
    uintptr_t end = (base + p->p_vaddr + p->p_memsz) & -PAGE;

    return end > start && mprotect((void *)start, end - start, PROT_READ)
               ? -errno
               : 0;
}

/*
 * The kernel wants to be told all of it when it is told of another file, and
 * takes what ps(1) shows of a process from there. [prctl(2), PR_SET_MM_MAP]
 */
static int tell_kernel(char **argv, const struct segment *code,
                       const struct segment *data, int file)
{
    unsigned args = 0, env = 0;
    struct prctl_mm_map m = {.exe_fd = (unsigned)file};

    while (argv[args])
        args++;
    while (environ[env])
        env++;
    m.start_code = code->start;
    m.end_code = code->start + code->len;
    m.start_data = data->start;
    m.end_data = data->start + data->len;
    m.start_brk = m.brk = (uintptr_t)sbrk(0);
    m.start_stack = (uintptr_t)argv;
    m.arg_start = (uintptr_t)argv[0];
    m.arg_end = (uintptr_t)argv[args - 1] + strlen(argv[args - 1]) + 1;
    m.env_start = env ? (uintptr_t)environ[0] : m.arg_end;
    m.env_end = env ? (uintptr_t)environ[env - 1] + strlen(environ[env - 1]) + 1
                    : m.arg_end;
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0) ? -errno : 0;
}

/*
 * This process, as if it had been started from `file`: the same program, by
 * another mount. While a page of the old one is mapped, the kernel refuses.
 */
static int move_to(int file, char **argv)
{
    const ElfW(Ehdr) *h = (const void *)__ehdr_start;
    const ElfW(Phdr) *p = (const void *)((uintptr_t)h + h->e_phoff);
    struct segment code = {0}, data = {0};
    uintptr_t base = 0;
    unsigned i;
    int e = 0;

    for (i = 0; i < h->e_phnum && !e; i++) {
        struct segment s;

        if (p[i].p_type == PT_LOAD && !p[i].p_offset)
            base = (uintptr_t)h - p[i].p_vaddr;
        if (p[i].p_type != PT_LOAD)
            continue;
        s = segment_of(&p[i], base);
        e = segment_move(&s, file);
        if (s.prot & PROT_EXEC)
            code = s;
        if (s.prot & PROT_WRITE)
            data = s;
    }
    for (i = 0; i < h->e_phnum && !e; i++)
        if (p[i].p_type == PT_GNU_RELRO)
            e = protect_again(&p[i], base);
    return e ? e : tell_kernel(argv, &code, &data, file);
}

/* As a file, what is mounted at that descriptor. */
static int file_of(int mount)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", mount);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int exe_protect(char **argv, struct error *err)
{
    int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd, file, e;

    if (exe < 0)
        return error_set(err, errno, "/proc/self/exe: %s", strerror(errno));
    if (is_protected(exe)) {
        close(exe);
        prctl(PR_SET_NAME, "ringfence");
        return 0;
    }
    fd = readonly_mount();
    file = fd >= 0 ? file_of(fd) : -1;
    if (file >= 0) {
        e = move_to(file, argv);
        close(file);
        if (!e) {
            close(fd);
            close(exe);
            return 0;
        }
    }
    if (fd < 0)
        fd = sealed_copy(exe);
    close(exe);
    if (fd < 0)
        return error_set(err, errno, "cannot protect /proc/self/exe: %s",
                         strerror(errno));
    syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
    return error_set(err, errno, "/proc/self/exe: %s", strerror(errno));
}

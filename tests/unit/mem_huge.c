/* SPDX-License-Identifier: Apache-2.0 */
/* mem_huge.c - claims about RAM in huge pages, where the host has them. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/guest_mem.h"
#include "test.h"

#define RAM (8 * MiB)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* KiB of the mapping at p that are mapped by huge pages. */
static unsigned long huge_kib(const void *p)
{
    char line[256], start[32];
    unsigned long kib = 0;
    bool in = false;
    FILE *f = fopen("/proc/self/smaps", "r");

    snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)p);
    while (f && fgets(line, sizeof(line), f)) {
        if (!strncmp(line, start, strlen(start)))
            in = true;
        else if (in && sscanf(line, "ShmemPmdMapped: %lu", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib;
}

/* Where no tmpfs could be mounted it is a memfd, as ever. */
static bool is_memfd(int fd)
{
    char path[64], name[64] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, name, sizeof(name) - 1) < 0 || strstr(name, "memfd");
}

static void begin(struct guest_mem *m)
{
    struct error err;
    int fd = guest_mem_huge_file();

    CHECK(fd >= 0);
    CHECK_EQ(guest_mem_init_huge(m, RAM, &lock, fd, &err), 0);
}

static void ram_is_in_huge_pages(void)
{
    struct guest_mem m;

    begin(&m);
    CHECK_EQ(m.ram[RAM - 1], 0);
    memset(m.ram, 1, RAM);
    if (is_memfd(m.memfd))
        puts("# no huge pages here");
    else
        CHECK(huge_kib(m.ram) > 0);
    guest_mem_fini(&m);
}

static void a_freeze_and_a_thaw_keep_it(void)
{
    struct guest_mem m;
    struct error err;
    uint8_t *frozen;
    int fd;

    begin(&m);
    memset(m.ram, 1, RAM / 2);
    fd = guest_mem_freeze(&m, &err);
    CHECK(fd >= 0);
    frozen = mmap(NULL, RAM, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(frozen != MAP_FAILED);
    m.ram[5000] = 2;
    CHECK_EQ(frozen[5000], 1);
    CHECK_EQ(m.ram[5001], 1);
    CHECK_EQ(guest_mem_thaw(&m, &err), 0);
    CHECK_EQ(m.ram[5000], 2);
    CHECK_EQ(m.ram[RAM / 2 - 1], 1);
    CHECK_EQ(m.ram[RAM / 2], 0);
    munmap(frozen, RAM);
    close(fd);
    guest_mem_fini(&m);
}

static void a_page_of_it_can_go(void)
{
    struct guest_mem m;

    begin(&m);
    memset(m.ram, 1, RAM);
    CHECK_EQ(guest_mem_discard(&m, PAGE_SIZE, PAGE_SIZE), PAGE_SIZE);
    CHECK_EQ(m.ram[PAGE_SIZE - 1], 1);
    CHECK_EQ(m.ram[PAGE_SIZE], 0);
    CHECK_EQ(m.ram[2 * PAGE_SIZE], 1);
    guest_mem_clear(&m);
    CHECK_EQ(m.ram[0], 0);
    CHECK_EQ(m.ram[RAM - 1], 0);
    guest_mem_fini(&m);
}

static void without_a_file_it_is_a_memfd(void)
{
    struct guest_mem m;
    struct error err;

    CHECK_EQ(guest_mem_init_huge(&m, RAM, &lock, -1, &err), 0);
    m.ram[0] = 1;
    CHECK_EQ(m.ram[1], 0);
    guest_mem_fini(&m);
}

int main(void)
{
    RUN(ram_is_in_huge_pages);
    RUN(a_freeze_and_a_thaw_keep_it);
    RUN(a_page_of_it_can_go);
    RUN(without_a_file_it_is_a_memfd);
    return test_status();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse CALL ARG1 ARG2 ERRNO COMMAND... - runs COMMAND on a host whose kernel
 * answers system call CALL, with the lower halves of these two arguments (`-':
 * any), by ERRNO. 0: it returns 0.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FIELD(f) (uint32_t) offsetof(struct seccomp_data, f)

static struct sock_filter code[16];
static unsigned short len;

static void put(uint16_t op, uint8_t t, uint8_t f, uint32_t k)
{
    code[len++] = (struct sock_filter){op, t, f, k};
}

/* Another value than that: the call is none of ours. */
static void want(uint32_t field, const char *value)
{
    if (!strcmp(value, "-"))
        return;
    put(BPF_LD | BPF_W | BPF_ABS, 0, 0, field);
    put(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, (uint32_t)strtoul(value, NULL, 0));
    put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
}

int main(int argc, char **argv)
{
    struct sock_fprog prog = {.filter = code};

    if (argc < 6)
        return 125;
    want(FIELD(nr), argv[1]);
    want(FIELD(args[1]), argv[2]);
    want(FIELD(args[2]), argv[3]);
    put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (uint32_t)atoi(argv[4]));
    prog.len = len;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
        perror("refuse");
        return 125;
    }
    execvp(argv[5], argv + 5);
    perror(argv[5]);
    return 125;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp of a config.json, up to the filter that is loaded.
 */
#include <linux/seccomp.h>

#include "oci/create_int.h"
#include "oci/spec_int.h"
#include "test.h"

/* NULL: refused, err says why. */
static const struct seccomp_program *made(struct arena *a, const char *text,
                                          struct error *err)
{
    struct spec_seccomp s = {.profile = {.errno_ret = SECCOMP_ERRNO_DEFAULT}};
    struct spec spec = {0};
    const struct seccomp_program *prog = NULL;

    if (json_read_text(a, text, strlen(text), "text", &spec_seccomp_shape, &s,
                       err))
        return NULL;
    spec.linux_.seccomp = &s;
    return filter_compile(a, &spec, &prog, err) ? NULL : prog;
}

static void flags(const char *text, unsigned flags)
{
    const struct seccomp_program *prog;
    struct arena a = {0};
    struct error err;

    prog = made(&a, text, &err);
    CHECK(prog);
    if (prog)
        CHECK_EQ(prog->flags, flags);
    arena_free(&a);
}

static void flags_are_those_asked_for_or_spec_allow(void)
{
    flags("{\"defaultAction\": \"SCMP_ACT_ALLOW\"}",
          SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    flags("{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"flags\": []}", 0);
    flags("{\"defaultAction\": \"SCMP_ACT_ALLOW\","
          " \"flags\": [\"SECCOMP_FILTER_FLAG_LOG\"]}",
          SECCOMP_FILTER_FLAG_LOG);
}

static void errors_have_their_place(void)
{
    struct arena a = {0};
    struct error err = {0};

    CHECK(!made(&a,
                "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": ["
                "{\"names\": [\"read\"], \"action\": \"SCMP_ACT_TRAP\","
                " \"args\": [{\"index\": 6, \"value\": 1,"
                " \"op\": \"SCMP_CMP_EQ\"}]}]}",
                &err));
    CHECK(
        !strncmp(err.msg, "linux.seccomp.syscalls[0].args[0].index: 6 is", 45));
    arena_free(&a);
}

int main(void)
{
    RUN(flags_are_those_asked_for_or_spec_allow);
    RUN(errors_have_their_place);
    return test_status();
}

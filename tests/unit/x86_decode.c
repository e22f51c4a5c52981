/* SPDX-License-Identifier: Apache-2.0 */
/* x86_decode.c - claims about decoding that no user-mode oracle can check. */
#include "x86/cpuid.h"
#include "x86/decode.h"

#include "test.h"

static struct decoder dec;

static unsigned width_of(const char *bytes, unsigned len)
{
    uint8_t buf[15] = {0};
    struct insn in;

    memcpy(buf, bytes, len);
    CHECK_EQ(insn_decode(&dec, &in, buf, sizeof(buf), 8, 0), len);
    return in.width;
}

/* Not as wide as DX, which comes first. */
static void out_is_as_wide_as_its_accumulator(void)
{
    CHECK_EQ(width_of("\xee", 1), 1);
    CHECK_EQ(width_of("\xef", 1), 4);
    CHECK_EQ(width_of("\x66\xef", 2), 2);
    CHECK_EQ(width_of("\xe6\x80", 2), 1);
    CHECK_EQ(width_of("\xe7\x80", 2), 4);
    CHECK_EQ(width_of("\xec", 1), 1);
    CHECK_EQ(width_of("\xed", 1), 4);
    CHECK_EQ(width_of("\x66\xe5\x80", 3), 2);
}

int main(void)
{
    static struct cpu_model model;
    struct error err;

    CHECK_EQ(cpu_model_parse(&model, "x86-64-v2", &err), 0);
    CHECK_EQ(decoder_init(&dec, &model, &err), 0);
    RUN(out_is_as_wide_as_its_accumulator);
    decoder_fini(&dec);
    return test_status();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test.h - the frame of a unit test program: claims in a table, one line each.
 *
 *     static void page_crossing_load_faults_on_second_page(void) { ... }
 *     int main(void) {
 *         RUN(page_crossing_load_faults_on_second_page);
 *         return test_status();
 *     }
 *
 * Lines are "ok NAME", "not ok NAME" and "skip NAME: reason"; tests/run
 * counts them over all programs.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int test_failed, test_failures;
static const char *test_skipped __attribute__((unused));

#define CHECK(cond)                                                            \
    do {                                                                       \
        if (!(cond)) {                                                         \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__,       \
                    #cond);                                                    \
            test_failed = 1;                                                   \
        }                                                                      \
    } while (0)

#define CHECK_EQ(a, b)                                                         \
    do {                                                                       \
        unsigned long long a_ = (unsigned long long)(a);                       \
        unsigned long long b_ = (unsigned long long)(b);                       \
        if (a_ != b_) {                                                        \
            fprintf(stderr, "%s:%d: %s is 0x%llx, not 0x%llx\n", __FILE__,     \
                    __LINE__, #a, a_, b_);                                     \
            test_failed = 1;                                                   \
        }                                                                      \
    } while (0)

#define SKIP(why)                                                              \
    do {                                                                       \
        test_skipped = (why);                                                  \
        return;                                                                \
    } while (0)

#define RUN(fn)                                                                \
    do {                                                                       \
        test_failed = 0;                                                       \
        test_skipped = NULL;                                                   \
        fn();                                                                  \
        if (test_failed)                                                       \
            printf("not ok %s\n", #fn), test_failures++;                       \
        else if (test_skipped)                                                 \
            printf("skip %s: %s\n", #fn, test_skipped);                        \
        else                                                                   \
            printf("ok %s\n", #fn);                                            \
        fflush(stdout);                                                        \
    } while (0)

static inline int test_status(void)
{
    return test_failures != 0;
}

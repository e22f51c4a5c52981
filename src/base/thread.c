/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include "base/util.h"

#define STACK_LEN (1 * MiB)

int thread_start(pthread_t *t, void *(*run)(void *ctx), void *ctx)
{
    pthread_attr_t attr;
    int e = pthread_attr_init(&attr);

    if (e)
        return e;
    e = pthread_attr_setstacksize(&attr, STACK_LEN);
    if (!e)
        e = pthread_create(t, &attr, run, ctx);
    pthread_attr_destroy(&attr);
    return e;
}

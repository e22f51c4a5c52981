/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_share.c - `--share DIR[,ro][,tag=T]`. A name may have commas: only what
 * stands at the end and is a word of ours counts.
 */
#include "cmd/boot_int.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/share/share.h"

bool boot_word_take(char *text, const char **value, const char *word)
{
    char *comma = strrchr(text, ',');
    size_t len = strlen(word);

    if (!comma || strncmp(comma + 1, word, len) ||
        (word[len - 1] != '=' && comma[1 + len]))
        return false;
    *comma = 0;
    *value = comma + 1 + len;
    return true;
}

/* The folder's own name, where it has one. */
static int tag_default(struct boot_share *s, struct error *err)
{
    char *full = realpath(s->text, NULL);
    const char *base = full ? strrchr(full, '/') + 1 : NULL;
    int rc = 0;

    if (!full)
        rc = error_set(err, errno, "--share %s: %s", s->text, strerror(errno));
    else if (strlen(base) > SHARE_TAG_MAX)
        rc = error_set(err, EINVAL,
                       "--share %s: its name is too long for a tag; add "
                       ",tag=NAME",
                       s->text);
    else
        strcpy(s->tag, *base ? base : "share");
    free(full);
    return rc;
}

static int tag_set(struct boot_share *s, const char *given, struct error *err)
{
    if (!given)
        return tag_default(s, err);
    if (!*given || strlen(given) > SHARE_TAG_MAX)
        return error_set(err, EINVAL,
                         "--share %s: give a tag of 1 to %d characters",
                         s->text, SHARE_TAG_MAX);
    strcpy(s->tag, given);
    return 0;
}

int boot_share(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;
    struct machine_config *c = &a->cfg;
    struct boot_share *s = &a->share[c->shares];
    const char *tag = NULL, *value;
    bool ro = false;
    unsigned i;

    if (c->shares == MACHINE_SHARES_MAX)
        return error_set(err, EINVAL, "--share %s: at most %d shared folders",
                         v, MACHINE_SHARES_MAX);
    if (!*v || strlen(v) >= sizeof(s->text))
        return error_set(err, EINVAL, "--share %s: give DIR[,ro][,tag=NAME]",
                         v);
    strcpy(s->text, v);
    for (;;) {
        if (boot_word_take(s->text, &value, "ro"))
            ro = true;
        else if (boot_word_take(s->text, &value, "tag="))
            tag = value;
        else if (!boot_word_take(s->text, &value, "rw"))
            break;
    }
    if (tag_set(s, tag, err))
        return -err->code;
    for (i = 0; i < c->shares; i++)
        if (!strcmp(c->share[i].tag, s->tag))
            return error_set(err, EINVAL,
                             "--share %s: the tag %s is used already; add "
                             ",tag=NAME",
                             v, s->tag);
    c->share[c->shares].path = s->text;
    c->share[c->shares].tag = s->tag;
    c->share[c->shares++].read_only = ro;
    return 0;
}

/* A folder may have moved; the guest knows it by its tag. */
int boot_restore_shares(struct machine_config *c,
                        const struct machine_config *given, struct error *err)
{
    unsigned i, k;

    if (given->shares && given->shares != c->shares)
        return error_set(err, EINVAL,
                         "has %u shared folders; give --share for each, or "
                         "not at all",
                         c->shares);
    for (i = 0; i < given->shares; i++) {
        for (k = 0; k < c->shares; k++)
            if (!strcmp(c->share[k].tag, given->share[i].tag))
                break;
        if (k == c->shares)
            return error_set(err, EINVAL,
                             "has no shared folder with the tag %s; add "
                             ",tag=%s",
                             given->share[i].tag, c->share[i].tag);
        if (c->share[k].read_only != given->share[i].read_only)
            return error_set(err, EINVAL, "the shared folder %s is %s in it",
                             c->share[k].tag,
                             c->share[k].read_only ? "read-only" : "writable");
        c->share[k].path = given->share[i].path;
    }
    return 0;
}

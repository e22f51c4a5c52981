/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of fence/cgroup*.c that touch no cgroup: which hierarchies a text
 * means, where a path leads, conversions, and the program that decides about
 * devices, run by a small interpreter against the rules themselves.
 * tests/cgroup has the rest.
 */
#include <linux/bpf.h>
#include <stdlib.h>

#include "fence/cgroup_int.h"
#include "test.h"

static char text_mounts[4096], text_own[1024];

static void parse(struct cgroup_host *h, const char *mounts, const char *own)
{
    memset(h, 0, sizeof(*h));
    snprintf(text_mounts, sizeof(text_mounts), "%s", mounts);
    snprintf(text_own, sizeof(text_own), "%s", own);
    cgroup_host_parse(h, text_mounts, text_own);
}

static const struct cgroup_mount *tree(const struct cgroup_host *h,
                                       enum cgroup_controller c)
{
    for (unsigned i = 0; i < h->count; i++)
        if (h->tree[i].controllers & BIT(c))
            return &h->tree[i];
    return NULL;
}

#define TMPFS "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
#define V1(id, place, opts)                                                    \
#id " 31 0:" #id " / /sys/fs/cgroup/" place                                \
        " rw,nosuid shared:9 - cgroup "                                        \
        "cgroup rw," opts "\n"
#define UNIFIED "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static void v1_and_v2_side_by_side_are_hybrid(void)
{
    struct cgroup_host h;

    parse(&h,
          TMPFS V1(32, "cpu,cpuacct", "cpu,cpuacct") V1(33, "memory", "memory")
              V1(34, "systemd", "xattr,name=systemd") UNIFIED,
          "3:memory:/job/7\n2:cpu,cpuacct:/\n0::/user\n");
    CHECK_EQ(h.layout, CGROUP_HYBRID);
    CHECK_EQ(h.count, 4);
    CHECK(tree(&h, CGROUP_CPU) == tree(&h, CGROUP_CPUACCT));
    CHECK(!strcmp(tree(&h, CGROUP_CPU)->mount, "/sys/fs/cgroup/cpu,cpuacct"));
    CHECK(!strcmp(tree(&h, CGROUP_MEMORY)->own, "/job/7"));
    CHECK(!strcmp(tree(&h, CGROUP_SYSTEMD)->own, "/"));
    CHECK(h.tree[3].v2 && !strcmp(h.tree[3].own, "/user"));
}

static void v1_alone_and_nothing_at_all(void)
{
    struct cgroup_host h;

    parse(&h, TMPFS V1(33, "memory", "memory"), "");
    CHECK_EQ(h.layout, CGROUP_V1);
    parse(&h, "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "");
    CHECK_EQ(h.layout, CGROUP_NONE);
    CHECK_EQ(h.count, 0);
}

static void v2_alone_at_an_odd_place_with_a_blank(void)
{
    struct cgroup_host h;

    parse(&h, "30 1 0:26 / /mnt/my\\040groups rw - cgroup2 none rw\n",
          "0::/a b\n");
    CHECK_EQ(h.layout, CGROUP_V2);
    CHECK(!strcmp(h.tree[0].mount, "/mnt/my groups"));
    CHECK(!strcmp(h.tree[0].own, "/a b"));
}

static void hierarchies_that_a_later_mount_hides_do_not_count(void)
{
    struct cgroup_host h;

    parse(&h,
          TMPFS V1(33, "memory", "memory") UNIFIED
          "50 31 0:50 / /sys/fs/cgroup rw - tmpfs none rw\n"
          "51 50 0:33 / /sys/fs/cgroup/mem rw - cgroup cgroup rw,memory\n",
          "");
    CHECK_EQ(h.layout, CGROUP_V1);
    CHECK_EQ(h.count, 1);
    CHECK(!strcmp(h.tree[0].mount, "/sys/fs/cgroup/mem"));
}

/* As where an initramfs mounted them and the root was moved over its own. */
static void a_root_that_is_listed_last_hides_nothing(void)
{
    struct cgroup_host h;

    parse(&h,
          "26 23 0:24 / /sys/fs/cgroup rw - cgroup2 none rw\n"
          "23 61 0:22 / /sys rw - sysfs none rw\n"
          "61 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
          "1 1 0:2 / / rw - rootfs rootfs rw\n",
          "");
    CHECK_EQ(h.layout, CGROUP_V2);
}

static void hierarchies_that_hang_on_what_is_hidden_do_not_count(void)
{
    struct cgroup_host h;

    /* Another sysfs over /sys; the old one's mounts are still listed. */
    parse(&h,
          "61 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
          "23 61 0:22 / /sys rw - sysfs none rw\n"
          "26 23 0:24 / /sys/fs/cgroup rw - cgroup2 none rw\n"
          "70 23 0:30 / /sys rw - sysfs none rw\n",
          "");
    CHECK_EQ(h.layout, CGROUP_NONE);
    parse(&h,
          "26 1 0:24 / /c rw - cgroup2 none rw\n"
          "27 26 0:25 / /c rw - tmpfs none rw\n",
          "");
    CHECK_EQ(h.layout, CGROUP_NONE);
}

static void of_two_mounts_of_a_hierarchy_the_first_is_taken(void)
{
    struct cgroup_host h;

    parse(&h,
          V1(33, "memory", "memory") "70 1 0:33 /x /run/c/memory rw - cgroup "
                                     "cgroup rw,memory\n",
          "");
    CHECK_EQ(h.count, 1);
    CHECK(!strcmp(h.tree[0].mount, "/sys/fs/cgroup/memory"));
}

static void the_own_cgroup_is_seen_from_what_the_mount_shows(void)
{
    struct cgroup_host h;
    const char *docker = "33 31 0:33 /docker/abc /sys/fs/cgroup/memory rw - "
                         "cgroup cgroup rw,memory\n";

    parse(&h, docker, "3:memory:/docker/abc/in\n");
    CHECK(!strcmp(h.tree[0].own, "/in"));
    parse(&h, docker, "3:memory:/docker/abc\n");
    CHECK(!strcmp(h.tree[0].own, "/"));
    parse(&h, docker, "3:memory:/docker/abcd\n"); /* another one */
    CHECK(!strcmp(h.tree[0].own, "/"));
    parse(&h, V1(33, "memory", "memory"), "3:memory:/../..\n");
    CHECK(!strcmp(h.tree[0].own, "/"));
}

static void broken_lines_are_passed_over(void)
{
    struct cgroup_host h;

    parse(&h,
          "\n - \n1 2\n1 2 3 4 5 6\na - cgroup\n- cgroup cgroup memory\n"
          "33 31 0:33 / /m rw - cgroup cgroup rw,bogus\n",
          ":\n::\n4:memory\nx\n:::/..\n");
    CHECK_EQ(h.count, 0);
}

/* --- without mountinfo --- */

static const char *absent = "";

static bool fake_is_there(const char *place, bool v2)
{
    (void)v2;
    return strcmp(place, absent) != 0;
}

static bool usual(struct cgroup_host *h, const char *own)
{
    static char places[4096];

    memset(h, 0, sizeof(*h));
    snprintf(text_own, sizeof(text_own), "%s", own);
    return cgroup_host_usual(h, text_own, places, fake_is_there);
}

static void the_usual_places_need_no_mountinfo(void)
{
    const char *own = "9:name=systemd:/\n7:foo:/\n4:memory:/job/7\n"
                      "2:cpu,cpuacct:/a\n0::/user\n";
    struct cgroup_host h;

    absent = "";
    CHECK(usual(&h, own));
    CHECK_EQ(h.layout, CGROUP_HYBRID);
    CHECK_EQ(h.count, 4);
    CHECK(!strcmp(tree(&h, CGROUP_SYSTEMD)->mount, "/sys/fs/cgroup/systemd"));
    CHECK(!strcmp(tree(&h, CGROUP_CPU)->mount, "/sys/fs/cgroup/cpu,cpuacct"));
    CHECK(!strcmp(tree(&h, CGROUP_MEMORY)->own, "/job/7"));
    absent = "/sys/fs/cgroup/unified";
    CHECK(usual(&h, own));
    CHECK_EQ(h.layout, CGROUP_V1);
    absent = "/sys/fs/cgroup/memory";
    CHECK(!usual(&h, own));
    CHECK_EQ(h.count, 0);
    absent = "";
    CHECK(!usual(&h, "0::/\n")); /* v2 alone, but not at its place */
    CHECK(!usual(&h, ""));
}

/* With AddressSanitizer the more telling. */
static void damaged_texts_do_no_harm(void)
{
    static const char text[] = TMPFS V1(33, "mem\\040ory", "memory,cpu")
        V1(34, "cpuset", "cpuset") UNIFIED;
    static const char own[] = "3:memory:/job/7\n2:cpu,cpuacct:/\n0::/user\n";
    char mounts[sizeof(text)], mine[sizeof(own)];
    struct cgroup_host h;

    srand(3);
    for (unsigned k = 0; k < 20000; k++) {
        memcpy(mounts, text, sizeof(text));
        memcpy(mine, own, sizeof(own));
        for (unsigned i = (unsigned)rand() % 6; i; i--) {
            mounts[(size_t)rand() % (sizeof(text) - 1)] =
                "\0\n -/\\1,:x"[rand() % 10];
            mine[(size_t)rand() % (sizeof(own) - 1)] = "\0\n:/,.x"[rand() % 7];
        }
        parse(&h, mounts, mine);
        for (unsigned i = 0; i < h.count; i++)
            CHECK(strlen(h.tree[i].mount) + strlen(h.tree[i].own) < 4096);
        usual(&h, mine);
    }
}

/* --- where a container's cgroup is --- */

static const char *found(const char *mounts, const char *own, const char *path,
                         enum cgroup_controller c)
{
    static char out[256];
    struct cgroup_host h;
    struct cgroup cg;
    struct error err = {0};

    parse(&h, mounts, own);
    snprintf(out, sizeof(out), "refused");
    if (!cgroup_find(&cg, &h, path, "web", &err))
        snprintf(out, sizeof(out), "%s", cgroup_tree_of(&cg, c)->path);
    else
        CHECK(!strncmp(err.msg, "linux.cgroupsPath: ", 19));
    cgroup_close(&cg);
    return out;
}

static void absolute_paths_begin_at_the_root(void)
{
    const char *m = V1(33, "memory", "memory"), *own = "3:memory:/job/7\n";

    CHECK(!strcmp(found(m, own, "/pod/web", CGROUP_MEMORY), "/pod/web"));
    CHECK(!strcmp(found(m, own, "//pod/./web/", CGROUP_MEMORY), "/pod/web"));
    CHECK(!strcmp(found(m, own, NULL, CGROUP_MEMORY), "/web"));
    CHECK(!strcmp(found(m, own, "", CGROUP_MEMORY), "/web"));
}

static void relative_paths_begin_at_the_own_cgroup(void)
{
    const char *v2 = "30 1 0:26 / /c rw - cgroup2 none rw\n";

    CHECK(!strcmp(found(V1(33, "memory", "memory"), "3:memory:/job/7\n",
                        "pod/web", CGROUP_MEMORY),
                  "/job/7/pod/web"));
    /* v2: beside the caller, whose cgroup may have no children */
    CHECK(!strcmp(found(v2, "0::/user/shell\n", "web", CGROUP_FREEZER),
                  "/user/web"));
    CHECK(!strcmp(found(v2, "0::/\n", "web", CGROUP_FREEZER), "/web"));
}

static void roots_and_ways_up_are_refused(void)
{
    static const char *const bad[] = {"/",  "//",    "/.",   ".",
                                      "..", "/../x", "a/..", "/a/../../b"};
    char longest[300];

    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK(!strcmp(found(V1(33, "memory", "memory"), "3:memory:/job\n",
                            bad[i], CGROUP_MEMORY),
                      "refused"));
    CHECK(!strcmp(found(V1(33, "memory", "memory"), "", longest, CGROUP_MEMORY),
                  "refused"));
}

static void a_saved_tree_is_checked_like_a_new_one(void)
{
    struct cgroup cg = {.layout = CGROUP_V1};
    struct error err;

    CHECK_EQ(cgroup_add(&cg, BIT(CGROUP_MEMORY), false, "/m", "/../x", &err),
             -EINVAL);
    CHECK_EQ(cgroup_add(&cg, BIT(CGROUP_MEMORY), false, "/m", "/", &err),
             -EINVAL);
    CHECK_EQ(cgroup_add(&cg, BIT(CGROUP_MEMORY), false, "m", "/x", &err),
             -EINVAL);
    for (unsigned i = 0; i < CGROUP_TREES; i++)
        CHECK_EQ(cgroup_add(&cg, BIT(i), false, "/m", "/x", &err), 0);
    CHECK_EQ(cgroup_add(&cg, 0, false, "/m", "/x", &err), -E2BIG);
    cgroup_close(&cg);
}

/* --- conversions --- */

static void shares_become_the_weights_that_others_make_of_them(void)
{
    static const uint64_t pair[][2] = {
        {0, 1},       {2, 1},         {3, 2},          {10, 4},
        {256, 35},    {512, 59},      {1024, 100},     {2048, 174},
        {10240, 639}, {131072, 5478}, {262144, 10000}, {1ull << 40, 10000},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(pair); i++)
        CHECK_EQ(cgroup_weight_of_shares(pair[i][0]), pair[i][1]);
}

static void io_weights_are_linear(void)
{
    CHECK_EQ(cgroup_io_weight(10), 1);
    CHECK_EQ(cgroup_io_weight(100), 910);
    CHECK_EQ(cgroup_io_weight(500), 4950);
    CHECK_EQ(cgroup_io_weight(1000), 10000);
    CHECK_EQ(cgroup_io_weight(1), 1);
    CHECK_EQ(cgroup_io_weight(9999), 10000);
}

/* INT64_MIN: refused. */
static int64_t swap(unsigned has, int64_t limit, int64_t both)
{
    struct cgroup_limits_memory m = {.has = has, .limit = limit, .swap = both};
    const char *why = NULL;
    int64_t out;

    if (!cgroup_swap_alone(&m, &out, &why)) {
        CHECK(why != NULL);
        return INT64_MIN;
    }
    return out;
}

static void swap_alone_is_what_both_leave(void)
{
    unsigned both = CGROUP_MEMORY_LIMIT | CGROUP_MEMORY_SWAP;

    CHECK_EQ(swap(0, 0, 0), -1);
    CHECK_EQ(swap(CGROUP_MEMORY_LIMIT, 100, 0), -1);
    CHECK_EQ(swap(CGROUP_MEMORY_LIMIT, -1, 0), INT64_MAX);
    CHECK_EQ(swap(both, 100, 250), 150);
    CHECK_EQ(swap(both, 100, 100), 0);
    CHECK_EQ(swap(both, 100, -1), INT64_MAX);
    CHECK_EQ(swap(both, -1, 100), 100);
    CHECK_EQ(swap(both, 100, 0), -1);
    CHECK_EQ(swap(both, 100, 99), INT64_MIN);
    CHECK_EQ(swap(CGROUP_MEMORY_SWAP, 0, 100), INT64_MIN);
    CHECK_EQ(swap(CGROUP_MEMORY_SWAP, 0, -1), INT64_MAX);
}

static void bytes_are_told_as_people_do(void)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } t[] = {{0, "0"},           {1023, "1023"},      {1024, "1K"},
             {1258291, "1.2M"},  {200 * MiB, "200M"}, {3 * GiB / 2, "1.5G"},
             {UINT64_MAX, "16E"}};
    char buf[16];

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cgroup_bytes_text(t[i].bytes, buf);
        CHECK(!strcmp(buf, t[i].text));
    }
}

static void names_are_those_of_the_kernel(void)
{
    enum cgroup_controller c;

    for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
        const char *name = cgroup_controller_name(i);

        CHECK(cgroup_controller_find(name, strlen(name), &c) && c == i);
    }
    CHECK(cgroup_controller_find("io", 2, &c) && c == CGROUP_IO);
    CHECK(!cgroup_controller_find("cpus", 4, &c));
    CHECK(!cgroup_controller_find("mem", 3, &c));
    CHECK(!cgroup_controller_find("", 0, &c));
    CHECK_EQ(cgroup_names_parse("cpu io\n") &
                 (BIT(CGROUP_CPU) | BIT(CGROUP_IO) | BIT(CGROUP_MEMORY)),
             BIT(CGROUP_CPU) | BIT(CGROUP_IO));
}

static void numbers_are_found_by_their_whole_name(void)
{
    uint64_t v = 9;

    CHECK(cgroup_text_number("oom 3\noom_kill 7\n", "oom_kill", &v) && v == 7);
    CHECK(cgroup_text_number("oom_kill 7\noom 3", "oom", &v) && v == 3);
    CHECK(!cgroup_text_number("oom_kill 7\n", "kill", &v));
    CHECK(!cgroup_text_number("", "oom", &v));
    CHECK(!cgroup_text_number(NULL, "oom", &v));
}

/* --- devices --- */

/* Runs a program; -1: it is broken. */
static int bpf_run(const struct bpf_insn *insn, unsigned len, bool block,
                   unsigned access, uint32_t major, uint32_t minor)
{
    uint32_t ctx[3] = {access << 16 | (block ? 1 : 2), major, minor};
    uint64_t r[11] = {0};

    for (unsigned pc = 0; pc < len; pc++) {
        const struct bpf_insn *i = &insn[pc];
        uint64_t k = (uint64_t)(int64_t)i->imm;

        switch (i->code) {
        case BPF_LDX | BPF_MEM | BPF_W:
            if (i->src_reg != 1 || i->off & 3 || i->off > 8)
                return -1;
            r[i->dst_reg] = ctx[i->off / 4];
            break;
        case BPF_ALU64 | BPF_MOV | BPF_X:
            r[i->dst_reg] = r[i->src_reg];
            break;
        case BPF_ALU64 | BPF_MOV | BPF_K:
            r[i->dst_reg] = k;
            break;
        case BPF_ALU64 | BPF_RSH | BPF_K:
            r[i->dst_reg] >>= k;
            break;
        case BPF_ALU64 | BPF_AND | BPF_K:
            r[i->dst_reg] &= k;
            break;
        case BPF_JMP | BPF_JNE | BPF_K:
            pc += r[i->dst_reg] != k ? (unsigned)i->off : 0;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += r[i->dst_reg] == k ? (unsigned)i->off : 0;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += r[i->dst_reg] & k ? (unsigned)i->off : 0;
            break;
        case BPF_JMP | BPF_JA:
            pc += (unsigned)i->off;
            break;
        case BPF_JMP | BPF_EXIT:
            return (int)r[0];
        default:
            return -1;
        }
    }
    return -1;
}

/* Every instruction can be reached: older kernels refuse others. */
static bool bpf_all_reached(const struct bpf_insn *insn, unsigned len)
{
    bool reached[CGROUP_DEVICE_INSNS(64)] = {true};

    for (unsigned i = 0; i < len; i++) {
        bool jumps = (insn[i].code & 7) == BPF_JMP;
        unsigned op = insn[i].code & 0xf0;

        if (!reached[i])
            return false;
        if (jumps && op != BPF_EXIT) {
            if (i + 1 + (unsigned)insn[i].off >= len)
                return false;
            reached[i + 1 + (unsigned)insn[i].off] = true;
        }
        if (!jumps || (op != BPF_EXIT && op != BPF_JA))
            reached[i + 1] = true;
    }
    return true;
}

/* The claim itself: of each kind, the last rule that names it decides. */
static bool rules_allow(const struct cgroup_device_rule *rule, unsigned n,
                        bool block, unsigned access, int64_t major,
                        int64_t minor)
{
    for (unsigned bit = 0; bit < 3; bit++) {
        bool allow = false;

        if (!(access & BIT(bit)))
            continue;
        for (unsigned i = 0; i < n; i++) {
            const struct cgroup_device_rule *r = &rule[i];

            if ((r->type == 'a' || (r->type == 'b') == block) &&
                (r->major < 0 || r->major == major) &&
                (r->minor < 0 || r->minor == minor) &&
                (!r->access || strchr(r->access, "mrw"[bit])))
                allow = r->allow;
        }
        if (!allow)
            return false;
    }
    return true;
}

static void check_program(const struct cgroup_device_rule *rule, unsigned n)
{
    struct bpf_insn insn[CGROUP_DEVICE_INSNS(64)];
    unsigned len = cgroup_device_program(rule, n, insn);

    CHECK(len <= CGROUP_DEVICE_INSNS(n));
    CHECK(bpf_all_reached(insn, len));
    for (unsigned k = 0; k < 2 * 7 * 4 * 4 && !test_failed; k++) {
        bool block = k & 1;
        unsigned access = k / 2 % 7 + 1;
        uint32_t major = k / 14 % 4, minor = k / 56;

        CHECK_EQ(bpf_run(insn, len, block, access, major, minor),
                 rules_allow(rule, n, block, access, major, minor));
    }
}

static void programs_answer_as_random_rules_do(void)
{
    static const char *const access[] = {NULL, "r",  "w",  "m",
                                         "rw", "rm", "wm", "rwm"};

    srand(1);
    for (unsigned k = 0; k < 20000 && !test_failed; k++) {
        struct cgroup_device_rule rule[12];
        unsigned n = (unsigned)rand() % 12;

        for (unsigned i = 0; i < n; i++)
            rule[i] = (struct cgroup_device_rule){
                .allow = rand() % 2,
                .type = "abc"[rand() % 3],
                .major = rand() % 5 - 1,
                .minor = rand() % 5 - 1,
                .access = access[rand() % 8],
            };
        check_program(rule, n);
    }
}

static struct cgroup_device_rule *rules(const struct cgroup_limits *l,
                                        unsigned *n)
{
    struct error err;

    return cgroup_device_rules(l, n, &err);
}

static void defaults_allow_what_every_container_needs(void)
{
    struct cgroup_limits l = {.device_defaults = true};
    struct bpf_insn insn[CGROUP_DEVICE_INSNS(64)];
    unsigned n = 0, len;
    struct cgroup_device_rule *r = rules(&l, &n);

    CHECK(r != NULL);
    len = cgroup_device_program(r, n, insn);
    CHECK_EQ(bpf_run(insn, len, false, 6, 1, 3), 1);    /* null */
    CHECK_EQ(bpf_run(insn, len, false, 6, 136, 77), 1); /* a terminal */
    CHECK_EQ(bpf_run(insn, len, true, 1, 8, 0), 1);     /* making is allowed */
    CHECK_EQ(bpf_run(insn, len, true, 2, 8, 0), 0);     /* reading is not */
    CHECK_EQ(bpf_run(insn, len, false, 2, 1, 1), 0);    /* mem */
    CHECK_EQ(bpf_run(insn, len, false, 2, 1, 11), 0);   /* kmsg */
    free(r);
}

static void v1_begins_with_nothing_too(void)
{
    struct cgroup_device_rule one = {true, 'c', 1, 3, "r"};
    struct cgroup_device_rule all = {true, 'a', -1, -1, NULL};
    struct cgroup_limits l = {.device = &one, .devices = 1};
    struct cgroup_device_rule *r;
    char text[80];
    unsigned n;

    r = rules(&l, &n);
    CHECK_EQ(n, 2);
    CHECK(!strcmp(cgroup_device_line(&r[0], text, 80), "devices.deny"));
    CHECK(!strcmp(text, "a"));
    CHECK(!strcmp(cgroup_device_line(&r[1], text, 80), "devices.allow"));
    CHECK(!strcmp(text, "c 1:3 r"));
    free(r);
    l.device = &all;
    r = rules(&l, &n);
    CHECK_EQ(n, 1);
    CHECK(!strcmp(cgroup_device_line(&r[0], text, 80), "devices.allow"));
    free(r);
}

static void rules_that_no_kernel_takes_are_named(void)
{
    static const struct {
        struct cgroup_device_rule rule;
        const char *text;
    } bad[] = {
        {{true, 'x', 1, 3, "r"}, "linux.resources.devices[0].type: \"x\""},
        {{true, 'c', 1ll << 32, 3, "r"}, "linux.resources.devices[0]: 42949"},
        {{true, 'c', 1, 3, "rq"}, "linux.resources.devices[0].access: \"rq\""},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct cgroup_limits l = {.device = &bad[i].rule, .devices = 1};
        struct error err = {0};
        unsigned n;

        CHECK(!cgroup_device_rules(&l, &n, &err));
        CHECK(!strncmp(err.msg, bad[i].text, strlen(bad[i].text)));
    }
}

int main(void)
{
    RUN(v1_and_v2_side_by_side_are_hybrid);
    RUN(v1_alone_and_nothing_at_all);
    RUN(v2_alone_at_an_odd_place_with_a_blank);
    RUN(hierarchies_that_a_later_mount_hides_do_not_count);
    RUN(a_root_that_is_listed_last_hides_nothing);
    RUN(hierarchies_that_hang_on_what_is_hidden_do_not_count);
    RUN(of_two_mounts_of_a_hierarchy_the_first_is_taken);
    RUN(the_own_cgroup_is_seen_from_what_the_mount_shows);
    RUN(broken_lines_are_passed_over);
    RUN(the_usual_places_need_no_mountinfo);
    RUN(damaged_texts_do_no_harm);
    RUN(absolute_paths_begin_at_the_root);
    RUN(relative_paths_begin_at_the_own_cgroup);
    RUN(roots_and_ways_up_are_refused);
    RUN(a_saved_tree_is_checked_like_a_new_one);
    RUN(shares_become_the_weights_that_others_make_of_them);
    RUN(io_weights_are_linear);
    RUN(swap_alone_is_what_both_leave);
    RUN(bytes_are_told_as_people_do);
    RUN(names_are_those_of_the_kernel);
    RUN(numbers_are_found_by_their_whole_name);
    RUN(programs_answer_as_random_rules_do);
    RUN(defaults_allow_what_every_container_needs);
    RUN(v1_begins_with_nothing_too);
    RUN(rules_that_no_kernel_takes_are_named);
    return test_status();
}

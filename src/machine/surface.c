/* SPDX-License-Identifier: Apache-2.0 */
/*
 * surface.c - see surface.h. A machine that is not run is built by the steps
 * of build.c, so that ranges, models and lists are those of a real one.
 */
#include "machine/surface.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "base/log.h"
#include "dev/virtio/virtio_fs.h"
#include "engine/direct/stub.h"
#include "fence/calls.h"
#include "fence/caps.h"
#include "fence/fence.h"
#include "fence/reach.h"
#include "fence/seccomp.h"
#include "io/disk_queue.h"
#include "machine/machine_int.h"
#include "x86/decode.h"
#include "x86/exit.h"
#include "x86/msr_policy.h"
#include "x86/sem.h"

typedef unsigned long long ull;

static const struct {
    const char *key, *title;
} parts[SURFACE_PARTS] = {
    [SURFACE_EXITS] = {"exits", "ways out of native code"},
    [SURFACE_PRIVILEGED] = {"privileged", "privileged instructions"},
    [SURFACE_HYPERCALLS] = {"hypercalls", "hypercalls"},
    [SURFACE_INSTRUCTIONS] = {"instructions", "interpreted instructions"},
    [SURFACE_VECTOR_SETS] = {"instruction-sets", "instruction sets"},
    [SURFACE_CONTROL] = {"control-bits", "control register bits"},
    [SURFACE_MSR_READ] = {"msr-read", "MSRs to read"},
    [SURFACE_MSR_WRITE] = {"msr-write", "MSRs to write"},
    [SURFACE_MSR_OWN] = {"msr-cpu", "  of them the CPU's own"},
    [SURFACE_CPUID] = {"cpuid", "CPUID leaves"},
    [SURFACE_PORTS] = {"ports", "port ranges"},
    [SURFACE_MMIO] = {"mmio", "MMIO ranges"},
    [SURFACE_EVENT_CALLS] = {"calls-event", "host calls: event thread"},
    [SURFACE_VCPU_CALLS] = {"calls-vcpu", "host calls: vCPU"},
    [SURFACE_DISK_CALLS] = {"calls-disk", "host calls: disk"},
    [SURFACE_SHARE_CALLS] = {"calls-share", "host calls: shared folder"},
    [SURFACE_STUB_CALLS] = {"calls-stub", "host calls: stub process"},
    [SURFACE_CONTAINER_CALLS] = {"calls-container", "host calls: container"},
    [SURFACE_CAPABILITIES] = {"capabilities", "capabilities"},
};

const char *surface_part_key(enum surface_part_id id)
{
    return parts[id].key;
}

const char *surface_part_title(enum surface_part_id id)
{
    return parts[id].title;
}

/* --- lists --- */

/* Ours is a short-lived command: without memory it ends. */
static struct surface_item *add(struct surface *s, enum surface_part_id id,
                                const char *name)
{
    struct surface_part *p = &s->part[id];
    struct surface_item *i;

    p->there = true;
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->item = realloc(p->item, p->room * sizeof(*p->item));
        rf_assert(p->item);
    }
    i = &p->item[p->count++];
    memset(i, 0, sizeof(*i));
    snprintf(i->name, sizeof(i->name), "%s", name);
    return i;
}

void surface_free(struct surface *s)
{
    for (unsigned i = 0; i < SURFACE_PARTS; i++)
        free(s->part[i].item);
    memset(s, 0, sizeof(*s));
}

/* --- the CPU --- */

static void add_exits(struct surface *s, const struct engine_ops *e)
{
    const char *name;

    s->part[SURFACE_EXITS].there = true;
    for (unsigned i = 0; e->exit_name && (name = e->exit_name(i)); i++)
        add(s, SURFACE_EXITS, name);
    for (unsigned r = EXIT_NONE + 1; r < EXIT_COUNT; r++)
        add(s, SURFACE_PRIVILEGED, exit_name(r));
}

/* What a decoder of this model binds, of what it could. */
static void add_instructions(struct surface *s, struct decoder *d)
{
    for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
        if (d->by_mnemonic[m])
            add(s, SURFACE_INSTRUCTIONS,
                ZydisMnemonicGetString((ZydisMnemonic)m));
    for (unsigned i = 0; i <= ZYDIS_ISA_SET_MAX_VALUE; i++)
        if (cpu_model_allows(d->model, i))
            add(s, SURFACE_VECTOR_SETS, ZydisISASetGetString((ZydisISASet)i));
}

/* Instructions that are there to call a hypervisor: does one get anywhere? */
static void add_hypercalls(struct surface *s, struct decoder *d)
{
    static const struct {
        const char *name;
        uint8_t code[15];
    } calls[] = {{"vmcall", {0x0f, 0x01, 0xc1}},
                 {"vmmcall", {0x0f, 0x01, 0xd9}}};
    struct insn in;

    s->part[SURFACE_HYPERCALLS].there = true;
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        insn_decode(d, &in, calls[i].code, sizeof(calls[i].code), 8, 0);
        if (in.sem != sem_undefined)
            add(s, SURFACE_HYPERCALLS, calls[i].name);
    }
}

static void add_bits(struct surface *s, const char *reg, uint64_t bits)
{
    char name[32];

    for (unsigned i = 0; i < 64; i++) {
        snprintf(name, sizeof(name), "%s bit %u", reg, i);
        if (bits >> i & 1)
            add(s, SURFACE_CONTROL, name);
    }
}

static void add_msr(struct surface *s, const struct vcpu *cpu,
                    const struct engine_ops *e, const struct msr_rule *r,
                    enum surface_part_id id)
{
    bool own = e->own_msr && e->own_msr(cpu, r->first);
    struct surface_item *i;
    char name[24];

    for (uint32_t n = r->first; n < r->first + r->count; n++) {
        snprintf(name, sizeof(name), "0x%x", n);
        i = add(s, id, name);
        snprintf(i->detail, sizeof(i->detail), "%s: %s (%s)", r->name, r->why,
                 !own && r->owner == MSR_BY_CPU ? msr_owner_name(MSR_BY_MODEL)
                                                : msr_owner_name(r->owner));
    }
}

static void add_msrs(struct surface *s, const struct vcpu *cpu,
                     const struct engine_ops *e)
{
    s->part[SURFACE_MSR_OWN].there = true;
    for (unsigned i = 0; i < msr_rule_count; i++) {
        const struct msr_rule *r = &msr_rules[i];

        if (!msr_rule_shown(r, cpu->model))
            continue;
        if (r->access & MSR_R)
            add_msr(s, cpu, e, r, SURFACE_MSR_READ);
        if (r->access & MSR_W)
            add_msr(s, cpu, e, r, SURFACE_MSR_WRITE);
        if (e->own_msr && e->own_msr(cpu, r->first))
            add_msr(s, cpu, e, r, SURFACE_MSR_OWN);
    }
}

static void add_leaf(struct surface *s, const struct vcpu *cpu, uint32_t leaf)
{
    struct surface_item *i;
    struct cpuid_regs r;
    char name[32];

    for (uint32_t sub = 0; sub < 4; sub++) {
        r = cpuid_query(cpu, leaf, sub);
        if (!(r.eax | r.ebx | r.ecx | r.edx))
            continue;
        snprintf(name, sizeof(name), "0x%x", leaf);
        i = add(s, SURFACE_CPUID, name);
        snprintf(i->detail, sizeof(i->detail), "%08x %08x %08x %08x", r.eax,
                 r.ebx, r.ecx, r.edx);
        return; /* its sub-leaves are one with it */
    }
}

static void add_cpuid(struct surface *s, const struct vcpu *cpu)
{
    static const uint32_t first[] = {0, 0x40000000, 0x80000000};

    for (unsigned i = 0; i < ARRAY_SIZE(first); i++) {
        uint32_t last = cpuid_query(cpu, first[i], 0).eax;

        for (uint32_t leaf = first[i]; leaf <= last && last - first[i] < 0x100;
             leaf++)
            add_leaf(s, cpu, leaf);
    }
}

static int add_cpu(struct surface *s, const struct vcpu *cpu,
                   const struct engine_ops *e, struct error *err)
{
    struct decoder *d = calloc(1, sizeof(*d));

    if (!d)
        return error_set(err, ENOMEM, "out of memory");
    if (decoder_init(d, cpu->model, err)) {
        free(d);
        return -err->code;
    }
    add_exits(s, e);
    add_instructions(s, d);
    add_hypercalls(s, d);
    decoder_fini(d);
    free(d);
    add_bits(s, "CR4", cpu_cr4_allowed(cpu->model));
    add_bits(s, "EFER", cpu_efer_allowed(cpu->model));
    add_bits(s, "XCR0", cpu_xcr0_allowed(cpu->model));
    add_msrs(s, cpu, e);
    add_cpuid(s, cpu);
    return 0;
}

/* --- devices --- */

static void add_range(struct surface *s, enum surface_part_id id,
                      const char *device, uint64_t base, uint64_t len)
{
    struct surface_item *i;
    char name[64];

    if (id == SURFACE_PORTS && len == 1)
        snprintf(name, sizeof(name), "0x%llx", (ull)base);
    else
        snprintf(name, sizeof(name), "0x%llx-0x%llx", (ull)base,
                 (ull)(base + len - 1));
    i = add(s, id, name);
    snprintf(i->detail, sizeof(i->detail), "%s", device);
}

/* Where they are at power-on; a guest may put them elsewhere. */
static void add_bars(struct surface *s, const struct pci_host *h)
{
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        const struct pci_func *f = h->slot[i];

        for (unsigned n = 0; f && n < PCI_BARS; n++)
            if (f->bar[n].size)
                add_range(s, SURFACE_MMIO, f->dev.ops->name, f->bar[n].assigned,
                          f->bar[n].size);
    }
}

static void add_devices(struct surface *s, struct machine *m)
{
    for (unsigned k = IO_MMIO; k <= IO_PORT; k++)
        for (unsigned i = 0; i < m->mem.io[k].count; i++) {
            const struct io_region *r = m->mem.io[k].regions[i];

            add_range(s, k == IO_PORT ? SURFACE_PORTS : SURFACE_MMIO, r->name,
                      r->base, r->len);
        }
    if (cpu_model_has(&m->model, F_APIC))
        add_range(s, SURFACE_MMIO, "local APIC", LAPIC_BASE, PAGE_SIZE);
    add_bars(s, &m->pci);
}

/* --- the host's system calls --- */

static void put_filter(struct fence_stack *to, const struct sock_filter *insn,
                       unsigned len)
{
    rf_assert(to->filters < ARRAY_SIZE(to->filter));
    to->filter[to->filters].insn = insn;
    to->filter[to->filters++].len = len;
}

static void put_table(struct fence_stack *to, struct fence_filter *f,
                      const struct fence_table *t)
{
    fence_table_filter(f, t);
    put_filter(to, f->insn, f->len);
}

static void add_call(struct surface *s, enum surface_part_id id,
                     const char *name, enum fence_reach reach)
{
    struct surface_item *i;

    if (reach == REACH_NEVER)
        return;
    i = add(s, id, name);
    if (reach == REACH_DEPENDS)
        snprintf(i->detail, sizeof(i->detail), "some arguments");
}

/* Numbers that we have no name for, too, if a filter lets one through. */
static void add_calls(struct surface *s, enum surface_part_id id,
                      const struct fence_stack *stack)
{
    const char *known;
    char name[32];

    for (unsigned nr = 0; nr < 2 * FENCE_CALLS; nr++) {
        known = fence_call_name(nr);
        snprintf(name, sizeof(name), "call-%u", nr);
        if (known || stack->filters)
            add_call(s, id, known ? known : name,
                     fence_reach(stack, AUDIT_ARCH_X86_64, nr));
        snprintf(name, sizeof(name), "i386-call-%u", nr);
        if (stack->filters)
            add_call(s, id, name, fence_reach(stack, AUDIT_ARCH_I386, nr));
    }
}

/* A thread's list behind the process's, if it has one; enum fence_needs. */
static void put_thread(struct fence_stack *to, struct fence_filter *f,
                       unsigned needs)
{
    struct fence_table t;

    if (needs & FENCE_ANYTHING)
        return;
    fence_table_thread(&t, needs);
    put_table(to, f, &t);
}

static void add_thread(struct surface *s, enum surface_part_id id,
                       struct fence_stack stack, unsigned needs)
{
    struct fence_filter f;

    put_thread(&stack, &f, needs);
    add_calls(s, id, &stack);
}

/* A stub inherits the filters of its vCPU's thread. */
static void add_stub(struct surface *s, struct fence_stack stack,
                     unsigned needs)
{
    const struct stub any = {.base = 0x10000,
                             .secret = {1ull << 32, 1ull << 33, 1}};
    struct stub_filter f[2];
    struct fence_filter thread;

    put_thread(&stack, &thread, needs);
    stub_filters(&any, f);
    for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
        put_filter(&stack, f[i].insn, f[i].len);
    add_calls(s, SURFACE_STUB_CALLS, &stack);
}

static void add_host(struct surface *s, const struct machine *m)
{
    const struct machine_config *c = m->cfg;
    unsigned needs = c->no_fence ? FENCE_ANYTHING : machine_cpu_needs(m);
    struct fence_stack process = {0};
    struct fence_filter f;
    struct fence_table t;

    if (!c->no_fence) {
        fence_table_process(&t);
        put_table(&process, &f, &t);
    }
    add_calls(s, SURFACE_EVENT_CALLS, &process);
    add_thread(s, SURFACE_VCPU_CALLS, process, needs);
    if (c->disks)
        add_thread(s, SURFACE_DISK_CALLS, process,
                   c->no_fence ? FENCE_ANYTHING : DISK_QUEUE_NEEDS);
    if (c->shares)
        add_thread(s, SURFACE_SHARE_CALLS, process,
                   c->no_fence ? FENCE_ANYTHING : VIRTIO_FS_NEEDS);
    if (m->engine == engine_find("trap"))
        add_stub(s, process, needs);
}

/* --- all of it --- */

static int look(struct surface *s, struct machine *m, struct error *err)
{
    s->name = m->engine->name;
    if (add_cpu(s, &m->cpu[0].cpu, m->engine, err))
        return -err->code;
    add_devices(s, m);
    add_host(s, m);
    return 0;
}

int surface_of_machine(struct surface *s, const struct machine_config *cfg,
                       struct error *err)
{
    struct machine *m = machine_new(cfg, err);
    int rc;

    memset(s, 0, sizeof(*s));
    if (!m)
        return -err->code;
    m->survey = true;
    rc = machine_build(m, err);
    if (!rc) {
        rc = look(s, m, err);
        machine_unbuild(m);
    }
    free(m);
    if (rc)
        surface_free(s);
    return rc;
}

int surface_of_container(struct surface *s, const char *name, uint64_t caps,
                         bool filtered, struct error *err)
{
    struct seccomp_program *program = calloc(1, sizeof(*program));
    struct fence_stack stack = {0};
    struct seccomp_default profile;
    int rc = 0;

    memset(s, 0, sizeof(*s));
    rf_assert(program);
    s->name = name;
    if (filtered)
        rc = seccomp_compile(seccomp_default(&profile, caps), program, err);
    if (filtered && !rc)
        put_filter(&stack, program->insn, program->len);
    /* x86-64's: i386's are the same calls by other numbers. */
    for (unsigned nr = 0; !rc && nr < 2 * FENCE_CALLS; nr++)
        if (fence_call_name(nr))
            add_call(s, SURFACE_CONTAINER_CALLS, fence_call_name(nr),
                     fence_reach(&stack, AUDIT_ARCH_X86_64, nr));
    for (unsigned cap = 0; !rc && caps_name(cap); cap++)
        if (caps & BIT64(cap))
            add(s, SURFACE_CAPABILITIES, caps_name(cap));
    free(program);
    return rc;
}

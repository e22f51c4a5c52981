/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reissue.c - makes the stubs that run SIMD and x87 on the host's units.
 *
 * A stub is `int stub(struct fpu *, void *mem, struct frame *)`:
 *
 *     load the vector registers that the instruction names (x87, MMX: all)
 *     load MXCSR, RAX, RCX, RDX, flags, as far as it uses them
 *     the instruction: memory operand [rsi], GPR operands rax and rcx
 *     store what it may have written; restore MXCSR; return 0
 *
 * An unmasked floating-point exception arrives as SIGFPE inside a stub; the
 * handler sends it to the stub's `trap` exit, which stores no register.
 *
 * W^X: code is written through one mapping of a memfd and run through
 * another. Only instruction sets in carried() are ever made executable: what
 * the guest chooses there is data flow, never control flow or system state.
 */
#include "x86/reissue_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "x86/fp_trap.h"

#define MXCSR_DEFAULT 0x1f80u

/* --- assembling --- */

struct as {
    uint8_t buf[STUB_BYTES_MAX];
    unsigned len;
};

static void put(struct as *a, const void *bytes, unsigned n)
{
    rf_assert(a->len + n <= sizeof(a->buf));
    memcpy(a->buf + a->len, bytes, n);
    a->len += n;
}
#define PUT(a, ...)                                                            \
    do {                                                                       \
        static const uint8_t b_[] = {__VA_ARGS__};                             \
        put((a), b_, sizeof(b_));                                              \
    } while (0)

static void put_disp32(struct as *a, size_t disp)
{
    uint32_t d = (uint32_t)disp;

    put(a, &d, 4);
}

/* movups/vmovdqu between register n and fpu->ymm[n]. */
static void put_vector_move(struct as *a, unsigned n, bool vex, bool store)
{
    uint8_t modrm = (uint8_t)(0x87 | (n & 7) << 3);
    uint8_t code[4];
    unsigned len = 0;

    if (vex) {
        code[len++] = 0xc5;
        code[len++] = n < 8 ? 0xfe : 0x7e;
        code[len++] = store ? 0x7f : 0x6f;
    } else {
        if (n >= 8)
            code[len++] = 0x44;
        code[len++] = 0x0f;
        code[len++] = store ? 0x11 : 0x10;
    }
    put(a, code, len);
    put(a, &modrm, 1);
    put_disp32(a, offsetof(struct fpu, ymm) + 32 * n);
}

static void put_mxcsr(struct as *a, bool store)
{
    if (store)
        PUT(a, 0x0f, 0xae, 0x9f); /* stmxcsr [rdi + disp32] */
    else
        PUT(a, 0x0f, 0xae, 0x97); /* ldmxcsr */
    put_disp32(a, offsetof(struct fpu, mxcsr));
    if (store) /* ldmxcsr [r8 + 32]: the host's */
        PUT(a, 0x41, 0x0f, 0xae, 0x50, 0x20);
}
_Static_assert(offsetof(struct frame, mxcsr) == 32, "see put_mxcsr()");
_Static_assert(offsetof(struct frame, flags) == 24, "see put_stub()");
_Static_assert(offsetof(struct fpu, fx) == 0, "fxrstor64 [rdi]");

/* --- what an instruction needs --- */

/*
 * Instruction sets that user mode may run without touching anything but the
 * registers loaded here and the memory operand.
 */
static bool carried(const struct zinsn *z)
{
    switch (z->i.meta.isa_set) {
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_PPRO: /* FCOMI */
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
    case ZYDIS_ISA_SET_AES:
    case ZYDIS_ISA_SET_PCLMULQDQ:
    case ZYDIS_ISA_SET_SHA:
    case ZYDIS_ISA_SET_AVX:
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_AVXAES:
    case ZYDIS_ISA_SET_FMA:
    case ZYDIS_ISA_SET_F16C:
        break;
    default:
        return false;
    }
    return z->i.attributes & ZYDIS_ATTRIB_HAS_MODRM;
}

static unsigned vector_number(ZydisRegister reg)
{
    return (unsigned)ZydisRegisterGetId(reg);
}

static void need_register(struct needs *n, const ZydisDecodedOperand *op)
{
    bool write = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    ZydisRegister reg = op->reg.value;

    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
        n->vectors |= (uint16_t)BIT(vector_number(reg));
        if (write)
            n->written |= (uint16_t)BIT(vector_number(reg));
        n->vector = true;
        break;
    case ZYDIS_REGCLASS_MMX:
        n->fx = n->mmx = true;
        break;
    case ZYDIS_REGCLASS_X87:
        n->fx = true;
        break;
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
            n->gpr_reg = true;
        else if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
            n->gpr_rm = true;
        else
            n->gpr_implicit = true;
        n->gpr_write |= write;
        break;
    default:
        if (reg == ZYDIS_REGISTER_MXCSR)
            n->mxcsr = true;
    }
}

/*
 * Moves, logic and integers: neither use nor change MXCSR. By name, because
 * Zydis lists MXCSR as an operand of few that do. The default is safe.
 */
static bool no_float(const struct zinsn *z)
{
    static const char *const prefixes[] = {
        "p",       "mov",   "aes",  "sha",   "and",       "or",
        "xor",     "unpck", "shuf", "blend", "broadcast", "insert",
        "extract", "perm",  "zero", "lddqu", "test",
    };
    const char *name = ZydisMnemonicGetString(z->i.mnemonic);

    if (z->i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && name[0] == 'v')
        name++;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
            return true;
    return false;
}

/* False: an operand that stubs cannot give it. */
static bool collect_needs(const struct zinsn *z, struct needs *n)
{
    memset(n, 0, sizeof(*n));
    n->vex = z->i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    n->fx = z->i.meta.isa_set == ZYDIS_ISA_SET_X87 ||
            z->i.meta.isa_set == ZYDIS_ISA_SET_FCMOV ||
            z->i.meta.isa_set == ZYDIS_ISA_SET_SSE3X87 ||
            z->i.meta.isa_set == ZYDIS_ISA_SET_PPRO;
    n->x87 = n->fx;
    for (unsigned i = 0; i < z->i.operand_count; i++) {
        const ZydisDecodedOperand *op = &z->op[i];

        if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            need_register(n, op);
        } else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            if (op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM)
                return false; /* MASKMOVDQU's rDI */
            n->memory = true;
            n->mem_write = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
        }
    }
    /* CVTPD2PI mm, m128 and VCVTSS2SI r, m are, though they name no XMM */
    if (strstr(ZydisMnemonicGetString(z->i.mnemonic), "cvt"))
        n->vector = true;
    n->mxcsr = n->vector && !no_float(z);
    if (z->i.cpu_flags) {
        n->flags_in = z->i.cpu_flags->tested;
        n->flags_out = z->i.cpu_flags->modified | z->i.cpu_flags->set_0 |
                       z->i.cpu_flags->set_1;
    }
    /* carried() lets in a few that are integer: they have families */
    return n->vector || n->fx;
}

/* Legacy moves and string compares that take any alignment. */
static bool unaligned_legacy(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM:
        return true;
    default:
        return false;
    }
}

static bool aligned_vex(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPD:
    case ZYDIS_MNEMONIC_VMOVDQA:
    case ZYDIS_MNEMONIC_VMOVNTPS:
    case ZYDIS_MNEMONIC_VMOVNTPD:
    case ZYDIS_MNEMONIC_VMOVNTDQ:
    case ZYDIS_MNEMONIC_VMOVNTDQA:
        return true;
    default:
        return false;
    }
}

/* Alignment the memory operand must have [SDM 1 4.1.1, 14.9], or 1. */
static uint8_t alignment(const struct zinsn *z, const struct insn *in,
                         const struct needs *n)
{
    if (n->vex)
        return aligned_vex(z->i.mnemonic) ? in->rm_width : 1;
    if (n->vector && in->rm_width == 16 && !unaligned_legacy(z->i.mnemonic))
        return 16;
    return 1;
}

/* --- the instruction, re-encoded --- */

/* Everything behind ModRM, SIB and displacement. */
static unsigned immediate_at(const ZydisDecodedInstruction *i)
{
    unsigned at = i->raw.modrm.offset + 1u;

    if (i->raw.sib.offset)
        at++;
    return at + i->raw.disp.size / 8u;
}

static uint8_t new_modrm(const struct zinsn *z, const struct needs *n)
{
    uint8_t reg = n->gpr_reg ? 0 : z->i.raw.modrm.reg & 7;
    uint8_t rm = z->i.raw.modrm.rm & 7, mod = 3;

    if (n->memory) {
        mod = 0;
        rm = 6; /* [rsi] */
    } else if (n->gpr_rm) {
        rm = 1; /* rcx */
    }
    return (uint8_t)(mod << 6 | reg << 3 | rm);
}

/*
 * Outside 64-bit mode W does not widen an integer operand, and the upper bits
 * of register numbers are ignored [SDM 2A 2.3.5].
 */
static bool w_is_ignored(const struct zinsn *z, const struct needs *n)
{
    switch (z->i.mnemonic) {
    case ZYDIS_MNEMONIC_VMOVD:
    case ZYDIS_MNEMONIC_VPEXTRD:
    case ZYDIS_MNEMONIC_VPINSRD:
    case ZYDIS_MNEMONIC_VCVTSI2SS:
    case ZYDIS_MNEMONIC_VCVTSI2SD:
    case ZYDIS_MNEMONIC_VPCMPESTRI: /* the lengths in EAX and EDX */
    case ZYDIS_MNEMONIC_VPCMPESTRM:
        return true;
    default:
        return n->gpr_reg || n->gpr_rm ||
               strstr(ZydisMnemonicGetString(z->i.mnemonic), "2si");
    }
}

static void vex_outside_64(const struct zinsn *z, const struct needs *n,
                           uint8_t code[3])
{
    code[1] |= 0xe0;
    code[2] |= 0x40;
    if (w_is_ignored(z, n))
        code[2] &= 0x7f;
}

static void encode_vex(struct as *a, const struct zinsn *z,
                       const struct needs *n)
{
    const uint8_t *v = z->bytes + z->i.raw.vex.offset;
    uint8_t code[3] = {0xc4};

    if (z->i.raw.vex.size == 2) {
        code[1] = (uint8_t)((v[1] & 0x80) | 0x61);
        code[2] = v[1] & 0x7f;
    } else {
        code[1] = v[1];
        code[2] = v[2];
    }
    if (z->i.machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
        vex_outside_64(z, n, code);
    code[1] |= 0x40; /* no index */
    if (n->memory || n->gpr_rm)
        code[1] |= 0x20;
    if (n->gpr_reg)
        code[1] |= 0x80;
    put(a, code, 3);
    put(a, z->bytes + z->i.raw.modrm.offset - 1, 1);
}

static void encode_legacy(struct as *a, const struct zinsn *z,
                          const struct needs *n)
{
    uint8_t rex = 0x40;

    for (unsigned i = 0; i < z->i.raw.prefix_count; i++)
        if (z->i.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
            put(a, &z->i.raw.prefixes[i].value, 1);
    if (z->i.attributes & ZYDIS_ATTRIB_HAS_REX) {
        rex |= (uint8_t)(z->i.raw.rex.W << 3);
        if (!n->gpr_reg)
            rex |= (uint8_t)(z->i.raw.rex.R << 2);
        if (!n->memory && !n->gpr_rm)
            rex |= z->i.raw.rex.B;
    }
    if (rex != 0x40)
        put(a, &rex, 1);
    if (z->i.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        PUT(a, 0x0f);
    if (z->i.opcode_map == ZYDIS_OPCODE_MAP_0F38)
        PUT(a, 0x38);
    if (z->i.opcode_map == ZYDIS_OPCODE_MAP_0F3A)
        PUT(a, 0x3a);
    put(a, z->bytes + z->i.raw.modrm.offset - 1, 1);
}

static void encode(struct as *a, const struct zinsn *z, const struct needs *n)
{
    uint8_t modrm = new_modrm(z, n);
    unsigned imm = immediate_at(&z->i);

    if (n->vex)
        encode_vex(a, z, n);
    else
        encode_legacy(a, z, n);
    put(a, &modrm, 1);
    if (imm < z->i.length)
        put(a, z->bytes + imm, z->i.length - imm);
    /* a register in an immediate has three bits */
    if (z->i.machine_mode != ZYDIS_MACHINE_MODE_LONG_64 &&
        z->i.operand_count_visible == 4 &&
        z->op[3].encoding == ZYDIS_OPERAND_ENCODING_IS4)
        a->buf[a->len - 1] &= 0x7f;
}

static void put_loads(struct as *a, const struct needs *n)
{
    PUT(a, 0x49, 0x89, 0xd0); /* mov r8, rdx */
    if (n->fx)
        PUT(a, 0x48, 0x0f, 0xae, 0x0f); /* fxrstor64 [rdi] */
    for (unsigned v = 0; v < 16; v++)
        if (n->vectors & BIT(v))
            put_vector_move(a, v, n->vex, false);
    if (n->mxcsr)
        put_mxcsr(a, false);
    if (n->gpr_reg || n->gpr_rm || n->gpr_implicit)
        PUT(a, 0x49, 0x8b, 0x00,     /* mov rax, [r8] */
            0x49, 0x8b, 0x48, 0x08,  /* mov rcx, [r8 + 8] */
            0x49, 0x8b, 0x50, 0x10); /* mov rdx, [r8 + 16] */
    if (n->flags_in)
        PUT(a, 0x41, 0xff, 0x70, 0x18, 0x9d); /* push [r8 + 24]; popfq */
}

static void put_stores(struct as *a, const struct needs *n)
{
    if (n->flags_out)
        PUT(a, 0x9c, 0x41, 0x8f, 0x40, 0x18); /* pushfq; pop [r8 + 24] */
    if (n->gpr_write)
        PUT(a, 0x49, 0x89, 0x00,     /* mov [r8], rax */
            0x49, 0x89, 0x48, 0x08); /* mov [r8 + 8], rcx */
    if (n->mxcsr)
        put_mxcsr(a, true);
    for (unsigned v = 0; v < 16; v++)
        if (n->written & BIT(v))
            put_vector_move(a, v, n->vex, true);
    if (n->fx)
        PUT(a, 0x48, 0x0f, 0xae, 0x07, 0xdb, 0xe3); /* fxsave64; fninit */
    if (n->vex)
        PUT(a, 0xc5, 0xf8, 0x77); /* vzeroupper */
    PUT(a, 0x31, 0xc0, 0xc3);     /* xor eax, eax; ret */
}

/* Where SIGFPE goes: nothing is stored but MXCSR's flags; returns 1. */
static void put_trap(struct as *a, const struct needs *n)
{
    if (n->mxcsr)
        put_mxcsr(a, true);
    if (n->fx)
        PUT(a, 0xdb, 0xe3);
    if (n->vex)
        PUT(a, 0xc5, 0xf8, 0x77);
    PUT(a, 0xb8, 1, 0, 0, 0, 0xc3); /* mov eax, 1; ret */
}

/* --- the cache --- */

static int chunk_add(struct reissue *r, struct error *err)
{
    struct chunk *c = calloc(1, sizeof(*c));
    int fd;

    if (!c)
        return error_set(err, ENOMEM, "out of memory");
    fd = memfd_create("reissue", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, CHUNK_BYTES) < 0)
        goto fail;
    c->write =
        mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    c->exec = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (c->write == MAP_FAILED || c->exec == MAP_FAILED)
        goto fail;
    close(fd);
    c->next = r->chunks;
    r->chunks = c;
    r->chunk_count++;
    return 0;
fail:
    error_set(err, errno, "cannot map executable memory: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    free(c);
    return -err->code;
}

static uint32_t key_hash(const uint8_t *key, unsigned len)
{
    uint32_t h = 2166136261u;

    for (unsigned i = 0; i < len; i++)
        h = (h ^ key[i]) * 16777619u;
    return h & (STUB_HASH - 1);
}

static struct stub *stub_make(struct reissue *r, const struct needs *n,
                              const struct as *encoded, uint32_t hash)
{
    struct as a = {.len = 0};
    struct error err;
    struct stub *s;
    unsigned trap;

    put_loads(&a, n);
    put(&a, encoded->buf, encoded->len);
    put_stores(&a, n);
    trap = a.len;
    put_trap(&a, n);
    if (r->chunks->used + a.len > CHUNK_BYTES && chunk_add(r, &err))
        return NULL;
    s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    memcpy(r->chunks->write + r->chunks->used, a.buf, a.len);
    s->run = (stub_fn *)(void *)(r->chunks->exec + r->chunks->used);
    s->trap = r->chunks->exec + r->chunks->used + trap;
    r->chunks->used += (a.len + 15u) & ~15u;
    s->key_len = (uint8_t)encoded->len;
    memcpy(s->key, encoded->buf, encoded->len);
    s->next = r->hash[hash];
    r->hash[hash] = s;
    return s;
}

static struct stub *stub_find(struct reissue *r, const struct as *key,
                              uint32_t hash)
{
    struct stub *s = r->hash[hash];

    while (s && (s->key_len != key->len || memcmp(s->key, key->buf, key->len)))
        s = s->next;
    return s;
}

static uint8_t gpr_number(unsigned reg, unsigned width)
{
    return (uint8_t)(width == 1 ? reg / 8 : reg);
}

static enum unit unit_of(const struct needs *n)
{
    if (n->vex)
        return UNIT_AVX;
    if (n->mmx && !n->vector)
        return UNIT_MMX;
    if (n->x87)
        return UNIT_X87;
    return n->mmx ? UNIT_SSE_MMX : UNIT_SSE;
}

int reissue_bind(struct reissue *r, struct insn *in, const struct zinsn *z)
{
    struct as key = {.len = 0};
    struct needs n;
    struct stub *s;
    uint32_t hash;

    if (masked_bind(in, z))
        return 0;
    if (!carried(z) || !collect_needs(z, &n) || (in->flags & INSN_LOCK))
        return -ENOENT;
    encode(&key, z, &n);
    hash = key_hash(key.buf, key.len);
    s = stub_find(r, &key, hash);
    if (!s) {
        s = stub_make(r, &n, &key, hash);
        if (!s)
            return -ENOMEM;
        s->needs = n;
        s->unit = unit_of(&n);
        s->align = alignment(z, in, &n);
    }
    in->sem = sem_reissue;
    in->imm = (uintptr_t)s;
    in->reg = n.gpr_reg ? gpr_number(in->reg, in->reg_width) : R_RAX;
    in->rm = n.gpr_rm ? gpr_number(in->rm, in->rm_width) : R_RCX;
    in->reg_class = RC_VEC;
    return 0;
}

bool reissue_owns(const struct zinsn *z)
{
    return (z->i.mnemonic == ZYDIS_MNEMONIC_MOVSD ||
            z->i.mnemonic == ZYDIS_MNEMONIC_CMPSD) &&
           z->i.meta.isa_set == ZYDIS_ISA_SET_SSE2;
}

int stub_run(struct vcpu *cpu, const struct stub *s, void *mem, struct frame *f)
{
    int rc;

    f->mxcsr = MXCSR_DEFAULT;
    if (s->needs.fx) /* fxrstor must not see reserved bits */
        memcpy(cpu->fpu.fx + 24, &f->mxcsr, 4);
    fp_trap_exit = s->trap;
    rc = s->run(&cpu->fpu, mem, f);
    fp_trap_exit = NULL;
    return rc;
}

struct reissue *reissue_new(struct error *err)
{
    struct reissue *r = calloc(1, sizeof(*r));

    if (!r) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    if (chunk_add(r, err)) {
        free(r);
        return NULL;
    }
    fp_trap_install();
    return r;
}

static void stubs_free(struct reissue *r)
{
    for (unsigned i = 0; i < STUB_HASH; i++) {
        for (struct stub *s = r->hash[i], *next; s; s = next) {
            next = s->next;
            free(s);
        }
        r->hash[i] = NULL;
    }
}

void reissue_free(struct reissue *r)
{
    stubs_free(r);
    for (struct chunk *c = r->chunks, *next; c; c = next) {
        next = c->next;
        munmap(c->write, CHUNK_BYTES);
        munmap(c->exec, CHUNK_BYTES);
        free(c);
    }
    free(r);
}

bool reissue_full(const struct reissue *r)
{
    return r->chunk_count >= CHUNKS_MAX;
}

void reissue_reset(struct reissue *r)
{
    stubs_free(r);
    while (r->chunks->next) {
        struct chunk *c = r->chunks;

        r->chunks = c->next;
        munmap(c->write, CHUNK_BYTES);
        munmap(c->exec, CHUNK_BYTES);
        free(c);
    }
    r->chunks->used = 0;
    r->chunk_count = 1;
}

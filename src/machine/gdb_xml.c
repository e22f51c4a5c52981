/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_xml.c - the target description: which registers there are, by what
 * names and types. [GDB manual, appendix G, "i386 Features"]
 */
#include "machine/gdb_regs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const feature_names[GDB_FEATURES] = {
    [GDB_CORE] = "org.gnu.gdb.i386.core",
    [GDB_SSE] = "org.gnu.gdb.i386.sse",
    [GDB_SEGMENTS] = "org.gnu.gdb.i386.segments",
    [GDB_SYSTEM] = "org.ringfence.system",
    [GDB_AVX] = "org.gnu.gdb.i386.avx",
};

struct bit_name {
    const char *name;
    unsigned bit;
};

static const struct bit_name eflags_bits[] = {
    {"CF", 0},  {"PF", 2},   {"AF", 4},   {"ZF", 6},  {"SF", 7},  {"TF", 8},
    {"IF", 9},  {"DF", 10},  {"OF", 11},  {"NT", 14}, {"RF", 16}, {"VM", 17},
    {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}, {NULL, 0},
};
static const struct bit_name cr0_bits[] = {
    {"PE", 0},  {"MP", 1},  {"EM", 2},  {"TS", 3},  {"ET", 4},  {"NE", 5},
    {"WP", 16}, {"AM", 18}, {"NW", 29}, {"CD", 30}, {"PG", 31}, {NULL, 0},
};
static const struct bit_name cr4_bits[] = {
    {"VME", 0},   {"PVI", 1},       {"TSD", 2},         {"DE", 3},
    {"PSE", 4},   {"PAE", 5},       {"MCE", 6},         {"PGE", 7},
    {"PCE", 8},   {"OSFXSR", 9},    {"OSXMMEXCPT", 10}, {"UMIP", 11},
    {"LA57", 12}, {"FSGSBASE", 16}, {"PCIDE", 17},      {"OSXSAVE", 18},
    {"SMEP", 20}, {"SMAP", 21},     {NULL, 0},
};
static const struct bit_name efer_bits[] = {
    {"SCE", 0}, {"LME", 8}, {"LMA", 10}, {"NXE", 11}, {NULL, 0},
};
static const struct bit_name mxcsr_bits[] = {
    {"IE", 0},  {"DE", 1},  {"ZE", 2},  {"OE", 3},  {"UE", 4},
    {"PE", 5},  {"DAZ", 6}, {"IM", 7},  {"DM", 8},  {"ZM", 9},
    {"OM", 10}, {"UM", 11}, {"PM", 12}, {"FZ", 15}, {NULL, 0},
};

static const struct {
    enum gdb_feature feature;
    const char *name;
    unsigned bytes;
    const struct bit_name *bits;
} flag_types[] = {
    {GDB_CORE, "i386_eflags", 4, eflags_bits},
    {GDB_SSE, "i386_mxcsr", 4, mxcsr_bits},
    {GDB_SYSTEM, "x64_cr0", 8, cr0_bits},
    {GDB_SYSTEM, "x64_cr4", 8, cr4_bits},
    {GDB_SYSTEM, "x64_efer", 8, efer_bits},
};

static const char vector_types[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
    "<field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/>"
    "<field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/>"
    "<field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>";

static void printf_like(2, 3) xml_add(struct gdb *g, const char *fmt, ...)
{
    size_t n = strlen(g->xml);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(g->xml + n, sizeof(g->xml) - n, fmt, ap);
    va_end(ap);
}

static void xml_types(struct gdb *g, enum gdb_feature feature)
{
    const struct bit_name *b;
    unsigned i;

    if (feature == GDB_SSE)
        xml_add(g, "%s", vector_types);
    for (i = 0; i < ARRAY_SIZE(flag_types); i++) {
        if (flag_types[i].feature != feature)
            continue;
        xml_add(g, "<flags id=\"%s\" size=\"%u\">", flag_types[i].name,
                flag_types[i].bytes);
        for (b = flag_types[i].bits; b->name; b++)
            xml_add(g, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", b->name,
                    b->bit, b->bit);
        xml_add(g, "</flags>");
    }
}

static void xml_reg(struct gdb *g, const struct gdb_reg *r)
{
    xml_add(g, "<reg name=\"%s\" bitsize=\"%u\"", r->name, 8u * r->bytes);
    if (r->type)
        xml_add(g, " type=\"%s\"", r->type);
    else
        xml_add(g, " type=\"int%u\"", 8u * r->bytes);
    if (r->group)
        xml_add(g, " group=\"%s\"", r->group);
    xml_add(g, "/>");
}

void gdb_describe(struct gdb *g)
{
    const struct gdb_reg *r;
    unsigned i;
    int feature = -1;

    snprintf(g->xml, sizeof(g->xml),
             "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM "
             "\"gdb-target.dtd\"><target>"
             "<architecture>i386:x86-64</architecture>");
    for (i = 0; (r = gdb_reg_at(g, i)); i++) {
        if (r->feature != feature) {
            if (feature >= 0)
                xml_add(g, "</feature>");
            feature = r->feature;
            xml_add(g, "<feature name=\"%s\">", feature_names[feature]);
            xml_types(g, r->feature);
        }
        xml_reg(g, r);
    }
    xml_add(g, "</feature></target>");
}

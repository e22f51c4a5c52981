/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_int.h - what the files of spec.h share.
 */
#pragma once

#include "oci/spec.h"

/* spec.c */
extern const struct json_shape spec_shape, spec_process_shape;

/* spec_resources.c */
extern const struct json_shape spec_resources_shape;

/* spec_seccomp.c */
extern const struct json_shape spec_seccomp_shape;

/* spec_names.c: bool f(name, *value) for each kind of name. */
bool spec_find_namespace(const char *name, unsigned *value);
bool spec_find_rlimit(const char *name, unsigned *value);
bool spec_find_sched(const char *name, unsigned *value);
bool spec_find_sched_flag(const char *name, unsigned *value);
bool spec_find_ioprio(const char *name, unsigned *value);
bool spec_find_domain(const char *name, unsigned *value);
bool spec_find_mempolicy(const char *name, unsigned *value);
bool spec_find_mempolicy_flag(const char *name, unsigned *value);

/* spec_check.c: what no table can say. */
int spec_check(const struct spec *spec, struct error *err) must_check;
int spec_check_process(const struct spec_process *p,
                       struct error *err) must_check;

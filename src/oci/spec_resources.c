/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_resources.c - linux.resources, straight into fence/'s structures.
 */
#include <assert.h>
#include <fcntl.h>
#include <string.h>

#include "oci/json_table.h"
#include "oci/spec_int.h"

JSON_IS_ARRAY(cgroup_limits_io, weight_device, weight_devices);
JSON_IS_ARRAY(cgroup_limits_io, throttle[0].list, throttle[0].count);
JSON_IS_ARRAY(cgroup_limits_net, priority, priorities);
JSON_IS_ARRAY(cgroup_limits, device, devices);
JSON_IS_ARRAY(cgroup_limits, hugepage, hugepages);
JSON_IS_ARRAY(cgroup_limits, rdma, rdmas);
JSON_IS_ARRAY(cgroup_limits, unified, unifieds);
static_assert(sizeof(struct cgroup_unified) == sizeof(struct json_pair) &&
                  offsetof(struct cgroup_unified, value) ==
                      offsetof(struct json_pair, value),
              "a pair as json.h has them");

static bool find_device_type(const char *name, unsigned *value)
{
    if (!name[0]) {
        *value = 'a';
        return true;
    }
    if (name[1] || !strchr("abcup", name[0]))
        return false;
    *value = name[0] == 'u' ? 'c' : (unsigned char)name[0];
    return name[0] != 'p';
}

static void init_device_rule(void *item)
{
    struct cgroup_device_rule *r = item;

    r->major = r->minor = -1;
}

/* clang-format off */
#define M(type, m, bit) \
    type(cgroup_limits_memory, m), HAS(cgroup_limits_memory, bit)
static const struct json_field memory_fields[] = {
    {"limit", M(SINT, limit, CGROUP_MEMORY_LIMIT)},
    {"reservation", M(SINT, reservation, CGROUP_MEMORY_RESERVATION)},
    {"swap", M(SINT, swap, CGROUP_MEMORY_SWAP)},
    {"kernel", M(SINT, kernel, CGROUP_MEMORY_KERNEL)},
    {"kernelTCP", M(SINT, kernel_tcp, CGROUP_MEMORY_KERNEL_TCP)},
    {"swappiness", M(UINT, swappiness, CGROUP_MEMORY_SWAPPINESS)},
    {"disableOOMKiller",
     M(BOOL, disable_oom_killer, CGROUP_MEMORY_NO_OOM_KILLER)},
    {"useHierarchy", M(BOOL, use_hierarchy, CGROUP_MEMORY_HIERARCHY)},
    {"checkBeforeUpdate", BOOL(cgroup_limits_memory, check_before_update)},
    {NULL},
};
static const struct json_shape memory_shape =
    SHAPE(cgroup_limits_memory, memory_fields);

#define C(type, m, bit) type(cgroup_limits_cpu, m), HAS(cgroup_limits_cpu, bit)
static const struct json_field cpu_fields[] = {
    {"shares", C(UINT, shares, CGROUP_CPU_SHARES)},
    {"quota", C(SINT, quota, CGROUP_CPU_QUOTA)},
    {"burst", C(UINT, burst, CGROUP_CPU_BURST)},
    {"period", C(UINT, period, CGROUP_CPU_PERIOD)},
    {"realtimeRuntime", C(SINT, realtime_runtime, CGROUP_CPU_RT_RUNTIME)},
    {"realtimePeriod", C(UINT, realtime_period, CGROUP_CPU_RT_PERIOD)},
    {"idle", C(SINT, idle, CGROUP_CPU_IDLE)},
    {"cpus", STRING(cgroup_limits_cpu, cpus)},
    {"mems", STRING(cgroup_limits_cpu, mems)},
    {NULL},
};
static const struct json_shape cpu_shape =
    SHAPE(cgroup_limits_cpu, cpu_fields);

static const struct json_field pids_fields[] = {
    {"limit", SINT(cgroup_limits, pids),
     HAS(cgroup_limits, CGROUP_PIDS_LIMIT)},
    {NULL},
};
/* Its members are those of the outer structure. */
static const struct json_shape pids_shape =
    SHAPE(cgroup_limits, pids_fields);

static const struct json_field device_fields[] = {
    {"allow", BOOL(cgroup_device_rule, allow), NEEDED},
    {"type", .kind = JSON_ENUM, .size = 1, JSON_AT(cgroup_device_rule, type),
     .find = find_device_type},
    {"major", SINT(cgroup_device_rule, major)},
    {"minor", SINT(cgroup_device_rule, minor)},
    {"access", STRING(cgroup_device_rule, access)},
    {NULL},
};
static const struct json_shape device_shape = {
    .size = sizeof(struct cgroup_device_rule), .fields = device_fields,
    .init = init_device_rule};

static const struct json_field weight_fields[] = {
    {"major", SINT(cgroup_weight_device, device.major), NEEDED},
    {"minor", SINT(cgroup_weight_device, device.minor), NEEDED},
    {"weight", UINT(cgroup_weight_device, weight),
     HAS(cgroup_weight_device, CGROUP_WEIGHT)},
    {"leafWeight", UINT(cgroup_weight_device, leaf_weight),
     HAS(cgroup_weight_device, CGROUP_LEAF_WEIGHT)},
    {NULL},
};
static const struct json_shape weight_shape =
    SHAPE(cgroup_weight_device, weight_fields);

static const struct json_field throttle_fields[] = {
    {"major", SINT(cgroup_throttle, device.major), NEEDED},
    {"minor", SINT(cgroup_throttle, device.minor), NEEDED},
    {"rate", UINT(cgroup_throttle, rate), NEEDED},
    {NULL},
};
static const struct json_shape throttle_shape =
    SHAPE(cgroup_throttle, throttle_fields);

#define THROTTLE(k) ARRAY(cgroup_limits_io, throttle[k], throttle_shape)
static const struct json_field io_fields[] = {
    {"weight", UINT(cgroup_limits_io, weight),
     HAS(cgroup_limits_io, CGROUP_WEIGHT)},
    {"leafWeight", UINT(cgroup_limits_io, leaf_weight),
     HAS(cgroup_limits_io, CGROUP_LEAF_WEIGHT)},
    {"weightDevice", ARRAY(cgroup_limits_io, weight_device, weight_shape)},
    {"throttleReadBpsDevice", THROTTLE(CGROUP_READ_BPS)},
    {"throttleWriteBpsDevice", THROTTLE(CGROUP_WRITE_BPS)},
    {"throttleReadIOPSDevice", THROTTLE(CGROUP_READ_IOPS)},
    {"throttleWriteIOPSDevice", THROTTLE(CGROUP_WRITE_IOPS)},
    {NULL},
};
static const struct json_shape io_shape = SHAPE(cgroup_limits_io, io_fields);

static const struct json_field hugepage_fields[] = {
    {"pageSize", STRING(cgroup_hugepage_limit, page_size), NEEDED},
    {"limit", UINT(cgroup_hugepage_limit, limit), NEEDED},
    {NULL},
};
static const struct json_shape hugepage_shape =
    SHAPE(cgroup_hugepage_limit, hugepage_fields);

static const struct json_field priority_fields[] = {
    {"name", STRING(cgroup_interface_priority, name), NEEDED},
    {"priority", UINT(cgroup_interface_priority, priority), NEEDED},
    {NULL},
};
static const struct json_shape priority_shape =
    SHAPE(cgroup_interface_priority, priority_fields);

static const struct json_field net_fields[] = {
    {"classID", UINT(cgroup_limits_net, class_id),
     HAS(cgroup_limits_net, CGROUP_NET_CLASS)},
    {"priorities", ARRAY(cgroup_limits_net, priority, priority_shape)},
    {NULL},
};
static const struct json_shape net_shape =
    SHAPE(cgroup_limits_net, net_fields);

static const struct json_field rdma_fields[] = {
    {"hcaHandles", UINT(cgroup_rdma_limit, handles),
     HAS(cgroup_rdma_limit, CGROUP_RDMA_HANDLES)},
    {"hcaObjects", UINT(cgroup_rdma_limit, objects),
     HAS(cgroup_rdma_limit, CGROUP_RDMA_OBJECTS)},
    {NULL},
};
static const struct json_shape rdma_shape = {
    .size = sizeof(struct cgroup_rdma_limit), .fields = rdma_fields,
    .key_at = offsetof(struct cgroup_rdma_limit, device)};

static const struct json_field resources_fields[] = {
    {"devices", ARRAY(cgroup_limits, device, device_shape)},
    {"memory", INLINE(cgroup_limits, memory, memory_shape)},
    {"cpu", INLINE(cgroup_limits, cpu, cpu_shape)},
    {"pids", .kind = JSON_INLINE, .shape = &pids_shape},
    {"blockIO", INLINE(cgroup_limits, io, io_shape)},
    {"hugepageLimits", ARRAY(cgroup_limits, hugepage, hugepage_shape)},
    {"network", INLINE(cgroup_limits, net, net_shape)},
    {"rdma", DICT(cgroup_limits, rdma, rdma_shape)},
    {"unified", MAP(cgroup_limits, unified)},
    {NULL},
};
const struct json_shape spec_resources_shape =
    SHAPE(cgroup_limits, resources_fields);
/* clang-format on */

int spec_read_resources(struct arena *a, const char *path,
                        struct cgroup_limits *limits, struct error *err)
{
    int e;

    memset(limits, 0, sizeof(*limits));
    if (!strcmp(path, "-"))
        e = json_read_fd(a, 0, "stdin", &spec_resources_shape, limits, err);
    else
        e = json_read_file(a, AT_FDCWD, path, &spec_resources_shape, limits,
                           NULL, err);
    return e ? e : cgroup_limits_check(limits, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - what the host's KVM can do, and its objects: one VM for the vCPUs of
 * a guest memory, with RAM and ROM as slots; what is neither comes back as
 * MMIO. All but kvm_slots() for who builds and ends machines.
 */
#include "engine/kvm/kvm_int.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define DEVICE       "/dev/kvm"
#define OTHER_ENGINE "give --engine interp to do without it"
/*
 * Four pages that old Intel CPUs need to run real mode: below the largest
 * ROM, above the APICs.
 */
#define INTEL_PAGES (GUEST_HIGH_BASE - GUEST_ROM_MAX - 4 * PAGE_SIZE)

/* --- the host --- */

static int no_rights(struct error *err)
{
    const struct group *g = NULL;
    struct stat st;

    if (!stat(DEVICE, &st) && (st.st_mode & 060) == 060)
        g = getgrgid(st.st_gid);
    return error_set(err, EACCES,
                     g ? "no rights on " DEVICE ": be in the group `%s'"
                       : "no rights on " DEVICE "%s: only root has them",
                     g ? g->gr_name : "");
}

int kvm_device_open(struct error *err)
{
    int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == EACCES || errno == EPERM)
        return no_rights(err);
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return error_set(err, errno,
                         "no " DEVICE ": the CPU's virtualization is off, not "
                         "there, or not passed on to this machine");
    return error_set(err, errno, DEVICE ": %s", strerror(errno));
}

static int check_extensions(int fd, struct error *err)
{
    static const struct {
        int number;
        const char *name;
    } need[] = {
#define N(x) {KVM_CAP_##x, #x}
        N(USER_MEMORY),
        N(READONLY_MEM),
        N(XSAVE),
        N(XCRS),
        N(DEBUGREGS),
        N(VCPU_EVENTS),
        N(EXT_CPUID),
        N(USER_NMI),
        N(IMMEDIATE_EXIT),
        N(VCPU_ATTRIBUTES),
        N(X86_USER_SPACE_MSR),
        N(X86_MSR_FILTER),
#undef N
    };

    int version = ioctl(fd, KVM_GET_API_VERSION, 0);

    if (version != KVM_API_VERSION)
        return error_set(err, ENOTSUP,
                         DEVICE " speaks version %d of KVM's interface, not "
                                "%d: needs Linux 5.16",
                         version, KVM_API_VERSION);
    for (unsigned i = 0; i < ARRAY_SIZE(need); i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, need[i].number) <= 0)
            return error_set(err, ENOTSUP,
                             "the kernel's KVM lacks KVM_CAP_%s: needs Linux "
                             "5.16",
                             need[i].name);
    return 0;
}

int kvm_probe(struct error *err)
{
    int fd = kvm_device_open(err), rc;

    if (fd < 0)
        return -err->code;
    rc = check_extensions(fd, err);
    close(fd);
    return rc;
}

/* --- the VM --- */

static void vm_close(struct guest_mem *mem)
{
    struct kvm_vm *vm = mem->slots;

    if (--vm->users)
        return;
    mem->slots = NULL;
    close(vm->fd);
    if (vm->rom_copy)
        munmap(vm->rom_copy, vm->rom_size);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

/* Optional, or only for some hosts: what fails is done without. */
static void vm_options(struct kvm_vm *vm)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE,
                                 .args = {1}};
    uint64_t identity = INTEL_PAGES;

    vm->exits_refused = !ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
    if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) ||
        ioctl(vm->fd, KVM_SET_TSS_ADDR, INTEL_PAGES + PAGE_SIZE))
        log_debug("kvm: no place for Intel's real mode: %s", strerror(errno));
}

static int vm_setup(struct kvm_vm *vm, const struct vcpu *cpu,
                    struct error *err)
{
    int dev = kvm_device_open(err), len;

    if (dev < 0)
        return dev;
    len = ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0);
    vm->fd = ioctl(dev, KVM_CREATE_VM, 0);
    if (vm->fd < 0)
        error_set(err, errno, "KVM cannot create a VM: %s; %s", strerror(errno),
                  errno == EBUSY ? "another hypervisor has the CPU"
                                 : OTHER_ENGINE);
    close(dev);
    if (vm->fd < 0)
        return -err->code;
    if (len < (int)sizeof(struct kvm_run))
        return error_set(err, EIO, "KVM's vCPUs have no shared page");
    vm->run_len = (size_t)len;
    vm->model = *cpu->model;
    vm_options(vm);
    if (cpu->host_apics)
        kvm_apics_enable(vm);
    if (kvm_reduce_model(&vm->model, err) || kvm_filter_msrs(vm, err))
        return -err->code;
    return kvm_kick_init(err);
}

static int vm_open(const struct vcpu *cpu, struct error *err)
{
    struct guest_mem *mem = cpu->mem;
    struct kvm_vm *vm = mem->slots;

    if (vm) {
        vm->users++;
        return 0;
    }
    vm = calloc(1, sizeof(*vm));
    if (!vm)
        return error_set(err, ENOMEM, "out of memory");
    if (vm_setup(vm, cpu, err)) {
        if (vm->fd > 0)
            close(vm->fd);
        free(vm);
        return -err->code;
    }
    pthread_mutex_init(&vm->lock, NULL);
    vm->users = 1;
    mem->slots = vm;
    return 0;
}

/* --- vCPUs --- */

static int cpu_setup(struct vcpu *cpu, struct kvm_cpu *kc, struct error *err)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
                                 .args = {1}};

    kc->fd = ioctl(kc->vm->fd, KVM_CREATE_VCPU, cpu->apic_id);
    if (kc->fd < 0)
        return error_set(err, errno, "KVM cannot create vCPU %u: %s; %s",
                         cpu->index, strerror(errno),
                         cpu->index ? "give fewer --cpus" : OTHER_ENGINE);
    kc->run = mmap(NULL, kc->vm->run_len, PROT_READ | PROT_WRITE, MAP_SHARED,
                   kc->fd, 0);
    if (kc->run == MAP_FAILED) {
        kc->run = NULL;
        return error_set(err, errno, "cannot map vCPU %u: %s", cpu->index,
                         strerror(errno));
    }
    (void)ioctl(kc->fd, KVM_ENABLE_CAP, &cap); /* from 5.10: else no harm */
    return 0;
}

void kvm_cpu_close(struct vcpu *cpu)
{
    struct kvm_cpu *kc = kvm_of(cpu);

    if (!kc)
        return;
    if (kc->run)
        munmap(kc->run, kc->vm->run_len);
    if (kc->fd >= 0)
        close(kc->fd);
    cpu->model = kc->model;
    cpu->kvm = NULL;
    free(kc);
    vm_close(cpu->mem);
}

int kvm_cpu_open(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc;

    if (vm_open(cpu, err))
        return -err->code;
    kc = calloc(1, sizeof(*kc));
    if (!kc) {
        vm_close(cpu->mem);
        return error_set(err, ENOMEM, "out of memory");
    }
    kc->fd = -1;
    kc->vm = cpu->mem->slots;
    kc->model = cpu->model;
    kc->apic_base = 0xfee00800 | (cpu->index ? 0 : BIT(8)); /* [SDM 3A 11.4] */
    cpu->kvm = kc;
    cpu->model = &kc->vm->model;
    if (cpu_setup(cpu, kc, err)) {
        kvm_cpu_close(cpu);
        return -err->code;
    }
    return 0;
}

/* --- slots --- */

static int slot_set(struct kvm_vm *vm, enum kvm_slot slot, gpa_t gpa,
                    const void *host, uint64_t size, struct error *err)
{
    struct kvm_userspace_memory_region r = {
        .slot = slot,
        .flags = slot == SLOT_ROM ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = gpa,
        .userspace_addr = (uintptr_t)host,
        .memory_size = 0,
    };

    /* a slot that moves has to go first; one that is not there must not */
    if (vm->slot[slot] && ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r))
        return error_set(err, errno, "KVM keeps the guest's memory: %s",
                         strerror(errno));
    vm->slot[slot] = 0;
    r.memory_size = size;
    if (size && ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r))
        return error_set(err, errno,
                         "KVM does not take %llu MiB of guest memory: %s",
                         (unsigned long long)(size / MiB), strerror(errno));
    vm->slot[slot] = size;
    return 0;
}

/* The caller's bytes need not lie on a page, and do not change. */
static int rom_pages(struct kvm_vm *vm, const struct guest_mem *mem,
                     struct error *err)
{
    if (vm->rom_copy)
        munmap(vm->rom_copy, vm->rom_size);
    vm->rom_copy = NULL;
    vm->rom_size = mem->rom ? mem->rom_region.len : 0;
    if (!mem->rom)
        return 0;
    vm->rom_copy = mmap(NULL, vm->rom_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vm->rom_copy == MAP_FAILED) {
        vm->rom_copy = NULL;
        return error_set(err, ENOMEM, "out of memory for the firmware");
    }
    memcpy(vm->rom_copy, mem->rom, vm->rom_size);
    return 0;
}

static int slots_set(struct kvm_vm *vm, const struct guest_mem *mem,
                     struct error *err)
{
    if (rom_pages(vm, mem, err) ||
        slot_set(vm, SLOT_LOW, 0, mem->ram, mem->low_size, err) ||
        slot_set(vm, SLOT_HIGH, GUEST_HIGH_BASE, mem->ram + mem->low_size,
                 mem->high_size, err))
        return -err->code;
    return slot_set(vm, SLOT_ROM, GUEST_HIGH_BASE - vm->rom_size, vm->rom_copy,
                    vm->rom_size, err);
}

int kvm_slots(struct vcpu *cpu, struct error *err)
{
    struct guest_mem *mem = cpu->mem;
    struct kvm_vm *vm = kvm_of(cpu)->vm;
    int rc = 0;

    pthread_mutex_lock(&vm->lock);
    if (!vm->mapped || vm->generation != mem->generation ||
        vm->rom != mem->rom) {
        rc = slots_set(vm, mem, err);
        vm->mapped = !rc;
        vm->generation = mem->generation;
        vm->rom = mem->rom;
    }
    pthread_mutex_unlock(&vm->lock);
    return rc;
}

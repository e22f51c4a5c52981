/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.c - a running container to files and back, by CRIU. What is the
 * host's (binds, cgroups, joined namespaces) CRIU is told of as external;
 * cgroups are made and entered by us.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fence/mount.h"
#include "fence/path.h"
#include "oci/create_int.h"
#include "oci/criu.h"
#include "oci/json_build.h"
#include "oci/rootfs_int.h"

#define DESCRIPTORS "descriptors.json" /* runc's name for the same thing */
#define NET_KEY     "extRootNetNS"

struct cr {
    const struct checkpoint_options *k;
    struct container *c;
    const struct spec *spec;
    struct arena *arena;
    bool restore;
    const char *root; /* restore: where the rootfs is bound */
    const char *rootfs;
    int console; /* restore: where a terminal's master goes, or -1 */
    struct criu_options o;
    struct criu_pair *pairs;
    unsigned pairs_max;
};

static int open_folder(const char *path, bool make, struct error *err)
{
    int fd;

    if (make && mkdir(path, 0700) && errno != EEXIST)
        return error_set(err, errno, "%s: %s", path, strerror(errno));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "%s: %s", path, strerror(errno)) : fd;
}

/* --- what is not the container's own --- */

static void add_mount(struct cr *r, const char *dest, const char *source)
{
    struct criu_pair *p = &r->pairs[r->o.ext_mounts];

    if (r->o.ext_mounts == r->pairs_max)
        return;
    p->key = dest;
    p->value = r->restore ? source : dest;
    r->o.ext_mounts++;
}

/* Its options were understood when the container was created. */
static bool is_bind(const struct cr *r, const struct spec_mount *m)
{
    struct mount_options o;
    struct error err;

    return !mount_parse(r->arena, m->options.item, m->options.count, &o,
                        &err) &&
           rootfs_is_bind(m, &o);
}

static void add_cgroups(struct cr *r, const char *dest)
{
    const struct cgroup *cg = &r->c->cgroup;
    unsigned i;

    for (i = 0; i < cg->count; i++) {
        const struct cgroup_tree *t = &cg->tree[i];
        const char *name = strrchr(t->mount, '/');
        const char *at = cg->layout == CGROUP_V2
                             ? dest
                             : arena_printf(r->arena, "%s%s", dest, name);

        if (name)
            add_mount(r, at, arena_printf(r->arena, "%s%s", t->mount, t->path));
    }
}

/*
 * A masked folder is a tmpfs of the container's own; a masked file the host's
 * /dev/null. What is in no root is in procfs or sysfs, alike everywhere.
 */
static bool is_folder(const struct cr *r, const char *path)
{
    int root = open(r->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
    struct stat st;
    bool is;

    if (root >= 0) {
        fd = path_open_in(root, path, O_PATH);
        close(root);
    }
    is = fd >= 0 ? !fstat(fd, &st) && S_ISDIR(st.st_mode)
                 : !stat(path, &st) && S_ISDIR(st.st_mode);
    if (fd >= 0)
        close(fd);
    return is;
}

static void add_mounts(struct cr *r)
{
    const struct spec_linux *l = &r->spec->linux_;
    const struct spec_mount *m = r->spec->mounts.items;
    const struct spec_device *d = l->devices.items, *defaults;
    unsigned n, i;

    defaults = rootfs_default_devices(&n);
    r->pairs_max = r->spec->mounts.count + l->devices.count +
                   l->masked_paths.count + n + CGROUP_TREES;
    r->pairs = arena_alloc(r->arena, (r->pairs_max + 1) * sizeof(*r->pairs));
    r->o.ext_mount = r->pairs;
    for (i = 0; i < r->spec->mounts.count; i++) {
        if (is_bind(r, &m[i]))
            add_mount(r, m[i].destination, m[i].source);
        else if (m[i].type && !strncmp(m[i].type, "cgroup", 6))
            add_cgroups(r, m[i].destination);
    }
    /* Those that were bound, as none could be made; others are not looked at.
     */
    for (i = 0; i < n; i++)
        add_mount(r, defaults[i].path, defaults[i].path);
    for (i = 0; i < l->devices.count; i++)
        add_mount(r, d[i].path, d[i].path);
    for (i = 0; i < l->masked_paths.count; i++)
        if (!is_folder(r, l->masked_paths.item[i]))
            add_mount(r, l->masked_paths.item[i], "/dev/null");
}

/* A network that was joined stays where it is. */
static int add_network(struct cr *r, struct error *err)
{
    const struct spec_namespace *n = spec_namespace(r->spec, CLONE_NEWNET);
    const char **list;
    struct stat st;
    int fd;

    if (!n || !n->path || !n->path[0])
        return 0;
    if (r->restore) {
        fd = open(n->path, O_RDONLY);
        if (fd < 0)
            return error_set(err, errno, "linux.namespaces: network: %s: %s",
                             n->path, strerror(errno));
        r->o.inherit[r->o.inherits].key = NET_KEY;
        r->o.inherit[r->o.inherits++].fd = fd;
    }
    if (stat(r->restore
                 ? n->path
                 : arena_printf(r->arena, "/proc/%d/ns/net", r->c->state.pid),
             &st))
        return error_set(err, errno, "network namespace: %s", strerror(errno));
    list = arena_alloc(r->arena, 2 * sizeof(*list));
    list[0] = arena_printf(r->arena, "net[%llu]:" NET_KEY,
                           (unsigned long long)st.st_ino);
    r->o.external = list;
    r->o.externals = r->restore ? 0 : 1;
    return 0;
}

static void common_options(struct cr *r)
{
    const struct checkpoint_options *k = r->k;
    struct criu_options *o = &r->o;

    o->tcp_established = k->tcp_established;
    o->tcp_skip_in_flight = k->tcp_skip_in_flight;
    o->ext_unix_sk = k->ext_unix_sk;
    o->shell_job = k->shell_job;
    o->file_locks = k->file_locks;
    o->auto_dedup = k->auto_dedup;
    o->link_remap = k->link_remap;
    o->parent = k->parent;
    o->lsm_profile = k->lsm_profile;
    o->lsm_mount_context = k->lsm_mount_context;
    o->orphan_pts = r->spec->process && r->spec->process->terminal;
}

static int open_folders(struct cr *r, struct error *err)
{
    const char *images = r->k->images ? r->k->images : "checkpoint";

    r->o.images_dir = open_folder(images, !r->restore, err);
    if (r->o.images_dir < 0)
        return error_prefix(err, "--image-path");
    r->o.work_dir = open_folder(r->k->work ? r->k->work : images, true, err);
    return r->o.work_dir < 0 ? error_prefix(err, "--work-path") : 0;
}

static void close_folders(struct cr *r)
{
    if (r->o.images_dir >= 0)
        close(r->o.images_dir);
    if (r->o.work_dir >= 0)
        close(r->o.work_dir);
}

/* --- stdin, stdout, stderr --- */

/* What they are at the checkpoint: pipes get others in their place later. */
static int save_descriptors(struct cr *r, struct error *err)
{
    struct arena *a = &r->c->arena;
    struct json_value *list = json_new_array(a);
    char path[40], goal[256];
    const char *text;
    int fd, i, e = 0;
    ssize_t n;

    for (i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", r->c->state.pid, i);
        n = readlink(path, goal, sizeof(goal) - 1);
        goal[MAX(n, 0)] = 0;
        json_add(list, json_new_text(a, arena_strdup(a, goal)));
    }
    text = json_print(a, list, false);
    fd = openat(r->o.images_dir, DESCRIPTORS,
                O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fd_write(fd, text, strlen(text)))
        e = error_set(err, errno, "%s: %s", DESCRIPTORS, strerror(errno));
    if (fd >= 0)
        close(fd);
    return e;
}

/* "pipe:[1234]", as the kernel names them; CRIU finds it by this name. */
static bool is_pipe(const char *name)
{
    size_t n = strlen(name);

    return n > 7 && n < 40 && !strncmp(name, "pipe:[", 6) &&
           strspn(name + 6, "0123456789") == n - 7 && name[n - 1] == ']';
}

int checkpoint_pipes(struct arena *a, const char *text, size_t len,
                     const char *pipe[3], struct error *err)
{
    const struct json_value *v = json_parse(a, text, len, DESCRIPTORS, err);
    unsigned i;

    memset(pipe, 0, 3 * sizeof(*pipe));
    if (!v)
        return -err->code;
    if (v->type != JSON_TYPE_ARRAY || v->count != 3)
        return error_set(err, EINVAL,
                         DESCRIPTORS ": must be an array of three");
    for (i = 0, v = v->first; v; v = v->next, i++) {
        if (v->type != JSON_TYPE_STRING || v->has_nul)
            return error_set(err, EINVAL, DESCRIPTORS ": [%u]: must be a name",
                             i);
        pipe[i] = is_pipe(v->text) ? v->text : NULL;
    }
    return 0;
}

/* Images without that file have been made by another program: no pipes. */
static int load_descriptors(struct cr *r, struct error *err)
{
    char text[2048];
    const char *pipe[3];
    int fd = openat(r->o.images_dir, DESCRIPTORS,
                    O_RDONLY | O_CLOEXEC | O_NONBLOCK),
        e, i;
    ssize_t n;

    if (fd < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(err, errno, DESCRIPTORS ": %s", strerror(errno));
    n = read(fd, text, sizeof(text));
    if (n < 0)
        error_set(err, errno, DESCRIPTORS ": %s", strerror(errno));
    close(fd);
    e = n < 0 ? -err->code
              : checkpoint_pipes(r->arena, text, (size_t)n, pipe, err);
    for (i = 0; i < 3 && !e; i++)
        if (pipe[i]) {
            r->o.inherit[r->o.inherits].key = pipe[i];
            r->o.inherit[r->o.inherits++].fd = i;
        }
    return e;
}

/* --- checkpoint --- */

static int dump(struct cr *r, struct error *err)
{
    struct criu criu = {.program = r->k->criu};
    const struct cgroup_tree *freezer =
        cgroup_tree_of(&r->c->cgroup, CGROUP_FREEZER);
    pid_t e;

    common_options(r);
    r->rootfs = r->c->state.rootfs;
    add_mounts(r);
    r->o.pid = r->c->state.pid;
    r->o.root = r->rootfs;
    r->o.log_file = "dump.log";
    r->o.leave_running = r->k->leave_running;
    r->o.track_mem = r->k->pre_dump;
    if (freezer)
        r->o.freeze_cgroup =
            arena_printf(r->arena, "%s%s", freezer->mount, freezer->path);
    e = add_network(r, err);
    if (!e)
        e = save_descriptors(r, err);
    if (!e)
        e = criu_call(r->arena, &criu,
                      r->k->pre_dump ? CRIU_PRE_DUMP : CRIU_DUMP, &r->o, err);
    return MIN(e, 0);
}

int container_checkpoint(const char *root, const char *id,
                         const struct checkpoint_options *k, struct error *err)
{
    struct container c = {0};
    struct spec spec;
    struct cr r = {.k = k, .c = &c, .spec = &spec, .arena = &c.arena};
    int e = oci_state_open(&c, root, id, true, err);

    r.o.images_dir = r.o.work_dir = -1;
    if (!e && oci_state_status(&c) != STATE_RUNNING &&
        oci_state_status(&c) != STATE_PAUSED)
        e = error_set(err, EINVAL,
                      "container \"%s\" is %s: only one that runs "
                      "can be checkpointed",
                      id, oci_state_status_name(oci_state_status(&c)));
    if (!e)
        e = config_read(&c, &spec, err);
    if (!e)
        e = open_folders(&r, err);
    if (!e)
        e = dump(&r, err);
    close_folders(&r);
    if (!e && !k->leave_running && !k->pre_dump)
        e = container_remove(&c, &spec, err);
    oci_state_close(&c);
    return e;
}

/* --- restore --- */

/* In CRIU's process: the cgroups that all it restores shall be in, and a
 * mount that the container's root can be made of; both end with it. */
static int restore_enter(void *ctx, struct error *err)
{
    struct cr *r = ctx;
    int fd, at, e = cgroup_enter(&r->c->cgroup, 0, false, err);

    if (e)
        return e;
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
        return error_set(err, errno, "mount namespace: %s", strerror(errno));
    fd = mount_copy(AT_FDCWD, r->rootfs, true, false, err);
    if (fd < 0)
        return fd;
    at = open(r->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    e = at < 0 ? error_set(err, errno, "%s: %s", r->root, strerror(errno))
               : mount_put(fd, at, err);
    if (!e)
        e = mount_propagation(fd, MS_PRIVATE | MS_REC, err);
    return e;
}

static int restore_master(void *ctx, int fd, struct error *err)
{
    struct cr *r = ctx;

    return console_send(r->console, fd, err);
}

static int restore(struct cr *r, struct making *m, struct error *err)
{
    struct criu criu = {.program = r->k->criu,
                        .enter = restore_enter,
                        .master = restore_master,
                        .ctx = r};
    int e = open_folders(r, err);
    pid_t pid;

    if (e)
        return e;
    r->root = arena_printf(r->arena, "%s/%s/root", m->c.root, m->c.id);
    if (mkdirat(m->c.dir, "root", 0700))
        return error_set(err, errno, "%s: %s", r->root, strerror(errno));
    common_options(r);
    add_mounts(r);
    e = load_descriptors(r, err);
    if (e)
        return e;
    r->o.root = r->root;
    r->o.log_file = "restore.log";
    r->o.sibling = true; /* its parent shall be us, not CRIU */
    e = add_network(r, err);
    if (e)
        return e;
    pid = criu_call(r->arena, &criu, CRIU_RESTORE, &r->o, err);
    if (pid <= 0)
        return pid ? pid : error_set(err, EIO, "criu told no pid");
    m->pid = pid;
    m->c.state.pid = pid;
    m->c.state.pid_time = oci_state_start_time(pid);
    e = oci_state_save(&m->c, err);
    return e ? e : pid_file_write(m->o->pid_file, pid, err);
}

int container_restore(const struct container_options *o,
                      const struct checkpoint_options *k, int *status,
                      struct error *err)
{
    struct making m;
    struct cr r = {.k = k, .restore = true};
    int e;

    if (!o->detach)
        run_hold_signals();
    e = making_begin(&m, o, false, err);
    if (!e)
        e = making_cgroup(&m, err);
    r.o.images_dir = r.o.work_dir = -1;
    r.c = &m.c;
    r.spec = &m.spec;
    r.arena = &m.c.arena;
    r.rootfs = m.l.rootfs;
    r.console = m.l.console_socket;
    if (!e)
        e = restore(&r, &m, err);
    close_folders(&r);
    if (e) {
        making_undo(&m);
        return e;
    }
    return run_to_end(&m, status, err);
}

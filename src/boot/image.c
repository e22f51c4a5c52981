/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.c - bounded reads from a kernel or initrd file.
 *
 * Reads, not a mapping: a file that shrinks under a mapping is a SIGBUS.
 */
#include "boot/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int image_open(struct image *img, const char *what, const char *path,
               struct error *err)
{
    struct stat st;
    /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    *img = (struct image){.path = path, .what = what, .fd = -1};
    if (fd < 0)
        return error_set(err, errno,
                         "%s %s: %s; give the path of a readable "
                         "file",
                         what, path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, EINVAL,
                         "%s %s: not a regular file; give the "
                         "path of a file",
                         what, path);
    }
    if (!st.st_size) {
        close(fd);
        return error_set(err, EINVAL, "%s %s: the file is empty; get it again",
                         what, path);
    }
    img->fd = fd;
    img->size = (uint64_t)st.st_size;
    return 0;
}

void image_close(struct image *img)
{
    if (img->fd >= 0)
        close(img->fd);
    img->fd = -1;
}

static int image_check(const struct image *img, uint64_t off, uint64_t len,
                       struct error *err)
{
    if (off > img->size || len > img->size - off)
        return error_set(err, ENODATA,
                         "%s: truncated: %llu bytes are wanted "
                         "at %llu, the file ends at %llu; get it again",
                         img->path, (unsigned long long)len,
                         (unsigned long long)off,
                         (unsigned long long)img->size);
    return 0;
}

int image_read(const struct image *img, uint64_t off, void *buf, uint64_t len,
               struct error *err)
{
    int rc;

    if (image_check(img, off, len, err))
        return -err->code;
    if (img->bytes) {
        memcpy(buf, img->bytes + off, len);
        return 0;
    }
    rc = fd_read_at(img->fd, buf, len, off);
    if (rc == -ENODATA)
        return error_set(err, ENODATA,
                         "%s: the file became shorter while "
                         "it was read; leave it alone",
                         img->path);
    if (rc)
        return error_set(err, -rc, "%s: cannot read: %s", img->path,
                         strerror(-rc));
    return 0;
}

int image_load(const struct image *img, uint64_t off, struct guest_mem *m,
               gpa_t gpa, uint64_t len, struct error *err)
{
    void *p = guest_mem_ptr(m, gpa, len);

    if (!p)
        return error_set(err, EFAULT,
                         "%s: its load address 0x%llx is not in "
                         "the guest's memory; give more with --memory",
                         img->path, (unsigned long long)gpa);
    if (image_read(img, off, p, len, err))
        return -err->code;
    guest_mem_written(m, gpa, len);
    return 0;
}

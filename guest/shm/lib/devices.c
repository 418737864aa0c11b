/* SPDX-License-Identifier: MIT */
/*
 * The seam in a guest: /dev/xen/evtchn rings, /dev/xen/gntdev maps, /dev/xen/privcmd makes our own hypercall.
 * Facts: <xen/sys/evtchn.h>, <xen/sys/gntdev.h>, <xen/sys/privcmd.h>.
 */
#include "devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <asm/types.h>
#define __user
#include <xen/xen.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "abi/pal.h"

#define PAGE    4096u
#define AT_ONCE 16384u /* pages a request to the kernel: its default limit is four times that */

struct seam {
    struct store *store;
    int privcmd, buffers; /* -1: not opened yet */
};

struct seam_bell {
    int fd;
};

struct seam_mapping {
    int fd; /* of its own: closing it ends what the mapping was given */
    void *at;
    size_t size;
};

int seam_open(struct seam **out)
{
    struct seam *s = calloc(1, sizeof(*s));
    int error;

    if (!s)
        return -ENOMEM;
    s->privcmd = s->buffers = -1;
    error = store_open(&s->store);
    if (error) {
        free(s);
        return error;
    }
    *out = s;
    return 0;
}

void seam_close(struct seam *s)
{
    store_close(s->store);
    if (s->privcmd >= 0)
        close(s->privcmd);
    if (s->buffers >= 0)
        close(s->buffers);
    free(s);
}

int seam_read(struct seam *s, const char *path, char *value, size_t room)
{
    return store_read(s->store, path, value, room);
}

int seam_write(struct seam *s, const char *path, const char *value)
{
    return store_write(s->store, path, value);
}

int seam_remove(struct seam *s, const char *path)
{
    return store_remove(s->store, path);
}

int seam_list(struct seam *s, const char *path, char *names, size_t room)
{
    return store_list(s->store, path, names, room);
}

int seam_share(struct seam *s, const char *path, uint32_t owner, const uint32_t *readers, size_t n)
{
    return store_share(s->store, path, owner, readers, n);
}

int seam_watch(struct seam *s, const char *path, const char *token)
{
    return store_watch(s->store, path, token, true);
}

int seam_unwatch(struct seam *s, const char *path, const char *token)
{
    return store_watch(s->store, path, token, false);
}

int seam_event(struct seam *s, char *path, char *token, size_t room)
{
    return store_event(s->store, path, token, room);
}

int seam_fd(struct seam *s)
{
    return store_fd(s->store);
}

bool seam_pending(struct seam *s)
{
    return store_pending(s->store);
}

int seam_bell_open(struct seam *s, struct seam_bell **out)
{
    struct seam_bell *b = calloc(1, sizeof(*b));

    (void)s;
    if (!b)
        return -ENOMEM;
    b->fd = open("/dev/xen/evtchn", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (b->fd < 0) {
        int error = -errno;

        free(b);
        return error;
    }
    *out = b;
    return 0;
}

void seam_bell_close(struct seam_bell *b)
{
    close(b->fd);
    free(b);
}

int seam_bell_fd(struct seam_bell *b)
{
    return b->fd;
}

int seam_bell_offer(struct seam_bell *b, uint32_t domain)
{
    struct ioctl_evtchn_bind_unbound_port op = {.remote_domain = domain};
    int port = ioctl(b->fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &op);

    return port < 0 ? -errno : port;
}

int seam_bell_bind(struct seam_bell *b, uint32_t domain, uint32_t remote)
{
    struct ioctl_evtchn_bind_interdomain op = {.remote_domain = domain, .remote_port = remote};
    int port = ioctl(b->fd, IOCTL_EVTCHN_BIND_INTERDOMAIN, &op);

    return port < 0 ? -errno : port;
}

int seam_bell_ring(struct seam_bell *b, uint32_t port)
{
    struct ioctl_evtchn_notify op = {.port = port};

    return ioctl(b->fd, IOCTL_EVTCHN_NOTIFY, &op) ? -errno : 0;
}

int seam_bell_take(struct seam_bell *b, uint32_t *ports, size_t room)
{
    ssize_t got = read(b->fd, ports, room * sizeof(*ports));

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return (int)((size_t)got / sizeof(*ports));
}

int seam_bell_arm(struct seam_bell *b, const uint32_t *ports, size_t n)
{
    return write(b->fd, ports, n * sizeof(*ports)) < 0 ? -errno : 0;
}

/* One request: `pages` pages at `at`, which is reserved. */
static int map_some(struct seam_mapping *m, uint8_t *at, uint32_t slot, uint64_t page,
                    uint32_t pages, bool writable, uint64_t *index)
{
    struct ioctl_gntdev_map_grant_ref *op;
    int error = 0;

    op = calloc(1, sizeof(*op) + pages * sizeof(op->refs[0]));
    if (!op)
        return -ENOMEM;
    op->count = pages;
    for (uint32_t i = 0; i < pages; i++) {
        op->refs[i].domid = PAL_DOMID_REGION;
        op->refs[i].ref = PAL_REGION_REF(slot, page + i);
    }
    if (ioctl(m->fd, IOCTL_GNTDEV_MAP_GRANT_REF, op))
        error = -errno;
    else if (mmap(at, (size_t)pages * PAGE, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                  MAP_SHARED | MAP_FIXED, m->fd, (off_t)op->index) == MAP_FAILED)
        error = -errno;
    *index = op->index;
    free(op);
    return error;
}

static int notify_at_end(struct seam_mapping *m, uint64_t index, uint32_t port)
{
    struct ioctl_gntdev_unmap_notify op = {
        .index = index, .action = UNMAP_NOTIFY_SEND_EVENT, .event_channel_port = port};

    return ioctl(m->fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op) ? -errno : 0;
}

int seam_map(struct seam *s, uint32_t slot, uint64_t page, uint64_t pages, bool writable,
             struct seam_bell *notify, uint32_t port, void **at, struct seam_mapping **out)
{
    struct seam_mapping *m = calloc(1, sizeof(*m));
    int error = 0;

    (void)s;
    if (!m)
        return -ENOMEM;
    m->size = pages * PAGE;
    m->fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
    if (m->fd < 0) {
        error = -errno;
        free(m);
        return error;
    }
    /* Several requests side by side: room for all of them is taken first. */
    m->at = mmap(NULL, m->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->at == MAP_FAILED) {
        error = -errno;
        close(m->fd);
        free(m);
        return error;
    }
    for (uint64_t done = 0; done < pages && !error;) {
        uint32_t some = pages - done < AT_ONCE ? (uint32_t)(pages - done) : AT_ONCE;
        uint64_t index;

        error =
            map_some(m, (uint8_t *)m->at + done * PAGE, slot, page + done, some, writable, &index);
        /* A port that is not unbound rings once, when the first of the pages goes. */
        if (!error && !done && notify)
            error = notify_at_end(m, index, port);
        done += some;
    }
    if (error) {
        seam_unmap(m);
        return error;
    }
    *at = m->at;
    *out = m;
    return 0;
}

void seam_unmap(struct seam_mapping *m)
{
    munmap(m->at, m->size);
    close(m->fd);
    free(m);
}

/* The argument must lie in memory that the kernel does not move: it hands out such pages. */
static int open_hypercalls(struct seam *s)
{
    if (s->privcmd < 0)
        s->privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (s->privcmd < 0)
        return -errno;
    if (s->buffers < 0)
        s->buffers = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
    return s->buffers < 0 ? -errno : 0;
}

long seam_region_op(struct seam *s, unsigned command, void *argument, size_t size)
{
    privcmd_hypercall_t call = {.op = __HYPERVISOR_pal_op, .arg = {command}};
    long result = open_hypercalls(s);
    void *page;

    if (result)
        return result;
    if (size > PAGE)
        return -EINVAL;
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->buffers, 0);
    if (page == MAP_FAILED)
        return -errno;
    memcpy(page, argument, size);
    call.arg[1] = (uintptr_t)page;
    result = ioctl(s->privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);
    if (result < 0)
        result = -errno;
    memcpy(argument, page, size);
    munmap(page, PAGE);
    return result;
}

/* SPDX-License-Identifier: MIT */
#include "libpal/device_use.h"

#include <dirent.h>
#include <linux/major.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "libpal/device_host.h"
#include "libpal/device_node.h"

/* The loop device of a domain that has just ended goes a little later than the domain. */
#define LEAVING_MS 3000
#define STEP_MS    20

static bool is_same(const struct pal_backing *a, const struct pal_backing *b)
{
    return a->is_file == b->is_file && a->device == b->device &&
           (!a->is_file || a->inode == b->inode);
}

static bool is_alive(struct pal *p, uint32_t id)
{
    struct xen_domctl_getdomaininfo info;
    struct pal_error ignored = {0};

    return !pal_domain_info(&p->hv, id, &info, &ignored);
}

struct disk_search {
    struct pal *p;
    const char *path; /* of what is looked for, */
    struct pal_backing id;
    struct pal_error *e;
};

static bool look_at_disk(const struct pal_device *d, void *data)
{
    struct disk_search *s = data;
    char name[PAL_NAME_MAX + 1];

    for (unsigned i = 0; i < d->backings; i++) {
        const struct pal_backing *other = &d->backing[i];

        if ((other->is_read_only && s->id.is_read_only) || !is_same(other, &s->id) ||
            !is_alive(s->p, d->domain))
            continue;
        pal_domain_name(s->p, d->domain, name);
        pal_fail(s->e, PAL_DEV_IN_USE, "%s is in use as %s of \"%s\"%s", s->path, d->disk.target,
                 name, other->is_read_only ? "" : ", which may write to it");
        return false;
    }
    return true;
}

/* The loop device that has the file and does not go together with the disk; 0: none. */
static dev_t other_loop(const struct disk_search *s, dev_t own)
{
    DIR *list = opendir("/sys/block");
    dev_t found = 0;

    for (struct dirent *entry; list && !found && (entry = readdir(list));) {
        struct pal_backing id = {.is_file = true};
        unsigned number;
        dev_t loop;

        if (sscanf(entry->d_name, "loop%u", &number) != 1)
            continue;
        loop = makedev(LOOP_MAJOR, number);
        if (loop != own && pal_host_loop_file(loop, &id.device, &id.inode, &id.is_read_only) &&
            is_same(&id, &s->id) && !(id.is_read_only && s->id.is_read_only))
            found = loop;
    }
    if (list)
        closedir(list);
    return found;
}

int device_check_disk(struct pal *p, const char *path, int source, bool read_only,
                      struct pal_backing *backing, struct pal_error *e)
{
    struct timespec step = {0, STEP_MS * 1000000};
    struct disk_search s = {.p = p, .path = path, .e = e};
    dev_t loop, own = 0;
    struct stat st;

    if (fstat(source, &st))
        return pal_fail(e, PAL_DEV_SOURCE, "%s cannot be looked at", path);
    if (S_ISBLK(st.st_mode)) {
        own = st.st_rdev;
        s.id = pal_host_backing(own, read_only);
        *backing = (struct pal_backing){own, 0, false, read_only};
    } else {
        s.id = (struct pal_backing){st.st_dev, st.st_ino, true, read_only};
        *backing = s.id;
    }
    if (p && !device_each(p, look_at_disk, &s))
        return -1;
    for (unsigned ms = 0; (loop = other_loop(&s, own)); ms += STEP_MS) {
        if (ms >= LEAVING_MS) {
            pal_fail(e, PAL_DEV_IN_USE, "domain 0 itself uses %s, by /dev/loop%u", path,
                     minor(loop));
            return pal_remedy(e, "unmount it, or `losetup -d /dev/loop%u`", minor(loop));
        }
        nanosleep(&step, NULL);
    }
    return 0;
}

int pal_disk_is_free(struct pal *p, const char *path, int fd, bool read_only, struct pal_error *e)
{
    struct pal_backing ignored;

    return device_check_disk(p, path, fd, read_only, &ignored, e);
}

struct user_search {
    struct pal *p;
    struct pal_backing id;
    void (*visit)(const struct pal_device *d, const char *domain, bool read_only, void *data);
    void *data;
};

static bool look_at_user(const struct pal_device *d, void *data)
{
    struct user_search *s = data;
    char name[PAL_NAME_MAX + 1];

    for (unsigned i = 0; i < d->backings; i++) {
        if (!is_same(&d->backing[i], &s->id) || !is_alive(s->p, d->domain))
            continue;
        pal_domain_name(s->p, d->domain, name);
        s->visit(d, name, d->backing[i].is_read_only, s->data);
    }
    return true;
}

void pal_disk_users(struct pal *p, int fd,
                    void (*visit)(const struct pal_device *d, const char *domain, bool read_only,
                                  void *data),
                    void *data)
{
    struct user_search s = {.p = p, .visit = visit, .data = data};
    struct stat st;

    if (fstat(fd, &st))
        return;
    s.id = S_ISBLK(st.st_mode) ? pal_host_backing(st.st_rdev, true)
                               : (struct pal_backing){st.st_dev, st.st_ino, true, true};
    device_each(p, look_at_user, &s);
}

struct nic_search {
    struct pal *p;
    const struct pal_nic *nic;
    struct pal_error *e;
};

static bool look_at_nic(const struct pal_device *d, void *data)
{
    struct nic_search *s = data;
    char name[PAL_NAME_MAX + 1], what[PAL_ADDRESS_TEXT] = "";

    if (d->kind != PAL_DEVICE_NIC)
        return true;
    if (!memcmp(d->nic.mac, s->nic->mac, sizeof(d->nic.mac)))
        pal_mac_text(d->nic.mac, what);
    for (unsigned i = 0; i < d->nic.ips && !what[0]; i++) {
        for (unsigned j = 0; j < s->nic->ips && !what[0]; j++) {
            if (pal_address_same(&d->nic.ip[i], &s->nic->ip[j]))
                pal_address_text(&d->nic.ip[i], what);
        }
    }
    if (!what[0] || !is_alive(s->p, d->domain))
        return true;
    pal_domain_name(s->p, d->domain, name);
    pal_fail(s->e, PAL_DEV_IN_USE, "the address %s is that of vif%u of \"%s\"", what, d->number,
             name);
    pal_remedy(s->e, "give this interface another");
    return false;
}

int device_check_nic(struct pal *p, const struct pal_nic *nic, struct pal_error *e)
{
    struct nic_search s = {p, nic, e};

    return device_each(p, look_at_nic, &s) ? 0 : -1;
}

/* SPDX-License-Identifier: MIT */
/*
 * Both halves of each device in the store, then what domain 0 adds when the backend has taken it
 * up. Formats: <xen/io/blkif.h>, <xen/io/netif.h>, and what Linux's drivers/block/xen-blkback and
 * drivers/net/xen-netback read.
 */
#include "libpal/device.h"
#include "libpal/device_host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define STATE_INITIALISING "1"
#define WAIT_STEPS         500 /* of 10 ms: a backend's driver answers at once when it is there */

struct device {
    uint32_t domain;
    const char *kind; /* vbd, vif */
    unsigned number;
    const struct pal_disk *disk;
    const struct pal_nic *nic;
    char back[96], front[96];
};

static struct device device_of(uint32_t domain, const char *kind, unsigned number)
{
    struct device d = {.domain = domain, .kind = kind, .number = number};

    snprintf(d.back, sizeof(d.back), "/local/domain/0/backend/%s/%u/%u", kind, domain, number);
    snprintf(d.front, sizeof(d.front), "/local/domain/%u/device/%s/%u", domain, kind, number);
    return d;
}

static void put_disk(struct pal_batch *b, const struct device *d, const struct pal_rights *back,
                     const struct pal_rights *front)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", d->number);
    pal_batch_put(b, back, d->disk->target, "%s/dev", d->back);
    pal_batch_put(b, back, "phy", "%s/type", d->back);
    pal_batch_put(b, back, "disk", "%s/device-type", d->back);
    pal_batch_put(b, back, d->disk->read_only ? "r" : "w", "%s/mode", d->back);
    pal_batch_put(b, back, d->disk->source, "%s/params", d->back);
    pal_batch_put(b, back, "0", "%s/removable", d->back);
    pal_batch_put(b, front, number, "%s/virtual-device", d->front);
    pal_batch_put(b, front, "disk", "%s/device-type", d->front);
}

static void put_nic(struct pal_batch *b, const struct device *d, const struct pal_rights *back,
                    const struct pal_rights *front)
{
    const uint8_t *m = d->nic->mac;
    char mac[18], handle[16];

    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    snprintf(handle, sizeof(handle), "%u", d->number);
    pal_batch_put(b, back, handle, "%s/handle", d->back);
    pal_batch_put(b, back, mac, "%s/mac", d->back);
    pal_batch_put(b, back, d->nic->bridge, "%s/bridge", d->back);
    pal_batch_put(b, back, "vif", "%s/type", d->back);
    pal_batch_put(b, back, "", "%s/script", d->back); /* netback wants one; there is none to run */
    if (d->nic->rate_kib) {                           /* bytes for each 50 ms */
        char rate[48];

        snprintf(rate, sizeof(rate), "%llu,50000",
                 (unsigned long long)(d->nic->rate_kib * 1024 / 20));
        pal_batch_put(b, back, rate, "%s/rate", d->back);
    }
    pal_batch_put(b, front, handle, "%s/handle", d->front);
    pal_batch_put(b, front, mac, "%s/mac", d->front);
}

static void put_device(struct pal_batch *b, void *data)
{
    const struct device *d = data;
    struct pal_rights back = {PAL_ACCESS_READ, d->domain, 0};
    struct pal_rights front = {PAL_ACCESS_OWN_READ, 0, d->domain};
    char domain[16];

    snprintf(domain, sizeof(domain), "%u", d->domain);
    pal_batch_put(b, &back, "", "%s", d->back);
    pal_batch_put(b, &back, d->front, "%s/frontend", d->back);
    pal_batch_put(b, &back, domain, "%s/frontend-id", d->back);
    pal_batch_put(b, &back, "1", "%s/online", d->back);
    pal_batch_put(b, &front, "", "%s", d->front);
    pal_batch_put(b, &front, d->back, "%s/backend", d->front);
    pal_batch_put(b, &front, "0", "%s/backend-id", d->front);
    if (d->disk)
        put_disk(b, d, &back, &front);
    else
        put_nic(b, d, &back, &front);
    pal_batch_put(b, &back, STATE_INITIALISING, "%s/state", d->back);
    pal_batch_put(b, &front, STATE_INITIALISING, "%s/state", d->front);
}

/* Wait until the path is there: a sign that the backend's driver did its part. */
static int wait_for(const char *path, const char *driver, struct pal_error *e)
{
    struct timespec step = {0, 10000000};

    for (unsigned i = 0; i < WAIT_STEPS; i++) {
        if (!access(path, F_OK))
            return 0;
        nanosleep(&step, NULL);
    }
    pal_fail(e, PAL_DEV_BACKEND, "the driver %s does not take up the device", driver);
    return pal_remedy(e, "load it: `modprobe %s`; then look into domain 0's dmesg", driver);
}

static int attach_disk(struct pal *p, uint32_t domain, const struct pal_disk *disk,
                       struct pal_error *e)
{
    struct device d = device_of(domain, "vbd", pal_disk_number(disk->target));
    char path[160], number[24];
    dev_t device;
    int fd, rc;

    d.disk = disk;
    fd = pal_host_open_disk(disk, &device, e);
    if (fd < 0)
        return -1;
    rc = pal_store_batch(&p->store, put_device, &d, e);
    /* The backend is there when it watches for physical-device, and has the disk open when it
     * shows what it made of it. Until then our own descriptor keeps a loop device alive. */
    snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/vbd-%u-%u", domain, d.number);
    rc = rc ? rc : wait_for(path, "xen-blkback", e);
    snprintf(path, sizeof(path), "%s/physical-device", d.back);
    snprintf(number, sizeof(number), "%x:%x", major(device), minor(device));
    rc = rc ? rc : pal_store_write(&p->store, e, path, number);
    snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/vbd-%u-%u/physical_device", domain,
             d.number);
    rc = rc ? rc : wait_for(path, "xen-blkback", e);
    close(fd);
    return rc;
}

static int attach_nic(struct pal *p, uint32_t domain, unsigned number, const struct pal_nic *nic,
                      struct pal_error *e)
{
    struct device d = device_of(domain, "vif", number);
    char path[160], name[16];

    d.nic = nic;
    snprintf(name, sizeof(name), "vif%u.%u", domain, number);
    snprintf(path, sizeof(path), "/sys/class/net/%s", name);
    if (pal_host_check_bridge(nic->bridge, e) || pal_store_batch(&p->store, put_device, &d, e) ||
        wait_for(path, "xen-netback", e) || pal_host_join_bridge(name, nic->bridge, e))
        return -1;
    snprintf(path, sizeof(path), "%s/hotplug-status", d.back);
    return pal_store_write(&p->store, e, path, "connected");
}

int pal_devices_attach(struct pal *p, uint32_t id, const struct pal_config *c, struct pal_error *e)
{
    for (unsigned i = 0; i < c->disks; i++) {
        if (attach_disk(p, id, &c->disk[i], e))
            return -1;
    }
    for (unsigned i = 0; i < c->nics; i++) {
        if (attach_nic(p, id, i, &c->nic[i], e))
            return -1;
    }
    return 0;
}

void pal_devices_release(struct pal *p, uint32_t id)
{
    /* A backend whose nodes vanish lets go of the disk, and the last one to let go of a loop
     * device ends it. */
    pal_store_remove(&p->store, "/local/domain/0/backend/vbd/%u", id);
    pal_store_remove(&p->store, "/local/domain/0/backend/vif/%u", id);
}

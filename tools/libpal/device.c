/* SPDX-License-Identifier: MIT */
/*
 * Setting devices up and giving them back: the nodes of device_node.c, and what domain 0 adds when
 * a backend has taken a device up.
 */
#include "libpal/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libpal/daemon.h"
#include "libpal/device_host.h"
#include "libpal/device_node.h"
#include "libpal/device_setup.h"
#include "libpal/device_use.h"
#include "libpal/guard.h"
#include "libpal/interrupt.h"
#include "libpal/record.h"

#define LOCK       "devices"
#define STEP_MS    10
#define BACKEND_MS 5000 /* a backend's driver answers at once when it is there */
/* pal-blkd may be starting again, and waits itself for transfers of the one before it. */
#define IMAGES_MS 40000

static void wait_a_step(void)
{
    struct timespec step = {0, STEP_MS * 1000000};

    nanosleep(&step, NULL);
}

/* Has the backend done its part? path: where the kernel's drivers show that; NULL: pal-blkd. */
static bool has_taken(struct pal *p, const struct pal_device *d, const char *path)
{
    return path ? !access(path, F_OK) : device_has_backend(p, d);
}

static int wait_for(struct pal *p, const struct pal_device *d, const char *path, const char *driver,
                    struct pal_error *e)
{
    unsigned limit = path ? BACKEND_MS : IMAGES_MS;
    char *complaint = NULL;

    for (unsigned ms = 0; ms < limit && !complaint; ms += STEP_MS) {
        if (has_taken(p, d, path))
            return 0;
        if (pal_interrupt_check(e))
            return -1;
        wait_a_step();
        complaint = device_complaint(p, d);
    }
    if (complaint && path) {
        pal_fail(e, PAL_DEV_BACKEND, "the driver %s refuses the device: %s", driver, complaint);
        pal_remedy(e, "look into domain 0's dmesg");
    } else if (complaint) {
        pal_fail(e, PAL_DEV_SOURCE, "%s refuses it: %s", driver, complaint);
    } else {
        pal_fail(e, PAL_DEV_BACKEND, "%s does not take up the device", driver);
        pal_remedy(e,
                   path ? "load the driver: `modprobe %s`; then look into domain 0's dmesg"
                        : "look into its log: `journalctl -u %s`",
                   driver);
    }
    free(complaint);
    return -1;
}

/* ---- disks ---- */

/* One whose backend is the kernel's. Returns a descriptor that keeps the block device in being. */
static int publish_physical(struct pal *p, struct pal_device *d, struct pal_error *e)
{
    int fd = pal_host_open_source(&d->disk, e);
    dev_t physical;

    if (fd >= 0 && device_check_disk(p, d->disk.source, fd, d->disk.read_only, &d->backing[0], e)) {
        close(fd);
        fd = -1;
    }
    d->backings = 1;
    if (fd >= 0)
        fd = pal_host_open_disk(fd, &d->disk, &physical, e);
    if (fd >= 0 && device_publish(p, d, physical, e)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* What an image, or an overlay's base, is; pal-blkd opens it itself. */
static int check_image(struct pal *p, struct pal_device *d, const struct pal_disk *disk,
                       bool read_only, struct pal_error *e)
{
    int fd = pal_host_open_source(disk, e);
    int rc = fd < 0
                 ? -1
                 : device_check_disk(p, disk->source, fd, read_only, &d->backing[d->backings], e);

    if (fd >= 0)
        close(fd);
    d->backings++;
    return rc;
}

static int publish_image(struct pal *p, struct pal_device *d, struct pal_error *e)
{
    struct pal_disk own = d->disk;
    struct pal_disk base = {.source = own.base, .is_block = own.base_is_block, .read_only = true};

    if (own.base)
        own.read_only = false; /* an overlay keeps its book even when the guest only reads */
    if (own.base && pal_host_make_overlay(&own, e))
        return -1;
    if (check_image(p, d, &own, own.read_only, e) ||
        (own.base && check_image(p, d, &base, true, e)))
        return -1;
    return device_publish(p, d, 0, e);
}

int device_setup_disk(struct pal *p, uint32_t id, const struct pal_disk *disk, struct pal_device *d,
                      struct pal_error *e)
{
    bool kernels = disk->backend == PAL_BACKEND_KERNEL;
    int lock, fd = -1, rc = -1;
    char path[160];

    *d = (struct pal_device){.domain = id,
                             .kind = PAL_DEVICE_DISK,
                             .number = pal_disk_number(disk->target),
                             .disk = *disk};
    if (!kernels && pal_daemon_need_blkd(e))
        return -1;
    lock = pal_record_lock(LOCK, e);
    if (lock >= 0 && kernels) {
        fd = publish_physical(p, d, e);
        rc = fd < 0 ? -1 : 0;
    } else if (lock >= 0) {
        rc = publish_image(p, d, e);
    }
    pal_record_unlock(lock);
    if (rc)
        return -1;
    /* The kernel's backend has the disk open when it shows what it made of it. Until then our own
     * descriptor keeps a loop device in being. */
    snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/vbd-%u-%u/physical_device", id,
             d->number);
    rc = wait_for(p, d, kernels ? path : NULL, kernels ? "xen-blkback" : "pal-blkd", e);
    if (fd >= 0)
        close(fd);
    if (rc)
        device_give_back(p, d, 1);
    return rc;
}

/* ---- interfaces ---- */

static void interface_name(const struct pal_device *d, char name[16])
{
    snprintf(name, 16, "vif%u.%u", d->domain, d->number);
}

static struct pal_guard guard_of(const struct pal_device *d)
{
    struct pal_guard g = {.owned = d->nic.ips};

    interface_name(d, g.interface);
    memcpy(g.mac, d->nic.mac, sizeof(g.mac));
    memcpy(g.own, d->nic.ip, sizeof(g.own));
    return g;
}

/* Takes the commands. */
static int apply(char *commands, struct pal_error *e)
{
    int rc = commands ? pal_guard_apply(commands, e) : pal_fail(e, PAL_SYS_FAILED, "out of memory");

    free(commands);
    return rc;
}

static int put_guard(const struct pal_device *d, struct pal_error *e)
{
    struct pal_guard g = guard_of(d);

    if (d->nic.trusted)
        return 0;
    g.hosts = pal_host_addresses(d->nic.bridge, g.host, PAL_GUARD_HOST);
    return apply(pal_guard_rules(&g), e);
}

static bool has_no_guard(const struct pal_device *d, void *data)
{
    (void)data;
    return d->kind != PAL_DEVICE_NIC || d->nic.trusted;
}

/* With its nodes gone already. After the last one nothing is left of the table either. */
static void drop_guard(struct pal *p, const struct pal_device *d)
{
    struct pal_error ignored = {0};
    struct pal_guard g = guard_of(d);
    int lock;

    if (d->kind != PAL_DEVICE_NIC || d->nic.trusted)
        return;
    lock = pal_record_lock(LOCK, &ignored);
    if (device_each(p, has_no_guard, NULL))
        pal_guard_apply(pal_guard_nothing, &ignored);
    else
        apply(pal_guard_removal(&g), &ignored);
    pal_record_unlock(lock);
}

struct guarding {
    struct pal *p;
    struct pal_error *e;
};

static bool guard_again(const struct pal_device *d, void *data)
{
    struct guarding *g = data;

    return d->kind != PAL_DEVICE_NIC || !device_has_backend(g->p, d) || !put_guard(d, g->e);
}

int pal_devices_guard(struct pal *p, struct pal_error *e)
{
    int lock = pal_record_lock(LOCK, e);
    struct guarding g = {p, e};
    int rc = lock < 0 || !device_each(p, guard_again, &g) ? -1 : 0;

    pal_record_unlock(lock);
    return rc;
}

int device_setup_nic(struct pal *p, uint32_t id, const struct pal_nic *nic, struct pal_device *d,
                     struct pal_error *e)
{
    char path[160], name[16];
    int lock, rc;

    *d = (struct pal_device){
        .domain = id, .kind = PAL_DEVICE_NIC, .number = nic->number, .nic = *nic};
    interface_name(d, name);
    snprintf(path, sizeof(path), "/sys/class/net/%s", name);
    if (pal_host_check_bridge(nic->bridge, e))
        return -1;
    lock = pal_record_lock(LOCK, e);
    rc = lock < 0 || device_check_nic(p, nic, e) || device_publish(p, d, 0, e) ? -1 : 0;
    pal_record_unlock(lock);
    if (rc)
        return -1;
    /* The interface is down, and on no bridge, until its guard stands. */
    rc = wait_for(p, d, path, "xen-netback", e) || put_guard(d, e) ||
         pal_host_join_bridge(name, nic->bridge, e);
    if (!rc) {
        device_back(d, path);
        strcat(path, "/hotplug-status");
        rc = pal_store_write(&p->store, e, path, "connected");
    }
    if (rc)
        device_give_back(p, d, 1);
    return rc ? -1 : 0;
}

/* ---- all of a domain's ---- */

int pal_devices_attach(struct pal *p, uint32_t id, const struct pal_config *c, struct pal_error *e)
{
    struct pal_device d;

    for (unsigned i = 0; i < c->disks; i++) {
        if (device_setup_disk(p, id, &c->disk[i], &d, e))
            return -1;
    }
    for (unsigned i = 0; i < c->nics; i++) {
        if (device_setup_nic(p, id, &c->nic[i], &d, e))
            return -1;
    }
    return 0;
}

void device_give_back(struct pal *p, const struct pal_device *list, int count)
{
    for (int i = 0; i < count; i++)
        device_withdraw(p, &list[i]);
    /* A backend whose nodes vanish lets go of the disk, and the last one to let go of a loop
     * device ends it. */
    for (int i = 0; i < count; i++) {
        for (unsigned ms = 0; ms < BACKEND_MS && device_has_backend(p, &list[i]); ms += STEP_MS)
            wait_a_step();
    }
    for (int i = 0; i < count; i++)
        drop_guard(p, &list[i]);
}

void pal_devices_release(struct pal *p, uint32_t id)
{
    struct pal_error ignored = {0};
    struct pal_device *list;
    int count = pal_devices_list(p, id, &list, &ignored);

    if (count > 0)
        device_give_back(p, list, count);
    pal_devices_free(list, count);
    device_forget_domain(p, id);
}

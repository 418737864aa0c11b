/* SPDX-License-Identifier: MIT */
/*
 * Devices that come and go while the domain runs. What is waited for is told by domain 0's kernel:
 * the backend's state in domain 0's half, and the backend's device in sysfs.
 */
#include "libpal/device.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xen/io/xenbus.h>

#include "libpal/device_node.h"
#include "libpal/device_setup.h"
#include "libpal/interrupt.h"

#define STEP_MS 10

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One step of waiting. -1: there is nothing to wait for any more. */
static int step(struct pal *p, const struct pal_device *d, struct pal_error *e)
{
    struct timespec t = {0, STEP_MS * 1000000};
    struct xen_domctl_getdomaininfo info;

    if (pal_interrupt_check(e) || pal_domain_info(&p->hv, d->domain, &info, e))
        return -1;
    if (pal_domain_has_ended(&info))
        return pal_fail(e, PAL_DOM_STATE, "the domain has ended meanwhile");
    nanosleep(&t, NULL);
    return 0;
}

static int wait_connected(struct pal *p, struct pal_device *d, unsigned seconds,
                          struct pal_error *e)
{
    double until = now() + seconds;

    for (;;) {
        d->state = device_state(p, d);
        if (d->state == XenbusStateConnected)
            return 0;
        if (d->state == XenbusStateClosing || d->state == XenbusStateClosed ||
            d->state == XenbusStateUnknown) {
            char *complaint = device_complaint(p, d);

            pal_fail(e, PAL_DEV_REFUSED, "the guest's driver gave it up%s%s",
                     complaint ? "; the backend says: " : "", complaint ? complaint : "");
            free(complaint);
            return -1;
        }
        if (now() > until)
            return pal_fail(e, PAL_DEV_TIMEOUT, "no driver in the guest took it up within %u s",
                            seconds);
        if (step(p, d, e))
            return -1;
    }
}

/* After the set-up, the guest's turn; all or nothing. */
static int finish(struct pal *p, struct pal_device *d, unsigned seconds, struct pal_error *e)
{
    if (!seconds || !wait_connected(p, d, seconds, e))
        return 0;
    device_give_back(p, d, 1);
    return -1;
}

/* Does the domain have one that the new one cannot be beside? Then the error says so. */
static int check_target(struct pal *p, uint32_t id, const struct pal_disk *disk,
                        struct pal_error *e)
{
    struct pal_device *list;
    int count = pal_devices_list(p, id, &list, e), rc = count < 0 ? -1 : 0;

    for (int i = 0; i < count; i++) {
        if (list[i].kind == PAL_DEVICE_DISK && pal_disk_collides(list[i].disk.target, disk->target))
            rc = pal_fail(e, PAL_DEV_TAKEN, "it has a disk %s already", list[i].disk.target);
    }
    pal_devices_free(list, count);
    return rc;
}

int pal_disk_plug(struct pal *p, uint32_t id, const struct pal_disk *disk, unsigned seconds,
                  struct pal_device *d, struct pal_error *e)
{
    if (check_target(p, id, disk, e) || device_setup_disk(p, id, disk, d, e))
        return -1;
    return finish(p, d, seconds, e);
}

/* The lowest number that the domain has no interface at, and that is not to be avoided. */
static int free_number(struct pal *p, uint32_t id, unsigned taken, unsigned *number,
                       struct pal_error *e)
{
    struct pal_device *list;
    int count = pal_devices_list(p, id, &list, e);

    for (int i = 0; i < count; i++) {
        if (list[i].kind == PAL_DEVICE_NIC && list[i].number < PAL_NICS_MAX)
            taken |= 1u << list[i].number;
    }
    pal_devices_free(list, count);
    if (count < 0)
        return -1;
    for (*number = 0; *number < PAL_NICS_MAX && taken >> *number & 1; ++*number)
        ;
    if (*number == PAL_NICS_MAX)
        return pal_fail(e, PAL_DEV_TAKEN, "there is no number left for an interface");
    return 0;
}

int pal_nic_plug(struct pal *p, uint32_t id, const struct pal_nic *nic, unsigned avoid,
                 unsigned seconds, struct pal_device *d, struct pal_error *e)
{
    struct pal_nic numbered = *nic;

    if (free_number(p, id, avoid, &numbered.number, e) || device_setup_nic(p, id, &numbered, d, e))
        return -1;
    return finish(p, d, seconds, e);
}

/* ---- taking away ---- */

static void put_request(struct pal_batch *b, void *data)
{
    const struct pal_device *d = data;
    struct pal_rights rights = {PAL_ACCESS_READ, d->domain, 0};
    char back[DEVICE_PATH];

    device_back(d, back);
    pal_batch_put(b, &rights, "0", "%s/online", back);
    pal_batch_put(b, &rights, "5", "%s/state", back); /* closing: the guest's driver sees it */
}

/* Ask the guest's driver to let go. The backend ends when it has done so. */
static int ask(struct pal *p, const struct pal_device *d, unsigned seconds, struct pal_error *e)
{
    struct pal_device copy = *d;
    double until = now() + seconds;

    if (pal_store_batch(&p->store, put_request, &copy, e))
        return -1;
    while (device_has_backend(p, d)) {
        if (now() > until) {
            pal_fail(e, PAL_DEV_TIMEOUT, "the guest did not let go of it within %u s", seconds);
            return pal_remedy(e, "try again later, or take it away by --force");
        }
        if (step(p, d, e))
            return -1;
    }
    return 0;
}

int pal_device_unplug(struct pal *p, const struct pal_device *d, unsigned seconds, bool force,
                      struct pal_error *e)
{
    /* One that no driver in the guest has taken up is nobody's to let go. */
    bool used = d->state == XenbusStateConnected || d->state == XenbusStateClosing;

    if (used && !force && device_has_backend(p, d) && ask(p, d, seconds, e))
        return -1;
    device_give_back(p, d, 1);
    return 0;
}

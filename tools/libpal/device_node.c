/* SPDX-License-Identifier: MIT */
/*
 * Formats: <xen/io/blkif.h>, <xen/io/netif.h>, and what Linux's drivers/block/xen-blkback and
 * drivers/net/xen-netback read.
 */
#include "libpal/device_node.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <xen/io/xenbus.h>

#include "libpal/device_host.h"

#define STATE_INITIALISING "1"
#define BACKENDS           "/local/domain/0/backend"
#define RATE_STEP_US       50000

#define TAKEN "/tool/pal/blkd" /* "<domain>-<number>": pal-blkd has it open */

static const char *const kinds[] = {[PAL_DEVICE_DISK] = "vbd", [PAL_DEVICE_NIC] = "vif"};

/* The backends' names, in the order in which devices are listed. */
static const struct backend {
    const char *name;
    enum pal_device_kind kind;
    enum pal_disk_backend disk;
} backends[] = {{"vbd", PAL_DEVICE_DISK, PAL_BACKEND_KERNEL},
                {"palblk", PAL_DEVICE_DISK, PAL_BACKEND_PAL},
                {"vif", PAL_DEVICE_NIC, PAL_BACKEND_KERNEL}};
#define BACKEND_KINDS (sizeof(backends) / sizeof(backends[0]))

static bool is_ours(const struct pal_device *d)
{
    return d->kind == PAL_DEVICE_DISK && d->disk.backend == PAL_BACKEND_PAL;
}

static const char *backend_name(const struct pal_device *d)
{
    return is_ours(d) ? "palblk" : kinds[d->kind];
}

void device_back(const struct pal_device *d, char path[DEVICE_PATH])
{
    snprintf(path, DEVICE_PATH, BACKENDS "/%s/%u/%u", backend_name(d), d->domain, d->number);
}

static void device_front(const struct pal_device *d, char path[DEVICE_PATH])
{
    snprintf(path, DEVICE_PATH, "/local/domain/%u/device/%s/%u", d->domain, kinds[d->kind],
             d->number);
}

/* ---- publishing ---- */

struct publication {
    const struct pal_device *d;
    dev_t physical;
    char back[DEVICE_PATH], front[DEVICE_PATH];
    struct pal_rights back_rights, front_rights;
};

/* A file as device and inode, a block device as its number and 0. */
static void backing_text(const struct pal_backing *b, char text[48])
{
    snprintf(text, 48, "%llx:%llx", (unsigned long long)b->device,
             b->is_file ? (unsigned long long)b->inode : 0);
}

/* What pal-blkd reads. */
static void put_image(struct pal_batch *b, const struct publication *u)
{
    const struct pal_disk *disk = &u->d->disk;
    char text[48];

    pal_batch_put(b, &u->back_rights, disk->base ? "cow" : "raw", "%s/format", u->back);
    pal_batch_put(b, &u->back_rights, pal_cache_name(disk->cache), "%s/cache", u->back);
    backing_text(&u->d->backing[0], text);
    pal_batch_put(b, &u->back_rights, text, "%s/identity", u->back);
    if (!disk->base)
        return;
    pal_batch_put(b, &u->back_rights, disk->base, "%s/base", u->back);
    pal_batch_put(b, &u->back_rights, disk->base_is_block ? "block" : "file", "%s/base-source",
                  u->back);
    backing_text(&u->d->backing[1], text);
    pal_batch_put(b, &u->back_rights, text, "%s/base-identity", u->back);
}

static void put_disk(struct pal_batch *b, const struct publication *u)
{
    const struct pal_disk *disk = &u->d->disk;
    char text[24];

    pal_batch_put(b, &u->back_rights, disk->target, "%s/dev", u->back);
    pal_batch_put(b, &u->back_rights, is_ours(u->d) ? "pal" : "phy", "%s/type", u->back);
    pal_batch_put(b, &u->back_rights, "disk", "%s/device-type", u->back);
    pal_batch_put(b, &u->back_rights, disk->read_only ? "r" : "w", "%s/mode", u->back);
    pal_batch_put(b, &u->back_rights, disk->source, "%s/params", u->back);
    pal_batch_put(b, &u->back_rights, disk->is_block ? "block" : "file", "%s/source", u->back);
    pal_batch_put(b, &u->back_rights, "0", "%s/removable", u->back);
    if (is_ours(u->d)) {
        put_image(b, u);
    } else {
        snprintf(text, sizeof(text), "%x:%x", major(u->physical), minor(u->physical));
        pal_batch_put(b, &u->back_rights, text, "%s/physical-device", u->back);
    }
    snprintf(text, sizeof(text), "%u", u->d->number);
    pal_batch_put(b, &u->front_rights, text, "%s/virtual-device", u->front);
    pal_batch_put(b, &u->front_rights, "disk", "%s/device-type", u->front);
}

/* Addresses with blanks between them, as other tools have them too. */
static void ip_text(const struct pal_nic *nic, char *text, size_t room)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < nic->ips; i++) {
        char one[PAL_ADDRESS_TEXT];

        pal_address_text(&nic->ip[i], one);
        used += (size_t)snprintf(text + used, room - used, "%s%s", i ? " " : "", one);
    }
}

static void put_nic(struct pal_batch *b, const struct publication *u)
{
    const struct pal_nic *nic = &u->d->nic;
    char mac[PAL_MAC_TEXT], text[PAL_NIC_IPS_MAX * PAL_ADDRESS_TEXT];

    pal_mac_text(nic->mac, mac);
    pal_batch_put(b, &u->back_rights, mac, "%s/mac", u->back);
    pal_batch_put(b, &u->back_rights, nic->bridge, "%s/bridge", u->back);
    pal_batch_put(b, &u->back_rights, "vif", "%s/type", u->back);
    /* netback wants one; there is none to run. */
    pal_batch_put(b, &u->back_rights, "", "%s/script", u->back);
    pal_batch_put(b, &u->back_rights, nic->trusted ? "no" : "yes", "%s/guard", u->back);
    ip_text(nic, text, sizeof(text));
    pal_batch_put(b, &u->back_rights, text, "%s/ip", u->back);
    if (nic->rate_kib) { /* bytes for each step */
        snprintf(text, sizeof(text), "%" PRIu64 ",%u",
                 nic->rate_kib * 1024 * RATE_STEP_US / 1000000, RATE_STEP_US);
        pal_batch_put(b, &u->back_rights, text, "%s/rate", u->back);
    }
    snprintf(text, sizeof(text), "%u", u->d->number);
    pal_batch_put(b, &u->back_rights, text, "%s/handle", u->back);
    pal_batch_put(b, &u->front_rights, text, "%s/handle", u->front);
    pal_batch_put(b, &u->front_rights, mac, "%s/mac", u->front);
}

static void put_device(struct pal_batch *b, void *data)
{
    const struct publication *u = data;
    char domain[16];

    /* A guest owns what is below its half: nothing of an earlier device may stay. */
    xs_rm(b->store->xs, b->t, u->front);
    xs_rm(b->store->xs, b->t, u->back);
    snprintf(domain, sizeof(domain), "%u", u->d->domain);
    pal_batch_put(b, &u->back_rights, "", "%s", u->back);
    pal_batch_put(b, &u->back_rights, u->front, "%s/frontend", u->back);
    pal_batch_put(b, &u->back_rights, domain, "%s/frontend-id", u->back);
    pal_batch_put(b, &u->back_rights, "1", "%s/online", u->back);
    pal_batch_put(b, &u->front_rights, "", "%s", u->front);
    pal_batch_put(b, &u->front_rights, u->back, "%s/backend", u->front);
    pal_batch_put(b, &u->front_rights, "0", "%s/backend-id", u->front);
    if (u->d->kind == PAL_DEVICE_DISK)
        put_disk(b, u);
    else
        put_nic(b, u);
    pal_batch_put(b, &u->back_rights, STATE_INITIALISING, "%s/state", u->back);
    pal_batch_put(b, &u->front_rights, STATE_INITIALISING, "%s/state", u->front);
}

int device_publish(struct pal *p, const struct pal_device *d, dev_t physical, struct pal_error *e)
{
    struct publication u = {.d = d,
                            .physical = physical,
                            .back_rights = {PAL_ACCESS_READ, d->domain, 0},
                            .front_rights = {PAL_ACCESS_OWN_READ, 0, d->domain}};

    device_back(d, u.back);
    device_front(d, u.front);
    return pal_store_batch(&p->store, put_device, &u, e);
}

void device_withdraw(struct pal *p, const struct pal_device *d)
{
    char front[DEVICE_PATH], back[DEVICE_PATH];

    device_front(d, front);
    device_back(d, back);
    pal_store_remove(&p->store, "%s", back);
    pal_store_remove(&p->store, "%s", front);
    pal_store_remove(&p->store, "/local/domain/0/error/backend/%s/%u/%u", backend_name(d),
                     d->domain, d->number);
}

/* ---- looking ---- */

unsigned device_state(struct pal *p, const struct pal_device *d)
{
    char back[DEVICE_PATH], *text;
    unsigned state;

    device_back(d, back);
    text = pal_store_read(&p->store, "%s/state", back);
    state = text ? (unsigned)strtoul(text, NULL, 10) : XenbusStateUnknown;
    free(text);
    return state;
}

bool device_has_backend(struct pal *p, const struct pal_device *d)
{
    char path[DEVICE_PATH];

    if (is_ours(d)) {
        char *mark = pal_store_read(&p->store, TAKEN "/%u-%u", d->domain, d->number);

        free(mark);
        return mark != NULL;
    }
    snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/%s-%u-%u", kinds[d->kind], d->domain,
             d->number);
    return !access(path, F_OK);
}

char *device_complaint(struct pal *p, const struct pal_device *d)
{
    return pal_store_read(&p->store, "/local/domain/0/error/backend/%s/%u/%u/error",
                          backend_name(d), d->domain, d->number);
}

static char *read_part(struct pal *p, const char *back, const char *part)
{
    return pal_store_read(&p->store, "%s/%s", back, part);
}

static bool part_is(struct pal *p, const char *back, const char *part, const char *value)
{
    char *text = read_part(p, back, part);
    bool same = text && !strcmp(text, value);

    free(text);
    return same;
}

static bool read_backing(struct pal *p, const char *back, const char *part, bool read_only,
                         struct pal_backing *to)
{
    char *text = read_part(p, back, part);
    unsigned long long device, inode;
    bool good = text && sscanf(text, "%llx:%llx", &device, &inode) == 2;

    free(text);
    if (good)
        *to = (struct pal_backing){(dev_t)device, (ino_t)inode, inode != 0, read_only};
    return good;
}

static void read_image(struct pal *p, const char *back, struct pal_device *d)
{
    struct pal_disk *disk = &d->disk;

    disk->base = read_part(p, back, "base");
    disk->base_is_block = !part_is(p, back, "base-source", "file");
    disk->cache = part_is(p, back, "cache", "none")           ? PAL_CACHE_NONE
                  : part_is(p, back, "cache", "writethrough") ? PAL_CACHE_WRITETHROUGH
                                                              : PAL_CACHE_WRITEBACK;
    /* An overlay keeps its book even when the guest only reads. */
    d->backings +=
        read_backing(p, back, "identity", disk->read_only && !disk->base, &d->backing[0]);
    if (disk->base)
        d->backings += read_backing(p, back, "base-identity", true, &d->backing[d->backings]);
}

static void read_physical(struct pal *p, const char *back, struct pal_device *d)
{
    char *text = read_part(p, back, "physical-device");
    unsigned major_number, minor_number;

    if (text && sscanf(text, "%x:%x", &major_number, &minor_number) == 2) {
        d->backing[0] = pal_host_backing(makedev(major_number, minor_number), d->disk.read_only);
        d->backings = 1;
    }
    free(text);
}

static void read_disk(struct pal *p, const char *back, struct pal_device *d)
{
    struct pal_disk *disk = &d->disk;
    char *target = read_part(p, back, "dev");

    snprintf(disk->target, sizeof(disk->target), "%s", target ? target : "");
    free(target);
    disk->source = read_part(p, back, "params");
    disk->read_only = !part_is(p, back, "mode", "w");
    disk->is_block = !part_is(p, back, "source", "file");
    if (is_ours(d))
        read_image(p, back, d);
    else
        read_physical(p, back, d);
}

static void read_nic(struct pal *p, const char *back, struct pal_nic *nic)
{
    char *bridge = read_part(p, back, "bridge"), *mac = read_part(p, back, "mac");
    char *ip = read_part(p, back, "ip"), *rate = read_part(p, back, "rate"), *rest = NULL;

    snprintf(nic->bridge, sizeof(nic->bridge), "%s", bridge ? bridge : "");
    if (!mac || !pal_mac_parse(mac, nic->mac))
        memset(nic->mac, 0, sizeof(nic->mac));
    for (char *one = ip ? strtok_r(ip, " ", &rest) : NULL; one && nic->ips < PAL_NIC_IPS_MAX;
         one = strtok_r(NULL, " ", &rest))
        nic->ips += pal_address_parse(one, &nic->ip[nic->ips]);
    nic->trusted = !part_is(p, back, "guard", "yes");
    if (rate)
        nic->rate_kib = strtoull(rate, NULL, 10) * (1000000 / RATE_STEP_US) / 1024;
    free(bridge);
    free(mac);
    free(ip);
    free(rate);
}

/* Read the device that d says by domain, kind and number. */
static void read_device(struct pal *p, struct pal_device *d)
{
    char back[DEVICE_PATH];

    device_back(d, back);
    d->state = device_state(p, d);
    if (d->kind == PAL_DEVICE_DISK)
        read_disk(p, back, d);
    else
        read_nic(p, back, &d->nic);
}

/* Names under a path; *count of them. To be freed. */
static char **names(struct pal *p, unsigned *count, const char *path)
{
    char **list = xs_directory(p->store.xs, XBT_NULL, path, count);

    if (!list)
        *count = 0;
    return list;
}

static bool each_of(struct pal *p, uint32_t id, const struct backend *backend,
                    bool (*visit)(const struct pal_device *, void *), void *data)
{
    char path[DEVICE_PATH], **list;
    unsigned count;
    bool more = true;

    snprintf(path, sizeof(path), BACKENDS "/%s/%u", backend->name, id);
    list = names(p, &count, path);
    for (unsigned i = 0; i < count && more; i++) {
        struct pal_device d = {.domain = id,
                               .kind = backend->kind,
                               .number = (unsigned)strtoul(list[i], NULL, 10),
                               .disk.backend = backend->disk};

        read_device(p, &d);
        more = visit(&d, data);
        pal_disk_free(&d.disk);
    }
    free(list);
    return more;
}

bool device_each(struct pal *p, bool (*visit)(const struct pal_device *, void *), void *data)
{
    bool more = true;

    for (unsigned kind = 0; kind < BACKEND_KINDS && more; kind++) {
        char path[DEVICE_PATH], **list;
        unsigned count;

        snprintf(path, sizeof(path), BACKENDS "/%s", backends[kind].name);
        list = names(p, &count, path);
        for (unsigned i = 0; i < count && more; i++)
            more = each_of(p, (uint32_t)strtoul(list[i], NULL, 10), &backends[kind], visit, data);
        free(list);
    }
    return more;
}

void device_forget_domain(struct pal *p, uint32_t id)
{
    for (unsigned i = 0; i < BACKEND_KINDS; i++) {
        pal_store_remove(&p->store, BACKENDS "/%s/%u", backends[i].name, id);
        pal_store_remove(&p->store, "/local/domain/0/error/backend/%s/%u", backends[i].name, id);
    }
}

/* ---- the list of a domain's ---- */

struct listing {
    struct pal_device *list;
    int count; /* -1: out of memory */
};

static bool add_to_list(const struct pal_device *d, void *data)
{
    struct listing *l = data;
    struct pal_device *more = realloc(l->list, (size_t)(l->count + 1) * sizeof(*more));

    if (more) {
        l->list = more;
        more[l->count] = *d;
        if (d->disk.source)
            more[l->count].disk.source = strdup(d->disk.source);
        if (d->disk.base)
            more[l->count].disk.base = strdup(d->disk.base);
        l->count++;
    }
    return more != NULL;
}

int pal_devices_list(struct pal *p, uint32_t id, struct pal_device **list, struct pal_error *e)
{
    struct listing l = {NULL, 0};

    *list = NULL;
    for (unsigned i = 0; i < BACKEND_KINDS; i++) {
        if (each_of(p, id, &backends[i], add_to_list, &l))
            continue;
        pal_devices_free(l.list, l.count);
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    }
    *list = l.list;
    return l.count;
}

void pal_devices_free(struct pal_device *list, int count)
{
    for (int i = 0; i < count; i++)
        pal_disk_free(&list[i].disk);
    free(list);
}

void pal_device_name(const struct pal_device *d, char name[16])
{
    if (d->kind == PAL_DEVICE_DISK && d->disk.target[0])
        snprintf(name, 16, "%s", d->disk.target);
    else
        snprintf(name, 16, "%s%u", kinds[d->kind], d->number);
}

const char *pal_device_state(const struct pal_device *d)
{
    switch (d->state) {
    case XenbusStateConnected:
        return "connected";
    case XenbusStateClosing:
        return "closing";
    case XenbusStateClosed:
    case XenbusStateUnknown:
        return "closed";
    default:
        return "waiting";
    }
}

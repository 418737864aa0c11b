/* SPDX-License-Identifier: MIT */
#include "make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builder/build.h"
#include "libpal/region.h"
#include "libpal/warm.h"
#include "libpal/daemon.h"
#include "libpal/device.h"
#include "libpal/device_host.h"
#include "libpal/interrupt.h"
#include "libpal/ledger.h"
#include "libpal/record.h"
#include "libpal/room.h"

static struct pal_build build_of(const struct pal_config *c)
{
    return (struct pal_build){.memory_kib = c->memory_kib,
                              .max_kib = c->max_kib,
                              .kernel = c->kernel,
                              .initrd = c->initrd,
                              .cmdline = c->cmdline};
}

/* Memory that it takes from the machine, its share of the hypervisor's included. */
static uint64_t need_of(const struct pal_config *c)
{
    return c->memory_kib + PAL_ROOM_OVERHEAD_KIB;
}

static int can_be_opened(const char *path, bool read_only, struct pal_error *e)
{
    int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return pal_fail(e, PAL_DEV_SOURCE, "%s: %s", path, strerror(errno));
    close(fd);
    return 0;
}

bool make_has_overlay_to_make(const struct pal_disk *disk)
{
    return disk->base && access(disk->source, F_OK) && errno == ENOENT;
}

static int disk_is_there(const struct pal_disk *disk, struct pal_error *e)
{
    if (disk->backend == PAL_BACKEND_PAL && pal_daemon_need_blkd(e))
        return -1;
    if (disk->base && can_be_opened(disk->base, true, e))
        return -1;
    return make_has_overlay_to_make(disk)
               ? 0
               : can_be_opened(disk->source, disk->read_only && !disk->base, e);
}

/* What stands behind its devices: better said before all the rest is done. */
static int devices_are_there(const struct pal_config *c, struct pal_error *e)
{
    for (unsigned i = 0; i < c->disks; i++) {
        if (disk_is_there(&c->disk[i], e))
            return -1;
    }
    for (unsigned i = 0; i < c->nics; i++) {
        if (pal_host_check_bridge(c->nic[i].bridge, e))
            return -1;
    }
    return 0;
}

/* All that is quickly seen, but its memory. */
static int may_be_made(struct pal *p, const struct pal_config *c, struct pal_error *e)
{
    if (pal_daemon_need_console(e) || pal_domain_name_is_free(p, c->name, e))
        return -1;
    return devices_are_there(c, e);
}

int make_check(struct pal *p, const struct pal_config *c, struct pal_error *e)
{
    struct pal_build b = build_of(c);
    uint64_t missing;
    int rc;

    if (may_be_made(p, c, e) || pal_build_check(&b, e))
        return -1;
    rc = pal_ledger_promise(&p->hv, need_of(c), &missing, e);
    pal_ledger_release();
    return rc;
}

static int fill(struct pal *p, uint32_t id, const struct pal_config *c,
                struct pal_progress *progress, struct pal_error *e)
{
    struct pal_build b = build_of(c);
    struct pal_store_entry entry = {.id = id, .config = c};

    b.progress = progress;
    if (pal_build(&p->hv, id, &b, e))
        return -1;
    entry.console_mfn = b.console_mfn;
    entry.console_port = b.console_port;
    entry.store_mfn = b.store_mfn;
    entry.store_port = b.store_port;
    if (c->weight || c->cap) {
        unsigned weight, cap;

        if (pal_domain_get_schedule(&p->hv, id, &weight, &cap, e) ||
            pal_domain_set_schedule(&p->hv, id, c->weight ? c->weight : weight, c->cap, e))
            return -1;
    }
    /* More than it starts with it gets when it is asked to grow. */
    if (pal_domain_max_memory(&p->hv, id, c->memory_kib, e))
        return -1;
    pal_progress_phase(progress, PAL_BUILD_PHASES, 0);
    if (pal_record_write(id, c, e) || pal_store_enter(p, &entry, e))
        return -1;
    if (pal_regions_enter(p, id, c, false, e) || pal_cache_enter(&p->hv, id, c, e))
        return -1;
    return pal_devices_attach(p, id, c, e);
}

int make_domain(struct pal *p, const struct pal_config *c, struct pal_error *e)
{
    static const struct pal_phase phases[] = {PAL_BUILD_PHASE_LIST, {"devices", 10, false}};
    struct pal_new_domain n = {.vcpus = c->vcpus, .max_kib = c->max_kib};
    struct pal_progress *progress;
    int id;

    if (may_be_made(p, c, e) || pal_room_make(p, need_of(c), e))
        return -1;
    memcpy(n.uuid, c->uuid, sizeof(n.uuid));
    id = pal_domain_create(&p->hv, &n, e);
    if (id >= 0 && pal_ledger_settle((uint32_t)id, e)) {
        struct pal_error ignored = {0};

        pal_domain_destroy(&p->hv, (uint32_t)id, &ignored);
        id = -1;
    }
    if (id < 0) {
        pal_ledger_release();
        return -1;
    }
    progress = pal_progress_begin("create", c->name, phases, PAL_BUILD_PHASES + 1);
    if (fill(p, (uint32_t)id, c, progress, e) || pal_interrupt_check(e)) {
        struct pal_error ignored = {0};

        pal_domain_end(p, (uint32_t)id, &ignored);
        id = -1;
    }
    pal_ledger_release();
    pal_progress_end(progress, id >= 0);
    return id;
}

/* SPDX-License-Identifier: MIT */
/*
 * What a paravirtual domain and the daemons expect of the store: docs of the interface
 * (the headers in <xen/io>), Linux's drivers/xen and drivers/tty/hvc, and what xenconsoled reads.
 */
#include "libpal/domain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CONSOLE_LIMIT "1048576" /* bytes that xenconsoled keeps for a reader that does not come */

struct names {
    char base[40], uuid[37];
};

static struct names names_of(const struct pal_store_entry *entry)
{
    struct names n;

    snprintf(n.base, sizeof(n.base), "/local/domain/%u", entry->id);
    pal_uuid_text(entry->config->uuid, n.uuid);
    return n;
}

static void put_number(struct pal_batch *b, const struct pal_rights *r, uint64_t value,
                       const char *base, const char *name)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    pal_batch_put(b, r, text, "%s/%s", base, name);
}

/* Directories that the guest fills itself. */
static void put_guests_own(struct pal_batch *b, const struct names *n, uint32_t id)
{
    static const char *const own[] = {"data",
                                      "drivers",
                                      "feature",
                                      "attr",
                                      "error",
                                      "control/shutdown",
                                      "control/feature-poweroff",
                                      "control/feature-reboot",
                                      "control/feature-suspend",
                                      "control/sysrq",
                                      "device/suspend/event-channel"};
    struct pal_rights r = {PAL_ACCESS_OWN, id, 0};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        pal_batch_put(b, &r, "", "%s/%s", n->base, own[i]);
}

static void put_console(struct pal_batch *b, const struct names *n,
                        const struct pal_store_entry *entry)
{
    struct pal_rights r = {PAL_ACCESS_READ, entry->id, 0};

    pal_batch_put(b, &r, "", "%s/console", n->base);
    pal_batch_put(b, &r, "xenconsoled", "%s/console/type", n->base);
    pal_batch_put(b, &r, "pty", "%s/console/output", n->base);
    pal_batch_put(b, &r, "", "%s/console/tty", n->base);
    pal_batch_put(b, &r, CONSOLE_LIMIT, "%s/console/limit", n->base);
    put_number(b, &r, entry->console_port, n->base, "console/port");
    put_number(b, &r, entry->console_mfn, n->base, "console/ring-ref");
}

static void put_domain(struct pal_batch *b, void *data)
{
    const struct pal_store_entry *entry = data;
    const struct pal_config *c = entry->config;
    const struct names n = names_of(entry);
    struct pal_rights r = {PAL_ACCESS_READ, entry->id, 0};

    xs_rm(b->store->xs, b->t, n.base);
    pal_batch_put(b, &r, "", "%s", n.base);
    pal_batch_put(b, &r, "", "/vm/%s", n.uuid);
    pal_batch_put(b, &r, n.uuid, "/vm/%s/uuid", n.uuid);
    pal_batch_put(b, &r, c->name, "/vm/%s/name", n.uuid);
    pal_batch_put(b, &r, c->name, "%s/name", n.base);
    put_number(b, &r, entry->id, n.base, "domid");
    for (size_t i = 0; i < 4; i++) {
        static const char *const directories[] = {"control", "device", "memory", "store"};

        pal_batch_put(b, &r, "", "%s/%s", n.base, directories[i]);
    }
    put_number(b, &r, c->max_kib, n.base, "memory/static-max");
    put_number(b, &r, c->memory_kib, n.base, "memory/target");
    put_number(b, &r, c->shares, n.base, "memory/shares");
    if (c->min_kib)
        put_number(b, &r, c->min_kib, n.base, "memory/dynamic-min");
    for (unsigned i = 0; i < c->vcpus; i++)
        pal_batch_put(b, &r, "online", "%s/cpu/%u/availability", n.base, i);
    put_number(b, &r, entry->store_port, n.base, "store/port");
    put_number(b, &r, entry->store_mfn, n.base, "store/ring-ref");
    pal_batch_put(b, &r, "1", "%s/control/platform-feature-multiprocessor-suspend", n.base);
    pal_batch_put(b, &r, "1", "%s/control/platform-feature-xs_reset_watches", n.base);
    put_console(b, &n, entry);
    put_guests_own(b, &n, entry->id);
    { /* last, so that nothing above is made by a path to its child */
        char vm[48];

        snprintf(vm, sizeof(vm), "/vm/%s", n.uuid);
        pal_batch_put(b, &r, vm, "%s/vm", n.base);
    }
}

int pal_store_enter(struct pal *p, const struct pal_store_entry *entry, struct pal_error *e)
{
    struct pal_store_entry copy = *entry;

    if (pal_store_batch(&p->store, put_domain, &copy, e))
        return -1;
    if (!xs_introduce_domain(p->store.xs, entry->id, entry->store_mfn, entry->store_port))
        return pal_fail(e, PAL_STORE_REFUSED, "xenstored does not take the domain: %s",
                        strerror(errno));
    return 0;
}

void pal_store_forget(struct pal *p, uint32_t id)
{
    char *vm = pal_store_read(&p->store, "/local/domain/%u/vm", id);

    /* The node is domain 0's: the guest cannot have changed it. */
    if (vm && !strncmp(vm, "/vm/", 4) && strlen(vm) == 40)
        pal_store_remove(&p->store, "%s", vm);
    free(vm);
    pal_store_remove(&p->store, "/local/domain/%u", id);
    pal_store_remove(&p->store, "/local/domain/0/backend/vbd/%u", id);
    pal_store_remove(&p->store, "/local/domain/0/backend/vif/%u", id);
}

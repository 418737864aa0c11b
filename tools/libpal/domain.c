/* SPDX-License-Identifier: MIT */
#include "libpal/domain.h"
#include "libpal/device.h"
#include "libpal/record.h"
#include "libpal/region.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <xen/sched.h>

int pal_open(struct pal *p, struct pal_error *e)
{
    memset(p, 0, sizeof(*p));
    if (pal_hv_open(&p->hv, e))
        return -1;
    if (pal_store_open(&p->store, e)) {
        pal_hv_close(&p->hv);
        return -1;
    }
    return 0;
}

void pal_close(struct pal *p)
{
    pal_store_close(&p->store);
    pal_hv_close(&p->hv);
}

/* ---- names and numbers ---- */

void pal_domain_name(struct pal *p, uint32_t id, char name[PAL_NAME_MAX + 1])
{
    char *value = pal_store_read(&p->store, "/local/domain/%u/name", id);

    snprintf(name, PAL_NAME_MAX + 1, "%s", value && pal_name_is_good(value) ? value : "(unnamed)");
    free(value);
}

static bool is_number(const char *text)
{
    if (!*text || strlen(text) > 5)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
    }
    return true;
}

int pal_domains(struct pal *p, struct pal_domain **list, struct pal_error *e)
{
    struct xen_domctl_getdomaininfo *info;
    int count = pal_domain_list(&p->hv, &info, e);

    if (count < 0)
        return -1;
    *list = calloc((size_t)count + 1, sizeof(**list));
    for (int i = 0; *list && i < count; i++) {
        (*list)[i].id = info[i].domain;
        (*list)[i].info = info[i];
        pal_domain_name(p, info[i].domain, (*list)[i].name);
    }
    free(info);
    return *list ? count : pal_fail(e, PAL_SYS_FAILED, "out of memory");
}

static int find_by_name(struct pal *p, const char *name, struct pal_domain *d, struct pal_error *e)
{
    struct pal_domain *list;
    int count = pal_domains(p, &list, e), found = -1;

    if (count < 0)
        return -1;
    for (int i = 0; i < count && found < 0; i++) {
        if (!strcmp(list[i].name, name))
            *d = list[found = i];
    }
    free(list);
    if (found < 0)
        return pal_fail(e, PAL_DOM_UNKNOWN, "there is no domain called \"%s\"", name);
    return 0;
}

int pal_domain_find(struct pal *p, const char *name_or_id, struct pal_domain *d,
                    struct pal_error *e)
{
    if (!is_number(name_or_id))
        return find_by_name(p, name_or_id, d, e);
    d->id = (uint32_t)strtoul(name_or_id, NULL, 10);
    if (d->id >= DOMID_FIRST_RESERVED)
        return pal_fail(e, PAL_DOM_UNKNOWN, "%u is not the number of a domain", d->id);
    if (pal_domain_info(&p->hv, d->id, &d->info, e)) {
        if (e->code == PAL_DOM_UNKNOWN)
            snprintf(e->why, sizeof(e->why), "there is no domain number %u", d->id);
        return -1;
    }
    pal_domain_name(p, d->id, d->name);
    return 0;
}

int pal_domain_name_is_free(struct pal *p, const char *name, struct pal_error *e)
{
    struct pal_error none = {0};
    struct pal_domain other;

    if (!find_by_name(p, name, &other, &none))
        return pal_fail(e, PAL_DOM_NAME_TAKEN, "domain %u has that name", other.id);
    if (none.code == PAL_DOM_UNKNOWN)
        return 0;
    *e = none;
    return -1;
}

int pal_domain_find_guest(struct pal *p, const char *name_or_id, struct pal_domain *d,
                          struct pal_error *e)
{
    if (pal_domain_find(p, name_or_id, d, e))
        return -1;
    return d->id == 0 ? pal_fail(e, PAL_DOM_CONTROL, "this is domain 0 itself") : 0;
}

/* ---- states ---- */

unsigned pal_domain_reason_code(const struct xen_domctl_getdomaininfo *info)
{
    return info->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
}

bool pal_domain_has_ended(const struct xen_domctl_getdomaininfo *info)
{
    return info->flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying);
}

const char *pal_domain_reason(const struct xen_domctl_getdomaininfo *info)
{
    static const char *const names[] = {
        [SHUTDOWN_poweroff] = "poweroff", [SHUTDOWN_reboot] = "reboot",
        [SHUTDOWN_suspend] = "suspend",   [SHUTDOWN_crash] = "crash",
        [SHUTDOWN_watchdog] = "watchdog",
    };
    unsigned code = pal_domain_reason_code(info);

    return code < sizeof(names) / sizeof(names[0]) ? names[code] : "unknown";
}

const char *pal_domain_state(const struct xen_domctl_getdomaininfo *info)
{
    if (info->flags & XEN_DOMINF_dying)
        return "dying";
    if (info->flags & XEN_DOMINF_shutdown)
        return pal_domain_reason_code(info) == SHUTDOWN_crash ? "crashed" : "shutdown";
    if (info->flags & XEN_DOMINF_paused)
        return "paused";
    if (info->flags & XEN_DOMINF_running)
        return "running";
    return info->flags & XEN_DOMINF_blocked ? "blocked" : "runnable";
}

/* ---- the end ---- */

int pal_domain_end(struct pal *p, uint32_t id, struct pal_error *e)
{
    int rc = pal_domain_destroy(&p->hv, id, e);

    if (rc && e->code != PAL_DOM_UNKNOWN)
        return -1;
    pal_devices_release(p, id);
    xs_release_domain(p->store.xs, id);
    pal_store_forget(p, id);
    pal_regions_forget(p, id);
    pal_record_remove(id);
    return rc;
}

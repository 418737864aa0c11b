/* SPDX-License-Identifier: MIT */
/* Domains as users know them: by name or number, with a state; their making and their end. */
#ifndef LIBPAL_DOMAIN_H
#define LIBPAL_DOMAIN_H

#include "libpal/config.h"
#include "libpal/hv.h"
#include "libpal/store.h"

/* Connections, opened as they are needed. */
struct pal {
    struct pal_hv hv;
    struct pal_store store;
};
int pal_open(struct pal *p, struct pal_error *e);
void pal_close(struct pal *p);

struct pal_domain {
    uint32_t id;
    char name[PAL_NAME_MAX + 1];
    struct xen_domctl_getdomaininfo info;
};

/* The domain of that name, or of that number. */
int pal_domain_find(struct pal *p, const char *name_or_id, struct pal_domain *d,
                    struct pal_error *e);
/* The same, but domain 0 is refused: for what would end or stop the machine. */
int pal_domain_find_guest(struct pal *p, const char *name_or_id, struct pal_domain *d,
                          struct pal_error *e);
/* 0: no domain has the name; otherwise PAL_DOM_NAME_TAKEN, or why that cannot be said. */
int pal_domain_name_is_free(struct pal *p, const char *name, struct pal_error *e);
/* All of them; *list is to be freed. Returns how many. */
int pal_domains(struct pal *p, struct pal_domain **list, struct pal_error *e);
/* Its name in the store, as far as it is a name; "(unnamed)" otherwise. */
void pal_domain_name(struct pal *p, uint32_t id, char name[PAL_NAME_MAX + 1]);

/* "running", "runnable" (waits for a CPU), "blocked" (waits for an event), "paused", "shutdown", "crashed", "dying" */
const char *pal_domain_state(const struct xen_domctl_getdomaininfo *info);
bool pal_domain_has_ended(const struct xen_domctl_getdomaininfo *info);
/* "poweroff", "reboot", "suspend", "crash", "watchdog": of one that has ended. */
const char *pal_domain_reason(const struct xen_domctl_getdomaininfo *info);
unsigned pal_domain_reason_code(const struct xen_domctl_getdomaininfo *info);

/* Enter a domain into the store, with all that its kernel and the daemons look for. */
struct pal_store_entry {
    uint32_t id;
    const struct pal_config *config;
    uint64_t console_mfn, store_mfn;
    uint32_t console_port, store_port;
};
int pal_store_enter(struct pal *p, const struct pal_store_entry *entry, struct pal_error *e);
/* Remove what the store knows of the number. */
void pal_store_forget(struct pal *p, uint32_t id);

/* Destroy the domain, its devices and its entries in the store. */
int pal_domain_end(struct pal *p, uint32_t id, struct pal_error *e);

#endif

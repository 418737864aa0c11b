/* SPDX-License-Identifier: MIT */
#include "libpal/region.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpal/ledger.h"
#include "libpal/record.h"
#include "libpal/room.h"

#define BASE "/local/domain/%u/pal/regions/%s"

/* ---- finding ---- */

/* The part before the colon: 0 when there is none. */
static int maker_of(struct pal *p, const char *word, uint32_t *maker, struct pal_error *e)
{
    const char *colon = strchr(word, ':');
    char name[PAL_NAME_MAX + 1];
    struct pal_domain d;

    *maker = 0;
    if (!colon)
        return 0;
    snprintf(name, sizeof(name), "%.*s", (int)(colon - word), word);
    if (pal_domain_find(p, name, &d, e))
        return -1;
    *maker = d.id;
    return 0;
}

static bool is_number(const char *word)
{
    return *word && strspn(word, "0123456789") == strlen(word);
}

int pal_region_find(struct pal *p, const char *word, struct pal_region *r, struct pal_error *e)
{
    const char *colon = strchr(word, ':'), *name = colon ? colon + 1 : word;
    struct pal_region *list;
    bool by_slot = is_number(word);
    uint32_t maker;
    int count;

    if (maker_of(p, word, &maker, e))
        return -1;
    count = pal_hv_regions(&p->hv, &list, e);
    for (int i = 0; i < count; i++) {
        if (by_slot ? list[i].slot == strtoul(word, NULL, 10)
                    : list[i].creator == maker && !strcmp(list[i].name, name)) {
            *r = list[i];
            free(list);
            return 0;
        }
    }
    free(list);
    return count < 0 ? -1 : pal_fail(e, PAL_REG_UNKNOWN, "there is no region \"%s\"", word);
}

/* ---- what the store says ---- */

static void put_member(struct pal_batch *b, const struct pal_region *r, const struct pal_member *m,
                       const char *members)
{
    struct pal_rights rights = {PAL_ACCESS_READ, m->domain, 0};
    const char *access = m->write ? "rw" : "ro";
    char slot[16], pages[24], generation[24];

    snprintf(slot, sizeof(slot), "%u", r->slot);
    snprintf(pages, sizeof(pages), "%" PRIu64, r->pages);
    snprintf(generation, sizeof(generation), "%" PRIu64, r->generation);
    pal_batch_put(b, &rights, "", "/local/domain/%u/pal", m->domain);
    pal_batch_put(b, &rights, "", "/local/domain/%u/pal/regions", m->domain);
    pal_batch_put(b, &rights, "", BASE, m->domain, r->name);
    pal_batch_put(b, &rights, slot, BASE "/slot", m->domain, r->name);
    pal_batch_put(b, &rights, pages, BASE "/pages", m->domain, r->name);
    pal_batch_put(b, &rights, access, BASE "/access", m->domain, r->name);
    pal_batch_put(b, &rights, generation, BASE "/generation", m->domain, r->name);
    pal_batch_put(b, &rights, members, BASE "/members", m->domain, r->name);
}

static void put_region(struct pal_batch *b, void *data)
{
    const struct pal_region *r = data;
    char members[32 * 7] = "";

    for (unsigned i = 0; i < r->members; i++) {
        size_t used = strlen(members);

        snprintf(members + used, sizeof(members) - used, "%s%u", i ? " " : "", r->member[i].domain);
    }
    for (unsigned i = 0; i < r->members; i++)
        put_member(b, r, &r->member[i], members);
}

static bool is_told(const struct pal_region *r)
{
    return r->creator == 0;
}

/* Tell all that are on the list now. */
static int publish(struct pal *p, struct pal_region *r, struct pal_error *e)
{
    if (pal_hv_region_look(&p->hv, r, e))
        return -1;
    return is_told(r) ? pal_store_batch(&p->store, put_region, r, e) : 0;
}

static void unpublish(struct pal *p, const struct pal_region *r, uint32_t domain)
{
    if (is_told(r))
        pal_store_remove(&p->store, BASE, domain, r->name);
}

/* ---- letting go ---- */

static uint64_t mapped_by(const struct pal_region *r, uint32_t domain)
{
    for (unsigned i = 0; i < r->members; i++) {
        if (r->member[i].domain == domain)
            return r->member[i].mappings;
    }
    return 0;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void ask(struct pal_batch *b, void *data)
{
    const struct pal_region *r = data;

    for (unsigned i = 0; i < r->members; i++) {
        struct pal_rights rights = {PAL_ACCESS_READ, r->member[i].domain, 0};

        pal_batch_put(b, &rights, "detach", BASE "/state", r->member[i].domain, r->name);
    }
}

/* Ask the domains that `r` names as its members, and look on until they have let go, or time is up. What is left
 * is taken by force: no failure of this is one of the whole. */
static void ask_and_wait(struct pal *p, const struct pal_region *r, double until)
{
    struct pal_region these = *r, current = *r;
    struct pal_error ignored = {0};

    if (!is_told(r) || now() >= until || pal_store_batch(&p->store, ask, &these, &ignored))
        return;
    while (now() < until && !pal_hv_region_look(&p->hv, &current, &ignored)) {
        uint64_t left = 0;

        for (unsigned i = 0; i < these.members; i++)
            left += mapped_by(&current, these.member[i].domain);
        if (!left)
            return;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
}

/* ---- changes ---- */

int pal_region_create(struct pal *p, const char *name, uint64_t kib, struct pal_region *r,
                      struct pal_error *e)
{
    uint64_t pages = kib >> 2;
    int slot;

    if (is_number(name))
        return pal_fail(e, PAL_USE_ARGUMENTS, "a name is not a number only");
    if (pal_room_make(p, kib + (kib >> 10), e)) {
        pal_remedy(e, "end a domain, destroy another region, or make this one smaller");
        return -1;
    }
    slot = pal_hv_region_create(&p->hv, name, pages, e);
    pal_ledger_release();
    if (slot < 0)
        return -1;
    return pal_region_find(p, name, r, e);
}

/* A domain's record says what it uses, for when it reboots or is saved. One without a record is another tool's. */
static int note(uint32_t domain, const struct pal_region *r, const char *access,
                struct pal_error *e)
{
    struct pal_config old, changed;
    struct pal_error none = {0};
    char name[16];
    int lock, rc = 0;

    if (!domain || !is_told(r))
        return 0;
    snprintf(name, sizeof(name), "%u", domain);
    lock = pal_record_lock(name, e);
    if (lock < 0)
        return -1;
    if (!pal_record_read(domain, &old, &none)) {
        rc = pal_config_set_region(&old, r->name, access, &changed, e);
        if (!rc) {
            rc = pal_record_write(domain, &changed, e);
            pal_config_free(&changed);
        }
        pal_config_free(&old);
    }
    pal_record_unlock(lock);
    return rc;
}

static int seat(struct pal *p, struct pal_region *r, uint32_t domain, bool write,
                struct pal_error *e)
{
    if (pal_hv_region_allow(&p->hv, r, domain, write ? PAL_REGION_WRITES : PAL_REGION_READS, e))
        return -1;
    unpublish(p, r, domain); /* a `state` of before goes with it */
    return publish(p, r, e);
}

int pal_region_allow(struct pal *p, struct pal_region *r, uint32_t domain, bool write,
                     struct pal_error *e)
{
    return seat(p, r, domain, write, e) || note(domain, r, write ? "rw" : "ro", e) ? -1 : 0;
}

/* `r` with this member only. */
static struct pal_region only(const struct pal_region *r, uint32_t domain)
{
    struct pal_region one = *r;

    one.members = 0;
    for (unsigned i = 0; i < r->members; i++) {
        if (r->member[i].domain == domain)
            one.member[one.members++] = r->member[i];
    }
    return one;
}

static int unseat(struct pal *p, struct pal_region *r, uint32_t domain, struct pal_error *e)
{
    unpublish(p, r, domain);
    return pal_hv_region_allow(&p->hv, r, domain, PAL_REGION_OFF, e) || publish(p, r, e) ? -1 : 0;
}

int pal_region_revoke(struct pal *p, struct pal_region *r, uint32_t domain, double seconds,
                      struct pal_error *e)
{
    struct pal_region one = only(r, domain);

    if (!one.members)
        return pal_fail(e, PAL_REG_MEMBER, "domain %u is not on its list", domain);
    ask_and_wait(p, &one, now() + seconds);
    return unseat(p, r, domain, e) || note(domain, r, NULL, e) ? -1 : 0;
}

int pal_region_destroy(struct pal *p, struct pal_region *r, double seconds, struct pal_error *e)
{
    ask_and_wait(p, r, now() + seconds);
    for (unsigned i = 0; i < r->members; i++)
        unpublish(p, r, r->member[i].domain);
    if (pal_hv_region_destroy(&p->hv, r, e))
        return -1;
    for (unsigned i = 0; i < r->members; i++) {
        struct pal_error ignored = {0};

        (void)note(r->member[i].domain, r, NULL, &ignored);
    }
    return 0;
}

/* ---- domains that come ---- */

static int enter_one(struct pal *p, uint32_t domain, const struct pal_config_region *u,
                     struct pal_error *e)
{
    struct pal_region r;
    struct pal_error none = {0};

    if (pal_region_find(p, u->name, &r, &none)) {
        if (!u->size_kib || none.code != PAL_REG_UNKNOWN) {
            *e = none;
            return -1;
        }
        if (pal_region_create(p, u->name, u->size_kib, &r, e))
            return -1;
    }
    return seat(p, &r, domain, u->write, e);
}

int pal_regions_enter(struct pal *p, uint32_t domain, const struct pal_config *c,
                      bool missing_is_good, struct pal_error *e)
{
    if (c->region_quota &&
        pal_hv_region_quota(&p->hv, domain, c->region_quota, c->region_quota_kib >> 2, e))
        return -1;
    for (unsigned i = 0; i < c->regions; i++) {
        struct pal_error why = {0};

        if (!enter_one(p, domain, &c->region[i], &why))
            continue;
        if (!missing_is_good || why.code != PAL_REG_UNKNOWN) {
            *e = why;
            return -1;
        }
        fprintf(stderr, "pal: %s comes back without the region \"%s\", which is gone\n", c->name,
                c->region[i].name);
    }
    return 0;
}

/* ---- domains that go ---- */

/* Made by a guest that is gone, and no other guest has it: who comes back again and again shall not leave its quota behind
 * each time. */
static bool is_left_behind(const struct pal_region *r)
{
    bool alone = r->creator == PAL_REGION_NOBODY;

    for (unsigned i = 0; i < r->members; i++)
        alone = alone && r->member[i].domain == 0;
    return alone;
}

void pal_regions_forget(struct pal *p, uint32_t domain)
{
    struct pal_error ignored = {0};
    struct pal_region *list;
    int count = pal_hv_regions(&p->hv, &list, &ignored);

    (void)domain; /* the hypervisor has it off the lists already */
    for (int i = 0; i < count; i++) {
        if (is_left_behind(&list[i]))
            (void)pal_region_destroy(p, &list[i], 0, &ignored);
        else
            (void)publish(p, &list[i], &ignored);
    }
    if (count > 0)
        free(list);
}

int pal_regions_mapped(struct pal *p, uint32_t domain, uint64_t *pages, char name[32],
                       struct pal_error *e)
{
    struct pal_region *list;
    int count = pal_hv_regions(&p->hv, &list, e);

    *pages = 0;
    for (int i = 0; i < count; i++) {
        uint64_t mapped = mapped_by(&list[i], domain);

        if (mapped)
            memcpy(name, list[i].name, sizeof(list[i].name));
        *pages += mapped;
    }
    if (count > 0)
        free(list);
    return count < 0 ? -1 : 0;
}

int pal_regions_detach(struct pal *p, uint32_t domain, double seconds, struct pal_seat **seats,
                       struct pal_error *e)
{
    double until = now() + seconds;
    struct pal_region *list;
    int count = pal_hv_regions(&p->hv, &list, e), found = 0, rc = 0;

    *seats = count > 0 ? calloc((size_t)count, sizeof(**seats)) : NULL;
    if (count <= 0)
        return count;
    for (int i = 0; i < count && *seats; i++) {
        struct pal_region one = only(&list[i], domain);

        if (one.members)
            (*seats)[found++] = (struct pal_seat){list[i], one.member[0].write};
    }
    free(list);
    if (!*seats)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    /* All are asked at once: each waits for what is left of the time. */
    for (int i = 0; i < found; i++) {
        struct pal_region one = only(&(*seats)[i].region, domain);
        struct pal_error ignored = {0};

        if (is_told(&one))
            (void)pal_store_batch(&p->store, ask, &one, &ignored);
    }
    for (int i = 0; i < found && !rc; i++) {
        struct pal_region one = only(&(*seats)[i].region, domain);

        ask_and_wait(p, &one, until);
        rc = unseat(p, &(*seats)[i].region, domain, e);
    }
    if (!rc)
        return found;
    pal_regions_attach(p, domain, *seats, found);
    free(*seats);
    *seats = NULL;
    return -1;
}

void pal_regions_attach(struct pal *p, uint32_t domain, const struct pal_seat *seats, int count)
{
    for (int i = 0; i < count; i++) {
        struct pal_region r = seats[i].region;
        struct pal_error e = {0};

        if (!seat(p, &r, domain, seats[i].write, &e))
            continue;
        pal_failed_to(&e, "cannot give the region \"%s\" back to domain %u", r.name, domain);
        pal_error_print(&e, stderr);
    }
}

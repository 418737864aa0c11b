/* SPDX-License-Identifier: MIT */
#include "libpal/balloon.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpal/interrupt.h"
#include "libpal/ledger.h"
#include "libpal/meminfo.h"
#include "libpal/progress.h"

#define POLL_S        0.05
#define DOM0_FREE_KIB (64u << 10) /* domain 0 keeps so much beyond what it uses */

/* ---- what is known ---- */

static uint64_t number_at(struct pal *p, uint32_t id, const char *node, uint64_t otherwise)
{
    char *text = pal_store_read(&p->store, "/local/domain/%" PRIu32 "/memory/%s", id, node), *end;
    uint64_t value = text ? strtoull(text, &end, 10) : otherwise;

    if (text && (end == text || *end))
        value = otherwise;
    free(text);
    return value;
}

/* The agent's line: used KiB, swapped KiB, pressure. The guest's words, so only their form is checked. */
static void read_agent(struct pal *p, uint32_t id, struct pal_memory *m)
{
    char *text = pal_store_read(&p->store, "/local/domain/%" PRIu32 "/data/pal-memory", id);

    m->has_agent = text && sscanf(text, "%" SCNu64 " %" SCNu64 " %u", &m->used_kib, &m->swapped_kib,
                                  &m->pressure) == 3;
    if (!m->has_agent)
        m->used_kib = m->swapped_kib = m->pressure = 0;
    free(text);
}

/* Domain 0 is ourselves: its own account is at hand. */
static void read_own(struct pal_memory *m)
{
    struct meminfo own;

    m->has_agent = m->has_minimum = meminfo_read(&own);
    m->used_kib = meminfo_used(&own, m->current_kib);
    m->min_kib = m->used_kib + DOM0_FREE_KIB;
}

int pal_memory_of(struct pal *p, const struct pal_domain *d, struct pal_memory *m,
                  struct pal_error *e)
{
    struct xen_domctl_getdomaininfo info;

    if (pal_domain_info(&p->hv, d->id, &info, e))
        return -1;
    *m = (struct pal_memory){.current_kib = info.tot_pages << 2, .limit_kib = info.max_pages << 2};
    m->target_kib = number_at(p, d->id, "target", m->current_kib);
    m->max_kib = number_at(p, d->id, "static-max", m->current_kib);
    m->min_kib = number_at(p, d->id, "dynamic-min", 0);
    m->shares = (unsigned)number_at(p, d->id, "shares", 100);
    m->has_minimum = m->min_kib != 0;
    if (m->min_kib < PAL_BALLOON_FLOOR_KIB)
        m->min_kib = PAL_BALLOON_FLOOR_KIB;
    if (d->id == 0)
        read_own(m);
    else
        read_agent(p, d->id, m);
    return 0;
}

/* ---- asking ---- */

static int write_number(struct pal *p, uint32_t id, const char *node, uint64_t kib,
                        struct pal_error *e)
{
    char path[64], text[24];

    snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/memory/%s", id, node);
    snprintf(text, sizeof(text), "%" PRIu64, kib);
    return pal_store_write(&p->store, e, path, text);
}

/* The limit first: at no moment may it grow past what it is asked for. */
static int set_target(struct pal *p, uint32_t id, uint64_t kib, struct pal_error *e)
{
    return pal_domain_max_memory(&p->hv, id, kib, e) || write_number(p, id, "target", kib, e) ? -1
                                                                                              : 0;
}

static int check_range(const struct pal_domain *d, const struct pal_memory *m, uint64_t kib,
                       struct pal_error *e)
{
    if (kib > m->max_kib) {
        pal_fail(e, PAL_MEM_RANGE, "%" PRIu64 " MiB is more than its maximum, %" PRIu64 " MiB",
                 kib >> 10, m->max_kib >> 10);
        return pal_remedy(e, d->id ? "ask for less, or start it with more <memory>"
                                   : "ask for less, or start the machine with more dom0_mem=");
    }
    if (kib < m->min_kib) {
        pal_fail(e, PAL_MEM_RANGE, "%" PRIu64 " MiB is less than its floor, %" PRIu64 " MiB",
                 kib >> 10, m->min_kib >> 10);
        return pal_remedy(e, d->id ? "ask for more; <pal:minimum> in its file is its floor"
                                   : "ask for more, or end programs in domain 0 first");
    }
    return 0;
}

/* Growing needs memory that is free and promised to nobody else; our own promise covers it until it
 * has arrived. */
static int promise_growth(struct pal *p, const struct pal_memory *m, uint64_t kib,
                          struct pal_error *e)
{
    uint64_t missing;

    return kib > m->current_kib ? pal_ledger_promise(&p->hv, kib - m->current_kib, &missing, e) : 0;
}

static int ask(struct pal *p, const struct pal_domain *d, uint64_t kib, struct pal_memory *m,
               struct pal_error *e)
{
    if (pal_domain_has_ended(&d->info))
        return pal_fail(e, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d->info));
    if (pal_memory_of(p, d, m, e) || check_range(d, m, kib, e) || promise_growth(p, m, kib, e))
        return -1;
    if (d->id == 0) { /* nobody wrote down what it was started with */
        char *known = pal_store_read(&p->store, "/local/domain/0/memory/static-max");
        int rc = known ? 0 : write_number(p, 0, "static-max", m->max_kib, e);

        free(known);
        if (rc)
            return -1;
    }
    return set_target(p, d->id, kib, e);
}

/* A promise was made for growth only; another of this process, for which others shrink, must stay. */
static void release_growth(const struct pal_memory *m, uint64_t kib)
{
    if (kib > m->current_kib)
        pal_ledger_release();
}

int pal_balloon_ask(struct pal *p, const struct pal_domain *d, uint64_t kib, struct pal_error *e)
{
    struct pal_memory m = {.current_kib = UINT64_MAX};
    int rc = ask(p, d, kib, &m, e);

    release_growth(&m, kib);
    return rc;
}

/* ---- waiting ---- */

const char *pal_balloon_end_name(enum pal_balloon_end end)
{
    static const char *const names[] = {"done", "floor", "silent", "late", "ended"};

    return names[end];
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

struct watch {
    uint64_t from, target, at;
    double moved, until; /* when it last moved; the deadline */
};

/* Returns whether it is over, with *end set. */
static bool look(struct watch *w, uint64_t has, enum pal_balloon_end *end)
{
    double t = now();

    if (has != w->at)
        w->moved = t;
    w->at = has;
    if (distance(has, w->target) <= PAL_BALLOON_NEAR_KIB)
        *end = PAL_BALLOON_DONE;
    else if (t - w->moved >= PAL_BALLOON_STALL_S)
        *end =
            distance(has, w->from) > PAL_BALLOON_NEAR_KIB ? PAL_BALLOON_FLOOR : PAL_BALLOON_SILENT;
    else if (t >= w->until)
        *end = distance(has, w->from) > 0 ? PAL_BALLOON_LATE : PAL_BALLOON_SILENT;
    else
        return false;
    return true;
}

static int follow(struct pal *p, const struct pal_domain *d, struct watch *w,
                  struct pal_progress *progress, enum pal_balloon_end *end, struct pal_error *e)
{
    const struct timespec nap = {0, (long)(POLL_S * 1e9)};
    struct xen_domctl_getdomaininfo info;

    for (;;) {
        struct pal_error gone = {0};

        if (pal_domain_info(&p->hv, d->id, &info, &gone) || pal_domain_has_ended(&info) ||
            memcmp(info.handle, d->info.handle, sizeof(info.handle))) {
            *end = PAL_BALLOON_ENDED;
            return 0;
        }
        if (look(w, info.tot_pages << 2, end))
            return 0;
        pal_progress_at(progress, distance(w->at, w->from) << 10);
        if (pal_interrupt_check(e))
            return -1;
        nanosleep(&nap, NULL);
    }
}

int pal_balloon_wait(struct pal *p, const struct pal_domain *d, uint64_t kib, double deadline,
                     struct pal_progress *progress, enum pal_balloon_end *end,
                     uint64_t *reached_kib, struct pal_error *e)
{
    struct watch w = {.target = kib, .moved = now(), .until = now() + deadline};
    struct pal_memory m = {.current_kib = UINT64_MAX};
    int rc = ask(p, d, kib, &m, e);

    w.from = w.at = m.current_kib;
    if (!rc) {
        pal_progress_phase(progress, 0, distance(kib, m.current_kib) << 10);
        rc = follow(p, d, &w, progress, end, e);
    }
    if (!rc && (*end == PAL_BALLOON_FLOOR || *end == PAL_BALLOON_SILENT))
        rc = set_target(p, d->id, w.at, e);
    *reached_kib = w.at;
    release_growth(&m, kib);
    return rc;
}

/* SPDX-License-Identifier: MIT */
#include "libpal/room.h"

#include <inttypes.h>
#include <stdlib.h>

#include "libpal/interrupt.h"
#include "libpal/ledger.h"

#define MIB        1024u /* KiB */
#define ATTEMPTS   3     /* others may take what was just freed */
#define DEADLINE_S 30.0

/* What a domain must keep: its minimum, and what it says that it uses with a little more. */
static uint64_t floor_of(const struct pal_memory *m)
{
    uint64_t used = m->has_agent && m->used_kib <= m->max_kib ? m->used_kib + m->used_kib / 8 : 0;

    return used > m->min_kib ? used : m->min_kib;
}

/* Returns how many there are; *list is to be freed. */
static int find_givers(struct pal *p, struct pal_giver **list, struct pal_error *e)
{
    struct pal_domain *domains;
    int count = pal_domains(p, &domains, e), givers = 0;

    if (count < 0)
        return -1;
    *list = calloc((size_t)count + 1, sizeof(**list));
    for (int i = 0; *list && i < count; i++) {
        struct pal_error gone = {0};
        struct pal_memory m;

        if (pal_domain_has_ended(&domains[i].info) || domains[i].info.flags & XEN_DOMINF_paused ||
            pal_memory_of(p, &domains[i], &m, &gone) || !m.has_minimum)
            continue;
        (*list)[givers++] = (struct pal_giver){domains[i], m.current_kib, floor_of(&m), 0};
    }
    free(domains);
    return *list ? givers : pal_fail(e, PAL_SYS_FAILED, "out of memory");
}

static void tell(const struct pal_giver *g, int count)
{
    for (int i = 0; i < count; i++)
        if (g[i].give_kib)
            fprintf(stderr,
                    "making room: %s gives %" PRIu64 " MiB, from %" PRIu64 " to %" PRIu64
                    " MiB (its floor is %" PRIu64 ")\n",
                    g[i].domain.name, g[i].give_kib / MIB, g[i].current_kib / MIB,
                    (g[i].current_kib - g[i].give_kib) / MIB, g[i].floor_kib / MIB);
}

/* Ask all of them, then wait for each: they move at the same time. One that fails to move is no error
 * here: what is free afterwards decides. */
static void carry_out(struct pal *p, const struct pal_giver *g, int count)
{
    for (int i = 0; i < count; i++) {
        struct pal_error ignored = {0};

        if (g[i].give_kib)
            pal_balloon_ask(p, &g[i].domain, g[i].current_kib - g[i].give_kib, &ignored);
    }
    for (int i = 0; i < count; i++) {
        struct pal_error ignored = {0};
        enum pal_balloon_end end;
        uint64_t reached;

        if (g[i].give_kib && !pal_interrupt_signal())
            pal_balloon_wait(p, &g[i].domain, g[i].current_kib - g[i].give_kib, DEADLINE_S, NULL,
                             &end, &reached, &ignored);
    }
}

static int give_room(struct pal *p, uint64_t missing, struct pal_error *e)
{
    struct pal_giver *g;
    int count = find_givers(p, &g, e);
    uint64_t lacking;

    if (count < 0)
        return -1;
    lacking = pal_room_divide(g, (unsigned)count, missing);
    if (!lacking) {
        tell(g, count);
        carry_out(p, g, count);
    }
    free(g);
    return lacking
               ? pal_fail(e, PAL_MEM_HOST,
                          "%" PRIu64 " MiB are missing, and all domains together can give %" PRIu64
                          " MiB of them",
                          (missing + MIB - 1) / MIB, (missing + MIB - 1) / MIB - lacking / MIB)
               : 0;
}

int pal_room_make(struct pal *p, uint64_t kib, struct pal_error *e)
{
    struct pal_error why = {0};
    uint64_t missing = 0;

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        why = (struct pal_error){0};
        if (!pal_ledger_promise(&p->hv, kib, &missing, &why))
            return 0;
        if (!missing || give_room(p, missing, e) || pal_interrupt_check(e))
            break;
    }
    return pal_fail(e, why.code, "%s", why.why);
}

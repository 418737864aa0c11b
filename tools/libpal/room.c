/* SPDX-License-Identifier: MIT */
#include "libpal/room.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "libpal/interrupt.h"
#include "libpal/ledger.h"
#include "libpal/record.h"

#define MIB        1024u /* KiB */
#define ATTEMPTS   3     /* others may take what was just freed */
#define DEADLINE_S 30.0
#define NAP_NS     50000000l
#define QUEUE_S    600 /* others who make room come first, so long at most */

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

static bool has_given(struct pal *p, const struct pal_giver *g)
{
    struct pal_error gone = {0};
    struct pal_memory m;

    return pal_memory_of(p, &g->domain, &m, &gone) || m.current_kib <= g->current_kib - g->give_kib;
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

        if (g[i].give_kib && !has_given(p, &g[i]) && !pal_interrupt_signal())
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

/* One at a time: two who divide the same domains' memory would undo what the other has asked for. Returns the
 * lock, to be closed, or -1. */
static int take_turn(struct pal_error *e)
{
    const struct timespec nap = {0, NAP_NS};
    char path[256];
    int lock;

    pal_record_path(path, sizeof(path), "room");
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return pal_fail(e, PAL_SYS_FAILED, "%s: %s", path, strerror(errno));
    for (long naps = 0; flock(lock, LOCK_EX | LOCK_NB); naps++) {
        if (naps >= QUEUE_S * (1000000000l / NAP_NS))
            pal_fail(e, PAL_SYS_FAILED, "others have been making room for %d s", QUEUE_S);
        if (e->code != PAL_OK || pal_interrupt_check(e)) {
            close(lock);
            return -1;
        }
        nanosleep(&nap, NULL);
    }
    return lock;
}

static int make_in_turn(struct pal *p, uint64_t kib, struct pal_error *e)
{
    struct pal_error why = {0};
    uint64_t missing = 0;

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        why = (struct pal_error){0};
        if (!pal_ledger_promise(&p->hv, kib, &missing, &why))
            return 0;
        if (!missing || pal_ledger_want(kib, e) || give_room(p, missing, e) ||
            pal_interrupt_check(e))
            break;
    }
    /* Who came last may have been given it at the very end. */
    if (e->code == PAL_OK && !pal_ledger_promise(&p->hv, kib, &missing, &why))
        return 0;
    pal_ledger_release();
    return pal_fail(e, why.code, "%s", why.why);
}

int pal_room_make(struct pal *p, uint64_t kib, struct pal_error *e)
{
    struct pal_error why = {0};
    uint64_t missing = 0;
    int lock, rc;

    if (!pal_ledger_promise(&p->hv, kib, &missing, &why))
        return 0;
    if (!missing)
        return pal_fail(e, why.code, "%s", why.why);
    lock = take_turn(e);
    if (lock < 0)
        return -1;
    rc = make_in_turn(p, kib, e);
    close(lock);
    return rc;
}

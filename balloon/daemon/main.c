/* SPDX-License-Identifier: MIT */
/*
 * pal-balloond: looks at every domain, has the policy decide, and asks. All it remembers between two
 * looks is the policy's memory; killed and started again it goes on from what it finds.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "balloon/policy.h"
#include "libpal/balloon.h"
#include "libpal/decision.h"
#include "libpal/interrupt.h"
#include "libpal/ledger.h"
#include "settings.h"

#define STARTING_MS 20000u /* a domain without an agent is left alone for so long after its start */
#define WORTH_KIB   256u   /* smaller changes of a target are not asked for */

/* One domain, from look to look. */
struct known {
    struct pal_domain domain;
    struct pal_memory now;
    struct balloon_memory memory;
    uint64_t cpu_ns, age_ms;
    enum balloon_reason told; /* what was logged last, and at what size */
    uint64_t told_kib;
    bool seen;
};

static struct {
    struct settings settings;
    struct pal pal;
    struct known *known;
    size_t count;
    bool store_lost;
} daemon_state;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- looking ---- */

static bool is_governed(const struct pal_domain *d, const struct pal_memory *m)
{
    if (d->id == 0)
        return daemon_state.settings.domain0 && m->has_agent;
    return m->has_minimum && !pal_domain_has_ended(&d->info);
}

static struct known *find_known(const struct pal_domain *d)
{
    for (size_t i = 0; i < daemon_state.count; i++) {
        struct known *k = &daemon_state.known[i];

        if (k->domain.id == d->id &&
            !memcmp(k->domain.info.handle, d->info.handle, sizeof(d->info.handle)))
            return k;
    }
    struct known *larger = realloc(daemon_state.known, (daemon_state.count + 1) * sizeof(*larger));

    if (!larger)
        return NULL;
    daemon_state.known = larger;
    larger[daemon_state.count] = (struct known){.domain = *d, .told = BALLOON_REASONS};
    return &larger[daemon_state.count++];
}

static void forget_unseen(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < daemon_state.count; i++) {
        if (daemon_state.known[i].seen)
            daemon_state.known[kept++] = daemon_state.known[i];
        else
            pal_decision_remove(daemon_state.known[i].domain.id);
    }
    daemon_state.count = kept;
}

/* Refresh what is known of every domain that is governed. */
static int look(struct pal_error *e)
{
    struct pal_domain *list;
    int count = pal_domains(&daemon_state.pal, &list, e);

    if (count < 0)
        return -1;
    for (size_t i = 0; i < daemon_state.count; i++)
        daemon_state.known[i].seen = false;
    for (int i = 0; i < count; i++) {
        struct pal_error gone = {0};
        struct pal_memory m;

        if (pal_memory_of(&daemon_state.pal, &list[i], &m, &gone) || !is_governed(&list[i], &m))
            continue;
        struct known *k = find_known(&list[i]);

        if (!k)
            continue;
        k->domain = list[i];
        k->now = m;
        k->seen = true;
    }
    free(list);
    forget_unseen();
    return 0;
}

/* ---- deciding ---- */

static struct balloon_domain describe(struct known *k, unsigned elapsed_ms)
{
    const struct pal_memory *m = &k->now;
    uint64_t ran = k->domain.info.cpu_time - k->cpu_ns;
    bool first = k->age_ms == 0;

    k->cpu_ns = k->domain.info.cpu_time;
    k->age_ms += elapsed_ms + 1;
    return (struct balloon_domain){
        .limits = {.min_kib = m->min_kib < m->max_kib ? m->min_kib : m->max_kib,
                   .max_kib = m->max_kib,
                   .shares = k->domain.id ? m->shares : daemon_state.settings.dom0_shares},
        .sample = {.current_kib = m->current_kib,
                   .target_kib = m->target_kib,
                   .has_agent = m->has_agent,
                   .used_kib = m->used_kib,
                   .swapped_kib = m->swapped_kib,
                   .pressure = m->pressure,
                   .busy = first || !elapsed_ms ? 1000 : (unsigned)(ran / 1000 / elapsed_ms),
                   .fixed = (k->domain.info.flags & XEN_DOMINF_paused) ||
                            (!m->has_agent && k->age_ms < STARTING_MS)},
        .memory = k->memory,
    };
}

static void keep_decision(const struct known *k, const struct balloon_domain *d)
{
    struct pal_decision c = {.at = time(NULL),
                             .current_kib = d->sample.current_kib,
                             .target_kib = d->target_kib,
                             .floor_kib = d->floor_kib,
                             .need_kib = d->need_kib,
                             .comfort_kib = d->comfort_kib,
                             .ideal_kib = d->ideal_kib,
                             .used_kib = d->sample.used_kib,
                             .swapped_kib = d->sample.swapped_kib,
                             .pressure = d->sample.pressure,
                             .has_agent = d->sample.has_agent};

    snprintf(c.reason, sizeof(c.reason), "%s", balloon_reason_text(d->reason));
    pal_decision_write(&k->domain, &c);
}

/* Once for each change of direction that moves something. */
static void tell(struct known *k, const struct balloon_domain *d)
{
    uint64_t now = d->sample.current_kib;
    uint64_t moved = now > k->told_kib ? now - k->told_kib : k->told_kib - now;

    keep_decision(k, d);
    if (d->reason == k->told || (k->told != BALLOON_REASONS && moved <= k->told_kib / 16))
        return;
    k->told = d->reason;
    k->told_kib = now;
    printf("%s: has %" PRIu64 " MiB, asked for %" PRIu64 ", goes to %" PRIu64 ": %s\n",
           k->domain.name, now >> 10, d->target_kib >> 10, d->ideal_kib >> 10,
           balloon_reason_text(d->reason));
}

static void ask(struct known *k, uint64_t target)
{
    uint64_t asked = k->now.target_kib, limit = k->now.limit_kib;
    struct pal_error e = {0};

    if ((target > asked ? target - asked : asked - target) < WORTH_KIB &&
        limit <= target + WORTH_KIB)
        return;
    if (target >= k->now.min_kib && target <= k->now.max_kib &&
        pal_balloon_ask(&daemon_state.pal, &k->domain, target, &e) && e.code != PAL_DOM_UNKNOWN)
        fprintf(stderr, "%s: cannot ask for %" PRIu64 " MiB: %s\n", k->domain.name, target >> 10,
                e.why);
}

static int decide(unsigned elapsed_ms, struct pal_error *e)
{
    struct balloon_domain *d = calloc(daemon_state.count + 1, sizeof(*d));
    struct balloon_machine m = {.slack_kib = daemon_state.settings.slack_kib};
    struct xen_sysctl_physinfo host;
    int rc = -1;

    if (!d)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    if (!pal_hv_physinfo(&daemon_state.pal.hv, &host, e) &&
        !pal_ledger_promised(&daemon_state.pal.hv, &m.reserved_kib, e)) {
        m.free_kib = (host.free_pages + host.scrub_pages) << 2;
        for (size_t i = 0; i < daemon_state.count; i++)
            d[i] = describe(&daemon_state.known[i], elapsed_ms);
        balloon_decide(&m, d, daemon_state.count, elapsed_ms);
        for (size_t i = 0; i < daemon_state.count; i++) {
            daemon_state.known[i].memory = d[i].memory;
            tell(&daemon_state.known[i], &d[i]);
            ask(&daemon_state.known[i], d[i].target_kib);
        }
        rc = 0;
    }
    free(d);
    return rc;
}

/* ---- the daemon ---- */

/* The store or the hypervisor may be away for a while: said once, tried again. */
static void complain(const struct pal_error *e)
{
    if (!daemon_state.store_lost)
        fprintf(stderr, "pal-balloond: %s; trying again\n", e->why);
    daemon_state.store_lost = true;
}

static void run(void)
{
    uint64_t last = now_ms();
    bool open = false;

    while (!pal_interrupt_signal()) {
        const struct timespec nap = {daemon_state.settings.interval_ms / 1000,
                                     daemon_state.settings.interval_ms % 1000 * 1000000l};
        struct pal_error e = {0};
        uint64_t at = now_ms();

        if (!open)
            open = !pal_open(&daemon_state.pal, &e);
        if (open && (look(&e) || decide((unsigned)(at - last), &e))) {
            pal_close(&daemon_state.pal);
            open = false;
        }
        if (e.code != PAL_OK)
            complain(&e);
        else
            daemon_state.store_lost = false;
        last = at;
        fflush(stdout);
        nanosleep(&nap, NULL);
    }
    if (open)
        pal_close(&daemon_state.pal);
}

static const char *path = "/etc/pal/balloon.conf";

static error_t option(int key, char *argument, struct argp_state *state)
{
    (void)state;
    if (key != 'c')
        return ARGP_ERR_UNKNOWN;
    path = argument;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"config", 'c', "FILE", 0, "Instead of /etc/pal/balloon.conf", 0}, {0}};
    static const struct argp parser = {
        options, option, NULL, "Moves memory between domains, by their shares and needs.", 0, 0, 0};

    argp_err_exit_status = PAL_EXIT_USAGE;
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    if (!settings_read(path, &daemon_state.settings))
        return PAL_EXIT_FAILURE;
    if (!daemon_state.settings.enabled) {
        printf("pal-balloond is off; `enabled = yes` in %s turns it on\n", path);
        return 0;
    }
    pal_interrupt_catch();
    run();
    return 0;
}

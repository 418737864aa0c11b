/* SPDX-License-Identifier: MIT */
#include "balloon/policy.h"

#define MIB 1024u /* KiB */

/* Under this share of stalled time (1/10000) a guest is not said to suffer. */
#define PRESSURE_FELT 500u
/* Without an agent: busier than this (1/1000 of a CPU) it is taken to use all it has. */
#define BUSY 50u
/* How slowly: the need falls, idle memory is taken, a hurt is forgotten (time constants). */
#define NEED_MS   30000u
#define TAKE_MS   20000u
#define FORGET_MS 300000u
#define STEP_MS   60000u /* longest step believed */

const char *balloon_reason_text(enum balloon_reason reason)
{
    static const char *const texts[BALLOON_REASONS] = {
        [BALLOON_KEEP] = "it is near where it should be",
        [BALLOON_GROW_PRESSURE] = "its tasks wait for memory",
        [BALLOON_GROW_NEED] = "it uses more",
        [BALLOON_GROW_WAITS] = "it should have more, and nothing is free yet",
        [BALLOON_SHRINK_IDLE] = "it does not use what it has",
        [BALLOON_SHRINK_OTHERS] = "others need it, by their shares",
        [BALLOON_SHRINK_RESERVED] = "a domain that is to start needs it",
        [BALLOON_FIXED] = "it is paused, starting or being saved",
        [BALLOON_SILENT] = "it was asked to shrink and does not",
    };

    return reason < BALLOON_REASONS ? texts[reason] : "?";
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t at_least(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t within(uint64_t value, uint64_t low, uint64_t high)
{
    return at_most(at_least(value, low), at_least(high, low));
}

/* The part of `whole` that goes by in a step, for a slow movement with that time constant. */
static uint64_t part(uint64_t whole, unsigned elapsed_ms, unsigned constant_ms)
{
    return whole * elapsed_ms / (constant_ms + elapsed_ms);
}

static bool suffers(const struct balloon_sample *s)
{
    return s->has_agent && s->pressure >= PRESSURE_FELT;
}

/* It begins to: nothing more is taken without need. What lies between the two keeps it from swinging. */
static bool strained(const struct balloon_sample *s)
{
    return s->has_agent && s->pressure >= PRESSURE_FELT / 4;
}

/* What it uses, with room to breathe. Without an agent: what it has while it computes, less and less of
 * that while it does not. */
static uint64_t used_need(const struct balloon_limits *l, const struct balloon_sample *s)
{
    uint64_t used = at_most(s->used_kib, l->max_kib);

    if (!s->has_agent)
        return s->busy >= BUSY ? s->current_kib : s->current_kib - s->current_kib / 4;
    return used + at_least(used / 8, 32 * MIB) + at_most(s->swapped_kib, l->max_kib);
}

/* What it should have, going by this sample and by what it suffered at. */
static uint64_t raw_need(const struct balloon_limits *l, const struct balloon_sample *s,
                         const struct balloon_memory *m)
{
    uint64_t need = at_least(used_need(l, s), m->hurt_kib);

    if (suffers(
            s)) { /* more than it has: a little, or up to half as much again, by how it suffers */
        uint64_t more = at_most(2 * (at_most(s->pressure, 10000) - PRESSURE_FELT), 5000);

        need = at_least(need, s->current_kib + s->current_kib * more / 10000);
    }
    return within(need, l->min_kib, l->max_kib);
}

/* What it says it uses, and a little. Not more than it has: a floor holds memory, it does not ask for it. */
static uint64_t claimed_floor(const struct balloon_limits *l, const struct balloon_sample *s)
{
    uint64_t used = s->has_agent ? at_most(s->used_kib, l->max_kib) : 0;

    return within(at_most(used + used / 16, s->current_kib), l->min_kib, l->max_kib);
}

static void remember(struct balloon_domain *d, unsigned elapsed_ms)
{
    const struct balloon_sample *s = &d->sample;
    struct balloon_memory *m = &d->memory;

    m->hurt_kib -= part(m->hurt_kib, elapsed_ms, FORGET_MS);
    if (suffers(s))
        m->hurt_kib = at_least(m->hurt_kib, at_most(s->current_kib, d->limits.max_kib));
    uint64_t raw = raw_need(&d->limits, s, m);
    uint64_t fall = raw < m->need_kib ? part(m->need_kib - raw, elapsed_ms, NEED_MS) : 0;
    m->need_kib = at_least(raw, m->need_kib - fall);

    bool asked = s->target_kib + MIB < s->current_kib;
    bool moved = m->last_kib > s->current_kib;
    m->still_ms = asked && !moved && m->last_kib ? m->still_ms + elapsed_ms : 0;
    m->resume_ms -= at_most(m->resume_ms, elapsed_ms);
    if (m->still_ms >= BALLOON_SILENT_MS) {
        m->still_ms = 0;
        m->resume_ms = BALLOON_REST_MS;
    }
    m->last_kib = s->current_kib;
}

static bool stays(const struct balloon_domain *d)
{
    return d->sample.fixed || d->memory.resume_ms != 0;
}

/* The three levels of one domain. One that stays where it is has all three there. */
static void measure(struct balloon_domain *d, uint64_t entitled)
{
    if (stays(d)) {
        d->floor_kib = d->need_kib = d->comfort_kib = d->sample.current_kib;
        return;
    }
    d->floor_kib = at_most(claimed_floor(&d->limits, &d->sample), entitled);
    d->need_kib = at_least(d->memory.need_kib, d->floor_kib);
    uint64_t used = used_need(&d->limits, &d->sample);
    d->comfort_kib = within(used + used / 4, d->need_kib, d->limits.max_kib);
}

static uint64_t least_of(const struct balloon_domain *d)
{
    return stays(d) ? d->sample.current_kib : d->limits.min_kib;
}

static uint64_t most_of(const struct balloon_domain *d)
{
    return stays(d) ? d->sample.current_kib : d->limits.max_kib;
}

static uint64_t floor_of(const struct balloon_domain *d)
{
    return d->floor_kib;
}

static uint64_t need_of(const struct balloon_domain *d)
{
    return d->need_kib;
}

static uint64_t comfort_of(const struct balloon_domain *d)
{
    return d->comfort_kib;
}

/* Raise everybody's ideal towards a level, by shares, until all are there or nothing is left. Each round
 * either ends or fills a domain, so there are no more rounds than domains. Returns what is left. */
static uint64_t fill(struct balloon_domain *d, size_t domains, uint64_t left,
                     uint64_t (*level)(const struct balloon_domain *))
{
    for (size_t round = 0; round <= domains && left; round++) {
        uint64_t shares = 0, given = 0;

        for (size_t i = 0; i < domains; i++)
            shares += d[i].ideal_kib < level(&d[i]) ? d[i].limits.shares : 0;
        if (!shares)
            break;
        for (size_t i = 0; i < domains; i++) {
            if (d[i].ideal_kib >= level(&d[i]))
                continue;
            uint64_t due = (uint64_t)((unsigned __int128)left * d[i].limits.shares / shares);

            due = at_most(due, level(&d[i]) - d[i].ideal_kib);
            d[i].ideal_kib += due;
            given += due;
        }
        left -= given;
        if (!given)
            break;
    }
    return left;
}

/* Start everybody at a level; returns what remains of `all`, or how much it is short of (negative). */
static int64_t start(struct balloon_domain *d, size_t domains, uint64_t all,
                     uint64_t (*level)(const struct balloon_domain *))
{
    int64_t left = (int64_t)all;

    for (size_t i = 0; i < domains; i++) {
        d[i].ideal_kib = level(&d[i]);
        left -= (int64_t)d[i].ideal_kib;
    }
    return left;
}

/* Differences smaller than this move nothing. */
static uint64_t dead_band(const struct balloon_domain *d)
{
    return at_least(d->sample.current_kib / 64, 4 * MIB);
}

/* What to ask for when nothing is to change: what was asked for, where it stopped just above that. */
static void rest(struct balloon_domain *d)
{
    uint64_t now = d->sample.current_kib, asked = d->sample.target_kib;
    bool near = asked <= now && now - asked < MIB && asked >= d->floor_kib;

    d->target_kib = near ? asked : now;
    d->reason = d->sample.fixed ? BALLOON_FIXED : stays(d) ? BALLOON_SILENT : BALLOON_KEEP;
}

/* Lower the targets of those that have more than their ideal. What is only idle waits until it is worth
 * a movement, and small amounts then go at once, so that a slowly falling need is followed in few steps. */
static void take(struct balloon_domain *d, size_t domains, unsigned elapsed_ms, bool urgent,
                 enum balloon_reason why)
{
    for (size_t i = 0; i < domains; i++) {
        uint64_t now = d[i].sample.current_kib;
        uint64_t gap = now > d[i].ideal_kib ? now - d[i].ideal_kib : 0;
        uint64_t band = urgent ? 0 : 4 * dead_band(&d[i]);

        if (stays(&d[i]) || gap <= band || (!urgent && strained(&d[i].sample)))
            continue;
        uint64_t step = at_least(part(gap, elapsed_ms, TAKE_MS), urgent ? gap / 2 : band);

        d[i].target_kib = now - at_most(gap, at_least(step, 4 * MIB));
        d[i].reason = urgent ? why : BALLOON_SHRINK_IDLE;
    }
}

/* Raise targets from what is free now; those that suffer first. Returns what is still free. */
static uint64_t give(struct balloon_domain *d, size_t domains, uint64_t available, bool urgent,
                     bool suffering)
{
    uint64_t wanted = 0, given = 0;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < domains; i++) {
            uint64_t now = d[i].sample.current_kib;

            if (stays(&d[i]) || suffers(&d[i].sample) != suffering || d[i].ideal_kib <= now)
                continue;
            uint64_t gap = d[i].ideal_kib - now;

            if (!urgent && !suffering && gap <= dead_band(&d[i]) &&
                d[i].ideal_kib < d[i].limits.max_kib)
                continue;
            if (round == 0) {
                wanted += gap;
                continue;
            }
            uint64_t due =
                wanted <= available ? gap : (uint64_t)((unsigned __int128)gap * available / wanted);

            d[i].target_kib = now + due;
            given += due;
            if (due < gap / 2)
                d[i].reason = BALLOON_GROW_WAITS;
            else
                d[i].reason = suffering ? BALLOON_GROW_PRESSURE : BALLOON_GROW_NEED;
        }
    }
    return available - given;
}

/* What domains should get and is not free now; differences too small for each count together. */
static uint64_t waiting(const struct balloon_domain *d, size_t domains, uint64_t available)
{
    uint64_t wanted = 0;

    for (size_t i = 0; i < domains; i++) {
        uint64_t now = d[i].sample.current_kib;

        wanted += !stays(&d[i]) && d[i].ideal_kib > now ? d[i].ideal_kib - now : 0;
    }
    return wanted > available + 8 * MIB ? wanted - available : 0;
}

struct balloon_outcome balloon_decide(const struct balloon_machine *m, struct balloon_domain *d,
                                      size_t domains, unsigned elapsed_ms)
{
    struct balloon_outcome out = {0};
    uint64_t all = m->free_kib - at_most(m->free_kib, m->slack_kib);
    bool reserved = m->free_kib < m->reserved_kib + m->slack_kib;
    uint64_t available = reserved ? 0 : all - m->reserved_kib;
    int64_t left;

    elapsed_ms = (unsigned)at_most(elapsed_ms, STEP_MS);
    for (size_t i = 0; i < domains; i++) {
        remember(&d[i], elapsed_ms);
        all += d[i].sample.current_kib;
    }
    /* What each is entitled to, were all to want as much as they can: reservations are no reason to cross
     * what one uses, but it is more than that only as long as nobody else needs it. */
    left = start(d, domains, all, least_of);
    if (left > 0)
        fill(d, domains, (uint64_t)left, most_of);
    for (size_t i = 0; i < domains; i++)
        measure(&d[i], d[i].ideal_kib);

    left = start(d, domains, all, floor_of) - (int64_t)m->reserved_kib;
    if (left < 0)
        out.missing_kib = (uint64_t)-left;
    else
        fill(d, domains, fill(d, domains, (uint64_t)left, need_of), comfort_of);

    out.waiting_kib = waiting(d, domains, available);
    for (size_t i = 0; i < domains; i++)
        rest(&d[i]);
    bool urgent = reserved || out.waiting_kib;
    take(d, domains, elapsed_ms, urgent,
         reserved ? BALLOON_SHRINK_RESERVED : BALLOON_SHRINK_OTHERS);
    give(d, domains, give(d, domains, available, urgent, true), urgent, false);
    return out;
}

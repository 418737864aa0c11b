/* SPDX-License-Identifier: MIT */
#include "fleet.h"

static uint64_t wanted(const struct guest *g)
{
    return KERNEL_KIB + g->load_kib;
}

uint64_t guest_lacks(const struct guest *g)
{
    return wanted(g) > g->current_kib ? wanted(g) - g->current_kib : 0;
}

uint64_t fleet_total(const struct fleet *f)
{
    uint64_t total = f->machine.free_kib;

    for (size_t i = 0; i < f->guests; i++)
        total += f->guest[i].current_kib;
    return total;
}

/* Tasks wait for memory when what they touch does not fit, and a little when the files do not. */
static unsigned stalled(const struct guest *g)
{
    uint64_t lacks = guest_lacks(g), files = 0;

    if (!lacks && wanted(g) + g->cache_kib > g->current_kib)
        files = wanted(g) + g->cache_kib - g->current_kib;
    uint64_t stall = lacks * 30000 / wanted(g) + files * 1500 / (wanted(g) + g->cache_kib);

    return stall > 9000 ? 9000 : (unsigned)stall;
}

static struct balloon_sample sample(const struct guest *g)
{
    struct balloon_sample s = {
        .current_kib = g->current_kib,
        .target_kib = g->target_kib,
        .has_agent = g->agent,
        .used_kib = wanted(g) < g->current_kib ? wanted(g) : g->current_kib,
        .swapped_kib = guest_lacks(g),
        .pressure = g->pressure,
        .busy = g->load_kib ? 500 : 0,
    };

    if (g->manner == GUEST_LIES) {
        s.used_kib = ~0ull;
        s.swapped_kib = ~0ull;
        s.pressure = ~0u;
    }
    return s;
}

static void tell(struct guest *g, const struct balloon_domain *d)
{
    /* Smaller movements are not counted as a change of direction. */
    uint64_t notable = 8 * 1024 + g->current_kib / 32;
    int direction = d->target_kib > g->current_kib + notable   ? 1
                    : d->target_kib + notable < g->current_kib ? -1
                                                               : 0;

    if (direction && g->direction && direction != g->direction)
        g->turns++;
    if (direction)
        g->direction = direction;
    g->memory = d->memory;
    g->target_kib = d->target_kib;
    g->seen = *d;
}

/* Its driver moves towards the target, as fast as it can; it cannot take what is not free. */
static void move(struct fleet *f, struct guest *g, unsigned ms)
{
    uint64_t most = g->rate_kib * ms / 1000;

    if (g->target_kib > g->current_kib) {
        uint64_t step = g->target_kib - g->current_kib;

        step = step < most ? step : most;
        step = step < f->machine.free_kib ? step : f->machine.free_kib;
        g->current_kib += step;
        f->machine.free_kib -= step;
    } else if (g->manner != GUEST_IGNORES) {
        uint64_t step = g->current_kib - g->target_kib;

        step = step < most ? step : most;
        g->current_kib -= step;
        f->machine.free_kib += step;
    }
}

void fleet_step(struct fleet *f, unsigned ms)
{
    struct balloon_domain d[FLEET_MAX];

    for (size_t i = 0; i < f->guests; i++) {
        struct guest *g = &f->guest[i];

        if (g->manner == GUEST_OSCILLATES)
            g->load_kib = g->load_kib ? 0 : g->limits.max_kib;
        d[i] =
            (struct balloon_domain){.limits = g->limits, .sample = sample(g), .memory = g->memory};
    }
    f->outcome = balloon_decide(&f->machine, d, f->guests, ms);
    for (size_t i = 0; i < f->guests; i++)
        tell(&f->guest[i], &d[i]);
    for (size_t i = 0; i < f->guests; i++) {
        struct guest *g = &f->guest[i];
        unsigned now = stalled(g);

        move(f, g, ms);
        g->pressure = (unsigned)((g->pressure * 10000ul + now * (unsigned long)ms) / (10000 + ms));
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * How fast the TSC and the local APIC's timer run: told by CPUID where it does, else measured once
 * against the best reference there is.
 */
#include "dev/clock.h"
#include "base/log.h"
#include "core/time.h"
#include "dev/dev.h"
#include "dev/lapic.h"
#include "x86/cpu.h"
#include "x86/insn.h"

#define MEASURE_MS     25
#define TRIES          8          /* readings of which the tightest counts */
#define PATIENCE       200000000u /* readings of a reference that stands still */
#define HYPERVISOR_BIT (1u << 31)

struct reading {
    uint64_t tsc, reference;
    uint32_t lapic;
};

/* All clocks at one moment: the reading that took least time is the nearest to that. */
static struct reading read_clocks(const struct reference_clock *c)
{
    struct reading best = {0, 0, 0};
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = rdtsc(), reference = c->read();
        uint64_t after = rdtsc();
        if (after - before < least) {
            least = after - before;
            best = (struct reading){before + (after - before) / 2, reference, lapic_timer_count()};
        }
    }
    return best;
}

static bool measure(const struct reference_clock *c, uint64_t *tsc, uint64_t *lapic)
{
    uint64_t wanted = c->hz * MEASURE_MS / 1000;
    lapic_timer_start_max();
    struct reading start = read_clocks(c);
    unsigned tries = 0;
    while (((c->read() - start.reference) & c->mask) < wanted)
        if (++tries == PATIENCE)
            return false;
    struct reading end = read_clocks(c);
    uint64_t ticks = (end.reference - start.reference) & c->mask;
    /* Some 10^8 counts times some 10^8 Hz: fits. */
    *tsc = (end.tsc - start.tsc) * c->hz / ticks;
    *lapic = (start.lapic - end.lapic) * c->hz / ticks;
    return *tsc > 0 && *lapic > 0;
}

/* 0: CPUID does not tell. */
static uint64_t told_tsc_hz(void)
{
    if (cpuid(0, 0).eax >= 0x15) {
        struct cpuid r = cpuid(0x15, 0);
        if (r.eax && r.ebx && r.ecx)
            return (uint64_t)r.ecx * r.ebx / r.eax;
    }
    if ((cpuid(1, 0).ecx & HYPERVISOR_BIT) && cpuid(0x40000000, 0).eax >= 0x40000010)
        return (uint64_t)cpuid(0x40000010, 0).eax * 1000;
    return 0;
}

void clock_init(void)
{
    static bool (*const references[])(struct reference_clock *) = {
        hpet_reference, pmtimer_reference, pit_reference};
    struct reference_clock c = {.name = "none"};
    uint64_t tsc = 0, lapic = 0;
    bool done = false;
    for (unsigned i = 0; i < ARRAY_SIZE(references) && !done; i++)
        done = references[i](&c) && measure(&c, &tsc, &lapic);
    if (!done)
        panic("no clock to measure the time stamp counter against");
    uint64_t told = told_tsc_hz();
    lapic_timer_hz = lapic;
    tsc_hz = told ? told : tsc;
    time_start();
    lapic_init_cpu(); /* the timer in its mode again */
    log_info("clocks: TSC %lu.%03lu MHz (%s), APIC timer %lu.%03lu MHz%s", tsc_hz / 1000000,
             tsc_hz / 1000 % 1000, told ? "CPUID" : c.name, lapic / 1000000, lapic / 1000 % 1000,
             cpu_features.tsc_deadline ? ", deadline mode" : "");
}

void clock_delay_us(unsigned us)
{
    if (!tsc_hz) {
        for (unsigned i = 0; i < us; i++)
            (void)inb(0x80);
        return;
    }
    uint64_t start = rdtsc(), ticks = tsc_hz / 1000000 * us + 1;
    while (rdtsc() - start < ticks)
        cpu_relax();
}

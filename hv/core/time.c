/* SPDX-License-Identifier: MIT */
/*
 * System time and wall clock.
 *
 * One scale, fixed when the clock was calibrated, turns the time-stamp counter into nanoseconds
 * since boot on every CPU. It has the form that guests use themselves (struct vcpu_time_info), so
 * that guest and hypervisor compute the same number from the same counter. Since the scale never
 * changes, a vCPU's time info is written once for each place it is kept in, and not at context
 * switches.
 */
#include "base/log.h"
#include "base/string.h"
#include "core/domain.h"
#include "core/time.h"
#include "core/uaccess.h"
#include "dev/clock.h"
#include "x86/insn.h"
#include <xen/errno.h>

#define NS_PER_SEC 1000000000ull

struct time_scale time_scale;
uint64_t tsc_hz;
bool time_tsc_stable;

/* Seconds and nanoseconds since 1970 at system time 0. */
static uint64_t wall_sec;
static uint32_t wall_nsec;
static uint32_t wall_version;
static spinlock_t wall_lock = SPINLOCK_INIT;

/* (hi:lo) / d for hi < d: one machine instruction. */
static uint64_t div_128(uint64_t hi, uint64_t lo, uint64_t d)
{
    uint64_t q, r;
    __asm__("divq %4" : "=a"(q), "=d"(r) : "a"(lo), "d"(hi), "r"(d) : "cc");
    (void)r;
    return q;
}

void time_start(void)
{
    /* ticks * 2^shift * mul / 2^32 = ns, with mul as large as 32 bits hold. */
    CHECK_LT(1000, tsc_hz);
    int8_t shift = 0;
    uint64_t rate = tsc_hz;
    while (rate > 2 * NS_PER_SEC) {
        rate >>= 1;
        shift--;
    }
    while (rate <= NS_PER_SEC) {
        rate <<= 1;
        shift++;
    }
    /* mul = 10^9 * 2^32 / (hz * 2^shift), from the unrounded rate. */
    uint64_t numerator = NS_PER_SEC << 32; /* < 2^62 */
    if (shift < 0)
        time_scale.mul = (uint32_t)div_128(numerator >> (64 + shift), numerator << -shift, tsc_hz);
    else
        time_scale.mul = (uint32_t)(numerator / (tsc_hz << shift));
    time_scale.shift = shift;
    time_scale.ns_base = 0;
    time_scale.tsc_base = rdtsc();
}

uint64_t time_now(void)
{
    uint64_t delta = rdtsc() - time_scale.tsc_base;
    if (time_scale.shift < 0)
        delta >>= -time_scale.shift;
    else
        delta <<= time_scale.shift;
    return time_scale.ns_base + (uint64_t)(((unsigned __int128)delta * time_scale.mul) >> 32);
}

uint64_t time_tsc_of(uint64_t system_ns)
{
    if (system_ns <= time_scale.ns_base)
        return time_scale.tsc_base;
    uint64_t ns = system_ns - time_scale.ns_base;
    if (ns >> 32 >= time_scale.mul)
        return UINT64_MAX;
    uint64_t ticks = div_128(ns >> 32, ns << 32, time_scale.mul);
    if (time_scale.shift < 0) {
        if (ticks >> (64 + time_scale.shift))
            return UINT64_MAX;
        ticks <<= -time_scale.shift;
    } else {
        ticks >>= time_scale.shift;
    }
    uint64_t tsc = time_scale.tsc_base + ticks + 1; /* never early */
    return tsc < ticks ? UINT64_MAX : tsc;
}

static struct vcpu_time_info time_info(uint32_t version)
{
    struct vcpu_time_info t;
    memset(&t, 0, sizeof(t));
    t.version = version;
    t.tsc_timestamp = time_scale.tsc_base;
    t.system_time = time_scale.ns_base;
    t.tsc_to_system_mul = time_scale.mul;
    t.tsc_shift = time_scale.shift;
    t.flags = time_tsc_stable ? XEN_PVCLOCK_TSC_STABLE_BIT : 0;
    return t;
}

void time_update_vcpu(struct vcpu *v)
{
    volatile struct vcpu_time_info *out = &v->info->time;
    uint32_t version = v->time_version | 1; /* odd: being written */
    v->time_version = version + 1;
    struct vcpu_time_info t = time_info(version);
    out->version = version;
    barrier();
    out->tsc_timestamp = t.tsc_timestamp;
    out->system_time = t.system_time;
    out->tsc_to_system_mul = t.tsc_to_system_mul;
    out->tsc_shift = t.tsc_shift;
    out->flags = t.flags;
    barrier();
    out->version = version + 1;
}

int time_register_area(struct vcpu *v, uint64_t va)
{
    if (va && !guest_range_ok(va, sizeof(struct vcpu_time_info)))
        return -XEN_EFAULT;
    v->time_va = va;
    if (!va)
        return 0;
    /* The scale does not change, so the area is written here once and for all. It is the same for
     * all vCPUs, so the caller may write it for another. A page that is not there is skipped, as
     * everywhere. */
    struct vcpu_time_info t = time_info(2);
    (void)!copy_to_guest(va, &t, sizeof(t));
    return 0;
}

/* ---- wall clock ---- */

void time_publish_wallclock(struct domain *d)
{
    volatile struct shared_info *s = d->shared;
    spin_lock(&wall_lock);
    uint64_t sec = wall_sec + (uint64_t)d->time_offset_seconds;
    wall_version += 2;
    s->wc_version = wall_version - 1; /* odd: being written */
    barrier();
    s->wc_sec = (uint32_t)sec;
    s->wc_sec_hi = (uint32_t)(sec >> 32);
    s->wc_nsec = wall_nsec;
    barrier();
    s->wc_version = wall_version;
    spin_unlock(&wall_lock);
}

void time_init_wallclock(void)
{
    uint64_t sec = cmos_read_seconds();
    if (!sec || time_set_wallclock(sec, 0, time_now()))
        log_warn("the CMOS clock gives no date: the wall clock starts in 1970");
}

int time_set_wallclock(uint64_t sec, uint32_t nsec, uint64_t system_ns)
{
    uint64_t boot_sec = system_ns / NS_PER_SEC;
    uint32_t boot_nsec = (uint32_t)(system_ns % NS_PER_SEC);
    if (nsec >= NS_PER_SEC)
        return -XEN_EINVAL;
    if (nsec < boot_nsec) {
        boot_sec++;
        nsec += NS_PER_SEC;
    }
    if (sec < boot_sec)
        return -XEN_EINVAL; /* booted before 1970 */
    spin_lock(&wall_lock);
    wall_sec = sec - boot_sec;
    wall_nsec = nsec - boot_nsec;
    spin_unlock(&wall_lock);
    struct domain *d;
    for (unsigned id = 0; (d = domain_get_from(id)); id++) {
        id = d->mm.id;
        time_publish_wallclock(d);
        domain_put(d);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Translations of other CPUs.
 *
 * tlb_clock counts recorded flushes of any CPU; each notes the new value (cpu->flushed_at). A stamp taken from the clock after a
 * translation was removed is older than every flush recorded later, and only those: a CPU with flushed_at > stamp
 * cannot use the translation any more. A stamp equal to flushed_at is treated as not flushed.
 *
 * One shootdown runs at a time. Its request is posted to the CPUs concerned, an interrupt sent, and the requester waits for
 * all answers. A CPU answers from the interrupt, or from any loop in which it waits itself.
 *
 * An idle CPU runs on the hypervisor's own root and holds no guest translation: it is exempt. It ends its exemption
 * before it loads a guest's root, with a fence between, so either the requester sees it, or it sees the new tables.
 */
#include "base/check.h"
#include "core/vcpu.h"
#include "core/domain.h"
#include "mm/env.h"
#include "x86/cpu.h"
#include "x86/entry.h"
#include "x86/insn.h"

static uint64_t tlb_clock = 1;
static spinlock_t request_lock = SPINLOCK_INIT;
static struct {
    bool all;    /* every translation of guests', else those of the pages from va on */
    bool caches; /* the data caches too */
    uint64_t va;
    unsigned pages;
} request; /* under request_lock; read by the CPUs whose flush_pending is set */

void tlb_load_cr3(uint64_t cr3)
{
    uint64_t now = fetch_add(&tlb_clock, 1) + 1;
    write_cr3(cr3);
    store_relaxed(&this_cpu()->flushed_at, now);
}

void tlb_flush_local(void)
{
    tlb_load_cr3(read_cr3());
}

static void drop_pages(uint64_t va, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        invlpg(va + i * PAGE_SIZE);
}

void tlb_serve_requests(void)
{
    struct cpu *c = this_cpu();
    if (!load_acquire(&c->flush_pending))
        return;
    if (request.caches)
        __asm__ volatile("wbinvd" : : : "memory");
    if (request.all)
        tlb_flush_local();
    else
        drop_pages(request.va, request.pages);
    store_release(&c->flush_pending, 0);
}

void spin_wait(void)
{
    tlb_serve_requests();
    cpu_relax();
}

static void post(struct cpu *c)
{
    store_release(&c->flush_pending, 1);
    lapic_send_ipi(c->id, VECTOR_FLUSH);
}

static void wait_for_answers(void)
{
    for (unsigned i = 0; i < cpu_count; i++)
        while (cpus[i] != this_cpu() && load_acquire(&cpus[i]->flush_pending))
            cpu_relax();
}

uint64_t env_tlb_now(void)
{
    return load_relaxed(&tlb_clock);
}

/* Which CPUs a shootdown is for: every one, those that may hold guests' translations, or those that run a vCPU of d: any,
 * or one of a set. */
struct target {
    bool every;
    uint64_t stamp; /* who flushed everything since need not do it again */
    const struct mm_domain *d;
    const struct vcpu_set *set;
};

/* Does the CPU run one of these vCPUs? By numbers: a vCPU that it ran a moment ago may be gone. Those that
 * do not run now load their root, and so flush, before they run again. */
static bool runs_one_of(const struct cpu *c, const struct target *t)
{
    uint32_t guest = load_relaxed(&c->guest);
    unsigned id = guest & 0xffff;
    if (guest >> 16 != t->d->id)
        return false;
    return !t->set || (id < MAX_VCPUS && (t->set->bits[id / 64] >> (id % 64) & 1));
}

static bool is_needed(const struct cpu *c, const struct target *t)
{
    if (c == this_cpu() || !c->online)
        return false;
    if (t->every)
        return true;
    return load_relaxed(&c->flushed_at) <= t->stamp && !load_acquire(&c->exempt) &&
           (!t->d || runs_one_of(c, t));
}

/* Who had to wait for the lock finds most of the work done: the CPUs were flushed for those before it. */
static void shoot_down(const struct target *t, bool all, uint64_t va, unsigned pages)
{
    unsigned first = 0;

    while (first < cpu_count && !is_needed(cpus[first], t))
        first++;
    if (first == cpu_count)
        return;
    spin_lock(&request_lock);
    request.all = all;
    request.va = va;
    request.pages = pages;
    for (unsigned i = first; i < cpu_count; i++)
        if (is_needed(cpus[i], t))
            post(cpus[i]);
    wait_for_answers();
    spin_unlock(&request_lock);
}

void env_flush_since(uint64_t stamp)
{
    if (this_cpu()->flushed_at <= stamp)
        tlb_flush_local();
    if (cpu_count == 1)
        return;
    full_fence();
    shoot_down(&(struct target){.stamp = stamp}, true, 0, 0);
}

void env_flush_domain_since(const struct mm_domain *d, uint64_t stamp)
{
    struct target t = {.stamp = stamp, .d = d};

    if (this_cpu()->flushed_at <= stamp && runs_one_of(this_cpu(), &t))
        tlb_flush_local();
    if (cpu_count == 1)
        return;
    full_fence();
    shoot_down(&t, true, 0, 0);
}

void env_flush_local(bool all, uint64_t va)
{
    if (all)
        tlb_flush_local();
    else
        invlpg(va);
}

void env_flush_vcpus(struct mm_domain *d, const struct vcpu_set *set, bool all, uint64_t va)
{
    struct target t = {.d = d, .set = set};

    full_fence();
    t.stamp = env_tlb_now();
    if (runs_one_of(this_cpu(), &t))
        env_flush_local(all, va);
    shoot_down(&t, all, va, 1);
}

/* They are global: loading a root does not drop them, nor is an idle CPU exempt. */
void tlb_drop_own(uint64_t va, unsigned pages)
{
    drop_pages(va, pages);
    shoot_down(&(struct target){.every = true}, false, va, pages);
}

void env_flush_caches(bool all)
{
    __asm__ volatile("wbinvd" : : : "memory");
    if (!all || cpu_count == 1)
        return;
    spin_lock(&request_lock);
    request.all = true;
    request.caches = true;
    for (unsigned i = 0; i < cpu_count; i++)
        if (cpus[i] != this_cpu())
            post(cpus[i]);
    wait_for_answers();
    request.caches = false;
    spin_unlock(&request_lock);
}

/* SPDX-License-Identifier: MIT */
/*
 * The scheduler.
 *
 * A vCPU is in one of three places: on a CPU (running), on one run queue, or on none. Its queue
 * lock is that of the CPU named by v->cpu; v->cpu changes only under the lock of the CPU it names
 * before the change, and only while the vCPU does not run. Under that lock are state, running,
 * in_hypercall, rq_entry and the runstate.
 *
 * Who may run. A vCPU that was switched out inside the hypervisor (in_hypercall) may hold counts of
 * frames or a half-done validation, so it must be let go on whatever its state, until it comes to
 * the guest boundary: the place on the exit path where it calls sched_boundary() and holds nothing.
 * Only there do pause counts, VCPU_DOWN and VCPU_DEAD take effect: it is then neither queued nor
 * picked ("parked"). The exception is a blocked vCPU: it is inside the hypervisor too, in
 * SCHEDOP_block or SCHEDOP_poll, but holds nothing; a pause leaves it blocked and wakes that come
 * meanwhile are remembered. sched_eligible() is this rule.
 *
 * A vCPU is held still when it does not run and is not eligible: what vcpu_pause() waits for.
 *
 * Wake-ups are not lost. Who makes an event pending first writes it, then (after a full fence)
 * looks at the state; who blocks first writes the state, then (after a full fence) looks for
 * pending events. One of the two sees the other. The same order holds for running vCPUs (written
 * before the exit path looks for events) and for idle CPUs (they announce themselves before they
 * search other queues; who queues looks for idle CPUs after queueing).
 *
 * Policy: round robin of 10 ms; no tick while nobody waits. A vCPU that wakes prefers the CPU it
 * ran on, if that is idle, then any idle one, then its old queue, where it shortens the slice of
 * who runs to 1 ms from its start. An idle CPU takes vCPUs from other queues. pick_next() is the
 * place for weights.
 */
#include "base/string.h"
#include "core/domain.h"
#include "core/event.h"
#include "core/time.h"
#include "sched_internal.h"
#include "x86/insn.h"
#include <xen/errno.h>

#define SLICE_NS   10000000ull
#define STEAL_LOOK 16 /* entries of another queue looked at for one that may come here */

enum sched_reason { SCHED_PREEMPT, SCHED_YIELD, SCHED_BOUNDARY, SCHED_PARKABLE };

static uint64_t idle_cpus[MAX_CPUS / 64];

void sched_init_cpu(struct cpu *c)
{
    spin_init(&c->rq_lock);
    list_init(&c->rq);
    c->rq_len = 0;
    c->slice_end = 0;
}

void sched_init_vcpu(struct vcpu *v, unsigned cpu)
{
    list_init(&v->rq_entry);
    memset(v->affinity, 0xff, sizeof(v->affinity));
    memset(v->soft_affinity, 0xff, sizeof(v->soft_affinity));
    v->cpu = cpu;
    v->state = VCPU_DOWN;
    v->runstate.state = RUNSTATE_offline;
    v->runstate.state_entry_time = time_now();
}

struct cpu *sched_lock_vcpu(struct vcpu *v)
{
    for (;;) {
        unsigned id = load_acquire(&v->cpu);
        spin_lock(&cpus[id]->rq_lock);
        if (load_relaxed(&v->cpu) == id)
            return cpus[id];
        spin_unlock(&cpus[id]->rq_lock);
    }
}

bool sched_eligible(const struct vcpu *v)
{
    if (v->state == VCPU_BLOCKED)
        return false;
    if (v->in_hypercall)
        return true;
    return v->state == VCPU_RUNNABLE && !load_relaxed(&v->pause_count);
}

static bool on_queue(const struct vcpu *v)
{
    return !list_empty(&v->rq_entry);
}

static bool allowed_on(const struct vcpu *v, unsigned cpu)
{
    return bit_test(v->affinity, cpu);
}

void sched_dequeue(struct cpu *c, struct vcpu *v)
{
    if (!on_queue(v))
        return;
    list_remove(&v->rq_entry);
    store_relaxed(&c->rq_len, c->rq_len - 1);
}

void sched_kick(unsigned cpu)
{
    store_release(&cpus[cpu]->need_resched, true);
    if (cpu != this_cpu()->id)
        lapic_send_ipi(cpu, VECTOR_KICK);
}

/* An idle CPU that v may use, or cpu_count. */
static unsigned find_idle_cpu(const struct vcpu *v)
{
    for (unsigned w = 0; w < MAX_CPUS / 64; w++) {
        uint64_t candidates = load_relaxed(&idle_cpus[w]) & v->affinity[w];
        if (candidates)
            return w * 64 + lowest_bit(candidates);
    }
    return cpu_count;
}

static unsigned choose_cpu(const struct vcpu *v)
{
    if (allowed_on(v, v->cpu) && bit_test(idle_cpus, v->cpu))
        return v->cpu;
    unsigned idle = find_idle_cpu(v);
    if (idle < cpu_count || allowed_on(v, v->cpu))
        return idle < cpu_count ? idle : v->cpu;
    for (unsigned i = 0; i < cpu_count; i++)
        if (allowed_on(v, i))
            return i;
    return v->cpu; /* no allowed CPU is online: better here than nowhere */
}

/* v was queued on c: see that somebody comes for it. */
static void announce(struct cpu *c, struct vcpu *v)
{
    full_fence(); /* the queue before the search for idle CPUs: see the top of the file */
    if (bit_test(idle_cpus, c->id)) {
        sched_kick(c->id);
        return;
    }
    uint64_t limit = c->run_start + SCHED_RATELIMIT_NS;
    if (!c->slice_end || c->slice_end > limit) {
        c->slice_end = limit;
        sched_kick(c->id); /* it programs its timer anew */
    }
    unsigned idle = find_idle_cpu(v);
    if (idle < cpu_count)
        sched_kick(idle);
}

static void enqueue(struct cpu *c, struct vcpu *v)
{
    list_push_back(&c->rq, &v->rq_entry);
    store_relaxed(&c->rq_len, c->rq_len + 1);
}

void sched_settle(struct cpu *c, struct vcpu *v)
{
    bool moved = false;
    while (!v->running && !on_queue(v) && sched_eligible(v)) {
        unsigned target = moved ? c->id : choose_cpu(v);
        if (target == c->id) {
            runstate_change(v, RUNSTATE_runnable, time_now());
            enqueue(c, v);
            announce(c, v);
            break;
        }
        /* On no queue and not running: nobody but the holder of its lock touches it. Once the new
         * CPU is named, another may settle it first; the loop's condition is looked at again under
         * the new lock. */
        store_release(&v->cpu, target);
        spin_unlock(&c->rq_lock);
        c = sched_lock_vcpu(v);
        moved = true;
    }
    spin_unlock(&c->rq_lock);
}

void vcpu_wake(struct vcpu *v)
{
    struct cpu *c = sched_lock_vcpu(v);
    if (v->state != VCPU_BLOCKED) {
        spin_unlock(&c->rq_lock);
    } else if (load_relaxed(&v->pause_count)) {
        v->wake_pending = true;
        spin_unlock(&c->rq_lock);
    } else {
        v->state = VCPU_RUNNABLE;
        sched_settle(c, v);
    }
}

/* Must the current vCPU, about to block, go on instead? */
static bool has_reason_to_run(const struct vcpu *v)
{
    if (event_deliverable(v) || v->nmi_pending)
        return true;
    /* Whoever wakes a polling vCPU takes its bit from the mask first. */
    return v->poll_port && !bit_test(v->domain->poll_mask, v->mm.id);
}

void vcpu_block(void)
{
    struct vcpu *v = current_vcpu();
    struct cpu *c = this_cpu();
    bool blocked = false;
    spin_lock(&c->rq_lock);
    if (v->state == VCPU_RUNNABLE) {
        v->state = VCPU_BLOCKED;
        v->wake_pending = false;
        full_fence();
        if (has_reason_to_run(v))
            v->state = VCPU_RUNNABLE;
        else
            blocked = true;
    }
    spin_unlock(&c->rq_lock);
    if (blocked)
        schedule();
}

void sched_vcpu_up(struct vcpu *v)
{
    struct cpu *c = sched_lock_vcpu(v);
    if (v->state == VCPU_DOWN)
        v->state = VCPU_RUNNABLE;
    sched_settle(c, v);
}

void sched_vcpu_stop(struct vcpu *v, enum vcpu_state state)
{
    struct cpu *c = sched_lock_vcpu(v);
    if (v->state != VCPU_DEAD)
        v->state = state;
    if (on_queue(v) && !sched_eligible(v)) {
        sched_dequeue(c, v);
        runstate_change(v, RUNSTATE_offline, time_now());
    }
    if (v->running)
        sched_kick(c->id);
    sched_settle(c, v); /* one that was blocked runs to the boundary */
}

void sched_set_affinity(struct vcpu *v, const uint64_t *hard, const uint64_t *soft)
{
    struct cpu *c = sched_lock_vcpu(v);
    memcpy(v->affinity, hard, sizeof(v->affinity));
    memcpy(v->soft_affinity, soft, sizeof(v->soft_affinity));
    if (allowed_on(v, c->id)) {
        spin_unlock(&c->rq_lock);
        return;
    }
    sched_dequeue(c, v);
    if (v->running)
        sched_kick(c->id);
    sched_settle(c, v);
}

/* The first vCPU on `from`'s queue that may run on cpu, or NULL. With from's lock. */
static struct vcpu *find_to_steal(struct cpu *from, unsigned cpu)
{
    unsigned looked = 0;
    for (struct list *at = from->rq.next; at != &from->rq && looked < STEAL_LOOK; at = at->next) {
        struct vcpu *v = container_of(at, struct vcpu, rq_entry);
        if (allowed_on(v, cpu))
            return v;
        looked++;
    }
    return NULL;
}

/* Ask an idle CPU to come for the first of c's queue. With c's lock. */
static void offer_first(struct cpu *c)
{
    full_fence(); /* the queue before the search for idle CPUs, as in announce() */
    if (!c->rq_len)
        return;
    unsigned idle = find_idle_cpu(list_first(&c->rq, struct vcpu, rq_entry));
    if (idle < cpu_count && idle != c->id)
        sched_kick(idle);
}

/* Take a vCPU from another queue for the idle CPU c, whose lock is held. Other locks are only
 * tried: two idle CPUs may search each other. */
static struct vcpu *steal(struct cpu *c)
{
    for (unsigned i = 1; i < cpu_count; i++) {
        struct cpu *from = cpus[(c->id + i) % cpu_count];
        if (!load_relaxed(&from->rq_len))
            continue;
        if (!spin_trylock(&from->rq_lock)) {
            store_relaxed(&c->need_resched, true); /* look again: its holder may not see us idle */
            continue;
        }
        struct vcpu *v = find_to_steal(from, c->id);
        if (v) {
            sched_dequeue(from, v);
            store_release(&v->cpu, c->id);
            enqueue(c, v);
            bit_test_and_clear(idle_cpus, c->id);
            offer_first(from); /* pass it on: more may wait there */
        }
        spin_unlock(&from->rq_lock);
        if (v)
            return v;
    }
    return NULL;
}

/* Who gets c now? prev may be kept. With c's lock. The result is still on c's queue unless it is
 * prev or idle. */
static struct vcpu *pick_next(struct cpu *c, struct vcpu *prev, bool yields, uint64_t now)
{
    bool can_stay = !prev->is_idle && sched_eligible(prev) && allowed_on(prev, c->id);
    if (can_stay && !yields && (!c->rq_len || now < c->slice_end))
        return prev;
    if (c->rq_len)
        return list_first(&c->rq, struct vcpu, rq_entry);
    if (can_stay)
        return prev;
    bit_test_and_set(idle_cpus, c->id); /* a full fence: announce ourselves, then search */
    struct vcpu *v = steal(c);
    return v ? v : c->idle;
}

/* The slice ends only if somebody waits. */
static void set_slice(struct cpu *c)
{
    if (!c->rq_len)
        c->slice_end = 0;
    else if (!c->slice_end)
        c->slice_end = c->run_start + SLICE_NS;
}

static int runstate_of_stopped(const struct vcpu *v)
{
    if (v->state == VCPU_BLOCKED || v->is_idle)
        return RUNSTATE_blocked;
    return sched_eligible(v) ? RUNSTATE_runnable : RUNSTATE_offline;
}

/* Give c from prev to next: everything but the machine's registers. With c's lock. */
static void hand_over(struct cpu *c, struct vcpu *prev, struct vcpu *next, uint64_t now)
{
    if (!next->is_idle) {
        bit_test_and_clear(idle_cpus, c->id);
        sched_dequeue(c, next);
        next->exit_work |= next->runstate_va != 0;
    }
    runstate_change(next, RUNSTATE_running, now);
    runstate_change(prev, runstate_of_stopped(prev), now);
    c->run_start = now;
    c->slice_end = 0;
    set_slice(c);
    next->running = true;
    c->current = next;
    c->context_switches++;
    full_fence(); /* running is seen before next looks for its events */
}

/* next goes on inside the hypervisor but must stop at the guest boundary: let it not pass unasked.
 * With c's lock, so whoever asks later finds next running and kicks this CPU. */
static void ask_at_boundary(struct cpu *c, const struct vcpu *next)
{
    if (!next->is_idle && (next->state != VCPU_RUNNABLE || load_relaxed(&next->pause_count)))
        store_relaxed(&c->need_resched, true);
}

static void schedule_for(enum sched_reason why)
{
    struct cpu *c = this_cpu();
    struct vcpu *prev = current_vcpu();
    uint64_t now = time_now();

    spin_lock(&c->rq_lock);
    store_relaxed(&c->need_resched,
                  false); /* before the search: a kick that comes during it stays */
    prev->in_hypercall = why == SCHED_PREEMPT || why == SCHED_YIELD;
    bool yields = why == SCHED_YIELD || why == SCHED_PARKABLE;
    struct vcpu *next = pick_next(c, prev, yields, now);
    ask_at_boundary(c, next);
    if (next == prev) {
        set_slice(c);
        spin_unlock(&c->rq_lock);
        timer_reprogram();
        return;
    }
    hand_over(c, prev, next, now);
    spin_unlock(&c->rq_lock);
    context_switch(prev, next);
    sched_switch_tail();
}

void sched_switch_tail(void)
{
    struct cpu *c = this_cpu();
    struct vcpu *prev = c->switched_from;
    if (!prev)
        return;
    c->switched_from = NULL;
    spin_lock(&c->rq_lock);
    prev->running = false;
    bool stays = allowed_on(prev, c->id);
    if (!prev->is_idle && stays && sched_eligible(prev)) {
        enqueue(c, prev);
        set_slice(c);
    }
    offer_first(c);
    if (prev->is_idle || stays)
        spin_unlock(&c->rq_lock);
    else
        sched_settle(c, prev); /* its affinity changed */
    timer_reprogram();
}

void schedule(void)
{
    schedule_for(SCHED_PREEMPT);
}

void vcpu_yield(void)
{
    schedule_for(SCHED_YIELD);
}

void sched_boundary(void)
{
    schedule_for(SCHED_BOUNDARY);
}

void sched_yield_parkable(void)
{
    schedule_for(SCHED_PARKABLE);
}

__noreturn void idle_loop(void)
{
    for (;;) {
        schedule_for(SCHED_YIELD);
        /* Interrupts are off: a kick sent since is pending and ends the halt at once. */
        if (!load_acquire(&this_cpu()->need_resched))
            irq_wait();
        else
            irq_window();
    }
}

#define WEIGHT_MAX 65535

int sched_set_share(struct domain *d, unsigned weight, unsigned cap)
{
    if (weight > WEIGHT_MAX || cap > d->max_vcpus * 100)
        return -XEN_EINVAL;
    if (weight)
        d->weight = (uint16_t)weight;
    d->cap = (uint16_t)cap;
    return 0;
}

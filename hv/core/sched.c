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
 * meanwhile are remembered. Another is one at rest between two requests of a long list, which holds
 * nothing either: pauses and caps take effect there, but one that is taken down or dies goes on to the
 * boundary (at once if it dies, for it may name other domains). sched_eligible() is this rule.
 *
 * A vCPU is held still when it does not run and is not eligible: what vcpu_pause() waits for.
 *
 * Wake-ups are not lost. Who makes an event pending first writes it, then (after a full fence)
 * looks at the state; who blocks first writes the state, then (after a full fence) looks for
 * pending events. One of the two sees the other. The same order holds for running vCPUs (written
 * before the exit path looks for events) and for idle CPUs (they announce themselves before they
 * search other queues; who queues looks for idle CPUs after queueing).
 *
 * Policy. Each queue is ordered by virtual time: the time a vCPU ran, divided by its domain's weight. Who has
 * had least runs next, in turns of 10 ms; there is no tick while nobody waits. Who wakes is placed at the queue's clock at
 * the earliest (and a little before it, for having slept), so that sleeping saves nothing up; if it has had less than who
 * runs, the turn ends 1 ms after it began, or at once. So who waits for devices gets a CPU quickly and who computes
 * shares what is left by weight. Virtual times are on their CPU's clock and are converted when a vCPU moves. A vCPU that
 * yields goes behind the others once, and the CPU not to another that yielded just now while there is one that did not: who
 * they wait for may be the last. Only its place in the queue says so: who wakes meanwhile comes before it by its virtual time.
 *
 * Where. A vCPU that wakes prefers the CPU it ran on, if that is idle, then any idle one, then its old queue. An idle
 * CPU takes vCPUs from other queues, those of its own physical core first. Where vCPUs wait for long the one whose
 * turn ended goes to a queue of less weight, so that three who compute share two CPUs.
 *
 * A domain's cap is in sched_cap.c.
 */
#include "base/string.h"
#include "core/domain.h"
#include "core/event.h"
#include "core/time.h"
#include "sched_internal.h"
#include "x86/insn.h"

#define SLICE_NS      10000000ull
#define SLEEPER_BONUS 1000000ull /* of virtual time */
#define LONG_WAIT_NS  5000000ull
#define STEAL_LOOK    16 /* entries of another queue looked at for one that may come here */

enum sched_reason { SCHED_PREEMPT, SCHED_YIELD, SCHED_REST, SCHED_BOUNDARY, SCHED_PARKABLE };

static uint64_t idle_cpus[MAX_CPUS / 64];

void sched_init_cpu(struct cpu *c)
{
    spin_init(&c->rq_lock);
    list_init(&c->rq);
    c->rq_len = 0;
    c->turn_end = c->slice_end = 0;
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
    if (v->in_hypercall && (!v->at_rest || v->state == VCPU_DEAD))
        return true;
    return (v->state == VCPU_RUNNABLE || v->in_hypercall) && !load_relaxed(&v->pause_count) &&
           !load_acquire(&v->domain->throttle.exhausted);
}

static bool on_queue(const struct vcpu *v)
{
    return !list_empty(&v->rq_entry);
}

static bool allowed_on(const struct vcpu *v, unsigned cpu)
{
    return bit_test(v->affinity, cpu);
}

/* ---- virtual time ---- */

static unsigned weight_of(const struct vcpu *v)
{
    return load_relaxed(&v->domain->weight);
}

/* A whole turn of v in virtual time. */
static uint64_t turn_of(const struct vcpu *v)
{
    return SLICE_NS * DOMAIN_WEIGHT / weight_of(v);
}

/* Has a had less than b? By their difference: who comes to a CPU where nobody ran yet begins a little before its
 * clock's zero, and light domains may come round. */
static bool less_had(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* The clock follows who has had least. With c's lock. */
static void advance_clock(struct cpu *c, uint64_t least)
{
    if (!list_empty(&c->rq)) {
        uint64_t first = list_first(&c->rq, struct vcpu, rq_entry)->vtime;
        least = less_had(first, least) ? first : least;
    }
    if (less_had(c->vclock, least))
        store_relaxed(&c->vclock, least);
}

/* How long who runs on c has run since it was last charged. Far beyond its turn's end, which a timer tells, it was not
 * running: the firmware was, or the machine's own host stood still. With c's lock. */
static uint64_t not_yet_charged(const struct cpu *c, uint64_t now)
{
    uint64_t until = c->turn_end ? min(now, max(c->turn_end, c->charged_at) + SLICE_NS) : now;

    return until > c->charged_at ? until - c->charged_at : 0;
}

/* Charge who runs on c up to now. With c's lock. */
static void charge(struct cpu *c, uint64_t now)
{
    struct vcpu *v = c->current;
    uint64_t ran = not_yet_charged(c, now);

    if (!ran || v->is_idle)
        return;
    c->charged_at = now;
    v->vtime += ran * DOMAIN_WEIGHT / weight_of(v);
    advance_clock(c, v->vtime);
    sched_cap_charge(v->domain, ran, now);
}

/* v, on no queue and not running, leaves c for another: with c's lock. */
static void move(struct cpu *c, struct vcpu *v, unsigned to)
{
    int64_t least = -(int64_t)SLEEPER_BONUS;

    v->lag = v->moved ? v->lag : max((int64_t)(v->vtime - c->vclock), least);
    v->moved = true;
    store_release(&v->cpu, to);
}

/* It comes to c. With c's lock. */
static void arrive(struct cpu *c, struct vcpu *v)
{
    if (!v->moved)
        return;
    v->vtime = c->vclock + (uint64_t)v->lag;
    v->moved = false;
}

/* ---- queues ---- */

void sched_dequeue(struct cpu *c, struct vcpu *v)
{
    if (!on_queue(v))
        return;
    list_remove(&v->rq_entry);
    store_relaxed(&c->rq_len, c->rq_len - 1);
    store_relaxed(&c->rq_weight, c->rq_weight - v->queued_weight);
}

void sched_kick(unsigned cpu)
{
    store_release(&cpus[cpu]->need_resched, true);
    if (cpu != this_cpu()->id)
        lapic_send_ipi(cpu, VECTOR_KICK);
}

/* An idle CPU that v may use, rather one that it likes, or cpu_count. */
static unsigned find_idle_cpu(const struct vcpu *v)
{
    unsigned found = cpu_count;
    for (unsigned w = 0; w < MAX_CPUS / 64; w++) {
        uint64_t candidates = load_relaxed(&idle_cpus[w]) & v->affinity[w];
        if (candidates & v->soft_affinity[w])
            return w * 64 + lowest_bit(candidates & v->soft_affinity[w]);
        if (candidates && found == cpu_count)
            found = w * 64 + lowest_bit(candidates);
    }
    return found;
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

/* When c must look again: at the turn's end, or when who runs has spent its domain's budget. */
static void set_look(struct cpu *c, uint64_t now)
{
    uint64_t end = c->turn_end;
    uint64_t cap = c->current->is_idle ? 0 : sched_cap_end(c->current->domain, now);
    if (cap && (!end || cap < end))
        end = cap;
    c->slice_end = end;
}

/* v was queued on c, now: see that somebody comes for it. */
static void announce(struct cpu *c, struct vcpu *v, uint64_t now)
{
    full_fence(); /* the queue before the search for idle CPUs: see the top of the file */
    if (bit_test(idle_cpus, c->id)) {
        sched_kick(c->id);
        return;
    }
    bool sooner = less_had(v->vtime, c->current->vtime);
    uint64_t limit = c->run_start + (sooner ? SCHED_RATELIMIT_NS : SLICE_NS);
    if (!c->turn_end || c->turn_end > limit) {
        c->turn_end = limit;
        set_look(c, now);
        sched_kick(c->id); /* it programs its timer anew */
    }
    unsigned idle = find_idle_cpu(v);
    if (idle < cpu_count)
        sched_kick(idle);
}

static uint64_t place_of(const struct list *entry)
{
    return container_of(entry, struct vcpu, rq_entry)->place;
}

/* Where v is queued on c: by its virtual time, or behind all others, but not further back than after a turn of its own, for
 * one of them may be light and far from its next turn. */
static uint64_t find_place(const struct cpu *c, const struct vcpu *v)
{
    uint64_t after_turn = v->vtime + turn_of(v);

    if (!v->yielded || list_empty(&c->rq) || less_had(place_of(c->rq.prev), v->vtime))
        return v->vtime;
    return less_had(place_of(c->rq.prev), after_turn) ? place_of(c->rq.prev) : after_turn;
}

/* In the order of their places, from the back: most are near it. c's clock must be right: who runs may have run alone, and
 * uncharged, for long. */
static void enqueue(struct cpu *c, struct vcpu *v)
{
    struct list *at = &c->rq;

    arrive(c, v);
    if (less_had(v->vtime + SLEEPER_BONUS, c->vclock))
        v->vtime = c->vclock - SLEEPER_BONUS;
    v->place = find_place(c, v);
    while (at->prev != &c->rq && less_had(v->place, place_of(at->prev)))
        at = at->prev;
    list_insert_before(at, &v->rq_entry);
    v->queued_weight = weight_of(v);
    store_relaxed(&c->rq_len, c->rq_len + 1);
    store_relaxed(&c->rq_weight, c->rq_weight + v->queued_weight);
}

void sched_settle(struct cpu *c, struct vcpu *v)
{
    bool moved = false;
    while (!v->running && !on_queue(v) && sched_eligible(v)) {
        unsigned target = moved ? c->id : choose_cpu(v);
        if (target == c->id) {
            uint64_t now = time_now();
            runstate_change(v, RUNSTATE_runnable, now);
            charge(c, now);
            enqueue(c, v);
            announce(c, v, now);
            break;
        }
        /* On no queue and not running: nobody but the holder of its lock touches it. Once the new
         * CPU is named, another may settle it first; the loop's condition is looked at again under
         * the new lock. */
        move(c, v, target);
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

/* The first vCPU of c's queue that may run; if the CPU is yielded rather one that does not wait for others itself, or has
 * waited long: its place says that it is due. Those of domains that have spent their budget are parked here. */
static struct vcpu *first_of(struct cpu *c, bool yields, uint64_t now)
{
    struct vcpu *found = NULL;
    for (struct list *at = c->rq.next, *next; at != &c->rq; at = next) {
        struct vcpu *v = container_of(at, struct vcpu, rq_entry);
        next = at->next;
        if (!sched_eligible(v))
            sched_dequeue(c, v);
        else if (!yields || !v->yielded || now > v->runstate.state_entry_time + LONG_WAIT_NS)
            return v;
        else if (!found)
            found = v;
    }
    return found;
}

/* The first vCPU on `from`'s queue that may run on cpu, or NULL. With from's lock. */
static struct vcpu *find_to_steal(struct cpu *from, unsigned cpu)
{
    unsigned looked = 0;
    for (struct list *at = from->rq.next; at != &from->rq && looked < STEAL_LOOK; at = at->next) {
        struct vcpu *v = container_of(at, struct vcpu, rq_entry);
        if (allowed_on(v, cpu) && sched_eligible(v))
            return v;
        looked++;
    }
    return NULL;
}

/* Ask an idle CPU to come for the first of c's queue. With c's lock. */
static void offer_first(struct cpu *c)
{
    if (!c->rq_len)
        return;
    full_fence(); /* the queue before the search for idle CPUs, as in announce() */
    unsigned idle = find_idle_cpu(list_first(&c->rq, struct vcpu, rq_entry));
    if (idle < cpu_count && idle != c->id)
        sched_kick(idle);
}

static struct vcpu *steal_from(struct cpu *c, struct cpu *from)
{
    if (!load_relaxed(&from->rq_len))
        return NULL;
    if (!spin_trylock(&from->rq_lock)) {
        store_relaxed(&c->need_resched, true); /* look again: its holder may not see us idle */
        return NULL;
    }
    struct vcpu *v = find_to_steal(from, c->id);
    if (v) {
        sched_dequeue(from, v);
        move(from, v, c->id);
        enqueue(c, v);
        bit_test_and_clear(idle_cpus, c->id);
        offer_first(from); /* pass it on: more may wait there */
    }
    spin_unlock(&from->rq_lock);
    return v;
}

/* Take a vCPU from another queue for the idle CPU c, whose lock is held: from the same core, then from any. Other
 * locks are only tried: two idle CPUs may search each other. */
static struct vcpu *steal(struct cpu *c)
{
    for (unsigned near = 2; near-- > 0;) {
        for (unsigned i = 1; i < cpu_count; i++) {
            struct cpu *from = cpus[(c->id + i) % cpu_count];
            struct vcpu *v = (from->core_id == c->core_id) == near ? steal_from(c, from) : NULL;
            if (v)
                return v;
        }
    }
    return NULL;
}

/* Who gets c now? prev may be kept. With c's lock. The result is still on c's queue unless it is
 * prev or idle. */
static struct vcpu *pick_next(struct cpu *c, struct vcpu *prev, bool yields, uint64_t now)
{
    bool can_stay = !prev->is_idle && sched_eligible(prev) && allowed_on(prev, c->id);
    struct vcpu *first = first_of(c, yields, now);
    if (can_stay && !yields && (!first || now < c->turn_end))
        return prev;
    if (first && can_stay && !yields && !less_had(first->vtime, prev->vtime)) {
        c->run_start = now; /* another turn */
        c->turn_end = 0;
        return prev;
    }
    if (first)
        return first;
    if (can_stay)
        return prev;
    bit_test_and_set(idle_cpus, c->id); /* a full fence: announce ourselves, then search */
    struct vcpu *v = steal(c);
    return v ? v : c->idle;
}

/* The turn ends only if somebody waits. */
static void set_slice(struct cpu *c, uint64_t now)
{
    if (!c->rq_len)
        c->turn_end = 0;
    else if (!c->turn_end)
        c->turn_end = c->run_start + SLICE_NS;
    set_look(c, now);
}

static int runstate_of_stopped(const struct vcpu *v)
{
    if (v->state == VCPU_BLOCKED || v->is_idle)
        return RUNSTATE_blocked;
    bool wants =
        v->state == VCPU_RUNNABLE && !load_relaxed(&v->pause_count); /* but may be capped */
    return wants || sched_eligible(v) ? RUNSTATE_runnable : RUNSTATE_offline;
}

/* Give c from prev to next: everything but the machine's registers. With c's lock. */
static void hand_over(struct cpu *c, struct vcpu *prev, struct vcpu *next, uint64_t now)
{
    c->crowded = false;
    if (!next->is_idle) {
        bit_test_and_clear(idle_cpus, c->id);
        sched_dequeue(c, next);
        next->exit_work |= next->runstate_va != 0;
        next->switches++;
        c->crowded = now > next->runstate.state_entry_time + LONG_WAIT_NS;
    }
    runstate_change(next, RUNSTATE_running, now);
    runstate_change(prev, runstate_of_stopped(prev), now);
    c->run_start = c->charged_at = now;
    c->turn_end = 0;
    store_relaxed(&c->run_weight, next->is_idle ? 0 : weight_of(next));
    store_relaxed(&c->tail_weight, !prev->is_idle && sched_eligible(prev) ? weight_of(prev) : 0);
    next->running = true;
    c->current = next;
    set_slice(c, now);
    c->context_switches++;
    full_fence(); /* running is seen before next looks for its events */
}

/* next goes on inside the hypervisor but must stop at the guest boundary: let it not pass unasked.
 * With c's lock, so whoever asks later finds next running and kicks this CPU. */
static void ask_at_boundary(struct cpu *c, const struct vcpu *next)
{
    if (!next->is_idle && (next->state != VCPU_RUNNABLE || load_relaxed(&next->pause_count) ||
                           load_relaxed(&next->domain->throttle.exhausted)))
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
    prev->in_hypercall = why <= SCHED_REST;
    prev->at_rest = why == SCHED_REST;
    bool yields = why == SCHED_YIELD || why == SCHED_PARKABLE;
    charge(c, now);
    struct vcpu *next = pick_next(c, prev, yields, now);
    ask_at_boundary(c, next);
    if (next == prev) {
        set_slice(c, now);
        offer_first(c); /* who was asked before may have found something else to do */
        spin_unlock(&c->rq_lock);
        timer_reprogram();
        return;
    }
    prev->yielded = yields;
    hand_over(c, prev, next, now);
    spin_unlock(&c->rq_lock);
    context_switch(prev, next);
    sched_switch_tail();
}

/* A CPU of less weight than c would keep for prev, which c had, or c's own. */
static unsigned find_lighter(const struct cpu *c, const struct vcpu *prev)
{
    unsigned here = c->rq_weight + c->run_weight + weight_of(prev), least = here + 1, found = c->id;

    for (unsigned i = 0; i < cpu_count; i++) {
        const struct cpu *o = cpus[i];
        unsigned there = load_relaxed(&o->rq_weight) + load_relaxed(&o->run_weight) +
                         load_relaxed(&o->tail_weight) + weight_of(prev);
        if (i != c->id && allowed_on(prev, i) && there < least) {
            least = there;
            found = i;
        }
    }
    return found;
}

/* Queue prev, which c had and which may run: here, or where less weight waits. With c's lock, which is released. */
static void requeue(struct cpu *c, struct vcpu *prev)
{
    unsigned target = c->crowded ? find_lighter(c, prev) : c->id;

    if (target == c->id) {
        enqueue(c, prev);
        set_slice(c, c->charged_at);
        if (c->current->is_idle) /* it was woken after its CPU had found nobody to run */
            store_relaxed(&c->need_resched, true);
        offer_first(c);
        spin_unlock(&c->rq_lock);
        return;
    }
    move(c, prev, target);
    prev->lag = min(prev->lag, (int64_t)turn_of(prev)); /* it has had its turn: one is waited for */
    offer_first(c);
    spin_unlock(&c->rq_lock);
    struct cpu *other = sched_lock_vcpu(prev);
    if (!prev->running && !on_queue(prev) && sched_eligible(prev)) {
        uint64_t now = time_now();
        charge(other, now);
        enqueue(other, prev);
        announce(other, prev, now);
    }
    spin_unlock(&other->rq_lock);
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
    store_relaxed(&c->tail_weight, 0);
    if (prev->is_idle || !sched_eligible(prev)) {
        offer_first(c);
        spin_unlock(&c->rq_lock);
    } else if (allowed_on(prev, c->id)) {
        requeue(c, prev);
    } else {
        sched_settle(c, prev); /* its affinity changed */
    }
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

void sched_rest(void)
{
    schedule_for(SCHED_REST);
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

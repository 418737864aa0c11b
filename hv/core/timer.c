/* SPDX-License-Identifier: MIT */
/*
 * Timers: a binary heap by deadline for each CPU. A timer is on at most one heap; t->cpu names
 * whose lock protects it and changes only under the lock of the CPU it names before the change.
 * Callbacks run without the lock, with interrupts off; timer_stop() waits for a callback that runs
 * on another CPU.
 *
 * The hardware deadline is the earliest of the heap's and of the slice's end of the vCPU that runs
 * here. One interrupt runs a bounded number of callbacks; if more are due the hardware fires again
 * at once, so that other interrupts get their turn.
 */
#include "base/string.h"
#include "core/time.h"
#include "core/timer.h"
#include "mm/palloc.h"
#include "x86/cpu.h"
#include <xen/errno.h>

#define TIMER_BATCH 32
#define HEAP_FIRST  64
#define HEAP_POS(t) ((t)->index - 1)

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg)
{
    t->deadline = 0;
    t->fn = fn;
    t->arg = arg;
    t->cpu = 0;
    t->index = 0;
    t->running = 0;
}

static void place(struct cpu *c, unsigned pos, struct timer *t)
{
    c->timer_heap[pos] = t;
    t->index = pos + 1;
}

static void sift_up(struct cpu *c, unsigned pos, struct timer *t)
{
    while (pos && c->timer_heap[(pos - 1) / 2]->deadline > t->deadline) {
        place(c, pos, c->timer_heap[(pos - 1) / 2]);
        pos = (pos - 1) / 2;
    }
    place(c, pos, t);
}

static void sift_down(struct cpu *c, unsigned pos, struct timer *t)
{
    for (;;) {
        unsigned child = 2 * pos + 1;
        if (child >= c->timer_count)
            break;
        if (child + 1 < c->timer_count &&
            c->timer_heap[child + 1]->deadline < c->timer_heap[child]->deadline)
            child++;
        if (c->timer_heap[child]->deadline >= t->deadline)
            break;
        place(c, pos, c->timer_heap[child]);
        pos = child;
    }
    place(c, pos, t);
}

static void heap_remove(struct cpu *c, struct timer *t)
{
    unsigned pos = HEAP_POS(t);
    struct timer *last = c->timer_heap[--c->timer_count];
    t->index = 0;
    if (last == t)
        return;
    if (pos && c->timer_heap[(pos - 1) / 2]->deadline > last->deadline)
        sift_up(c, pos, last);
    else
        sift_down(c, pos, last);
}

/* Room for one more; with the lock. */
static int heap_reserve(struct cpu *c)
{
    if (c->timer_count < c->timer_capacity)
        return 0;
    unsigned capacity = c->timer_capacity ? 2 * c->timer_capacity : HEAP_FIRST;
    struct timer **heap = heap_alloc(capacity * sizeof(*heap));
    if (!heap)
        return -XEN_ENOMEM;
    if (c->timer_count)
        memcpy(heap, c->timer_heap, c->timer_count * sizeof(*heap));
    heap_free(c->timer_heap);
    c->timer_heap = heap;
    c->timer_capacity = capacity;
    return 0;
}

/* Lock the heap that t belongs to. */
static struct cpu *lock_timer(struct timer *t)
{
    for (;;) {
        unsigned id = load_acquire(&t->cpu);
        spin_lock(&cpus[id]->timer_lock);
        if (load_relaxed(&t->cpu) == id)
            return cpus[id];
        spin_unlock(&cpus[id]->timer_lock);
    }
}

/* With c's lock, c the calling CPU. */
static void program(struct cpu *c)
{
    uint64_t first = c->timer_count ? c->timer_heap[0]->deadline : UINT64_MAX;
    uint64_t slice = load_relaxed(&c->slice_end);
    if (slice && slice < first && !load_relaxed(&c->need_resched))
        first = slice; /* once a switch is asked for, the slice's end tells nothing new */
    if (first == UINT64_MAX)
        first = 0; /* none */
    else if (!first)
        first = 1;
    if (first == c->timer_programmed)
        return;
    c->timer_programmed = first;
    c->timer_due = clock_event_program(first);
}

void timer_reprogram(void)
{
    struct cpu *c = this_cpu();
    spin_lock(&c->timer_lock);
    program(c);
    spin_unlock(&c->timer_lock);
}

int timer_set(struct timer *t, uint64_t deadline)
{
    struct cpu *here = this_cpu(), *c;
    /* Bring it home; another CPU may set it at the same time, so look again under our own lock. */
    while ((c = lock_timer(t)) != here) {
        if (t->index)
            heap_remove(c, t);
        store_release(&t->cpu, here->id);
        spin_unlock(&c->timer_lock);
    }
    int error = 0;
    if (t->index)
        heap_remove(here, t);
    else
        error = heap_reserve(here);
    if (!error) {
        t->deadline = deadline;
        sift_up(here, here->timer_count++, t);
    }
    program(here);
    spin_unlock(&here->timer_lock);
    return error;
}

void timer_stop(struct timer *t)
{
    struct cpu *c = lock_timer(t);
    if (t->index)
        heap_remove(c, t); /* a deadline too early in the hardware is harmless */
    spin_unlock(&c->timer_lock);
    /* Its callback may be under way on any CPU that it was on; one is ours if that is who calls. */
    unsigned own = this_cpu()->timer_running == t;
    while (load_acquire(&t->running) > own)
        spin_wait();
}

static struct timer *take_due(struct cpu *c, uint64_t now)
{
    struct timer *t = NULL;
    spin_lock(&c->timer_lock);
    if (c->timer_count && c->timer_heap[0]->deadline <= now) {
        t = c->timer_heap[0];
        heap_remove(c, t);
        fetch_add(&t->running, 1);
    }
    c->timer_running = t;
    spin_unlock(&c->timer_lock);
    return t;
}

void timer_interrupt(void)
{
    struct cpu *c = this_cpu();
    uint64_t now = time_now();
    unsigned ran = 0;
    struct timer *t;
    /* How late the interrupt was taken is how long this CPU did not take interrupts. */
    if (c->timer_due && c->timer_due < now)
        c->longest_off_ns = max(c->longest_off_ns, now - c->timer_due);
    c->timer_due = 0;
    while (ran++ < TIMER_BATCH && (t = take_due(c, now))) {
        t->fn(t->arg);
        c->timer_running = NULL;
        fetch_sub(&t->running, 1);
    }
    spin_lock(&c->timer_lock);
    uint64_t slice = load_relaxed(&c->slice_end);
    if (slice && slice <= time_now())
        c->need_resched = true;
    c->timer_programmed = ~0ull; /* it has fired: the hardware holds no deadline now */
    program(c);
    spin_unlock(&c->timer_lock);
}

/* SPDX-License-Identifier: MIT */
#include "machine.h"
#include "core/irq.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define MAX_FAKE_VCPUS 64

struct fake_vcpu {
    ucontext_t context;
    struct vcpu *v;
    guest_fn *guest;
    int on_cpu; /* -1: on none */
    uint64_t turns;
};
struct fake_cpu {
    struct cpu cpu;
    struct fake_vcpu *runs;
    bool irq, waits;
    uint64_t deadline;
};

struct cpu *cpus[MAX_CPUS];
unsigned cpu_count;
struct domain *domain0;
uintptr_t env_direct_base;
bool fake_irq_started[MAX_PIRQS];
int fake_irq_error;
bool fake_copy_fails;
unsigned fake_heap_budget = ~0u;
bool machine_crowded, machine_uneven;

static struct fake_cpu *fake_cpus[MAX_CPUS];
static struct fake_vcpu *fake_vcpus[MAX_FAKE_VCPUS];
static unsigned fake_vcpu_count;
static struct domain *fake_domains[8];
static unsigned fake_domain_count;
static ucontext_t driver;
static struct fake_cpu *turn; /* whose turn it is; NULL: the driver's */
static uint64_t now, steps, step_limit, random_state, first_seed;
static bool stopping;

void machine_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "seed %lu, step %lu: ", first_seed, steps);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, " (now %lu)\n", now);
    for (unsigned i = 0; i < cpu_count; i++)
        fprintf(stderr, "  cpu%u: resched %d slice end %lu deadline %lu irq %d waits %d\n", i,
                cpus[i]->need_resched, cpus[i]->slice_end, fake_cpus[i]->deadline,
                fake_cpus[i]->irq, fake_cpus[i]->waits);
    for (unsigned i = 0; i < fake_vcpu_count; i++) {
        struct vcpu *v = fake_vcpus[i]->v;
        fprintf(stderr,
                "  d%u v%u%s: state %d cpu %u running %d queued %d in hypervisor %d paused %u "
                "pending %d masked %d poll %d\n",
                v->domain->mm.id, v->mm.id, v->is_idle ? " idle" : "", v->state, v->cpu, v->running,
                v->rq_entry.next != &v->rq_entry, v->in_hypercall, v->pause_count,
                v->info ? v->info->evtchn_upcall_pending : 0,
                v->info ? v->info->evtchn_upcall_mask : 0, v->poll_port);
    }
    abort();
}

void check_failed(const char *file, int line, const char *what)
{
    machine_fail("%s:%d: %s", file, line, what);
}

void check_failed_op(const char *file, int line, const char *what, uint64_t left, uint64_t right)
{
    machine_fail("%s:%d: %s (%lu, %lu)", file, line, what, left, right);
}

unsigned machine_random(unsigned limit)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((random_state >> 33) % limit);
}

/* ---- turns ---- */

static void switch_to(struct fake_cpu *next)
{
    struct fake_cpu *self = turn;
    turn = next;
    swapcontext(&self->runs->context, &next->runs->context);
}

/* Whose turn it is. */
static struct fake_cpu *next_cpu(void)
{
    static struct fake_cpu *stands;
    static unsigned long until;
    struct fake_cpu *next;

    if (machine_uneven && steps >= until && machine_random(50) == 0) {
        stands = turn;
        until = steps + 300;
    }
    do
        next = fake_cpus[machine_random(cpu_count)];
    while (machine_uneven && cpu_count > 1 && steps < until && next == stands);
    return next;
}

void fake_yield(void)
{
    if (!turn)
        return;
    steps++;
    now += machine_random(2000);
    if (stopping || steps > step_limit) {
        struct fake_cpu *self = turn;
        turn = NULL;
        swapcontext(&self->runs->context, &driver);
    }
    struct fake_cpu *next = next_cpu();
    if (next != turn)
        switch_to(next);
}

void spin_wait(void)
{
    fake_yield();
}

static bool irq_due(const struct fake_cpu *c)
{
    return c->irq || (c->deadline && now >= c->deadline);
}

static void take_irqs(struct fake_cpu *c)
{
    c->irq = false;
    if (c->deadline && now >= c->deadline) {
        c->deadline = 0;
        timer_interrupt();
    }
}

void fake_irq_window(void)
{
    if (irq_due(turn))
        take_irqs(turn);
}

/* Everybody waits: go to the first deadline. */
static void skip_idle_time(void)
{
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < cpu_count; i++) {
        if (!fake_cpus[i]->waits || irq_due(fake_cpus[i]))
            return;
        if (fake_cpus[i]->deadline && fake_cpus[i]->deadline < first)
            first = fake_cpus[i]->deadline;
    }
    if (first != UINT64_MAX)
        now = first;
    else
        machine_fail("every CPU is idle for ever: a wake-up was lost");
}

void fake_irq_wait(void)
{
    struct fake_cpu *c = turn;
    c->waits = true;
    while (!irq_due(c)) {
        skip_idle_time();
        fake_yield();
    }
    c->waits = false;
    take_irqs(c);
}

/* ---- the machine as hv/core sees it ---- */

uint64_t time_now(void)
{
    return now;
}

void machine_stand_still(uint64_t ns)
{
    now += ns;
}

uint64_t clock_event_program(uint64_t deadline)
{
    turn->deadline = deadline;
    return deadline;
}

void lapic_send_ipi(unsigned cpu, unsigned vector)
{
    (void)vector;
    fake_cpus[cpu]->irq = true;
}

static struct fake_vcpu *fake_of(const struct vcpu *v)
{
    for (unsigned i = 0; i < fake_vcpu_count; i++)
        if (fake_vcpus[i]->v == v)
            return fake_vcpus[i];
    machine_fail("unknown vCPU");
}

void context_switch(struct vcpu *prev, struct vcpu *next)
{
    struct cpu *c = this_cpu();
    struct fake_vcpu *from = fake_of(prev), *to = fake_of(next);
    if (turn->runs != from || &turn->cpu != c)
        machine_fail("switched from a vCPU that is not here");
    fake_yield(); /* the registers are being saved: prev must be left alone till then */
    if (to->on_cpu != -1)
        machine_fail("d%u v%u put on two CPUs", next->domain->mm.id, next->mm.id);
    if (!next->is_idle && next->in_hypercall == false && load_relaxed(&next->pause_count) &&
        next->state != VCPU_RUNNABLE)
        machine_fail("a parked vCPU was picked");
    c->switched_from = prev;
    next->stack->cpu = c;
    from->on_cpu = -1;
    to->on_cpu = (int)c->id;
    turn->runs = to;
    swapcontext(&from->context, &to->context);
}

void env_preempt_point(void)
{
    fake_yield();
    if (!turn)
        return;
    fake_irq_window();
    if (this_cpu()->need_resched && !current_vcpu()->is_idle)
        schedule();
}

bool env_rest_point(void)
{
    fake_yield();
    fake_irq_window();
    if (this_cpu()->need_resched)
        sched_rest();
    return !current_vcpu()->domain->mm.dying;
}

void env_wait_turn(void)
{
    fake_yield();
    fake_irq_window();
    vcpu_yield();
}

void *heap_alloc(size_t bytes)
{
    if (!fake_heap_budget)
        return NULL;
    if (fake_heap_budget != ~0u)
        fake_heap_budget--;
    return calloc(1, bytes);
}

void heap_free(void *p)
{
    free(p);
}

int copy_from_guest(void *dst, uint64_t va, size_t n)
{
    if (fake_copy_fails)
        return -XEN_EFAULT;
    __builtin_memcpy(dst, (void *)va, n);
    return 0;
}

int copy_to_guest(uint64_t va, const void *src, size_t n)
{
    if (va == 0)
        return -XEN_EFAULT;
    __builtin_memcpy((void *)va, src, n);
    return 0;
}

void guest_enter_kernel(struct vcpu *v)
{
    v->in_kernel = true;
}
void guest_enter_user(struct vcpu *v)
{
    v->in_kernel = false;
}

int mm_hold_writable(struct mm_domain *d, mfn_t m)
{
    (void)d, (void)m;
    return -XEN_EINVAL;
}
void mm_release_writable(struct mm_domain *d, mfn_t m)
{
    (void)d, (void)m;
}

int irq_bind_gsi(struct domain *d, unsigned pirq, unsigned gsi)
{
    (void)d, (void)pirq, (void)gsi;
    return fake_irq_error;
}
int irq_bind_msi(struct domain *d, unsigned pirq, uint32_t sbdf, unsigned entry, uint64_t table)
{
    (void)d, (void)pirq, (void)sbdf, (void)entry, (void)table;
    return fake_irq_error;
}
int irq_unbind(struct domain *d, unsigned pirq)
{
    (void)d, (void)pirq;
    return 0;
}
bool irq_needs_eoi(struct domain *d, unsigned pirq)
{
    (void)d, (void)pirq;
    return false;
}
int irq_startup(struct domain *d, unsigned pirq)
{
    (void)d;
    if (!fake_irq_error)
        fake_irq_started[pirq] = true;
    return fake_irq_error;
}
void irq_shutdown(struct domain *d, unsigned pirq)
{
    (void)d;
    fake_irq_started[pirq] = false;
}
void irq_set_cpu(struct domain *d, unsigned pirq, unsigned cpu)
{
    (void)d, (void)pirq, (void)cpu;
}
unsigned irq_gsi_count(void)
{
    return 24;
}

struct domain *domain_get(unsigned id)
{
    if (id == DOMID_SELF)
        id = current_vcpu()->domain->mm.id;
    for (unsigned i = 0; i < fake_domain_count; i++)
        if (fake_domains[i]->mm.id == id) {
            domain_hold(fake_domains[i]);
            return fake_domains[i];
        }
    return NULL;
}

void domain_put(struct domain *d)
{
    CHECK_LT(1, d->refs);
    fetch_sub(&d->refs, 1);
}

void domain_shutdown(struct domain *d, unsigned reason)
{
    d->shutdown_code = reason;
}

/* ---- guests ---- */

static void upcall(struct vcpu *v)
{
    v->info->evtchn_upcall_pending = 0;
    fake_yield();
    uint64_t words = exchange(&v->info->evtchn_pending_sel, 0);
    while (words) {
        unsigned w = lowest_bit(words);
        uint64_t bits = v->domain->shared->evtchn_pending[w] & ~v->domain->shared->evtchn_mask[w];
        fetch_and(&v->domain->shared->evtchn_pending[w], ~bits);
        words &= words - 1;
    }
}

static void guest_exit(struct vcpu *v)
{
    for (;;) {
        if (load_acquire(&this_cpu()->need_resched)) {
            sched_boundary();
        } else if (v->exit_work) {
            v->exit_work = false;
            runstate_update_area(v);
        } else if (event_deliverable(v)) {
            upcall(v);
        } else {
            break;
        }
    }
}

void guest_instruction(struct vcpu *v)
{
    fake_yield();
    fake_irq_window();
    guest_exit(v);
    fake_of(v)->turns++;
}

static void vcpu_entry(void)
{
    sched_switch_tail();
    struct vcpu *v = current_vcpu();
    if (v->is_idle)
        idle_loop();
    for (;;) {
        guest_instruction(v);
        fake_of(v)->guest(v);
    }
}

uint64_t guest_turns(const struct vcpu *v)
{
    return fake_of(v)->turns;
}

/* ---- setting up ---- */

static struct vcpu *new_vcpu(struct domain *d, unsigned id, guest_fn *guest)
{
    struct fake_vcpu *f = calloc(1, sizeof(*f));
    struct vcpu *v = calloc(1, sizeof(*v));
    char *stack = aligned_alloc(STACK_SIZE, STACK_SIZE);
    f->v = v;
    f->guest = guest;
    f->on_cpu = -1;
    fake_vcpus[fake_vcpu_count++] = f;
    v->domain = d;
    v->mm.d = &d->mm;
    v->mm.id = id;
    v->in_kernel = true;
    v->stack = stack_top_of(stack);
    v->stack->current = v;
    v->stack->cpu = cpus[0];
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK_SIZE - sizeof(struct stack_top);
    makecontext(&f->context, vcpu_entry, 0);
    return v;
}

void machine_start(unsigned cpu_number, uint64_t seed)
{
    static struct domain idle_domain;
    idle_domain.mm.id = DOMID_IDLE;
    now = 1000;
    steps = 0;
    random_state = first_seed = seed;
    stopping = false;
    cpu_count = cpu_number;
    for (unsigned i = 0; i < cpu_number; i++) {
        fake_cpus[i] = calloc(1, sizeof(*fake_cpus[i]));
        cpus[i] = &fake_cpus[i]->cpu;
        cpus[i]->id = i;
        sched_init_cpu(cpus[i]);
    }
    for (unsigned i = 0; i < cpu_number; i++) {
        struct vcpu *v = new_vcpu(&idle_domain, i, NULL);
        v->is_idle = v->running = true;
        v->state = VCPU_RUNNABLE;
        v->cpu = i;
        list_init(&v->rq_entry);
        v->stack->cpu = cpus[i];
        cpus[i]->idle = cpus[i]->current = v;
        fake_cpus[i]->runs = fake_of(v);
        fake_of(v)->on_cpu = (int)i;
    }
}

struct domain *machine_domain(unsigned id, unsigned vcpus, bool privileged, guest_fn *guest)
{
    struct domain *d = calloc(1, sizeof(*d));
    d->mm.id = (uint16_t)id;
    d->mm.privileged = privileged;
    d->refs = 1;
    d->max_vcpus = vcpus;
    d->vcpus = calloc(vcpus, sizeof(*d->vcpus));
    d->shared = calloc(1, PAGE_SIZE);
    fake_domains[fake_domain_count++] = d;
    d->evtchn_max = EVENT_MAX_PORTS - 1;
    sched_init_domain(d);
    if (event_init_domain(d))
        machine_fail("no memory for events");
    for (unsigned i = 0; i < vcpus; i++) {
        struct vcpu *v = new_vcpu(d, i, guest);
        sched_init_vcpu(v, machine_crowded ? 0 : i % cpu_count);
        v->info = &d->shared->vcpu_info[i];
        vtimer_init_vcpu(v);
        v->state = VCPU_RUNNABLE;
        v->rq_entry.next = v->rq_entry.prev = &v->rq_entry;
        list_push_back(&cpus[v->cpu]->rq, &v->rq_entry);
        cpus[v->cpu]->rq_len++;
        d->vcpus[i] = v;
    }
    if (id == 0)
        domain0 = d;
    return d;
}

void machine_stop(void)
{
    stopping = true;
}

void machine_run(uint64_t limit)
{
    step_limit = limit;
    turn = fake_cpus[0];
    swapcontext(&driver, &turn->runs->context);
    if (!stopping)
        machine_fail("no end after %lu steps", limit);
}

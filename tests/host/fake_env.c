/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "abi/pal.h"
#include "fake_env.h"
#include "mm/bufcache.h"

uintptr_t env_direct_base;
unsigned env_phys_bits = 40;
bool env_has_nx = true;

struct fake_domain fake_domains[FAKE_DOMAINS];
uint8_t fake_buffer[FAKE_BUFFER] __aligned(4096);
size_t fake_buffer_end = FAKE_BUFFER;
unsigned fake_flushes, fake_guest_flushes, fake_preemptions, fake_errors_logged, fake_violations;
bool fake_elide_flush, fake_quiet;
const char *fake_crash_reason;
uint64_t fake_random;
enum env_iomem fake_io_access[FAKE_DOMAINS];
const uint8_t *fake_choices;
size_t fake_choices_left;

static uint64_t free_at_start;

/* ---- checks and log ---- */

__noreturn void check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: CHECK(%s)\n", file, line, what);
    abort();
}

__noreturn void check_failed_op(const char *file, int line, const char *what, uint64_t left,
                                uint64_t right)
{
    fprintf(stderr, "%s:%d: CHECK(%s): %lx, %lx\n", file, line, what, (unsigned long)left,
            (unsigned long)right);
    abort();
}

void log_at(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    if (level == LOG_ERROR)
        fake_errors_logged++;
    if (fake_quiet)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

void log_guest(unsigned domid, const char *fmt, ...)
{
    (void)domid;
    (void)fmt;
}

/* Always the same, of its kind: tests run alike. */
uint64_t env_random(void)
{
    fake_random = (fake_random ^ 0x2545f4914f6cdd1dull) * 0xd6e8feb86659fd93ull;
    return fake_random ^ fake_random >> 32;
}

/* ---- coroutines ---- */

#define MOST_OPS   4
#define STACK_SIZE (256 * 1024)

static struct {
    ucontext_t main, co[MOST_OPS];
    char *stack[MOST_OPS];
    const struct fake_op *ops;
    bool done[MOST_OPS];
    unsigned count, current;
    bool running;
    uint64_t random;
    unsigned burst; /* chances to switch that will pass */
    unsigned waits; /* turns given away without any progress point between */
} sched;

static unsigned choose(unsigned n)
{
    if (fake_choices) {
        if (!fake_choices_left)
            return 0;
        fake_choices_left--;
        return *fake_choices++ % n;
    }
    sched.random ^= sched.random << 13;
    sched.random ^= sched.random >> 7;
    sched.random ^= sched.random << 17;
    return (unsigned)(sched.random >> 33) % n;
}

/* Switch to some operation that is not done; `other`: not to the current one if there is another.
 */
static void reschedule(bool other)
{
    unsigned can[MOST_OPS], n = 0, from = sched.current;

    for (unsigned i = 0; i < sched.count; i++) {
        if (!sched.done[i] && !(other && i == from))
            can[n++] = i;
    }
    if (!n)
        return;
    sched.current = can[n == 1 ? 0 : choose(n)];
    if (sched.current != from)
        swapcontext(&sched.co[from], &sched.co[sched.current]);
}

static void co_main(void)
{
    unsigned me = sched.current;

    sched.ops[me].run(sched.ops[me].arg);
    sched.done[me] = true;
    for (unsigned i = 0; i < sched.count; i++) {
        if (!sched.done[i]) {
            unsigned can[MOST_OPS], n = 0;

            for (unsigned k = i; k < sched.count; k++) {
                if (!sched.done[k])
                    can[n++] = k;
            }
            sched.current = can[choose(n)];
            setcontext(&sched.co[sched.current]);
        }
    }
    setcontext(&sched.main);
}

void fake_run(const struct fake_op *ops, unsigned count, uint64_t seed)
{
    CHECK_LE(count, MOST_OPS);
    sched.ops = ops;
    sched.count = count;
    sched.random = seed * 0x9e3779b97f4a7c15ull + 1;
    sched.waits = sched.burst = 0;
    for (unsigned i = 0; i < count; i++) {
        sched.done[i] = false;
        if (!sched.stack[i])
            sched.stack[i] = malloc(STACK_SIZE);
        getcontext(&sched.co[i]);
        sched.co[i].uc_stack.ss_sp = sched.stack[i];
        sched.co[i].uc_stack.ss_size = STACK_SIZE;
        sched.co[i].uc_link = NULL;
        makecontext(&sched.co[i], co_main, 0);
    }
    sched.running = true;
    sched.current = choose(count);
    swapcontext(&sched.main, &sched.co[sched.current]);
    sched.running = false;
}

/* Switching at every chance would hardly ever let one operation stand still while another gets far:
 * after a switch the next chances pass, none to a few hundred of them. */
void fake_yield(void)
{
    sched.waits = 0;
    if (!sched.running)
        return;
    if (sched.burst) {
        sched.burst--;
        return;
    }
    sched.burst = choose(1u << choose(11));
    reschedule(false);
}

void env_preempt_point(void)
{
    fake_preemptions++;
    fake_check_caches();
    fake_yield();
}

bool env_rest_point(void)
{
    env_preempt_point();
    return true;
}

static void give_turn(void)
{
    /* Somebody must make progress; if all wait, nobody ever will. */
    CHECK_LT(sched.waits++, 100000);
    CHECK(sched.running && sched.count > 1);
    fake_check_caches();
    reschedule(true);
}

void env_wait_turn(void)
{
    give_turn();
}

void spin_wait(void)
{
    give_turn();
}

/* ---- guest memory ---- */

static bool in_buffer(uint64_t va, size_t n)
{
    uint64_t start = fake_va(fake_buffer);

    return va >= start && n <= fake_buffer_end && va - start <= fake_buffer_end - n;
}

int env_copy_from_guest(void *dst, uint64_t guest_va, size_t n)
{
    if (!in_buffer(guest_va, n))
        return -XEN_EFAULT;
    memcpy(dst, (void *)(uintptr_t)guest_va, n);
    return 0;
}

int env_copy_to_guest(uint64_t guest_va, const void *src, size_t n)
{
    if (!in_buffer(guest_va, n))
        return -XEN_EFAULT;
    memcpy((void *)(uintptr_t)guest_va, src, n);
    return 0;
}

/* ---- domains ---- */

struct mm_domain *env_domain_get(unsigned domid)
{
    return domid < FAKE_DOMAINS && fake_domains[domid].present ? &fake_domains[domid].mm : NULL;
}

void env_domain_put(struct mm_domain *d)
{
    CHECK(d != NULL);
}

bool env_may_manage(const struct mm_domain *who, const struct mm_domain *target)
{
    return who->privileged && who != target;
}

enum env_iomem env_iomem_access(const struct mm_domain *d, mfn_t m)
{
    (void)m;
    return fake_io_access[d->id];
}

void env_fill_root(const struct mm_domain *d, uint64_t *l4)
{
    (void)d;
    for (unsigned i = HV_SLOT_FIRST; i <= HV_SLOT_LAST; i++)
        l4[i] = 0xabc000 | PTE_P | PTE_US;
}

void env_root_changed(struct mm_vcpu *v)
{
    /* Address-space tags let a CPU keep what it had cached: nothing is flushed. */
    (void)v;
}

void env_ldt_changed(struct mm_vcpu *v)
{
    /* What the processor may still look at is what mm/ still holds: the pages keep their role. */
    for (unsigned i = 0; i < MM_LDT_FRAMES; i++)
        CHECK(mfn_eq(v->ldt[i], MFN_NONE));
}

void env_crash_domain(struct mm_domain *d, const char *why)
{
    (void)d;
    fake_crash_reason = why;
}

void env_flush_caches(bool all)
{
    (void)all;
}

/* ---- translation caches ---- */

#define MOST_CACHED 48

struct cached {
    uint8_t level; /* 0: a page; 1..3: a table of that level */
    bool writable;
    uint16_t owner; /* of the frame when it was cached */
    uint64_t tag;   /* va >> PT_SHIFT(level + 1) */
    mfn_t m;
};

static struct cpu {
    struct cached entry[MOST_CACHED];
    unsigned count, oldest;
    uint64_t last_flush;
} cpus[FAKE_CPUS];
static uint64_t tlb_clock = 1;

static struct cpu *cpu_of(const struct mm_vcpu *v)
{
    return &cpus[(v->d->id * FAKE_VCPUS + v->id) % FAKE_CPUS];
}

static void flush_cpu(struct cpu *c)
{
    c->count = 0;
    c->last_flush = ++tlb_clock;
}

uint64_t env_tlb_now(void)
{
    return tlb_clock;
}

void env_flush_since(uint64_t stamp)
{
    bool any = false;

    if (fake_elide_flush)
        return;
    for (unsigned i = 0; i < FAKE_CPUS; i++) {
        if (cpus[i].last_flush <= stamp) {
            flush_cpu(&cpus[i]);
            any = true;
        }
    }
    fake_flushes += any;
}

/* Those that d's vCPUs run on; what others had from d's tables they dropped when they loaded theirs. */
void env_flush_domain_since(const struct mm_domain *d, uint64_t stamp)
{
    bool any = false;

    if (fake_elide_flush)
        return;
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        struct cpu *c = cpu_of(&fake_domains[d->id].vcpu[i]);

        if (c->last_flush <= stamp) {
            flush_cpu(c);
            any = true;
        }
    }
    fake_flushes += any;
}

void env_flush_vcpus(struct mm_domain *d, const struct vcpu_set *set, bool all, uint64_t va)
{
    (void)all;
    (void)va;
    fake_guest_flushes++;
    if (fake_elide_flush)
        return;
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        if (set->bits[0] >> i & 1)
            flush_cpu(cpu_of(&fake_domains[d->id].vcpu[i]));
    }
}

void env_flush_local(bool all, uint64_t va)
{
    (void)all;
    (void)va;
    fake_guest_flushes++;
}

static struct cached *lookup(struct cpu *c, unsigned level, uint64_t va)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (c->entry[i].level == level && c->entry[i].tag == va >> PT_SHIFT(level + 1))
            return &c->entry[i];
    }
    return NULL;
}

static void remember(struct cpu *c, unsigned level, uint64_t va, mfn_t m, bool writable)
{
    struct cached *e = lookup(c, level, va);

    if (!e) {
        if (c->count < MOST_CACHED)
            e = &c->entry[c->count++];
        else
            e = &c->entry[c->oldest++ % MOST_CACHED];
    }
    *e = (struct cached){level, writable, frame_of(m)->owner, va >> PT_SHIFT(level + 1), m};
}

mfn_t fake_touch(struct mm_vcpu *v, uint64_t va, bool write, uint64_t value)
{
    struct cpu *c = cpu_of(v);
    struct cached *e = lookup(c, 0, va);
    mfn_t m = v->kernel_root;
    unsigned level = 4;

    if (!guest_address(va) || mfn_eq(m, MFN_NONE))
        return MFN_NONE;
    if (e && (!write || e->writable)) {
        m = e->m;
    } else {
        for (unsigned l = 1; l <= 3; l++) {
            e = lookup(c, l, va);
            if (e) {
                m = e->m;
                level = l;
                break;
            }
        }
        for (;; level--) {
            pte_t *slot = (pte_t *)env_frame(m) + pt_index(va, level);
            bool rw = *slot & PTE_RW;

            if (!(*slot & PTE_P))
                return MFN_NONE;
            m = pte_mfn(*slot);
            if (!frame_is_ram(m) || (level == 1 && write && !rw))
                return MFN_NONE;
            *slot |= PTE_A | (level == 1 && write ? PTE_D : 0);
            remember(c, level - 1, va, m, level == 1 && rw);
            if (level == 1)
                break;
        }
    }
    if (write)
        ((uint64_t *)env_frame(m))[(va & (PAGE_SIZE - 1)) / 8] = value;
    return m;
}

unsigned fake_cached(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FAKE_CPUS; i++)
        n += cpus[i].count;
    return n;
}

/* A frame counts as in its role once it was looked at: what is cached then was missed by the flush.
 */
static const char *what_is_wrong(const struct cached *e)
{
    const struct frame *f = frame_of(e->m);
    uint64_t role = f->role;
    bool validated = role & ROLE_VALIDATED;

    if (f->owner != e->owner && f->owner != OWNER_FREE)
        return "a frame of another owner is reachable";
    if (e->level == 0)
        return e->writable && validated ? "a table or descriptor page is writable" : NULL;
    if (validated && role_of(role) != (enum frame_role)(ROLE_L1 + e->level - 1))
        return "a table is walked as one of another level";
    if (role_of(role) == ROLE_WRITABLE && role_count(role) && !(role & ROLE_BUSY))
        return "plain data is walked as a table";
    return NULL;
}

void fake_check_caches(void)
{
    for (unsigned i = 0; i < FAKE_CPUS; i++) {
        for (unsigned k = 0; k < cpus[i].count; k++) {
            const char *what = what_is_wrong(&cpus[i].entry[k]);

            if (!what)
                continue;
            fake_violations++;
            if (!fake_quiet)
                fprintf(stderr, "CPU %u, va tag %lx, level %u, frame %lx: %s\n", i,
                        (unsigned long)cpus[i].entry[k].tag, cpus[i].entry[k].level,
                        (unsigned long)cpus[i].entry[k].m.n, what);
        }
    }
}

/* ---- audit ---- */

static struct mm_domain *next_domain(struct mm_domain *d)
{
    unsigned i = d ? d->id + 1u : 0;

    for (; i < FAKE_DOMAINS; i++) {
        if (fake_domains[i].present)
            return &fake_domains[i].mm;
    }
    return NULL;
}

static struct mm_vcpu *next_vcpu(struct mm_domain *d, struct mm_vcpu *v)
{
    unsigned i = v ? v->id + 1 : 0;

    return i < FAKE_VCPUS ? &fake_domains[d->id].vcpu[i] : NULL;
}

uint64_t fake_audit(void)
{
    struct mm_audit_result r;

    mm_audit(next_domain, next_vcpu, &r);
    return r.disagreements;
}

void fake_check(void)
{
    fake_check_caches();
    CHECK_EQ(fake_violations, 0);
    CHECK_EQ(fake_audit(), 0);
}

/* ---- the machine ---- */

mfn_t env_m2p_part(unsigned part)
{
    return mfn(7 + part);
}

static void build_machine(void)
{
    size_t bytes = FAKE_FRAMES * PAGE_SIZE;

    env_direct_base =
        (uintptr_t)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset((void *)env_direct_base, 0xee, bytes); /* what was there before us */
    frame_count = FAKE_FRAMES;
    frame_table = calloc(FAKE_FRAMES, sizeof(struct frame));
    for (unsigned i = 0; i < FAKE_FRAMES; i++)
        frame_table[i].owner = OWNER_IO;
    m2p_table = calloc(FAKE_FRAMES, sizeof(uint64_t));
    for (unsigned i = 0; i < FAKE_CPUS; i++)
        cpus[i].last_flush = 1;
    palloc_add(mfn(0), mfn(FAKE_FRAMES - FAKE_IO));
    free_at_start = palloc_free_frames();
}

static void remove_regions(void)
{
    struct pal_region_destroy *op = (void *)fake_buffer;

    for (unsigned slot = 0; slot < PAL_REGION_SLOTS && fake_domains[0].present; slot++) {
        *op = (struct pal_region_destroy){.slot = slot};
        (void)mm_region_op(fake_v(0, 0), PALOP_region_destroy, fake_va(op));
    }
}

/* Everything, and the tables: as domain 0 asks for it. */
static void drop_cache(void)
{
    struct pal_cache_drop *drop = (void *)fake_buffer;

    if (!fake_domains[0].present)
        return;
    fake_buffer_end = FAKE_BUFFER;
    *drop = (struct pal_cache_drop){.object = ~0u, .retire = 1};
    CHECK_EQ(mm_cache_op(&fake_domains[0].vcpu[0], PALOP_cache_drop, fake_va(drop)), 0);
    CHECK_EQ(bufcache_pages(), 0);
}

static void remove_domains(void)
{
    fake_buffer_end = FAKE_BUFFER;
    remove_regions();
    drop_cache();
    for (unsigned i = 0; i < FAKE_DOMAINS; i++) {
        if (!fake_domains[i].present)
            continue;
        for (unsigned k = 0; k < FAKE_VCPUS; k++)
            mm_vcpu_teardown(&fake_domains[i].vcpu[k]);
        fake_domains[i].mm.dying = true;
        (void)mm_domain_teardown(&fake_domains[i].mm);
    }
    for (unsigned i = 0; i < FAKE_DOMAINS; i++) {
        if (fake_domains[i].present)
            CHECK_EQ(mm_domain_teardown(&fake_domains[i].mm), 0);
        mm_grant_domain_free(&fake_domains[i].mm);
        fake_domains[i].present = false;
    }
}

void fake_reset(uint64_t max_pages)
{
    if (!frame_table)
        build_machine();
    remove_domains();
    CHECK_EQ(palloc_free_frames(), free_at_start);
    CHECK_EQ(heap_bytes(), 0);
    for (unsigned i = 0; i < FAKE_CPUS; i++)
        flush_cpu(&cpus[i]);
    fake_flushes = fake_guest_flushes = fake_preemptions = fake_errors_logged = 0;
    fake_violations = 0;
    fake_elide_flush = fake_quiet = false;
    fake_random = 0;
    fake_buffer_end = FAKE_BUFFER;
    fake_choices = NULL;
    env_has_nx = true;
    for (unsigned i = 0; i < FAKE_DOMAINS; i++) {
        mm_domain_init(&fake_domains[i].mm, i, max_pages);
        fake_domains[i].mm.privileged = i == 0;
        fake_domains[i].mm.vcpus = FAKE_VCPUS;
        fake_domains[i].present = true;
        fake_io_access[i] = i ? ENV_IOMEM_DENIED : ENV_IOMEM_FULL;
        for (unsigned k = 0; k < FAKE_VCPUS; k++)
            mm_vcpu_init(&fake_domains[i].vcpu[k], &fake_domains[i].mm, k);
    }
    fake_check();
}

void fake_grants(unsigned max_frames, unsigned max_maptrack)
{
    for (unsigned i = 0; i < FAKE_DOMAINS; i++)
        CHECK_EQ(mm_grant_domain_init(&fake_domains[i].mm, max_frames, max_maptrack), 0);
}

struct mm_domain *fake_d(unsigned id)
{
    return &fake_domains[id].mm;
}

struct mm_vcpu *fake_v(unsigned domain, unsigned vcpu)
{
    return &fake_domains[domain].vcpu[vcpu];
}

uint64_t fake_free_at_start(void)
{
    return free_at_start;
}

/* ---- running out of memory ---- */

static uint64_t hoard; /* chain of frames, through their first words */

void fake_exhaust(void)
{
    for (mfn_t m = palloc_hv(0, 0); !mfn_eq(m, MFN_NONE); m = palloc_hv(0, 0)) {
        *(uint64_t *)env_frame(m) = hoard;
        hoard = m.n;
    }
}

void fake_unexhaust(void)
{
    while (hoard) {
        mfn_t m = mfn(hoard);

        hoard = *(uint64_t *)env_frame(m);
        palloc_free_hv(m, 0);
    }
}

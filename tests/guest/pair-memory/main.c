/* SPDX-License-Identifier: MIT */
/*
 * Invariants 23, 24, 25, 18, 11, 55 and 64 with a second domain: memory that goes from one to another is never written by the first and holds
 * nothing of it; a domain's maximum holds at every moment; storms of calls, events and messages that can be provoked
 * keep neither the witness nor the log busy.
 *
 * run: smp=2 guests=self deadline=180
 * also four: smp=4 seed=2
 */
#define __XEN_TOOLS__ 1
#include <bare/pair.h>
#include <xen/domctl.h>

#define POOL 32u

static uint64_t pool[POOL];
static volatile int over;

static void make_pool(void)
{
    for (unsigned int i = 0; i < POOL && !pool[i]; i++)
        pool[i] = mm_alloc();
}

/* ---- 25: at the maximum, from all vCPUs ---- */

static long reservation(void)
{
    domid_t self = DOMID_SELF;

    return hc_memory(XENMEM_current_reservation, &self);
}

static long change(unsigned int cmd, xen_pfn_t *list, unsigned int n)
{
    struct xen_memory_reservation r = {.nr_extents = n, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, list);
    return hc_memory(cmd, &r);
}

static volatile long most;

static void grow_and_shrink(void *arg)
{
    xen_pfn_t list[64];

    (void)arg;
    while (!over) {
        long got, now;

        for (unsigned int i = 0; i < 64; i++)
            list[i] = 100000 + i;
        got = change(XENMEM_increase_reservation, list, 64);
        now = reservation();
        if (now > most)
            most = now;
        if (got > 0)
            change(XENMEM_decrease_reservation, list, (unsigned int)got);
    }
}

/* The same with the other call, which takes frames many at a time; numbers as large as they get say nothing of ours. */
static void fill_and_shrink(void *arg)
{
    xen_pfn_t list[64];

    (void)arg;
    while (!over) {
        long got, now;

        for (unsigned int i = 0; i < 64; i++)
            list[i] = (1ul << 40) + i;
        got = change(XENMEM_populate_physmap, list, 64);
        now = reservation();
        if (now > most)
            most = now;
        if (got > 0)
            change(XENMEM_decrease_reservation, list, (unsigned int)got);
    }
}

static int64_t at_the_maximum(uint64_t maximum)
{
    long before = reservation();

    over = 0;
    most = 0;
    vcpu_run(1, grow_and_shrink, NULL);
    vcpu_run(2, fill_and_shrink, NULL);
    for (unsigned int i = 0; test_race_until(i, 3000, most > before); i++)
        if (reservation() > (long)maximum)
            test_true("25c", "more than the maximum", false);
    over = 1;
    vcpu_join(1);
    vcpu_join(2);
    test_true("25c", "never more than the maximum", most <= (long)maximum && most > before);
    test_eq("25c", "afterwards as before", reservation(), before);
    return 0;
}

/* ---- 25: a maximum that moves ---- */

/* Both ways of growing at once, until told to stop. */
static int64_t grow_on(uint64_t arg)
{
    (void)arg;
    over = 0;
    vcpu_run(1, grow_and_shrink, NULL);
    vcpu_run(2, fill_and_shrink, NULL);
    while (!pair_told_to_stop())
        vcpu_yield();
    over = 1;
    vcpu_join(1);
    vcpu_join(2);
    return 0;
}

static uint64_t pages_of(unsigned int id)
{
    struct xen_domctl_getdomaininfo info;

    if (control_domctl(XEN_DOMCTL_getdomaininfo, id, &info, sizeof(info)))
        console_panic("no information on domain %u", id);
    return info.tot_pages;
}

static void set_maximum(unsigned int id, uint64_t pages)
{
    struct xen_domctl_max_mem m = {.max_memkb = pages * 4};

    test_eq("25e", "a maximum", control_domctl(XEN_DOMCTL_max_mem, id, &m, sizeof(m)), 0);
}

/*
 * Domain 0 moves the maximum, and adds frames itself, while the attacker grows as it can. Who has more than a new
 * maximum keeps it, and gets nothing until it has less.
 */
static void moving_maximum(uint64_t pages)
{
    static uint64_t mfns[CONTROL_PAGES_MAX];
    unsigned int id = pair_id(pair_attacker), over_it = 0, looks = 0, added = 0;

    pair_start(pair_attacker, grow_on, 0);
    for (unsigned int i = 0; test_race_until(i, 400, looks > 4000 && added); i++) {
        uint64_t maximum = pages + test_random() % 128, last, now;

        set_maximum(id, maximum);
        last = pages_of(id);
        for (unsigned int k = 0; k < 20; k++, looks++) {
            if (k % 8 == 7) {
                long got = control_populate(id, 4, mfns);

                added += got > 0;
                for (long n = 0; n < got; n++) {
                    struct xen_memory_reservation r = {.nr_extents = 1, .domid = (domid_t)id};

                    set_xen_guest_handle(r.extent_start, &mfns[n]);
                    test_eq("25e", "what was added", hc_memory(XENMEM_decrease_reservation, &r), 1);
                }
            }
            now = pages_of(id);
            over_it += now > (last > maximum ? last : maximum);
            last = now;
        }
    }
    pair_tell_to_stop(pair_attacker);
    test_eq("25e", "grower", pair_wait(pair_attacker), 0);
    test_note("%u looks, frames added %u times", looks, added);
    test_eq("25e", "more than the maximum", over_it, 0);
    test_true("25e", "domain 0 could add some", added > 0);
    test_eq("25e", "afterwards as before", pages_of(id), pages);
    set_maximum(id, pages + 100);
    pair_check("25e");
}

/* ---- 23 and 18: stale translations of memory that was given back ---- */

/* vCPU 1 writes all the time, by translations that its CPU may still have; vCPU 0 gives pages back. */
static void write_on(void *arg)
{
    (void)arg;
    while (!over)
        for (unsigned int i = 0; i < POOL; i++)
            trap_write(HC_ADDR(mm_va(pool[i])) + 8 * (i + 1), 0x5757575757575757);
}

/* Take the pool's pages out of the tables without a flush; `list` gets their frames. */
static void unmap_pool(xen_pfn_t *list)
{
    for (unsigned int i = 0; i < POOL; i++) {
        list[i] = mm_mfn(pool[i]);
        hc_update_va(HC_ADDR(mm_va(pool[i])), 0, UVMF_NONE);
    }
}

static int map_pool(const xen_pfn_t *list)
{
    for (unsigned int i = 0; i < POOL; i++) {
        mm_set_p2m(pool[i], list[i]);
        if (hc_update_va(HC_ADDR(mm_va(pool[i])), list[i] << 12 | PTE_RW, UVMF_NONE))
            return -1;
    }
    return 0;
}

static long exchange_pool(xen_pfn_t *in, xen_pfn_t *out)
{
    struct xen_memory_exchange x = {.in = {.nr_extents = POOL, .domid = DOMID_SELF},
                                    .out = {.nr_extents = POOL, .domid = DOMID_SELF}};

    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    return hc_memory(XENMEM_exchange, &x);
}

/* By giving back and taking, and every other time by exchange. */
static int64_t give_back(uint64_t rounds)
{
    make_pool();
    over = 0;
    vcpu_run(1, write_on, NULL);
    for (uint64_t n = 0; n < rounds && !pair_told_to_stop(); n++) {
        xen_pfn_t list[POOL], numbers[POOL];

        unmap_pool(list);
        for (unsigned int i = 0; i < POOL; i++)
            numbers[i] = pool[i];
        if (n % 2) {
            while (exchange_pool(list, numbers))
                for (unsigned int i = 0; i < POOL; i++)
                    numbers[i] = pool[i];
        } else {
            change(XENMEM_decrease_reservation, list, POOL);
            while (change(XENMEM_populate_physmap, numbers, POOL) != POOL)
                for (unsigned int i = 0; i < POOL; i++)
                    numbers[i] = pool[i];
        }
        if (map_pool(numbers))
            return -1;
    }
    over = 1;
    vcpu_join(1);
    return 0;
}

static unsigned int looked, bad;

/* Another domain takes memory; domain 0 looks at what it got: zeroes, now and later. */
static void look_at_another(uint64_t pages)
{
    static uint64_t mfns[CONTROL_PAGES_MAX];
    long id = control_create(0, 1), got;

    if (id < 0)
        console_panic("no domain: %ld", id);
    got = control_populate((unsigned int)id, pages, mfns);
    for (unsigned int pass = 0; pass < 2; pass++)
        for (long i = 0; i < got; i++) {
            const void *p = control_window(9, (unsigned int)id, mfns[i]);

            if (!p)
                continue;
            looked++;
            bad += !string_all(p, 0, MM_PAGE);
        }
    control_window_close(9);
    control_destroy((unsigned int)id);
}

static void memory_changes_hands(void)
{
    looked = bad = 0;
    pair_start(pair_attacker, give_back, 1000000);
    for (unsigned int i = 0; test_race_until(i, 100, looked > 500); i++)
        look_at_another(200);
    pair_tell_to_stop(pair_attacker);
    test_eq("23c", "giver", pair_wait(pair_attacker), 0);
    test_note("%u looks at new pages", looked);
    test_true("23c", "looked", looked > 500);
    test_eq("23c", "pages that were not zero", bad, 0);
    pair_check("23c");
}

/* Its death, at any moment of all this, is no other way to keep a translation. */
static void memory_of_the_dead(void)
{
    looked = bad = 0;
    for (unsigned int n = 0; n < 6; n++) {
        uint64_t until;

        pair_start(pair_attacker, give_back, 1000000);
        until = event_now() + 1000000 + test_random() % 20000000;
        while (event_now() < until)
            vcpu_yield();
        pair_kill_attacker();
        look_at_another(CONTROL_PAGES_MAX);
        pair_gone("23d");
        pair_new_attacker(3);
    }
    test_true("23d", "looked", looked > 6000);
    test_eq("23d", "pages of the dead that were not zero", bad, 0);
    pair_check("23d");
}

/* Through a grant, the same: the witness's page, unmapped, is written no more. */
static uint64_t page;

static int64_t offer(uint64_t to)
{
    grant_init();
    if (!page)
        page = mm_alloc();
    grant_offer(50, (unsigned int)to, mm_mfn(page), 0);
    return 0;
}

#define WRITTEN 0x6868686868686868

static void write_window(void *arg)
{
    (void)arg;
    while (!over)
        trap_write(grant_va(40) + 128, WRITTEN);
}

/* Unmapped only when the other vCPU writes there, and so has the translation. */
static int64_t map_and_unmap(uint64_t arg)
{
    volatile uint64_t *word = (volatile uint64_t *)(grant_va(40) + 128);

    grant_init();
    over = 0;
    vcpu_run(1, write_window, NULL);
    while (!pair_told_to_stop()) {
        uint32_t h;

        if (grant_map_at(40, (unsigned int)pair_facts()->other, 50, 0, &h))
            continue;
        for (unsigned int i = 0; i < 1000 && *word != WRITTEN; i++)
            vcpu_yield();
        grant_unmap(h, grant_va(40), 0);
    }
    over = 1;
    vcpu_join(1);
    return (int64_t)arg;
}

/* Whenever the witness's entry is not in use, and cannot get in use, its page must keep still. */
static int64_t written_when_unused(uint64_t to)
{
    unsigned int odd = 0, mapped = 0;
    volatile uint64_t *word = (volatile uint64_t *)mm_va(page) + 16;

    for (unsigned int i = 0; test_race_until(i, 4000, mapped > 10); i++) {
        for (unsigned int k = 0; k < 1000 && !grant_used(50); k++)
            vcpu_yield(); /* their CPU is ours */
        mapped += grant_used(50) != 0;
        while (!grant_revoke(50))
            vcpu_yield();
        *word = 1;
        for (unsigned int k = 0; k < 200; k++)
            odd += *word != 1;
        grant_offer(50, (unsigned int)to, mm_mfn(page), 0);
    }
    while (!grant_revoke(50))
        vcpu_yield();
    return odd ? -(int64_t)odd : mapped > 10;
}

static void grant_taken_back(void)
{
    pair_run(pair_witness, offer, pair_id(pair_attacker));
    pair_start(pair_attacker, map_and_unmap, 3);
    test_eq("45c", "a page that is not in use is not written",
            pair_run(pair_witness, written_when_unused, pair_id(pair_attacker)), 1);
    pair_tell_to_stop(pair_attacker);
    test_eq("45c", "mapper", pair_wait(pair_attacker), 3);
    pair_check("45c");
}

/* ---- 55: no deadline is special ---- */

static int64_t deadlines(uint64_t arg)
{
    static const uint64_t at[] = {0,         1,    1000,     1ul << 50,         1ul << 62,
                                  1ul << 63, ~0ul, ~0ul - 1, 0x7fffffffffffffff};
    static const uint64_t periods[] = {0, 1, 999999, 1ul << 62, 1ul << 63, ~0ul};
    struct vcpu_set_singleshot_timer s;
    struct vcpu_set_periodic_timer p;

    (void)arg;
    for (unsigned int i = 0; i < sizeof(at) / sizeof(at[0]); i++)
        for (uint32_t flags = 0; flags < 4; flags++) {
            uint64_t now = event_now();
            long ret;

            s = (struct vcpu_set_singleshot_timer){.timeout_abs_ns = at[i], .flags = flags};
            ret = hc_vcpu(VCPUOP_set_singleshot_timer, 0, &s);
            if (flags > 1)
                test_eq("55a", "a flag that is not", ret, -XEN_EINVAL);
            else if (flags == VCPU_SSHOTTMR_future && at[i] < now)
                test_eq("55a", "not in the future", ret, -XEN_ETIME);
            else
                test_eq("55a", "a deadline", ret, 0);
            test_eq("55a", "another's", hc_vcpu(VCPUOP_set_singleshot_timer, 1, &s), -XEN_EINVAL);
            test_eq("55a", "the older call",
                    hypercall(__HYPERVISOR_set_timer_op, at[i], 0, 0, 0, 0), 0);
        }
    for (unsigned int i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
        p.period_ns = periods[i];
        test_eq("55b", "a period", hc_vcpu(VCPUOP_set_periodic_timer, 0, &p), -XEN_EINVAL);
    }
    hc_vcpu(VCPUOP_stop_singleshot_timer, 0, NULL);
    return 0;
}

static volatile unsigned int fired;

static void on_timer(unsigned int port)
{
    (void)port;
    fired++;
}

/* One expiry, one event: also when the deadline was long ago, and when it is set again and again. */
static int64_t expiries(uint64_t arg)
{
    long port = event_bind_virq(VIRQ_TIMER, 0);
    struct vcpu_set_singleshot_timer s = {0};
    struct vcpu_set_periodic_timer p = {.period_ns = 1000000};
    uint64_t start, end;
    unsigned int before, came;

    (void)arg;
    event_set_handler((unsigned int)port, on_timer);
    for (unsigned int i = 0; i < 50; i++) {
        before = fired;
        s.timeout_abs_ns = i & 1 ? 1 : event_now() + 20000;
        test_eq("55c", "set", hc_vcpu(VCPUOP_set_singleshot_timer, 0, &s), 0);
        while (fired == before)
            vcpu_yield();
        start = event_now();
        while (event_now() < start + 200000)
            vcpu_yield();
        test_eq("55c", "one event", fired - before, 1);
    }
    /* A vCPU that was kept from running gets what is due once, not all it has missed. */
    test_eq("55d", "period", hc_vcpu(VCPUOP_set_periodic_timer, 0, &p), 0);
    event_deliver(false);
    start = event_now();
    while (event_now() < start + 30000000)
        vcpu_yield();
    before = fired;
    event_deliver(true);
    came = fired - before;
    end = event_now();
    /* One for what was missed, and those that fell due since. */
    test_true("55d", "not all that was missed", came <= 2 + (end - start - 30000000) / 1000000);
    hc_vcpu(VCPUOP_stop_periodic_timer, 0, NULL);
    start = event_now();
    before = fired;
    while (event_now() < start + 5000000)
        vcpu_yield();
    test_true("55d", "stopped", fired - before <= 1);
    return event_close((unsigned int)port);
}

/* ---- 11 and 64: storms ---- */

static void storm(void *arg)
{
    static char buffer[4096];
    uint64_t n = (uint64_t)arg;

    while (!over) {
        switch (n++ % 8) {
        case 0:
            hypercall(n % 64, HC_ADDR(buffer), n, n, n, n);
            break; /* what is not there */
        case 1:
            hypercall(__HYPERVISOR_console_io, 0, 4096, HC_ADDR(buffer), 0, 0);
            break;
        case 2:
            mm_set(grant_slot(1), 0xfee00000 | PTE_RW);
            break; /* device memory */
        case 3:
            test_pin(4, mm_root());
            break;
        case 4:
            trap_write(0xffff830000000000, 1);
            break; /* the hypervisor's */
        case 5:
            grant_map_at(2, 0x7ef0, 1, 0, NULL);
            break;
        case 6:
            hc_update_va(HC_ADDR(buffer) | 1ul << 47, ~0ul, ~0ul);
            break;
        default:
            hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, 0);
            break;
        }
    }
}

static void wrmsr(void *msr)
{
    __asm__ volatile("wrmsr" : : "c"((uint32_t)HC_ADDR(msr)), "a"(0x12345678), "d"(0x9abcdef0));
}

static void rdmsr(void *msr)
{
    uint32_t a, d;

    __asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"((uint32_t)HC_ADDR(msr)));
}

/* Instructions that the hypervisor looks at, and may say something about. */
static int64_t storms(uint64_t rounds)
{
    grant_init();
    over = 0;
    vcpu_run(1, storm, (void *)0);
    vcpu_run(2, storm, (void *)3);
    for (unsigned int i = 0; test_race(i, (unsigned int)rounds); i++) {
        uint32_t msr = (uint32_t)test_random() & (i & 1 ? 0x1fff : 0xc0011fff);

        if (msr - 0x100u < 3 || msr - 0xc0000100u < 4)
            continue; /* bases: ours to set, and to break */
        trap_run(wrmsr, (void *)(uint64_t)msr, NULL);
        trap_run(rdmsr, (void *)(uint64_t)msr, NULL);
    }
    over = 1;
    vcpu_join(1);
    vcpu_join(2);
    return 0;
}

/* Guests that fall dead one after the other fill no log, either. */
static int64_t fall_dead(uint64_t how)
{
    struct sched_shutdown s = {.reason = SHUTDOWN_crash};

    if (how % 2)
        user_iret((const void *)0x10);
    hc_sched(SCHEDOP_shutdown, &s);
    return 0;
}

static void many_crashes(void)
{
    for (uint64_t i = 0; i < 40; i++) {
        pair_new_attacker(1);
        test_true("64c", "killed", pair_run(pair_attacker, fall_dead, i) == PAIR_KILLED);
        pair_kill_attacker();
        pair_gone("64c");
    }
    pair_check("64c");
}

/* ---- 24: an exchange of what others hold ---- */

/* Pages that the witness maps and unmaps by grant; those it holds at the moment stay, none gets lost. */
static int64_t exchange_granted(uint64_t rounds)
{
    unsigned int moved = 0, kept = 0;
    long before = reservation();

    make_pool();
    grant_init();
    for (unsigned int i = 0; i < POOL; i++)
        grant_offer(60 + i, (unsigned int)pair_facts()->other, mm_mfn(pool[i]), 0);
    for (unsigned int n = 0; test_race_until(n, (unsigned int)rounds, moved && kept); n++)
        for (unsigned int i = 0; i < POOL; i++) {
            xen_pfn_t in = mm_mfn(pool[i]), out = pool[i];
            struct xen_memory_exchange x = {.in = {.nr_extents = 1, .domid = DOMID_SELF},
                                            .out = {.nr_extents = 1, .domid = DOMID_SELF}};

            set_xen_guest_handle(x.in.extent_start, &in);
            set_xen_guest_handle(x.out.extent_start, &out);
            hc_update_va(HC_ADDR(mm_va(pool[i])), 0, UVMF_TLB_FLUSH);
            if (!hc_memory(XENMEM_exchange, &x)) {
                moved++;
                mm_set_p2m(pool[i], out);
                grant_revoke(60 + i);
                grant_offer(60 + i, (unsigned int)pair_facts()->other, out, 0);
            } else {
                kept++;
            }
            test_eq(
                "24f", "the page, old or new",
                hc_update_va(HC_ADDR(mm_va(pool[i])), mm_mfn(pool[i]) << 12 | PTE_RW, UVMF_NONE),
                0);
        }
    test_note("%u exchanged, %u refused", moved, kept);
    test_eq("24f", "frames", reservation(), before);
    for (unsigned int i = 0; i < POOL; i++)
        grant_revoke(60 + i);
    return moved && kept ? 0 : -1;
}

static int64_t map_on(uint64_t arg)
{
    grant_init();
    for (uint64_t n = 0; !pair_told_to_stop(); n++)
        for (unsigned int i = 0; i < POOL; i++) {
            uint32_t h;

            if (!grant_map_at(10, (unsigned int)pair_facts()->other, 60 + i, 0, &h)) {
                trap_write(grant_va(10), n);
                if (i == 0)
                    vcpu_yield(); /* their CPU is ours: so they meet it in use */
                grant_unmap(h, grant_va(10), 0);
            }
        }
    return (int64_t)arg;
}

static void exchanged_under_a_grant(void)
{
    pair_start(pair_witness, map_on, 5);
    test_eq("24f", "exchanger", pair_run(pair_attacker, exchange_granted, 400), 0);
    pair_tell_to_stop(pair_witness);
    test_eq("24f", "mapper", pair_wait(pair_witness), 5);
    pair_check("24f");
}

static void story(void)
{
    struct xen_domctl_max_mem m;
    uint64_t pages;

    pair_begin(1);
    pair_new_attacker(3);
    pages = pair_control(pair_attacker)->pages;
    m.max_memkb = (pages + 100) * 4;
    test_eq("25c", "a maximum",
            control_domctl(XEN_DOMCTL_max_mem, pair_id(pair_attacker), &m, sizeof(m)), 0);
    pair_attack("25c", at_the_maximum, pages + 100);
    moving_maximum(pages);
    memory_changes_hands();
    memory_of_the_dead();
    exchanged_under_a_grant();
    grant_taken_back();
    pair_attack("55a", deadlines, 0);
    pair_attack("55c", expiries, 0);
    pair_attack("64b", storms, 20000);
    pair_end_attacker("64b");
    many_crashes();
}

int main(void)
{
    return pair_main("pair-memory", story);
}

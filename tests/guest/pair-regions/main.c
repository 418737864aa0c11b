/* SPDX-License-Identifier: MIT */
/*
 * Invariants 43 to 49 for regions, which the hypervisor shares among domains: rights and forged references, what is taken away
 * while two vCPUs write to it and map it anew, quotas, ends of mapper and maker at any instant, a region destroyed in use,
 * mapping without end. Domain 0 is on the lists too, and so sees what the attacker can still reach.
 *
 * run: smp=2 guests=self deadline=240
 */
#include <bare/pair.h>

#define PAGES  16u
#define MINE   0x6d6d6d6d6d6d6d6dul /* domain 0's */
#define THEIRS 0x7474747474747474ul /* the attacker's */

static uint64_t slot; /* of the story's region */

/* ---- calls ---- */

static long pal_op(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_pal_op, cmd, HC_ADDR(arg), 0, 0, 0);
}

static long create(const char *name, uint64_t pages)
{
    struct pal_region_create c = {.pages = pages};

    for (unsigned int i = 0; name[i] && i < sizeof(c.name); i++)
        c.name[i] = name[i];
    return pal_op(PALOP_region_create, &c);
}

static long allow(uint64_t which, unsigned int domain, unsigned int access)
{
    struct pal_region_allow a = {.slot = (uint32_t)which, .domain = domain, .access = access};

    return pal_op(PALOP_region_allow, &a);
}

static long destroy(uint64_t which)
{
    struct pal_region_destroy d = {.slot = (uint32_t)which};

    return pal_op(PALOP_region_destroy, &d);
}

static long quota(unsigned int domain, unsigned int regions, uint64_t pages)
{
    struct pal_region_quota q = {domain, regions, pages};

    return pal_op(PALOP_region_quota, &q);
}

/* Pages that the domain has mapped, as domain 0 is told. -1: it is not on the list. */
static int64_t mapped_by(uint64_t which, unsigned int domain)
{
    static struct pal_region_info i;

    i.slot = (uint32_t)which;
    if (pal_op(PALOP_region_info, &i) || i.slot != which)
        return -2;
    for (unsigned int k = 0; k < i.members; k++)
        if (i.member[k].domain == domain)
            return (int64_t)i.member[k].mappings;
    return -1;
}

/* ---- mapping ---- */

static int map_page(struct gnttab_map_grant_ref *op, uint32_t ref, unsigned int flags,
                    unsigned int window)
{
    *op = (struct gnttab_map_grant_ref){
        .flags = flags,
        .host_addr = flags & GNTMAP_contains_pte ? grant_slot(window) : grant_va(window),
        .ref = ref,
        .dom = PAL_DOMID_REGION,
        .status = 99};
    return grant_map(op);
}

static int unmap_page(const struct gnttab_map_grant_ref *op)
{
    return grant_unmap(op->handle, op->flags & GNTMAP_host_map ? op->host_addr : 0,
                       op->flags & GNTMAP_device_map ? op->dev_bus_addr : 0);
}

/* The first n pages, one a slot of the window. Returns how many could be had. */
static unsigned int map_run(struct gnttab_map_grant_ref *m, uint64_t which, unsigned int n,
                            unsigned int flags, unsigned int window)
{
    unsigned int good = 0;

    for (unsigned int i = 0; i < n; i++)
        m[i] = (struct gnttab_map_grant_ref){.flags = flags,
                                             .host_addr = grant_va(window + i),
                                             .ref = PAL_REGION_REF(which, i),
                                             .dom = PAL_DOMID_REGION};
    if (grant_call(GNTTABOP_map_grant_ref, m, n))
        return 0;
    for (unsigned int i = 0; i < n; i++)
        good += m[i].status == GNTST_okay;
    return good;
}

/* Returns how many had another answer than GNTST_okay. */
static unsigned int unmap_run(const struct gnttab_map_grant_ref *m, unsigned int n)
{
    struct gnttab_unmap_grant_ref u[PAGES];
    unsigned int count = 0, bad = 0;

    for (unsigned int i = 0; i < n; i++)
        if (m[i].status == GNTST_okay)
            u[count++] = (struct gnttab_unmap_grant_ref){
                .host_addr = m[i].flags & GNTMAP_host_map ? m[i].host_addr : 0,
                .dev_bus_addr = m[i].flags & GNTMAP_device_map ? m[i].dev_bus_addr : 0,
                .handle = m[i].handle};
    if (grant_call(GNTTABOP_unmap_grant_ref, u, count))
        return n;
    for (unsigned int i = 0; i < count; i++)
        bad += u[i].status != GNTST_okay;
    return bad;
}

/* ---- 46, 10: who may do what ---- */

static int64_t forged(uint64_t which)
{
    static const uint32_t others[] = {0, 1, PAL_REGION_MAX_PAGES - 1, 0x7fffffff, 0xfffffffe, ~0u};
    struct gnttab_map_grant_ref op;
    struct gnttab_copy c = {
        .source = {.u.ref = PAL_REGION_REF(which, 0), .domid = PAL_DOMID_REGION},
        .dest = {.u.gmfn = mm_mfn(mm_alloc()), .domid = DOMID_SELF},
        .len = 64,
        .flags = GNTCOPY_source_gref};
    unsigned int had = 0;

    grant_init();
    for (uint32_t s = 0; s < PAL_REGION_SLOTS; s++)
        for (uint32_t i = 0; i < 6; i++)
            if (s != which || others[i] >= PAGES)
                had += map_page(&op, PAL_REGION_REF(s, others[i]), 2 | GNTMAP_readonly, 20) == 0;
    test_eq("46r", "nothing by forged references", had, 0);
    test_eq("46r", "readable", map_page(&op, PAL_REGION_REF(which, 3), 2 | GNTMAP_readonly, 21), 0);
    test_true("46r", "not writable afterwards",
              mm_set(grant_slot(21), grant_entry(21) | PTE_W) != 0);
    test_true("46r", "nor a second entry for it", mm_set(grant_slot(22), grant_entry(21)) != 0);
    test_true("46r", "a write faults", trap_write(grant_va(21), 1) >= 0);
    test_eq("46r", "unmap", unmap_page(&op), GNTST_okay);
    for (unsigned int parts = 1; parts < 4; parts++)
        test_eq("46r", "writable", map_page(&op, PAL_REGION_REF(which, 3), parts, 21),
                GNTST_permission_denied);
    test_true("46r", "no copy of it", grant_copy(&c) < 0);
    test_eq("46r", "no mapping of it by another way",
            hypercall(__HYPERVISOR_update_va_mapping_otherdomain, grant_va(21),
                      pair_facts()->frame << 12 | PTE_RW, 0, PAL_DOMID_REGION, 0) != 0,
            1);
    return 0;
}

static int64_t without_rights(uint64_t which)
{
    struct pal_region_info i = {.slot = 0};
    struct pal_audit a;

    test_eq("49r", "no quota", create("mine", 1), -XEN_EPERM);
    test_eq("49r", "its own quota", quota(DOMID_SELF, 9, 9), -XEN_EPERM);
    test_eq("10r", "another's list", allow(which, DOMID_SELF, PAL_REGION_write), -XEN_ENOENT);
    test_eq("10r", "another's region", destroy(which), -XEN_ENOENT);
    test_eq("10r", "what control may", pal_op(PALOP_audit, &a), -XEN_EPERM);
    for (unsigned int cmd = 0; cmd < 64; cmd++)
        if (cmd < PALOP_region_create || cmd > PALOP_region_info)
            test_eq("10r", "any other command", pal_op(cmd, &a) != 0, 1);
    test_eq("10r", "it sees what it is on the list of", pal_op(PALOP_region_info, &i), 0);
    test_eq("10r", "and nobody else there", i.members == 1 && i.slot == which, 1);
    i.slot++;
    test_eq("10r", "and no other region", pal_op(PALOP_region_info, &i), -XEN_ENOENT);
    return 0;
}

static int64_t within_quota(uint64_t arg)
{
    static const uint64_t sizes[] = {0, 9, PAL_REGION_MAX_PAGES, 1ul << 32, 1ul << 63, ~0ul};
    long first, second;

    (void)arg;
    for (unsigned int i = 0; i < 6; i++)
        test_true("49s", "a size", create("x", sizes[i]) < 0);
    first = create("x", 5);
    test_true("49s", "one", first >= 0);
    test_eq("49s", "the same name", create("x", 1), -XEN_EEXIST);
    test_eq("49s", "more memory", create("y", 4), -XEN_EPERM);
    second = create("y", 3);
    test_true("49s", "two", second >= 0);
    test_eq("49s", "three", create("z", 1), -XEN_EPERM);
    for (unsigned int d = 100; d < 200; d++)
        test_eq("49s", "nobody", allow((uint64_t)first, d, 1), -XEN_ESRCH);
    test_eq("49s", "the hypervisor's", allow((uint64_t)first, PAL_DOMID_REGION, 1), -XEN_ESRCH);
    test_eq("49s", "gives one back", destroy((uint64_t)first), 0);
    test_eq("49s", "twice", destroy((uint64_t)first), -XEN_ENOENT);
    test_true("49s", "another", create("z", 5) >= 0);
    return 0;
}

static void rights(void)
{
    unsigned int id = pair_id(pair_attacker);

    allow(slot, id, PAL_REGION_read);
    pair_facts_of(pair_attacker)->frame = 1000;
    pair_attack("46r", forged, slot);
    pair_attack("10r", without_rights, slot);
    test_eq("49s", "a quota", quota(id, 2, 8), 0);
    pair_attack("49s", within_quota, 0);
    test_eq("44r", "no domain has its number", control_create(PAL_DOMID_REGION, 1), -XEN_EINVAL);
    test_true("44r", "nor frames for it", control_flags(PAL_DOMID_REGION) < 0);
}

/* ---- taken away while it is in use by two vCPUs ---- */

static void write_all(void *window)
{
    for (unsigned int i = 0; i < PAGES; i++)
        *(volatile uint64_t *)grant_va((unsigned int)(uint64_t)window + i) = THEIRS;
}

/* Map, write, unmap, for ever; now and then the other vCPU's mapping goes by other means. */
static void scribble(void *arg)
{
    struct gnttab_map_grant_ref m[PAGES];
    unsigned int window = 32 + 32 * vcpu_self()->id;
    uint64_t which = (uint64_t)arg, bad = 0;

    while (!pair_told_to_stop()) {
        unsigned int flags = 2 + test_random() % 2;

        if (map_run(m, which, PAGES, flags, window))
            __atomic_fetch_add(&pair_facts()->frame, 1, __ATOMIC_RELAXED);
        for (unsigned int i = 0; i < 1 + test_random() % 4; i++)
            trap_run(write_all, (void *)(uint64_t)window, NULL);
        if (test_random() % 4 == 0)
            trap_run(write_all, (void *)(uint64_t)(96 - window), NULL);
        bad += unmap_run(m, PAGES);
    }
    __atomic_fetch_add(&pair_facts()->ref, bad, __ATOMIC_RELAXED);
}

static int64_t scribble_on_two(uint64_t which)
{
    grant_init();
    pair_facts()->frame = pair_facts()->ref = 0;
    vcpu_run(1, scribble, (void *)which);
    scribble((void *)which);
    vcpu_join(1);
    return (int64_t)pair_facts()->ref;
}

static void mark_all(uint64_t word)
{
    for (unsigned int i = 0; i < PAGES; i++)
        *(volatile uint64_t *)grant_va(32 + i) = word;
}

static unsigned int marked(uint64_t word)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < PAGES; i++)
        n += *(volatile uint64_t *)grant_va(32 + i) == word;
    return n;
}

static void wait_a_moment(uint64_t most_ns)
{
    uint64_t until = event_now() + test_random() % most_ns;

    while (event_now() < until)
        vcpu_yield();
}

/* Or until it takes too long: then it is not at work. */
static void wait_until_marked(uint64_t word)
{
    uint64_t until = event_now() + 1000000000;

    while (!marked(word) && event_now() < until)
        vcpu_yield();
}

static void taken_in_use(void)
{
    unsigned int id = pair_id(pair_attacker), seen = 0, survived = 0, rounds = 0;
    static struct gnttab_map_grant_ref m[PAGES];

    allow(slot, 0, PAL_REGION_write);
    test_eq("45r", "domain 0 maps it", map_run(m, slot, PAGES, 2, 32), PAGES);
    allow(slot, id, PAL_REGION_write);
    pair_start(pair_attacker, scribble_on_two, slot);
    for (unsigned int i = 0; test_race(i, 400); i++) {
        wait_until_marked(THEIRS);
        wait_a_moment(300000);
        seen += marked(THEIRS) != 0;
        if (allow(slot, id, i & 1 ? PAL_REGION_none : PAL_REGION_read))
            break;
        mark_all(MINE);
        if (!(i & 1))
            survived += mapped_by(slot, id) != 0; /* it maps writable only */
        wait_a_moment(100000);
        survived += marked(MINE) != PAGES;
        allow(slot, id, PAL_REGION_write);
        rounds++;
    }
    pair_tell_to_stop(pair_attacker);
    test_eq("45r", "each unmap had the usual answer", pair_wait(pair_attacker), 0);
    test_note("%u rounds, written to in %u", rounds, seen);
    test_true("45r", "it was at work", seen > rounds / 10);
    test_eq("45r", "nothing was written after it was taken", survived, 0);
    test_eq("45r", "taken for good", allow(slot, id, PAL_REGION_none), 0);
    test_eq("45r", "not on the list", mapped_by(slot, id), -1);
    test_eq("45r", "domain 0 has its own still", mapped_by(slot, 0), PAGES);
    test_eq("45r", "domain 0's", unmap_run(m, PAGES), 0);
    pair_check("45r");
}

/* ---- destroyed while mapped ---- */

static struct gnttab_map_grant_ref kept[PAGES];

static int64_t map_and_keep(uint64_t which)
{
    grant_init();
    return (int64_t)map_run(kept, which, PAGES, 3, 64);
}

static int64_t reach(uint64_t arg)
{
    uint64_t word, n = 0;

    (void)arg;
    for (unsigned int i = 0; i < PAGES; i++)
        n += trap_read(grant_va(64 + i), &word) < 0;
    return (int64_t)n;
}

static int64_t let_go(uint64_t arg)
{
    (void)arg;
    return unmap_run(kept, PAGES);
}

static void destroyed_in_use(void)
{
    unsigned int id = pair_id(pair_attacker);
    long which = create("short", PAGES);

    test_true("43r", "made", which >= 0);
    allow((uint64_t)which, id, PAL_REGION_write);
    test_eq("43r", "mapped", pair_run(pair_attacker, map_and_keep, (uint64_t)which), PAGES);
    test_eq("43r", "reached", pair_run(pair_attacker, reach, 0), PAGES);
    test_eq("43r", "destroyed", destroy((uint64_t)which), 0);
    test_eq("43r", "not reached", pair_run(pair_attacker, reach, 0), 0);
    pair_check("43r");
    test_eq("43r", "unmapped as usual", pair_run(pair_attacker, let_go, 0), 0);
    test_eq("43r", "only once", pair_run(pair_attacker, let_go, 0), PAGES);
    pair_check("43r");
}

/* ---- without end ---- */

static int64_t again_and_again(uint64_t which)
{
    static struct gnttab_map_grant_ref m[PAGES];
    uint64_t cycles = start_option_number("cycles", 40000) / PAGES, bad = 0;

    grant_init();
    for (uint64_t i = 0; i < cycles; i++) {
        bad += map_run(m, which, PAGES, 2 + i % 2, 64) != PAGES;
        bad += unmap_run(m, PAGES) != 0;
    }
    return (int64_t)bad;
}

static void without_end(void)
{
    allow(slot, pair_id(pair_attacker), PAL_REGION_write);
    pair_attack("49t", again_and_again, slot);
    test_eq("49t", "nothing is left", mapped_by(slot, pair_id(pair_attacker)), 0);
}

/* ---- ends ---- */

/* Whatever one can do with regions, on two vCPUs, until it is ended. */
static void everything(void *arg)
{
    struct gnttab_map_grant_ref m[PAGES];
    unsigned int window = 32 + 32 * vcpu_self()->id, other = (unsigned int)pair_facts()->other;
    uint64_t which = (uint64_t)arg;

    for (;;) {
        long mine = create(vcpu_self()->id ? "one" : "two", 1 + test_random() % 8);

        if (mine >= 0) {
            allow((uint64_t)mine, DOMID_SELF, 1 + test_random() % 2);
            allow((uint64_t)mine, other, 2);
            map_run(m, (uint64_t)mine, 4, 2, window);
            unmap_run(m, test_random() % 5);
            if (test_random() % 2)
                allow((uint64_t)mine, DOMID_SELF, PAL_REGION_none);
        }
        map_run(m, which, PAGES, 1 + test_random() % 3, window);
        trap_run(write_all, (void *)(uint64_t)window, NULL);
        unmap_run(m, PAGES - test_random() % 4);
        if (mine >= 0 && test_random() % 4)
            destroy((uint64_t)mine);
        __atomic_fetch_add(&pair_facts()->frame, 1, __ATOMIC_RELAXED);
    }
}

static int64_t everything_on_two(uint64_t which)
{
    grant_init();
    vcpu_run(1, everything, (void *)which);
    everything((void *)which);
    return 0;
}

static volatile unsigned int target;

/* Domain 0's second vCPU meanwhile. */
static void give_and_take(void *arg)
{
    (void)arg;
    for (unsigned int id; (id = target) != 0;) {
        allow(slot, id, (unsigned int)(test_random() % 3));
        mapped_by(slot, id);
    }
}

/* What dead makers left. */
static unsigned int clear_up(void)
{
    static struct pal_region_info i;
    unsigned int n = 0;

    for (i.slot = 0; !pal_op(PALOP_region_info, &i); i.slot++)
        if (i.creator == ~0u)
            n += destroy(i.slot) == 0;
    return n;
}

static void ends(unsigned int rounds)
{
    unsigned int left = 0;

    for (unsigned int i = 0; i < rounds; i++) {
        volatile uint64_t *done;
        uint64_t until = event_now() + 1000000000;

        pair_new_attacker(2);
        quota(pair_id(pair_attacker), 2, 16);
        allow(slot, pair_id(pair_attacker), PAL_REGION_write);
        done = &pair_facts_of(pair_attacker)->frame;
        pair_start(pair_attacker, everything_on_two, slot);
        target = pair_id(pair_attacker);
        if (i & 1)
            vcpu_run(1, give_and_take, NULL);
        while (*done < 1 + test_random() % 12 && event_now() < until)
            vcpu_yield();
        wait_a_moment(1000000);
        pair_kill_attacker();
        target = 0;
        if (i & 1)
            vcpu_join(1);
        test_eq("27r", "off the list", mapped_by(slot, pair_id(pair_attacker)), -1);
        left += clear_up();
        pair_gone("27r");
    }
    test_note("%u regions outlived their makers", left);
    pair_check("27r");
}

static int64_t try_to_make(uint64_t arg)
{
    (void)arg;
    return create("again", 1);
}

/* A number comes back: the rights of its former holder do not. */
static void same_number(void)
{
    unsigned int id;

    pair_new_attacker(1);
    id = pair_id(pair_attacker);
    allow(slot, id, PAL_REGION_write);
    quota(id, 4, 100);
    pair_kill_attacker();
    while (control_flags(id) >= 0)
        vcpu_yield();
    test_eq("27s", "its number again", pair_new_attacker_as(id, 1), id);
    test_eq("27s", "not on the list", mapped_by(slot, id), -1);
    test_eq("27s", "not mapped", pair_run(pair_attacker, map_and_keep, slot), 0);
    test_eq("27s", "no quota", pair_run(pair_attacker, try_to_make, 0), -XEN_EPERM);
    pair_end_attacker("27s");
}

static void story(void)
{
    long made;

    pair_begin(1);
    grant_init();
    made = create("story", PAGES);
    test_true("43r", "a region", made >= 0);
    slot = (uint64_t)made;
    /* What domain 0 needs to map at all is made once, before the books are looked at. */
    allow(slot, 0, PAL_REGION_write);
    map_run(kept, slot, PAGES, 2, 32);
    unmap_run(kept, PAGES);
    pair_new_attacker(2);
    rights();
    taken_in_use();
    destroyed_in_use();
    without_end();
    pair_kill_attacker();
    clear_up();
    pair_gone("27r");
    same_number();
    pair_keep_books(true);
    ends((unsigned int)start_option_number("rounds", 12));
    pair_keep_books(false);
    test_eq("43r", "gone", destroy(slot), 0);
}

int main(void)
{
    return pair_main("pair-regions", story);
}

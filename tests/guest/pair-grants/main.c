/* SPDX-License-Identifier: MIT */
/*
 * Invariants 43 to 49 between two domains: the witness grants, the attacker uses, and the other way round; who grants may make the
 * page a table exactly when nobody can write to it; granters that change their entries under the hypervisor's hands, and ends
 * of either side at the worst time.
 *
 * run: smp=2 guests=self deadline=180
 */
#include <bare/pair.h>

#define REF    20u
#define REF_RO 21u
#define OTHERS 22u /* offered to somebody else */
#define SLOT   10u

/* ---- what the granter does (in the witness, or in the attacker) ---- */

static uint64_t page;

static int64_t grant_page(uint64_t to)
{
    grant_init();
    if (!page)
        page = mm_alloc();
    memset(mm_va(page), 0, MM_PAGE);
    grant_offer(REF, (unsigned int)to, mm_mfn(page), 0);
    grant_offer(REF_RO, (unsigned int)to, mm_mfn(page), GTF_readonly);
    grant_offer(OTHERS, 0x77, mm_mfn(page), 0);
    return (int64_t)mm_mfn(page);
}

/* 1: the page can be a table now; 0: no. What it holds must be a legal table: zeroes. */
static int64_t can_be_table(uint64_t arg)
{
    int64_t ok;

    (void)arg;
    memset(mm_va(page), 0, MM_PAGE);
    mm_home(page, PTE_RO);
    ok = test_pin(1, page) == 0;
    if (ok)
        test_unpin(page);
    mm_home(page, PTE_RW);
    return ok;
}

static int64_t used(uint64_t ref)
{
    return (int64_t)grant_used((uint32_t)ref);
}

static int64_t first_word(uint64_t arg)
{
    (void)arg;
    return *(volatile int64_t *)mm_va(page);
}

/* ---- 43: mapping and unmapping are exact inverses ---- */

static struct gnttab_map_grant_ref held[8];

/* arg: 0 for devices, 1 for us, 2 both; 4 read-only; 8 by entry; 16 the read-only reference; from 8 on the number in held. */
static int64_t map_it(uint64_t arg)
{
    struct gnttab_map_grant_ref *op = &held[arg >> 8];
    unsigned int slot = SLOT + (unsigned int)(arg >> 8);
    unsigned int parts = 1 + (arg & 3);

    grant_init();
    *op = (struct gnttab_map_grant_ref){.flags = parts | (arg & 4 ? GNTMAP_readonly : 0) |
                                                 (arg & 8 ? GNTMAP_contains_pte : 0),
                                        .host_addr = arg & 8 ? grant_slot(slot) : grant_va(slot),
                                        .ref = arg & 16 ? REF_RO : REF,
                                        .dom = (domid_t)pair_facts()->other,
                                        .status = 99};
    return grant_map(op);
}

static uint64_t host_of(const struct gnttab_map_grant_ref *op)
{
    return op->flags & GNTMAP_host_map ? op->host_addr : 0;
}

static uint64_t device_of(const struct gnttab_map_grant_ref *op)
{
    return op->flags & GNTMAP_device_map ? op->dev_bus_addr : 0;
}

/* arg: how, and from bit 8 on the number in held. */
static int64_t unmap_it(uint64_t arg)
{
    const struct gnttab_map_grant_ref *op = &held[arg >> 8];
    uint64_t host = host_of(op), device = device_of(op);
    struct gnttab_unmap_and_replace r = {.host_addr = host, .handle = op->handle, .status = 99};

    switch (arg & 3) {
    case 0:
        return grant_unmap(op->handle, host, device);
    case 1:
        return (host ? grant_unmap(op->handle, host, 0) : 0) |
               (device ? grant_unmap(op->handle, 0, device) : 0);
    case 2:
        return (device ? grant_unmap(op->handle, 0, device) : 0) |
               (host ? grant_unmap(op->handle, host, 0) : 0);
    default:
        if (device && grant_unmap(op->handle, 0, device))
            return -1;
        if (host && grant_call(GNTTABOP_unmap_and_replace, &r, 1))
            return -2;
        return host ? r.status : 0;
    }
}

static void one_combination(uint64_t how, uint64_t end)
{
    bool readonly = how & 4;
    int64_t want = readonly ? GTF_reading : GTF_reading | GTF_writing;

    bool good = pair_run(pair_attacker, map_it, how) == GNTST_okay;
    good &= pair_run(pair_witness, used, how & 16 ? REF_RO : REF) == want;
    good &= pair_run(pair_witness, can_be_table, 0) == readonly;
    good &= pair_run(pair_attacker, unmap_it, end) == GNTST_okay;
    good &= pair_run(pair_witness, used, how & 16 ? REF_RO : REF) == 0;
    good &= pair_run(pair_witness, can_be_table, 0) == 1;
    good &= pair_run(pair_attacker, unmap_it, 0) == GNTST_bad_handle;
    if (!test_true("43a", "mapped and unmapped", good))
        test_note("how %lx end %lx", how, end);
}

static void inverses(void)
{
    for (uint64_t parts = 0; parts < 3; parts++)
        for (uint64_t readonly = 0; readonly < 8; readonly += 4)
            for (uint64_t by_entry = 0; by_entry < 16; by_entry += 8)
                for (uint64_t end = 0; end < 4; end++)
                    one_combination(parts | readonly | by_entry | (readonly && end & 1 ? 16 : 0),
                                    end);
    test_eq("43b", "writable of a read-only grant", pair_run(pair_attacker, map_it, 16) < 0, 1);
    pair_check("43a");
}

/* Several mappings of one page: the last writable one decides. */
static void counted(void)
{
    static const uint64_t how[] = {0, 4, 1, 2 | 4, 8, 20};

    for (uint64_t i = 0; i < 6; i++)
        test_eq("43c", "map", pair_run(pair_attacker, map_it, how[i] | i << 8), GNTST_okay);
    test_eq("43c", "no table", pair_run(pair_witness, can_be_table, 0), 0);
    for (uint64_t i = 0; i < 6; i++) {
        test_eq("43c", "table", pair_run(pair_witness, can_be_table, 0), i > 4);
        test_eq("43c", "unmap", pair_run(pair_attacker, unmap_it, i << 8), GNTST_okay);
    }
    test_eq("43c", "table", pair_run(pair_witness, can_be_table, 0), 1);
    test_eq("43c", "in use",
            pair_run(pair_witness, used, REF) | pair_run(pair_witness, used, REF_RO), 0);
    pair_check("43c");
}

/* The page is the witness's table while we hold it to be read: it stays one, and we cannot write to it. */
static int64_t pin_it(uint64_t pin)
{
    long ret;

    if (!pin) {
        ret = test_unpin(page);
        return ret ? ret : mm_home(page, PTE_RW);
    }
    memset(mm_va(page), 0, MM_PAGE);
    mm_home(page, PTE_RO);
    ret = test_pin(1, page);
    if (ret)
        mm_home(page, PTE_RW);
    return ret;
}

static void table_meanwhile(void)
{
    test_eq("12d", "map to be read", pair_run(pair_attacker, map_it, 5), GNTST_okay);
    test_eq("12d", "made a table", pair_run(pair_witness, pin_it, 1), 0);
    test_true("12d", "not to be mapped writable now", pair_run(pair_attacker, map_it, 0x101) < 0);
    test_true("12d", "nor for devices", pair_run(pair_attacker, map_it, 0x100) < 0);
    test_eq("12d", "unmap", pair_run(pair_attacker, unmap_it, 0), GNTST_okay);
    test_eq("12d", "not in use", pair_run(pair_witness, used, REF), 0);
    test_eq("12d", "data again", pair_run(pair_witness, pin_it, 0), 0);
    test_eq("12d", "now it is to be had", pair_run(pair_attacker, map_it, 1), GNTST_okay);
    test_true("12d", "and is no table", pair_run(pair_witness, pin_it, 1) < 0);
    test_eq("12d", "unmap", pair_run(pair_attacker, unmap_it, 0), GNTST_okay);
    pair_run(pair_witness, grant_page, pair_id(pair_attacker));
    pair_check("12d");
}

/* ---- 44: the entry is what it is said to be ---- */

static int64_t entries(uint64_t foreign)
{
    const struct gnttab_map_grant_ref *op = &held[0];
    uint64_t own = mm_alloc(), mapping;
    struct gnttab_unmap_and_replace r = {.status = 99};
    struct gnttab_map_grant_ref at = {.flags = GNTMAP_host_map | GNTMAP_contains_pte,
                                      .ref = REF,
                                      .dom = (domid_t)pair_facts()->other};
    static const uint64_t nowhere[] = {0xffff820000000000, 0x0000800000000000, 0xffffb00000000000,
                                       ~7ul};

    at.host_addr = foreign;
    test_true("44a", "an entry of another's table", grant_map(&at) < 0);
    test_eq("44b", "map", map_it(1), GNTST_okay);
    mapping = grant_entry(SLOT);
    mm_set(grant_slot(SLOT + 1), mm_entry(own, PTE_RW));
    test_true("44b", "at another entry", grant_unmap(op->handle, grant_va(SLOT + 1), 0) < 0);
    for (unsigned int i = 0; i < 4; i++) {
        test_true("44b", "nowhere", grant_unmap(op->handle, nowhere[i], 0) < 0);
        r.host_addr = grant_va(SLOT);
        r.new_addr = nowhere[i];
        r.handle = op->handle;
        test_true("44c", "replaced by nothing that is ours",
                  grant_call(GNTTABOP_unmap_and_replace, &r, 1) || r.status < 0);
    }
    test_eq("44d", "a second mapping", map_it(0x201), GNTST_okay);
    r.new_addr = grant_va(SLOT + 2);
    test_true("44d", "replaced by a mapping of a grant",
              grant_call(GNTTABOP_unmap_and_replace, &r, 1) || r.status < 0);
    test_eq("44d", "unmap", unmap_it(0x201), GNTST_okay);
    test_true("44d", "it stands", test_same_entry(grant_entry(SLOT), mapping));
    test_eq("44e", "less rights by an ordinary update", mm_set(grant_slot(SLOT), mapping & ~PTE_W),
            0);
    test_true("44e", "not what was mapped", grant_unmap(op->handle, grant_va(SLOT), 0) < 0);
    test_refused("44e", "and not writable again", mm_set(grant_slot(SLOT), mapping));
    test_eq("44e", "gone by an ordinary update", mm_set(grant_slot(SLOT), 0), 0);
    test_true("44e", "nothing to unmap", grant_unmap(op->handle, grant_va(SLOT), 0) < 0);
    mm_set(grant_slot(SLOT + 1), 0);
    mm_free(own);
    return 0;
}

/* ---- 46 and 48 ---- */

static int64_t bad_names(uint64_t foreign_frame)
{
    static const uint32_t refs[] = {512, 2048, 2049, 0x7fffffff, 0x80000000, 0xffffffff};
    static const uint32_t handles[] = {0, 1, 255, 1024, 1025, 0x7fffffff, 0xffffffff};
    const unsigned int doms[] = {DOMID_SELF,
                                 DOMID_IO,
                                 DOMID_XEN,
                                 DOMID_COW,
                                 DOMID_INVALID,
                                 DOMID_IDLE,
                                 0x7ef0,
                                 (unsigned int)pair_facts()->dead,
                                 0};
    uint64_t own = mm_alloc();
    uint32_t h;

    for (unsigned int i = 0; i < sizeof(refs) / sizeof(refs[0]); i++)
        test_eq("46a", "reference",
                grant_map_at(SLOT, (unsigned int)pair_facts()->other, refs[i], 0, &h),
                GNTST_bad_gntref);
    for (unsigned int ref = 0; ref < 512; ref++)
        if (ref != REF && ref != REF_RO &&
            grant_map_at(SLOT, (unsigned int)pair_facts()->other, ref, 0, &h) >= 0)
            test_true("46a", "not offered", false);
    for (unsigned int i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
        test_true("46b", "handle", grant_unmap(handles[i], grant_va(SLOT), 0) < 0);
    for (unsigned int i = 0; i < sizeof(doms) / sizeof(doms[0]); i++) {
        struct gnttab_setup_table s = {.dom = (domid_t)doms[i], .nr_frames = 1, .status = 99};
        struct gnttab_query_size q = {.dom = (domid_t)doms[i], .status = 99};
        xen_pfn_t frame = 0;

        if (!test_true("46c", "domain", grant_map_at(SLOT, doms[i], REF, 0, &h) < 0))
            test_note("domain %x", doms[i]);
        set_xen_guest_handle(s.frame_list, &frame);
        if (doms[i] == DOMID_SELF)
            continue;
        test_true("46d", "its table", grant_call(GNTTABOP_setup_table, &s, 1) || s.status < 0);
        test_true("46d", "its size", grant_call(GNTTABOP_query_size, &q, 1) || q.status < 0);
        test_eq("46d", "no frame is told", (int64_t)frame, 0);
    }
#define COPY(s, d, f)                                                                              \
    grant_copy(&(struct gnttab_copy){.source = s, .dest = d, .len = 8, .flags = f})
    struct gnttab_copy_ptr mine = {.u.gmfn = mm_mfn(own), .domid = DOMID_SELF};
    struct gnttab_copy_ptr theirs = {.u.gmfn = foreign_frame,
                                     .domid = (domid_t)pair_facts()->other};
    struct gnttab_copy_ptr as_mine = {.u.gmfn = foreign_frame, .domid = DOMID_SELF};
    struct gnttab_copy_ptr granted = {.u.ref = REF, .domid = (domid_t)pair_facts()->other};
    struct gnttab_copy_ptr readonly = {.u.ref = REF_RO, .domid = (domid_t)pair_facts()->other};
    test_true("48a", "by frame from another", COPY(theirs, mine, 0) < 0);
    test_true("48a", "by frame to another", COPY(mine, theirs, 0) < 0);
    test_true("48a", "another's frame as ours", COPY(as_mine, mine, 0) < 0);
    test_true("48a", "to another's frame as ours", COPY(mine, as_mine, 0) < 0);
    test_true("48b", "to a read-only grant", COPY(mine, readonly, GNTCOPY_dest_gref) < 0);
    test_eq("48b", "from it", COPY(readonly, mine, GNTCOPY_source_gref), GNTST_okay);
    *(uint64_t *)mm_va(own) = 0x4242424242424242;
    test_eq("48b", "to a grant", COPY(mine, granted, GNTCOPY_dest_gref), GNTST_okay);
    test_eq("48b", "from one to the other of the same page", COPY(readonly, granted, 3),
            GNTST_okay);
#undef COPY
    mm_free(own);
    return 0;
}

/* ---- 45: a granter that changes its entry all the time [SMP] ---- */

static uint64_t second_page;

static int64_t flip(uint64_t to)
{
    volatile uint64_t *e = (volatile uint64_t *)&grant_table[REF];
    uint64_t good = mm_mfn(page) << 32 | to << 16 | GTF_permit_access;

    if (!second_page)
        second_page = mm_alloc();
    memset(mm_va(page), 0x11, MM_PAGE);
    memset(mm_va(second_page), 0x22, MM_PAGE);
    const uint64_t words[] = {good,
                              good | GTF_readonly,
                              (good & 0xffffffff) | mm_mfn(second_page) << 32,
                              (good & 0xffffffff) | mm_mfn(mm_root()) << 32,
                              (good & 0xffffffff) | 0xfee00ul << 32,
                              good ^ 77u << 16,
                              good | GTF_sub_page,
                              (good & ~3ul) | GTF_transitive,
                              0};
    for (uint64_t i = 0; !pair_told_to_stop(); i++)
        *e = words[i % 9];
    *e = 0;
    grant_offer(REF, (unsigned int)to, mm_mfn(page), 0);
    return 0;
}

/* Every outcome is one reading of the entry: no page but the two offered is ever seen. */
static int64_t use_while_it_flips(uint64_t rounds)
{
    unsigned int odd = 0, mapped = 0, copied = 0;
    uint64_t to = mm_alloc(), foreign = pair_facts()->frame, other_foreign = pair_facts()->port;
    struct gnttab_copy c = {.source = {.u.ref = REF, .domid = (domid_t)pair_facts()->other},
                            .dest = {.u.gmfn = mm_mfn(to), .domid = DOMID_SELF},
                            .len = 8,
                            .flags = GNTCOPY_source_gref};

    for (unsigned int i = 0; test_race(i, (unsigned int)rounds); i++) {
        uint64_t seen;

        if (map_it(i % 3 | (i & 4)) == GNTST_okay) {
            uint64_t frame = held[0].dev_bus_addr / MM_PAGE;

            mapped++;
            odd += frame != foreign && frame != other_foreign && !(i & 4);
            odd += (held[0].flags & GNTMAP_host_map) &&
                   (grant_entry(SLOT) & PTE_ADDR) / MM_PAGE != frame;
            odd += unmap_it(i & 3) != GNTST_okay;
        }
        memset(mm_va(to), 0, 8);
        if (grant_copy(&c) != GNTST_okay)
            continue;
        copied++;
        seen = *(volatile uint64_t *)mm_va(to);
        (void)seen;
    }
    test_eq("45a", "every outcome is one reading of the entry", odd, 0);
    test_note("%u mapped, %u copied", mapped, copied);
    mm_free(to);
    return 0;
}

static int64_t frame_of_second(uint64_t arg)
{
    (void)arg;
    if (!second_page)
        second_page = mm_alloc();
    return (int64_t)mm_mfn(second_page);
}

static void flipping(void)
{
    struct pair_facts *f = pair_facts_of(pair_attacker);

    f->frame = (uint64_t)pair_run(pair_witness, grant_page, pair_id(pair_attacker));
    f->port = (uint64_t)pair_run(pair_witness, frame_of_second, 0);
    pair_start(pair_witness, flip, pair_id(pair_attacker));
    test_eq("45a", "use", pair_run(pair_attacker, use_while_it_flips, 20000), 0);
    pair_tell_to_stop(pair_witness);
    pair_wait(pair_witness);
    test_eq("45b", "afterwards nothing is in use", pair_run(pair_witness, used, REF), 0);
    test_eq("45b", "and the page can be a table", pair_run(pair_witness, can_be_table, 0), 1);
    pair_check("45a");
}

/* ---- 49: everything exhausted, and then the end ---- */

static int64_t exhaust(uint64_t arg)
{
    static struct gnttab_map_grant_ref m[64];
    uint64_t made = 0;
    int last = 0;

    (void)arg;
    while (!last) {
        for (unsigned int i = 0; i < 64; i++)
            m[i] = (struct gnttab_map_grant_ref){.flags = GNTMAP_device_map,
                                                 .ref = REF,
                                                 .dom = (domid_t)pair_facts()->other,
                                                 .status = 99};
        if (grant_call(GNTTABOP_map_grant_ref, m, 64))
            return -1;
        for (unsigned int i = 0; i < 64 && !last; i++) {
            last = m[i].status;
            made += !last;
        }
    }
    test_eq("49a", "there is an end", last, GNTST_no_space);
    return made == 4 * 256 ? 0 : (int64_t)made;
}

static void exhausted(void)
{
    pair_run(pair_witness, grant_page, pair_id(pair_attacker));
    pair_attack("49a", exhaust, 0);
    test_eq("49a", "no table now", pair_run(pair_witness, can_be_table, 0), 0);
    pair_end_attacker("49b");
    test_eq("49b", "with the mapper everything has gone", pair_run(pair_witness, used, REF), 0);
    test_eq("49b", "the page can be a table", pair_run(pair_witness, can_be_table, 0), 1);
}

/* ---- the end of either side ---- */

/* The mapper dies with every kind of mapping. */
static void mapper_dies(void)
{
    pair_new_attacker(1);
    pair_run(pair_witness, grant_page, pair_id(pair_attacker));
    for (uint64_t i = 0; i < 6; i++)
        test_eq("43e", "map",
                pair_run(pair_attacker, map_it, (i % 3) | (i & 1) * 4 | (i & 2) * 4 | i << 8),
                GNTST_okay);
    test_true("43e", "in use", pair_run(pair_witness, used, REF) != 0);
    pair_end_attacker("43e");
    test_eq("43e", "not in use", pair_run(pair_witness, used, REF), 0);
    test_eq("43e", "the page can be a table", pair_run(pair_witness, can_be_table, 0), 1);
}

/* The granter dies while the witness has its page mapped, in every way: the page stays till the last unmap. */
static void granter_dies(uint64_t how)
{
    pair_new_attacker(1);
    pair_facts_of(pair_witness)->other = pair_id(pair_attacker);
    pair_run(pair_attacker, grant_page, pair_id(pair_witness));
    test_eq("27b", "map", pair_run(pair_witness, map_it, how), GNTST_okay);
    pair_kill_attacker();
    test_true("27b", "it is not gone yet", control_flags(pair_id(pair_attacker)) >= 0);
    test_true("27b", "no more of it", pair_run(pair_witness, map_it, 0x100) < 0);
    test_true("27b", "cannot be destroyed twice over",
              control_destroy(pair_id(pair_attacker)) == 0);
    test_eq("27b", "unmap", pair_run(pair_witness, unmap_it, how & 1), GNTST_okay);
    pair_gone("27b");
    pair_check("27b");
}

static void story(void)
{
    struct pair_facts *f;

    pair_begin(1);
    pair_new_attacker(2);
    f = pair_facts_of(pair_attacker);
    f->dead = 0x7e00;
    pair_run(pair_witness, grant_page, pair_id(pair_attacker));
    inverses();
    counted();
    table_meanwhile();
    pair_attack("46a", bad_names, f->other_frame);
    test_eq("48b", "the copy has arrived", pair_run(pair_witness, first_word, 0),
            0x4242424242424242);
    pair_attack("44a", entries, f->other_table * MM_PAGE);
    pair_end_attacker("44f");
    test_eq("44f", "the handle that could not be ended went with its domain",
            pair_run(pair_witness, used, REF), 0);
    pair_new_attacker(2);
    flipping();
    exhausted();
    mapper_dies();
    for (uint64_t how = 0; how < 16; how++)
        if ((how & 3) < 3)
            granter_dies(how);
}

int main(void)
{
    return pair_main("pair-grants", story);
}

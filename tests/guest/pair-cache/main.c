/* SPDX-License-Identifier: MIT */
/*
 * The buffer cache under hostile guests (invariants 1, 10, 12, 18, 23, 27, 45, 48): domain 0 keeps every free frame filled with pages that it can
 * tell. Guests cannot call for it; what they give back becomes cache, and they still write to it through what a CPU remembers; they take frames
 * that were cached, and look; they change the grants that pages are copied to; they are killed meanwhile. No page is ever read wrong.
 *
 * run: smp=3 guests=self deadline=240
 * also alone: smp=1
 */
#define __XEN_TOOLS__ 1
#include <bare/pair.h>

#define REF   20u
#define PAGES 4096u /* of the object: more than are free */
#define SOME  16u
#define POOL  24u

static uint32_t object;
static uint64_t source, check; /* pages of domain 0 */

/* ---- domain 0: pages in and out ---- */

static long cache(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_pal_op, cmd, HC_ADDR(arg), 0, 0, 0);
}

/* Every word of a page tells which it is. */
static uint64_t word_of(uint64_t page)
{
    return 0xcac4e00000000000 | page << 8 | 0x5a;
}

static int64_t insert(uint64_t page)
{
    uint64_t *words = mm_va(source);
    struct pal_cache_page p = {.page = page, .address = HC_ADDR(words), .status = 99};
    struct pal_cache_list list = {
        .object = object, .domain = PAL_CACHE_NOBODY, .count = 1, .list = HC_ADDR(&p)};

    for (unsigned int i = 0; i < MM_PAGE / 8; i++)
        words[i] = word_of(page);
    long rc = cache(PALOP_cache_insert, &list);
    return rc == 1 ? p.status : rc;
}

static int64_t copy_to(unsigned int domain, uint32_t ref, uint64_t page)
{
    struct pal_cache_copy c = {.page = page, .ref = ref, .length = MM_PAGE, .status = 99};
    struct pal_cache_list list = {
        .object = object, .domain = domain, .count = 1, .list = HC_ADDR(&c)};
    long rc = cache(PALOP_cache_copy, &list);

    return rc == 1 ? c.status : rc;
}

/* A hit that is the right page, or a miss. */
static bool reads_right(uint64_t page, unsigned int *hits)
{
    volatile uint64_t *words = mm_va(check);
    int64_t status = copy_to(0, REF, page);

    if (status == -XEN_ENOENT)
        return true;
    for (unsigned int i = 0; i < MM_PAGE / 8 && !status; i++)
        if (words[i] != word_of(page))
            status = -1;
    *hits += !status;
    return !status;
}

static void all_right(const char *id)
{
    unsigned int hits = 0, wrong = 0;

    for (uint64_t page = 0; page < PAGES; page++)
        wrong += !reads_right(page, &hits);
    test_eq(id, "pages that are not what they were", wrong, 0);
    test_note("%s: %u pages read", id, hits);
}

static void reader(unsigned int domain, bool allow)
{
    struct pal_cache_reader r = {.object = object, .domain = domain, .allow = allow};

    test_eq("10a", "reader", cache(PALOP_cache_reader, &r), 0);
}

static void begin(void)
{
    struct pal_cache_object o = {.name = {1, 2}, .pages = PAGES};

    grant_init();
    source = mm_alloc();
    check = mm_alloc();
    grant_offer(REF, 0, mm_mfn(check), 0);
    object = (uint32_t)cache(PALOP_cache_object, &o);
    reader(0, true);
}

/* Until no frame is free that holds no page, or for so many pages. */
static uint64_t fill(uint64_t from, uint64_t count)
{
    uint64_t n;

    for (n = 0; n < count; n++) {
        int64_t status = insert((from + n) % PAGES);

        if (status && status != -XEN_EEXIST)
            break;
    }
    return n;
}

static void forget(bool retire)
{
    struct pal_cache_drop d = {.object = ~0u, .retire = retire};

    test_eq("10a", "drop", cache(PALOP_cache_drop, &d), 0);
}

/* ---- 10, 1: who may call ---- */

static int64_t calls(uint64_t arg)
{
    uint64_t zeroes[32] = {0};

    (void)arg;
    for (unsigned int cmd = PALOP_cache_object; cmd <= PALOP_cache_pages; cmd++) {
        test_eq("10a", "a guest's call", cache(cmd, zeroes), -XEN_EPERM);
        test_eq("10a", "with a pointer to nowhere",
                hypercall(__HYPERVISOR_pal_op, cmd, 0xffff830000000000, 0, 0, 0), -XEN_EPERM);
    }
    return 0;
}

static void wrong_arguments(void)
{
    struct pal_cache_list list = {.object = object, .count = PAL_CACHE_BATCH + 1};

    for (unsigned int cmd = PALOP_cache_object; cmd <= PALOP_cache_pages; cmd++)
        test_eq("1a", "an argument in the hypervisor",
                hypercall(__HYPERVISOR_pal_op, cmd, 0xffff830000000000, 0, 0, 0), -XEN_EFAULT);
    test_eq("4a", "too long a list", cache(PALOP_cache_copy, &list), -XEN_EINVAL);
    list = (struct pal_cache_list){.object = object, .count = 1, .list = 0xffff830000000000};
    test_eq("1a", "a list in the hypervisor", cache(PALOP_cache_insert, &list), -XEN_EFAULT);
    list.domain = 0;
    test_eq("1a", "a list in the hypervisor", cache(PALOP_cache_copy, &list), -XEN_EFAULT);
    struct pal_cache_page p = {.page = 1, .address = 0xffff830000000000};
    list = (struct pal_cache_list){
        .object = object, .domain = PAL_CACHE_NOBODY, .count = 1, .list = HC_ADDR(&p)};
    test_eq("1a", "a page in the hypervisor", cache(PALOP_cache_insert, &list), 1);
    test_eq("1a", "is not inserted", p.status, -XEN_EFAULT);
    test_eq("10b", "for a domain that is not on the list", copy_to(pair_id(pair_witness), REF, 1),
            -XEN_EPERM);
    test_eq("10b", "for none", copy_to(0x7777, REF, 1), -XEN_EPERM);
    test_eq("10b", "for the regions' owner", copy_to(PAL_DOMID_REGION, REF, 1), -XEN_EPERM);
}

/* ---- 23: frames that were cached, seen by their next owner ---- */

static int64_t look_for_pages(uint64_t arg)
{
    uint64_t found = 0, looked = 0;

    (void)arg;
    for (; mm_free_frames() > 64 && looked < 512; looked++) {
        const volatile uint64_t *words = mm_va(mm_alloc_raw());

        for (unsigned int i = 0; i < MM_PAGE / 8; i++)
            found += words[i] != 0;
    }
    test_true("23a", "looked at some", looked > 100);
    test_eq("23a", "words of others", (int64_t)found, 0);
    return 0;
}

static void next_owner(void)
{
    for (unsigned int i = 0; i < 3; i++) {
        fill(i * 1000, PAGES);
        pair_kill_attacker();
        pair_new_attacker(2);
        test_eq("23a", "a new domain", pair_run(pair_attacker, look_for_pages, 0), 0);
        all_right("23a");
    }
    pair_check("23a");
}

/* ---- 18, 24: what was given back is not to be written any more ---- */

static uint64_t pool[POOL];
static volatile int over;

/* vCPU 1 writes all the time, by translations that its CPU may still have. */
static void write_on(void *arg)
{
    (void)arg;
    while (!over)
        for (unsigned int i = 0; i < POOL; i++)
            trap_write(HC_ADDR(mm_va(pool[i])) + 8 * (i + 1), 0x5757575757575757);
}

/* vCPU 0 gives pages back without a flush, and takes others, until told to stop: what comes holds nothing but what we write ourselves. */
static int64_t give_and_take(uint64_t arg)
{
    struct xen_memory_reservation r = {.nr_extents = POOL, .domid = DOMID_SELF};
    xen_pfn_t list[POOL];
    uint64_t strange = 0, rounds = 0;

    (void)arg;
    for (unsigned int i = 0; i < POOL && !pool[i]; i++)
        pool[i] = mm_alloc();
    over = 0;
    vcpu_run(1, write_on, NULL);
    set_xen_guest_handle(r.extent_start, list);
    for (; !pair_told_to_stop() || rounds < 3; rounds++) {
        for (unsigned int i = 0; i < POOL; i++) {
            list[i] = mm_mfn(pool[i]);
            hc_update_va(HC_ADDR(mm_va(pool[i])), 0, UVMF_NONE);
        }
        test_eq("18a", "given back", hc_memory(XENMEM_decrease_reservation, &r), POOL);
        for (unsigned int i = 0; i < 200; i++)
            vcpu_yield();
        for (unsigned int i = 0; i < POOL; i++)
            list[i] = pool[i];
        test_eq("18a", "taken", hc_memory(XENMEM_populate_physmap, &r), POOL);
        for (unsigned int i = 0; i < POOL; i++) {
            const volatile uint64_t *words = mm_va(pool[i]);

            mm_set_p2m(pool[i], list[i]);
            hc_update_va(HC_ADDR(words), list[i] * MM_PAGE | PTE_RW, UVMF_NONE);
            for (unsigned int k = 0; k < MM_PAGE / 8; k++)
                strange += words[k] && words[k] != 0x5757575757575757;
        }
    }
    over = 1;
    vcpu_join(1);
    test_eq("23b", "words of others in pages that came", (int64_t)strange, 0);
    test_note("%lu rounds", rounds);
    return 0;
}

static void stale_writers(void)
{
    unsigned int hits = 0, wrong = 0;

    forget(false);
    pair_start(pair_attacker, give_and_take, 0);
    for (unsigned int i = 0; test_race_until(i, 4000, hits); i++) {
        fill(test_random() % PAGES, SOME);
        for (unsigned int k = 0; k < SOME; k++)
            wrong += !reads_right(test_random() % PAGES, &hits);
    }
    pair_tell_to_stop(pair_attacker);
    test_eq("18a", "the writer", pair_wait(pair_attacker), 0);
    test_eq("18a", "pages that are not what they were", wrong, 0);
    test_true("18a", "pages were read", hits > 0);
    all_right("18a");
    pair_check("18a");
}

/* ---- 45, 48, 12: grants that change while pages are copied to them ---- */

static int64_t flip(uint64_t table)
{
    volatile uint64_t *e;
    uint64_t a = mm_alloc(), b = mm_alloc(), good;

    grant_init();
    e = (volatile uint64_t *)&grant_table[REF];
    good = mm_mfn(a) << 32 | GTF_permit_access;
    const uint64_t words[] = {good,
                              good | GTF_readonly,
                              (good & 0xffffffff) | mm_mfn(b) << 32,
                              (good & 0xffffffff) | mm_mfn(mm_root()) << 32,
                              (good & 0xffffffff) | table << 32,
                              (good & 0xffffffff) | 0xfee00ul << 32,
                              good ^ 77u << 16,
                              good | GTF_sub_page,
                              0};

    for (uint64_t i = 0; !pair_told_to_stop(); i++) {
        *e = words[i % 9];
        /* The second page is a table now and then. */
        if (i % 64 == 0 && !mm_home(b, PTE_RO)) {
            bool pinned;

            memset(mm_va(a), 0, MM_PAGE);
            pinned = test_pin(1, b) == 0;
            if (pinned)
                test_unpin(b);
            mm_home(b, PTE_RW);
            memset(mm_va(b), 0, MM_PAGE);
        }
    }
    *e = 0;
    return 0;
}

static void flipping(void)
{
    unsigned int done = 0, refused = 0, odd = 0;

    fill(0, 200);
    reader(pair_id(pair_attacker), true);
    pair_start(pair_attacker, flip, pair_facts_of(pair_attacker)->other_table);
    for (unsigned int i = 0; test_race_until(i, 20000, done > 50 && refused > 50); i++) {
        int64_t status = copy_to(pair_id(pair_attacker), REF, i % 200);

        done += status == 0;
        refused += status == -XEN_EACCES;
        odd += status && status != -XEN_EACCES && status != -XEN_ENOENT;
    }
    pair_tell_to_stop(pair_attacker);
    test_eq("45a", "the flipper", pair_wait(pair_attacker), 0);
    test_eq("45a", "other answers", odd, 0);
    test_true("45a", "some copied, some refused", done > 50 && refused > 50);
    test_note("%u copied, %u refused", done, refused);
    pair_check("45a");
}

/* ---- 27: killed while it reads, and while its frames come and go ---- */

static void killed(void)
{
    for (unsigned int i = 0; i < 6; i++) {
        unsigned int reads = (unsigned int)(test_random() % 300);

        reader(pair_id(pair_attacker), true);
        pair_start(pair_attacker, i & 1 ? flip : give_and_take, 0);
        for (unsigned int k = 0; k < reads; k++) {
            (void)copy_to(pair_id(pair_attacker), REF, k);
            fill(test_random() % PAGES, 2);
        }
        pair_kill_attacker();
        test_eq("27a", "its number reads no more", copy_to(pair_id(pair_attacker), REF, 1),
                -XEN_EPERM);
        pair_new_attacker(2);
        test_eq("27a", "nor does the next of it", copy_to(pair_id(pair_attacker), REF, 1),
                -XEN_EPERM);
        all_right("27a");
    }
    pair_check("27a");
}

static void story(void)
{
    struct pal_audit a = {0};

    pair_begin(1);
    pair_new_attacker(2);
    pair_attack("10a", calls, 0);
    begin();
    wrong_arguments();
    fill(0, 300);
    all_right("48a");
    next_owner();
    stale_writers();
    flipping();
    killed();
    fill(0, PAGES);
    test_eq("51a", "the books, with every free frame in the cache",
            hypercall(__HYPERVISOR_pal_op, PALOP_audit, HC_ADDR(&a), 0, 0, 0), 0);
    forget(true);
    pair_check("51a");
    /* The books of a domain's life, now that nothing of the cache changes them. */
    pair_kill_attacker();
    pair_new_attacker(2);
    pair_end_attacker("51b");
}

int main(void)
{
    return pair_main("pair-cache", story);
}

/* SPDX-License-Identifier: MIT */
#include "abi/pal.h"
#include "mm/bufcache.h"
#include "play.h"

#include "../../../mm/grant_internal.h"

#define POOL         12
#define HOLDS        4
#define GRANTS       4
#define GRANT_KINDS  180  /* operations from here on are about grants */
#define CACHE_KINDS  235  /* and from here on about the buffer cache */
#define REGION_KINDS 224  /* and from here on about regions */
#define REFS         6    /* that a domain plays with */
#define AREA         4096 /* of the guest buffer, for each operation of a round */

struct op {
    unsigned domain, vcpu;
    uint8_t kind, a, b, c, d;
    uint8_t *area;
};

static mfn_t pool[FAKE_DOMAINS][POOL];
static mfn_t holds[HOLDS];
static struct gnttab_map_grant_ref grants[FAKE_DOMAINS][GRANTS]; /* the last that were made */

static void count_holds(void)
{
    for (unsigned i = 0; i < HOLDS; i++) {
        if (holds[i].n)
            mm_audit_count(holds[i], true);
    }
}

/* ---- choosing ---- */

static mfn_t frame_by(const struct op *o, uint8_t n)
{
    if (n < 200)
        return pool[o->domain][n % POOL];
    if (n < 240)
        return pool[(o->domain + 1) % FAKE_DOMAINS][n % POOL];
    return mfn(n < 248 ? FAKE_FRAMES - FAKE_IO + n % 4 : n); /* I/O; frames of the allocator */
}

/* Mostly one that was set up as a table. */
static mfn_t table_by(const struct op *o, uint8_t n)
{
    if (n < 160)
        return pool[o->domain][3 + n % 2];
    return n < 200 ? pool[o->domain][n % 5] : frame_by(o, (uint8_t)(n * 5));
}

static unsigned slot_by(uint8_t n)
{
    static const unsigned slots[] = {63, 64, 256, 271, 272, 511};

    return n < 220 ? n % 4 : slots[n % ARRAY_SIZE(slots)];
}

static uint64_t flags_by(uint8_t n)
{
    static const uint64_t flags[] = {
        PTE_P | PTE_RW | PTE_US,
        PTE_P | PTE_US,
        PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D,
        PTE_P | PTE_RW,
        0,
        PTE_P | PTE_NX | PTE_US,
        PTE_P | PTE_RW | PTE_PSE,
        PTE_P | PTE_RW | PTE_G,
    };

    /* Mostly the ordinary ones. */
    return flags[n < 160 ? n % 3 : n % ARRAY_SIZE(flags)];
}

static uint64_t va_by(uint8_t n)
{
    return ((uint64_t)slot_by(n) << 12) + ((uint64_t)(n % 16 / 13) << 21);
}

/* ---- operations ---- */

static void do_update(struct op *o, unsigned count, unsigned foreign)
{
    struct mmu_update *r = (void *)o->area;

    for (unsigned i = 0; i < count; i++) {
        unsigned slot = slot_by((uint8_t)(o->b + i));

        r[i].ptr = mfn_to_maddr(table_by(o, o->a)).a + slot * 8;
        if (o->d >= 240)
            r[i].ptr |= MMU_PT_UPDATE_PRESERVE_AD;
        r[i].val = pte_make(frame_by(o, (uint8_t)(o->c + i)), flags_by(o->d));
    }
    (void)mm_mmu_update(fake_v(o->domain, o->vcpu), fake_va(r), count, 0, foreign);
}

static void do_reservation(struct op *o, unsigned cmd)
{
    struct xen_memory_reservation *r = (void *)o->area;
    xen_pfn_t *list = (void *)(o->area + 256);
    mfn_t *where = &pool[o->domain][o->a % POOL];

    r->extent_start.p = list;
    r->nr_extents = 1;
    r->extent_order = 0;
    r->mem_flags = 0;
    r->domid = DOMID_SELF;
    *list = cmd == XENMEM_decrease_reservation ? where->n : o->b;
    if (mm_memory_op(fake_v(o->domain, o->vcpu), cmd, fake_va(r)) == 1 &&
        cmd != XENMEM_decrease_reservation)
        *where = mfn(*list);
}

static void do_exchange(struct op *o)
{
    struct xen_memory_exchange *x = (void *)o->area;
    xen_pfn_t *in = (void *)(o->area + 256), *out = (void *)(o->area + 512);
    mfn_t *first = &pool[o->domain][o->a % POOL], *second = &pool[o->domain][o->b % POOL];

    memset(x, 0, sizeof(*x));
    in[0] = first->n;
    in[1] = second->n;
    out[0] = 1;
    out[1] = 2;
    x->in.extent_start.p = in;
    x->out.extent_start.p = out;
    x->in.nr_extents = 2;
    x->out.nr_extents = o->c & 1 ? 1 : 2;
    x->out.extent_order = o->c & 1;
    x->in.domid = x->out.domid = DOMID_SELF;
    if (mm_memory_op(fake_v(o->domain, o->vcpu), XENMEM_exchange, fake_va(x)) == 0) {
        CHECK_EQ(x->nr_exchanged, 2);
        *first = mfn(out[0]);
        *second = mfn(o->c & 1 ? out[0] + 1 : out[1]);
    } else {
        CHECK_EQ(x->nr_exchanged, 0);
        CHECK(out[0] == 1 && out[1] == 2);
    }
}

static void do_hold(struct op *o)
{
    mfn_t *h = &holds[o->a % HOLDS], m;

    if (h->n) {
        m = *h;
        *h = mfn(0);
        mm_release_writable(fake_d(o->domain), m);
        return;
    }
    /* Looked up once: another vCPU may exchange the frame of the pool while this one waits. */
    m = frame_by(o, o->b);
    if (mm_hold_writable(fake_d(o->domain), m))
        return;
    if (h->n) /* another took the place meanwhile */
        mm_release_writable(fake_d(o->domain), m);
    else
        *h = m;
}

static void do_ext(struct op *o, unsigned cmd)
{
    struct mmuext_op *e = (void *)o->area;

    e->cmd = cmd;
    e->arg1.mfn = frame_by(o, o->a).n;
    e->arg2.src_mfn = frame_by(o, o->b).n;
    (void)mm_mmuext_op(fake_v(o->domain, o->vcpu), fake_va(e), 1, 0, DOMID_SELF);
}

static void do_trapped(struct op *o)
{
    uint64_t expected = 0;

    struct mm_vcpu *v = fake_v(o->domain, o->vcpu);
    uint64_t va = va_by(o->a) + slot_by(o->b) * 8;
    struct frame *table = mm_trapped_table(v, va);

    if (table)
        (void)mm_trapped_write(v, table, va, &expected, pte_make(frame_by(o, o->c), flags_by(o->d)),
                               o->d & 1);
}

static void do_descriptors(struct op *o)
{
    struct mm_vcpu *v = fake_v(o->domain, o->vcpu);
    uint64_t list[2] = {frame_by(o, o->a).n, frame_by(o, o->b).n};

    switch (o->c % 4) {
    case 0:
        (void)mm_set_gdt(v, list, o->d % 3 * 512);
        break;
    case 1:
        (void)mm_set_ldt(v, va_by(o->a), 1024);
        break;
    case 2:
        (void)mm_ldt_page(v, o->b % 3);
        break;
    default:
        (void)mm_update_descriptor(v->d, mfn_to_maddr(frame_by(o, o->a)).a + slot_by(o->b) * 8,
                                   0x00cff3000000ffffull);
    }
}

/* ---- grants ---- */

/* A kernel writes to its table: mostly a proper grant to the next domain, sometimes anything. */
static void do_entry(struct op *o)
{
    struct mm_domain *d = fake_d(o->domain);
    uint64_t *table = env_frame(mm_grant_frame(d, 0)), *e = table + o->a % REFS;
    uint64_t next = frame_by(o, o->b % 200).n << 32 | (o->domain + 1 + o->c / 160) % FAKE_DOMAINS
                                                          << 16;

    if (o->d < 180)
        next |= GTF_permit_access | (o->d & 1 ? GTF_readonly : 0);
    else
        next ^= (uint64_t)o->c << o->d % 56;
    if (o->d & 2) {
        WRITE_ONCE(*e, next);
    } else {
        uint64_t was = load_relaxed(e);

        if (!(was & (GTF_reading | GTF_writing)))
            (void)compare_exchange(e, &was, next);
    }
}

static unsigned granter_by(const struct op *o, uint8_t n)
{
    return n < 200 ? (o->domain + FAKE_DOMAINS - 1) % FAKE_DOMAINS : n % (FAKE_DOMAINS + 1);
}

static void do_map(struct op *o)
{
    struct gnttab_map_grant_ref *m = (void *)o->area;
    bool by_entry = o->d & 8;

    *m = (struct gnttab_map_grant_ref){
        .host_addr = by_entry ? mfn_to_maddr(table_by(o, o->a)).a + slot_by(o->b) * 8 : va_by(o->a),
        .flags = (1 + o->d % 3) | (o->d & 4 ? GNTMAP_readonly : 0) |
                 (by_entry ? GNTMAP_contains_pte : 0),
        .ref = o->c % REFS,
        .dom = (domid_t)granter_by(o, o->c),
    };
    CHECK_EQ(mm_grant_op(fake_v(o->domain, o->vcpu), GNTTABOP_map_grant_ref, fake_va(m), 1), 0);
    if (m->status == GNTST_okay)
        grants[o->domain][o->b % GRANTS] = *m;
}

static void do_unmap(struct op *o)
{
    const struct gnttab_map_grant_ref *m = &grants[o->domain][o->b % GRANTS];
    struct gnttab_unmap_grant_ref *u = (void *)o->area;
    unsigned parts = o->d < 200 ? m->flags : o->d;

    *u = (struct gnttab_unmap_grant_ref){
        .host_addr = parts & GNTMAP_host_map ? m->host_addr : 0,
        .dev_bus_addr = parts & GNTMAP_device_map ? m->dev_bus_addr : 0,
        .handle = m->handle,
    };
    if (o->c >= 220)
        u->host_addr = va_by(o->a);
    CHECK_EQ(mm_grant_op(fake_v(o->domain, o->vcpu), GNTTABOP_unmap_grant_ref, fake_va(u), 1), 0);
}

static void do_replace(struct op *o)
{
    const struct gnttab_map_grant_ref *m = &grants[o->domain][o->b % GRANTS];
    struct gnttab_unmap_and_replace *r = (void *)o->area;

    *r = (struct gnttab_unmap_and_replace){
        .host_addr = m->host_addr, .new_addr = va_by(o->a), .handle = m->handle};
    CHECK_EQ(mm_grant_op(fake_v(o->domain, o->vcpu), GNTTABOP_unmap_and_replace, fake_va(r), 1), 0);
}

static void do_copy(struct op *o)
{
    struct gnttab_copy *c = (void *)o->area;

    *c = (struct gnttab_copy){
        .source = {.u.gmfn = frame_by(o, o->a).n, .domid = DOMID_SELF},
        .dest = {.u.gmfn = frame_by(o, o->b).n, .domid = DOMID_SELF},
        .len = (uint16_t)(8 * (o->d % 4)),
        .flags = o->d % 4,
    };
    if (c->flags & GNTCOPY_source_gref)
        c->source.u.ref = o->a % REFS, c->source.domid = (domid_t)granter_by(o, o->c);
    if (c->flags & GNTCOPY_dest_gref)
        c->dest.u.ref = o->b % REFS, c->dest.domid = (domid_t)granter_by(o, o->c);
    CHECK_EQ(mm_grant_op(fake_v(o->domain, o->vcpu), GNTTABOP_copy, fake_va(c), 1), 0);
}

static void do_grant_table(struct op *o)
{
    if (o->d & 1) {
        struct gnttab_swap_grant_ref *s = (void *)o->area;

        *s = (struct gnttab_swap_grant_ref){o->a % REFS, o->b, 0};
        (void)mm_grant_op(fake_v(o->domain, o->vcpu), GNTTABOP_swap_grant_ref, fake_va(s), 1);
    } else {
        struct gnttab_setup_table *s = (void *)o->area;

        *s = (struct gnttab_setup_table){.dom = o->a < 200 ? DOMID_SELF : o->a % 4,
                                         .nr_frames = o->b % 4,
                                         .frame_list.p = (void *)(o->area + 256)};
        (void)mm_grant_op(fake_v(o->domain, o->vcpu), GNTTABOP_setup_table, fake_va(s), 1);
    }
}

/* ---- regions ---- */

static uint32_t region_slots[2]; /* the last that were made */

static void do_region_list(struct op *o)
{
    struct mm_vcpu *v = fake_v(o->domain, o->vcpu);
    uint32_t *slot = &region_slots[o->a % 2];

    if (o->d % 4 == 0) {
        struct pal_region_create *c = (void *)o->area;
        long made;

        memset(c, 0, sizeof(*c));
        c->name[0] = (char)('a' + o->b % 3);
        c->pages = 1 + o->c % 3;
        made = mm_region_op(v, PALOP_region_create, fake_va(c));
        if (made >= 0)
            *slot = (uint32_t)made;
    } else if (o->d % 16 == 1) {
        struct pal_region_destroy *d = (void *)o->area;

        *d = (struct pal_region_destroy){.slot = *slot};
        (void)mm_region_op(v, PALOP_region_destroy, fake_va(d));
    } else {
        struct pal_region_allow *a = (void *)o->area;

        *a = (struct pal_region_allow){
            .slot = *slot, .domain = o->b % FAKE_DOMAINS, .access = o->c % 3};
        (void)mm_region_op(v, PALOP_region_allow, fake_va(a));
    }
}

static void do_region_map(struct op *o)
{
    struct gnttab_map_grant_ref *m = (void *)o->area;
    bool by_entry = o->d & 8;

    *m = (struct gnttab_map_grant_ref){
        .host_addr = by_entry ? mfn_to_maddr(table_by(o, o->a)).a + slot_by(o->b) * 8 : va_by(o->a),
        .flags = (1 + o->d % 3) | (o->d & 4 ? GNTMAP_readonly : 0) |
                 (by_entry ? GNTMAP_contains_pte : 0),
        .ref = PAL_REGION_REF(region_slots[o->c % 2], o->c / 2 % 4),
        .dom = PAL_DOMID_REGION,
    };
    CHECK_EQ(mm_grant_op(fake_v(o->domain, o->vcpu), GNTTABOP_map_grant_ref, fake_va(m), 1), 0);
    if (m->status == GNTST_okay)
        grants[o->domain][o->b % GRANTS] = *m;
}

static void run_region_op(struct op *o)
{
    if (o->kind & 1)
        do_region_list(o);
    else
        do_region_map(o);
}

static void run_grant_op(struct op *o)
{
    switch ((o->kind - GRANT_KINDS) % 9) {
    case 0:
    case 1:
        do_entry(o);
        break;
    case 2:
    case 3:
    case 4:
        do_map(o);
        break;
    case 5:
    case 6:
        do_unmap(o);
        break;
    case 7:
        do_copy(o);
        break;
    default:
        if (o->d & 0x20)
            do_replace(o);
        else
            do_grant_table(o);
    }
}

/* ---- the buffer cache ---- */

static uint32_t objects[2]; /* the last numbers of two */

static long cache_op(struct op *o, unsigned cmd, const void *arg, size_t size)
{
    long rc;

    memcpy(o->area, arg, size);
    rc = mm_cache_op(fake_v(o->domain, o->vcpu), cmd, fake_va(o->area));
    CHECK(o->domain == 0 || rc == -XEN_EPERM);
    return rc;
}

static void do_cache_list(struct op *o, bool copy)
{
    uint8_t *entries = o->area + 256;
    struct pal_cache_list list = {.object = objects[o->a % 2],
                                  .domain = o->b < 200 ? o->b % FAKE_DOMAINS : PAL_CACHE_NOBODY,
                                  .count = 1,
                                  .list = fake_va(entries)};
    uint64_t page = o->c % 40, word = list.object + 1 + (page << 32);

    if (copy) {
        *(struct pal_cache_copy *)entries =
            (struct pal_cache_copy){.page = page, .ref = o->d % REFS, .length = PAGE_SIZE};
        (void)cache_op(o, PALOP_cache_copy, &list, sizeof(list));
    } else {
        for (unsigned i = 0; i < 512; i++)
            ((uint64_t *)(fake_buffer + FAKE_BUFFER / 2))[i] = word;
        *(struct pal_cache_page *)entries = (struct pal_cache_page){
            .page = page, .address = fake_va(fake_buffer) + FAKE_BUFFER / 2};
        (void)cache_op(o, PALOP_cache_insert, &list, sizeof(list));
    }
}

static void do_cache_rest(struct op *o)
{
    struct pal_cache_object object = {.name = {o->b % 4, 1}, .pages = 40};
    struct pal_cache_reader reader = {objects[o->a % 2], o->b % 4, o->c & 1, 0};
    struct pal_cache_drop drop = {o->b & 1 ? objects[o->a % 2] : ~0u, o->c & 1};
    struct pal_cache_limit limit = {o->b & 1 ? o->c % 3 : ~0u, o->d % 8 == 0,
                                    o->d & 1 ? ~0ull : o->c % 32};
    long number;

    switch (o->d >> 6) {
    case 0:
        number = cache_op(o, PALOP_cache_object, &object, sizeof(object));
        if (number >= 0)
            objects[o->a % 2] = (uint32_t)number;
        break;
    case 1:
        (void)cache_op(o, PALOP_cache_reader, &reader, sizeof(reader));
        break;
    case 2:
        (void)cache_op(o, PALOP_cache_drop, &drop, sizeof(drop));
        break;
    default:
        (void)cache_op(o, PALOP_cache_limit, &limit, sizeof(limit));
    }
}

static void run_cache_op(struct op *o)
{
    if (o->b % 8)
        o->domain = 0; /* others may not */
    switch ((o->kind - CACHE_KINDS) % 6) {
    case 0:
    case 1:
        do_cache_list(o, false);
        break;
    case 2:
    case 3:
        do_cache_list(o, true);
        break;
    default:
        do_cache_rest(o);
    }
}

static void run_op(void *arg)
{
    struct op *o = arg;
    struct mm_vcpu *v = fake_v(o->domain, o->vcpu);

    if (o->kind >= CACHE_KINDS) {
        run_cache_op(o);
        return;
    }

    if (o->kind >= REGION_KINDS) {
        run_region_op(o);
        return;
    }
    if (o->kind >= GRANT_KINDS) {
        run_grant_op(o);
        return;
    }
    switch (o->kind % 20) {
    case 0:
    case 1:
    case 2:
        do_update(o, 1, DOMID_SELF);
        break;
    case 3:
        do_update(o, 4, DOMID_SELF);
        break;
    case 4: /* domain 0 maps another's frame; others try to */
        o->c = (uint8_t)(200 + o->c % 40);
        do_update(o, 1, (o->domain + 1) % FAKE_DOMAINS);
        break;
    case 5:
    case 6:
        do_ext(o, MMUEXT_PIN_L1_TABLE + (o->d < 160 ? 0 : o->d % 4));
        break;
    case 7:
        do_ext(o, MMUEXT_UNPIN_TABLE);
        break;
    case 8:
        do_ext(o, MMUEXT_NEW_BASEPTR);
        break;
    case 9:
        do_ext(o, MMUEXT_NEW_USER_BASEPTR);
        break;
    case 10:
        do_ext(o, o->d & 1 ? MMUEXT_CLEAR_PAGE : MMUEXT_COPY_PAGE);
        break;
    case 11:
        (void)mm_update_va_mapping(v, va_by(o->a), pte_make(frame_by(o, o->b), flags_by(o->c)),
                                   UVMF_NONE, DOMID_SELF);
        break;
    case 12:
        do_trapped(o);
        break;
    case 13:
    case 14:
    case 15:
        (void)fake_touch(v, va_by(o->a), o->kind & 1, pte_make(frame_by(o, o->b), flags_by(o->c)));
        break;
    case 16:
        do_reservation(o, XENMEM_decrease_reservation);
        break;
    case 17:
        do_reservation(o, XENMEM_populate_physmap);
        break;
    case 18:
        if (o->d & 1)
            do_exchange(o);
        else
            do_hold(o);
        break;
    default:
        do_descriptors(o);
    }
}

/* ---- rounds ---- */

static void start_domain(unsigned d)
{
    int error;

    for (unsigned i = 0; i < POOL; i++) {
        pool[d][i] = palloc_domain(fake_d(d), 0, 0, &error);
        CHECK(pool[d][i].n < frame_count);
    }
    /* A root, two ways down: 0 -> 1 -> 2 -> {3, 4}; level-1 table 3 maps some of the pool, tables
     * read-only. */
    ((pte_t *)env_frame(pool[d][0]))[0] = pte_make(pool[d][1], PTE_P | PTE_RW);
    ((pte_t *)env_frame(pool[d][1]))[0] = pte_make(pool[d][2], PTE_P | PTE_RW);
    ((pte_t *)env_frame(pool[d][2]))[0] = pte_make(pool[d][3], PTE_P | PTE_RW);
    ((pte_t *)env_frame(pool[d][2]))[1] = pte_make(pool[d][4], PTE_P | PTE_RW);
    ((pte_t *)env_frame(pool[d][3]))[0] = pte_make(pool[d][3], PTE_P);
    ((pte_t *)env_frame(pool[d][3]))[1] = pte_make(pool[d][5], PTE_P | PTE_RW);
    ((pte_t *)env_frame(pool[d][3]))[2] = pte_make(pool[d][6], PTE_P | PTE_RW);
    ((pte_t *)env_frame(pool[d][4]))[0] = pte_make(pool[d][7], PTE_P | PTE_RW);
    for (unsigned k = 0; k < FAKE_VCPUS; k++)
        CHECK_EQ(mm_set_root(fake_v(d, k), pool[d][0], false), 0);
}

void play_start(void)
{
    fake_reset(POOL + 6);
    fake_grants(3, 1);
    memset(objects, 0, sizeof(objects));
    memset(grants, 0, sizeof(grants));
    memset(region_slots, 0, sizeof(region_slots));
    fake_d(1)->max_regions = 2;
    fake_d(1)->max_region_pages = 4;
    mm_audit_extra = count_holds;
    for (unsigned d = 0; d < FAKE_DOMAINS; d++)
        start_domain(d);
    fake_check();
}

void play_round(const uint8_t *bytes)
{
    struct op op[ROUND_OPS];
    struct fake_op run[ROUND_OPS];
    unsigned count = 0, taken = 0;

    for (unsigned i = 0; i < ROUND_OPS; i++) {
        const uint8_t *b = bytes + 2 + i * OP_BYTES;
        unsigned who = b[1] % (FAKE_DOMAINS * FAKE_VCPUS);

        if (taken >> who & 1) /* one vCPU does one thing at a time */
            continue;
        taken |= 1u << who;
        op[count] = (struct op){
            .domain = who / FAKE_VCPUS,
            .vcpu = who % FAKE_VCPUS,
            .kind = b[0],
            .a = b[2],
            .b = b[3],
            .c = b[4],
            .d = b[5],
            .area = fake_buffer + count * AREA,
        };
        run[count] = (struct fake_op){run_op, &op[count]};
        count++;
    }
    fake_run(run, count, bytes[0] | (uint64_t)bytes[1] << 8);
}

void play_end(void)
{
    struct op end = {.area = fake_buffer};
    struct pal_cache_limit no_limit = {.domain = ~0u, .pages = ~0ull};

    CHECK_EQ(cache_op(&end, PALOP_cache_limit, &no_limit, sizeof(no_limit)), 0);
    for (unsigned i = 0; i < HOLDS; i++) {
        if (holds[i].n)
            mm_release_writable(NULL, holds[i]);
        holds[i] = mfn(0);
    }
    mm_audit_extra = NULL;
    fake_reset(0);
}

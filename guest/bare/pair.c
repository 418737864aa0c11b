/* SPDX-License-Identifier: MIT */
/* The two domains and the one that watches both: what domain 0 does. pair_guest.c has what they do. */
#define __XEN_TOOLS__ 1
#include "pair_internal.h"
#include <xen/domctl.h>

#define PATIENCE_NS 180000000000ull /* of a wait for one of the two, on a busy host */
#define LOG_BURST   8192u           /* bytes that an attack may cause at once, */
#define LOG_RATE    8192u           /* and in a second */

struct pair_domain {
    const char *name;
    struct control_domain c;
    struct pair_box *box;
    struct xencons_interface *console;
    uint64_t sent;             /* events */
    unsigned int port;         /* ours, to its store port */
    unsigned int first_window; /* its two pages as we see them */
    char line[400];
    unsigned int length;
};

static struct pair_domain attacker = {.name = "attacker", .first_window = 1};
static struct pair_domain witness = {.name = "witness", .first_window = 3};
struct pair_domain *const pair_attacker = &attacker, *const pair_witness = &witness;

static unsigned int told_ok, told_failed; /* by the two */

/* ---- what the books say ---- */

struct books {
    struct pal_stats stats;
    long own_ports, witness_ports;
};

static struct books before;
static bool keep_books;

static void read_books(struct books *b)
{
    memset(b, 0, sizeof(*b));
    if (hypercall(__HYPERVISOR_pal_op, PALOP_stats, HC_ADDR(&b->stats), 0, 0, 0))
        console_panic("no figures");
    b->own_ports = control_ports(DOMID_SELF);
    b->witness_ports = control_ports(witness.c.id);
}

/* ---- lines that the two say ---- */

static void take_line(struct pair_domain *d)
{
    const char *l = d->line;

    d->line[d->length] = 0;
    if (!strncmp(l, "ok ", 3))
        told_ok++;
    else if (!strncmp(l, "FAIL ", 5))
        told_failed++;
    if (!strncmp(l, "PANIC ", 6))
        test_note("the %s: %s", d->name, l);
    else
        console_printf("%s\n", l);
    d->length = 0;
}

static void take_lines(struct pair_domain *d)
{
    struct xencons_interface *page = d->console;
    XENCONS_RING_IDX made, at;

    if (!page)
        return;
    made = *(volatile XENCONS_RING_IDX *)&page->out_prod;
    at = page->out_cons;
    if (made - at > sizeof(page->out))
        at = made - sizeof(page->out); /* it plays with its page */
    for (; at != made; at++) {
        char c = page->out[MASK_XENCONS_IDX(at, page->out)];

        if (c == '\n')
            take_line(d);
        else if (d->length < sizeof(d->line) - 1)
            d->line[d->length++] = c;
    }
    __atomic_store_n(&page->out_cons, at, __ATOMIC_RELEASE);
}

/* ---- waiting ---- */

static void doze(void)
{
    struct sched_poll p = {.timeout = event_now() + 500000};

    hc_sched(SCHEDOP_poll, &p);
    take_lines(&attacker);
    take_lines(&witness);
}

static bool ended(const struct pair_domain *d)
{
    long flags = control_flags(d->c.id);

    return flags < 0 || (flags & (XEN_DOMINF_dying | XEN_DOMINF_shutdown));
}

int64_t pair_wait(struct pair_domain *d)
{
    uint64_t until = event_now() + PATIENCE_NS;

    while (d->box->done != d->box->asked) {
        if (ended(d)) {
            take_lines(d);
            return PAIR_KILLED;
        }
        if (event_now() > until)
            console_panic("the %s does not come back", d->name);
        doze();
    }
    take_lines(d);
    return d->box->result;
}

static void send(struct pair_domain *d)
{
    d->sent++;
    event_send(d->port);
}

void pair_start(struct pair_domain *d, pair_fn *fn, uint64_t arg)
{
    struct pair_box *b = d->box;

    b->stop = 0;
    b->fn = fn;
    b->arg = arg;
    __atomic_store_n(&b->asked, b->asked + 1, __ATOMIC_RELEASE);
    send(d);
}

int64_t pair_run(struct pair_domain *d, pair_fn *fn, uint64_t arg)
{
    pair_start(d, fn, arg);
    return pair_wait(d);
}

void pair_tell_to_stop(struct pair_domain *d)
{
    d->box->stop = 1;
    send(d);
}

/* ---- making and ending them ---- */

static void *page_of(struct pair_domain *d, unsigned int window, uint64_t mfn)
{
    void *p = control_window(d->first_window + window, d->c.id, mfn);

    if (!p)
        console_panic("a page of the %s cannot be mapped", d->name);
    return p;
}

static void make(struct pair_domain *d, unsigned int vcpus, unsigned int id)
{
    struct evtchn_bind_interdomain bind;
    char words[32] = "role=";
    long ret;

    memcpy(words + 5, d->name, strlen(d->name) + 1);
    ret = control_build(&d->c, id, vcpus, words);
    if (ret)
        console_panic("the %s cannot be made: %ld", d->name, ret);
    bind = (struct evtchn_bind_interdomain){.remote_dom = (domid_t)d->c.id,
                                            .remote_port = d->c.store_port};
    ret = hc_event(EVTCHNOP_bind_interdomain, &bind);
    if (ret)
        console_panic("no port to the %s: %ld", d->name, ret);
    d->port = bind.local_port;
    d->box = PAIR_BOX(page_of(d, 0, d->c.store_mfn));
    d->console = page_of(d, 1, d->c.console_mfn);
    d->length = 0;
    /* The first CPU of both is the same one, so that the attacker is in the witness's way. */
    control_pin_vcpu(d->c.id, 0, 2);
    ret = control_pause(d->c.id, false);
    if (ret)
        console_panic("the %s does not start: %ld", d->name, ret);
}

static int64_t nothing(uint64_t arg)
{
    return (int64_t)arg;
}

static void introduce(struct pair_domain *d, const struct pair_domain *other)
{
    struct pair_facts *f = pair_facts_of(d);

    f->other = other->c.id;
    f->other_frame = other->c.mfns[other->c.pages - 1];
    f->other_table = other->c.root_mfn;
}

void pair_keep_books(bool on)
{
    keep_books = on;
}

unsigned int pair_new_attacker_as(unsigned int id, unsigned int vcpus)
{
    if (!keep_books)
        read_books(&before);
    make(&attacker, vcpus, id);
    introduce(&attacker, &witness);
    introduce(&witness, &attacker);
    if (pair_run(&attacker, nothing, 7) != 7)
        console_panic("the attacker does not answer");
    return attacker.c.id;
}

void pair_new_attacker(unsigned int vcpus)
{
    pair_new_attacker_as(0, vcpus);
}

void pair_kill_attacker(void)
{
    long ret;

    take_lines(&attacker);
    attacker.box = NULL;
    attacker.console = NULL;
    control_window_close(attacker.first_window);
    control_window_close(attacker.first_window + 1);
    ret = control_destroy(attacker.c.id);
    if (ret)
        test_eq("O5", "the attacker can be ended", ret, 0);
    event_close(attacker.port);
}

static bool all_equal(const struct books *a, const struct books *b)
{
    return a->stats.domains == b->stats.domains && a->stats.free_frames == b->stats.free_frames &&
           a->stats.heap_bytes == b->stats.heap_bytes && a->own_ports == b->own_ports &&
           a->witness_ports == b->witness_ports;
}

/* Has it still frames, or does only somebody refer to it? */
static void say_what_is_left(void)
{
    struct xen_domctl_getdomaininfo i = {0};
    unsigned int id = attacker.c.id;
    long ret = control_domctl(XEN_DOMCTL_getdomaininfo, id, &i, sizeof(i));

    if (ret || i.domain != id) /* it answers for the next one */
        test_note("of the attacker, domain %u, nothing is left", id);
    else
        test_note("the attacker is still there: domain %u, flags %x, %lu pages", id, i.flags,
                  (unsigned long)i.tot_pages);
}

void pair_gone(const char *id)
{
    uint64_t until = event_now() + PATIENCE_NS;
    struct books now;

    read_books(&now);
    while (now.stats.domains > before.stats.domains && event_now() < until) {
        doze();
        read_books(&now);
    }
    if (!all_equal(&now, &before)) {
        say_what_is_left();
        test_note("before: %lu domains, %lu frames free, %lu bytes of heap, %ld and %ld ports; now "
                  "%lu, %lu, %lu, %ld and %ld",
                  before.stats.domains, before.stats.free_frames, before.stats.heap_bytes,
                  before.own_ports, before.witness_ports, now.stats.domains, now.stats.free_frames,
                  now.stats.heap_bytes, now.own_ports, now.witness_ports);
    }
    if (!test_true(id, "O5 all is given back", all_equal(&now, &before)))
        console_panic("what comes after could not be judged");
}

void pair_end_attacker(const char *id)
{
    pair_kill_attacker();
    pair_gone(id);
    pair_check(id);
}

static int64_t offer_one(uint64_t to)
{
    grant_init();
    grant_offer(8, (unsigned int)to, mm_mfn(mm_root()), GTF_readonly);
    return 0;
}

static int64_t use_one(uint64_t from)
{
    uint32_t handle;

    grant_init();
    return grant_map_at(0, (unsigned int)from, 8, GNTMAP_readonly, &handle) |
           grant_unmap(handle, grant_va(0), 0);
}

static int64_t wait_a_little(uint64_t arg)
{
    struct sched_poll p = {.timeout = event_now() + 1000};

    return (int64_t)arg + hc_sched(SCHEDOP_poll, &p);
}

/* What the hypervisor allocates once and keeps: stacks for as many vCPUs as there ever were, each CPU's list of timers. */
static void warm_up(void)
{
    long id = control_create(0, 2 * VCPU_MAX);

    for (unsigned int cpu = 0; !control_pin_vcpu(attacker.c.id, 0, 1ul << cpu); cpu++)
        pair_run(&attacker, wait_a_little, 0);
    if (id > 0)
        control_destroy((unsigned int)id);
}

void pair_begin(unsigned int witness_vcpus)
{
    make(&witness, witness_vcpus, 0);
    /* Tables of ports, handles and the like grow once: one attacker comes and goes before anything is counted. */
    pair_new_attacker(VCPU_MAX / 2);
    warm_up();
    pair_run(&attacker, offer_one, witness.c.id);
    test_eq("start", "the witness can map", pair_run(&witness, use_one, attacker.c.id), 0);
    pair_kill_attacker();
    while (control_flags(attacker.c.id) >= 0)
        doze();
    control_log_growth();
    pair_check("start");
}

/* ---- the look after each attack ---- */

/* Only what does not hold is said; all that holds is one line of the check. */
static void want(const char *id, const char *text, bool holds, bool *all)
{
    if (!holds)
        *all = test_true(id, text, false);
}

/* Does the witness see an event, and go through all that it watches, now? */
static void witness_goes_on(const char *id, bool *all)
{
    struct pair_box *b = witness.box;
    uint64_t until = event_now() + PATIENCE_NS, rounds = b->rounds, beats = b->beats;

    b->ping++;
    send(&witness);
    while ((b->pong != b->ping || b->rounds < rounds + 2 || b->beats == beats) &&
           event_now() < until && !ended(&witness))
        doze();
    if (ended(&witness)) {
        test_true(id, "O3 the witness lives", false);
        console_panic("without the witness there is no more to see");
    }
    want(id, "O3 the witness sees what is sent to it", b->pong == b->ping, all);
    want(id, "O3 it sees nothing that was not sent",
         b->events <= witness.sent + 1 /* the binding */, all);
    want(id, "O6 the witness goes on", b->rounds >= rounds + 2 && b->beats > beats, all);
    if (b->broken)
        test_note("the witness says: %s", witness_complaint(b->broken));
    want(id, "O3 all is as the witness left it", !b->broken, all);
    b->broken = 0;
}

/* Of the log: as much as its limit lets through in the time that has passed. */
static void log_is_quiet(const char *id, bool *all)
{
    static uint64_t last;
    uint64_t now = event_now(), grown = control_log_growth();
    uint64_t allowed = LOG_BURST + LOG_RATE * ((now - last) / 1000000000);

    last = now;
    if (grown > allowed)
        test_note("%lu bytes of log, %lu allowed", grown, allowed);
    want(id, "O7 the log is quiet", grown <= allowed, all);
}

static void books_balance(const char *id, bool *all)
{
    struct pal_audit a = {0};
    long ret = hypercall(__HYPERVISOR_pal_op, PALOP_audit, HC_ADDR(&a), 0, 0, 0);

    if (ret)
        test_note("audit: %ld, first bad frame %lx", ret, (unsigned long)a.first_bad_mfn);
    want(id, "O4 the books balance", ret == 0, all);
}

void pair_check(const char *id)
{
    bool all = true;

    want(id, "O2 it answers", hc_version(XENVER_version, NULL) == 0x40011, &all);
    witness_goes_on(id, &all);
    books_balance(id, &all);
    log_is_quiet(id, &all);
    if (all)
        test_true(id, "O2 O3 O4 O6 O7", true);
}

void pair_attack(const char *id, pair_fn *fn, uint64_t arg)
{
    int64_t result = pair_run(&attacker, fn, arg);

    if (result == PAIR_KILLED)
        test_true(id, "the attacker should have lived", false);
    else
        test_eq(id, "O1 wrong answers", result, 0);
    pair_check(id);
}

void pair_fatal(const char *id, pair_fn *fn, uint64_t arg)
{
    pair_new_attacker(1);
    test_true(id, "killed", pair_run(&attacker, fn, arg) == PAIR_KILLED);
    pair_end_attacker(id);
}

/* ---- facts ---- */

unsigned int pair_id(const struct pair_domain *d)
{
    return d->c.id;
}

uint64_t pair_mfn(const struct pair_domain *d, uint64_t pfn)
{
    return d->c.mfns[pfn];
}

const struct control_domain *pair_control(const struct pair_domain *d)
{
    return &d->c;
}

struct pair_facts *pair_facts_of(struct pair_domain *d)
{
    return &d->box->facts;
}

/* ---- the beginning ---- */

int pair_main(const char *name, void (*story)(void))
{
    if (!(start_info->flags & SIF_INITDOMAIN))
        pair_guest();
    test_begin(name);
    story();
    test_add(told_ok, told_failed);
    test_note("the witness's longest gap %lu us, %lu rounds", witness.box->longest_gap_ns / 1000,
              witness.box->rounds);
    test_end();
}

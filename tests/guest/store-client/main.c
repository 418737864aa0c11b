/* SPDX-License-Identifier: MIT */
/*
 * Invariants 62 and 63: a client of Debian's store daemon that breaks every rule, and (role=served) one that only wants to be served
 * meanwhile. A kernel for domains that pal creates: tests/e2e/test_hostile_tools.py starts it, with attack=NAME, and reads
 * its console.
 *
 * run: none
 */
#include <bare/test.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

static struct xenstore_domain_interface *ring;
static uint32_t next_id = 1;
static char answer[8192];
static uint32_t answer_length, events;

/* ---- the wire ---- */

static void nap(void)
{
    evtchn_port_t port = start_info->store_evtchn;
    struct sched_poll p = {.nr_ports = 1, .timeout = event_now() + 2000000};

    set_xen_guest_handle(p.ports, &port);
    event_clear(port);
    hc_sched(SCHEDOP_poll, &p);
}

/* Bytes onto the ring; false: nobody takes them within the time. */
static bool put(const void *data, uint32_t n, uint64_t patience_ns)
{
    uint64_t until = event_now() + patience_ns;
    const char *from = data;

    for (uint32_t i = 0; i < n; i++) {
        while (ring->req_prod - *(volatile uint32_t *)&ring->req_cons >= XENSTORE_RING_SIZE) {
            event_send(start_info->store_evtchn);
            nap();
            if (event_now() > until)
                return false;
        }
        ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = from[i];
        __atomic_store_n(&ring->req_prod, ring->req_prod + 1, __ATOMIC_RELEASE);
    }
    event_send(start_info->store_evtchn);
    return true;
}

static bool get(void *data, uint32_t n, uint64_t patience_ns)
{
    uint64_t until = event_now() + patience_ns;
    char *to = data;

    for (uint32_t i = 0; i < n; i++) {
        while (*(volatile uint32_t *)&ring->rsp_prod == ring->rsp_cons) {
            nap();
            if (event_now() > until)
                return false;
        }
        to[i] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
        __atomic_store_n(&ring->rsp_cons, ring->rsp_cons + 1, __ATOMIC_RELEASE);
    }
    event_send(start_info->store_evtchn);
    return true;
}

#define PATIENCE 60000000000ul
#define SILENCE  (-2) /* no answer */
#define ERROR    (-1) /* an error; its name is in `answer` */

static bool send_request(uint32_t type, uint32_t tx, const void *payload, uint32_t length)
{
    struct xsd_sockmsg m = {.type = type, .req_id = next_id, .tx_id = tx, .len = length};

    return put(&m, sizeof(m), PATIENCE) && put(payload, length, PATIENCE);
}

/* The answer to what was sent last; watch events before it are passed over. Its length, ERROR or SILENCE. */
static int receive(void)
{
    struct xsd_sockmsg m;

    for (;;) {
        if (!get(&m, sizeof(m), PATIENCE) || m.len >= sizeof(answer) ||
            !get(answer, m.len, PATIENCE))
            return SILENCE;
        answer[m.len] = 0;
        answer_length = m.len;
        if (m.type != XS_WATCH_EVENT)
            break;
        events++;
    }
    next_id++;
    return m.type == XS_ERROR ? ERROR : (int)m.len;
}

static int request(uint32_t type, uint32_t tx, const void *payload, uint32_t length)
{
    return send_request(type, tx, payload, length) ? receive() : SILENCE;
}

static int by_path(uint32_t type, const char *path)
{
    return request(type, 0, path, (uint32_t)strlen(path) + 1);
}

static int two_words(uint32_t type, uint32_t tx, const char *a, const char *b, uint32_t b_length)
{
    static char both[8192];
    uint32_t n = (uint32_t)strlen(a) + 1;

    memcpy(both, a, n);
    memcpy(both + n, b, b_length);
    return request(type, tx, both, n + b_length);
}

static int write_node(const char *path, const char *value)
{
    return two_words(XS_WRITE, 0, path, value, (uint32_t)strlen(value));
}

static bool error_is(const char *name)
{
    return !strncmp(answer, name, strlen(name) + 1);
}

/* ---- one that wants to be served ---- */

static void number(char *to, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_format(to, 64, format, args);
    va_end(args);
}

static void served(void)
{
    /* Who comes and who goes is for control to see: we may ask, and each question is an event; then there is none. */
    two_words(XS_WATCH, 0, "@releaseDomain", "t", 2);
    two_words(XS_WATCH, 0, "@introduceDomain", "t", 2);
    for (uint32_t n = 0;; n++) {
        char value[64];

        if (events > 2) {
            console_printf("FAIL 63 told of others: %u events\n", events);
            events = 0;
        }

        number(value, "value-%u", n);
        if (write_node("data/served", value) < 0 ||
            by_path(XS_READ, "data/served") != (int)strlen(value) ||
            strncmp(answer, value, strlen(value)))
            console_printf("FAIL 62 not served: round %u, answer %s\n", n, answer);
        if (n % 100 == 0)
            console_printf("served %u\n", n);
        for (unsigned int i = 0; i < 2; i++)
            nap();
    }
}

/* ---- what it says ---- */

static void alive(const char *id)
{
    test_true(id, "served afterwards", write_node("data/alive", "yes") >= 0);
    test_eq(id, "and truly", by_path(XS_READ, "data/alive"), 3);
}

/* Names that are no names, words that do not end, lengths that lie. */
static void bad_words(void)
{
    static const char *const paths[] = {
        "",  "//", "a//b",      "/a//b", "data/",    "/local/domain/", "data/a b\x01",
        "@", "@x", "data/\xff", "..",    "/../../x", "data/*"};
    static char lengthy[4096];

    for (uint32_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        for (uint32_t type = 0; type < 24; type++) {
            int got;

            if (type == XS_CONTROL || type == XS_TRANSACTION_START || type == XS_GET_DOMAIN_PATH ||
                type == XS_TRANSACTION_END || type == XS_RESET_WATCHES)
                continue;
            got = by_path(type, paths[i]);
            test_true("62a", "an error", got == ERROR);
        }
    memset(lengthy, 'x', sizeof(lengthy));
    test_eq("62a", "as long as may be", request(XS_READ, 0, lengthy, 4096), ERROR);
    test_eq("62a", "without an end", request(XS_READ, 0, "data", 4), ERROR);
    test_eq("62a", "nothing", request(XS_READ, 0, "", 0), ERROR);
    test_eq("62a", "nothing to write to", request(XS_WRITE, 0, "", 0), ERROR);
    test_eq("62a", "no such kind", request(77, 0, "x", 2), ERROR);
    test_eq("62a", "no such kind, wide", request(0xffffffff, 0, "x", 2), ERROR);
    test_eq("62a", "a transaction that is not", request(XS_READ, 12345, "data", 5), ERROR);
    test_eq("62a", "its end", request(XS_TRANSACTION_END, 12345, "T", 2), ERROR);
    test_eq("62a", "an answer as a question", request(XS_ERROR, 0, "EINVAL", 7), ERROR);
    alive("62a");
}

/* What is not ours: to read, write, list, remove, give away, watch; and what only control may ask. */
static void rights(void)
{
    static const uint32_t control_only[] = {XS_INTRODUCE,  XS_RELEASE, XS_RESUME,
                                            XS_SET_TARGET, XS_CONTROL, XS_GET_DOMAIN_PATH + 1000};
    char own[64], other[64], perms[64];
    const char *v = start_option("victim");
    uint64_t victim = start_option_number("victim", 0), self;
    static const char *const theirs[] = {
        "data/served",      "data", "console/tty",    "console/ring-ref",
        "control/shutdown", "name", "store/ring-ref", "vm"};

    test_true("63a", "a victim is named", v != NULL && victim);
    test_true("63a", "our own number", by_path(XS_READ, "domid") > 0);
    for (self = 0; answer[self] && self < 10; self++)
        ;
    number(own, "%s", answer);
    for (unsigned int i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
        number(other, "/local/domain/%lu/%s", victim, theirs[i]);
        test_true("63a", "read",
                  by_path(XS_READ, other) == ERROR && (error_is("EACCES") || error_is("ENOENT")));
        test_eq("63a", "write", write_node(other, "mine"), ERROR);
        test_eq("63a", "list", by_path(XS_DIRECTORY, other), ERROR);
        test_eq("63a", "remove", by_path(XS_RM, other), ERROR);
        test_eq("63a", "make below", by_path(XS_MKDIR, other), ERROR);
        number(perms, "n%s", own);
        test_eq("63a", "take",
                two_words(XS_SET_PERMS, 0, other, perms, (uint32_t)strlen(perms) + 1), ERROR);
        test_eq("63a", "whose it is", by_path(XS_GET_PERMS, other), ERROR);
    }
    static const char *const control[] = {
        "/",   "/local",        "/local/domain/0", "/local/domain/0/name", "/tool",
        "/vm", "/local/domain", "@releaseDomain",  "@introduceDomain"};
    for (unsigned int i = 0; i < sizeof(control) / sizeof(control[0]); i++) {
        test_eq("63b", "write", write_node(control[i], "mine"), ERROR);
        test_eq("63b", "remove", by_path(XS_RM, control[i]), ERROR);
        number(perms, "n%s", own);
        test_eq("63b", "take",
                two_words(XS_SET_PERMS, 0, control[i], perms, (uint32_t)strlen(perms) + 1), ERROR);
    }
    /* What tools read of us is not ours to change. */
    static const char *const fixed[] = {"name",
                                        "vm",
                                        "domid",
                                        "console/tty",
                                        "console/ring-ref",
                                        "console/port",
                                        "console/limit",
                                        "console/type",
                                        "console/output",
                                        "store/ring-ref",
                                        "store/port",
                                        "memory/static-max",
                                        "memory/target",
                                        "cpu/0/availability"};
    for (unsigned int i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        test_eq("63c", fixed[i], write_node(fixed[i], "../../etc/passwd"), ERROR);
        test_eq("63c", "removed", by_path(XS_RM, fixed[i]), ERROR);
    }
    test_eq("63c", "a device of our own making", by_path(XS_MKDIR, "device/vbd/51712"), ERROR);
    test_eq("63c", "a backend of our own making",
            by_path(XS_MKDIR, "/local/domain/0/backend/vbd/9/9"), ERROR);
    for (unsigned int i = 0; i < sizeof(control_only) / sizeof(control_only[0]); i++)
        test_eq("63d", "for control only",
                request(control_only[i], 0,
                        "1\0"
                        "2\0"
                        "3",
                        6),
                ERROR);
    /* Ownership of our own nodes cannot be given away: somebody else would pay for them. */
    number(perms, "n%lu", victim);
    write_node("data/gift", "x");
    test_eq("63d", "a gift",
            two_words(XS_SET_PERMS, 0, "data/gift", perms, (uint32_t)strlen(perms) + 1), ERROR);
    alive("63d");
}

/* More of everything than there is for one. */
static void quotas(void)
{
    static char big[4000];
    char name[64];
    uint32_t nodes = 0, watches = 0, transactions = 0;
    int got = 0;

    memset(big, 'b', sizeof(big));
    test_eq("62b", "a node too large", two_words(XS_WRITE, 0, "data/big", big, sizeof(big)), ERROR);
    while (nodes < 20000) {
        number(name, "data/n%u", nodes);
        got = write_node(name, "x");
        if (got < 0)
            break;
        nodes++;
    }
    test_eq("62b", "nodes come to an end", got, ERROR);
    test_note("%u nodes, then %s", nodes, answer);
    while (watches < 20000) {
        number(name, "w%u", watches);
        got = two_words(XS_WATCH, 0, "data/n1", name, (uint32_t)strlen(name) + 1);
        if (got < 0)
            break;
        watches++;
    }
    test_eq("62b", "watches come to an end", got, ERROR);
    test_note("%u watches, then %s", watches, answer);
    while (transactions < 20000) {
        got = request(XS_TRANSACTION_START, 0, "", 1);
        if (got < 0)
            break;
        transactions++;
    }
    test_eq("62b", "transactions come to an end", got, ERROR);
    test_note("%u transactions, then %s", transactions, answer);
    test_eq("62b", "a write beyond", write_node("data/one-more", "x"), ERROR);
    for (uint32_t i = 0; i < nodes; i++) {
        number(name, "data/n%u", i);
        if (by_path(XS_RM, name) < 0)
            break;
    }
    /* Of the watches, each of which tells of each change, many an event was on the way. */
    alive("62b");
}

/* How many of a kind there can be; the last refusal must be an error. */
static uint32_t make_nodes(uint32_t tx)
{
    uint32_t n = 0;
    char name[64];
    int got = 0;

    while (n < 20000 && got >= 0) {
        number(name, "data/a%u", n);
        got = two_words(XS_WRITE, tx, name, "x", 1);
        n += got >= 0;
    }
    test_eq("62g", "an end of nodes", got, ERROR);
    return n;
}

static void remove_nodes(uint32_t n)
{
    char name[64];

    for (uint32_t i = 0; i < n; i++) {
        number(name, "data/a%u", i);
        test_true("62g", "removed", by_path(XS_RM, name) >= 0);
    }
}

static uint32_t make_watches(void)
{
    uint32_t n = 0;
    char name[64];
    int got = 0;

    while (n < 20000 && got >= 0) {
        number(name, "w%u", n);
        got = two_words(XS_WATCH, 0, "data/quiet", name, (uint32_t)strlen(name) + 1);
        n += got >= 0;
    }
    test_eq("62g", "an end of watches", got, ERROR);
    return n;
}

static uint32_t begin(void)
{
    uint32_t id = 0;

    if (request(XS_TRANSACTION_START, 0, "", 1) > 0)
        for (const char *c = answer; *c >= '0' && *c <= '9'; c++)
            id = 10 * id + (uint32_t)(*c - '0');
    test_true("62g", "a transaction", id != 0);
    return id;
}

/* Entries of who may do what with a node of ours: an end of them, and what was refused changed nothing. */
static void many_rights(void)
{
    static char list[4096];
    uint32_t n = 0, length = 0, good = 0;
    int got = 0;

    write_node("data/shared", "x");
    by_path(XS_READ, "domid");
    number(list, "n%s", answer);
    while (got >= 0 && n < 500 && length + 16 < sizeof(list)) {
        length += (uint32_t)strlen(list + length) + 1;
        good = got >= 0 ? n : good;
        number(list + length, "r%u", 100 + n++);
        got = two_words(XS_SET_PERMS, 0, "data/shared", list,
                        length + (uint32_t)strlen(list + length) + 1);
    }
    test_eq("62g", "an end of rights", got, ERROR);
    test_note("%u rights, then %s", n - 1, answer);
    by_path(XS_GET_PERMS, "data/shared");
    got = 0;
    for (uint32_t i = 0; i < answer_length; i++)
        got += !answer[i];
    test_eq("62g", "the last good ones stand", got, (int64_t)n);
}

/* What was used up is there again, all of it, when it is given back: deleted, undone, reset. */
static void accounts(void)
{
    uint32_t nodes = make_nodes(0), watches, tx, again;

    remove_nodes(nodes);
    again = make_nodes(0);
    test_eq("62g", "as many nodes after they were deleted", again, nodes);
    remove_nodes(again);
    tx = begin();
    make_nodes(tx);
    test_true("62g", "given up", request(XS_TRANSACTION_END, tx, "F", 2) >= 0);
    tx = begin();
    test_true("62g", "read",
              two_words(XS_WRITE, tx, "data/own", "1", 1) >= 0 &&
                  request(XS_READ, tx, "data/own", 9) >= 0);
    test_true("62g", "changed meanwhile", write_node("data/own", "2") >= 0);
    make_nodes(tx);
    test_eq("62g", "does not come true", request(XS_TRANSACTION_END, tx, "T", 2), ERROR);
    by_path(XS_RM, "data/own");
    again = make_nodes(0);
    test_eq("62g", "as many nodes after what was not done", again, nodes);
    remove_nodes(again);
    watches = make_watches();
    test_true("62g", "reset", request(XS_RESET_WATCHES, 0, "", 1) >= 0);
    test_eq("62g", "as many watches after a reset", make_watches(), watches);
    many_rights();
    test_note("%u nodes, %u watches", nodes, watches);
    alive("62g");
}

/* ---- numbers that are used again ---- */

/* Lets the domain with the number before ours read a node of ours. */
static void share(void)
{
    char perms[64], other[16];
    uint32_t self = 0, length;

    by_path(XS_READ, "domid");
    for (const char *c = answer; *c; c++)
        self = 10 * self + (uint32_t)(*c - '0');
    number(perms, "n%u", self);
    length = (uint32_t)strlen(perms) + 1;
    number(other, "r%u", self - 1);
    memcpy(perms + length, other, strlen(other) + 1);
    write_node("data/shared", "secret");
    test_true("63e", "shared",
              two_words(XS_SET_PERMS, 0, "data/shared", perms,
                        length + (uint32_t)strlen(other) + 1) >= 0);
}

/* from=NUMBER may=1: reads it when it comes; may=0: has the number of one who could, and cannot. Leaves its nodes and
 * watches behind. */
static void take(void)
{
    char path[64];
    bool may = start_option_number("may", 0);
    uint64_t until = event_now() + 2 * PATIENCE;
    uint32_t nodes;
    int got;

    number(path, "/local/domain/%lu/data/shared", start_option_number("from", 0));
    while ((got = by_path(XS_READ, path)) == ERROR && may && event_now() < until)
        nap();
    test_eq("63e", "what is shared with that number", got, may ? 6 : ERROR);
    if (!may)
        test_true("63e", "no access", error_is("EACCES"));
    nodes = make_nodes(0);
    console_printf("room for %u nodes and %u watches\n", nodes, make_watches());
}

/* A tree as deep as names allow, and its end at one stroke. */
static void deep(void)
{
    static char path[3000] = "data";
    uint32_t n = 4;

    while (n + 2 < 2040) {
        path[n++] = '/';
        path[n++] = 'd';
        path[n] = 0;
    }
    by_path(XS_MKDIR, path); /* refused or not: an answer comes */
    test_true("62c", "an answer", answer_length < sizeof(answer));
    by_path(XS_RM, "data/d");
    alive("62c");
}

/* As fast as it goes, without reading what comes back. */
static void flood(void)
{
    uint64_t until = event_now() + 8000000000;
    uint64_t sent = 0;

    while (event_now() < until) {
        struct xsd_sockmsg m = {.type = XS_READ, .req_id = 9, .len = 5};

        if (!put(&m, sizeof(m), 300000000) || !put("data", 5, 300000000))
            break;
        sent++;
        if (sent % 8 == 0)
            event_send(start_info->store_evtchn);
    }
    test_note("%lu requests sent, no answer read", sent);
    test_true("62d", "it was a flood", sent > 10);
    /* And the console: more than anybody reads. */
    until = event_now() + 6000000000;
    for (uint64_t i = 0; event_now() < until; i++)
        console_printf("line %lu of a flood \x1b[2J\x07 %%s%%n "
                       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
                       i);
}

/* Indices that cannot be; after each the daemon may leave us alone, and nobody else. */
static void indices(void)
{
    uint64_t how = start_option_number("how", 0);
    uint64_t until = event_now() + 3000000000;

    alive("62e");
    while (event_now() < until) {
        switch (how) {
        case 0:
            ring->req_prod = ring->req_cons + XENSTORE_RING_SIZE + 1;
            break;
        case 1:
            ring->req_prod = ring->req_cons + 0x80000000u;
            break;
        case 2:
            ring->req_prod = ring->req_cons - 1;
            break;
        case 3:
            ring->req_cons = ring->req_prod + 100;
            break;
        case 4:
            ring->rsp_cons = ring->rsp_prod + 100;
            break;
        case 5:
            ring->rsp_prod = ring->rsp_cons + 5000;
            break;
        case 6:
            memset(ring, 0xff, 4096);
            break;
        case 7: { /* a length beyond all measure */
            static const uint32_t lengths[] = {4097, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
            struct xsd_sockmsg m = {.type = XS_WRITE, .len = lengths[test_random() % 5]};

            put(&m, sizeof(m), 100000000);
            break;
        }
        default:
            for (unsigned int i = 0; i < 4096 / 4; i++)
                ((volatile uint32_t *)ring)[i] = (uint32_t)test_random();
        }
        event_send(start_info->store_evtchn);
        nap();
    }
    test_true("62e", "done", true);
}

/* The console's page: indices and contents that make no sense, events without end; then it is put right. */
static void console(void)
{
    struct xencons_interface *page = mm_va(mm_pfn(start_info->console.domU.mfn));
    uint64_t until = event_now() + 3000000000, n = 0;

    for (; event_now() < until; n++) {
        uint64_t r = test_random();

        switch (r % 6) {
        case 0:
            page->out_prod = page->out_cons + (uint32_t)(r >> 8);
            break;
        case 1:
            page->out_prod = page->out_cons - 1;
            break;
        case 2:
            page->out_cons = (uint32_t)(r >> 8);
            break;
        case 3:
            page->in_cons = (uint32_t)(r >> 8);
            break;
        case 4:
            page->in_prod = (uint32_t)(r >> 8);
            break;
        default:
            page->out[(r >> 8) % sizeof(page->out)] = (char)(r >> 20);
        }
        event_send(start_info->console.domU.evtchn);
        if (n % 16 == 0)
            nap();
    }
    page->in_cons = page->in_prod;
    page->out_prod = page->out_cons;
    console_printf("\n");
    test_true("62f", "the console goes on", n > 10);
}

static const struct {
    const char *name;
    void (*fn)(void);
} attacks[] = {{"served", served},   {"words", bad_words}, {"rights", rights},
               {"quotas", quotas},   {"deep", deep},       {"flood", flood},
               {"indices", indices}, {"console", console}, {"accounts", accounts},
               {"share", share},     {"take", take}};

int main(void)
{
    const char *wanted = start_option("attack");

    ring = mm_va(mm_pfn(start_info->store_mfn));
    for (unsigned int i = 0; wanted && i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        if (strncmp(wanted, attacks[i].name, strlen(attacks[i].name)))
            continue;
        test_begin(attacks[i].name);
        attacks[i].fn();
        console_printf("DONE\n");
    }
    for (;;) /* it waits for its end */
        nap();
}

/* SPDX-License-Identifier: MIT */
/*
 * Exhaustive search: one frame, two CPUs, every interleaving of the steps that role_get and
 * role_put are made of, with translation caches that keep everything they may. The transitions are
 * the real ones of ptype.c; the steps around them are restated here, one atomic access or effect
 * each. Then the same with the known ways to get it wrong, each of which the search must notice.
 *
 * The TLB clock is abstracted to what env_flush_since makes of it: for each CPU, has it flushed
 * since the frame's stamp was taken? That makes the state finite without losing anything.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../fake_env.h"

#define CPUS 2

enum mutant {
    NONE,
    LOOK_BEFORE_CLAIM, /* flush and look, then publish the role */
    NO_FLUSH,          /* publish and look */
    NO_FLUSH_BACK,     /* a former table becomes data without a flush */
    STAMP_BEFORE,      /* the last holder stamps, then drops the count in one step */
    STAMP_AFTER,       /* the count is 0 before the stamp is there */
    COUNT_WRAPS,       /* no limit */
    MUTANTS
};
static const char *const mutant_name[MUTANTS] = {
    "as it is",     "look before claim", "flush elided", "flush back elided",
    "stamp before", "stamp after",       "count wraps",
};

enum pc {
    IDLE,
    GET_W_LOAD,
    GET_W_SWAP,
    GET_W_FLUSH,
    GET_W_FINISH,
    GET_T_LOAD,
    GET_T_EARLY, /* of LOOK_BEFORE_CLAIM: flush, then swap */
    GET_T_SWAP,
    GET_T_FLUSH,
    GET_T_FINISH,
    PUT_LOAD,
    PUT_SWAP,
    PUT_STAMP,
    PUT_FINISH,
};

struct cpu {
    uint64_t old; /* the word as this CPU last saw it */
    uint8_t pc;
    uint8_t data;     /* holds the frame as writable data */
    uint8_t entry;    /* ... and its entry is still there for the hardware to load */
    uint8_t table;    /* holds it as a level-1 table */
    uint8_t cached_w; /* its TLB has a writable translation */
    uint8_t cached_t; /* its upper-level cache names the frame as a table */
    uint8_t flushed;  /* since the stamp */
    uint8_t pad;
};
struct state {
    uint64_t word;
    struct cpu cpu[CPUS];
};

static enum mutant mutant;
static uint64_t others; /* holders as data besides the CPUs, that never go */
static const char *found;

/* ---- the set of states ---- */

#define SLOTS (1u << 22)
static struct state *table;
static uint8_t *used;
static uint32_t *queue;
static uint32_t head, tail;

static void add(const struct state *s)
{
    const uint64_t *w = (const uint64_t *)s;
    uint64_t h = 0;

    for (unsigned i = 0; i < sizeof(*s) / 8; i++)
        h = (h ^ w[i]) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
    for (uint32_t i = (uint32_t)h % SLOTS;; i = (i + 1) % SLOTS) {
        if (!used[i]) {
            CHECK_LT(tail, SLOTS / 2);
            used[i] = 1;
            table[i] = *s;
            queue[tail++] = i;
            return;
        }
        if (memcmp(&table[i], s, sizeof(*s)) == 0)
            return;
    }
}

/* ---- what must hold in every state ---- */

static const char *wrong(const struct state *s)
{
    uint64_t w = s->word, holders = others;
    unsigned data = 0, tables = 0;

    for (unsigned i = 0; i < CPUS; i++) {
        data += s->cpu[i].data;
        tables += s->cpu[i].table;
        if ((w & ROLE_VALIDATED) && s->cpu[i].cached_w)
            return "a looked-at table can be written through a stale translation";
        if (role_of(w) == ROLE_WRITABLE && role_count(w) && !(w & ROLE_BUSY) && s->cpu[i].cached_t)
            return "plain data is walked as a table";
    }
    holders += data + tables;
    if ((data || others) && tables)
        return "data and table at the same time";
    if (data && role_of(w) != ROLE_WRITABLE)
        return "held as data in another role";
    if (tables && (role_of(w) != ROLE_L1 || !(w & ROLE_VALIDATED)))
        return "held as a table but not validated as one";
    if (!(w & ROLE_BUSY) && role_count(w) != holders)
        return "the count is not the number of holders";
    if (role_count(w) > ROLE_COUNT_MAX)
        return "the count passed its limit";
    return NULL;
}

/* ---- steps ---- */

static struct role_step next_get(uint64_t old, enum frame_role wanted)
{
    if (mutant == COUNT_WRAPS && !(old & ROLE_BUSY) && role_count(old) && role_of(old) == wanted)
        return (struct role_step){ROLE_DONE, old + 1};
    return role_next_get(old, wanted);
}

static void flush_others_since_stamp(struct state *s)
{
    for (unsigned i = 0; i < CPUS; i++) {
        if (!s->cpu[i].flushed)
            s->cpu[i].cached_w = s->cpu[i].cached_t = 0;
        s->cpu[i].flushed = 1;
    }
}

static void take_stamp(struct state *s)
{
    for (unsigned i = 0; i < CPUS; i++)
        s->cpu[i].flushed = 0;
}

static void step_get(struct state *s, struct cpu *c, enum frame_role wanted)
{
    bool to_table = wanted == ROLE_L1;

    switch (c->pc) {
    case GET_W_LOAD:
    case GET_T_LOAD:
        c->old = s->word;
        c->pc = to_table ? GET_T_SWAP : GET_W_SWAP;
        if (to_table && mutant == LOOK_BEFORE_CLAIM)
            c->pc = GET_T_EARLY;
        return;
    case GET_T_EARLY:
        flush_others_since_stamp(s);
        c->pc = GET_T_SWAP;
        return;
    case GET_W_SWAP:
    case GET_T_SWAP: {
        struct role_step n = next_get(c->old, wanted);

        if (n.action == ROLE_REFUSE) {
            c->pc = IDLE;
        } else if (n.action == ROLE_WAIT || s->word != c->old) {
            c->pc = to_table ? GET_T_LOAD : GET_W_LOAD;
        } else if (n.action == ROLE_DONE) {
            s->word = n.next;
            *(to_table ? &c->table : &c->data) = 1;
            c->entry = !to_table;
            c->pc = IDLE;
        } else if (to_table && mutant == LOOK_BEFORE_CLAIM) {
            s->word = (n.next & ~ROLE_BUSY) | ROLE_VALIDATED;
            c->table = 1;
            c->pc = IDLE;
        } else {
            s->word = n.next;
            c->pc = to_table ? GET_T_FLUSH : GET_W_FLUSH;
        }
        return;
    }
    case GET_W_FLUSH:
        if (mutant != NO_FLUSH_BACK && role_of(c->old) != ROLE_NONE && role_of(c->old) != wanted)
            flush_others_since_stamp(s);
        c->pc = GET_W_FINISH;
        return;
    case GET_T_FLUSH:
        if (mutant != NO_FLUSH && role_of(c->old) != ROLE_NONE && role_of(c->old) != wanted)
            flush_others_since_stamp(s);
        c->pc = GET_T_FINISH;
        return;
    default: /* the content was looked at: publish */
        s->word = role_word(wanted, 1) | (to_table ? ROLE_VALIDATED : 0);
        *(to_table ? &c->table : &c->data) = 1;
        c->entry = !to_table;
        c->pc = IDLE;
    }
}

static void step_put(struct state *s, struct cpu *c)
{
    struct role_step n;

    switch (c->pc) {
    case PUT_LOAD:
        c->old = s->word;
        if (mutant == STAMP_BEFORE && role_count(c->old) == 1)
            take_stamp(s);
        c->pc = PUT_SWAP;
        return;
    case PUT_SWAP:
        n = role_next_put(c->old);
        if (n.action == ROLE_WAIT || s->word != c->old) {
            c->pc = PUT_LOAD;
            return;
        }
        if (n.action == ROLE_REFUSE) {
            found = "a holder cannot leave";
            return;
        }
        c->data = c->table = 0;
        c->pc = n.action == ROLE_DONE ? IDLE : PUT_STAMP;
        s->word = n.next;
        if (n.action == ROLE_RELEASE && (mutant == STAMP_BEFORE || mutant == STAMP_AFTER)) {
            s->word = role_word(role_of(n.next), 0);
            c->pc = mutant == STAMP_BEFORE ? IDLE : PUT_STAMP;
        }
        return;
    case PUT_STAMP:
        take_stamp(s);
        c->pc = mutant == STAMP_AFTER ? IDLE : PUT_FINISH;
        return;
    default:
        s->word = role_word(role_of(s->word), 0);
        c->pc = IDLE;
    }
}

/* Everything that CPU i can do next. */
static void expand(const struct state *from, unsigned i)
{
    struct state s = *from;
    struct cpu *c = &s.cpu[i];

    /* The hardware: load a translation, walk the table, drop everything. */
    if (c->entry && !c->cached_w) {
        c->cached_w = 1;
        add(&s);
        s = *from;
    }
    if (c->table && !c->cached_t) {
        c->cached_t = 1;
        add(&s);
        s = *from;
    }
    if (c->cached_w || c->cached_t || !c->flushed) {
        c->cached_w = c->cached_t = 0;
        c->flushed = 1;
        add(&s);
        s = *from;
    }
    if (c->pc != IDLE) {
        if (c->pc >= PUT_LOAD)
            step_put(&s, c);
        else
            step_get(&s, c, c->pc >= GET_T_LOAD ? ROLE_L1 : ROLE_WRITABLE);
        if (c->pc == IDLE)
            c->old = 0;
        add(&s);
        return;
    }
    if (c->data || c->table) {
        c->entry = 0; /* the entry is cleared first */
        c->pc = PUT_LOAD;
        add(&s);
        return;
    }
    c->pc = GET_W_LOAD;
    add(&s);
    c->pc = GET_T_LOAD;
    add(&s);
}

/* The number of states, all good, or 0 and `found`. */
static uint32_t search(enum mutant m, uint64_t word, uint64_t holders)
{
    struct state s;

    mutant = m;
    others = holders;
    found = NULL;
    memset(used, 0, SLOTS);
    head = tail = 0;
    memset(&s, 0, sizeof(s));
    s.word = word;
    add(&s);
    while (head < tail) {
        s = table[queue[head++]];
        if (!found)
            found = wrong(&s);
        if (found)
            return 0;
        for (unsigned i = 0; i < CPUS; i++)
            expand(&s, i);
    }
    return tail;
}

int main(void)
{
    static const uint64_t full = ROLE_COUNT_MAX - 1;
    int failed = 0;

    table = malloc(SLOTS * sizeof(*table));
    used = malloc(SLOTS);
    queue = malloc(SLOTS * sizeof(*queue));
    for (enum mutant m = NONE; m < MUTANTS; m++) {
        /* From a fresh frame, and from one whose count is one below its limit. */
        uint32_t fresh = search(m, 0, 0), crowded = 0;
        const char *what = found;

        if (fresh)
            crowded = search(m, role_word(ROLE_WRITABLE, full), full);
        if (!what)
            what = found;
        printf("%s: %u and %u states, %s\n", mutant_name[m], fresh, crowded,
               what ? what : "nothing wrong");
        if ((m == NONE) == (what != NULL))
            failed = 1;
    }
    free(table);
    free(used);
    free(queue);
    return failed;
}

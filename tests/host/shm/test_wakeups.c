/* SPDX-License-Identifier: MIT */
/*
 * Searches for lost wake-ups: both sides of ring.c, as it is, with every access to the shared lines under this program's control.
 *
 * A store goes into the side's own store buffer first, as on a processor, and reaches memory at once or, in half of the runs for
 * each side, not before the next fence. At every access the other side may go on instead; all ways to switch up to a number of
 * times are tried. A side that sleeps goes on only when it was woken. When neither can go on, a wake-up was lost.
 *
 * With a fence left out the search must find something: it is run like this, too.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static uint64_t side_load(const void *p, size_t size);
static void side_store(void *p, uint64_t v, size_t size);
static void side_fence(void);
static void side_copy(void *to, const void *from, size_t n);

/* In place of ring_atomics.h. */
#define SHM_RING_ATOMICS_H
#define ring_load(p)        ((__typeof__(*(p)))side_load((p), sizeof(*(p))))
#define ring_store(p, v)    side_store((p), (v), sizeof(*(p)))
#define ring_fence()        side_fence()
#define ring_copy(to, f, n) side_copy((to), (f), (n))
#include "../../../guest/shm/lib/ring.c"

enum { SIDES = 2, STACK = 64 << 10, BUFFER = 64, STEPS = 4000, SWITCHES = 4 };

static struct side {
    jmp_buf go_on;
    ucontext_t first;
    bool begun, done, asleep, woken, lazy;
    struct {
        uint8_t *to;
        uint64_t value;
        size_t size;
    } stores[BUFFER];
    int n;
} side[SIDES];
static char stacks[SIDES][STACK];
static jmp_buf scheduler;
static int now; /* the side that runs */

static struct ring_lines lines;
static uint8_t data[16];
static size_t ring_size, total, step_in, step_out;
static bool failed;
static const char *leave_out = "";

static void yield(void)
{
    if (!_setjmp(side[now].go_on))
        _longjmp(scheduler, 1);
}

static void flush(struct side *s)
{
    for (int i = 0; i < s->n; i++)
        memcpy(s->stores[i].to, &s->stores[i].value, s->stores[i].size);
    s->n = 0;
}

static uint64_t side_load(const void *p, size_t size)
{
    uint64_t value = 0;

    yield();
    memcpy(&value, p, size);
    for (int i = 0; i < side[now].n; i++)
        if (side[now].stores[i].to == (const uint8_t *)p)
            value = side[now].stores[i].value;
    return value;
}

static void push(void *p, uint64_t v, size_t size)
{
    struct side *s = &side[now];

    if (s->n == BUFFER)
        flush(s);
    s->stores[s->n].to = p;
    s->stores[s->n].value = v;
    s->stores[s->n++].size = size;
}

static void side_store(void *p, uint64_t v, size_t size)
{
    yield();
    push(p, v, size);
    if (!side[now].lazy)
        flush(&side[now]);
}

static void side_fence(void)
{
    /* Which one it is shows in what was stored last: a mark (arm) or a count (publish). */
    struct side *s = &side[now];
    struct ring_line *mine = now ? &lines.consumer : &lines.producer;
    bool arm = s->n && s->stores[s->n - 1].to == (uint8_t *)&mine->wake_at;
    bool publish = s->n && s->stores[s->n - 1].to == (uint8_t *)&mine->count;

    yield();
    if ((arm && !strcmp(leave_out, "no-fence-in-arm")) ||
        (publish && !strcmp(leave_out, "no-fence-in-publish")))
        return;
    flush(&side[now]);
}

static void side_copy(void *to, const void *from, size_t n)
{
    /* Into the ring through the buffer, in order; out of it from memory. */
    bool in = (uint8_t *)to >= data && (uint8_t *)to < data + sizeof(data);

    for (size_t i = 0; i < n; i++)
        if (in)
            push((uint8_t *)to + i, ((const uint8_t *)from)[i], 1);
        else
            ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    if (in && !side[now].lazy)
        flush(&side[now]);
}

static void wake(int which)
{
    side[which].woken = true;
}

static void sleep_until_woken(void)
{
    side[now].asleep = true;
    flush(&side[now]); /* falling asleep takes long */
    yield();
    side[now].asleep = side[now].woken = false;
}

static void produce(void)
{
    struct ring r;
    uint8_t bytes[16];
    size_t sent = 0;

    ring_start(&r, &lines, data, ring_size, true);
    while (sent < total) {
        size_t n = total - sent < step_in ? total - sent : step_in;
        ssize_t ready = ring_ready(&r);

        if (ready < 0)
            failed = true;
        if (ready <= 0) {
            if (!ring_arm(&r, n < ring_size ? n : ring_size))
                sleep_until_woken();
            continue;
        }
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(sent + i + 1);
        sent += ring_put(&r, bytes, n, (size_t)ready);
        if (ring_publish(&r))
            wake(1);
    }
    ring_end(&r);
    wake(1);
}

static void consume(void)
{
    struct ring r;
    uint8_t bytes[16];
    size_t got = 0;

    ring_start(&r, &lines, data, ring_size, false);
    for (;;) {
        ssize_t ready = ring_ready(&r);
        size_t n;

        if (ready < 0)
            failed = true;
        if (ready <= 0) {
            bool end = ring_other_ended(&r);

            if (ring_ready(&r) != 0)
                continue;
            if (end)
                break;
            if (!ring_arm(&r, 1))
                sleep_until_woken();
            continue;
        }
        n = ring_take(&r, bytes, step_out, (size_t)ready);
        for (size_t i = 0; i < n; i++)
            failed |= bytes[i] != (uint8_t)(got + i + 1);
        got += n;
        if (ring_publish(&r))
            wake(0);
    }
    failed |= got != total;
}

static void enter(int which)
{
    if (which)
        consume();
    else
        produce();
    side[which].done = true;
    flush(&side[which]);
    for (;;)
        yield();
}

static bool runnable(int which)
{
    return !side[which].done && (!side[which].asleep || side[which].woken);
}

static void run_side(int which)
{
    now = which;
    if (_setjmp(scheduler))
        return;
    if (side[which].begun)
        _longjmp(side[which].go_on, 1);
    side[which].begun = true;
    setcontext(&side[which].first);
}

static void begin(int lazy)
{
    memset(&lines, 0, sizeof(lines));
    memset(data, 0, sizeof(data));
    failed = false;
    for (int i = 0; i < SIDES; i++) {
        struct side *s = &side[i];

        s->begun = s->done = s->asleep = s->woken = false;
        s->n = 0;
        s->lazy = lazy >> i & 1;
        getcontext(&s->first);
        s->first.uc_stack.ss_sp = stacks[i];
        s->first.uc_stack.ss_size = STACK;
        s->first.uc_link = NULL;
        makecontext(&s->first, (void (*)(void))enter, 1, i);
    }
}

/* One run that switches at these steps. Returns the number of steps; 0: a wake-up or a byte was lost. */
static int run(int lazy, int first, const int *at, int switches)
{
    int current = first, next = 0;

    begin(lazy);
    for (int step = 1; step < STEPS; step++) {
        if (next < switches && at[next] == step) {
            current ^= 1;
            next++;
        }
        if (!runnable(current))
            current ^= 1;
        if (!runnable(current)) {
            bool stuck = !side[0].done || !side[1].done;

            return stuck || failed ? 0 : step;
        }
        run_side(current);
    }
    return 0;
}

static unsigned long runs;

/* All ways to add up to `left` switches behind the last one. */
static bool search(int lazy, int first, int *at, int n, int left)
{
    int steps = run(lazy, first, at, n);

    runs++;
    if (!steps) {
        printf("lost: ring of %zu, %zu bytes by %zu and %zu, lazy %d, first %d, switches at",
               ring_size, total, step_in, step_out, lazy, first);
        for (int i = 0; i < n; i++)
            printf(" %d", at[i]);
        printf("\n");
        return false;
    }
    if (!left)
        return true;
    for (int step = n ? at[n - 1] + 1 : 1; step < steps; step++) {
        at[n] = step;
        if (!search(lazy, first, at, n + 1, left - 1))
            return false;
    }
    return true;
}

static bool search_all(void)
{
    static const struct {
        size_t size, total, in, out;
        int switches;
    } worlds[] = {
        {1, 2, 1, 1, 4}, {2, 3, 1, 2, 3}, {2, 4, 2, 1, 3}, {3, 5, 3, 2, 3}, {3, 7, 2, 3, 3}};
    int at[SWITCHES];

    for (size_t i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        ring_size = worlds[i].size;
        total = worlds[i].total;
        step_in = worlds[i].in;
        step_out = worlds[i].out;
        for (int lazy = 0; lazy < 4; lazy++)
            for (int first = 0; first < 2; first++)
                if (!search(lazy, first, at, 0, worlds[i].switches))
                    return false;
    }
    return true;
}

int main(void)
{
    static const char *const mutants[] = {"no-fence-in-arm", "no-fence-in-publish"};

    if (!search_all())
        return 1;
    printf("%lu runs, nothing lost\n", runs);
    for (int i = 0; i < 2; i++) {
        leave_out = mutants[i];
        printf("%s: ", leave_out);
        if (search_all()) {
            printf("nothing is found\n");
            return 1;
        }
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "libpal/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#define FIRST_SECONDS 1.0 /* of what is quicker nothing is drawn */
#define TICK_SECONDS  0.1
#define JSON_TICKS    5
#define BAR_MOST      40
#define BAR_LEAST     8
#define LINE_MOST     256

static enum { FORM_NONE, FORM_BAR, FORM_JSON } form;

struct pal_progress {
    char verb[24], subject[64];
    const struct pal_phase *phases;
    unsigned count;
    double began;
    pthread_t thread;
    atomic_uint_fast64_t done; /* of the phase */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock: */
    bool stop;
    unsigned phase, ticks;
    uint64_t total;
    uint64_t (*ask)(void *data);
    void *ask_data;
    double phase_began, sampled_at, rate;
    uint64_t sampled;
    char drawn[LINE_MOST]; /* what is on the terminal */
};

bool pal_progress_choose(const char *word)
{
    if (!strcmp(word, "none"))
        form = FORM_NONE;
    else if (!strcmp(word, "bar"))
        form = FORM_BAR;
    else if (!strcmp(word, "json"))
        form = FORM_JSON;
    else if (!strcmp(word, "auto"))
        form = isatty(STDERR_FILENO) ? FORM_BAR : FORM_NONE;
    else
        return false;
    return true;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the line ---- */

static void duration(double seconds, char *text, size_t room)
{
    unsigned long s = (unsigned long)(seconds + 0.5);

    if (s < 60)
        snprintf(text, room, "%lu s", s);
    else if (s < 3600)
        snprintf(text, room, "%lu min %lu s", s / 60, s % 60);
    else
        snprintf(text, room, "%lu h %lu min", s / 3600, s / 60 % 60);
}

/* What stands behind the bar. */
static void numbers(const struct pal_progress_state *s, char *text, size_t room)
{
    char rate[32] = "", time[48] = "", percent[16] = "";

    if (s->fraction >= 0)
        snprintf(percent, sizeof(percent), " %3.0f%%", s->fraction * 100);
    if (s->bytes && s->rate > 0)
        snprintf(rate, sizeof(rate), "  %.0f MiB/s", s->rate / (1 << 20));
    if (s->left >= 0) {
        strcpy(time, "  ");
        duration(s->left, time + 2, sizeof(time) - 8);
        strcat(time, " left");
    } else {
        strcpy(time, "  ");
        duration(s->elapsed, time + 2, sizeof(time) - 2);
    }
    snprintf(text, room, "%s%s%s", percent, rate, time);
}

void pal_progress_line(const struct pal_progress_state *s, unsigned width, char *line, size_t room)
{
    char left[128], right[96], bar[BAR_MOST + 4] = "";
    size_t used, size = 0;

    snprintf(left, sizeof(left), "%s %s: %s", s->verb, s->subject, s->phase);
    numbers(s, right, sizeof(right));
    used = strlen(left) + strlen(right) + 3; /* a blank and the bar's ends */
    if (width > used)
        size = width - used < BAR_MOST ? width - used : BAR_MOST;
    if (s->fraction >= 0 && size >= BAR_LEAST) {
        size_t full = (size_t)(s->fraction * (double)size);

        bar[0] = ' ';
        bar[1] = '[';
        memset(bar + 2, '-', size);
        memset(bar + 2, '#', full < size ? full : size);
        strcpy(bar + 2 + size, "]");
    }
    snprintf(line, room < width + 1 ? room : width + 1, "%s%s%s", left, bar, right);
}

/* ---- where it stands ---- */

/* The rate is smoothed over about a second. */
static void sample(struct pal_progress *p, uint64_t done, double at)
{
    double passed = at - p->sampled_at;

    if (passed < TICK_SECONDS / 2)
        return;
    if (done >= p->sampled) {
        double rate = (double)(done - p->sampled) / passed;

        p->rate = p->rate > 0 ? p->rate * 0.9 + rate * 0.1 : rate;
    }
    p->sampled = done;
    p->sampled_at = at;
}

/* Of the phase; 0 when that is not known. */
static double phase_fraction(const struct pal_progress *p, uint64_t done)
{
    if (!p->total)
        return 0;
    return done < p->total ? (double)done / (double)p->total : 1;
}

/* The weights of phases from..to-1. */
static double weights(const struct pal_progress *p, unsigned from, unsigned to)
{
    double sum = 0;

    for (unsigned i = from; i < to; i++)
        sum += p->phases[i].weight;
    return sum;
}

static double fraction(const struct pal_progress *p, uint64_t done)
{
    double all = weights(p, 0, p->count);

    if (all <= 0 || (p->count == 1 && !p->total))
        return -1;
    return (weights(p, 0, p->phase) + phase_fraction(p, done) * p->phases[p->phase].weight) / all;
}

/* From the pace of this phase alone: how long those before took says little, since what they do may
 * have been there already. */
static double seconds_left(const struct pal_progress *p, uint64_t done, double at)
{
    double here = phase_fraction(p, done), weight = p->phases[p->phase].weight;

    if (here < 0.02 || weight <= 0)
        return -1;
    return (at - p->phase_began) / here * (1 - here + weights(p, p->phase + 1, p->count) / weight);
}

static struct pal_progress_state state_of(struct pal_progress *p)
{
    const struct pal_phase *phase = &p->phases[p->phase];
    double at = now();
    uint64_t done;

    if (p->ask)
        atomic_store(&p->done, p->ask(p->ask_data));
    done = atomic_load(&p->done);
    sample(p, done, at);
    return (struct pal_progress_state){
        .verb = p->verb,
        .subject = p->subject,
        .phase = phase->name,
        .bytes = phase->bytes,
        .fraction = fraction(p, done),
        .rate = p->rate,
        .elapsed = at - p->began,
        .left = seconds_left(p, done, at),
    };
}

/* ---- showing ---- */

/* One call, so that lines of several threads do not mix. What does not go out is lost. */
static void put(const char *text, size_t size)
{
    ssize_t ignored = write(STDERR_FILENO, text, size);

    (void)ignored;
}

static void draw(struct pal_progress *p, const struct pal_progress_state *s)
{
    char line[LINE_MOST], all[LINE_MOST * 2];
    struct winsize w = {0};
    unsigned width = 79;
    size_t length, before;

    if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col > 1)
        width = w.ws_col < LINE_MOST ? w.ws_col - 1u : LINE_MOST - 1;
    pal_progress_line(s, width, line, sizeof(line));
    if (!strcmp(line, p->drawn))
        return;
    length = strlen(line);
    before = strlen(p->drawn);
    snprintf(all, sizeof(all), "\r%s%*s", line, before > length ? (int)(before - length) : 0, "");
    put(all, strlen(all));
    strcpy(p->drawn, line);
}

static void wipe(struct pal_progress *p)
{
    char all[LINE_MOST + 8];

    if (!p->drawn[0])
        return;
    snprintf(all, sizeof(all), "\r%*s\r", (int)strlen(p->drawn), "");
    put(all, strlen(all));
    p->drawn[0] = '\0';
}

static json_t *known(double value)
{
    return value < 0 ? json_null() : json_real(value);
}

static void say(struct pal_progress *p, const struct pal_progress_state *s, const char *event)
{
    uint64_t done = atomic_load(&p->done);
    json_t *o =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:s, s:f, s:f, s:o}", "version", 1,
                  "event", event, "verb", s->verb, "name", s->subject, "phase", s->phase, "percent",
                  known(s->fraction < 0 ? -1 : s->fraction * 100), "done", (json_int_t)done,
                  "total", (json_int_t)p->total, "unit", s->bytes ? "bytes" : "steps", "rate",
                  s->rate, "seconds", s->elapsed, "seconds_left", known(s->left));
    char *text = json_dumps(o, JSON_REAL_PRECISION(6));
    size_t size = text ? strlen(text) : 0;

    if (text) {
        text[size] = '\n'; /* in the place of its end: it is written by its size */
        put(text, size + 1);
    }
    free(text);
    json_decref(o);
}

/* Called with the lock held. */
static void show(struct pal_progress *p, const char *event)
{
    struct pal_progress_state s = state_of(p);

    if (form == FORM_JSON)
        say(p, &s, event);
    else if (s.elapsed >= FIRST_SECONDS)
        draw(p, &s);
}

static void *draw_until_stopped(void *data)
{
    struct pal_progress *p = data;

    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(TICK_SECONDS * 1e9);
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&p->wake, &p->lock, &until);
        if (!p->stop && (form == FORM_BAR || ++p->ticks % JSON_TICKS == 0))
            show(p, "progress");
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- a task ---- */

static bool start_thread(struct pal_progress *p)
{
    sigset_t all, old;
    pthread_condattr_t monotonic;
    bool good;

    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    good = !pthread_create(&p->thread, NULL, draw_until_stopped, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return good;
}

struct pal_progress *pal_progress_begin(const char *verb, const char *subject,
                                        const struct pal_phase *phases, unsigned count)
{
    struct pal_progress *p = form == FORM_NONE ? NULL : calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    snprintf(p->verb, sizeof(p->verb), "%s", verb);
    snprintf(p->subject, sizeof(p->subject), "%s", subject);
    p->phases = phases;
    p->count = count;
    p->began = p->sampled_at = now();
    if (!start_thread(p)) {
        free(p);
        return NULL;
    }
    return p;
}

void pal_progress_phase(struct pal_progress *p, unsigned i, uint64_t total)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->phase = i < p->count ? i : p->count - 1;
    p->total = total;
    p->ask = NULL;
    p->rate = 0;
    p->sampled = 0;
    p->phase_began = p->sampled_at = now();
    atomic_store(&p->done, 0);
    if (form == FORM_JSON)
        show(p, "phase");
    pthread_mutex_unlock(&p->lock);
}

void pal_progress_add(struct pal_progress *p, uint64_t more)
{
    if (p)
        atomic_fetch_add(&p->done, more);
}

void pal_progress_at(struct pal_progress *p, uint64_t done)
{
    if (p)
        atomic_store(&p->done, done);
}

void pal_progress_ask(struct pal_progress *p, uint64_t (*ask)(void *data), void *data)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ask = ask;
    p->ask_data = data;
    pthread_mutex_unlock(&p->lock);
}

void pal_progress_end(struct pal_progress *p, bool good)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    p->ask = NULL;
    if (form == FORM_JSON) {
        struct pal_progress_state s = state_of(p);

        s.fraction = good ? 1 : s.fraction;
        s.left = good ? 0 : s.left;
        say(p, &s, good ? "done" : "failed");
    }
    wipe(p);
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

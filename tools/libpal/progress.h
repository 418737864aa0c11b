/* SPDX-License-Identifier: MIT */
/*
 * How far a task is, on standard error: a bar on a terminal once the task has taken a second, or
 * (--progress=json) lines of JSON for programs. A task is a list of phases, each with its weight:
 * how much of the whole time it usually takes.
 *
 *     static const struct pal_phase phases[] = {{"memory", 30, true}, {"devices", 5, false}};
 *     struct pal_progress *p = pal_progress_begin("create", "web", phases, 2);
 *
 *     pal_progress_phase(p, 0, bytes);
 *     while (...)
 *         pal_progress_add(p, some);
 *     pal_progress_phase(p, 1, 0);
 *     ...
 *     pal_progress_end(p, true);
 *
 * A thread of its own draws, so that a call that blocks does not stop it, and counting costs one
 * atomic addition. Every function takes NULL, for callers that show nothing.
 */
#ifndef LIBPAL_PROGRESS_H
#define LIBPAL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAL_PROGRESS_PHASES_MAX 8

struct pal_phase {
    const char *name; /* one or two words */
    unsigned weight;
    bool bytes; /* it counts bytes: their rate is shown */
};

struct pal_progress;

/* What this process shows: "none" (the default), "bar", "json", or "auto": a bar if standard error
 * is a terminal. False: no such word. */
bool pal_progress_choose(const char *word);

/* Begin a task of `verb` on `subject` (both are copied, phases is kept). NULL when nothing is to be
 * shown, or when there is no memory. */
struct pal_progress *pal_progress_begin(const char *verb, const char *subject,
                                        const struct pal_phase *phases, unsigned count);
/* Phase i begins, with so much to do; 0: that is not known. Those before it are over. */
void pal_progress_phase(struct pal_progress *p, unsigned i, uint64_t total);
/* So much more of it is done; so much in all. From any thread. */
void pal_progress_add(struct pal_progress *p, uint64_t more);
void pal_progress_at(struct pal_progress *p, uint64_t done);
/* For a phase in which the caller is blocked: ask(data) says how much is done. It is called by the
 * drawing thread, until the next phase or the end. */
void pal_progress_ask(struct pal_progress *p, uint64_t (*ask)(void *data), void *data);
/* The task is over; the bar vanishes. p is gone. */
void pal_progress_end(struct pal_progress *p, bool good);

/* ---- what is drawn: for tests ---- */

struct pal_progress_state {
    const char *verb, *subject, *phase;
    bool bytes;
    double fraction;      /* of the whole task, 0 to 1; less than 0: not known */
    double rate;          /* a second */
    double elapsed, left; /* seconds; less than 0: not known */
};
/* One line of at most width characters. */
void pal_progress_line(const struct pal_progress_state *s, unsigned width, char *line, size_t room);

#endif

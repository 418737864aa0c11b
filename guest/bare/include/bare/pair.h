/* SPDX-License-Identifier: MIT */
/*
 * Three domains of one program: domain 0, which tells the story; a *witness*, which keeps watch over what is its own; and an
 * *attacker*. Domain 0 makes the other two, has each run functions of the program one at a time, and looks after each attack
 * whether all is as it must be:
 *
 *   O1 the attacker said "ok" to what it saw          (its own lines, which domain 0 passes on and counts)
 *   O2 the hypervisor answers                          pair_check
 *   O3 the witness's pages, tables, registers and floating-point registers are as it left them,
 *      its timer ticks, each event sent to it arrives, none comes that nobody sent   pair_check
 *   O4 the audit of all frames finds nothing           pair_check
 *   O5 when the attacker has been ended, free frames, heap, domains and ports are what they were   pair_end_attacker
 *   O6 the witness goes on while the attack runs       pair_check wants progress; the longest gap is a note
 *   O7 the hypervisor has logged little                pair_check
 *
 * A test's main() is `return pair_main("name", story);`.
 */
#ifndef BARE_PAIR_H
#define BARE_PAIR_H

#include <abi/pal.h>
#include <bare/control.h>
#include <bare/grant.h>
#include <bare/test.h>

int pair_main(const char *name, void (*story)(void));

/* One of the two, as domain 0 sees it. */
struct pair_domain;
extern struct pair_domain *const pair_attacker, *const pair_witness;

unsigned int pair_id(const struct pair_domain *d);
uint64_t pair_mfn(const struct pair_domain *d, uint64_t pfn); /* any frame of it */
const struct control_domain *pair_control(const struct pair_domain *d);

/* ---- said by domain 0 ---- */

/* A witness that keeps watch, with that many vCPUs. Once, at the beginning of a story. */
void pair_begin(unsigned int witness_vcpus);
/* A new attacker (after the old one's end). */
void pair_new_attacker(unsigned int vcpus);
unsigned int pair_new_attacker_as(unsigned int id,
                                  unsigned int vcpus); /* with that number, if it is free */
/* on: what comes later is compared with the books as they are noted, also when attackers are made meanwhile. */
void pair_keep_books(bool on);
/* End the attacker: O5. What others still hold of it must have been given up. */
void pair_end_attacker(const char *id);
/* The same in two steps, to look at what is between them. */
void pair_kill_attacker(void);
void pair_gone(const char *id);

typedef int64_t pair_fn(uint64_t arg);
/* Run fn(arg) there and wait for its end: what it returns, or PAIR_KILLED. */
int64_t pair_run(struct pair_domain *d, pair_fn *fn, uint64_t arg);
#define PAIR_KILLED INT64_MIN
/* Start it only, for races; and wait. */
void pair_start(struct pair_domain *d, pair_fn *fn, uint64_t arg);
int64_t pair_wait(struct pair_domain *d);

/* O2, O3, O4, O6, O7 now. */
void pair_check(const char *id);
/* Run an attack in the attacker, then check. Its result must be 0 (0 checks failed). */
void pair_attack(const char *id, pair_fn *fn, uint64_t arg);
/* A new attacker runs it, is killed for it, and leaves nothing. */
void pair_fatal(const char *id, pair_fn *fn, uint64_t arg);

/* ---- said by attacker and witness ---- */

/* What domain 0 told about the other one: its number, one of its frames, a port, a reference... */
struct pair_facts {
    uint64_t other;       /* the other's domain number */
    uint64_t other_frame; /* a data frame of it */
    uint64_t other_table; /* its top table */
    uint64_t ref, port;   /* free for the story's use */
    uint64_t frame;
    uint64_t dead; /* a number that was a domain's and is no more */
};
struct pair_facts *pair_facts(void);                     /* own */
struct pair_facts *pair_facts_of(struct pair_domain *d); /* written by domain 0 */

/* Said by the witness: events on that port are not strange. */
void pair_expect_port(unsigned int port);

/* Has somebody said that we should stop? For loops that run until domain 0 kills us, or tells us. */
bool pair_told_to_stop(void);
void pair_tell_to_stop(struct pair_domain *d);

#endif

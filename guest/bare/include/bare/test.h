/* SPDX-License-Identifier: MIT */
/*
 * The protocol on the console:
 *
 *   TEST name
 *   ok ID text
 *   FAIL ID text got X want Y
 *   DIFF ID text got X want Y      (only with peer=xen: we answer otherwise on purpose)
 *   DONE n ok, m failed
 *
 * ID is the invariant's number and a letter or word.
 */
#ifndef BARE_TEST_H
#define BARE_TEST_H

#include <bare/console.h>
#include <bare/event.h>
#include <bare/hypercall.h>
#include <bare/mm.h>
#include <bare/start.h>
#include <bare/string.h>
#include <bare/trap.h>
#include <bare/user.h>
#include <bare/vcpu.h>

void test_begin(const char *name);
/* End: audit the books, probe that the hypervisor still answers, power off. */
_Noreturn void test_end(void);

/* What others have said counts in our verdict. */
void test_add(unsigned int ok, unsigned int bad);

/* The books now: the audit finds nothing wrong. */
void test_audit(const char *id);

bool test_eq(const char *id, const char *text, int64_t got, int64_t want);
bool test_true(const char *id, const char *text, bool holds);
/* The contract is ours; the peer is known to answer otherwise. */
bool test_eq_ours(const char *id, const char *text, int64_t got, int64_t want);
bool test_true_ours(const char *id, const char *text, bool holds);
/* Refused: any negative errno. */
bool test_refused(const char *id, const char *text, int64_t got);
bool test_refused_ours(const char *id, const char *text, int64_t got);
/* One of two answers. */
bool test_either(const char *id, const char *text, int64_t got, int64_t a, int64_t b);

bool test_peer(void);         /* running on the peer, not on ours */
unsigned int test_case(void); /* case=N, 0 without */
/* A case that must have ended the domain came back: a failure. */
_Noreturn void test_survived(const char *id);
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A frame of the hypervisor's own: what its first slot in our root points to. */
uint64_t test_hypervisor_frame(void);

/* Frames that are not ours to name, with any mapping: name and number. */
struct test_frame {
    const char *name;
    uint64_t mfn;
};
#define TEST_FOREIGN_FRAMES 5
void test_foreign_frames(struct test_frame out[TEST_FOREIGN_FRAMES]);

/* Do two entries mean the same? Accessed and dirty are the processor's, global is the peer's. */
bool test_same_entry(uint64_t a, uint64_t b);
/* Is the machine frame one of ours? */
bool test_own_frame(uint64_t mfn);

/* Pin as a table of level 1..4, and unpin. */
long test_pin(int level, uint64_t pfn);
long test_unpin(uint64_t pfn);

/*
 * Condition of a loop in which vCPUs race: `for (unsigned i = 0; test_race(i, 20000); i++)`.
 * All the rounds on an idle host; where the CPUs of the emulator wait for each other, as many
 * as three seconds allow, but not fewer than 20. One loop at a time on each vCPU.
 */
bool test_race(unsigned int i, unsigned int rounds);
/* Likewise, but not over before what the race is for has happened (`enough`); after a minute it is over. */
bool test_race_until(unsigned int i, unsigned int rounds, bool enough);

uint64_t test_random(void); /* deterministic; seed= sets its start */

#endif

/* SPDX-License-Identifier: MIT */
/* Small programs in user mode (ring 3, on the user root). */
#ifndef BARE_USER_H
#define BARE_USER_H

#include <bare/trap.h>
#include <stddef.h>

#define USER_CODE  0x400000ul
#define USER_DATA  0x600000ul /* one page, also the stack */
#define USER_STACK 0x601000ul

struct user {
    uint64_t root, code, data; /* pfns */
};

/* A user root with one page of code (copied) and one of data. Pinned. */
void user_make(struct user *u, const void *code, size_t size);
void user_free(struct user *u);

/*
 * Load u's root as user root and enter at USER_CODE with the registers of
 * *start (rdi, rsi, ... rflags; NULL: zeroes). Returns when user mode calls or
 * faults; *out says how.
 */
void user_run(struct user *u, const struct trap_frame *start, struct trap_frame *out,
              uint64_t *fault_address);
/* Enter with all of *start as given (rip, cs, ss, rsp, rflags too); flags: VGCF_*. */
void user_enter(const struct trap_frame *start, uint64_t flags, struct trap_frame *out,
                uint64_t *fault_address);

/* The iret call with the stack pointer at frame, whatever that is. Returns only if refused. */
long user_iret(const void *frame);

#endif

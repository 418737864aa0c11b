/* SPDX-License-Identifier: MIT */
/* Exceptions, and running code that is expected to fault. */
#ifndef BARE_TRAP_H
#define BARE_TRAP_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers above the processor's 256 for what comes by callback. */
#define TRAP_EVENT     256
#define TRAP_FAILSAFE  257
#define TRAP_SYSCALL   258
#define TRAP_SYSCALL32 259
#define TRAP_SYSENTER  260

#define TRAP_DE  0
#define TRAP_DB  1
#define TRAP_NMI 2
#define TRAP_BP  3
#define TRAP_UD  6
#define TRAP_NM  7
#define TRAP_TS  10
#define TRAP_NP  11
#define TRAP_SS  12
#define TRAP_GP  13
#define TRAP_PF  14
#define TRAP_MF  16
#define TRAP_AC  17
#define TRAP_XM  19

/* As entry.S lays it out; the tail is the bounce frame the hypervisor pushed. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

struct trap_fault {
    uint64_t vector, error, address, rip, cs, rflags, rsp;
};

/* Register the whole trap table and the callbacks, for the calling vCPU. */
void trap_init(void);
void trap_fill_table(void *table_of_256); /* struct trap_info[256] */

/*
 * Run fn(arg). true: it faulted, *out says how (out may be NULL) and the rest
 * of fn did not run. false: it returned.
 */
bool trap_run(void (*fn)(void *), void *arg, struct trap_fault *out);

/* The commonest such code. Result: the vector, or -1 if nothing happened. */
int trap_read(uint64_t va, uint64_t *value);
int trap_write(uint64_t va, uint64_t value);
int trap_exec(const void *code, struct trap_fault *out); /* call it; it ends in ret */

/* A handler tried before all else; true if it dealt with the fault. */
typedef bool trap_hook(struct trap_frame *f);
void trap_set_hook(unsigned int vector, trap_hook *hook);
extern volatile uint64_t trap_counts[261];

void trap_dispatch(struct trap_frame *f);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Who has been promised memory that he has not got yet: /run/pal/ledger, a few lines under a lock. A
 * promise counts less what its domain has already, and is void when the process that made it is gone;
 * so two who start domains at once do not both count on the same free memory.
 */
#ifndef LIBPAL_LEDGER_H
#define LIBPAL_LEDGER_H

#include "libpal/hv.h"

/* All promises but our own, in KiB. */
int pal_ledger_promised(struct pal_hv *hv, uint64_t *kib, struct pal_error *e);
/* Promise ourselves so much; a process has one promise, a new one takes the place of the old. Fails
 * with PAL_MEM_HOST, and *missing set, when what is free does not cover all promises. */
int pal_ledger_promise(struct pal_hv *hv, uint64_t kib, uint64_t *missing, struct pal_error *e);
/* The same without a look at what is free: it is on its way. Until pal_ledger_promise agrees, or it is released, what gets
 * free is nobody else's, and pal-balloond takes from others for it. */
int pal_ledger_want(uint64_t kib, struct pal_error *e);
/* It is for that domain: what the domain has is taken off. */
int pal_ledger_settle(uint32_t domain, struct pal_error *e);
void pal_ledger_release(void);

#endif

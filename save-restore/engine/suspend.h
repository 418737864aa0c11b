/* SPDX-License-Identifier: MIT */
/* Asking a guest to suspend, and letting it go on. */
#ifndef ENGINE_SUSPEND_H
#define ENGINE_SUSPEND_H

#include "libpal/domain.h"
#include "libpal/hv_state.h"

/* Can the domain be asked at all? */
int suspend_check(struct pal *p, const struct pal_domain *d, struct pal_error *e);
/* Ask, and wait until its kernel has taken the request. After a failure: suspend_undo(). */
int suspend_ask(struct pal *p, const struct pal_domain *d, unsigned seconds, struct pal_error *e);
/* Wait until it stands still. */
int suspend_wait(struct pal *p, const struct pal_domain *d, unsigned seconds, struct pal_error *e);

/* Is this (still) the domain d, suspended? */
enum suspend_state { SUSPEND_GONE, SUSPEND_RUNS, SUSPEND_STOPPED };
enum suspend_state suspend_look(struct pal *p, const struct pal_domain *d);

/* Let a suspended domain go on as the one it was. */
int suspend_cancel(struct pal *p, uint32_t domain, struct pal_error *e);
/* It runs on, whether or not it has suspended meanwhile: a request that it has not taken is
 * withdrawn; one that it has taken may still be carried out: true: somebody should wait for that. */
bool suspend_undo(struct pal *p, const struct pal_domain *d, struct pal_error *e);

#endif

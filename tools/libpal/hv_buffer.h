/* SPDX-License-Identifier: MIT */
/* Inside libpal: memory that a hypercall may use, and the telling of a refusal. */
#ifndef LIBPAL_HV_BUFFER_H
#define LIBPAL_HV_BUFFER_H

#include "libpal/hv.h"

/* Zeroed; to be given back. NULL with the error set when there is none. errno survives the free. */
void *pal_hv_buffer(struct pal_hv *hv, size_t size, struct pal_error *e);
void pal_hv_buffer_free(struct pal_hv *hv, void *p);

/* One operation of our own hypercall (PALOP_*) with a structure of that size, copied in and out. Returns its result; -1 and errno. */
long pal_hv_own(struct pal_hv *hv, unsigned cmd, void *arg, size_t size, struct pal_error *e);

/* Turn errno after a failed call into an error; `what` follows "refused". Returns -1. */
int pal_hv_refused(struct pal_error *e, const char *what);

#endif

/* SPDX-License-Identifier: MIT */
/* The connections to kernel and hypervisor, opened before rights are given up. */
#ifndef UBC_MACHINE_H
#define UBC_MACHINE_H

#include <stdint.h>

/* Each returns 0, or -1 with errno. */
int grant_open(void);
int cache_open(void);

/* A ring's pages, consecutive; NULL: the guest did not grant them. */
void *grant_map(uint32_t domain, uint32_t *refs, unsigned count);
void grant_unmap(void *pages, unsigned count);

#endif

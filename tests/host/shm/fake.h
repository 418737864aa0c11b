/* SPDX-License-Identifier: MIT */
/*
 * A world for libpalshm in one process: a store with watches and rights, event channels, regions. Each palshm handle is a process
 * of the domain that its thread has set. A process may be killed: its kernel then does what a kernel does.
 */
#ifndef TESTS_SHM_FAKE_H
#define TESTS_SHM_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "palshm.h"
#include "seam.h"

/* The domain of handles that this thread opens from now on. */
void fake_domain(uint32_t domain);
/* Domain 0 lists a region of so many pages for these members, all for writing (or all but `reader`). */
void fake_region(const char *name, uint32_t slot, uint64_t generation, uint64_t pages,
                 const uint32_t *members, unsigned n, uint32_t reader);
/* Domain 0 takes it from a member: the store says so. */
void fake_revoke(const char *name, uint32_t member);
/* kill -9 of the process of this handle. Nothing may be called on it any more; fake_forget() frees what is left. */
void fake_kill(struct seam *s);
/* The end of a whole domain: all its processes, without their kernel having its say, and its nodes. */
void fake_end_domain(uint32_t domain);
/* What a domain wrote may be forged: as seam_write() by the domain itself, readable by all. */
void fake_write(uint32_t domain, const char *path, const char *value);
/* The memory of a region. */
uint8_t *fake_memory(uint32_t slot);
/* A quota for PALOP_region_create. */
void fake_quota(uint32_t domain, uint64_t pages);
/* Nodes, ports and mappings that are left; a new world. */
unsigned fake_nodes(const char *prefix), fake_ports(void), fake_mappings(void);
void fake_reset(void);

#endif

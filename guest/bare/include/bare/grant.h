/* SPDX-License-Identifier: MIT */
/* Grant tables, version 1: offering pages of ours, and using those of others. */
#ifndef BARE_GRANT_H
#define BARE_GRANT_H

#include <stdbool.h>

#include <bare/hypercall.h>
#include <xen/grant_table.h>

/* Where others' pages are mapped: slots of one level 1 table, made by grant_init. */
#define GRANT_WINDOW 0xffff890000000000ul
#define GRANT_SLOTS  496u
#define GRANT_PER    512u /* entries of one page of the table */

/* The first page of our table, at grant_table[0..511]. Once; panics if refused. */
void grant_init(void);
extern volatile struct grant_entry_v1 *grant_table;

/* Let domain `to` use our frame by ref (8..511); flags: GTF_readonly or 0. */
void grant_offer(uint32_t ref, unsigned int to, uint64_t mfn, unsigned int flags);
bool grant_revoke(uint32_t ref);       /* false: it is in use, and stays */
unsigned int grant_used(uint32_t ref); /* GTF_reading, GTF_writing */

/* One structure of the command; the status, or the negative errno of the call itself less 1000. */
int grant_map(struct gnttab_map_grant_ref *op);
int grant_unmap(uint32_t handle, uint64_t host, uint64_t device);
int grant_copy(const struct gnttab_copy *op);
long grant_call(unsigned int cmd, void *ops, unsigned int count);

static inline uint64_t grant_va(unsigned int slot)
{
    return GRANT_WINDOW + slot * 4096ul;
}
uint64_t grant_slot(unsigned int slot);  /* machine address of its entry */
uint64_t grant_entry(unsigned int slot); /* what the entry says */

/* Map dom's ref at a slot: flags GNTMAP_readonly or 0. The status; *handle if it is GNTST_okay. */
int grant_map_at(unsigned int slot, unsigned int dom, uint32_t ref, unsigned int flags,
                 uint32_t *handle);

#endif

/* SPDX-License-Identifier: MIT */
/* What the guest was started with. */
#ifndef BARE_START_H
#define BARE_START_H

#include <bare/hypercall.h>
#include <stdbool.h>

/* Where pfn 0 is mapped by the builder (the VIRT_BASE note). */
#define START_VIRT_BASE 0xffffffff80000000ul

extern struct start_info *start_info;

/* The page of struct shared_info, mapped at init. */
union start_shared_page {
    volatile struct shared_info info;
    char page[4096];
};
extern union start_shared_page start_shared_page;
#define start_shared (start_shared_page.info)

/*
 * The value of word `name=` on the command line: its first character, or
 * NULL. The value ends at a blank or the terminator.
 */
const char *start_option(const char *name);
uint64_t start_option_number(const char *name, uint64_t otherwise);

/* Every guest has one. */
int main(void);

#endif

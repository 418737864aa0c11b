/* SPDX-License-Identifier: MIT */
/* The page of call stubs that older kernels ask for by their HYPERCALL_PAGE note. */
#ifndef CORE_HYPERCALL_PAGE_H
#define CORE_HYPERCALL_PAGE_H

#include "base/types.h"

/* Fill a page: 128 stubs of 32 bytes, stub n makes hypercall n (<xen/arch-x86/xen.h>). */
void hypercall_page_fill(uint8_t page[PAGE_SIZE]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Guest memory of the vCPU that runs here, through its own page tables, with its own rights. A range that
 * touches the hypervisor's addresses, or faults, is -EFAULT. Read once: copy, check the copy, use the copy.
 */
#ifndef CORE_UACCESS_H
#define CORE_UACCESS_H

#include "base/types.h"
#include "x86/memory_map.h"
#include <xen/errno.h>

/* Does [va, va + n) lie wholly in guest space (canonical, outside slots 256..271, no wrap)? */
static inline bool guest_range_ok(uint64_t va, uint64_t n)
{
    uint64_t end = va + n;
    return end >= va && (end <= 0x0000800000000000ull || va >= HV_END);
}

/* May it be loaded as a segment base or stack pointer without a fault? */
static inline bool is_canonical(uint64_t address)
{
    return address < 0x0000800000000000ull || address >= 0xffff800000000000ull;
}

int copy_from_guest(void *dst, uint64_t va, size_t n) __must_check;
int copy16_from_guest(void *dst, uint64_t va) __must_check; /* the same for 16 bytes */
int copy_to_guest(uint64_t va, const void *src, size_t n) __must_check;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Checks of the hypervisor's own state. Guest input never reaches them: it gets an error.
 * CHECK is always there; DCHECK only in debug builds (PAL_DEBUG). The comparing forms print both
 * operands.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include "base/types.h"

/* Report and stop the machine (hypervisor) or abort (host). Never returns. */
__noreturn void check_failed(const char *file, int line, const char *what);
__noreturn void check_failed_op(const char *file, int line, const char *what, uint64_t left,
                                uint64_t right);

#define CHECK(c)                                                                                   \
    do {                                                                                           \
        if (unlikely(!(c)))                                                                        \
            check_failed(__FILE__, __LINE__, #c);                                                  \
    } while (0)
#define CHECK_OP(a, op, b)                                                                         \
    do {                                                                                           \
        uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);                                           \
        if (unlikely(!(a_ op b_)))                                                                 \
            check_failed_op(__FILE__, __LINE__, #a " " #op " " #b, a_, b_);                        \
    } while (0)
#define CHECK_EQ(a, b) CHECK_OP(a, ==, b)
#define CHECK_LT(a, b) CHECK_OP(a, <, b)
#define CHECK_LE(a, b) CHECK_OP(a, <=, b)

#ifdef PAL_DEBUG
#define DCHECK(c) CHECK(c)
#else
#define DCHECK(c) ((void)sizeof(!(c)))
#endif

#endif

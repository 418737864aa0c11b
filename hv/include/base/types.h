/* SPDX-License-Identifier: MIT */
/* Basic types and compiler words. Freestanding; compiles for the hypervisor and for the host. */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1ul << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define KiB(n) ((uint64_t)(n) << 10)
#define MiB(n) ((uint64_t)(n) << 20)
#define GiB(n) ((uint64_t)(n) << 30)

#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define ROUND_UP(x, a)        (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define ROUND_DOWN(x, a)      ((x) & ~((__typeof__(x))(a)-1))
#define DIV_ROUND_UP(n, d)    (((n) + (d)-1) / (d))
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))
#define min(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) a_ = (a);                                                                    \
        __typeof__(b) b_ = (b);                                                                    \
        a_ < b_ ? a_ : b_;                                                                         \
    })
#define max(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) a_ = (a);                                                                    \
        __typeof__(b) b_ = (b);                                                                    \
        a_ > b_ ? a_ : b_;                                                                         \
    })

#define likely(x)        __builtin_expect(!!(x), 1)
#define unlikely(x)      __builtin_expect(!!(x), 0)
#define barrier()        __asm__ volatile("" ::: "memory")
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#define __noreturn     __attribute__((noreturn))
#define __packed       __attribute__((packed))
#define __aligned(n)   __attribute__((aligned(n)))
#define __used         __attribute__((used))
#define __printf(f, a) __attribute__((format(printf, f, a)))
#define __must_check   __attribute__((warn_unused_result))

/* A frame number of the machine, a frame number of a guest, an address of the machine: unlike
 * integers are unlike types, so that none is taken for another. */
typedef struct {
    uint64_t n;
} mfn_t;
typedef struct {
    uint64_t n;
} gfn_t;
typedef struct {
    uint64_t a;
} maddr_t;

static inline mfn_t mfn(uint64_t n)
{
    return (mfn_t){n};
}
static inline gfn_t gfn(uint64_t n)
{
    return (gfn_t){n};
}
static inline maddr_t maddr(uint64_t a)
{
    return (maddr_t){a};
}
static inline maddr_t mfn_to_maddr(mfn_t m)
{
    return (maddr_t){m.n << PAGE_SHIFT};
}
static inline mfn_t maddr_to_mfn(maddr_t a)
{
    return (mfn_t){a.a >> PAGE_SHIFT};
}
static inline bool mfn_eq(mfn_t a, mfn_t b)
{
    return a.n == b.n;
}
#define MFN_NONE ((mfn_t){~0ull})

#endif

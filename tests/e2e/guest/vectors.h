/* SPDX-License-Identifier: MIT */
/* The sixteen vector registers, all at once, for programs that watch whether they keep their values. */
#ifndef VECTORS_H
#define VECTORS_H

#include <cpuid.h>

enum { VECTORS = 16 };

static int have_avx;

static int detect_avx(void)
{
    unsigned a, b, c, d, low, high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

/* From `in`, to `out`: 32 bytes for each. */
#define ALL(F)      F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define LOAD_SSE(n) "movdqu 32*" #n "(%[in]), %%xmm" #n "\n"
#define SAVE_SSE(n) "movdqu %%xmm" #n ", 32*" #n "(%[out])\n"
#define LOAD_AVX(n) "vmovdqu 32*" #n "(%[in]), %%ymm" #n "\n"
#define SAVE_AVX(n) "vmovdqu %%ymm" #n ", 32*" #n "(%[out])\n"
#define VECTORS_CLOBBERED                                                                          \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What the libraries want from a C library, and no more; all of it becomes local to the decoder's
 * object. Compiled with SSE, unlike the hypervisor, since the code around it uses it anyway: copies
 * of a dictionary's worth go sixteen bytes at a time.
 */
#include <stddef.h>
#include <stdint.h>

typedef long long vector_t __attribute__((vector_size(16), aligned(1), may_alias));

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void free(void *p);
void __stack_chk_fail(void);
unsigned long long ZSTD_trace_decompress_begin(const void *ctx);
void ZSTD_trace_decompress_end(unsigned long long ctx, const void *trace);

/* Each block is loaded before it is stored, so that an overlap with dst below src is harmless. */
static void copy_up(uint8_t *d, const uint8_t *s, size_t n)
{
    for (; n >= sizeof(vector_t); n -= sizeof(vector_t)) {
        *(vector_t *)d = *(const vector_t *)s;
        d += sizeof(vector_t);
        s += sizeof(vector_t);
    }
    while (n--)
        *d++ = *s++;
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    copy_up(dst, src, n);
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    uint8_t *d = dst;
    const uint8_t *s = src;

    if ((uintptr_t)d - (uintptr_t)s >= n) { /* below it (the difference wraps), or clear of it */
        copy_up(d, s, n);
        return dst;
    }
    for (; n >= sizeof(vector_t); n -= sizeof(vector_t))
        *(vector_t *)(d + n - sizeof(vector_t)) = *(const vector_t *)(s + n - sizeof(vector_t));
    while (n--)
        d[n] = s[n];
    return dst;
}

void *memset(void *dst, int byte, size_t n)
{
    uint8_t *d = dst;
    long long word = (long long)(0x0101010101010101ull * (uint8_t)byte);
    vector_t v = {word, word};

    for (; n >= sizeof(vector_t); n -= sizeof(vector_t)) {
        *(vector_t *)d = v;
        d += sizeof(vector_t);
    }
    while (n--)
        *d++ = (uint8_t)byte;
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

/* The decoders get their memory from the arena. Whoever asks here does not get any. */
void *malloc(size_t size)
{
    (void)size;
    return NULL;
}

void *calloc(size_t count, size_t size)
{
    (void)count;
    (void)size;
    return NULL;
}

void free(void *p)
{
    (void)p;
}

/* The stack is overrun in a decoder: nothing after this can be trusted, stop by an invalid opcode.
 */
void __stack_chk_fail(void)
{
    __builtin_trap();
}

/* Hooks for profilers that the Zstandard library calls when somebody defines them. */
unsigned long long ZSTD_trace_decompress_begin(const void *ctx)
{
    (void)ctx;
    return 0;
}

void ZSTD_trace_decompress_end(unsigned long long ctx, const void *trace)
{
    (void)ctx;
    (void)trace;
}

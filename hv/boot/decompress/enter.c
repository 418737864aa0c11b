/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's way into the decoders: gives the CPU the state that code compiled for ordinary
 * programs expects, and takes it away again. Compiled for general registers only and without stack
 * protection, since it runs before that state is there.
 *
 *   - SSE: CR4.OSFXSR set, CR0.EM and TS clear. What the registers held is lost; nobody has any
 *     use for them yet.
 *   - Thread pointer: FS base at a block whose word 0x28 is the stack canary.
 *   - The 128 bytes below the stack pointer are theirs: no interrupt or exception may push a frame
 * on this stack (interrupts are off; NMI, double fault and machine check have stacks of their own).
 *   - Constructors are run: liblzma chooses its checksum routine in one.
 */
#include "decompress.h"

#define CR0_MP         (1ull << 1)
#define CR0_EM         (1ull << 2)
#define CR0_TS         (1ull << 3)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define MSR_FS_BASE    0xc0000100u

/* Beginning and end of the libraries' constructor table, from decompress.ld. */
extern void (*const decompress_ctors_start[])(void) __attribute__((visibility("hidden")));
extern void (*const decompress_ctors_end[])(void) __attribute__((visibility("hidden")));

/* What %fs: reaches: a pointer to itself at 0, the canary at 0x28. */
static struct {
    void *self;
    uint64_t unused[4];
    uint64_t canary;
    uint64_t more[2];
} thread_block;

struct cpu_state {
    uint64_t cr0, cr4, fs_base;
};

static uint64_t read_cr0(void)
{
    uint64_t v;
    __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    return v;
}

static void write_cr0(uint64_t v)
{
    __asm__ volatile("mov %0, %%cr0" ::"r"(v) : "memory");
}

static uint64_t read_cr4(void)
{
    uint64_t v;
    __asm__ volatile("mov %%cr4, %0" : "=r"(v));
    return v;
}

static void write_cr4(uint64_t v)
{
    __asm__ volatile("mov %0, %%cr4" ::"r"(v) : "memory");
}

static uint64_t read_fs_base(void)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_FS_BASE));
    return (uint64_t)high << 32 | low;
}

static void write_fs_base(uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(MSR_FS_BASE), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                     : "memory");
}

static uint64_t any_number(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return ((uint64_t)high << 32 | low) * 0x9e3779b97f4a7c15ull << 8;
}

static struct cpu_state put_on(void)
{
    struct cpu_state before = {read_cr0(), read_cr4(), read_fs_base()};

    write_cr0((before.cr0 & ~(CR0_EM | CR0_TS)) | CR0_MP);
    write_cr4(before.cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
    thread_block.self = &thread_block;
    thread_block.canary = any_number();
    write_fs_base((uintptr_t)&thread_block);
    return before;
}

static void take_off(const struct cpu_state *before)
{
    write_fs_base(before->fs_base);
    write_cr4(before->cr4);
    write_cr0(before->cr0);
}

enum decompress_result decompress(enum decompress_kind kind, struct decompress_job *job)
{
    struct cpu_state before = put_on();
    enum decompress_result result;

    for (void (*const *ctor)(void) = decompress_ctors_start; ctor < decompress_ctors_end; ctor++)
        (*ctor)();
    result = decompress_here(kind, job);
    take_off(&before);
    return result;
}

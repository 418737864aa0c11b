/* SPDX-License-Identifier: MIT */
/*
 * Invariant 42: extended registers belong to one vCPU.
 *
 * Three vCPUs share one CPU, so that every yield is a context switch.
 *
 * run: smp=1 hv=dom0_max_vcpus=3 deadline=60
 * also avx: cpu=Haswell
 * also smp: smp=2
 */
#include <bare/test.h>

struct image {
    uint8_t x[16][32];
    uint8_t legacy[512] __attribute__((aligned(16)));
    uint32_t mxcsr;
};

static bool has_avx;

static void cpuid(uint32_t leaf, uint32_t *c)
{
    uint32_t a = leaf, b, d;

    *c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(*c), "=d"(d));
}

#define EACH(X)                                                                                    \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static void save(struct image *m)
{
    memset(m, 0, sizeof(*m));
#define X(n) __asm__ volatile("movups %%xmm" #n ", %0" : "=m"(m->x[n]));
    EACH(X)
#undef X
    if (has_avx) {
#define X(n) __asm__ volatile("vmovups %%ymm" #n ", %0" : "=m"(m->x[n]));
        EACH(X)
#undef X
    }
    __asm__ volatile("stmxcsr %0" : "=m"(m->mxcsr));
    __asm__ volatile("fxsave64 %0" : "=m"(m->legacy));
}

static void fill(uint8_t byte)
{
    static uint8_t pattern[VCPU_MAX][32];
    uint8_t *p = pattern[vcpu_self()->id];
    uint32_t mxcsr = 0x1f80 | (byte & 1 ? 0x8000 : 0x40);

    memset(p, byte, 32);
#define X(n) __asm__ volatile("movups (%0), %%xmm" #n : : "r"(p));
    EACH(X)
#undef X
    if (has_avx) {
#define X(n) __asm__ volatile("vmovups (%0), %%ymm" #n : : "r"(p));
        EACH(X)
#undef X
    }
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    __asm__ volatile("fninit; fldpi; fldpi; fldl2e; fldln2");
}

/* What a vCPU that never used the registers sees. */
static struct image first;

static void set_xcr0(void *arg)
{
    uint64_t cr4;

    (void)arg;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 1ul << 18));
    __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
}

/* Each vCPU asks for AVX; without XSAVE the instruction is not there. */
static bool enable_avx(void)
{
    return !trap_run(set_xcr0, NULL, NULL);
}

static void look(void *arg)
{
    enable_avx();
    save(arg);
}

static bool initial(const struct image *m)
{
    const uint16_t *legacy = (const void *)m->legacy;

    /* Registers zero, control words as after reset, all tags empty, no pointers. */
    return string_all(m->x, 0, sizeof(m->x)) && m->mxcsr == 0x1f80 && legacy[0] == 0x37f &&
           legacy[1] == 0 && (legacy[2] & 0xff) == 0 && string_all(m->legacy + 6, 0, 18) &&
           string_all(m->legacy + 32, 0, 128);
}

static volatile int stop;
static volatile unsigned int mixed;

static void keep(void *arg)
{
    uint8_t byte = (uint8_t)(uintptr_t)arg;
    static struct image mine[VCPU_MAX], now[VCPU_MAX];
    unsigned int id = vcpu_self()->id;

    enable_avx();
    fill(byte);
    save(&mine[id]);
    for (unsigned int i = 0; test_race(i, 1000) && !stop; i++) {
        vcpu_yield();
        save(&now[id]);
        mixed += memcmp(&mine[id], &now[id], sizeof(now[id])) != 0;
    }
}

static void use_sse(void *arg)
{
    (void)arg;
    __asm__ volatile("xorps %xmm0, %xmm0");
}

/* The task-switched bit: the guest gets its own fault, once, and its state is kept. */
static void task_switched(void)
{
    static struct image before, after;
    struct trap_fault f = {0};

    fill(0x77);
    save(&before);
    test_eq("42c", "set", hypercall(__HYPERVISOR_fpu_taskswitch, 1, 0, 0, 0, 0), 0);
    test_true("42c", "faults", trap_run(use_sse, NULL, &f));
    test_eq("42c", "as device not available", (int64_t)f.vector, TRAP_NM);
    test_eq("42c", "clear", hypercall(__HYPERVISOR_fpu_taskswitch, 0, 0, 0, 0, 0), 0);
    save(&after);
    test_true("42c", "state kept", !memcmp(&before, &after, sizeof(after)));
    hypercall(__HYPERVISOR_fpu_taskswitch, 1, 0, 0, 0, 0);
    vcpu_yield();
    __asm__ volatile("clts");
    save(&after);
    test_true("42c", "kept across a yield with the bit set",
              !memcmp(&before, &after, sizeof(after)));
}

/* An image with reserved bits comes in with a vCPU's context. */
static volatile uint32_t their_mxcsr;
static volatile int arrived;

static void corrupted_start(void)
{
    uint32_t m;

    __asm__ volatile("stmxcsr %0" : "=m"(m));
    their_mxcsr = m;
    arrived = 1;
    for (;;)
        hc_vcpu(VCPUOP_down, 2, NULL);
}

static void corrupt_image(void)
{
    struct vcpu_guest_context *c = mm_va(mm_alloc_run(2));
    uint64_t stack = HC_ADDR(mm_va(mm_alloc_run(8)));
    uint64_t top = ((stack + VCPU_STACK - 1) & ~(VCPU_STACK - 1)) + VCPU_STACK, until;
    long ret;

    ((struct vcpu *)(top - VCPU_STACK))->id = 2;
    vcpu_context(c, corrupted_start, top - 8);
    memset(&c->fpu_ctxt, 0xff, sizeof(c->fpu_ctxt));
    c->flags |= VGCF_I387_VALID;
    ret = hc_vcpu(VCPUOP_initialise, 2, c);
    if (ret) {
        test_eq("42d", "a corrupt image is rejected", ret, -XEN_EINVAL);
        return;
    }
    test_eq("42d", "up", hc_vcpu(VCPUOP_up, 2, NULL), 0);
    until = event_now() + 30000000000;
    while (!arrived && event_now() < until)
        vcpu_yield();
    test_true_ours("42d", "a corrupt image is reset", arrived && !(their_mxcsr & 0xffff0000));
}

int main(void)
{
    uint32_t c;

    test_begin("extended-state");
    cpuid(1, &c);
    has_avx = (c & 1u << 28) && enable_avx();
    test_note("AVX: %s", has_avx ? "yes" : "no");
    fill(0x5a);
    vcpu_run(1, look, &first);
    vcpu_join(1);
    test_true("42a", "a fresh vCPU sees initial values", initial(&first));
    vcpu_run(1, keep, (void *)0x33);
    keep((void *)0xcc);
    vcpu_join(1);
    test_eq("42b", "states mixed", mixed, 0);
    task_switched();
    corrupt_image();
    test_end();
}

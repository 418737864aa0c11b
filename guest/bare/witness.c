/* SPDX-License-Identifier: MIT */
/* What a witness watches over: pages, page tables, registers, events, its timer. */
#include "pair_internal.h"

#define CANARIES 48
#define BEAT_NS  10000000ull

enum complaint { FINE, PAGES, TABLES, REGISTERS, FLOATING, STRANGE_EVENT };

static uint64_t canary[CANARIES], tables_sum, last_beat;
static struct pair_box *my_box;
static uint64_t known_ports[64];

const char *witness_complaint(uint64_t broken)
{
    static const char *const text[] = {
        [FINE] = "nothing",
        [PAGES] = "its pages changed",
        [TABLES] = "its page tables changed",
        [REGISTERS] = "its registers changed",
        [FLOATING] = "its floating-point registers changed",
        [STRANGE_EVENT] = "an event came that nobody sent",
    };

    return broken < sizeof(text) / sizeof(text[0]) ? text[broken] : "what it says makes no sense";
}

static uint64_t pattern(uint64_t page, uint64_t word)
{
    return (page * 512 + word + 1) * 0x9e3779b97f4a7c15ul;
}

static bool pages_fine(void)
{
    for (uint64_t i = 0; i < CANARIES; i++) {
        const uint64_t *p = mm_va(canary[i]);

        for (uint64_t w = 0; w < 512; w++)
            if (p[w] != pattern(i, w))
                return false;
    }
    return true;
}

/* Of all tables below the root but for the hypervisor's slots; accessed and dirty are the processor's. */
static uint64_t sum_of(uint64_t pfn, int level, uint64_t sum)
{
    const volatile uint64_t *t = mm_va(pfn);

    for (unsigned int i = 0; i < 512; i++) {
        uint64_t e = t[i] & ~(PTE_A | PTE_D);

        if (level == 4 && i >= 256 && i < 272)
            continue;
        sum = (sum ^ e) * 0x100000001b3ul + i;
        if ((e & PTE_P) && level > 1)
            sum = sum_of(mm_pfn((e & PTE_ADDR) / MM_PAGE), level - 1, sum);
    }
    return sum;
}

/* Fill registers, let others run, look. Number of those that differ. */
static uint64_t registers_changed(uint64_t seed)
{
    uint64_t differ;

    __asm__ volatile("mov %[s], %%rbx; mov %[s], %%r12; not %%r12\n\t"
                     "lea 1(%[s]), %%r13; lea 2(%[s]), %%r14; lea 3(%[s]), %%r15\n\t"
                     "push %[s]\n\t"
                     "mov %[nr], %%eax; mov %[cmd], %%edi; xor %%esi, %%esi\n\t"
                     "syscall\n\t"
                     "pop %%rcx\n\t"
                     "xor %%eax, %%eax; xor %%edx, %%edx\n\t"
                     "cmp %%rcx, %%rbx; setne %%dl; add %%rdx, %%rax\n\t"
                     "not %%r12; cmp %%rcx, %%r12; setne %%dl; add %%rdx, %%rax\n\t"
                     "sub $1, %%r13; cmp %%rcx, %%r13; setne %%dl; add %%rdx, %%rax\n\t"
                     "sub $2, %%r14; cmp %%rcx, %%r14; setne %%dl; add %%rdx, %%rax\n\t"
                     "sub $3, %%r15; cmp %%rcx, %%r15; setne %%dl; add %%rdx, %%rax\n\t"
                     : "=&a"(differ), [s] "+d"(seed)
                     : [nr] "i"(__HYPERVISOR_sched_op), [cmd] "i"(SCHEDOP_yield)
                     : "rbx", "rcx", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "memory", "cc");
    return differ;
}

static bool floating_fine(uint64_t seed)
{
    static uint64_t in[2], out[32] __attribute__((aligned(16)));
    bool fine = true;

    in[0] = seed;
    in[1] = ~seed;
    __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                     "movdqu (%0), %%xmm\\n\n\t.endr"
                     :
                     : "r"(in)
                     : "memory");
    hc_sched(SCHEDOP_yield, NULL);
    __asm__ volatile("at = 0\n\t.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                     "movdqu %%xmm\\n, at(%0)\n\tat = at + 16\n\t.endr"
                     :
                     : "r"(out)
                     : "memory");
    for (unsigned int i = 0; i < 16; i++)
        fine &= out[2 * i] == in[0] && out[2 * i + 1] == in[1];
    return fine;
}

static bool events_fine(void)
{
    for (unsigned int w = 0; w < 64; w++)
        if (start_shared.evtchn_pending[w] & ~known_ports[w])
            return false;
    return true;
}

static void on_ping(unsigned int port)
{
    (void)port;
    my_box->events++;
    my_box->pong = my_box->ping;
}

static void on_beat(unsigned int port)
{
    uint64_t now = event_now();

    (void)port;
    if (last_beat && now - last_beat > my_box->longest_gap_ns)
        my_box->longest_gap_ns = now - last_beat;
    last_beat = now;
    my_box->beats++;
}

void pair_expect_port(unsigned int port)
{
    known_ports[port / 64] |= 1ul << port % 64;
}

void witness_changed(void)
{
    tables_sum = 0;
}

void witness_init(struct pair_box *box)
{
    long timer = event_bind_virq(VIRQ_TIMER, 0);
    struct vcpu_set_periodic_timer t = {.period_ns = BEAT_NS};

    my_box = box;
    for (uint64_t i = 0; i < CANARIES; i++) {
        canary[i] = mm_alloc();
        for (uint64_t w = 0; w < 512; w++)
            ((uint64_t *)mm_va(canary[i]))[w] = pattern(i, w);
    }
    if (timer < 0)
        console_panic("no timer: %ld", timer);
    pair_expect_port((unsigned int)timer);
    pair_expect_port(start_info->store_evtchn);
    pair_expect_port(start_info->console.domU.evtchn);
    event_set_handler((unsigned int)timer, on_beat);
    event_set_handler(start_info->store_evtchn, on_ping);
    hc_vcpu(VCPUOP_set_periodic_timer, 0, &t);
}

void witness_round(struct pair_box *box)
{
    uint64_t seed = pattern(box->rounds, 77), broken = FINE;

    if (!pages_fine())
        broken = PAGES;
    if (tables_sum != sum_of(mm_root(), 4, 0)) {
        if (tables_sum)
            broken = TABLES;
        tables_sum = sum_of(mm_root(), 4, 0);
    }
    if (registers_changed(seed))
        broken = REGISTERS;
    if (!floating_fine(seed))
        broken = FLOATING;
    if (!events_fine())
        broken = STRANGE_EVENT;
    if (broken && !box->broken)
        box->broken = broken;
    box->rounds++;
}

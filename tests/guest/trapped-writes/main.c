/* SPDX-License-Identifier: MIT */
/*
 * Invariant 29: a trapped write is a checked update, and the emulator believes nothing.
 *
 * A level 1 table is mapped read-only at its home. Plain instructions store to it.
 *
 * run: smp=2 deadline=90
 */
#include <bare/test.h>

static uint64_t table, data, legal;

struct store {
    uint64_t at, value, old;
};

#define ASM(name, text, ...)                                                                       \
    static void name(void *arg)                                                                    \
    {                                                                                              \
        struct store *s = arg;                                                                     \
        uint64_t at = s->at, value = s->value, old = s->old;                                       \
        __asm__ volatile(text                                                                      \
                         : "+D"(at), "+S"(value), "+a"(old)                                        \
                         :                                                                         \
                         : "rcx", "rdx", "memory", "cc" __VA_ARGS__);                              \
        s->old = old;                                                                              \
    }

ASM(mov8, "mov %%rsi, (%%rdi)")
ASM(mov4, "mov %%esi, (%%rdi)")
ASM(mov1, "mov %%sil, (%%rdi)")
ASM(movnti, "movnti %%rsi, (%%rdi)")
ASM(xchg8, "xchg %%rsi, (%%rdi)")
ASM(cmpxchg8, "lock cmpxchg %%rsi, (%%rdi)")
ASM(lock_or, "lock or %%rsi, (%%rdi)")
ASM(add8, "mov (%%rdi), %%rax; sub %%rax, %%rsi; add %%rsi, (%%rdi)")
ASM(stos, "mov %%rsi, %%rax; stosq")
ASM(lods_movs, "mov %%rsi, -128(%%rsp); lea -128(%%rsp), %%rsi; movsq")
ASM(rep_stos, "mov %%rsi, %%rax; mov $2, %%ecx; rep stosq")
ASM(gs_mov, "mov %%rsi, %%gs:(%%rdi)")
ASM(bts, "lock btsq $9, (%%rdi)")
ASM(sse, "movq %%rsi, %%xmm0; movq %%xmm0, (%%rdi)")
ASM(sse16, "movq %%rsi, %%xmm0; movups %%xmm0, (%%rdi)")
ASM(cmpxchg16,
    "xor %%edx, %%edx; xor %%eax, %%eax; xor %%ecx, %%ecx; mov %%rsi, %%rbx;"
    "lock cmpxchg16b (%%rdi)",
    , "rbx")

static const struct form {
    const char *name;
    void (*fn)(void *);
    bool plain; /* what a stock kernel does: must work */
} forms[] = {
    {"mov 64", mov8, true},        {"mov 32", mov4, false},
    {"mov 8", mov1, false},        {"movnti", movnti, false},
    {"xchg", xchg8, true},         {"lock cmpxchg", cmpxchg8, true},
    {"lock or", lock_or, true},    {"add", add8, false},
    {"stos", stos, false},         {"movs", lods_movs, false},
    {"rep stos", rep_stos, false}, {"mov through gs", gs_mov, false},
    {"lock bts", bts, true},       {"movq from xmm", sse, false},
    {"movups", sse16, false},      {"lock cmpxchg16b", cmpxchg16, false},
};

static uint64_t *slots(void)
{
    return mm_va(table);
}

/* Slot 8 before a store: not present, but a narrow store completes it to a legal entry. */
static void prepare(void)
{
    mm_set(mm_slot(table, 8), legal & ~PTE_P);
}

static void clear(void)
{
    for (unsigned int i = 0; i < 512; i++)
        if (slots()[i])
            mm_set(mm_slot(table, i), 0);
}

/* Entries in the table that our data frame or a not-present value does not explain. */
static unsigned int unexplained(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < 512; i++) {
        uint64_t e = slots()[i];

        uint64_t mfn = (e & PTE_ADDR) / MM_PAGE;

        /* Half an entry may name a frame that is no RAM of anybody's: not counted. */
        if ((e & PTE_P) && (e & PTE_ADDR) != (legal & PTE_ADDR) &&
            (test_own_frame(mfn) || mfn == test_hypervisor_frame()))
            n++;
    }
    return n;
}

static int store(void (*fn)(void *), uint64_t at, uint64_t value)
{
    struct store s = {at, value, 0};
    struct trap_fault f;

    return trap_run(fn, &s, &f) ? (int)f.vector : -1;
}

/* Legal values by every form: the update happens, or the guest sees its own fault. */
static void legal_values(void)
{
    for (unsigned int i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        int vector = store(forms[i].fn, HC_ADDR(&slots()[8]), legal);
        uint64_t got = slots()[8];

        if (forms[i].plain)
            test_eq("29a", forms[i].name, vector, -1);
        else
            test_either("29a", forms[i].name, vector, -1, TRAP_PF);
        if (vector == -1 && forms[i].plain && forms[i].fn != bts)
            test_true("29a", "the entry is what was stored", test_same_entry(got, legal));
        if (vector != -1)
            test_eq("29a", "and nothing was written", (int64_t)got, 0);
        test_eq("29a", "unexplained entries", unexplained(), 0);
        clear();
    }
}

/* Illegal values by every form: a page fault, nothing written. */
static void illegal_values(void)
{
    struct test_frame f[TEST_FOREIGN_FRAMES];
    uint64_t evil[TEST_FOREIGN_FRAMES + 2];
    unsigned int n = 0;

    test_foreign_frames(f);
    for (; n < TEST_FOREIGN_FRAMES; n++)
        evil[n] = f[n].mfn << 12 | PTE_RW;
    evil[n++] = mm_entry(mm_root(), PTE_RW);
    evil[n++] = mm_entry(table, PTE_RW);
    for (unsigned int i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        int bad = 0;

        for (unsigned int k = 0; k < n; k++) {
            int vector = store(forms[i].fn, HC_ADDR(&slots()[8]), evil[k]);

            /* What stores all 64 bits must fault; part of an entry may be harmless. */
            if (vector != TRAP_PF && forms[i].plain && forms[i].fn != bts)
                bad++;
            bad += unexplained() != 0;
            clear();
        }
        test_eq("29b", forms[i].name, bad, 0);
    }
}

/* Misaligned, across the page's end. */
static void misaligned(void)
{
    int bad = 0;

    for (unsigned int off = 1; off < 8; off++) {
        uint64_t at = HC_ADDR(slots()) + 64 + off;

        if (store(mov8, at, legal) != TRAP_PF || slots()[8] || slots()[9])
            bad++;
        if (off != 4 && store(mov4, at, 1) != TRAP_PF)
            bad++;
        if (store(mov8, HC_ADDR(slots()) + MM_PAGE - 8 + off, legal) != TRAP_PF)
            bad++;
        bad += slots()[511] != 0;
        clear();
    }
    test_eq("29c", "misaligned stores", bad, 0);
    test_eq("29c", "unexplained entries", unexplained(), 0);
}

/* Upper levels are never written this way, not even with the same value. */
static void upper_levels(void)
{
    for (int level = 2; level <= 4; level++) {
        uint64_t value, entry_at, slot, pfn;
        uint64_t va = HC_ADDR(mm_va(table));

        entry_at = mm_walk(mm_root(), va, level, &value);
        pfn = mm_pfn(entry_at / MM_PAGE);
        slot = HC_ADDR(mm_va(pfn)) + entry_at % MM_PAGE;
        test_eq("29d", "the same value", store(mov8, slot, value), TRAP_PF);
        test_eq("29d", "zero in an empty slot", store(mov8, HC_ADDR(mm_va(pfn)) + 8 * 17, 0),
                TRAP_PF);
    }
}

/* An ordinary read-only page is not a table: its own fault, always. */
static void plain_read_only(void)
{
    uint64_t pfn = mm_alloc();

    mm_home(pfn, PTE_RO);
    for (unsigned int i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        test_eq("29e", forms[i].name, store(forms[i].fn, HC_ADDR(mm_va(pfn)) + 16, legal), TRAP_PF);
    test_true("29e", "untouched", string_all(mm_va(pfn), 0, MM_PAGE));
    mm_home(pfn, PTE_RW);
    mm_free(pfn);
}

/* [SMP] The instruction changes between fault and decode. */
static unsigned char *code;
static volatile int stop;

static void rewrite(void *arg)
{
    static const unsigned char texts[][8] = {
        {0x48, 0x89, 0x37, 0xc3}, /* mov %rsi,(%rdi); ret */
        {0x90, 0x90, 0xfa, 0xc3}, /* nop; nop; cli; ret */
        {0x48, 0x89, 0x32, 0xc3}, /* mov %rsi,(%rdx); ret */
        {0x66, 0x89, 0x37, 0xc3}, /* mov %si,(%rdi); ret */
        {0x0f, 0x22, 0xc0, 0xc3}, /* mov %rax,%cr0; ret */
        {0xf0, 0x0f, 0x0b, 0xc3}, /* lock ud2; ret */
        {0x48, 0xff, 0x2f, 0xc3}, /* far jump through (%rdi) */
        {0x65, 0x89, 0x37, 0xc3}, /* mov %esi,%gs:(%rdi); ret */
    };

    (void)arg;
    for (unsigned int i = 0; !stop; i++)
        *(volatile uint32_t *)code = *(const uint32_t *)texts[i % 2 ? 0 : (i / 2) % 8];
}

static uint64_t scratch[2];

static void run_code(void *arg)
{
    uint64_t at = HC_ADDR(arg), value = legal, other = HC_ADDR(scratch);

    __asm__ volatile("call *%[code]"
                     : "+D"(at), "+S"(value), "+d"(other)
                     : [code] "r"(code), "a"(0x80050033ul)
                     : "rcx", "memory", "cc");
}

static void rewritten_instruction(void)
{
    int odd = 0, done = 0, faults = 0;

    code = mm_alloc_page();
    code[3] = 0xc3;
    vcpu_run(1, rewrite, NULL);
    for (unsigned int round = 0; test_race(round, 20000); round++) {
        struct trap_fault f;
        uint64_t flags;

        prepare();
        if (trap_run(run_code, &slots()[8], &f))
            faults++;
        else
            done++;
        __asm__ volatile("pushfq; pop %0" : "=r"(flags));
        /* Interrupts on, I/O privilege 0. */
        odd += (flags & 0x3200) != 0x200;
        odd += unexplained() != 0;
        event_deliver(true);
        if (slots()[8])
            mm_set(mm_slot(table, 8), 0);
    }
    stop = 1;
    vcpu_join(1);
    test_eq("29f", "odd states", odd, 0);
    test_note("%d done, %d faults", done, faults);
    test_audit("29f");
}

int main(void)
{
    test_begin("trapped-writes");
    table = mm_table();
    data = mm_alloc();
    legal = mm_entry(data, PTE_RO);
    test_eq("29", "a table", test_pin(1, table), 0);
    legal_values();
    illegal_values();
    misaligned();
    upper_levels();
    plain_read_only();
    rewritten_instruction();
    test_end();
}

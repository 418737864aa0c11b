/* SPDX-License-Identifier: MIT */
/*
 * Invariant 35: control registers, model-specific and extended-control registers.
 *
 * run: smp=1 deadline=180
 */
#include <bare/test.h>

static uint64_t value_in, value_out;

#define MOVE_FROM(name, reg)                                                                       \
    static void name(void *arg)                                                                    \
    {                                                                                              \
        (void)arg;                                                                                 \
        __asm__ volatile("mov %%" reg ", %0" : "=r"(value_out));                                   \
    }
#define MOVE_TO(name, reg)                                                                         \
    static void name(void *arg)                                                                    \
    {                                                                                              \
        (void)arg;                                                                                 \
        __asm__ volatile("mov %0, %%" reg : : "r"(value_in));                                      \
    }

MOVE_FROM(from_cr0, "cr0")
MOVE_FROM(from_cr3, "cr3")
MOVE_FROM(from_cr4, "cr4")
MOVE_FROM(from_cr8, "cr8")
MOVE_TO(to_cr0, "cr0")
MOVE_TO(to_cr3, "cr3")
MOVE_TO(to_cr4, "cr4")
MOVE_TO(to_cr8, "cr8")

static int attempt(void (*fn)(void *))
{
    struct trap_fault f;

    return trap_run(fn, NULL, &f) ? (int)f.vector : -1;
}

static uint64_t reading(void (*fn)(void *))
{
    return attempt(fn) == -1 ? value_out : 0;
}

/* Each bit alone and with the present value: only what a guest owns may change. */
static void control_register(const char *name, void (*from)(void *), void (*to)(void *),
                             uint64_t owned)
{
    uint64_t before = reading(from);
    int odd = 0, faults = 0;

    for (unsigned int bit = 0; bit < 64; bit++)
        for (int kind = 0; kind < 3; kind++) {
            uint64_t now;
            int vector;

            value_in = kind == 0 ? 1ul << bit : kind == 1 ? before ^ 1ul << bit : ~(1ul << bit);
            vector = attempt(to);
            odd += vector != -1 && vector != TRAP_GP && vector != TRAP_UD;
            faults += vector != -1;
            now = reading(from);
            if ((now ^ before) & ~owned) {
                if (odd < 4)
                    test_note("%s: wrote %lx, was %lx, is %lx", name, value_in, before, now);
                odd++;
            }
            value_in = before;
            attempt(to);
        }
    test_eq("35a", name, odd, 0);
    test_note("%s is %lx; %d of 192 writes faulted", name, before, faults);
}

static void base_pointer(void)
{
    static const uint64_t bad[] = {0, 1ul << 63, ~0ul, 0x0000800000000000};
    uint64_t before = reading(from_cr3);
    uint64_t data = mm_alloc();

    for (unsigned int i = 0; i < 4; i++) {
        value_in = bad[i];
        test_true("35b", "base pointer faults", attempt(to_cr3) >= 0);
    }
    value_in = mm_mfn(data) << 12;
    test_true("35b", "to a data frame", attempt(to_cr3) >= 0);
    value_in = test_hypervisor_frame() << 12;
    test_true("35b", "to the hypervisor's", attempt(to_cr3) >= 0);
    test_eq("35b", "unchanged", (int64_t)reading(from_cr3), (int64_t)before);
    value_in = 15;
    test_true("35b", "task priority: faults or nothing", attempt(to_cr8) >= -1);
    attempt(from_cr8);
    mm_free(data);
}

static uint32_t msr;

static void rdmsr(void *arg)
{
    uint32_t lo, hi;

    (void)arg;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    value_out = (uint64_t)hi << 32 | lo;
}

static void wrmsr(void *arg)
{
    (void)arg;
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value_in), "d"((uint32_t)(value_in >> 32)));
}

/* Registers that count by themselves, or are the guest's own segment bases. */
static bool moves(uint32_t n)
{
    return n == 0x10 || n == 0xe7 || n == 0xe8 || (n >= 0xc0000100 && n <= 0xc0000102) ||
           n == 0xc0000103 || n == 0x6e0 || (n >= 0x4000000 && n < 0x40000200) || n == 0x611 ||
           n == 0x639 || n == 0x641 || n == 0xc0000104;
}

static int one_msr(uint32_t n)
{
    static const uint64_t values[] = {0, 1, ~0ul};
    uint64_t before = 0;
    int readable, odd = 0;

    msr = n;
    readable = attempt(rdmsr);
    if (readable == -1)
        before = value_out;
    odd += readable != -1 && readable != TRAP_GP;
    for (unsigned int i = 0; i < 3; i++) {
        int vector;

        value_in = values[i];
        if (n >= 0xc0000100 && n <= 0xc0000102)
            continue;
        vector = attempt(wrmsr);
        odd += vector != -1 && vector != TRAP_GP;
    }
    if (attempt(rdmsr) != readable || (readable == -1 && value_out != before && !moves(n))) {
        test_note("register %x: was %lx, is %lx", n, before, value_out);
        odd++;
    }
    if (readable == -1 && !moves(n) && value_out != before) {
        value_in = before;
        attempt(wrmsr);
    }
    return odd;
}

static void model_specific(void)
{
    static const uint32_t ranges[][2] = {{0, 0x300},
                                         {0x380, 0x500},
                                         {0x600, 0x700},
                                         {0x770, 0x780},
                                         {0x800, 0x840},
                                         {0xc80, 0xca0},
                                         {0xd90, 0xdb0},
                                         {0x40000000, 0x40000010},
                                         {0x4b564d00, 0x4b564d08},
                                         {0xc0000080, 0xc0000110},
                                         {0xc0010000, 0xc0010140},
                                         {0xc0011000, 0xc0011040}};
    int odd = 0;

    for (unsigned int r = 0; r < sizeof(ranges) / sizeof(ranges[0]); r++)
        for (uint32_t n = ranges[r][0]; n < ranges[r][1]; n++)
            odd += one_msr(n);
    test_eq_ours("35c", "architectural and vendor registers", odd, 0);
    odd = 0;
    for (unsigned int i = 0; i < 65536; i++) {
        uint32_t n = (uint32_t)test_random();

        if (!(n >= 0xc0000100 && n <= 0xc0000102))
            odd += one_msr(n);
    }
    test_eq_ours("35c", "65536 random registers", odd, 0);
}

/* The registers the hypervisor's own entry depends on. */
static void entry_registers(void)
{
    static const uint32_t own[] = {0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083,
                                   0xc0000084, 0x174,      0x175,      0x176,
                                   0x1b,       0x277,      0x1d9,      0x79};

    for (unsigned int i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        msr = own[i];
        value_in = 0x4141414141414141;
        attempt(wrmsr);
        test_eq("35d", "a call after writing an entry register", hc_version(XENVER_version, NULL),
                0x40011);
    }
}

static uint32_t xcr;

static void xsetbv(void *arg)
{
    (void)arg;
    __asm__ volatile("xsetbv"
                     :
                     : "c"(xcr), "a"((uint32_t)value_in), "d"((uint32_t)(value_in >> 32)));
}

static void xgetbv(void *arg)
{
    uint32_t lo, hi;

    (void)arg;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(xcr));
    value_out = (uint64_t)hi << 32 | lo;
}

/* Combinations the manual forbids: no x87, AVX without SSE, unknown bits, other registers. */
static void extended_control(void)
{
    static const uint64_t bad[] = {0,    2,         4,         5,    6, 0x20, 0x60,
                                   0xe0, 1ul << 62, 1ul << 63, ~0ul, 9, 0x11};
    uint64_t before;

    xcr = 0;
    before = reading(xgetbv);
    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        value_in = bad[i];
        test_true("35e", "forbidden combination faults", attempt(xsetbv) >= 0);
    }
    xcr = 1;
    value_in = before;
    test_true("35e", "register 1", attempt(xsetbv) >= 0);
    xcr = ~0u;
    test_true("35e", "register 2^32-1", attempt(xsetbv) >= 0);
    xcr = 0;
    test_eq("35e", "unchanged", (int64_t)reading(xgetbv), (int64_t)before);
}

/* Every other privileged instruction: a fault, or nothing that lasts. */
static const struct {
    const char *name;
    unsigned char b[3];
} privileged[] = {
    {"lgdt", {0x0f, 0x01, 0x17}},       {"lidt", {0x0f, 0x01, 0x1f}},
    {"lldt", {0x0f, 0x00, 0xd7}},       {"ltr", {0x0f, 0x00, 0xdf}},
    {"lmsw", {0x0f, 0x01, 0xf7}},       {"invlpg", {0x0f, 0x01, 0x3f}},
    {"invd", {0x0f, 0x08, 0x90}},       {"rdpmc", {0x0f, 0x33, 0x90}},
    {"swapgs", {0x0f, 0x01, 0xf8}},     {"sysret", {0x48, 0x0f, 0x07}},
    {"sysexit", {0x48, 0x0f, 0x35}},    {"vmcall", {0x0f, 0x01, 0xc1}},
    {"vmmcall", {0x0f, 0x01, 0xd9}},    {"vmrun", {0x0f, 0x01, 0xd8}},
    {"monitor", {0x0f, 0x01, 0xc8}},    {"mwait", {0x0f, 0x01, 0xc9}},
    {"clgi", {0x0f, 0x01, 0xdd}},       {"stgi", {0x0f, 0x01, 0xdc}},
    {"skinit", {0x0f, 0x01, 0xde}},     {"rsm", {0x0f, 0xaa, 0x90}},
    {"vmload", {0x0f, 0x01, 0xda}},     {"cli", {0xfa, 0x90, 0x90}},
    {"sti", {0xfb, 0x90, 0x90}},        {"stac", {0x0f, 0x01, 0xcb}},
    {"clac", {0x0f, 0x01, 0xca}},       {"mov from cr2", {0x0f, 0x20, 0xd0}},
    {"mov to cr2", {0x0f, 0x22, 0xd0}}, {"mov to dr7", {0x0f, 0x23, 0xf8}},
    {"encls", {0x0f, 0x01, 0xcf}},      {"serialize", {0x0f, 0x01, 0xe8}},
    {"wrussq", {0x66, 0x0f, 0x38}},     {"getsec", {0x0f, 0x37, 0x90}},
    {"sgdt", {0x0f, 0x01, 0x07}},       {"sidt", {0x0f, 0x01, 0x0f}},
};

static uint64_t operand[4];

static void run_bytes(void *arg)
{
    void *at = operand;

    __asm__ volatile("call *%[code]"
                     : "+D"(at)
                     : [code] "r"(arg), "a"(0ul), "c"(0ul), "d"(0ul)
                     : "rbx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
}

static void privileged_instructions(void)
{
    unsigned char *code = mm_alloc_page();

    for (unsigned int i = 0; i < sizeof(privileged) / sizeof(privileged[0]); i++) {
        uint64_t cr0 = reading(from_cr0), cr4 = reading(from_cr4), flags;
        struct trap_fault f = {.vector = 0};
        bool faulted;

        memcpy(code, privileged[i].b, 3);
        memset(code + 3, 0x90, 8);
        code[11] = 0xc3;
        memset(operand, 0, sizeof(operand));
        faulted = trap_run(run_bytes, code, &f);
        __asm__ volatile("pushfq; pop %0" : "=r"(flags));
        event_deliver(true);
        test_true("35f", privileged[i].name,
                  (!faulted || f.vector == TRAP_GP || f.vector == TRAP_UD || f.vector == TRAP_PF) &&
                      (flags & 0x3200) == 0x200 && reading(from_cr0) == cr0 &&
                      reading(from_cr4) == cr4);
        if (!faulted)
            test_note("%s does not fault", privileged[i].name);
    }
}

int main(void)
{
    test_begin("control-state");
    control_register("CR0", from_cr0, to_cr0, 8); /* task switched is the guest's */
    __asm__ volatile("clts");
    /* Time stamp disable, debugging extensions, base instructions and XSAVE are the guest's. */
    control_register("CR4", from_cr4, to_cr4, 1ul << 2 | 1ul << 3 | 1ul << 16 | 1ul << 18);
    base_pointer();
    extended_control();
    privileged_instructions();
    entry_registers();
    model_specific();
    test_end();
}

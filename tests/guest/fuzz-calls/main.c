/* SPDX-License-Identifier: MIT */
/*
 * Invariant 8: no guest input reaches a fatal assertion.
 *
 * Random calls with arguments that look legal now and then. What is left out would end or
 * stop this domain by right, or cut the branch the test sits on; the comments say which.
 * The seed is on the command line (seed=N); rounds=N sets the length.
 *
 * run: smp=2 deadline=180
 * also second: seed=2
 * also third: seed=3
 */
#include <bare/test.h>

#define POOL 24

static uint64_t pool[POOL]; /* frames the fuzzer may name; garbage in them */
static uint64_t *scratch;   /* the memory its pointers point to */

static uint64_t pick(void)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      4,
                                      7,
                                      8,
                                      0xff,
                                      0x100,
                                      0x7ff0,
                                      0x7ff4,
                                      0x7fff,
                                      0x8000,
                                      0xffff,
                                      0x10000,
                                      4095,
                                      4096,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      1ul << 32,
                                      1ul << 40,
                                      1ul << 63,
                                      ~0ul,
                                      0x0000800000000000,
                                      0xffff800000000000,
                                      0xffff830000000000};
    uint64_t r = test_random();

    switch (r % 8) {
    case 0:
    case 1:
    case 2:
        return values[(r >> 8) % (sizeof(values) / sizeof(values[0]))];
    case 3:
        return mm_mfn(pool[(r >> 8) % POOL]);
    case 4:
        return mm_entry(pool[(r >> 8) % POOL], (r >> 16) & 0xfff);
    case 5:
        return mm_slot(pool[(r >> 8) % POOL], (r >> 16) & 511) | ((r >> 40) & 3);
    case 6:
        return HC_ADDR(scratch) + ((r >> 8) & 0x7f8);
    default:
        return r >> ((r >> 3) & 63);
    }
}

/* Fresh contents; a scratch page that was taken from us is replaced. */
static void refill(void)
{
    if (trap_write(HC_ADDR(scratch), 1) >= 0 || trap_write(HC_ADDR(scratch) + 4088, 1) >= 0)
        scratch = mm_alloc_page();
    for (unsigned int i = 0; i < 64; i++)
        scratch[i] = pick();
}

/*
 * May this call name other entry points than ours? What is pending would go there on the call's own way out, or on that of one
 * that restores them. Non-maskable interrupts are sent by calls only, and delivered before those end: none is pending here.
 */
static bool names_entry_points(unsigned int nr)
{
    return nr == __HYPERVISOR_set_trap_table || nr == __HYPERVISOR_set_callbacks ||
           nr == __HYPERVISOR_callback_op || nr == __HYPERVISOR_nmi_op;
}

/* Restore what random calls may have broken of our own entry points. */
static void repair(unsigned int nr)
{
    if (names_entry_points(nr))
        trap_init();
    switch (nr) {
    case __HYPERVISOR_set_debugreg:
        hypercall(__HYPERVISOR_set_debugreg, 7, 0, 0, 0, 0);
        break;
    case __HYPERVISOR_set_gdt:
        hypercall(__HYPERVISOR_set_gdt, 0, 0, 0, 0, 0);
        break;
    case __HYPERVISOR_fpu_taskswitch:
        hypercall(__HYPERVISOR_fpu_taskswitch, 0, 0, 0, 0, 0);
        break;
    }
}

/* May this call be made? Arguments are adjusted where a part of them may not. */
static bool allowed(unsigned int nr, uint64_t *a)
{
    switch (nr) {
    case __HYPERVISOR_iret:            /* leaves for a random place */
    case __HYPERVISOR_console_io:      /* could forge a verdict */
    case __HYPERVISOR_multicall:       /* made of these calls, below */
    case __HYPERVISOR_sched_op_compat: /* blocks, shuts down */
    case __HYPERVISOR_kexec_op:        /* starts another kernel by right */
        return false;
    case __HYPERVISOR_sched_op: /* yield, and what does not exist */
        return (uint32_t)a[0] == SCHEDOP_yield || (uint32_t)a[0] > 7;
    case __HYPERVISOR_vcpu_op: /* starting garbage, stopping ourselves, moving vcpu_info */
        return (uint32_t)a[0] != VCPUOP_up && (uint32_t)a[0] != VCPUOP_down &&
               (uint32_t)a[0] != VCPUOP_register_vcpu_info && (uint32_t)a[0] != VCPUOP_initialise;
    case __HYPERVISOR_mmuext_op: /* a root from the pool would be the end of our mappings */
        for (unsigned int i = 0; i < 512; i++)
            if ((uint32_t)scratch[i] == MMUEXT_NEW_BASEPTR)
                scratch[i] = 99;
        return true;
    case __HYPERVISOR_update_va_mapping:
    case __HYPERVISOR_update_va_mapping_otherdomain:
        return a[0] < START_VIRT_BASE; /* not under our own feet */
    default:
        return true;
    }
}

static void one_call(void)
{
    unsigned int nr = (unsigned int)(test_random() % 58);
    uint64_t a[5];

    refill();
    for (unsigned int i = 0; i < 5; i++)
        a[i] = pick();
    /* Half of the calls name the scratch page where a pointer is likely. */
    if (test_random() & 1)
        a[test_random() % 3] = HC_ADDR(scratch);
    if (test_random() & 1)
        a[1] &= 0xf;
    if (!allowed(nr, a))
        return;
    if (names_entry_points(nr))
        event_deliver(false);
    if (test_random() % 8 == 0) {
        struct multicall_entry m = {.op = nr, .args = {a[0], a[1], a[2], a[3], a[4]}};

        hc_multicall(&m, 1);
    } else {
        hypercall(nr, a[0], a[1], a[2], a[3], a[4]);
    }
    repair(nr);
    if (names_entry_points(nr))
        event_deliver(true);
}

/* Structured updates of tables from the pool, where most of the state is. */
static void one_table_call(void)
{
    uint64_t r = test_random(), pfn = pool[r % POOL];

    switch ((r >> 8) % 8) {
    case 0:
        test_pin(1 + ((r >> 16) & 3), pfn);
        break;
    case 1:
        test_unpin(pfn);
        break;
    case 2:
    case 3:
        mm_set(mm_slot(pfn, (r >> 20) & 511), mm_entry(pool[(r >> 32) % POOL], (r >> 40) & 0xfff));
        break;
    case 4:
        mm_set(mm_slot(pfn, (r >> 20) & 511), pick());
        break;
    case 5:
        mm_home(pfn, (r >> 20) & 1 ? PTE_RW : (r >> 21) & 1 ? PTE_RO : 0);
        break;
    case 6:
        hc_mmuext_mfn(MMUEXT_CLEAR_PAGE, mm_mfn(pfn));
        break;
    default:
        hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, (r >> 20) & 1 ? mm_mfn(pfn) : 0);
    }
}

/* Every vector, from user mode, with random registers and flags. */
static void vectors(void)
{
    static const unsigned char code[] = {0xcd, 0};
    struct user u;

    user_make(&u, code, 2);
    for (unsigned int n = 0; n < 256; n++)
        for (unsigned int k = 0; k < 4; k++) {
            struct trap_frame start, out;

            for (unsigned int i = 0; i < sizeof(start) / 8; i++)
                ((uint64_t *)&start)[i] = pick();
            start.rflags &= ~0x100ul;
            ((unsigned char *)mm_va(u.code))[1] = (unsigned char)n;
            user_run(&u, &start, &out, NULL);
            event_deliver(true);
        }
    hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0);
    user_free(&u);
    test_eq("8c", "the hypervisor goes on", hc_version(XENVER_version, NULL), 0x40011);
}

/* [SMP] The same from the second vCPU, on the same frames. */
static volatile int stop;

static void meddle(void *arg)
{
    (void)arg;
    while (!stop)
        one_table_call();
    hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0);
}

static bool ignore(struct trap_frame *f)
{
    (void)f;
    return true;
}

int main(void)
{
    uint64_t rounds = start_option_number("rounds", 200000);

    test_begin("fuzz-calls");
    trap_set_hook(TRAP_DB, ignore);
    trap_set_hook(TRAP_NMI, ignore); /* it may ask for one */
    for (unsigned int i = 0; i < POOL; i++) {
        pool[i] = mm_alloc();
        /* As a level 4 table this is never valid, so it is never loaded by mistake. */
        for (unsigned int k = 0; k < 512; k++)
            ((uint64_t *)mm_va(pool[i]))[k] = k & 1 ? 0 : 0xffff000000001ul + k;
    }
    scratch = mm_alloc_page();
    vectors();
    for (uint64_t i = 0; i < rounds; i++) {
        one_call();
        if (i % 10000 == 0) {
            if (hc_version(XENVER_version, NULL) != 0x40011)
                test_true("8a", "alive", false);
            test_audit("8a");
        }
    }
    test_true("8a", "random calls survived", true);
    for (uint64_t i = 0; i < rounds; i++) {
        one_table_call();
        if (i % 10000 == 0)
            test_audit("8b");
    }
    test_true("8b", "random table calls survived", true);
    vcpu_run(1, meddle, NULL);
    for (unsigned int i = 0; test_race(i, (unsigned int)(rounds / 20)); i++) {
        one_table_call();
        if (i % 1000 == 0)
            test_audit("8d");
    }
    stop = 1;
    vcpu_join(1);
    test_true("8d", "random table calls of two vCPUs survived", true);
    hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0);
    test_end();
}

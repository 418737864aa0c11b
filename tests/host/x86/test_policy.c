/* SPDX-License-Identifier: MIT */
/* Privileged instructions, MSRs, control registers and CPUID: the whitelist, and that nothing else
 * reaches hardware. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "machine.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include "x86/segments.h"
#include "../../../hv/x86/emulate.h"

static char code[64] __aligned(64);
static struct regs regs;

static void start(const char *bytes, unsigned n)
{
    memset(code, 0x90, sizeof(code));
    memcpy(code, bytes, n);
    memset(&regs, 0, sizeof(regs));
    regs.rip = (uint64_t)code;
    regs.cs = GUEST_CS64;
    regs.rflags = RFLAGS_IF | RFLAGS_MBS;
    machine.injected = -1;
}
#define START(bytes) start(bytes, sizeof(bytes) - 1)
#define EMULATE()    emulate_privileged(&machine.vcpu, &regs)

static bool may_reach_hardware(uint32_t msr)
{
    return msr == MSR_FS_BASE || msr == MSR_GS_BASE || msr == MSR_KERNEL_GS_BASE ||
           msr == MSR_TSC_AUX;
}

static void check_msr_write(uint32_t msr, uint64_t value)
{
    uint64_t before = 0, after = 0;
    bool readable = msr_guest_read(&machine.vcpu, msr, &before);
    machine.msr_writes = 0;
    bool accepted = msr_guest_write(&machine.vcpu, msr, value);
    if (machine.msr_writes)
        assert_true(may_reach_hardware(msr) && accepted);
    if (!accepted || may_reach_hardware(msr))
        return;
    /* Accepted and kept from the hardware: only because it changes nothing. */
    assert_true(msr_guest_read(&machine.vcpu, msr, &after) && readable);
    assert_int_equal(before, after);
    assert_true(value == before || (msr == 0x8b && value == 0));
}

static void test_msr_sweep(void **state)
{
    (void)state;
    static const uint32_t ranges[] = {0,          0x40000000, 0xc0000000,
                                      0xc0010000, 0xc0011000, 0xffff0000};
    static const uint64_t values[] = {0, 1, ~0ull};

    machine_reset();
    for (unsigned r = 0; r < ARRAY_SIZE(ranges); r++)
        for (unsigned i = 0; i < 0x10000; i++)
            for (unsigned k = 0; k < ARRAY_SIZE(values); k++)
                check_msr_write(ranges[r] + i, values[k]);
}

static void test_msr_values(void **state)
{
    (void)state;
    uint64_t v;

    machine_reset();
    assert_true(msr_guest_read(&machine.vcpu, MSR_EFER, &v));
    assert_int_equal(v, 0xd01); /* not SVME */
    assert_true(msr_guest_write(&machine.vcpu, MSR_EFER, v));
    assert_false(msr_guest_write(&machine.vcpu, MSR_EFER, v & ~0x800ull));
    assert_true(msr_guest_read(&machine.vcpu, MSR_APIC_BASE, &v));
    assert_int_equal(v, 0xfee00900);
    assert_false(msr_guest_read(&machine.vcpu, MSR_TSC_DEADLINE, &v));
    assert_false(msr_guest_read(&machine.vcpu, MSR_LSTAR, &v));
    assert_false(msr_guest_write(&machine.vcpu, MSR_LSTAR, 0));
    assert_false(msr_guest_write(&machine.vcpu, MSR_GS_BASE, 0x0000800000000000));
    assert_false(msr_guest_write(&machine.vcpu, MSR_FS_BASE, 0xffff7fffffffffff));
    assert_true(msr_guest_write(&machine.vcpu, MSR_FS_BASE, 0xffff888000000000));
    assert_int_equal(machine.msr_value, 0xffff888000000000);
    assert_true(msr_guest_write(&machine.vcpu, MSR_TSC_AUX, 5));
    assert_int_equal(machine.vcpu.tsc_aux, 5);
    assert_false(msr_guest_write(&machine.vcpu, MSR_TSC_AUX, 1ull << 32));
    /* Another vCPU on this CPU does not see it. */
    machine.vcpu.tsc_aux = 9;
    msr_load(&machine.vcpu);
    assert_int_equal(machine.msr_value, 9);

    START("\x0f\x32");
    regs.rcx = 0xabcd00000000ull | MSR_EFER;
    regs.rax = regs.rdx = ~0ull;
    assert_true(EMULATE());
    assert_int_equal(regs.rax, 0xd01);
    assert_int_equal(regs.rdx, 0);
    START("\x0f\x32");
    regs.rcx = 0x1234567;
    assert_false(EMULATE());
    assert_int_equal(regs.rip, (uint64_t)code);
}

static void test_control_registers(void **state)
{
    (void)state;
    machine_reset();
    START("\x0f\x20\xe0"); /* mov %cr4, %rax */
    assert_true(EMULATE());
    assert_int_equal(regs.rax, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
    uint64_t hardware = machine.cr4;
    for (unsigned bit = 0; bit < 64; bit++) {
        START("\x0f\x22\xe0"); /* mov %rax, %cr4 */
        regs.rax = 1ull << bit;
        assert_true(EMULATE());
        assert_int_equal(machine.cr4, hardware | (regs.rax & CR4_TSD));
        START("\x0f\x20\xe0");
        assert_true(EMULATE());
        uint64_t owned = (1ull << bit) & (CR4_TSD | CR4_DE | CR4_OSXSAVE);
        assert_int_equal(regs.rax, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | owned);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        START("\x0f\x22\xc0"); /* mov %rax, %cr0 */
        regs.rax = read_cr0() ^ (1ull << bit);
        assert_int_equal(EMULATE(), bit == 3);
    }
    assert_true(machine.vcpu.ts);
    START("\x0f\x06"); /* clts */
    assert_true(EMULATE());
    assert_false(machine.vcpu.ts);
    START("\x0f\x22\xd8"); /* mov %rax, %cr3 */
    regs.rax = 0x4321000;
    assert_true(EMULATE());
    assert_int_equal(machine.root, 0x4321);
    machine.set_root = -22;
    START("\x0f\x22\xd8");
    assert_false(EMULATE());
    START("\x44\x0f\x20\xc0"); /* mov %cr8, %rax */
    assert_false(EMULATE());
}

static void test_xcr0(void **state)
{
    (void)state;
    machine_reset();
    START("\x0f\x01\xd1");
    regs.rax = 7;
    assert_false(EMULATE()); /* the guest has not set OSXSAVE */
    msr_guest_set_cr4(&machine.vcpu, CR4_OSXSAVE);
    assert_true(EMULATE());
    const uint64_t bad[] = {0, 1, 2, 3, 5, 0xe7, ~0ull, 0x8000000000000007};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        START("\x0f\x01\xd1");
        regs.rax = (uint32_t)bad[i];
        regs.rdx = bad[i] >> 32;
        assert_false(EMULATE());
    }
    START("\x0f\x01\xd1");
    regs.rax = 7;
    regs.rcx = 1;
    assert_false(EMULATE());
}

static void test_user_mode_gets_nothing(void **state)
{
    (void)state;
    static const char *const privileged[] = {
        "\xf4",         "\xfa",         "\xfb",         "\x0f\x06",     "\x0f\x08",
        "\x0f\x09",     "\x0f\x30",     "\x0f\x32",     "\x0f\x20\xc0", "\x0f\x22\xc0",
        "\x0f\x21\xc0", "\x0f\x23\xc0", "\x0f\x01\x38", "\x0f\x01\xd1"};
    machine_reset();
    for (unsigned kernel = 0; kernel < 2; kernel++) {
        for (unsigned i = 0; i < ARRAY_SIZE(privileged); i++) {
            machine.vcpu.in_kernel = kernel;
            start(privileged[i], (unsigned)strlen(privileged[i]));
            msr_guest_set_cr4(&machine.vcpu, CR4_OSXSAVE);
            regs.rcx = MSR_FS_BASE * (i == 6 || i == 7);
            regs.rax = i == 9 ? read_cr0() : i == 13 ? 7 : 0;
            struct regs before = regs;
            assert_int_equal(EMULATE(), kernel);
            if (!kernel)
                assert_memory_equal(&regs, &before, sizeof(regs));
            assert_int_equal(regs.rflags, before.rflags);
        }
    }
}

static void test_table_registers(void **state)
{
    (void)state;
    uint8_t out[16];

    machine_reset();
    machine.vcpu.in_kernel = false;
    memset(out, 0xee, sizeof(out));
    START("\x0f\x01\x00"); /* sgdt (%rax) */
    regs.rax = (uint64_t)out;
    assert_true(EMULATE());
    assert_int_equal(out[9], 0);
    assert_int_equal(out[10], 0xee);
    START("\x0f\x01\xe0"); /* smsw %eax */
    assert_true(EMULATE());
    assert_int_equal(regs.rax, 0x80010033);
    START("\x0f\x01\x00");
    regs.rax = HV_START;
    assert_true(EMULATE());
    assert_int_equal(machine.injected, EXC_PF);
    assert_int_equal(regs.rip, (uint64_t)code);
}

static void test_halt_and_time(void **state)
{
    (void)state;
    machine_reset();
    START("\xf4");
    assert_true(EMULATE());
    assert_int_equal(machine.blocked, 1);
    assert_int_equal(regs.rip, (uint64_t)code + 1);
    machine.info.evtchn_upcall_pending = 1;
    START("\xf4");
    assert_true(EMULATE());
    assert_int_equal(machine.blocked, 1);
    START("\x0f\x31");
    assert_true(EMULATE());
    assert_int_equal(regs.rax, 0x55667788);
    assert_int_equal(regs.rdx, 0x11223344);
}

/* ---- CPUID ---- */

static const uint32_t *guest(uint32_t leaf, uint32_t subleaf)
{
    static uint32_t out[4];
    guest_cpuid(&machine.vcpu, leaf, subleaf, out);
    return out;
}

static void test_cpuid_hides(void **state)
{
    uint64_t value;

    (void)state;
    machine_reset(); /* this processor has every feature */
    const uint32_t *f = guest(1, 0);
    /* MONITOR, VMX, SMX, EIST, TM2, PCID, DCA, x2APIC, deadline, OSXSAVE */
    assert_int_equal(f[2] & 0x092601e8, 0);
    assert_true(f[2] >> 31);
    /* VME, PSE, MTRR, PGE, PSE36, DS, ACPI, HTT, TM; machine checks are there, without banks */
    assert_int_equal(f[3] & 0x3062300a, 0);
    assert_int_equal(f[3] & 0x0781cbf5, 0x0781cbf5);
    assert_true(msr_guest_read(&machine.vcpu, 0x179, &value));
    assert_int_equal(value, 0);
    f = guest(7, 0);
    /* FSGSBASE, TSC_ADJUST, HLE, SMEP, INVPCID, RTM, PQM, MPX, PQE, SMAP, PT, AVX-512 */
    assert_int_equal(f[1] & 0xf631dc93 & ~(1u << 29), 0);
    assert_int_equal(f[2] & 0x0001003c & ~(1u << 8), 0); /* UMIP, PKU, OSPKE, WAITPKG, LA57 */
    assert_int_equal(f[3] & 0xfc000000, 0);              /* speculation controls */
    f = guest(0x80000001, 0);
    assert_int_equal(f[2] & 0x0000100c, 0); /* SVM, EXTAPIC, SKINIT */
    assert_int_equal(f[3] & 1u << 26, 0);   /* 1 GiB pages */
    assert_int_equal(f[3] & (1u << 3 | 1u << 13 | 1u << 17), 0);
    for (uint32_t leaf = 0xe; leaf < 0x100; leaf++)
        assert_int_equal(guest(leaf, 0)[0] | guest(leaf, 0)[1] | guest(leaf, 0)[3], 0);
    assert_int_equal(guest(0xa, 0)[0] | guest(0xb, 0)[1] | guest(5, 0)[2] | guest(6, 0)[0], 0);
    assert_int_equal(guest(0x8000000a, 0)[3] | guest(0x8000001f, 0)[0] | guest(0x90000000, 0)[0],
                     0);
}

static void test_cpuid_follows_state(void **state)
{
    (void)state;
    machine_reset();
    machine.vcpu.mm.id = 5;
    assert_int_equal(guest(1, 0)[1] >> 24, 5);
    msr_guest_set_cr4(&machine.vcpu, CR4_OSXSAVE);
    assert_true(guest(1, 0)[2] & 1u << 27);
    assert_int_equal(guest(0xd, 0)[0], 7);
    assert_int_equal(guest(0xd, 0)[1], 576 + 256);
    assert_int_equal(guest(0xd, 1)[0], 7); /* not XSAVES */
    assert_int_equal(guest(0xd, 2)[0], 256);
    assert_int_equal(guest(0xd, 3)[0] | guest(0xd, 64)[0], 0);
    cpu_features.intel_sysenter = false;
    assert_int_equal(guest(1, 0)[3] & 1u << 11, 0);
    cpu_features.xcr0 = 3;
    assert_int_equal(guest(1, 0)[2] & (1u << 28 | 1u << 12 | 1u << 29), 0);
    assert_int_equal(guest(7, 0)[1] & 1u << 5, 0);
    cpu_features.xcr0 = 0xe7;
    assert_true(guest(7, 0)[1] & 1u << 16);
    cpu_features.xsave = false;
    msr_guest_set_cr4(&machine.vcpu, CR4_OSXSAVE);
    assert_int_equal(guest(1, 0)[2] & (3u << 26 | 1u << 28), 0);
    assert_int_equal(guest(0xd, 0)[0], 0);
}

static void test_cpuid_interface(void **state)
{
    (void)state;
    machine_reset();
    const uint32_t *x = guest(0x40000000, 0);
    assert_true(x[0] >= 0x40000002);
    assert_memory_equal(x + 1, "XenVMMXenVMM", 12);
    assert_int_equal(guest(0x40000001, 0)[0], 0x00040011);
    assert_int_equal(guest(0x40000003, 2)[0], 2000000);
    assert_int_equal(guest(0x40000006, 0)[0], 0);

    START("\x0f\x0bxen\x0f\xa2");
    regs.rax = 0xffffffff40000001;
    machine.vcpu.in_kernel = false; /* user mode, too */
    assert_true(emulate_invalid_opcode(&machine.vcpu, &regs));
    assert_int_equal(regs.rax, 0x00040011);
    assert_int_equal(regs.rip, (uint64_t)code + 7);
    START("\x0f\x0bxen\x0f\x30"); /* another instruction behind the prefix */
    assert_false(emulate_invalid_opcode(&machine.vcpu, &regs));
    START("\x0f\x0bxem\x0f\xa2");
    assert_false(emulate_invalid_opcode(&machine.vcpu, &regs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msr_sweep),
        cmocka_unit_test(test_msr_values),
        cmocka_unit_test(test_control_registers),
        cmocka_unit_test(test_xcr0),
        cmocka_unit_test(test_user_mode_gets_nothing),
        cmocka_unit_test(test_table_registers),
        cmocka_unit_test(test_halt_and_time),
        cmocka_unit_test(test_cpuid_hides),
        cmocka_unit_test(test_cpuid_follows_state),
        cmocka_unit_test(test_cpuid_interface),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

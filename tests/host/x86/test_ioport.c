/* SPDX-License-Identifier: MIT */
/* Port I/O of guests: rights, ports that the hypervisor owns, configuration space, string forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "machine.h"
#include "dev/dev.h"
#include "x86/guest.h"
#include "x86/segments.h"

static char code[64] __aligned(64);
static struct regs regs;

static void start(const char *bytes, unsigned n, unsigned port, uint64_t rax)
{
    memset(code, 0x90, sizeof(code));
    memcpy(code, bytes, n);
    memset(&regs, 0, sizeof(regs));
    regs.rip = (uint64_t)code;
    regs.cs = GUEST_CS64;
    regs.rdx = port;
    regs.rax = rax;
    regs.rflags = RFLAGS_IF | RFLAGS_MBS;
    machine.access_count = 0;
    machine.injected = machine.shutdown = -1;
}
#define START(bytes, port, rax) start(bytes, sizeof(bytes) - 1, port, rax)
#define EMULATE()               emulate_privileged(&machine.vcpu, &regs)

static void out8(unsigned port, uint8_t value)
{
    START("\xee", port, value);
    assert_true(EMULATE());
    assert_int_equal(regs.rip, (uint64_t)code + 1);
}
static void out16(unsigned port, uint16_t value)
{
    START("\x66\xef", port, value);
    assert_true(EMULATE());
}
static void out32(unsigned port, uint32_t value)
{
    START("\xef", port, value);
    assert_true(EMULATE());
}
static uint64_t in8(unsigned port)
{
    START("\xec", port, 0x1111111111111100);
    assert_true(EMULATE());
    return regs.rax & 0xff;
}
static uint64_t in32(unsigned port)
{
    START("\xed", port, ~0ull);
    assert_true(EMULATE());
    return regs.rax;
}

static void assert_one(bool write, unsigned port, unsigned size, uint32_t value)
{
    assert_int_equal(machine.access_count, 1);
    assert_int_equal(machine.accesses[0].write, write);
    assert_int_equal(machine.accesses[0].port, port);
    assert_int_equal(machine.accesses[0].size, size);
    if (write)
        assert_int_equal(machine.accesses[0].value, value);
}

static void test_plain_ports(void **state)
{
    (void)state;
    machine_reset();
    out8(0x1f7, 0xec);
    assert_one(true, 0x1f7, 1, 0xec);
    out16(0x1f0, 0xbeef);
    assert_one(true, 0x1f0, 2, 0xbeef);
    machine.next_in = 0x12345678;
    assert_int_equal(in32(0xc000), 0x12345678); /* upper half cleared */
    machine.next_in = 0x42;
    START("\xe4\x80", 0, 0xffffffffffffffff); /* in $0x80, %al */
    assert_true(EMULATE());
    assert_one(false, 0x80, 1, 0);
    assert_int_equal(regs.rax, 0xffffffffffffff42);
}

static void test_rights(void **state)
{
    (void)state;
    uint8_t map[16];

    for (unsigned kernel = 0; kernel < 2; kernel++) {
        for (unsigned iopl = 0; iopl < 4; iopl++) {
            machine_reset();
            machine.vcpu.in_kernel = kernel;
            machine.vcpu.iopl = (uint8_t)iopl;
            START("\xee", 0x80, 1);
            assert_int_equal(EMULATE(), iopl >= (kernel ? 1 : 3));
            if (iopl < (kernel ? 1u : 3u)) {
                assert_int_equal(regs.rip, (uint64_t)code);
                assert_int_equal(machine.access_count, 0);
            }
        }
    }
    machine_reset();
    machine.vcpu.in_kernel = false;
    memset(map, 0xff, sizeof(map));
    map[0x78 / 8] = 0xf0; /* 0x78..0x7b */
    machine.vcpu.iobmp = map;
    machine.vcpu.iobmp_limit = 128;
    /* It lies in the kernel's memory: seen through its root only. */
    machine.vcpu.kernel_cr3 = 0x1000;
    machine.vcpu.user_cr3 = machine.cr3 = 0x2000;
    machine.kernel_only = (uintptr_t)map;
    machine.kernel_only_bytes = sizeof(map);
    START("\xef", 0x78, 1);
    assert_true(EMULATE());
    assert_int_equal(machine.cr3, 0x2000);
    START("\xef", 0x79, 1); /* its last byte is not allowed */
    assert_false(EMULATE());
    START("\xee", 0x80, 1); /* beyond the bitmap */
    assert_false(EMULATE());
    machine.vcpu.iobmp_limit = 0x7b;
    START("\xef", 0x78, 1);
    assert_false(EMULATE());
    machine.vcpu.iobmp_limit = 65536;
    const uint64_t bad[] = {0, HV_START, 0x00007ffffffffff8, 0x8000000000000000};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        machine.vcpu.iobmp = (uint8_t *)bad[i];
        START("\xee", 0x8000, 1);
        machine.memory_start = (uint64_t)code;
        machine.memory_end = (uint64_t)code + sizeof(code);
        assert_false(EMULATE());
        assert_int_equal(machine.access_count, 0);
    }
}

/* A domain without devices: no port answers, none is touched. */
static void test_no_devices(void **state)
{
    (void)state;
    machine_reset();
    machine.domain.mm.privileged = false;
    for (unsigned port = 0; port < 0x10000; port += 7) {
        out8(port, 0xfe);
        assert_int_equal(machine.access_count, 0);
        assert_int_equal(in8(port), 0xff);
        assert_int_equal(in32(port), 0xffffffff);
        assert_int_equal(machine.access_count, 0);
        assert_int_equal(machine.shutdown, -1);
    }
    out32(0xcf8, 0x80000000);
    assert_int_equal(in32(0xcfc), 0xffffffff);
}

static void test_owned_ports(void **state)
{
    (void)state;
    const unsigned hidden[] = {0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x3f8, 0x3ff};
    machine_reset();
    for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++) {
        out8(hidden[i], 0);
        assert_int_equal(in8(hidden[i]), 0xff);
        assert_int_equal(machine.access_count, 0);
    }
    /* A wide access that begins beside them touches only what is not owned. */
    out32(0x1e, 0x44332211);
    assert_int_equal(machine.access_count, 2);
    assert_int_equal(machine.accesses[0].port, 0x1e);
    assert_int_equal(machine.accesses[1].port, 0x1f);
    assert_int_equal(machine.accesses[1].value, 0x22);
    /* The last byte of the ports, and beyond. */
    out32(0xffff, 0);
    assert_int_equal(machine.access_count, 0);
}

static void test_cmos(void **state)
{
    (void)state;
    machine_reset();
    out8(0x70, 0x8b); /* with the bit that would mask NMIs */
    assert_int_equal(machine.access_count, 0);
    machine.next_in = 0x02;
    assert_int_equal(in8(0x71), 2);
    assert_int_equal(machine.access_count, 2);
    assert_true(machine.accesses[0].write);
    assert_int_equal(machine.accesses[0].port, 0x70);
    assert_int_equal(machine.accesses[0].value, 0x0b);
}

static void test_reset_and_sleep(void **state)
{
    (void)state;
    machine_reset();
    const struct {
        unsigned port;
        uint8_t value;
        bool resets;
    } cases[] = {{0x64, 0xfe, true}, {0x64, 0xf0, true}, {0x64, 0xff, false}, {0x64, 0xad, false},
                 {0x92, 1, true},    {0x92, 2, false},   {0xcf9, 6, true},    {0xcf9, 2, false}};
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        out8(cases[i].port, cases[i].value);
        assert_int_equal(machine.shutdown, cases[i].resets ? SHUTDOWN_reboot : -1);
        if (cases[i].resets)
            assert_int_equal(machine.access_count, 0);
    }
    out8(0x64, 0xd1); /* output port: its reset line stays up */
    out8(0x60, 0xfe);
    assert_one(true, 0x60, 1, 0xff);
    out8(0x60, 0xfe); /* to the keyboard itself: as it is */
    assert_one(true, 0x60, 1, 0xfe);

    acpi_fadt = (struct acpi_fadt_info){.pm1a_cnt = 0x604,
                                        .reset_supported = true,
                                        .reset_space = 1,
                                        .reset_address = 0xb2,
                                        .reset_value = 7};
    out16(0x604, 0x3c01);
    assert_one(true, 0x604, 2, 0x1c01);
    out8(0x605, 0x3c);
    assert_one(true, 0x605, 1, 0x1c);
    out32(0x602, 0x3c010000);
    assert_one(true, 0x602, 4, 0x1c010000);
    out8(0x606, 0x20);
    assert_one(true, 0x606, 1, 0x20);
    out8(0xb2, 7);
    assert_int_equal(machine.shutdown, SHUTDOWN_reboot);
    acpi_fadt = (struct acpi_fadt_info){0};
}

static void test_pci(void **state)
{
    (void)state;
    machine_reset();
    out32(0xcf8, 0x80000000 | 1 << 16 | 3 << 11 | 0x10);
    assert_int_equal(machine.access_count, 0);
    assert_int_equal(in32(0xcf8), 0x80010000 | 3 << 11 | 0x10);
    assert_int_equal(in32(0xcfc), 0x8086);
    assert_int_equal(machine.pci_sbdf, 1 << 8 | 3 << 3);
    assert_int_equal(machine.pci_reg, 0x10);
    out8(0xcfd, 0x5a);
    assert_int_equal(machine.pci_writes, 1);
    assert_int_equal(machine.pci_reg, 0x11);
    assert_int_equal(machine.pci_bytes, 1);
    assert_int_equal(machine.pci_value, 0x5a);
    out16(0xcfd, 1); /* not aligned */
    out32(0xcfe, 1); /* over the end */
    assert_int_equal(machine.pci_writes, 1);
    machine.pci_denied = true;
    out32(0xcfc, 1);
    assert_int_equal(machine.pci_writes, 1);
    machine.pci_denied = false;
    out32(0xcf8, 0); /* not enabled */
    out32(0xcfc, 1);
    assert_int_equal(machine.pci_writes, 1);
    assert_int_equal(in32(0xcfc), 0xffffffff);
}

static uint8_t buffer[8192] __aligned(4096);

static void run_string(unsigned limit)
{
    while (regs.rip == (uint64_t)code && machine.injected < 0 && limit--)
        assert_true(EMULATE());
}

static void test_string_out(void **state)
{
    (void)state;
    machine_reset();
    START("\xf3\x66\x6f", 0x1f0, 0); /* rep outsw */
    for (unsigned i = 0; i < 64; i++)
        buffer[4096 - 8 + i] = (uint8_t)i;
    regs.rsi = (uint64_t)buffer + 4096 - 7; /* an element lies across the pages */
    regs.rcx = 20;
    run_string(100);
    assert_int_equal(regs.rip, (uint64_t)code + 3);
    assert_int_equal(regs.rcx, 0);
    assert_int_equal(regs.rsi, (uint64_t)buffer + 4096 - 7 + 40);
    assert_int_equal(machine.access_count, 20);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(machine.accesses[i].value, (2 * i + 2) << 8 | (2 * i + 1));
}

static void test_string_in(void **state)
{
    (void)state;
    machine_reset();
    memset(buffer, 0xcc, sizeof(buffer));
    START("\xf3\x6c", 0x60, 0); /* rep insb */
    machine.next_in = 1;
    regs.rdi = (uint64_t)buffer;
    regs.rcx = 3000;
    assert_true(EMULATE());
    assert_true(regs.rcx > 0 && regs.rcx < 3000); /* bounded, not done */
    run_string(1000);
    assert_int_equal(regs.rip, (uint64_t)code + 2);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(buffer[i], (uint8_t)(i + 1));
    assert_int_equal(buffer[3000], 0xcc);

    START("\xf3\x6c", 0x60, 0); /* backwards */
    regs.rflags |= RFLAGS_DF;
    machine.next_in = 1;
    regs.rdi = (uint64_t)buffer + 2;
    regs.rcx = 3;
    run_string(10);
    assert_memory_equal(buffer, "\x03\x02\x01", 3);
    assert_int_equal(regs.rdi, (uint64_t)buffer - 1);

    START("\xf3\x6c", 0x60, 0); /* nothing to do */
    regs.rdi = 8;
    run_string(1);
    assert_int_equal(regs.rip, (uint64_t)code + 2);
    assert_int_equal(machine.access_count, 0);
}

static void test_string_faults(void **state)
{
    (void)state;
    const uint64_t bad[] = {0, HV_START, HV_END - 1, 0x8000000000000000, ~0ull};

    machine_reset();
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        for (unsigned in = 0; in < 2; in++) {
            START("\xf3\x6d", 0x1f0, 0);
            code[1] = in ? 0x6d : 0x6f;
            regs.rdi = regs.rsi = bad[i];
            regs.rcx = ~0ull;
            struct regs before = regs;
            machine.memory_start = 4096;
            machine.memory_end = 0x00007ffffffff000;
            assert_true(EMULATE());
            assert_int_equal(machine.injected, bad[i] == 0x8000000000000000 ? EXC_GP : EXC_PF);
            assert_int_equal(machine.access_count, 0); /* nothing taken from the device */
            assert_memory_equal(&regs, &before, sizeof(regs));
        }
    }
    /* Into a page that is read-only: the fault says write, present. */
    machine_reset();
    START("\x6c", 0x1f0, 0);
    regs.rdi = (uint64_t)buffer + 4096;
    machine.read_only_from = regs.rdi;
    assert_true(EMULATE());
    assert_int_equal(machine.injected_address, regs.rdi);
    assert_int_equal(machine.injected_error & (PF_WRITE | PF_PRESENT), PF_WRITE | PF_PRESENT);
    assert_int_equal(machine.access_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_ports), cmocka_unit_test(test_rights),
        cmocka_unit_test(test_no_devices),  cmocka_unit_test(test_owned_ports),
        cmocka_unit_test(test_cmos),        cmocka_unit_test(test_reset_and_sleep),
        cmocka_unit_test(test_pci),         cmocka_unit_test(test_string_out),
        cmocka_unit_test(test_string_in),   cmocka_unit_test(test_string_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

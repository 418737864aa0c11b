/* SPDX-License-Identifier: MIT */
/*
 * Differential test of the stores to page-table entries: each of many random instructions runs once
 * on the processor and once through emulate_write_fault, from the same registers and memory;
 * memory, registers and flags must come out the same. And what must not be emulated, is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "machine.h"
#include "x86/guest.h"
#include "x86/segments.h"
#include "../../../hv/x86/alu.h"
#include "../../../hv/x86/emulate.h"
#include "dev/dev.h"
#include "../../../hv/x86/operand.h"

#define ROUNDS     400000
#define CODE_BYTES 64
#define DATA_WORDS 64
#define STATUS     (RFLAGS_CF | 0x4 | 0x10 | 0x40 | 0x80 | RFLAGS_OF)
#define CF_ZF      0x41
#define AF         0x10

/* One page: code at the start, entries behind, so that rip-relative operands reach them. */
static uint8_t *page;
static uint64_t *entries;

static uint64_t seed = 88172645463325252ull;
static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 2685821657736338717ull;
}
static unsigned below(unsigned n)
{
    return (unsigned)((rnd() >> 32) % n);
}

enum kind { K_RM_REG, K_IMM, K_ONE, K_BIT, K_BIT_IMM };
static const struct form {
    uint8_t escape, code, ext; /* escape: 0 or 0x0f; code of the form that is not one byte wide */
    bool bytes;                /* code - 1 is the one-byte form */
    bool lockable;
    uint8_t imm_bytes; /* 0, 1, or 4: of the operand's size */
    enum kind kind;
} forms[] = {
    {0, 0x01, 0, true, true, 0, K_RM_REG},      {0, 0x09, 0, true, true, 0, K_RM_REG},
    {0, 0x11, 0, true, true, 0, K_RM_REG},      {0, 0x19, 0, true, true, 0, K_RM_REG},
    {0, 0x21, 0, true, true, 0, K_RM_REG},      {0, 0x29, 0, true, true, 0, K_RM_REG},
    {0, 0x31, 0, true, true, 0, K_RM_REG},      {0, 0x87, 0, true, true, 0, K_RM_REG},
    {0, 0x89, 0, true, false, 0, K_RM_REG},     {0x0f, 0xb1, 0, true, true, 0, K_RM_REG},
    {0x0f, 0xc1, 0, true, true, 0, K_RM_REG},   {0x0f, 0xc3, 0, false, false, 0, K_RM_REG},
    {0x0f, 0xab, 0, false, true, 0, K_BIT},     {0x0f, 0xb3, 0, false, true, 0, K_BIT},
    {0x0f, 0xbb, 0, false, true, 0, K_BIT},     {0x0f, 0xba, 5, false, true, 1, K_BIT_IMM},
    {0x0f, 0xba, 6, false, true, 1, K_BIT_IMM}, {0x0f, 0xba, 7, false, true, 1, K_BIT_IMM},
    {0, 0x81, 0, true, true, 4, K_IMM},         {0, 0x81, 1, true, true, 4, K_IMM},
    {0, 0x81, 2, true, true, 4, K_IMM},         {0, 0x81, 3, true, true, 4, K_IMM},
    {0, 0x81, 4, true, true, 4, K_IMM},         {0, 0x81, 5, true, true, 4, K_IMM},
    {0, 0x81, 6, true, true, 4, K_IMM},         {0, 0x83, 0, false, true, 1, K_IMM},
    {0, 0x83, 4, false, true, 1, K_IMM},        {0, 0x83, 6, false, true, 1, K_IMM},
    {0, 0xc7, 0, true, false, 4, K_IMM},        {0, 0xf7, 2, true, true, 0, K_ONE},
    {0, 0xf7, 3, true, true, 0, K_ONE},         {0, 0xff, 0, true, true, 0, K_ONE},
    {0, 0xff, 1, true, true, 0, K_ONE},         {0x0f, 0xc7, 1, false, true, 0, K_ONE},
};

struct trial {
    uint8_t code[CODE_BYTES];
    unsigned length, size;
    uint64_t target;
    struct regs regs;
};

static void put(struct trial *t, uint8_t b)
{
    t->code[t->length++] = b;
}
static void put_number(struct trial *t, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        put(t, (uint8_t)(v >> (8 * i)));
}

/* The memory operand: displacement size, base, index or rip-relative; sets the base register so
 * that it names `at`. Returns where a rip-relative displacement must still be filled in, or 0. */
static unsigned put_operand(struct trial *t, unsigned reg, uint64_t at, unsigned base, int index,
                            unsigned rex_at)
{
    unsigned disp_bytes = below(2) ? 1 : 4, scale = below(4);
    int64_t disp = (int8_t)rnd();

    if (base == 16) { /* rip-relative */
        put(t, (uint8_t)((reg & 7) << 3 | 5));
        put_number(t, 0, 4);
        return t->length - 4;
    }
    t->code[rex_at] |= (base & 8 ? 1 : 0) | (index >= 8 ? 2 : 0);
    uint8_t mod = disp_bytes == 1 ? 0x40 : 0x80;
    if (index >= 0 || (base & 7) == 4) {
        put(t, (uint8_t)(mod | (reg & 7) << 3 | 4));
        put(t, (uint8_t)(scale << 6 | (index < 0 ? 4 : index & 7) << 3 | (base & 7)));
    } else {
        put(t, (uint8_t)(mod | (reg & 7) << 3 | (base & 7)));
    }
    put_number(t, (uint64_t)disp, disp_bytes);
    *operand_slot(&t->regs, base) =
        at - (uint64_t)disp - (index < 0 ? 0 : *operand_slot(&t->regs, (unsigned)index) << scale);
    return 0;
}

static unsigned random_register(void)
{
    unsigned r;
    do
        r = below(16);
    while (r == 4); /* the stack pointer stays the host's */
    return r;
}

/* Registers for operand, base and index, different where the address must not depend on the
 * operand. */
static void choose_registers(const struct form *f, unsigned *reg, unsigned *base, int *index)
{
    *reg = f->kind == K_RM_REG || f->kind == K_BIT ? random_register() : f->ext;
    do
        *base = below(6) ? random_register() : 16;
    while (f->kind == K_BIT && *base == *reg);
    *index = -1;
    if (below(2) && *base != 16)
        do
            *index = (int)random_register();
        while ((unsigned)*index == *base || (f->kind == K_BIT && (unsigned)*index == *reg));
}

static void make_trial(struct trial *t)
{
    const struct form *f = &forms[below(ARRAY_SIZE(forms))];
    bool cmpxchg8b = f->escape && f->code == 0xc7, byte = f->bytes && below(2), wide = false;
    unsigned reg, base, rex_at;
    int index;

    memset(t, 0, sizeof(*t));
    for (unsigned i = 0; i < 16; i++)
        *operand_slot(&t->regs, i) = below(4) ? rnd() : below(300) - 150ull;
    t->regs.rflags = (rnd() & STATUS) | RFLAGS_IF | RFLAGS_MBS;
    choose_registers(f, &reg, &base, &index);
    bool opsize = !byte && !cmpxchg8b && f->code != 0xc3 && !below(3);
    if (!byte && !opsize && !cmpxchg8b)
        wide = below(2);
    t->size = byte ? 1 : opsize ? 2 : wide || cmpxchg8b ? 8 : 4;

    if (f->lockable && below(2))
        put(t, 0xf0);
    if (opsize)
        put(t, 0x66);
    rex_at = t->length;
    put(t, (uint8_t)(0x40 | (wide ? 8 : 0) | (reg & 8 ? 4 : 0)));
    if (f->escape)
        put(t, f->escape);
    put(t, byte ? f->code - 1 : f->code);

    unsigned slot = 16 + below(DATA_WORDS - 32);
    t->target = (uint64_t)&entries[slot] + below(8 / t->size) * t->size;
    uint64_t named = t->target;
    if (f->kind == K_BIT) {
        /* A bit number that reaches up to 8 operands away, the target staying where it is. */
        int64_t bit = (int64_t)below(16 * 8 * t->size) - 8 * 8 * t->size;
        uint64_t mask = alu_mask(t->size);
        uint64_t *slot_reg = operand_slot(&t->regs, reg);
        *slot_reg = (*slot_reg & ~mask) | ((uint64_t)bit & mask);
        int64_t units = bit >> (t->size == 2 ? 4 : t->size == 4 ? 5 : 6);
        named -= (uint64_t)(units * (int64_t)t->size);
    }
    unsigned rip_at = put_operand(t, reg, named, base, index, rex_at);
    unsigned imm = f->imm_bytes == 4 ? min(byte ? 1u : t->size, 4u) : f->imm_bytes;
    put_number(t, rnd(), imm);
    if (rip_at) {
        int32_t disp = (int32_t)(named - (uint64_t)(page + t->length));
        memcpy(t->code + rip_at, &disp, 4);
    }
    /* Without REX where it carries nothing: the second bytes of the first registers take part. */
    if (t->code[rex_at] == 0x40 && below(2)) {
        memmove(t->code + rex_at, t->code + rex_at + 1, t->length - rex_at - 1);
        t->length--;
        if (rip_at) {
            int32_t disp = (int32_t)(named - (uint64_t)(page + t->length));
            memcpy(t->code + rip_at - 1, &disp, 4);
        }
    }
}

/* Often let the comparison of CMPXCHG hold. */
static void help_compare(struct trial *t)
{
    uint64_t now = 0;
    memcpy(&now, (void *)t->target, t->size);
    struct insn insn;
    if (insn_decode(t->code, t->length, &insn) != INSN_OK || below(2) || insn.base == 0 ||
        insn.index == 0)
        return;
    if (insn.op == INSN_CMPXCHG) {
        operand_write(&t->regs, 0, t->size, now);
    } else if (insn.op == INSN_CMPXCHG8B && insn.base != 2 && insn.index != 2) {
        operand_write(&t->regs, 0, 4, now);
        operand_write(&t->regs, 2, 4, now >> 32);
    }
}

static void fill_entries(void)
{
    for (unsigned i = 0; i < DATA_WORDS; i++)
        entries[i] = rnd() & (below(2) ? ~0ull : 0x00ff00ff00ff00ffull);
}

/* Flags that the manual leaves undefined are not compared. */
static uint64_t compared_flags(unsigned op)
{
    if (op >= INSN_BTS && op <= INSN_BTC)
        return CF_ZF;
    if (op == INSN_AND || op == INSN_OR || op == INSN_XOR)
        return STATUS & ~AF;
    return STATUS;
}

static void check_trial(struct trial *t)
{
    uint64_t before[DATA_WORDS], native_data[DATA_WORDS];
    struct regs native = t->regs, emulated = t->regs;
    struct insn insn;

    memcpy(page, t->code, t->length);
    uint8_t *jump = page + t->length;
    memcpy(jump, "\xff\x25\0\0\0\0", 6);
    uint64_t back = (uint64_t)native_back;
    memcpy(jump + 6, &back, 8);
    memcpy(before, entries, sizeof(before));

    native_run(&native, page);
    memcpy(native_data, entries, sizeof(native_data));
    memcpy(entries, before, sizeof(before));

    machine_reset();
    assert_int_equal(insn_decode(t->code, t->length, &insn), INSN_OK);
    assert_int_equal(insn.length, t->length);
    emulated.rip = (uint64_t)page;
    emulated.cs = GUEST_CS64;
    assert_true(emulate_write_fault(&machine.vcpu, &emulated, t->target));
    assert_int_equal(emulated.rip, (uint64_t)page + t->length);
    assert_memory_equal(entries, native_data, sizeof(before));
    uint64_t mask = compared_flags(insn.op);
    assert_int_equal(emulated.rflags & mask, native.rflags & mask);
    assert_int_equal(emulated.rflags & ~STATUS, t->regs.rflags & ~STATUS);
    assert_memory_equal(&emulated, &native, offsetof(struct regs, error_code));
}

static void test_like_the_processor(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct trial t;
        fill_entries();
        make_trial(&t);
        help_compare(&t);
        check_trial(&t);
    }
}

/* ---- single cases ---- */

static struct regs *start(const char *code, unsigned n)
{
    static struct regs regs;
    machine_reset();
    memset(&regs, 0, sizeof(regs));
    memset(page, 0x90, CODE_BYTES);
    memcpy(page, code, n);
    regs.rip = (uint64_t)page;
    regs.cs = GUEST_CS64;
    regs.rdi = (uint64_t)&entries[4];
    regs.rflags = RFLAGS_IF | RFLAGS_MBS;
    entries[3] = entries[5] = 0;
    entries[4] = 0x8000000012345067;
    return &regs;
}
#define START(code) start(code, sizeof(code) - 1)

/* Nothing but the fault: registers, memory and rip as before. */
static void refused(struct regs *regs, uint64_t address)
{
    struct regs before = *regs;
    uint64_t data[DATA_WORDS];
    memcpy(data, entries, sizeof(data));
    assert_false(emulate_write_fault(&machine.vcpu, regs, address));
    assert_memory_equal(regs, &before, sizeof(before));
    assert_memory_equal(data, entries, sizeof(data));
    assert_int_equal(machine.injected, -1);
}

static void test_lost_races(void **state)
{
    (void)state;
    struct regs *r = START("\xf0\x80\x27\xfd"); /* lock andb $~2, (%rdi) */
    machine.lost_races = 3;
    assert_true(emulate_write_fault(&machine.vcpu, r, r->rdi));
    assert_int_equal(machine.trapped_writes, 4);
    assert_int_equal(entries[4], 0x8000000012348065);
    assert_int_equal(r->rip, (uint64_t)page + 4);

    /* Losing for ever is bounded: back to the guest, instruction not done. */
    r = START("\xf0\x80\x27\xfd");
    machine.lost_races = 1000000;
    assert_true(emulate_write_fault(&machine.vcpu, r, r->rdi));
    assert_true(machine.trapped_writes <= 64);
    assert_int_equal(r->rip, (uint64_t)page);
    assert_int_equal(entries[4] & 2, 2);
}

static void test_refusals(void **state)
{
    (void)state;
    struct regs *r = START("\x48\x89\x07"); /* mov %rax, (%rdi) */
    r->rdi += 4;                            /* crosses into the next entry */
    refused(r, r->rdi);
    r = START("\x89\x47\x02"); /* mov %eax, 2(%rdi): misaligned */
    refused(r, r->rdi + 2);
    r = START("\x48\x89\x07"); /* another address than the one that faulted */
    refused(r, r->rdi + 8);
    r = START("\x48\x89\x07"); /* not a page table */
    machine.refuse_writes = true;
    refused(r, r->rdi);
    r = START("\x48\x89\x07"); /* user mode */
    machine.vcpu.in_kernel = false;
    refused(r, r->rdi);
    r = START("\x48\x89\x07"); /* compatibility mode */
    r->cs = GUEST_CS32;
    refused(r, r->rdi);
    r = START("\x48\xab"); /* stos */
    refused(r, r->rdi);
    r = START("\x0f\x11\x07"); /* movups */
    refused(r, r->rdi);
    r = START("\xf0\x48\x89\x07"); /* lock mov */
    refused(r, r->rdi);
    r = START("\x48\x0f\xc7\x0f"); /* cmpxchg16b */
    refused(r, r->rdi);
    r = START("\xfa"); /* cli, put there by another vCPU */
    refused(r, r->rdi);
}

static void test_code_at_the_end_of_memory(void **state)
{
    (void)state;
    struct regs *r = START("\x48\x89\x07");
    r->rip = (uint64_t)page + 4096 - 3;
    memcpy((void *)r->rip, "\x48\x89\x07", 3);
    machine.memory_start = (uint64_t)page;
    machine.memory_end = (uint64_t)page + 4096;
    r->rax = 0x63;
    assert_true(emulate_write_fault(&machine.vcpu, r, r->rdi));
    assert_int_equal(entries[4], 0x63);
    r->rip = (uint64_t)page + 4096 - 2; /* the last byte is not there */
    memcpy((void *)r->rip, "\x48\x89", 2);
    refused(r, r->rdi);
}

static void test_single_step(void **state)
{
    (void)state;
    struct regs *r = START("\x48\x89\x07");
    r->rflags |= RFLAGS_TF | RFLAGS_RF;
    assert_true(emulate_write_fault(&machine.vcpu, r, r->rdi));
    assert_int_equal(machine.injected, EXC_DB);
    assert_int_equal(machine.vcpu.dr[6], 0x4000);
    assert_false(r->rflags & RFLAGS_RF);
}

static void test_device_memory(void **state)
{
    (void)state;
    struct regs *r = START("\x66\x89\x07"); /* mov %ax, (%rdi) */
    machine.refuse_writes = true;
    machine.iomem = ENV_IOMEM_READ_ONLY;
    acpi_mcfg_count = 1;
    acpi_mcfg[0] = (struct acpi_mcfg){.address = 0xe0000000, .bus_last = 0xff};
    uint64_t register_at = 0xe0000000 | 3 << 20 | 5 << 15 | 1 << 12;
    machine.walk_entry = register_at | PTE_P | PTE_US;
    r->rax = 0xabcd1234;
    uint64_t offset = r->rdi & 0xfff;
    assert_true(emulate_write_fault(&machine.vcpu, r, r->rdi));
    assert_int_equal(machine.pci_writes, 1);
    assert_int_equal(machine.pci_sbdf, 3 << 8 | 5 << 3 | 1);
    assert_int_equal(machine.pci_reg, offset);
    assert_int_equal(machine.pci_bytes, 2);
    assert_int_equal(machine.pci_value, 0x1234);
    assert_int_equal(r->rip, (uint64_t)page + 3);

    r->rip = (uint64_t)page; /* a register that the hypervisor owns: dropped, done */
    machine.pci_denied = true;
    assert_true(emulate_write_fault(&machine.vcpu, r, r->rdi));
    assert_int_equal(machine.pci_writes, 1);

    r->rip = (uint64_t)page; /* not read-only by our doing, or not domain 0 */
    machine.iomem = ENV_IOMEM_FULL;
    refused(r, r->rdi);
    machine.iomem = ENV_IOMEM_READ_ONLY;
    machine.domain.mm.privileged = false;
    refused(r, r->rdi);
}

static int set_up(void **state)
{
    (void)state;
    page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    entries = (uint64_t *)(page + 2048);
    return page == MAP_FAILED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_the_processor), cmocka_unit_test(test_lost_races),
        cmocka_unit_test(test_refusals),           cmocka_unit_test(test_code_at_the_end_of_memory),
        cmocka_unit_test(test_single_step),        cmocka_unit_test(test_device_memory),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The local APIC in either form (Intel SDM volume 3A, chapter 10), its timer and inter-processor
 * interrupts. */
#include "dev/lapic.h"
#include "base/bits.h"
#include "base/boot_info.h"
#include "base/check.h"
#include "base/log.h"
#include "core/time.h"
#include "dev/clock.h"
#include "dev/dev.h"
#include "x86/cpu.h"
#include "x86/insn.h"

enum lapic_register {
    LAPIC_ID = 0x20,
    LAPIC_TPR = 0x80,
    LAPIC_EOI = 0xb0,
    LAPIC_LDR = 0xd0,
    LAPIC_DFR = 0xe0,
    LAPIC_SVR = 0xf0,
    LAPIC_ESR = 0x280,
    LAPIC_ICR_LOW = 0x300,
    LAPIC_ICR_HIGH = 0x310,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_THERMAL = 0x330,
    LAPIC_LVT_PERF = 0x340,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_LVT_LINT1 = 0x360,
    LAPIC_LVT_ERROR = 0x370,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_COUNT = 0x390,
    LAPIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define SVR_ENABLE       BIT(8)
#define LVT_MASKED       BIT(16)
#define LVT_NMI          0x400
#define LVT_DEADLINE     (2u << 17)
#define DIVIDE_BY_1      0xb
#define ICR_BUSY         BIT(12)
#define ICR_ASSERT       BIT(14)
#define ICR_NMI          0x400
#define ICR_INIT         0x500
#define ICR_STARTUP      0x600
#define ICR_OTHERS       (3u << 18)
#define ICR_PATIENCE     1000000

uint64_t lapic_timer_hz;
static volatile uint32_t *mapped; /* xAPIC registers; NULL in x2APIC mode */

static uint32_t get(enum lapic_register r)
{
    return mapped ? mapped[r / 4] : (uint32_t)rdmsr(MSR_X2APIC_BASE + (r >> 4));
}

static void set(enum lapic_register r, uint32_t v)
{
    if (mapped)
        mapped[r / 4] = v;
    else
        wrmsr(MSR_X2APIC_BASE + (r >> 4), v);
}

void lapic_init(void)
{
    bool already = rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
    bool use_x2apic = cpu_features.x2apic && (already || !boot_options.x2apic_off);
    if (!use_x2apic)
        mapped = map_device(acpi_lapic_address, PAGE_SIZE);
    else
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
    log_info("local APIC: %s mode", use_x2apic ? "x2APIC" : "xAPIC");
}

void lapic_init_cpu(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    wrmsr(MSR_APIC_BASE, mapped ? base : base | APIC_BASE_X2APIC);
    if (mapped) {
        set(LAPIC_DFR, ~0u);
        set(LAPIC_LDR, 0);
    }
    set(LAPIC_TPR, 0);
    set(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    unsigned last = (get((enum lapic_register)0x30) >> 16) & 0xff; /* version: highest LVT entry */
    set(LAPIC_LVT_TIMER, LVT_MASKED);
    set(LAPIC_LVT_LINT0, LVT_MASKED);
    set(LAPIC_LVT_LINT1, LVT_NMI);
    set(LAPIC_LVT_ERROR, LVT_MASKED | VECTOR_SPURIOUS);
    if (last >= 4)
        set(LAPIC_LVT_PERF, LVT_MASKED);
    if (last >= 5)
        set(LAPIC_LVT_THERMAL, LVT_MASKED);
    set(LAPIC_ESR, 0);
    for (unsigned i = 0; i < 256; i++) /* what the loader left in service */
        lapic_eoi();
    set(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    set(LAPIC_LVT_TIMER, cpu_features.tsc_deadline ? VECTOR_TIMER | LVT_DEADLINE : VECTOR_TIMER);
}

void lapic_eoi(void)
{
    set(LAPIC_EOI, 0);
}

uint32_t lapic_id(void)
{
    return mapped ? get(LAPIC_ID) >> 24 : get(LAPIC_ID);
}

static void send(uint32_t apic_id, uint32_t low)
{
    if (!mapped) {
        /* The write is not ordered after earlier stores by itself. */
        full_fence();
        wrmsr(MSR_X2APIC_BASE + (LAPIC_ICR_LOW >> 4), ((uint64_t)apic_id << 32) | low);
        return;
    }
    set(LAPIC_ICR_HIGH, apic_id << 24);
    set(LAPIC_ICR_LOW, low);
    for (unsigned i = 0; i < ICR_PATIENCE && (get(LAPIC_ICR_LOW) & ICR_BUSY); i++)
        cpu_relax();
}

void lapic_send_ipi(unsigned cpu, unsigned vector)
{
    send(cpus[cpu]->apic_id, vector | ICR_ASSERT);
}

void lapic_nmi_others(void)
{
    if (cpu_count > 1)
        send(0, ICR_NMI | ICR_ASSERT | ICR_OTHERS);
}

void lapic_init_other(uint32_t apic_id)
{
    send(apic_id, ICR_INIT | ICR_ASSERT);
}

void lapic_start_cpu(uint32_t apic_id, uint32_t entry_page)
{
    send(apic_id, ICR_INIT | ICR_ASSERT);
    clock_delay_us(10000);
    for (unsigned i = 0; i < 2; i++) {
        send(apic_id, ICR_STARTUP | ICR_ASSERT | entry_page);
        clock_delay_us(200);
    }
}

/* --- the timer --- */

void lapic_timer_start_max(void)
{
    set(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    set(LAPIC_TIMER_INITIAL, ~0u);
}

uint32_t lapic_timer_count(void)
{
    return get(LAPIC_TIMER_COUNT);
}

uint64_t clock_event_program(uint64_t system_ns)
{
    if (!system_ns) {
        if (cpu_features.tsc_deadline)
            wrmsr(MSR_TSC_DEADLINE, 0);
        else
            set(LAPIC_TIMER_INITIAL, 0);
        return 0;
    }
    uint64_t now = time_now();
    if (cpu_features.tsc_deadline) {
        wrmsr(MSR_TSC_DEADLINE, time_tsc_of(system_ns));
    } else {
        /* At most a second ahead: the product below stays small, and early is harmless. */
        uint64_t ns = system_ns > now ? min(system_ns - now, 1000000000ul) : 1;
        uint64_t counts = ns * lapic_timer_hz / 1000000000u + 1;
        set(LAPIC_TIMER_INITIAL, (uint32_t)min(counts, (uint64_t)UINT32_MAX));
    }
    return max(system_ns, now);
}

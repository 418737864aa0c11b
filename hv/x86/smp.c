/* SPDX-License-Identifier: MIT */
/*
 * Secondary CPUs, started one after another by INIT and STARTUP interrupts (Intel SDM volume
 * 3A, 8.4), and the way of every CPU into its idle loop.
 */
#include "x86/machine.h"
#include "base/boot_info.h"
#include "base/check.h"
#include "base/log.h"
#include "base/string.h"
#include "core/domain.h"
#include "core/sched.h"
#include "core/time.h"
#include "dev/clock.h"
#include "dev/dev.h"
#include "dev/lapic.h"
#include "mm/env.h"
#include "x86/insn.h"
#include "x86/paging.h"
#include "x86/smp.h"

extern const char smp_trampoline[], smp_trampoline_end[];
extern uint32_t smp_trampoline_base, smp_trampoline_cr3, smp_trampoline_efer;
extern char smp_trampoline_gdt[], smp_trampoline_far[], smp_trampoline_long[];
extern const char boot_l4[];
extern const uint64_t boot_efer; /* hv/boot/head.S */

/* Read by the CPU that is starting. */
uint64_t smp_next_root, smp_next_stack;

#define START_TIMEOUT_MS 1000
#define WARP_ROUNDS      300

/* Is a later reading on another CPU ever smaller? Both sides take turns under the lock. */
static struct {
    spinlock_t lock;
    uint64_t last, warp;
    unsigned arrived;
} warp_test;

static void warp_rounds(void)
{
    fetch_add(&warp_test.arrived, 1);
    while (load_acquire(&warp_test.arrived) < 2)
        cpu_relax();
    for (unsigned i = 0; i < WARP_ROUNDS; i++) {
        spin_lock(&warp_test.lock);
        uint64_t now = rdtsc();
        if (now < warp_test.last)
            warp_test.warp = max(warp_test.warp, warp_test.last - now);
        warp_test.last = now;
        spin_unlock(&warp_test.lock);
    }
}

void smp_secondary(void);
void smp_secondary(void)
{
    struct cpu *c = this_cpu();
    cpu_load(c);
    lapic_init_cpu();
    warp_rounds();
    store_release(&c->online, true);
    idle_loop();
}

static void patch(const char *copy, const void *field, uint32_t add)
{
    uint32_t *at = (uint32_t *)(copy + ((const char *)field - smp_trampoline)), v;
    memcpy(&v, at, sizeof(v));
    v += add;
    memcpy(at, &v, sizeof(v));
}

static void copy_trampoline(uint64_t page)
{
    char *copy = env_frame(maddr_to_mfn(maddr(page)));
    CHECK_LE(smp_trampoline_end - smp_trampoline, PAGE_SIZE);
    memcpy(copy, smp_trampoline, (size_t)(smp_trampoline_end - smp_trampoline));
    patch(copy, smp_trampoline_gdt + 2, (uint32_t)page);
    patch(copy, smp_trampoline_far, (uint32_t)page);
    patch(copy, smp_trampoline_long, (uint32_t)page);
    patch(copy, &smp_trampoline_base, (uint32_t)page);
    patch(copy, &smp_trampoline_cr3, (uint32_t)image_maddr(boot_l4));
    patch(copy, &smp_trampoline_efer, (uint32_t)boot_efer);
    smp_next_root = hv_root_maddr();
}

static bool start_cpu(const struct acpi_cpu *a, uint64_t page)
{
    unsigned id = cpu_count;
    struct cpu *c = cpu_create(id, a->apic_id, a->acpi_id);
    if (!c)
        return false;
    cpus[id] = c;
    sched_init_cpu(c);
    struct vcpu *idle = vcpu_create_idle(c);
    if (!idle) {
        cpus[id] = NULL;
        return false;
    }
    smp_next_stack = (uintptr_t)idle->stack;
    warp_test.arrived = 0;
    lapic_start_cpu(a->apic_id, (uint32_t)(page >> PAGE_SHIFT));
    for (unsigned ms = 0; ms < START_TIMEOUT_MS; ms++) {
        if (load_acquire(&warp_test.arrived)) {
            warp_rounds();
            while (!load_acquire(&c->online))
                cpu_relax();
            cpu_count++;
            return true;
        }
        clock_delay_us(1000);
    }
    lapic_init_other(a->apic_id); /* keep it from coming later */
    cpus[id] = NULL;
    return false;
}

void smp_init(uint64_t trampoline_page)
{
    copy_trampoline(trampoline_page);
    unsigned limit =
        boot_options.max_cpus ? min(boot_options.max_cpus, (unsigned)MAX_CPUS) : MAX_CPUS;
    for (unsigned i = 0; i < acpi_cpu_count; i++) {
        if (acpi_cpus[i].apic_id == boot_cpu.apic_id)
            continue;
        if (cpu_count == limit)
            break;
        if (!start_cpu(&acpi_cpus[i], trampoline_page))
            log_warn("CPU with APIC id %u did not start", acpi_cpus[i].apic_id);
    }
    time_tsc_stable = warp_test.warp == 0;
    log_info("CPUs: %u online%s", cpu_count,
             time_tsc_stable ? "" : "; their time stamp counters differ");
}

static __noreturn void boot_cpu_idle(void)
{
    paging_free_init();
    idle_loop();
}

__noreturn void smp_boot_cpu_idle(void)
{
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1"
                     :
                     : "r"(boot_cpu.idle->stack), "r"(boot_cpu_idle)
                     : "memory");
    __builtin_unreachable();
}

/* SPDX-License-Identifier: MIT */
/* Reset, power-off and halt. */
#include "base/bits.h"
#include "base/log.h"
#include "dev/clock.h"
#include "dev/dev.h"
#include "dev/lapic.h"
#include "dev/pci.h"
#include "x86/insn.h"
#include <xen/errno.h>

#define SLP_TYPE(t) ((uint32_t)(t) << 10)
#define SLP_ENABLE  BIT(13)
#define SLP_MASK    (SLP_TYPE(7) | SLP_ENABLE)

enum { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1, ACPI_SPACE_PCI = 2 };

static void acpi_reset(void)
{
    const struct acpi_fadt_info *f = &acpi_fadt;
    if (!f->reset_supported)
        return;
    if (f->reset_space == ACPI_SPACE_IO)
        outb((uint16_t)f->reset_address, f->reset_value);
    else if (f->reset_space == ACPI_SPACE_PCI)
        pci_write((uint32_t)(f->reset_address >> 32 & 0x1f) << 3 |
                      (uint32_t)(f->reset_address >> 16 & 7),
                  f->reset_address & 0xffff, 1, f->reset_value);
    clock_delay_us(15000);
}

static void keyboard_reset(void)
{
    for (unsigned i = 0; i < 10000 && (inb(0x64) & 2); i++)
        clock_delay_us(1);
    outb(0x64, 0xfe);
    clock_delay_us(15000);
}

static void chipset_reset(void)
{
    outb(0xcf9, 0x02);
    clock_delay_us(50);
    outb(0xcf9, 0x06);
    clock_delay_us(15000);
}

/* With no interrupt table every exception becomes a shutdown, which chipsets turn into a reset. */
static __noreturn void triple_fault(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __packed none = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(none));
    machine_halt();
}

__noreturn void machine_reboot(void)
{
    irq_disable();
    acpi_reset();
    keyboard_reset();
    chipset_reset();
    triple_fault();
}

__noreturn void machine_halt(void)
{
    irq_disable();
    lapic_nmi_others();
    for (;;)
        __asm__ volatile("hlt");
}

int machine_acpi_sleep(uint32_t pm1a, uint32_t pm1b)
{
    if (!acpi_fadt.pm1a_cnt)
        return -XEN_ENODEV;
    /* Only the sleep type and enable are the caller's; only power-off is a sleep that we know. */
    if (!acpi_fadt.s5_known || (pm1a & SLP_TYPE(7)) != SLP_TYPE(acpi_fadt.s5_a))
        return -XEN_EINVAL;
    uint32_t a = inw(acpi_fadt.pm1a_cnt), b = acpi_fadt.pm1b_cnt ? inw(acpi_fadt.pm1b_cnt) : 0;
    a = (a & ~SLP_MASK) | (pm1a & SLP_TYPE(7));
    b = (b & ~SLP_MASK) | (pm1b & SLP_TYPE(7));
    outw(acpi_fadt.pm1a_cnt, (uint16_t)a);
    if (acpi_fadt.pm1b_cnt)
        outw(acpi_fadt.pm1b_cnt, (uint16_t)b);
    outw(acpi_fadt.pm1a_cnt, (uint16_t)(a | SLP_ENABLE));
    if (acpi_fadt.pm1b_cnt)
        outw(acpi_fadt.pm1b_cnt, (uint16_t)(b | SLP_ENABLE));
    clock_delay_us(100000);
    return -XEN_EIO;
}

__noreturn void machine_power_off(void)
{
    irq_disable();
    if (acpi_fadt.s5_known)
        (void)machine_acpi_sleep(SLP_TYPE(acpi_fadt.s5_a), SLP_TYPE(acpi_fadt.s5_b));
    log_warn("this machine cannot be switched off by software");
    machine_halt();
}

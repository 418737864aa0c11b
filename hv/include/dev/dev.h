/* SPDX-License-Identifier: MIT */
/* The hypervisor's own drivers: console, ACPI, interrupt controllers, clocks, PCI configuration,
 * power. */
#ifndef DEV_DEV_H
#define DEV_DEV_H

#include "base/types.h"

/* --- uart.c, console.c --- */
void uart_init(const char *com1_option);
void console_init(void);
void console_write(const char *s, size_t n); /* to the line and to the ring */
/* One of the hypervisor's own lines, without its end: on a line of its own, also where domain 0 is
 * in the middle of one. */
void console_write_line(const char *s, size_t n);
size_t console_read_input(char *buf, size_t n); /* what was typed, for domain 0 (CONSOLEIO_read) */
/* Copy from the 256 KiB ring of what was written; *index as in sysctl readconsole. */
size_t console_ring_read(char *buf, size_t n, uint32_t *index, bool clear);

/* --- acpi (one file a table) --- */
void acpi_init(uint64_t rsdp_hint); /* 0: search the BIOS area */
extern uint64_t acpi_rsdp;
struct acpi_cpu {
    uint32_t apic_id, acpi_id;
};
extern struct acpi_cpu acpi_cpus[];
extern unsigned acpi_cpu_count;
struct acpi_ioapic {
    uint32_t id, gsi_base;
    uint64_t address;
};
extern struct acpi_ioapic acpi_ioapics[];
extern unsigned acpi_ioapic_count;
struct acpi_override {
    bool used;
    uint8_t irq;
    uint32_t gsi;
    uint16_t flags;
};
extern struct acpi_override acpi_overrides[16];
extern uint64_t acpi_lapic_address, acpi_hpet_address;
struct acpi_mcfg {
    uint64_t address;
    uint16_t segment;
    uint8_t bus_first, bus_last;
};
extern struct acpi_mcfg acpi_mcfg[];
extern unsigned acpi_mcfg_count;
struct acpi_fadt_info {
    uint16_t pm1a_cnt, pm1b_cnt, pm_tmr;
    uint16_t sci;
    uint64_t reset_address;
    uint8_t reset_space, reset_value;
    bool reset_supported;
    bool s5_known;
    uint8_t s5_a, s5_b; /* sleep types of power-off (the DSDT's _S5_) */
};
extern struct acpi_fadt_info acpi_fadt;

/* Map device memory uncached (hv/x86/paging.c); size in bytes. Panics at boot when out of room. */
volatile void *map_device(uint64_t address, size_t size);

/* --- lapic.c, ioapic.c, hpet.c, pit.c --- */
void lapic_init_cpu(void);
void lapic_eoi(void);
uint32_t lapic_id(void);
void lapic_start_cpu(uint32_t apic_id, uint32_t entry_page);
void ioapic_init(void);
uint32_t ioapic_read(unsigned apic, uint8_t reg); /* for PHYSDEVOP_apic_read */
unsigned ioapic_count(void);
bool ioapic_owns_frame(uint64_t mfn);
void clock_init(void); /* calibrates tsc_hz against HPET, PM timer or PIT */

/* --- pci.c --- */
uint32_t pci_read(uint32_t sbdf, unsigned reg, unsigned bytes);
void pci_write(uint32_t sbdf, unsigned reg, unsigned bytes, uint32_t value);
/* May domain 0 write there? False for the capabilities that the hypervisor owns (MSI, MSI-X
 * control). */
bool pci_guest_may_write(uint32_t sbdf, unsigned reg, unsigned bytes);

/* --- power.c --- */
__noreturn void machine_reboot(void);
__noreturn void machine_power_off(void);
__noreturn void machine_halt(void); /* all CPUs stop; the console stays readable */
int machine_acpi_sleep(uint32_t pm1a, uint32_t pm1b); /* XENPF_enter_acpi_sleep of S5 */

#endif

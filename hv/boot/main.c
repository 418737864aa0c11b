/* SPDX-License-Identifier: MIT */
/* The start of the machine, to be read aloud. */
#include "base/boot_info.h"
#include "base/check.h"
#include "base/log.h"
#include "base/string.h"
#include "boot/dom0.h"
#include "core/domain.h"
#include "core/sched.h"
#include "core/time.h"
#include "dev/clock.h"
#include "dev/console.h"
#include "dev/dev.h"
#include "dev/irq.h"
#include "dev/lapic.h"
#include "memory.h"
#include "multiboot.h"
#include "options.h"
#include "version.h"
#include "x86/insn.h"
#include "x86/machine.h"
#include "x86/paging.h"
#include "x86/ram.h"
#include "x86/smp.h"
#include <xen/errno.h>

void boot_main(uint32_t magic, uint32_t info);

/* The first instructions mapped this much, at DIRECT_BASE. */
static const void *read_low(uint64_t address, size_t n)
{
    return address < GiB(4) && n <= GiB(4) - address ? (const void *)(DIRECT_BASE + address) : NULL;
}

static void take_loader_information(uint32_t magic, uint32_t info)
{
    int error = -XEN_EINVAL;
    if (magic == MULTIBOOT1_MAGIC)
        error = multiboot1_parse(info, read_low, &boot_info);
    else if (magic == MULTIBOOT2_MAGIC)
        error = multiboot2_parse(info, read_low, &boot_info);
    if (error)
        panic("not started by a multiboot loader (magic %#x)", magic);
    const char *words = boot_info.cmdline;
    if (strcmp(boot_info.loader, "qemu") == 0) /* it puts the image's name first */
        words = strchr(words, ' ') ? strchr(words, ' ') : "";
    options_parse(words, &boot_options);
}

static void show_beginning(void)
{
    log_info("Palimpsest " PAL_VERSION ", started by %s%s", boot_info.loader,
             boot_info.efi ? " under UEFI" : "");
    log_info("options: %s", boot_info.cmdline);
}

static void show_cpu(void)
{
    char name[49] = "unnamed";
    if (cpuid(0x80000000, 0).eax >= 0x80000004)
        for (unsigned i = 0; i < 3; i++) {
            struct cpuid part = cpuid(0x80000002 + i, 0);
            memcpy(name + 16 * i, &part, 16);
        }
    const struct cpu_features *f = &cpu_features;
    log_info("CPU: %s, %u-bit addresses%s%s%s%s%s%s", name, f->phys_bits, f->nx ? ", NX" : "",
             f->smep ? ", SMEP" : "", f->smap ? ", SMAP" : "", f->umip ? ", UMIP" : "",
             f->xsave ? ", XSAVE" : "", f->avx ? ", AVX" : "");
}

static void start_boot_cpu(void)
{
    traps_init();
    if (!cpu_create(0, lapic_id(), 0))
        panic("no memory for the first CPU");
    for (unsigned i = 0; i < acpi_cpu_count; i++)
        if (acpi_cpus[i].apic_id == boot_cpu.apic_id)
            boot_cpu.acpi_id = acpi_cpus[i].acpi_id;
    cpus[0] = &boot_cpu;
    cpu_count = 1;
    sched_init_cpu(&boot_cpu);
    struct vcpu *idle = vcpu_create_idle(&boot_cpu);
    if (!idle)
        panic("no memory for the first CPU");
    this_stack()->current = idle;
    cpu_load(&boot_cpu);
    boot_cpu.online = true;
}

void boot_main(uint32_t magic, uint32_t info)
{
    this_stack()->cpu = &boot_cpu;
    uart_init("");
    console_init();
    take_loader_information(magic, info);
    uart_init(boot_options.com1);
    show_beginning();

    cpu_detect();
    show_cpu();
    memory_init();
    smap_patch(); /* while the text can be written */
    paging_init();
    acpi_init(boot_info.rsdp);
    uint64_t trampoline = ram_take(PAGE_SIZE, PAGE_SIZE, KiB(640));
    paging_init_frames();
    m2p_share();
    memory_release();

    lapic_init();
    start_boot_cpu();
    irq_init();
    ioapic_init();
    lapic_init_cpu();
    clock_init();
    time_init_wallclock();
    smp_init(trampoline);
    console_start_input();

    dom0_build();
    memory_release_modules();
    smp_boot_cpu_idle();
}

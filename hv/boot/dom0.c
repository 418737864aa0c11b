/* SPDX-License-Identifier: MIT */
/*
 * Domain 0, from the loader's modules to a vCPU that can run. No short cut is taken: its frames are
 * charged to it, its tables are validated and pinned, and its first context is checked, like any
 * guest's.
 */
#include "boot/dom0.h"

#include "base/boot_info.h"
#include "base/check.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "core/hypercall_page.h"
#include "core/sched.h"
#include "dev/clock.h"
#include "dev/dev.h"
#include "dom0_layout.h"
#include "dom0_mem.h"
#include "dom0_memory.h"
#include "dom0_start.h"
#include "dom0_tables.h"
#include "kernel_image.h"

#define RESTART_DELAY_US 5000000
#define INITRD_MAX       (1ull << 40)

static struct dom0_memory memory;
static struct elf_image image;
static struct dom0_layout layout;

/* ---- refusals ---- */

static __noreturn void stop(void)
{
    if (boot_options.noreboot) {
        log_error("The machine stops (noreboot).");
        machine_halt();
    }
    log_error("The machine restarts in five seconds; the option noreboot makes it stop instead.");
    clock_delay_us(RESTART_DELAY_US);
    machine_reboot();
}

/* what: a sentence; why, how: phrases. */
static __noreturn void refuse(unsigned code, const char *what, const char *why, const char *how)
{
    log_error("PAL-BOOT-%03u %s", code, what);
    log_error("  Why: %s.", why);
    log_error("  What to do: %s.", how);
    stop();
}

/* ---- the kernel file ---- */

static const void *module_bytes(const struct boot_module *m)
{
    mfn_t first = maddr_to_mfn(maddr(m->start)), last = maddr_to_mfn(maddr(m->start + m->size - 1));

    return frame_is_ram(first) && frame_is_ram(last) ? env_frame(first) + m->start % PAGE_SIZE
                                                     : NULL;
}

static __noreturn void refuse_image(const char *why)
{
    refuse(2, "The kernel image cannot be read.", why,
           "give a vmlinuz as Debian installs it in /boot; copy it again if it is one");
}

static __noreturn void refuse_no_room(uint64_t need_mib, uint64_t have_mib)
{
    char why[120];

    format(why, sizeof(why), "they need %lu MiB before anything runs; %lu MiB are there", need_mib,
           have_mib);
    refuse(4, "Kernel and initial RAM disk do not fit in domain 0's memory.", why,
           "raise dom0_mem, give the machine more memory, or take a smaller initial RAM disk");
}

static const void *unpack(const struct kernel_payload *payload)
{
    uint64_t out = ROUND_UP(payload->unpacked_size, PAGE_SIZE);
    uint64_t work = kernel_image_work_size(payload);
    const char *why;
    uint8_t *room;

    if (payload->packing == KERNEL_PLAIN)
        return payload->data;
    room = dom0_memory_take_scratch(&memory, out + work);
    if (!room)
        refuse_no_room((out + work) >> 20, palloc_free_frames() >> 8);
    if (kernel_image_unpack(payload, room, room + out, work, &why))
        refuse_image(why);
    return room;
}

static void require_module(void)
{
    if (boot_info.module_count == 0 || boot_info.modules[0].size == 0)
        refuse(
            1, "There is no kernel for domain 0.", "the boot loader gave no module",
            "name a kernel in the loader's entry: module2 /boot/vmlinuz..., or -initrd with QEMU");
}

static __noreturn void refuse_kernel(const char *why)
{
    refuse(3, "The kernel cannot be domain 0.", why,
           "take Debian's linux-image-amd64; its cloud kernels cannot be domain 0");
}

static void read_kernel(void)
{
    const struct boot_module *module = &boot_info.modules[0];
    struct kernel_payload payload;
    const void *bytes;
    const char *why;

    bytes = module_bytes(module);
    if (!bytes)
        refuse_image("the boot loader says that it lies outside of the machine's memory");
    if (kernel_image_find(bytes, module->size, &payload, &why))
        refuse_image(why);
    bytes = unpack(&payload);
    switch (elf_image_parse(&image, bytes, payload.unpacked_size, &why)) {
    case ELF_IMAGE_GOOD:
        break;
    case ELF_IMAGE_CORRUPT:
        refuse_image(why);
    case ELF_IMAGE_NOT_PV:
        refuse_kernel(why);
    }
    if (!elf_image_may_be_dom0(&image))
        refuse_kernel("it was built without support for being domain 0");
    log_info("domain 0: kernel %s %s, %s, %lu MiB", image.guest_os, image.guest_version,
             kernel_image_packing_name(payload.packing), payload.unpacked_size >> 20);
}

/* ---- how much memory ---- */

static uint64_t decide_pages(uint64_t *max_pages)
{
    static const char how[] =
        "write dom0_mem=512M or dom0_mem=1G,max:2G; without it domain 0 gets nearly all";
    uint64_t available = palloc_free_frames(), pages = 0, limit = 0;
    struct dom0_mem wish;
    char why[120];

    if (!dom0_mem_parse(boot_options.dom0_mem, &wish)) {
        format(why, sizeof(why), "dom0_mem=%s is not a size", boot_options.dom0_mem);
        refuse(5, "The option dom0_mem is not understood.", why, how);
    }
    switch (dom0_mem_decide(&wish, available, &pages, max_pages, &limit)) {
    case DOM0_MEM_GOOD:
        break;
    case DOM0_MEM_TOO_MUCH:
        format(why, sizeof(why), "it asks for %lu MiB; %lu MiB are there to give", pages >> 8,
               limit >> 8);
        refuse(6, "The option dom0_mem is more than the machine has.", why, how);
    case DOM0_MEM_TOO_SMALL:
        format(why, sizeof(why), "domain 0 would have %lu KiB; it needs %lu MiB at the very least",
               pages << 2, limit >> 8);
        refuse(7, "The memory for domain 0 is too small for any kernel.", why, how);
    }
    return pages;
}

static uint64_t initrd_size(void)
{
    return boot_info.module_count > 1 ? boot_info.modules[1].size : 0;
}

static void decide_layout(uint64_t pages)
{
    if (initrd_size() >= INITRD_MAX || !dom0_layout_make(&layout, &image, pages, initrd_size(), 0))
        refuse_no_room(layout.placed_pages >> 8, pages >> 8);
}

/* ---- filling it ---- */

static unsigned vcpus_wanted(void)
{
    unsigned n = boot_options.dom0_max_vcpus ? boot_options.dom0_max_vcpus : cpu_count;

    if (n > MAX_VCPUS)
        log_warn("domain 0: dom0_max_vcpus=%u is more than %u", n, MAX_VCPUS);
    return min(n, (unsigned)MAX_VCPUS);
}

static void check_memory(int error)
{
    if (error)
        refuse_no_room(layout.nr_pages >> 8, palloc_free_frames() >> 8);
}

/* The rest of the initial mapping is zeroed: nothing of what was there before the boot is to be
 * relied on. */
static void load_kernel(void)
{
    dom0_memory_zero(&memory, 0, image.paddr_start);
    for (unsigned i = 0; i < image.segments; i++) {
        const struct elf_segment *s = &image.segment[i];

        dom0_memory_zero(&memory, s->paddr + s->file_size, s->mem_size - s->file_size);
    }
    for (unsigned i = 0; i < image.segments; i++) {
        const struct elf_segment *s = &image.segment[i];

        dom0_memory_copy(&memory, s->paddr, image.file + s->file_offset, s->file_size);
    }
    if (image.has_hypercall_page) {
        uint64_t pfn = (image.hypercall_page - image.virt_base) >> PAGE_SHIFT;

        hypercall_page_fill(dom0_memory_page(&memory, pfn));
    }
    memory.scratch_needed = false;
    image.file = NULL;
}

static void load_initrd(void)
{
    uint64_t size = initrd_size(), start = layout.initrd << PAGE_SHIFT;
    const void *bytes;

    if (!size)
        return;
    bytes = module_bytes(&boot_info.modules[1]);
    if (!bytes)
        refuse(4, "The initial RAM disk cannot be read.",
               "the boot loader says that it lies outside of the machine's memory",
               "check the loader's entry");
    dom0_memory_copy(&memory, start, bytes, size);
    dom0_memory_zero(&memory, start + size, (layout.initrd_pages << PAGE_SHIFT) - size);
    if (boot_info.module_count > 2)
        log_warn("domain 0: %u more modules are ignored", boot_info.module_count - 2);
}

/* The kernel first: until it is in its place the memory it was unpacked to is not free. */
static void fill_memory(void)
{
    uint64_t after = layout.p2m + layout.p2m_pages;

    check_memory(dom0_memory_start(&memory, layout.p2m, layout.p2m_pages));
    check_memory(dom0_memory_populate(&memory, 0, layout.p2m));
    load_kernel();
    check_memory(dom0_memory_populate(&memory, after, layout.nr_pages));
    dom0_memory_end_list(&memory, layout.nr_pages);
    load_initrd();
    memory.d->mm.max_gfn = layout.nr_pages;
}

/* ---- its first vCPU ---- */

static void start(struct domain *d)
{
    mfn_t root = dom0_tables_make(&memory, &layout, image.virt_base);
    int error;

    dom0_start_info(&memory, &layout, &image, dom0_start_cmdline(&boot_info), initrd_size());
    dom0_memory_finish(&memory);
    palloc_boot_done();
    error = mm_pin(&d->mm, root, ROLE_L4);
    if (!error)
        error = dom0_start_vcpu(d->vcpus[0], &layout, &image, root);
    if (error)
        panic("domain 0's own tables or context are not legal (%d)", error);
}

void dom0_build(void)
{
    uint64_t pages, max_pages;
    struct domain_limits limits;
    struct domain *d;
    int error;

    memory.scratch = MFN_NONE;
    require_module();
    pages = decide_pages(&max_pages); /* first, since unpacking takes seconds */
    read_kernel();
    decide_layout(pages);
    limits = (struct domain_limits){vcpus_wanted(), max_pages, ~0u, ~0u, ~0u};
    d = domain_create(0, &limits, true, &error);
    if (!d)
        refuse_no_room(pages >> 8, palloc_free_frames() >> 8);
    domain0 = d;
    memory.d = d;
    fill_memory();
    start(d);
    log_info("domain 0: %lu MiB, %u vCPUs, initial RAM disk %lu KiB", pages >> 8, d->max_vcpus,
             initrd_size() >> 10);
    sched_vcpu_up(d->vcpus[0]);
}

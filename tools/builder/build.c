/* SPDX-License-Identifier: MIT */
#include "builder/build.h"

#include <string.h>
#include <sys/mman.h>

#include "builder/guest_memory.h"
#include "builder/image.h"
#include "builder/tables.h"

#include <xen/grant_table.h>

#define MAGIC         "xen-3.0-x86_64"
#define SERVICE_PAGES 2 /* the store's, then the console's */

/* All that goes into the domain. */
struct input {
    struct pal_image image;
    void *initrd;
    size_t initrd_size;
    struct dom0_layout layout;
};

static int too_little(const struct input *in, const struct pal_build *b, struct pal_error *e)
{
    uint64_t need = ROUND_UP(in->layout.placed_pages << PAL_PAGE_SHIFT, MiB(1));
    const char *element = b->memory_kib < b->max_kib ? "currentMemory" : "memory";

    pal_fail(e, PAL_MEM_GUEST,
             "kernel and initial RAM disk need %llu MiB for themselves; <%s> is %llu MiB",
             (unsigned long long)need >> 20, element, (unsigned long long)b->memory_kib >> 10);
    return pal_remedy(e, "give it more: <%s unit='MiB'>%llu</%s>", element,
                      (unsigned long long)ROUND_UP(need + need / 2 + MiB(64), MiB(64)) >> 20,
                      element);
}

static void input_close(struct input *in)
{
    if (in->initrd)
        munmap(in->initrd, in->initrd_size);
    pal_image_close(&in->image);
    memset(in, 0, sizeof(*in));
}

static int input_open(struct input *in, const struct pal_build *b, struct pal_error *e)
{
    memset(in, 0, sizeof(*in));
    if (pal_image_open(&in->image, b->kernel, b->memory_kib << 10, e))
        return -1;
    if (b->initrd && pal_map_file(b->initrd, &in->initrd, &in->initrd_size, PAL_IMG_INITRD, e)) {
        in->initrd = NULL;
        goto fail;
    }
    if (!dom0_layout_make(&in->layout, &in->image.elf, b->memory_kib >> 2, in->initrd_size,
                          SERVICE_PAGES)) {
        too_little(in, b, e);
        goto fail;
    }
    return 0;
fail:
    input_close(in);
    return -1;
}

int pal_build_check(const struct pal_build *b, struct pal_error *e)
{
    struct input in;

    if (input_open(&in, b, e))
        return -1;
    input_close(&in);
    return 0;
}

/* ---- contents ---- */

/* Bytes that load() writes. */
static uint64_t load_size(const struct input *in)
{
    uint64_t size = (in->layout.initrd_pages + in->layout.p2m_pages) << PAL_PAGE_SHIFT;

    for (unsigned i = 0; i < in->image.elf.segments; i++)
        size += in->image.elf.segment[i].mem_size;
    return size;
}

static int load(struct guest_memory *m, const struct input *in, struct pal_error *e)
{
    const struct elf_image *elf = &in->image.elf;
    const struct dom0_layout *l = &in->layout;

    pal_progress_phase(m->progress, PAL_BUILD_CONTENTS, load_size(in));
    for (unsigned i = 0; i < elf->segments; i++) {
        const struct elf_segment *s = &elf->segment[i];

        if (guest_memory_write(m, s->paddr, elf->file + s->file_offset, s->file_size, s->mem_size,
                               e))
            return -1;
    }
    if (in->initrd && guest_memory_write(m, l->initrd << PAL_PAGE_SHIFT, in->initrd,
                                         in->initrd_size, l->initrd_pages << PAL_PAGE_SHIFT, e))
        return -1;
    if (elf->has_hypercall_page &&
        pal_hypercall_page(m->hv, m->domain,
                           m->mfn[(elf->hypercall_page - elf->virt_base) >> PAL_PAGE_SHIFT], e))
        return -1;
    return guest_memory_write(m, l->p2m << PAL_PAGE_SHIFT, m->mfn, m->pages * sizeof(*m->mfn),
                              l->p2m_pages << PAL_PAGE_SHIFT, e);
}

static uint64_t va_of(const struct input *in, uint64_t pfn)
{
    return in->image.elf.virt_base + (pfn << PAL_PAGE_SHIFT);
}

static void fill_start_info(struct start_info *si, const struct guest_memory *m,
                            const struct input *in, const struct pal_build *b, uint64_t shared_info)
{
    const struct dom0_layout *l = &in->layout;

    memcpy(si->magic, MAGIC, sizeof(MAGIC));
    si->nr_pages = l->nr_pages;
    si->shared_info = shared_info << PAL_PAGE_SHIFT;
    si->store_mfn = m->mfn[l->service];
    si->store_evtchn = b->store_port;
    si->console.domU.mfn = m->mfn[l->service + 1];
    si->console.domU.evtchn = b->console_port;
    si->pt_base = va_of(in, l->tables);
    si->nr_pt_frames = l->stack - l->tables;
    si->mfn_list = l->p2m_va;
    if (l->p2m_tables) {
        si->first_p2m_pfn = l->p2m;
        si->nr_p2m_frames = l->p2m_pages + dom0_layout_p2m_table_pages(l);
    }
    if (in->initrd) {
        bool by_frame = in->image.elf.mod_start_pfn;

        si->mod_len = in->initrd_size;
        si->mod_start = by_frame ? l->initrd : va_of(in, l->initrd);
        si->flags = by_frame ? SIF_MOD_START_PFN : 0;
    }
    strncpy((char *)si->cmd_line, b->cmdline, sizeof(si->cmd_line) - 1);
}

static int write_start_info(struct guest_memory *m, const struct input *in,
                            const struct pal_build *b, uint64_t shared_info, struct pal_error *e)
{
    /* Start info, the store's page, the console's: one after the other. */
    uint64_t count = 1 + SERVICE_PAGES;
    struct start_info *si = guest_memory_map(m, in->layout.start_info, count, e);

    if (!si)
        return -1;
    memset(si, 0, count * PAL_PAGE_SIZE);
    fill_start_info(si, m, in, b, shared_info);
    guest_memory_unmap(m, si, count);
    return 0;
}

/* Until a vCPU has its handlers, no event may be shown to it. */
static int mask_upcalls(struct pal_hv *hv, uint32_t domain, xen_pfn_t frame, struct pal_error *e)
{
    struct shared_info *shared =
        xenforeignmemory_map(hv->memory, domain, PROT_READ | PROT_WRITE, 1, &frame, NULL);

    if (!shared)
        return pal_fail(e, PAL_HV_REFUSED, "the domain's shared page cannot be mapped");
    for (unsigned i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
        shared->vcpu_info[i].evtchn_upcall_mask = 1;
    xenforeignmemory_unmap(hv->memory, shared, 1);
    return 0;
}

static int start_vcpu(struct guest_memory *m, const struct input *in, struct pal_error *e)
{
    const struct dom0_layout *l = &in->layout;
    vcpu_guest_context_t c;

    memset(&c, 0, sizeof(c));
    c.flags = VGCF_in_kernel | VGCF_online;
    c.user_regs.rip = in->image.elf.entry;
    c.user_regs.rsp = va_of(in, l->stack + 1);
    c.user_regs.rsi = va_of(in, l->start_info);
    c.user_regs.rflags = 1u << 9; /* the guest's own mask is in the shared page */
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = FLAT_KERNEL_SS;
    c.user_regs.ds = c.user_regs.es = c.user_regs.fs = c.user_regs.gs = FLAT_KERNEL_DS;
    c.kernel_ss = FLAT_KERNEL_SS;
    c.kernel_sp = c.user_regs.rsp;
    c.ctrlreg[3] = xen_pfn_to_cr3(m->mfn[l->tables]);
    return pal_domain_set_context(m->hv, m->domain, 0, &c, e);
}

/* ---- the whole ---- */

static int fill(struct guest_memory *m, const struct input *in, struct pal_build *b,
                struct pal_error *e)
{
    const struct dom0_layout *l = &in->layout;
    struct xen_domctl_getdomaininfo info;
    struct pal_grant grants[] = {{GNTTAB_RESERVED_CONSOLE, 0}, {GNTTAB_RESERVED_XENSTORE, 0}};

    b->store_mfn = m->mfn[l->service];
    b->console_mfn = m->mfn[l->service + 1];
    b->suspend_cancel = in->image.elf.suspend_cancel;
    grants[0].mfn = b->console_mfn;
    grants[1].mfn = b->store_mfn;
    if (pal_domain_info(m->hv, m->domain, &info, e) ||
        pal_event_unbound(m->hv, m->domain, &b->store_port, e) ||
        pal_event_unbound(m->hv, m->domain, &b->console_port, e) || load(m, in, e) ||
        write_start_info(m, in, b, info.shared_info_frame, e) ||
        mask_upcalls(m->hv, m->domain, info.shared_info_frame, e) ||
        guest_tables_make(m, l, in->image.elf.virt_base, e) ||
        pal_pin_top_table(m->hv, m->domain, m->mfn[l->tables], e) ||
        pal_grants_seed(m->hv, m->domain, grants, 2, e))
        return -1;
    return start_vcpu(m, in, e);
}

int pal_build(struct pal_hv *hv, uint32_t domain, struct pal_build *b, struct pal_error *e)
{
    struct guest_memory memory = {
        .hv = hv, .domain = domain, .pages = b->memory_kib >> 2, .progress = b->progress};
    struct input in;
    int rc;

    pal_progress_phase(b->progress, PAL_BUILD_KERNEL, 0);
    if (input_open(&in, b, e))
        return -1;
    pal_progress_phase(b->progress, PAL_BUILD_MEMORY, b->memory_kib << 10);
    rc = guest_memory_make(&memory, e);
    pal_set_memory_map(hv, domain, b->max_kib << 10);
    if (!rc)
        rc = fill(&memory, &in, b, e);
    guest_memory_free(&memory);
    input_close(&in);
    return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * A domain made of the program we are ourselves: its ELF file is our module. In its memory come, from frame 0 on, the program, the
 * list of frames, start info, the store's page, the console's, the page tables, a stack; all of its frames are mapped
 * from START_VIRT_BASE on.
 */
#define __XEN_TOOLS__ 1
#include <bare/console.h>
#include <bare/control.h>
#include <bare/mm.h>
#include <bare/start.h>
#include <bare/string.h>
#include <xen/domctl.h>

#define MODULE 0xffff8b0000000000ul /* where we map the file */
#define SPARE  640u                 /* frames beyond the program and what comes with it */

struct layout {
    uint64_t program, p2m, start_info, store, console, tables, l1_tables, stack;
};

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum;
};

struct elf_segment {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

static const struct elf_header *module(void)
{
    static bool mapped;
    uint64_t pages = (start_info->mod_len + MM_PAGE - 1) / MM_PAGE;

    if (!(start_info->flags & SIF_MOD_START_PFN) || !pages)
        console_panic("no module: a copy of this program is wanted");
    for (uint64_t i = 0; !mapped && i < pages; i++)
        if (mm_map(mm_root(), MODULE + i * MM_PAGE, mm_entry(start_info->mod_start + i, PTE_RO)))
            console_panic("module page %lu", i);
    mapped = true;
    return (const struct elf_header *)MODULE;
}

static const struct elf_segment *program(void)
{
    const struct elf_header *e = module();
    const struct elf_segment *s = (const struct elf_segment *)(MODULE + e->phoff);

    for (unsigned int i = 0; i < e->phnum; i++)
        if (s[i].type == 1)
            return &s[i];
    console_panic("no program in the module");
}

static struct layout plan(struct control_domain *d)
{
    const struct elf_segment *s = program();
    struct layout l;
    uint64_t at = (s->paddr + s->memsz + MM_PAGE - 1) / MM_PAGE;

    d->pages = at + SPARE;
    if (d->pages > CONTROL_PAGES_MAX)
        console_panic("the program is too large to be a guest of itself");
    l.program = s->paddr / MM_PAGE;
    l.p2m = at;
    at += (d->pages * 8 + MM_PAGE - 1) / MM_PAGE;
    l.start_info = at++;
    l.store = at++;
    l.console = at++;
    l.tables = at;
    l.l1_tables = (d->pages + 511) / 512;
    l.stack = at + 3 + l.l1_tables;
    return l;
}

static void write_frame(const struct control_domain *d, uint64_t pfn, const void *from, uint64_t n)
{
    char *to = control_window(0, d->id, d->mfns[pfn]);

    if (!to)
        console_panic("frame %lx of domain %u cannot be mapped", pfn, d->id);
    memcpy(to, from, n);
    control_window_close(0);
}

static void write_bytes(const struct control_domain *d, uint64_t pfn, const void *from, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += MM_PAGE)
        write_frame(d, pfn + i / MM_PAGE, (const char *)from + i,
                    n - i < MM_PAGE ? n - i : MM_PAGE);
}

static void write_tables(const struct control_domain *d, const struct layout *l)
{
    static uint64_t t[512];
    uint64_t base = START_VIRT_BASE, l1 = l->tables + 3;

    memset(t, 0, sizeof(t));
    t[mm_index(base, 4)] = d->mfns[l->tables + 1] * MM_PAGE | PTE_RW;
    write_frame(d, l->tables, t, MM_PAGE);
    memset(t, 0, sizeof(t));
    t[mm_index(base, 3)] = d->mfns[l->tables + 2] * MM_PAGE | PTE_RW;
    write_frame(d, l->tables + 1, t, MM_PAGE);
    memset(t, 0, sizeof(t));
    for (uint64_t i = 0; i < l->l1_tables; i++)
        t[mm_index(base, 2) + i] = d->mfns[l1 + i] * MM_PAGE | PTE_RW;
    write_frame(d, l->tables + 2, t, MM_PAGE);
    for (uint64_t i = 0; i < l->l1_tables; i++) {
        memset(t, 0, sizeof(t));
        for (uint64_t pfn = i * 512; pfn < (i + 1) * 512 && pfn < d->pages; pfn++)
            t[pfn - i * 512] =
                d->mfns[pfn] * MM_PAGE | (pfn >= l->tables && pfn < l->stack ? PTE_RO : PTE_RW);
        write_frame(d, l1 + i, t, MM_PAGE);
    }
}

static long write_start_info(struct control_domain *d, const struct layout *l, const char *words)
{
    static struct start_info si;
    struct xen_domctl_getdomaininfo info = {0};
    long ret = control_domctl(XEN_DOMCTL_getdomaininfo, d->id, &info, sizeof(info));
    long store = control_unbound_port(d->id, 0), console = control_unbound_port(d->id, 0);

    if (ret || store < 0 || console < 0)
        return ret ? ret : store < 0 ? store : console;
    d->shared_mfn = info.shared_info_frame;
    d->root_mfn = d->mfns[l->tables];
    d->store_mfn = d->mfns[l->store];
    d->console_mfn = d->mfns[l->console];
    d->store_port = (unsigned int)store;
    d->console_port = (unsigned int)console;
    memset(&si, 0, sizeof(si));
    memcpy(si.magic, "xen-3.0-x86_64", sizeof("xen-3.0-x86_64"));
    si.nr_pages = d->pages;
    si.shared_info = d->shared_mfn * MM_PAGE;
    si.store_mfn = d->store_mfn;
    si.store_evtchn = d->store_port;
    si.console.domU.mfn = d->console_mfn;
    si.console.domU.evtchn = d->console_port;
    si.pt_base = START_VIRT_BASE + l->tables * MM_PAGE;
    si.nr_pt_frames = l->stack - l->tables;
    si.mfn_list = START_VIRT_BASE + l->p2m * MM_PAGE;
    memcpy(si.cmd_line, words, strlen(words) + 1);
    write_bytes(d, l->start_info, &si, sizeof(si));
    return 0;
}

static long start(const struct control_domain *d, const struct layout *l)
{
    static struct vcpu_guest_context c;
    struct xen_domctl_vcpucontext v = {.vcpu = 0};
    struct mmuext_op pin = {.cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = d->mfns[l->tables]};
    long ret = hc_mmuext(&pin, 1, NULL, d->id);

    if (ret)
        return ret;
    memset(&c, 0, sizeof(c));
    c.flags = VGCF_in_kernel | VGCF_online;
    c.user_regs.rip = module()->entry;
    c.user_regs.rsp = START_VIRT_BASE + (l->stack + 1) * MM_PAGE;
    c.user_regs.rsi = START_VIRT_BASE + l->start_info * MM_PAGE;
    c.user_regs.rflags = 0x200;
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = FLAT_KERNEL_SS;
    c.kernel_ss = FLAT_KERNEL_SS;
    c.kernel_sp = c.user_regs.rsp;
    c.ctrlreg[3] = xen_pfn_to_cr3(d->mfns[l->tables]);
    set_xen_guest_handle(v.ctxt, &c);
    return control_domctl(XEN_DOMCTL_setvcpucontext, d->id, &v, sizeof(v));
}

long control_build(struct control_domain *d, unsigned int id, unsigned int vcpus, const char *words)
{
    const struct elf_segment *s = program();
    struct layout l = plan(d);
    long ret = control_create(id, vcpus);

    if (ret < 0)
        return ret;
    d->id = (unsigned int)ret;
    d->vcpus = vcpus;
    if (control_populate(d->id, d->pages, d->mfns) != (long)d->pages)
        return -XEN_ENOMEM;
    write_bytes(d, l.program, (const void *)(MODULE + s->offset), s->filesz);
    write_bytes(d, l.p2m, d->mfns, d->pages * 8);
    write_tables(d, &l);
    ret = write_start_info(d, &l, words);
    return ret ? ret : start(d, &l);
}

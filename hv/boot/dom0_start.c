/* SPDX-License-Identifier: MIT */
#include "dom0_start.h"

#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "dev/dev.h"
#include <xen/errno.h>

#define MAGIC "xen-3.0-x86_64"

static uint64_t va_of(const struct elf_image *image, uint64_t pfn)
{
    return image->virt_base + (pfn << PAGE_SHIFT);
}

/* ---- command line ---- */

static const char *skip_spaces(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static const char *skip_word(const char *p)
{
    while (*p && *p != ' ' && *p != '\t')
        p++;
    return skip_spaces(p);
}

static bool has_word(const char *line, const char *beginning)
{
    for (const char *p = skip_spaces(line); *p; p = skip_word(p))
        if (strncmp(p, beginning, strlen(beginning)) == 0)
            return true;
    return false;
}

const char *dom0_start_cmdline(const struct boot_info *info)
{
    const char *p = skip_spaces(info->modules[0].cmdline);
    const char *after;

    /* GRUB 2 leaves a module's name out; others (QEMU among them) put it first. */
    if (strncmp(info->loader, "GRUB 2", 6) != 0 && strncmp(info->loader, "GRUB  2", 7) != 0)
        p = skip_word(p);
    after = skip_word(p);
    if (strncmp(p, "placeholder", 11) == 0 && (p[11] == ' ' || p[11] == '\t' || !p[11]))
        p = after;
    return p;
}

/* ---- console information ---- */

static void describe_framebuffer(dom0_vga_console_info_t *c)
{
    uint64_t bytes = (uint64_t)boot_info.framebuffer.pitch * boot_info.framebuffer.height;

    c->video_type = boot_info.efi ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB;
    c->u.vesa_lfb.width = (uint16_t)boot_info.framebuffer.width;
    c->u.vesa_lfb.height = (uint16_t)boot_info.framebuffer.height;
    c->u.vesa_lfb.bytes_per_line = (uint16_t)boot_info.framebuffer.pitch;
    c->u.vesa_lfb.bits_per_pixel = boot_info.framebuffer.bpp;
    c->u.vesa_lfb.lfb_base = (uint32_t)boot_info.framebuffer.address;
    c->u.vesa_lfb.ext_lfb_base = (uint32_t)(boot_info.framebuffer.address >> 32);
    c->u.vesa_lfb.lfb_size = (uint32_t)DIV_ROUND_UP(bytes, KiB(64));
    c->u.vesa_lfb.red_pos = boot_info.framebuffer.red_pos;
    c->u.vesa_lfb.red_size = boot_info.framebuffer.red_size;
    c->u.vesa_lfb.green_pos = boot_info.framebuffer.green_pos;
    c->u.vesa_lfb.green_size = boot_info.framebuffer.green_size;
    c->u.vesa_lfb.blue_pos = boot_info.framebuffer.blue_pos;
    c->u.vesa_lfb.blue_size = boot_info.framebuffer.blue_size;
}

static void describe_text(dom0_vga_console_info_t *c)
{
    c->video_type = XEN_VGATYPE_TEXT_MODE_3;
    c->u.text_mode_3.font_height = 16;
    c->u.text_mode_3.rows = 25;
    c->u.text_mode_3.columns = 80;
    c->u.text_mode_3.cursor_y = 24;
}

#define FRAMEBUFFER_RGB  1 /* multiboot's types */
#define FRAMEBUFFER_TEXT 2

/* Returns false when the machine has no display that we were told of. */
static bool describe_console(dom0_vga_console_info_t *c)
{
    if (boot_info.framebuffer.present && boot_info.framebuffer.type == FRAMEBUFFER_RGB) {
        describe_framebuffer(c);
        return true;
    }
    if (boot_info.efi ||
        (boot_info.framebuffer.present && boot_info.framebuffer.type != FRAMEBUFFER_TEXT))
        return false;
    describe_text(c);
    return true;
}

/* ---- start info ---- */

static void copy_cmdline(struct start_info *si, const char *cmdline)
{
    size_t n = strnlen(cmdline, MAX_GUEST_CMDLINE);

    if (n == MAX_GUEST_CMDLINE) {
        n = MAX_GUEST_CMDLINE - 1;
        log_warn("domain 0's command line is longer than %u characters and cut",
                 MAX_GUEST_CMDLINE - 1);
    }
    memcpy(si->cmd_line, cmdline, n);
}

#define BIOS_END 0x100000 /* kernels search the area below for the root pointer themselves */

/* Firmware without a BIOS area (UEFI) has the ACPI root pointer anywhere, and kernels know one way to be told
 * of it without firmware services: a word of their command line. One that is there already counts. */
static void add_root_pointer(struct start_info *si)
{
    char *line = (char *)si->cmd_line;
    size_t used = strnlen(line, MAX_GUEST_CMDLINE);
    char word[32];
    size_t n = (size_t)format(word, sizeof(word), " acpi_rsdp=%#lx", acpi_rsdp);

    if (acpi_rsdp < BIOS_END || has_word(line, "acpi_rsdp="))
        return;
    if (used + n >= MAX_GUEST_CMDLINE) {
        log_warn("domain 0's command line has no room for%s", word);
        return;
    }
    memcpy(line + used, word, n);
}

void dom0_start_info(const struct dom0_memory *m, const struct dom0_layout *l,
                     const struct elf_image *image, const char *cmdline, uint64_t initrd_size)
{
    uint8_t *page = dom0_memory_page(m, l->start_info);
    struct start_info *si = (struct start_info *)page;

    _Static_assert(sizeof(*si) + sizeof(dom0_vga_console_info_t) <= PAGE_SIZE, "both on one page");
    memset(page, 0, PAGE_SIZE);
    memcpy(si->magic, MAGIC, sizeof(MAGIC));
    si->nr_pages = l->nr_pages;
    si->shared_info = m->d->shared_mfn.n << PAGE_SHIFT;
    si->flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
    si->pt_base = va_of(image, l->tables);
    si->nr_pt_frames = l->stack - l->tables;
    si->mfn_list = l->p2m_va;
    if (l->p2m_tables) {
        si->first_p2m_pfn = l->p2m;
        si->nr_p2m_frames = l->p2m_pages + dom0_layout_p2m_table_pages(l);
    }
    if (initrd_size) {
        si->mod_len = initrd_size;
        si->mod_start = image->mod_start_pfn ? l->initrd : va_of(image, l->initrd);
        if (image->mod_start_pfn)
            si->flags |= SIF_MOD_START_PFN;
    }
    copy_cmdline(si, cmdline);
    add_root_pointer(si);
    if (describe_console((dom0_vga_console_info_t *)(page + sizeof(*si)))) {
        si->console.dom0.info_off = sizeof(*si);
        si->console.dom0.info_size = sizeof(dom0_vga_console_info_t);
    }
}

/* ---- the first vCPU ---- */

int dom0_start_vcpu(struct vcpu *v, const struct dom0_layout *l, const struct elf_image *image,
                    mfn_t root)
{
    struct vcpu_guest_context *c = heap_alloc(sizeof(*c)); /* 5 KiB: too much for a stack */
    int error;

    if (!c)
        return -XEN_ENOMEM;
    c->flags = VGCF_in_kernel;
    c->user_regs.rip = image->entry;
    c->user_regs.rsp = va_of(image, l->stack + 1);
    c->user_regs.rsi = va_of(image, l->start_info);
    c->user_regs.rflags = 1u << 9; /* interrupts: the virtual flag is the upcall mask below */
    c->user_regs.cs = FLAT_KERNEL_CS;
    c->user_regs.ss = FLAT_KERNEL_SS;
    c->user_regs.ds = c->user_regs.es = c->user_regs.fs = c->user_regs.gs = FLAT_KERNEL_DS;
    c->kernel_ss = FLAT_KERNEL_SS;
    c->kernel_sp = c->user_regs.rsp;
    c->ctrlreg[3] = root.n << PAGE_SHIFT;
    error = vcpu_set_context(v, c);
    heap_free(c);
    return error;
}

/* SPDX-License-Identifier: MIT */
/* ACPI's root: from the loader's hint or the BIOS area to the tables that we read. */
#include "acpi.h"
#include "base/boot_info.h"
#include "base/log.h"
#include "base/string.h"
#include "dev/dev.h"
#include "x86/paging.h"

#define MAX_TABLE_SIZE MiB(4)

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length; /* from revision 2 on */
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __packed;

#define RSDP_V1_SIZE 20

uint64_t acpi_rsdp;

static bool sum_is_zero(const void *p, size_t n)
{
    uint8_t sum = 0;
    for (const uint8_t *b = p; n > 0; n--)
        sum = (uint8_t)(sum + *b++);
    return sum == 0;
}

static bool is_rsdp(const struct rsdp *r)
{
    return memcmp(r->signature, "RSD PTR ", 8) == 0 && sum_is_zero(r, RSDP_V1_SIZE);
}

static uint64_t search(const char *area, uint64_t start, size_t size)
{
    for (size_t at = 0; at + sizeof(struct rsdp) <= size; at += 16)
        if (is_rsdp((const struct rsdp *)(area + at)))
            return start + at;
    return 0;
}

static uint64_t search_bios(void)
{
    uint64_t found = 0;
    const uint16_t *bda = map_firmware(0x400, 16);
    uint64_t ebda = (uint64_t)bda[7] << 4;
    if (ebda >= KiB(512) && ebda < KiB(639))
        found = search(map_firmware(ebda, 1024), ebda, 1024);
    return found ? found : search(map_firmware(0xe0000, 0x20000), 0xe0000, 0x20000);
}

const struct acpi_header *acpi_map_table(uint64_t address)
{
    if (!address)
        return NULL;
    const struct acpi_header *t = map_firmware(address, sizeof(*t));
    uint32_t length = t->length;
    if (length >= sizeof(*t) && length <= MAX_TABLE_SIZE) {
        t = map_firmware(address, length);
        if (sum_is_zero(t, length))
            return t;
    }
    log_warn("ACPI: the table at %#lx is damaged and ignored", address);
    return NULL;
}

static void take_table(uint64_t address)
{
    static const struct {
        const char *signature;
        void (*take)(const struct acpi_header *t);
    } known[] = {{"APIC", acpi_take_madt},
                 {"FACP", acpi_take_fadt},
                 {"HPET", acpi_take_hpet},
                 {"MCFG", acpi_take_mcfg}};
    const struct acpi_header *t = acpi_map_table(address);
    for (unsigned i = 0; t && i < ARRAY_SIZE(known); i++)
        if (memcmp(t->signature, known[i].signature, 4) == 0)
            known[i].take(t);
}

/* The root table lists addresses of 4 or 8 bytes, not aligned. */
static void take_root(uint64_t address, size_t width)
{
    const struct acpi_header *root = acpi_map_table(address);
    if (!root)
        panic("ACPI: no sound root table");
    for (size_t at = sizeof(*root); at + width <= root->length; at += width) {
        uint64_t table = 0;
        memcpy(&table, (const char *)root + at, width);
        take_table(table);
    }
}

void acpi_init(uint64_t rsdp_hint)
{
    /* A BIOS loader's hint may be a copy of its own; the original is better, since domain 0 looks
     * there. */
    acpi_rsdp = boot_info.efi ? 0 : search_bios();
    if (!acpi_rsdp)
        acpi_rsdp = rsdp_hint;
    if (!acpi_rsdp)
        panic("ACPI: no root pointer");
    const struct rsdp *r = map_firmware(acpi_rsdp, sizeof(*r));
    if (!is_rsdp(r))
        panic("ACPI: no root pointer at %#lx", acpi_rsdp);
    if (r->revision >= 2 && r->xsdt)
        take_root(r->xsdt, 8);
    else
        take_root(r->rsdt, 4);
    if (acpi_cpu_count == 0)
        panic("ACPI: no table names a CPU");
    log_info("ACPI: root at %#lx, %u CPUs, %u I/O APICs%s%s", acpi_rsdp, acpi_cpu_count,
             acpi_ioapic_count, acpi_hpet_address ? ", HPET" : "",
             acpi_mcfg_count ? ", PCI configuration in memory" : "");
}

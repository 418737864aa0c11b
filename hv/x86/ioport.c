/* SPDX-License-Identifier: MIT */
/*
 * Port input and output of guests.
 *
 * May the instruction be used at all? Guest kernel mode: with a virtual I/O privilege level of 1 or
 * more (PHYSDEVOP_set_iopl); user mode: with level 3; else for ports whose bit is clear in the
 * vCPU's bitmap (PHYSDEVOP_set_iobitmap), which lies in guest memory. If not: a general-protection
 * fault.
 *
 * What is behind the port? For a domain without devices nothing: ones are read, writes are lost, as
 * on a bus where no one answers (stock kernels probe a few ports). For domain 0 the machine's port,
 * but for those that the hypervisor needs for itself: table `owned`.
 */
#include "base/bits.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "core/domain.h"
#include "core/uaccess.h"
#include "dev/console.h"
#include "dev/dev.h"
#include "emulate.h"
#include "operand.h"
#include "x86/insn.h"

#define PORTS 0x10000

static uint32_t all_ones(unsigned size)
{
    return ~0u >> (32 - 8 * size);
}

/* ---- the machine's ports ---- */

static uint32_t port_in(unsigned port, unsigned size)
{
    return size == 1 ? inb((uint16_t)port) : size == 2 ? inw((uint16_t)port) : inl((uint16_t)port);
}

static void port_out(unsigned port, unsigned size, uint32_t value)
{
    if (size == 1)
        outb((uint16_t)port, (uint8_t)value);
    else if (size == 2)
        outw((uint16_t)port, (uint16_t)value);
    else
        outl((uint16_t)port, value);
}

/* ---- ports that are not simply the machine's ---- */

/*
 * State behind domain 0's view of ports with an index or a sequence, under `lock`. One set, as one
 * domain has the devices.
 */
static spinlock_t lock = SPINLOCK_INIT;
static uint8_t cmos_index;
static uint8_t keyboard_command;
static uint32_t pci_address;

static uint32_t absent_read(unsigned port)
{
    (void)port;
    return 0xff;
}

static void absent_write(struct domain *d, unsigned port, uint8_t value)
{
    (void)d, (void)port, (void)value;
}

static uint32_t plain_read(unsigned port)
{
    return inb((uint16_t)port);
}

/* The index is kept here and written together with each access, whoever used the chip in between.
 * Bit 7 would mask non-maskable interrupts. */
static uint32_t cmos_read(unsigned port)
{
    if (!(port & 1))
        return 0xff;
    spin_lock(&lock);
    outb(0x70, cmos_index);
    uint8_t v = inb(0x71);
    spin_unlock(&lock);
    return v;
}

static void cmos_write(struct domain *d, unsigned port, uint8_t value)
{
    (void)d;
    spin_lock(&lock);
    if (port & 1) {
        outb(0x70, cmos_index);
        outb(0x71, value);
    } else {
        cmos_index = value & 0x7f;
    }
    spin_unlock(&lock);
}

/* The keyboard controller can pull the reset line: by commands 0xf0..0xff with bit 0 clear, and by
 * its output port (command 0xd1), whose bit 0 stays set here. */
static void keyboard_write(struct domain *d, unsigned port, uint8_t value)
{
    bool reset = port == 0x64 && value >= 0xf0 && !(value & 1);

    if (!reset) {
        spin_lock(&lock);
        if (port == 0x64)
            keyboard_command = value;
        else if (keyboard_command == 0xd1)
            value |= 1;
        if (port == 0x60)
            keyboard_command = 0;
        outb((uint16_t)port, value);
        spin_unlock(&lock);
    } else {
        domain_shutdown(d, SHUTDOWN_reboot);
    }
}

/* System control port A: bit 0 is a fast reset. */
static void control_a_write(struct domain *d, unsigned port, uint8_t value)
{
    if (value & 1)
        domain_shutdown(d, SHUTDOWN_reboot);
    else
        outb((uint16_t)port, value);
}

/* Reset control register of the chipset: bit 2 starts the reset. Its other bits only choose the
 * kind. */
static uint32_t reset_read(unsigned port)
{
    (void)port;
    return 0;
}

static void reset_write(struct domain *d, unsigned port, uint8_t value)
{
    (void)port;
    if (value & 4)
        domain_shutdown(d, SHUTDOWN_reboot);
}

/* Handled byte by byte, whatever the width of the access. */
static const struct owned_ports {
    uint16_t first, last;
    uint32_t (*read)(unsigned port);
    void (*write)(struct domain *d, unsigned port, uint8_t value);
} owned[] = {
    {0x20, 0x21, absent_read, absent_write}, /* interrupt controllers */
    {0x40, 0x43, absent_read, absent_write}, /* interval timer */
    {0x60, 0x60, plain_read, keyboard_write},
    {0x61, 0x61, absent_read, absent_write}, /* its gate, and reasons of non-maskable interrupts */
    {0x64, 0x64, plain_read, keyboard_write},
    {0x70, 0x71, cmos_read, cmos_write},
    {0x92, 0x92, plain_read, control_a_write},
    {0xa0, 0xa1, absent_read, absent_write},
    {0x4d0, 0x4d1, plain_read, absent_write},  /* edge or level of the interrupt controllers */
    {0xcf8, 0xcf8, absent_read, absent_write}, /* only whole: pci_address */
    {0xcf9, 0xcf9, reset_read, reset_write},
    {0xcfa, 0xcfb, absent_read, absent_write},
};

static const struct owned_ports *find_owned(unsigned port)
{
    static const struct owned_ports serial = {0, 0, absent_read, absent_write};

    for (unsigned i = 0; i < ARRAY_SIZE(owned); i++)
        if (port >= owned[i].first && port <= owned[i].last)
            return &owned[i];
    return console_owns_port(port) ? &serial : NULL;
}

static bool touches_owned(unsigned port, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        if (find_owned(port + i))
            return true;
    return false;
}

/* ---- PCI configuration ---- */

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc
#define PCI_ENABLE  BIT(31)

/* The function and register behind data port `port` now. False: none. */
static bool pci_selected(unsigned port, uint32_t *sbdf, unsigned *reg)
{
    uint32_t a = pci_address;
    *sbdf = (a >> 8) & 0xffff;
    *reg = (a & 0xfc) | (port & 3);
    return (a & PCI_ENABLE) && !(a & 0x7f000000);
}

static uint32_t pci_port_read(unsigned port, unsigned size)
{
    uint32_t sbdf;
    unsigned reg;

    if (!pci_selected(port, &sbdf, &reg) || (port & (size - 1)))
        return all_ones(size);
    return pci_read(sbdf, reg, size);
}

static void pci_port_write(unsigned port, unsigned size, uint32_t value)
{
    uint32_t sbdf;
    unsigned reg;

    if (pci_selected(port, &sbdf, &reg) && !(port & (size - 1)) &&
        pci_guest_may_write(sbdf, reg, size))
        pci_write(sbdf, reg, size, value);
}

static bool is_pci_data(unsigned port, unsigned size)
{
    return port >= PCI_DATA && port + size <= PCI_DATA + 4;
}

/* ---- ACPI ---- */

#define SLEEP_ENABLE 13 /* bit of PM1 control: enter the sleep state chosen */

/* Domain 0 may use PM1 control, but falls asleep by hypercall only. */
static uint32_t filter_sleep(unsigned port, unsigned size, uint32_t value, unsigned pm1)
{
    if (!pm1 || port + size <= pm1 || port >= pm1 + 2)
        return value;
    int bit = SLEEP_ENABLE + 8 * ((int)pm1 - (int)port);
    return bit >= 0 && bit < 32 ? value & ~(1u << bit) : value;
}

static bool is_reset_register(unsigned port, uint32_t value)
{
    return acpi_fadt.reset_supported && acpi_fadt.reset_space == 1 /* ports */ &&
           acpi_fadt.reset_address == port && (uint8_t)value == acpi_fadt.reset_value;
}

/* ---- one access ---- */

static uint32_t guest_in(struct domain *d, unsigned port, unsigned size)
{
    uint32_t value = 0;

    if (!d->mm.privileged || port + size > PORTS)
        return all_ones(size);
    if (port == PCI_ADDRESS && size == 4)
        return pci_address;
    if (is_pci_data(port, size))
        return pci_port_read(port, size);
    if (likely(!touches_owned(port, size)))
        return port_in(port, size);
    for (unsigned i = 0; i < size; i++) {
        const struct owned_ports *o = find_owned(port + i);
        value |= (o ? o->read(port + i) & 0xff : inb((uint16_t)(port + i))) << (8 * i);
    }
    return value;
}

static void guest_out(struct domain *d, unsigned port, unsigned size, uint32_t value)
{
    if (!d->mm.privileged || port + size > PORTS)
        return;
    if (port == PCI_ADDRESS && size == 4) {
        pci_address = value;
        return;
    }
    if (is_pci_data(port, size)) {
        pci_port_write(port, size, value);
        return;
    }
    if (unlikely(is_reset_register(port, value))) {
        domain_shutdown(d, SHUTDOWN_reboot);
        return;
    }
    value = filter_sleep(port, size, value, acpi_fadt.pm1a_cnt);
    value = filter_sleep(port, size, value, acpi_fadt.pm1b_cnt);
    if (likely(!touches_owned(port, size))) {
        port_out(port, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        const struct owned_ports *o = find_owned(port + i);
        uint8_t byte = (uint8_t)(value >> (8 * i));
        if (o)
            o->write(d, port + i, byte);
        else
            outb((uint16_t)(port + i), byte);
    }
}

/* ---- rights ---- */

/* Are the bits of all these ports clear in the vCPU's bitmap? Ports beyond it are denied. */
static bool bitmap_allows(struct vcpu *v, unsigned port, unsigned size)
{
    uint8_t bytes[2] = {0xff, 0xff};
    unsigned first = port / 8, last = (port + size - 1) / 8;

    if (port + size > v->iobmp_limit)
        return false;
    /* It lies in the guest kernel's memory, which user mode's root need not show. */
    if (!v->in_kernel)
        write_cr3(v->kernel_cr3);
    bool read = !copy_from_guest(bytes, (uint64_t)v->iobmp + first, last - first + 1);
    if (!v->in_kernel)
        write_cr3(v->user_cr3);
    return read && !(((bytes[0] | (unsigned)bytes[1] << 8) >> port % 8) & ((1u << size) - 1));
}

static bool io_allowed(struct vcpu *v, unsigned port, unsigned size)
{
    return v->iopl >= (v->in_kernel ? 1 : 3) || bitmap_allows(v, port, size);
}

/* ---- string forms ---- */

#define STRING_BYTES 256

/* Elements to move in this turn: within one page and the buffer, one at a time backwards or across
 * pages. */
static unsigned string_batch(uint64_t va, unsigned size, uint64_t count, bool backwards)
{
    uint64_t in_page = (PAGE_SIZE - (va & ~PAGE_MASK)) / size;
    if (backwards || !in_page)
        return 1;
    return (unsigned)min(count, min(in_page, (uint64_t)(STRING_BYTES / size)));
}

/* Move n elements between port and guest memory at va. False: a fault was delivered, nothing moved.
 */
static bool move_elements(struct vcpu *v, const struct insn *insn, unsigned port, uint64_t va,
                          unsigned n)
{
    uint8_t buffer[STRING_BYTES];
    unsigned bytes = n * insn->size;
    bool in = insn->op == INSN_INS;

    /* What a device has given is gone: look whether it will have a place. */
    if (in ? !emulate_writable(v, va, bytes) : copy_from_guest(buffer, va, bytes)) {
        emulate_access_fault(v, va, bytes, in);
        return false;
    }
    for (unsigned i = 0; i < bytes; i += insn->size) {
        uint32_t value = 0;
        if (in) {
            value = guest_in(v->domain, port, insn->size);
            memcpy(buffer + i, &value, insn->size);
        } else {
            memcpy(&value, buffer + i, insn->size);
            guest_out(v->domain, port, insn->size, value);
        }
    }
    if (in && copy_to_guest(va, buffer, bytes)) {
        emulate_access_fault(v, va, bytes, true);
        return false;
    }
    return true;
}

/* Add to an address or count register, 64 or 32 bits wide by the address size. */
static void advance(uint64_t *reg, int64_t by, bool addr32)
{
    *reg = addr32 ? (uint32_t)(*reg + (uint64_t)by) : *reg + (uint64_t)by;
}

/* A part of a repeated instruction per turn: rip stays until the count is 0, so interrupts get in
 * between. */
static void emulate_string(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    bool in = insn->op == INSN_INS, backwards = regs->rflags & RFLAGS_DF;
    uint64_t *pointer = in ? &regs->rdi : &regs->rsi;
    uint64_t count = insn->rep ? regs->rcx : 1, va = *pointer;

    if (insn->addr32) {
        va = (uint32_t)va;
        count = (uint32_t)count;
    }
    if (!in)
        va += guest_segment_base(v, regs, insn->segment);
    if (count) {
        unsigned n = string_batch(va, insn->size, count, backwards);
        if (!move_elements(v, insn, (uint16_t)regs->rdx, va, n))
            return;
        int64_t bytes = (int64_t)n * insn->size;
        advance(pointer, backwards ? -bytes : bytes, insn->addr32);
        if (insn->rep)
            advance(&regs->rcx, -(int64_t)n, insn->addr32);
        count -= n;
    }
    if (!count)
        emulate_done(v, regs, insn);
}

bool ioport_emulate(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    unsigned port = insn->has_imm ? (uint8_t)insn->imm : (uint16_t)regs->rdx;

    if (!io_allowed(v, port, insn->size))
        return false;
    switch (insn->op) {
    case INSN_IN:
        operand_write(regs, 0, insn->size, guest_in(v->domain, port, insn->size));
        break;
    case INSN_OUT:
        guest_out(v->domain, port, insn->size, (uint32_t)regs->rax);
        break;
    default:
        emulate_string(v, regs, insn);
        return true;
    }
    emulate_done(v, regs, insn);
    return true;
}

/* SPDX-License-Identifier: MIT */
/*
 * The end of the hypervisor: say why, show registers and the way here, stop the other CPUs, then
 * reboot or stay (option noreboot). Trusts nothing but its own stack and the console.
 */
#include "x86/crash.h"
#include "base/boot_info.h"
#include "base/check.h"
#include "base/format.h"
#include "base/log.h"
#include "dev/console.h"
#include "dev/dev.h"
#include "dev/lapic.h"
#include "x86/cpu.h"
#include "x86/insn.h"
#include "x86/symbols.h"

#define MAX_BACKTRACE 32

extern const char image_start[], init_text_end[];

static unsigned crashing = ~0u; /* id of the CPU that is dying first */

static const char *symbol_of(uint64_t address, uint64_t *offset)
{
    if (address < (uintptr_t)image_start || address >= (uintptr_t)init_text_end)
        return NULL;
    uint64_t at = address - IMAGE_BASE;
    uint64_t low = 0, high = symbol_count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (symbol_table[middle].offset <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    *offset = at - symbol_table[low - 1].offset;
    return symbol_names + symbol_table[low - 1].name;
}

static void print_frame(uint64_t address)
{
    uint64_t offset = 0;
    const char *name = symbol_of(address, &offset);
    if (name)
        log_error("  %016lx %s+%#lx", address, name, offset);
    else
        log_error("  %016lx", address);
}

/* Follow saved frame pointers upward within one stack. */
static void backtrace(uint64_t rip, uint64_t rbp, uint64_t rsp)
{
    uint64_t end = (rsp | (STACK_SIZE - 1)) + 1 - sizeof(struct stack_top);
    log_error("call trace:");
    print_frame(rip);
    for (unsigned i = 0; i < MAX_BACKTRACE; i++) {
        if (rbp < rsp || rbp % 8 || rbp + 16 > end)
            break;
        const uint64_t *frame = (const uint64_t *)rbp;
        if (frame[1] == 0)
            break;
        print_frame(frame[1] - 1);
        if (frame[0] <= rbp)
            break;
        rbp = frame[0];
    }
}

void crash_print_registers(const struct regs *r)
{
    log_error("rip %04lx:%016lx  rsp %04lx:%016lx  flags %08lx", r->cs, r->rip, r->ss, r->rsp,
              r->rflags);
    log_error("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
    log_error("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", r->rsi, r->rdi, r->rbp, r->r8);
    log_error("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", r->r9, r->r10, r->r11, r->r12);
    log_error("r13 %016lx  r14 %016lx  r15 %016lx", r->r13, r->r14, r->r15);
    log_error("cr0 %08lx  cr2 %016lx  cr3 %012lx  cr4 %08lx", read_cr0(), read_cr2(), read_cr3(),
              read_cr4());
    if ((r->cs & 3) == 0)
        backtrace(r->rip, r->rbp, r->rsp);
}

static __noreturn void stop_here(void)
{
    irq_disable();
    for (;;)
        __asm__ volatile("hlt");
}

/* The first CPU here goes on; others stop, and so does the first when it fails again. */
static void begin(void)
{
    irq_disable();
    unsigned none = ~0u, self = this_cpu() ? this_cpu()->id : 0;
    if (!compare_exchange(&crashing, &none, self)) {
        if (none == self)
            console_write_line("failed again while reporting a failure", 38);
        stop_here();
    }
    console_break_lock();
    lapic_nmi_others();
}

static __noreturn void end(void)
{
    if (boot_options.noreboot) {
        log_error("stopped (noreboot)");
        stop_here();
    }
    log_error("rebooting");
    machine_reboot();
}

static const char *exception_name(unsigned vector)
{
    static const char *const names[32] = {
        [EXC_DE] = "divide error",
        [EXC_DB] = "debug exception",
        [EXC_UD] = "invalid opcode",
        [EXC_DF] = "double fault",
        [EXC_TS] = "invalid TSS",
        [EXC_NP] = "segment not present",
        [EXC_SS] = "stack fault",
        [EXC_PF] = "page fault",
        [EXC_MC] = "machine check",
        [EXC_GP] = "general protection",
        [EXC_NMI] = "non-maskable interrupt",
    };
    return vector < 32 && names[vector] ? names[vector] : "exception";
}

__noreturn void crash_exception(const struct regs *regs, uint64_t fault_address)
{
    begin();
    log_error("PANIC on CPU %u: %s (vector %u, error %#x, address %016lx)",
              this_cpu() ? this_cpu()->id : 0, exception_name(regs->vector), regs->vector,
              regs->error_code, fault_address);
    crash_print_registers(regs);
    end();
}

void crash_nmi(const struct regs *regs)
{
    static unsigned seen;
    if (load_acquire(&crashing) != ~0u)
        stop_here();
    if (boot_options.nmi_fatal)
        crash_exception(regs, 0);
    if (fetch_add(&seen, 1) == 0)
        console_note_from_nmi("non-maskable interrupt: ignored, and so are others to come");
}

static __noreturn void report(const char *what, uint64_t caller)
{
    uint64_t rbp = (uintptr_t)__builtin_frame_address(0);
    begin();
    log_error("PANIC on CPU %u: %s", this_cpu() ? this_cpu()->id : 0, what);
    backtrace(caller, rbp, rbp);
    end();
}

__noreturn void panic(const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vformat(text, sizeof(text), fmt, ap);
    va_end(ap);
    report(text, (uintptr_t)__builtin_return_address(0));
}

__noreturn void check_failed(const char *file, int line, const char *what)
{
    char text[256];
    format(text, sizeof(text), "%s:%d: CHECK failed: %s", file, line, what);
    report(text, (uintptr_t)__builtin_return_address(0));
}

__noreturn void check_failed_op(const char *file, int line, const char *what, uint64_t left,
                                uint64_t right)
{
    char text[256];
    format(text, sizeof(text), "%s:%d: CHECK failed: %s (%#lx, %#lx)", file, line, what, left,
           right);
    report(text, (uintptr_t)__builtin_return_address(0));
}

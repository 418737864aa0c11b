/* SPDX-License-Identifier: MIT */
/* Text out; the end of the guest. */
#ifndef BARE_CONSOLE_H
#define BARE_CONSOLE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* %s %c %d %u %x %p with l/ll, a width and 0 or - ; one call, one console write: of domain 0 by the
 * hypervisor, of others on the page they share with their console daemon. */
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int console_format(char *out, size_t size, const char *format, va_list args);

extern uint64_t console_written; /* bytes given to the hypervisor */

/* Say why on a line `PANIC ...`, then reboot, which ends a QEMU run with -no-reboot. */
_Noreturn void console_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void console_poweroff(unsigned int reason);

#endif

/* SPDX-License-Identifier: MIT */
/* The console beyond reading and writing (dev.h). */
#ifndef DEV_CONSOLE_H
#define DEV_CONSOLE_H

#include "base/types.h"

/* Take input by interrupt from now on. */
void console_start_input(void);
/* Is this I/O port the console's own (domain 0 must not touch it)? */
bool console_owns_port(unsigned port);
/* A dying CPU writes whoever holds the lock. */
void console_break_lock(void);
/* Write a line, or do nothing when the lock is held: for the NMI handler, which may have
 * interrupted its holder. */
void console_note_from_nmi(const char *s);
/* What the line received (uart.c, in interrupt context). */
void console_receive(char c);

/* --- uart.c, for console.c --- */
void uart_put(char c);
/* Interrupt line of the UART, and its handler's work: receive what is there. */
unsigned uart_irq(void);
void uart_poll_input(void);
void uart_enable_input(void);
bool uart_owns_port(unsigned port);

#endif

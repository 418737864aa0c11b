/* SPDX-License-Identifier: MIT */
/* The console: one serial line out, a ring that keeps what was written, and a queue of what was
 * typed. */
#include "dev/console.h"
#include "base/log.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "core/event.h"
#include "dev/dev.h"
#include "dev/irq.h"

#define RING_SIZE  (256u << 10)
#define INPUT_SIZE 4096u

static spinlock_t lock = SPINLOCK_INIT;
static bool lock_broken;
static char ring[RING_SIZE];
static uint32_t ring_produced, ring_consumed; /* running counts, modulo 2^32 */
static bool in_line;                          /* what was written last ended no line */

static spinlock_t input_lock = SPINLOCK_INIT;
static char input[INPUT_SIZE];
static uint32_t input_produced, input_consumed;

static void enter(void)
{
    if (!lock_broken)
        spin_lock(&lock);
}

static void leave(void)
{
    if (!lock_broken)
        spin_unlock(&lock);
}

void console_break_lock(void)
{
    lock_broken = true;
}

void console_init(void)
{
    ring_produced = ring_consumed = 0;
}

static void ring_put(char c)
{
    ring[ring_produced++ % RING_SIZE] = c;
    if (ring_produced - ring_consumed > RING_SIZE)
        ring_consumed = ring_produced - RING_SIZE;
}

static void put(char c)
{
    if (c == '\n')
        uart_put('\r');
    uart_put(c);
    ring_put(c);
    in_line = c != '\n';
}

void console_write(const char *s, size_t n)
{
    enter();
    for (size_t i = 0; i < n; i++)
        put(s[i]);
    leave();
}

/* One of our own lines, which starts where a line starts, whatever domain 0 has left unfinished. */
static void put_line(const char *s, size_t n)
{
    if (in_line)
        put('\n');
    for (size_t i = 0; i < n; i++)
        put(s[i]);
    put('\n');
}

void console_write_line(const char *s, size_t n)
{
    enter();
    put_line(s, n);
    leave();
}

void console_note_from_nmi(const char *s)
{
    if (!spin_trylock(&lock))
        return;
    put_line(s, strlen(s));
    spin_unlock(&lock);
}

size_t console_ring_read(char *buf, size_t n, uint32_t *index, bool clear)
{
    size_t done = 0;
    enter();
    uint32_t at = *index;
    if (ring_produced - at > ring_produced - ring_consumed)
        at = ring_consumed;
    while (done < n && at != ring_produced)
        buf[done++] = ring[at++ % RING_SIZE];
    *index = at;
    if (clear)
        ring_consumed = ring_produced;
    leave();
    return done;
}

void console_receive(char c)
{
    spin_lock(&input_lock);
    if (input_produced - input_consumed < INPUT_SIZE)
        input[input_produced++ % INPUT_SIZE] = c;
    spin_unlock(&input_lock);
}

size_t console_read_input(char *buf, size_t n)
{
    size_t done = 0;
    spin_lock(&input_lock);
    while (done < n && input_consumed != input_produced)
        buf[done++] = input[input_consumed++ % INPUT_SIZE];
    spin_unlock(&input_lock);
    return done;
}

static void on_interrupt(void)
{
    uint32_t before = load_relaxed(&input_produced);
    uart_poll_input();
    if (load_relaxed(&input_produced) != before)
        event_send_global_virq(VIRQ_CONSOLE);
}

void console_start_input(void)
{
    if (irq_request_isa(uart_irq(), on_interrupt))
        log_warn("console: no interrupt for input");
    else
        uart_enable_input();
}

bool console_owns_port(unsigned port)
{
    return uart_owns_port(port);
}

/* SPDX-License-Identifier: MIT */
/* A 16550 serial port (National Semiconductor PC16550D data sheet). Output is polled, input by
 * interrupt. */
#include "base/bits.h"
#include "base/string.h"
#include "dev/console.h"
#include "dev/dev.h"
#include "x86/insn.h"

enum uart_register {
    UART_DATA = 0,
    UART_IER = 1,
    UART_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5
};

#define LSR_DATA_READY  BIT(0)
#define LSR_TX_EMPTY    BIT(5)
#define LCR_DLAB        0x80
#define IER_RECEIVED    0x01
#define FCR_CLEAR       0x07 /* FIFO on, both cleared, interrupt at one byte */
#define MCR_DTR_RTS_OUT 0x0b
#define UART_CLOCK      115200
#define UART_FIFO       16
#define TX_PATIENCE     100000 /* reads of LSR until we believe that nobody takes our bytes */

static uint16_t port;
static unsigned irq = 4;
static bool present;
static unsigned fifo_room;

static unsigned take_number(const char **p)
{
    unsigned v = 0;
    bool hex = (*p)[0] == '0' && ((*p)[1] | 0x20) == 'x';
    for (*p += hex ? 2 : 0;; (*p)++) {
        char c = **p;
        if (c >= '0' && c <= '9')
            v = v * (hex ? 16 : 10) + (unsigned)(c - '0');
        else if (hex && (c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v * 16 + (unsigned)((c | 0x20) - 'a') + 10;
        else
            return v;
    }
}

/* "BAUD|auto[,FORMAT[,PORT[,IRQ]]]", FORMAT like 8n1; empty fields keep their defaults. */
static void parse(const char *o, unsigned *baud, uint8_t *format)
{
    unsigned v = take_number(&o);
    if (v > 0 && v <= UART_CLOCK)
        *baud = v;
    if (!(o = strchr(o, ',')))
        return;
    o++;
    if (o[0] >= '5' && o[0] <= '8' && o[1] && o[2]) {
        *format = (uint8_t)(o[0] - '5');
        *format |= o[1] == 'o' ? 0x08 : o[1] == 'e' ? 0x18 : 0;
        *format |= o[2] == '2' ? 0x04 : 0;
    }
    if (!(o = strchr(o, ',')))
        return;
    o++;
    if ((v = take_number(&o)) > 0 && v <= 0xfff8)
        port = (uint16_t)v;
    if (*o == ',' && (o++, (v = take_number(&o)) > 0) && v < 16)
        irq = v;
}

void uart_init(const char *com1_option)
{
    unsigned baud = UART_CLOCK;
    uint8_t format = 0x03;
    port = 0x3f8;
    parse(com1_option, &baud, &format);
    unsigned divisor = UART_CLOCK / baud;
    outb(port + UART_IER, 0);
    outb(port + UART_LCR, LCR_DLAB);
    outb(port + UART_DATA, (uint8_t)divisor);
    outb(port + UART_IER, (uint8_t)(divisor >> 8));
    outb(port + UART_LCR, format);
    outb(port + UART_FCR, FCR_CLEAR);
    outb(port + UART_MCR, MCR_DTR_RTS_OUT);
    present = inb(port + UART_LSR) != 0xff;
    fifo_room = 0;
}

void uart_put(char c)
{
    if (!present)
        return;
    if (fifo_room == 0) {
        unsigned tries = TX_PATIENCE;
        while (!(inb(port + UART_LSR) & LSR_TX_EMPTY))
            if (tries-- == 0)
                return;
        fifo_room = UART_FIFO;
    }
    outb(port + UART_DATA, (uint8_t)c);
    fifo_room--;
}

unsigned uart_irq(void)
{
    return irq;
}

void uart_poll_input(void)
{
    for (unsigned i = 0; present && i < 4096 && (inb(port + UART_LSR) & LSR_DATA_READY); i++)
        console_receive((char)inb(port + UART_DATA));
}

void uart_enable_input(void)
{
    if (present)
        outb(port + UART_IER, IER_RECEIVED);
}

bool uart_owns_port(unsigned p)
{
    return p >= port && p < port + 8u;
}

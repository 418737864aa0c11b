/* SPDX-License-Identifier: MIT */
#include <bare/console.h>
#include <bare/event.h>
#include <bare/hypercall.h>
#include <bare/mm.h>
#include <bare/start.h>
#include <bare/string.h>
#include <xen/io/console.h>

uint64_t console_written;

struct sink {
    char *out;
    size_t size, used;
};

static void put(struct sink *s, char c)
{
    if (s->used + 1 < s->size)
        s->out[s->used] = c;
    s->used++;
}

static void put_padded(struct sink *s, const char *text, size_t len, int width, bool left, char pad)
{
    int fill = width - (int)len;

    for (; !left && fill > 0; fill--)
        put(s, pad);
    for (size_t i = 0; i < len; i++)
        put(s, text[i]);
    for (; fill > 0; fill--)
        put(s, ' ');
}

static size_t digits(char *buf, unsigned long long value, unsigned int base, bool negative)
{
    char back[24];
    size_t n = 0, len = 0;

    do
        back[n++] = "0123456789abcdef"[value % base];
    while ((value /= base));
    if (negative)
        buf[len++] = '-';
    while (n)
        buf[len++] = back[--n];
    return len;
}

static void put_number(struct sink *s, char conv, unsigned long long value, int width, bool left,
                       char pad)
{
    bool negative = conv == 'd' && (long long)value < 0;
    unsigned int base = conv == 'x' || conv == 'p' ? 16 : 10;
    char buf[24];
    size_t len = digits(buf, negative ? -value : value, base, negative);

    put_padded(s, buf, len, width, left, pad);
}

static unsigned long long fetch(va_list *args, int longs, bool is_signed)
{
    if (longs)
        return va_arg(*args, unsigned long long);
    if (is_signed)
        return (unsigned long long)(long long)va_arg(*args, int);
    return va_arg(*args, unsigned int);
}

int console_format(char *out, size_t size, const char *format, va_list args)
{
    struct sink s = {out, size, 0};
    va_list ap;

    va_copy(ap, args);
    for (; *format; format++) {
        bool left = false;
        char pad = ' ';
        int width = 0, longs = 0;

        if (*format != '%') {
            put(&s, *format);
            continue;
        }
        for (format++; *format == '-' || *format == '0'; format++)
            *format == '-' ? (left = true) : (pad = '0');
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + *format - '0';
        for (; *format == 'l'; format++)
            longs++;
        switch (*format) {
        case 's': {
            const char *text = va_arg(ap, const char *);

            put_padded(&s, text, strlen(text), width, left, ' ');
            break;
        }
        case 'c':
            put(&s, (char)va_arg(ap, int));
            break;
        case 'p':
            longs = 1;
            /* fall through */
        case 'd':
        case 'u':
        case 'x':
            put_number(&s, *format, fetch(&ap, longs, *format == 'd'), width, left, pad);
            break;
        default:
            put(&s, *format);
        }
    }
    va_end(ap);
    if (size)
        out[s.used < size ? s.used : size - 1] = 0;
    return (int)s.used;
}

/* Any other domain than 0 has a page that its console daemon reads. NULL for domain 0. */
static struct xencons_interface *console_page(void)
{
    static struct xencons_interface *page;
    uint64_t pfn;

    if (page || (start_info->flags & SIF_INITDOMAIN))
        return page;
    pfn = mm_pfn(start_info->console.domU.mfn);
    page = mm_va(pfn);
    return page;
}

/* Waits while the page is full, but not for ever: nobody may be reading. */
static void put_on_page(struct xencons_interface *page, const char *text, unsigned int n)
{
    uint64_t until = event_now() + 5000000000;
    XENCONS_RING_IDX at = page->out_prod;

    for (unsigned int i = 0; i < n; at++, i++) {
        while (at - *(volatile XENCONS_RING_IDX *)&page->out_cons >= sizeof(page->out)) {
            __atomic_store_n(&page->out_prod, at, __ATOMIC_RELEASE);
            event_send(start_info->console.domU.evtchn);
            hc_sched(SCHEDOP_yield, NULL);
            if (event_now() > until)
                return;
        }
        page->out[MASK_XENCONS_IDX(at, page->out)] = text[i];
    }
    __atomic_store_n(&page->out_prod, at, __ATOMIC_RELEASE);
    event_send(start_info->console.domU.evtchn);
}

static void print(const char *format, va_list args)
{
    char line[400];
    int n = console_format(line, sizeof(line), format, args);
    unsigned int length = n < (int)sizeof(line) ? (unsigned int)n : sizeof(line) - 1;

    if (console_page()) {
        put_on_page(console_page(), line, length);
        return;
    }
    console_written += length;
    hc_console_write(line, length);
}

void console_printf(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print(format, args);
    va_end(args);
}

_Noreturn void console_poweroff(unsigned int reason)
{
    struct sched_shutdown arg = {.reason = reason};

    for (;;)
        hc_sched(SCHEDOP_shutdown, &arg);
}

_Noreturn void console_panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_printf("PANIC ");
    print(format, args);
    console_printf("\n");
    va_end(args);
    console_poweroff(SHUTDOWN_reboot);
}

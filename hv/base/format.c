/* SPDX-License-Identifier: MIT */
/* printf-style formatting into a buffer, the subset that format.h names. */
#include "base/format.h"
#include "base/string.h"

struct sink {
    char *buf;
    size_t size, length;
};

struct spec {
    bool zero, left, alternate;
    unsigned width;
    int precision; /* -1: none */
    char size;     /* 0, 'l' or 'z' */
};

static void put(struct sink *s, char c)
{
    if (s->length + 1 < s->size)
        s->buf[s->length] = c;
    s->length++;
}

static void put_padded(struct sink *s, const struct spec *spec, const char *prefix,
                       const char *text, size_t n)
{
    size_t used = strlen(prefix) + n;
    size_t fill = spec->width > used ? spec->width - used : 0;
    if (!spec->left && !spec->zero)
        for (; fill > 0; fill--)
            put(s, ' ');
    for (; *prefix; prefix++)
        put(s, *prefix);
    if (!spec->left)
        for (; fill > 0; fill--)
            put(s, '0');
    for (size_t i = 0; i < n; i++)
        put(s, text[i]);
    for (; fill > 0; fill--)
        put(s, ' ');
}

static void put_number(struct sink *s, const struct spec *spec, const char *prefix, uint64_t v,
                       unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    unsigned at = sizeof(text);
    do {
        text[--at] = digits[v % base];
        v /= base;
    } while (v);
    put_padded(s, spec, prefix, text + at, sizeof(text) - at);
}

static const char *parse_spec(const char *p, struct spec *spec, va_list *ap)
{
    *spec = (struct spec){.precision = -1};
    for (;; p++) {
        if (*p == '0')
            spec->zero = true;
        else if (*p == '-')
            spec->left = true;
        else if (*p == '#')
            spec->alternate = true;
        else
            break;
    }
    if (*p == '*') {
        spec->width = va_arg(*ap, unsigned);
        p++;
    }
    for (; *p >= '0' && *p <= '9'; p++)
        spec->width = spec->width * 10 + (unsigned)(*p - '0');
    if (*p == '.') {
        spec->precision = 0;
        if (*++p == '*') {
            spec->precision = va_arg(*ap, int);
            p++;
        }
        for (; *p >= '0' && *p <= '9'; p++)
            spec->precision = spec->precision * 10 + (*p - '0');
    }
    for (; *p == 'l' || *p == 'z'; p++)
        spec->size = *p;
    return p;
}

static uint64_t unsigned_arg(const struct spec *spec, va_list *ap)
{
    return spec->size ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned);
}

static void put_conversion(struct sink *s, char c, const struct spec *spec, va_list *ap)
{
    switch (c) {
    case 'd':
    case 'i': {
        int64_t v = spec->size ? va_arg(*ap, int64_t) : va_arg(*ap, int);
        put_number(s, spec, v < 0 ? "-" : "", v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, false);
        break;
    }
    case 'u':
        put_number(s, spec, "", unsigned_arg(spec, ap), 10, false);
        break;
    case 'x':
    case 'X':
        put_number(s, spec, spec->alternate ? "0x" : "", unsigned_arg(spec, ap), 16, c == 'X');
        break;
    case 'p':
        put_number(s, spec, "0x", (uintptr_t)va_arg(*ap, void *), 16, false);
        break;
    case 'c': {
        char one = (char)va_arg(*ap, int);
        put_padded(s, spec, "", &one, 1);
        break;
    }
    case 's': {
        const char *text = va_arg(*ap, const char *);
        text = text ? text : "(null)";
        size_t limit = spec->precision >= 0 ? (size_t)spec->precision : SIZE_MAX;
        put_padded(s, spec, "", text, strnlen(text, limit));
        break;
    }
    default:
        put(s, c);
    }
}

int vformat(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct sink s = {buf, size, 0};
    va_list args;
    va_copy(args, ap);
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&s, *fmt);
            continue;
        }
        struct spec spec;
        fmt = parse_spec(fmt + 1, &spec, &args);
        if (!*fmt)
            break;
        put_conversion(&s, *fmt, &spec, &args);
    }
    va_end(args);
    if (size > 0)
        buf[min(s.length, size - 1)] = 0;
    return (int)s.length;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vformat(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

/* SPDX-License-Identifier: MIT */
/* The hypervisor's command line; docs/OPTIONS.md is its manual. */
#include "options.h"
#include "base/log.h"
#include "base/string.h"

static bool parse_number(const char *text, uint64_t *value, const char **end)
{
    unsigned base = 10;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    uint64_t v = 0;
    const char *p = text;
    for (;; p++) {
        unsigned digit;
        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
            digit = (unsigned)((*p | 0x20) - 'a') + 10;
        else
            break;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *value = v;
    *end = p;
    return p != text;
}

bool options_parse_size(const char *text, uint64_t *bytes)
{
    const char *end;
    uint64_t v;
    if (!parse_number(text, &v, &end))
        return false;
    unsigned shift = 10;
    switch (*end) {
    case 'b':
    case 'B':
        shift = 0;
        end++;
        break;
    case 'k':
    case 'K':
        shift = 10;
        end++;
        break;
    case 'm':
    case 'M':
        shift = 20;
        end++;
        break;
    case 'g':
    case 'G':
        shift = 30;
        end++;
        break;
    case 't':
    case 'T':
        shift = 40;
        end++;
        break;
    default:
        break;
    }
    if (*end || (v << shift) >> shift != v)
        return false;
    *bytes = v << shift;
    return true;
}

static void copy_value(char *to, size_t size, const char *value)
{
    size_t n = strnlen(value, size - 1);
    memcpy(to, value, n);
    to[n] = 0;
}

static bool parse_count(const char *value, unsigned *out)
{
    const char *end;
    uint64_t v;
    if (!parse_number(value, &v, &end) || *end || v == 0 || v > UINT16_MAX)
        return false;
    *out = (unsigned)v;
    return true;
}

/* "", "1", "yes", "on", "true": true; "0", "no", "off", "false": false. */
static bool parse_flag(const char *value, bool *out)
{
    static const char *const yes[] = {"", "1", "yes", "on", "true"};
    static const char *const no[] = {"0", "no", "off", "false"};
    for (unsigned i = 0; i < ARRAY_SIZE(yes); i++)
        if (strcmp(value, yes[i]) == 0) {
            *out = true;
            return true;
        }
    for (unsigned i = 0; i < ARRAY_SIZE(no); i++)
        if (strcmp(value, no[i]) == 0) {
            *out = false;
            return true;
        }
    return false;
}

/* Xen writes "LEVEL" or "LEVEL/RATE-LIMITED LEVEL"; the first counts here. */
static bool parse_loglvl(const char *value, unsigned *out)
{
    static const struct {
        const char *name;
        unsigned level;
    } levels[] = {{"none", LOG_ERROR}, {"error", LOG_ERROR}, {"warning", LOG_WARNING},
                  {"info", LOG_INFO},  {"debug", LOG_DEBUG}, {"all", LOG_DEBUG}};
    const char *slash = strchr(value, '/');
    size_t n = slash ? (size_t)(slash - value) : strlen(value);
    for (unsigned i = 0; i < ARRAY_SIZE(levels); i++)
        if (strlen(levels[i].name) == n && strncmp(levels[i].name, value, n) == 0) {
            *out = levels[i].level;
            return true;
        }
    return false;
}

static bool set_dom0_mem(const char *value, struct boot_options *o)
{
    /* Judged when the machine's size is known (dom0.c). */
    if (strnlen(value, sizeof(o->dom0_mem)) == sizeof(o->dom0_mem))
        return false;
    copy_value(o->dom0_mem, sizeof(o->dom0_mem), value);
    return true;
}
static bool set_com1(const char *value, struct boot_options *o)
{
    copy_value(o->com1, sizeof(o->com1), value);
    return true;
}
static bool set_console(const char *value, struct boot_options *o)
{
    (void)o;
    if (strncmp(value, "com1", 4) != 0)
        log_warn("option console=%s: only com1 is driven", value);
    return true;
}
static bool set_dom0_max_vcpus(const char *value, struct boot_options *o)
{
    return parse_count(value, &o->dom0_max_vcpus);
}
static bool set_maxcpus(const char *value, struct boot_options *o)
{
    return parse_count(value, &o->max_cpus);
}
static bool set_noreboot(const char *value, struct boot_options *o)
{
    return parse_flag(value, &o->noreboot);
}
static bool set_loglvl(const char *value, struct boot_options *o)
{
    return parse_loglvl(value, &o->loglvl);
}
static bool set_mem(const char *value, struct boot_options *o)
{
    return options_parse_size(value, &o->mem_limit) && o->mem_limit > 0;
}
static bool set_x2apic(const char *value, struct boot_options *o)
{
    bool on;
    if (!parse_flag(value, &on))
        return false;
    o->x2apic_off = !on;
    return true;
}
static bool set_nmi(const char *value, struct boot_options *o)
{
    o->nmi_fatal = strcmp(value, "fatal") == 0;
    return o->nmi_fatal || strcmp(value, "ignore") == 0 || strcmp(value, "dom0") == 0;
}
static bool ignore(const char *value, struct boot_options *o)
{
    (void)value;
    (void)o;
    return true;
}

static const struct {
    const char *name;
    bool (*set)(const char *value, struct boot_options *o);
} options[] = {
    {"console", set_console},
    {"com1", set_com1},
    {"dom0_mem", set_dom0_mem},
    {"dom0_max_vcpus", set_dom0_max_vcpus},
    {"noreboot", set_noreboot},
    {"loglvl", set_loglvl},
    {"mem", set_mem},
    {"maxcpus", set_maxcpus},
    {"x2apic", set_x2apic},
    {"nmi", set_nmi},
    /* Debian's GRUB script for Xen adds these. */
    {"placeholder", ignore},
    {"no-real-mode", ignore},
    {"edd", ignore},
};

static void take_word(char *word, struct boot_options *out)
{
    char *value = strchr(word, '=');
    if (value)
        *value++ = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        if (strcmp(word, options[i].name) != 0)
            continue;
        if (!options[i].set(value ? value : "", out))
            log_warn("option %s=%s is not understood and ignored", word, value ? value : "");
        return;
    }
    log_warn("option %s is not known and ignored", word);
}

void options_parse(const char *cmdline, struct boot_options *out)
{
    char word[128];
    bool first = true;
    while (*cmdline) {
        while (*cmdline == ' ' || *cmdline == '\t')
            cmdline++;
        size_t n = 0;
        for (; *cmdline && *cmdline != ' ' && *cmdline != '\t'; cmdline++)
            if (n + 1 < sizeof(word))
                word[n++] = *cmdline;
        word[n] = 0;
        /* Some loaders put the image's own name first. */
        if (n > 0 && !(first && word[0] != '=' && strchr(word, '/') && !strchr(word, '=')))
            take_word(word, out);
        first = false;
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * A domain's XML file: parsed with neither network, entities nor DTD, validated against the
 * schema, and then read, so that reading meets only what the schema lets pass. Errors name file
 * and line.
 */
#include "libpal/config_tree.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libpal/libxml.h"

struct source {
    const char *name;
    struct pal_error *e;
    enum pal_code code;
};

static int fail_at(const struct source *s, const xmlNode *node, const char *why)
{
    return pal_fail(s->e, PAL_XML_VALUE, "%s:%ld: <%s> %s", s->name,
                    libxml.xmlGetLineNo((xmlNode *)node), (const char *)node->name, why);
}

/* libxml2 tells of errors here; the first one counts. */
static void note_error(void *data, xmlErrorPtr error)
{
    struct source *s = data;
    char text[400];
    size_t n;

    snprintf(text, sizeof(text), "%s", error->message ? error->message : "not valid");
    for (n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--)
        text[n - 1] = '\0';
    pal_fail(s->e, s->code, "%s:%d: %s", s->name, error->line, text);
}

/* ---- looking into the tree ---- */

static const xmlNode *child(const xmlNode *parent, const char *name)
{
    for (const xmlNode *n = parent ? parent->children : NULL; n; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name))
            return n;
    }
    return NULL;
}

/* The element's text without the blanks around it; to be freed. */
static char *text_of(const xmlNode *node)
{
    xmlChar *content = libxml.xmlNodeGetContent((xmlNode *)node);
    const char *start = content ? (const char *)content : "";
    size_t length;
    char *copy;

    while (isspace((unsigned char)*start))
        start++;
    length = strlen(start);
    while (length && isspace((unsigned char)start[length - 1]))
        length--;
    copy = strndup(start, length);
    (*libxml.xmlFree)(content);
    return copy;
}

/* Our own element in the metadata; other programs may have one of the same name there. */
static const xmlNode *ours_in(const xmlNode *metadata)
{
    for (const xmlNode *n = metadata ? metadata->children : NULL; n; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && n->ns &&
            !strcmp((const char *)n->ns->href, PAL_NAMESPACE))
            return n;
    }
    return NULL;
}

static char *child_text(const xmlNode *parent, const char *name)
{
    const xmlNode *n = child(parent, name);

    return n ? text_of(n) : NULL;
}

/* An attribute's value; to be freed with free(). NULL when it is not there. */
static char *attribute(const xmlNode *node, const char *name)
{
    xmlChar *value = node ? libxml.xmlGetNoNsProp((xmlNode *)node, (const xmlChar *)name) : NULL;
    char *copy = value ? strdup((const char *)value) : NULL;

    (*libxml.xmlFree)(value);
    return copy;
}

static uint64_t number_of(const xmlNode *node)
{
    char *text = node ? text_of(node) : NULL;
    uint64_t value = text ? strtoull(text, NULL, 10) : 0;

    free(text);
    return value;
}

/* Bytes in a libvirt unit; without one it is KiB. */
static uint64_t unit_bytes(const char *unit)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"b", 1},           {"bytes", 1},      {"KB", 1000},       {"k", 1024},
                 {"KiB", 1024},      {"MB", 1000000},   {"M", 1 << 20},     {"MiB", 1 << 20},
                 {"GB", 1000000000}, {"G", 1ull << 30}, {"GiB", 1ull << 30}};

    for (size_t i = 0; unit && i < sizeof(units) / sizeof(units[0]); i++) {
        if (!strcmp(unit, units[i].name))
            return units[i].bytes;
    }
    return 1024;
}

static int read_size(const struct source *s, const xmlNode *node, uint64_t *kib)
{
    char *unit = attribute(node, "unit");
    uint64_t bytes;
    bool overflow = __builtin_mul_overflow(number_of(node), unit_bytes(unit), &bytes);

    free(unit);
    if (overflow || bytes > 1ull << 40)
        return fail_at(s, node, "is more than 1 TiB");
    *kib = (bytes + 4095) / 4096 * 4;
    return 0;
}

static enum pal_action read_action(const xmlNode *root, const char *name, enum pal_action otherwise)
{
    char *text = child_text(root, name);
    enum pal_action action = otherwise;

    if (text)
        action = !strcmp(text, "restart")    ? PAL_ACTION_RESTART
                 : !strcmp(text, "preserve") ? PAL_ACTION_PRESERVE
                                             : PAL_ACTION_DESTROY;
    free(text);
    return action;
}

/* ---- parts of the description ---- */

static void read_uuid(struct pal_config *c, const xmlNode *root)
{
    char *text = child_text(root, "uuid");
    unsigned digits = 0;

    if (!text) {
        if (getrandom(c->uuid, sizeof(c->uuid), 0) != sizeof(c->uuid))
            abort(); /* cannot fail for so few bytes once the system runs */
        c->uuid[6] = (c->uuid[6] & 0x0f) | 0x40; /* version 4: random */
        c->uuid[8] = (c->uuid[8] & 0x3f) | 0x80;
        return;
    }
    for (const char *p = text; *p && digits < 32; p++) {
        if (isxdigit((unsigned char)*p)) {
            unsigned v = isdigit((unsigned char)*p) ? (unsigned)(*p - '0')
                                                    : (unsigned)((*p | 32) - 'a' + 10);

            c->uuid[digits / 2] = (uint8_t)(c->uuid[digits / 2] << 4 | v);
            digits++;
        }
    }
    free(text);
}

static int read_balloon(struct pal_config *c, const struct source *s, const xmlNode *ours)
{
    const xmlNode *least = child(ours, "minimum"), *shares = child(ours, "shares");

    c->shares = shares ? (unsigned)number_of(shares) : 100;
    if (least && read_size(s, least, &c->min_kib))
        return -1;
    return c->min_kib > c->memory_kib ? fail_at(s, least, "is more than the domain starts with")
                                      : 0;
}

static int read_memory(struct pal_config *c, const struct source *s, const xmlNode *root)
{
    const xmlNode *now = child(root, "currentMemory");

    if (read_size(s, child(root, "memory"), &c->max_kib))
        return -1;
    c->memory_kib = c->max_kib;
    if (now && read_size(s, now, &c->memory_kib))
        return -1;
    if (c->memory_kib > c->max_kib)
        return fail_at(s, now, "is more than <memory>");
    return read_balloon(c, s, ours_in(child(root, "metadata")));
}

static int read_os(struct pal_config *c, const struct source *s, const xmlNode *root)
{
    const xmlNode *os = child(root, "os");

    c->kernel = child_text(os, "kernel");
    c->initrd = child_text(os, "initrd");
    c->cmdline = child_text(os, "cmdline");
    if (!c->cmdline)
        c->cmdline = strdup("");
    if (!c->cmdline || !c->kernel)
        return pal_fail(s->e, PAL_SYS_FAILED, "out of memory");
    if (strlen(c->cmdline) > PAL_CMDLINE_MAX)
        return fail_at(s, child(os, "cmdline"), "is longer than 1023 characters");
    return 0;
}

/* <driver>, <backingStore>: who serves it, and over what it lies. */
static int read_driver(struct pal_disk *d, const struct source *s, const xmlNode *node)
{
    const xmlNode *below = child(node, "backingStore"), *driver = child(node, "driver");
    char *name = attribute(driver, "name"), *format = attribute(driver, "type");
    char *cache = attribute(driver, "cache"), *type = attribute(below, "type");
    bool overlay = format && !strcmp(format, "cow"), ours = name && !strcmp(name, "pal");
    bool has_cache = cache && strcmp(cache, "default"), kernels = name && !ours;

    d->base_is_block = type && !strcmp(type, "block");
    d->base = attribute(child(below, "source"), d->base_is_block ? "dev" : "file");
    d->cache = !has_cache                       ? PAL_CACHE_WRITEBACK
               : !strcmp(cache, "none")         ? PAL_CACHE_NONE
               : !strcmp(cache, "writethrough") ? PAL_CACHE_WRITETHROUGH
                                                : PAL_CACHE_WRITEBACK;
    d->backend = ours ? PAL_BACKEND_PAL : kernels ? PAL_BACKEND_KERNEL : pal_disk_usual_backend(d);
    free(name);
    free(format);
    free(cache);
    free(type);
    if (overlay != (d->base != NULL))
        return fail_at(s, node,
                       overlay ? "is an overlay, and has no <backingStore>"
                               : "has a <backingStore>, but its driver's type is not cow");
    if (overlay && (d->is_block || kernels))
        return fail_at(s, node, "is an overlay: a file, for the driver pal");
    if (d->backend != PAL_BACKEND_PAL && has_cache && d->cache != PAL_CACHE_NONE)
        return fail_at(s, node, "names a cache, which only the driver pal knows");
    if (d->backend != PAL_BACKEND_PAL)
        d->cache = PAL_CACHE_WRITEBACK; /* not asked for: the kernel's has none */
    return 0;
}

static int read_disk(struct pal_config *c, const struct source *s, const xmlNode *node)
{
    struct pal_disk *d = &c->disk[c->disks];
    char *type = attribute(node, "type");
    char *target = attribute(child(node, "target"), "dev");

    if (c->disks == PAL_DISKS_MAX) {
        free(type);
        free(target);
        return fail_at(s, node, "is one too many: 16 disks at most");
    }
    c->disks++;
    d->is_block = type && !strcmp(type, "block");
    d->source = attribute(child(node, "source"), d->is_block ? "dev" : "file");
    d->read_only = child(node, "readonly") != NULL;
    snprintf(d->target, sizeof(d->target), "%s", target ? target : "");
    free(type);
    free(target);
    if (read_driver(d, s, node))
        return -1;
    for (unsigned i = 0; i + 1 < c->disks; i++) {
        if (pal_disk_collides(c->disk[i].target, d->target))
            return fail_at(s, node, "has the same target as another disk");
    }
    return d->source ? 0 : pal_fail(s->e, PAL_SYS_FAILED, "out of memory");
}

static int read_mac(struct pal_nic *n, const struct source *s, const xmlNode *node)
{
    char *text = attribute(child(node, "mac"), "address");
    bool good = true;

    if (text)
        good = pal_mac_parse(text, n->mac);
    else
        pal_mac_make(n->mac);
    free(text);
    return good ? 0 : fail_at(s, child(node, "mac"), "is a group address");
}

static int read_ips(struct pal_nic *n, const struct source *s, const xmlNode *node)
{
    for (const xmlNode *ip = node->children; ip; ip = ip->next) {
        char *text, *family;
        bool good;

        if (ip->type != XML_ELEMENT_NODE || strcmp((const char *)ip->name, "ip"))
            continue;
        if (n->ips == PAL_NIC_IPS_MAX)
            return fail_at(s, ip, "is one too many: 8 addresses at most");
        text = attribute(ip, "address");
        family = attribute(ip, "family");
        good = text && pal_address_parse(text, &n->ip[n->ips]) &&
               (!family || n->ip[n->ips].v6 == !strcmp(family, "ipv6"));
        free(text);
        free(family);
        if (!good)
            return fail_at(s, ip, "is not an address that a guest can have");
        n->ips++;
    }
    return 0;
}

/* PAL_NICS_MAX: it has none yet. */
static int read_number(const struct pal_config *c, struct pal_nic *n, const struct source *s,
                       const xmlNode *node)
{
    char *target = attribute(child(node, "target"), "dev");

    n->number = target ? (unsigned)(target[3] - '0') : PAL_NICS_MAX;
    free(target);
    for (unsigned i = 0; i < c->nics; i++) {
        if (n->number < PAL_NICS_MAX && c->nic[i].number == n->number)
            return fail_at(s, node, "has the same target as another interface");
    }
    return 0;
}

/* The lowest free number for each that the file gives none. */
static void number_nics(struct pal_config *c)
{
    bool taken[PAL_NICS_MAX + 1] = {false};
    unsigned next = 0;

    for (unsigned i = 0; i < c->nics; i++)
        taken[c->nic[i].number] = true;
    for (unsigned i = 0; i < c->nics; i++) {
        while (c->nic[i].number == PAL_NICS_MAX && taken[next])
            next++;
        if (c->nic[i].number == PAL_NICS_MAX)
            c->nic[i].number = next++;
    }
}

static int read_nic(struct pal_config *c, const struct source *s, const xmlNode *node)
{
    struct pal_nic *n = &c->nic[c->nics];
    char *bridge = attribute(child(node, "source"), "bridge");
    char *rate = attribute(child(child(node, "bandwidth"), "outbound"), "average");
    char *trust = attribute(node, "trustGuestRxFilters");

    if (c->nics < PAL_NICS_MAX) {
        snprintf(n->bridge, sizeof(n->bridge), "%s", bridge ? bridge : "");
        n->rate_kib = rate ? strtoull(rate, NULL, 10) : 0;
        n->trusted = trust && !strcmp(trust, "yes");
    }
    free(bridge);
    free(rate);
    free(trust);
    if (c->nics == PAL_NICS_MAX)
        return fail_at(s, node, "is one too many: 8 interfaces at most");
    if (read_number(c, n, s, node) || read_mac(n, s, node) || read_ips(n, s, node))
        return -1;
    for (unsigned i = 0; i < c->nics; i++) {
        if (!memcmp(c->nic[i].mac, n->mac, sizeof(n->mac)))
            return fail_at(s, node, "has the same MAC as another interface");
    }
    c->nics++;
    return 0;
}

static int read_devices(struct pal_config *c, const struct source *s, const xmlNode *root)
{
    const xmlNode *devices = child(root, "devices");

    for (const xmlNode *n = devices ? devices->children : NULL; n; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        if (!strcmp((const char *)n->name, "disk") && read_disk(c, s, n))
            return -1;
        if (!strcmp((const char *)n->name, "interface") && read_nic(c, s, n))
            return -1;
    }
    number_nics(c);
    return 0;
}

/* "64M": what the schema lets pass. */
static uint64_t short_size(const char *text)
{
    char *unit;
    uint64_t number = strtoull(text ? text : "0", &unit, 10);

    return *unit == 'G' ? number << 20 : *unit == 'M' ? number << 10 : (number + 3) & ~3ull;
}

static int read_region(struct pal_config *c, const struct source *s, const xmlNode *node)
{
    struct pal_config_region *r = &c->region[c->regions];
    char *name, *access, *size;

    if (c->regions == PAL_REGIONS_MAX)
        return fail_at(s, node, "is one too many: 16 regions at most");
    name = attribute(node, "name");
    access = attribute(node, "access");
    size = attribute(node, "size");
    snprintf(r->name, sizeof(r->name), "%s", name ? name : "");
    r->write = access && !strcmp(access, "rw");
    r->size_kib = short_size(size);
    free(name);
    free(access);
    free(size);
    if (r->size_kib > 4 << 20)
        return fail_at(s, node, "is more than 4 GiB");
    for (unsigned i = 0; i < c->regions; i++) {
        if (!strcmp(c->region[i].name, r->name))
            return fail_at(s, node, "is there twice");
    }
    c->regions++;
    return 0;
}

static int read_regions(struct pal_config *c, const struct source *s, const xmlNode *ours)
{
    const xmlNode *quota = child(ours, "regions");
    char *memory = attribute(quota, "memory"), *count = attribute(quota, "count");

    c->region_quota_kib = short_size(memory);
    c->region_quota = quota ? (unsigned)strtoul(count ? count : "1", NULL, 10) : 0;
    free(memory);
    free(count);
    for (const xmlNode *n = ours ? ours->children : NULL; n; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, "region") &&
            read_region(c, s, n))
            return -1;
    }
    return 0;
}

static void read_cache(struct pal_config *c, const xmlNode *ours)
{
    char *use = attribute(child(ours, "cache"), "use");
    char *limit = attribute(child(ours, "cache"), "limit");

    c->cache_off = use && !strcmp(use, "no");
    c->cache_kib = short_size(limit);
    free(use);
    free(limit);
}

static int read_domain(struct pal_config *c, const struct source *s, const xmlNode *root)
{
    const xmlNode *ours = ours_in(child(root, "metadata"));

    c->name = child_text(root, "name");
    if (!c->name)
        return pal_fail(s->e, PAL_SYS_FAILED, "out of memory");
    if (!pal_name_is_good(c->name))
        return fail_at(s, child(root, "name"), "must not be a bare number or begin with '-'");
    read_uuid(c, root);
    c->vcpus = child(root, "vcpu") ? (unsigned)number_of(child(root, "vcpu")) : 1;
    c->on_poweroff = read_action(root, "on_poweroff", PAL_ACTION_DESTROY);
    c->on_reboot = read_action(root, "on_reboot", PAL_ACTION_RESTART);
    c->on_crash = read_action(root, "on_crash", PAL_ACTION_DESTROY);
    c->weight = (unsigned)number_of(child(ours, "weight"));
    c->cap = (unsigned)number_of(child(ours, "cap"));
    read_cache(c, ours);
    if (read_regions(c, s, ours) || read_memory(c, s, root) || read_os(c, s, root) ||
        read_devices(c, s, root))
        return -1;
    return 0;
}

/* ---- the whole file ---- */

static int validate(xmlDoc *document, struct source *s)
{
    xmlRelaxNGParserCtxt *parser =
        libxml.xmlRelaxNGNewMemParserCtxt(pal_schema, (int)(pal_schema_end - pal_schema));
    xmlRelaxNG *schema = parser ? libxml.xmlRelaxNGParse(parser) : NULL;
    xmlRelaxNGValidCtxt *check = schema ? libxml.xmlRelaxNGNewValidCtxt(schema) : NULL;
    int rc = -1;

    s->code = PAL_XML_SCHEMA;
    if (check) {
        libxml.xmlRelaxNGSetValidStructuredErrors(check, note_error, s);
        rc = libxml.xmlRelaxNGValidateDoc(check, document);
    }
    if (rc)
        pal_fail(s->e, PAL_XML_SCHEMA, "%s: it does not fit the schema", s->name);
    libxml.xmlRelaxNGFreeValidCtxt(check);
    libxml.xmlRelaxNGFree(schema);
    libxml.xmlRelaxNGFreeParserCtxt(parser);
    return rc ? -1 : 0;
}

int pal_config_parse(struct pal_config *c, const char *name, const char *text, size_t size,
                     struct pal_error *e)
{
    struct source s = {name, e, PAL_XML_SYNTAX};
    xmlDoc *document;
    int rc = -1;

    memset(c, 0, sizeof(*c));
    if (size > INT_MAX)
        return pal_fail(e, PAL_XML_SYNTAX, "%s: too large", name);
    if (libxml_load(e))
        return -1;
    libxml.xmlSetStructuredErrorFunc(&s, note_error);
    document =
        libxml.xmlReadMemory(text, (int)size, name, NULL, XML_PARSE_NONET | XML_PARSE_NOCDATA);
    if (!document)
        pal_fail(e, PAL_XML_SYNTAX, "%s: it is not an XML file", name);
    else if (document->intSubset)
        pal_fail(e, PAL_XML_SYNTAX, "%s: document types and entities are not accepted", name);
    else if (!validate(document, &s))
        rc = read_domain(c, &s, libxml.xmlDocGetRootElement(document));
    if (!rc)
        rc = config_tree_keep(c, document, e);
    libxml.xmlSetStructuredErrorFunc(NULL, NULL);
    libxml.xmlFreeDoc(document);
    if (rc)
        pal_config_free(c);
    return rc;
}

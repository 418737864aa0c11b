/* SPDX-License-Identifier: MIT */
/*
 * Changes are made to the tree, and what comes out is parsed and checked like any file: there is
 * one reader, and the text is the whole truth about a domain.
 */
#include "libpal/config_tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libpal/libxml.h"

#define RECORD "the domain's record"

static xmlNode *add(xmlNode *parent, const char *name)
{
    return parent ? libxml.xmlNewChild(parent, NULL, (const xmlChar *)name, NULL) : NULL;
}

static void set(xmlNode *node, const char *name, const char *value)
{
    if (node)
        libxml.xmlNewProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

static bool is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static xmlNode *child(const xmlNode *parent, const char *name)
{
    for (xmlNode *n = parent ? parent->children : NULL; n; n = n->next) {
        if (is(n, name))
            return n;
    }
    return NULL;
}

static bool has_value(xmlNode *node, const char *name, const char *value)
{
    xmlChar *text = node ? libxml.xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
    bool same = text && !strcasecmp((const char *)text, value);

    (*libxml.xmlFree)(text);
    return same;
}

/* ---- what the file left out ---- */

static void put_mac(xmlNode *interface, const uint8_t mac[6])
{
    char text[PAL_MAC_TEXT];

    pal_mac_text(mac, text);
    set(add(interface, "mac"), "address", text);
}

static void put_number(xmlNode *interface, unsigned number)
{
    char text[8];

    snprintf(text, sizeof(text), "vif%u", number % PAL_NICS_MAX);
    set(add(interface, "target"), "dev", text);
}

static void fill_in(const struct pal_config *c, xmlNode *root)
{
    xmlNode *devices = child(root, "devices");
    unsigned nic = 0;

    if (!child(root, "uuid")) {
        char uuid[37];

        pal_uuid_text(c->uuid, uuid);
        libxml.xmlNewChild(root, NULL, (const xmlChar *)"uuid", (const xmlChar *)uuid);
    }
    for (xmlNode *n = devices ? devices->children : NULL; n; n = n->next) {
        if (!is(n, "interface"))
            continue;
        if (!child(n, "mac"))
            put_mac(n, c->nic[nic].mac);
        if (!child(n, "target"))
            put_number(n, c->nic[nic].number);
        nic++;
    }
}

static char *text_of(xmlDoc *document, size_t *size)
{
    xmlChar *text = NULL;
    char *copy = NULL;
    int length = 0;

    libxml.xmlDocDumpMemoryEnc(document, &text, &length, "UTF-8");
    if (text && length > 0)
        copy = malloc(*size = (size_t)length);
    if (copy)
        memcpy(copy, text, *size);
    (*libxml.xmlFree)(text);
    return copy;
}

int config_tree_keep(struct pal_config *c, xmlDoc *document, struct pal_error *e)
{
    fill_in(c, libxml.xmlDocGetRootElement(document));
    c->xml = text_of(document, &c->xml_size);
    return c->xml ? 0 : pal_fail(e, PAL_SYS_FAILED, "out of memory");
}

/* ---- devices that come and go ---- */

static xmlDoc *tree_of(const struct pal_config *c, struct pal_error *e)
{
    xmlDoc *document = libxml_load(e) ? NULL
                                      : libxml.xmlReadMemory(c->xml, (int)c->xml_size, RECORD, NULL,
                                                             XML_PARSE_NONET | XML_PARSE_NOCDATA);

    if (!document)
        pal_fail(e, PAL_SYS_FAILED, "%s cannot be read", RECORD);
    return document;
}

int pal_config_settle(struct pal_config *c, struct pal_error *e)
{
    xmlDoc *document = tree_of(c, e);
    xmlNode *root = document ? libxml.xmlDocGetRootElement(document) : NULL;
    char uuid[37], *text;
    size_t size;

    if (!document)
        return -1;
    pal_uuid_text(c->uuid, uuid);
    libxml.xmlNodeSetContent(child(root, "name"), (const xmlChar *)c->name);
    libxml.xmlNodeSetContent(child(root, "uuid"), (const xmlChar *)uuid);
    text = text_of(document, &size);
    libxml.xmlFreeDoc(document);
    if (!text)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    free(c->xml);
    c->xml = text;
    c->xml_size = size;
    return 0;
}

/* Read the changed tree, and give it up. */
static int parse(xmlDoc *document, struct pal_config *changed, struct pal_error *e)
{
    size_t size;
    char *text = text_of(document, &size);
    int rc = text ? pal_config_parse(changed, RECORD, text, size, e)
                  : pal_fail(e, PAL_SYS_FAILED, "out of memory");

    free(text);
    libxml.xmlFreeDoc(document);
    return rc;
}

static xmlNode *devices_of(xmlDoc *document)
{
    xmlNode *root = libxml.xmlDocGetRootElement(document), *devices = child(root, "devices");

    return devices ? devices : add(root, "devices");
}

int pal_config_add_disk(const struct pal_config *c, const struct pal_disk *disk,
                        struct pal_config *changed, struct pal_error *e)
{
    xmlDoc *document = tree_of(c, e);
    xmlNode *node, *part;

    memset(changed, 0, sizeof(*changed));
    if (!document)
        return -1;
    node = add(devices_of(document), "disk");
    set(node, "type", disk->is_block ? "block" : "file");
    set(node, "device", "disk");
    part = add(node, "driver");
    set(part, "name", disk->backend == PAL_BACKEND_PAL ? "pal" : "phy");
    set(part, "type", disk->base ? "cow" : "raw");
    if (disk->backend == PAL_BACKEND_PAL)
        set(part, "cache", pal_cache_name(disk->cache));
    if (disk->base) {
        part = add(node, "backingStore");
        set(part, "type", disk->base_is_block ? "block" : "file");
        set(add(part, "format"), "type", "raw");
        set(add(part, "source"), disk->base_is_block ? "dev" : "file", disk->base);
    }
    set(add(node, "source"), disk->is_block ? "dev" : "file", disk->source);
    set(add(node, "target"), "dev", disk->target);
    if (disk->read_only)
        add(node, "readonly");
    return parse(document, changed, e);
}

int pal_config_add_nic(const struct pal_config *c, const struct pal_nic *nic,
                       struct pal_config *changed, struct pal_error *e)
{
    xmlDoc *document = tree_of(c, e);
    xmlNode *node;
    char text[PAL_ADDRESS_TEXT];

    memset(changed, 0, sizeof(*changed));
    if (!document)
        return -1;
    node = add(devices_of(document), "interface");
    set(node, "type", "bridge");
    if (nic->trusted)
        set(node, "trustGuestRxFilters", "yes");
    put_mac(node, nic->mac);
    put_number(node, nic->number);
    set(add(node, "source"), "bridge", nic->bridge);
    for (unsigned i = 0; i < nic->ips; i++) {
        pal_address_text(&nic->ip[i], text);
        set(add(node, "ip"), "address", text);
    }
    if (nic->rate_kib) {
        snprintf(text, sizeof(text), "%" PRIu64, nic->rate_kib);
        set(add(add(node, "bandwidth"), "outbound"), "average", text);
    }
    return parse(document, changed, e);
}

/* Drop the element of that kind whose child has that value. */
static int drop(const struct pal_config *c, const char *kind, const char *part, const char *name,
                const char *value, struct pal_config *changed, struct pal_error *e)
{
    xmlDoc *document = tree_of(c, e);

    memset(changed, 0, sizeof(*changed));
    if (!document)
        return -1;
    for (xmlNode *n = devices_of(document)->children; n; n = n->next) {
        if (!is(n, kind) || !has_value(child(n, part), name, value))
            continue;
        libxml.xmlUnlinkNode(n);
        libxml.xmlFreeNode(n);
        break;
    }
    return parse(document, changed, e);
}

int pal_config_drop_disk(const struct pal_config *c, const char *target, struct pal_config *changed,
                         struct pal_error *e)
{
    return drop(c, "disk", "target", "dev", target, changed, e);
}

int pal_config_drop_nic(const struct pal_config *c, const uint8_t mac[6],
                        struct pal_config *changed, struct pal_error *e)
{
    char text[PAL_MAC_TEXT];

    pal_mac_text(mac, text);
    return drop(c, "interface", "mac", "address", text, changed, e);
}

/* ---- regions ---- */

static xmlNode *ours_of(xmlDoc *document)
{
    xmlNode *root = libxml.xmlDocGetRootElement(document), *metadata = child(root, "metadata");
    xmlNode *ours;

    for (ours = metadata ? metadata->children : NULL; ours; ours = ours->next) {
        if (is(ours, "domain") && ours->ns && !strcmp((const char *)ours->ns->href, PAL_NAMESPACE))
            return ours;
    }
    ours = add(metadata ? metadata : add(root, "metadata"), "domain");
    if (ours)
        libxml.xmlSetNs(
            ours, libxml.xmlNewNs(ours, (const xmlChar *)PAL_NAMESPACE, (const xmlChar *)"pal"));
    return ours;
}

int pal_config_set_region(const struct pal_config *c, const char *name, const char *access,
                          struct pal_config *changed, struct pal_error *e)
{
    xmlDoc *document = tree_of(c, e);
    xmlNode *ours, *node;

    memset(changed, 0, sizeof(*changed));
    if (!document)
        return -1;
    ours = ours_of(document);
    for (node = ours ? ours->children : NULL; node; node = node->next) {
        if (is(node, "region") && has_value(node, "name", name)) {
            libxml.xmlUnlinkNode(node);
            libxml.xmlFreeNode(node);
            break;
        }
    }
    if (access) {
        node = add(ours, "region"); /* in its parent's namespace */
        set(node, "name", name);
        set(node, "access", access);
    }
    return parse(document, changed, e);
}

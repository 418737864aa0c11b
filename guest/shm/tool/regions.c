/* SPDX-License-Identifier: MIT */
/* Verbs about regions themselves: ls, create, allow, destroy, cat. */
#include "tool.h"
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int list_regions(void)
{
    static struct palshm_info list[1024];
    palshm *p = palshm_open();
    int n;

    if (!p)
        return complain(NULL, "opening the store");
    n = palshm_list(p, list, 1024);
    n = n < 1024 ? n : 1024;
    printf("%-24s %10s %-6s %s\n", "REGION", "SIZE/KiB", "ACCESS", "DOMAINS");
    for (int i = 0; i < n; i++) {
        printf("%-24s %10llu %-6s", list[i].name, (unsigned long long)list[i].pages * 4,
               list[i].writable ? "rw" : "ro");
        for (uint32_t m = 0; m < list[i].members; m++)
            printf("%s%u", m ? "," : " ", list[i].member[m]);
        printf("\n");
    }
    palshm_close(p);
    return 0;
}

int verb_ls(const struct options *o, int argc, char **argv)
{
    return argc ? client_list(o, argv[0]) : list_regions();
}

int verb_create(const struct options *o, int argc, char **argv)
{
    palshm *p = palshm_open();
    uint64_t bytes;
    int status = 0;

    (void)o, (void)argc;
    if (!p)
        return complain(NULL, "opening the store");
    if (!parse_size(argv[1], &bytes) || !bytes) {
        complain_text("\"%s\" is no size: bytes, with K, M or G behind", argv[1]);
        status = EXIT_USAGE;
    } else if (palshm_create(p, argv[0], (bytes + PALSHM_PAGE - 1) / PALSHM_PAGE)) {
        status = complain(p, "region %s", argv[0]);
    } else {
        printf("%s: others open it as %u:%s\n", argv[0], palshm_domain(p), argv[0]);
    }
    palshm_close(p);
    return status;
}

int verb_allow(const struct options *o, int argc, char **argv)
{
    palshm *p = palshm_open();
    int status = 0;

    (void)o;
    if (!p)
        return complain(NULL, "opening the store");
    for (int i = 1; i < argc && !status; i++) {
        char *end;
        unsigned long domain = strtoul(argv[i], &end, 10);
        char access = !strcmp(end, ":rw")   ? 'w'
                      : !strcmp(end, ":ro") ? 'r'
                      : !strcmp(end, ":no") ? 'n'
                                            : 0;

        if (end == argv[i] || domain > UINT16_MAX || !access) {
            complain_text("\"%s\" is not NUMBER:rw, NUMBER:ro or NUMBER:no", argv[i]);
            status = EXIT_USAGE;
        } else if (palshm_allow(p, argv[0], (uint32_t)domain, access)) {
            status = complain(p, "region %s, domain %lu", argv[0], domain);
        }
    }
    palshm_close(p);
    return status;
}

int verb_destroy(const struct options *o, int argc, char **argv)
{
    palshm *p = palshm_open();
    int status = 0;

    (void)o, (void)argc;
    if (!p)
        return complain(NULL, "opening the store");
    if (palshm_destroy(p, argv[0]))
        status = complain(p, "region %s", argv[0]);
    palshm_close(p);
    return status;
}

/* Standard input into the region until either ends. */
static bool fill(uint8_t *at, uint64_t length)
{
    static char buffer[65536];

    for (uint64_t done = 0; done < length;) {
        ssize_t got =
            read(0, buffer, length - done < sizeof(buffer) ? length - done : sizeof(buffer));

        if (got <= 0)
            return got == 0;
        memcpy(at + done, buffer, (size_t)got);
        done += (uint64_t)got;
    }
    return true;
}

int verb_cat(const struct options *o, int argc, char **argv)
{
    uint64_t offset = 0, length = 0, size, first;
    struct session s;
    uint8_t *at;
    int status;

    if ((argc > 0 && !parse_size(argv[0], &offset)) ||
        (argc > 1 && !parse_size(argv[1], &length))) {
        complain_text("usage: palshm cat [OFFSET [LENGTH]]");
        return EXIT_USAGE;
    }
    if ((status = session_open(&s, o)))
        return status;
    catch_revocation();
    size = palshm_region_info(s.r)->pages * PALSHM_PAGE;
    if (offset > size || length > size - offset) {
        complain_text("region %s has %llu bytes only", palshm_region_info(s.r)->name,
                      (unsigned long long)size);
        session_close(&s);
        return EXIT_USAGE;
    }
    if (!length)
        length = size - offset;
    first = offset / PALSHM_PAGE * PALSHM_PAGE;
    at = length
             ? palshm_map(s.r, first,
                          (offset + length - first + PALSHM_PAGE - 1) / PALSHM_PAGE * PALSHM_PAGE,
                          o->write)
             : NULL;
    if (length && !at)
        status = complain(s.p, "region %s", palshm_region_info(s.r)->name);
    else if (length && !(o->write ? fill(at + offset - first, length)
                                  : write_all(1, at + offset - first, length)))
        status = complain(NULL, o->write ? "standard input" : "standard output");
    session_close(&s);
    return status;
}

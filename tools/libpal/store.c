/* SPDX-License-Identifier: MIT */
#include "libpal/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET    "/run/xenstored/socket"
#define PATH_MOST 512
#define TRIES     20

/* Without its daemon the library goes to the kernel's device, where who asks waits for ever. */
static bool daemon_answers(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address));

    if (fd >= 0)
        close(fd);
    return answers;
}

int pal_store_open(struct pal_store *s, struct pal_error *e)
{
    if (!daemon_answers())
        return pal_fail(e, PAL_STORE_ABSENT, "xenstored does not answer at %s", SOCKET);
    s->xs = xs_open(0);
    if (!s->xs)
        return pal_fail(e, PAL_STORE_ABSENT, "the store cannot be reached: %s", strerror(errno));
    return 0;
}

void pal_store_close(struct pal_store *s)
{
    if (s->xs)
        xs_close(s->xs);
    s->xs = NULL;
}

static void make_path(char path[PATH_MOST], const char *format, va_list args)
{
    if (vsnprintf(path, PATH_MOST, format, args) >= PATH_MOST)
        abort(); /* all our paths are short */
}

char *pal_store_read(struct pal_store *s, const char *format, ...)
{
    char path[PATH_MOST];
    unsigned length;
    va_list args;

    va_start(args, format);
    make_path(path, format, args);
    va_end(args);
    return xs_read(s->xs, XBT_NULL, path, &length);
}

int pal_store_write(struct pal_store *s, struct pal_error *e, const char *path, const char *value)
{
    if (!xs_write(s->xs, XBT_NULL, path, value, (unsigned)strlen(value)))
        return pal_fail(e, PAL_STORE_REFUSED, "the store refused %s: %s", path, strerror(errno));
    return 0;
}

void pal_store_remove(struct pal_store *s, const char *format, ...)
{
    char path[PATH_MOST];
    va_list args;

    va_start(args, format);
    make_path(path, format, args);
    va_end(args);
    xs_rm(s->xs, XBT_NULL, path);
}

static unsigned fill_rights(const struct pal_rights *r, struct xs_permissions p[2])
{
    p[0] = (struct xs_permissions){0, XS_PERM_NONE};
    p[1] = (struct xs_permissions){r->reader, XS_PERM_READ};
    switch (r->access) {
    case PAL_ACCESS_NONE:
        return 1;
    case PAL_ACCESS_READ:
        return 2;
    case PAL_ACCESS_OWN:
        p[0].id = r->reader;
        return 1;
    case PAL_ACCESS_OWN_READ:
        p[0].id = r->owner;
        return 2;
    }
    return 1;
}

void pal_batch_put(struct pal_batch *b, const struct pal_rights *rights, const char *value,
                   const char *format, ...)
{
    struct xs_permissions p[2];
    char path[PATH_MOST];
    va_list args;

    va_start(args, format);
    make_path(path, format, args);
    va_end(args);
    if (b->failed)
        return;
    if (!xs_write(b->store->xs, b->t, path, value, (unsigned)strlen(value)) ||
        !xs_set_permissions(b->store->xs, b->t, path, p, fill_rights(rights, p))) {
        b->failed = true;
        pal_fail(b->e, PAL_STORE_REFUSED, "the store refused %s: %s", path, strerror(errno));
    }
}

int pal_store_batch(struct pal_store *s, void (*work)(struct pal_batch *b, void *data), void *data,
                    struct pal_error *e)
{
    for (unsigned i = 0; i < TRIES; i++) {
        struct pal_batch b = {s, e, xs_transaction_start(s->xs), false};

        if (b.t == XBT_NULL)
            return pal_fail(e, PAL_STORE_REFUSED, "no transaction: %s", strerror(errno));
        work(&b, data);
        if (b.failed) {
            xs_transaction_end(s->xs, b.t, true);
            return -1;
        }
        if (xs_transaction_end(s->xs, b.t, false))
            return 0;
        if (errno != EAGAIN)
            return pal_fail(e, PAL_STORE_REFUSED, "a transaction failed: %s", strerror(errno));
    }
    return pal_fail(e, PAL_STORE_REFUSED, "the store is too busy: %u transactions failed", TRIES);
}

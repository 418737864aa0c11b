/* SPDX-License-Identifier: MIT */
/*
 * The store (xenstored): names, ring pages and device states of domains. Writing goes through a
 * batch, so that a failure in the middle leaves nothing behind.
 */
#ifndef LIBPAL_STORE_H
#define LIBPAL_STORE_H

#include "libpal/error.h"

#include <stdint.h>

#include <xenstore.h>

struct pal_store {
    struct xs_handle *xs;
};

int pal_store_open(struct pal_store *s, struct pal_error *e);
void pal_store_close(struct pal_store *s);

/* The value at a path made of the format; NULL when there is none. To be freed. What a guest may
 * have written must be treated as such. */
char *pal_store_read(struct pal_store *s, const char *path, ...)
    __attribute__((format(printf, 2, 3)));
int pal_store_write(struct pal_store *s, struct pal_error *e, const char *path, const char *value);
/* Remove it and all under it; that it is not there is no error. */
void pal_store_remove(struct pal_store *s, const char *path, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- several changes at once ---- */

/* Who may touch a new node: domain 0 always. */
enum pal_access {
    PAL_ACCESS_NONE,     /* nobody else */
    PAL_ACCESS_READ,     /* the reader reads */
    PAL_ACCESS_OWN,      /* the reader owns it: may write, and make nodes under it */
    PAL_ACCESS_OWN_READ, /* the owner owns it, the reader reads */
};
struct pal_rights {
    enum pal_access access;
    uint32_t reader, owner;
};

struct pal_batch {
    struct pal_store *store;
    struct pal_error *e;
    xs_transaction_t t;
    bool failed;
};

/* Run work(batch, data) in a transaction, again when somebody else interfered. */
int pal_store_batch(struct pal_store *s, void (*work)(struct pal_batch *b, void *data), void *data,
                    struct pal_error *e);
/* In the work: write a node with these rights. A failure is kept in the batch. */
void pal_batch_put(struct pal_batch *b, const struct pal_rights *rights, const char *value,
                   const char *path, ...) __attribute__((format(printf, 4, 5)));

#endif

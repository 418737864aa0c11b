/* SPDX-License-Identifier: MIT */
/* Doubly linked circular list. A head and an entry are the same struct. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/types.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name)                                                                            \
    {                                                                                              \
        &(name), &(name)                                                                           \
    }

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_insert_before(struct list *at, struct list *entry)
{
    entry->prev = at->prev;
    entry->next = at;
    at->prev->next = entry;
    at->prev = entry;
}
static inline void list_push_front(struct list *head, struct list *entry)
{
    list_insert_before(head->next, entry);
}
static inline void list_push_back(struct list *head, struct list *entry)
{
    list_insert_before(head, entry);
}
/* Unlink; the entry is left pointing at itself, so that removing twice is harmless. */
static inline void list_remove(struct list *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    list_init(entry);
}
#define list_first(head, type, member) container_of((head)->next, type, member)
#define list_for_each(pos, head, type, member)                                                     \
    for (type *pos = container_of((head)->next, type, member); &pos->member != (head);             \
         pos = container_of(pos->member.next, type, member))
#define list_for_each_safe(pos, tmp, head, type, member)                                           \
    for (type *pos = container_of((head)->next, type, member),                                     \
              *tmp = container_of(pos->member.next, type, member);                                 \
         &pos->member != (head); pos = tmp, tmp = container_of(pos->member.next, type, member))

#endif

/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "image/limits.h"
#include "image/reader_state.h"
#include "image/tools.h"

/* A range of frames that differ in the same way, not yet told. */
struct teller {
    image_diff_fn *visit;
    void *context;
    uint32_t gfn, count;
    enum image_difference how;
};

static bool tell(struct teller *t)
{
    bool go_on = !t->count || !t->visit || t->visit(t->context, t->gfn, t->count, t->how);

    t->count = 0;
    return go_on;
}

static bool add(struct teller *t, uint32_t gfn, enum image_difference how)
{
    if (t->count && t->how == how && t->gfn + t->count == gfn) {
        t->count++;
        return true;
    }
    if (!tell(t))
        return false;
    t->gfn = gfn;
    t->count = 1;
    t->how = how;
    return true;
}

static bool is_table(uint8_t type)
{
    uint8_t level = type & (uint8_t)~IMAGE_PINNED;

    return level >= IMAGE_L1 && level <= IMAGE_L4;
}

/* One frame: -1 with the error set, 0 go on, 1 enough. */
static int compare(struct image_reader *a, struct image_reader *b, uint32_t gfn,
                   struct teller *teller, struct image_diff *result, struct pal_error *e)
{
    uint8_t page[2][IMAGE_PAGE_SIZE], type[2] = {IMAGE_NORMAL, IMAGE_NORMAL};
    int first = image_reader_page(a, gfn, &type[0], page[0], e);
    int second = first < 0 ? -1 : image_reader_page(b, gfn, &type[1], page[1], e);
    enum image_difference how;

    if (first < 0 || second < 0)
        return -1;
    if (first || second)
        how = first ? IMAGE_ONLY_SECOND : IMAGE_ONLY_FIRST;
    else if (type[0] != type[1])
        how = IMAGE_DIFFERS_TYPE;
    else if (memcmp(page[0], page[1], IMAGE_PAGE_SIZE))
        how = IMAGE_DIFFERS_CONTENT;
    else {
        result->same++;
        return 0;
    }
    result->differ[how]++;
    result->tables += is_table(type[0]) || is_table(type[1]);
    return add(teller, gfn, how) ? 0 : 1;
}

static int compare_pages(struct image_reader *a, struct image_reader *b, struct teller *teller,
                         struct image_diff *result, struct pal_error *e)
{
    uint64_t i = 0, j = 0;

    for (;;) {
        uint64_t gfn;
        int rc;

        i = bitmap_next(a->bitmap, a->domain.frames, i);
        j = bitmap_next(b->bitmap, b->domain.frames, j);
        i = i == a->domain.frames ? UINT64_MAX : i;
        j = j == b->domain.frames ? UINT64_MAX : j;
        gfn = i < j ? i : j;
        if (gfn == UINT64_MAX)
            break;
        rc = compare(a, b, (uint32_t)gfn, teller, result, e);
        if (rc)
            return rc < 0 ? -1 : 0;
        i = j = gfn + 1;
    }
    tell(teller);
    return 0;
}

static bool states_differ(const struct image_reader *a, const struct image_reader *b)
{
    if (a->state_count != b->state_count)
        return true;
    for (unsigned i = 0; i < a->state_count; i++) {
        const struct reader_state *s = &a->states[i];
        size_t length;
        const void *other =
            image_reader_state(b, (enum image_state_kind)s->head.kind, s->head.vcpu, &length);

        if (!other || length != s->length || memcmp(other, s->data, length))
            return true;
    }
    return false;
}

static int compare_images(struct image_reader *a, struct image_reader *b, struct teller *teller,
                          struct image_diff *result, struct pal_error *e)
{
    if (image_reader_seek_index(a, e) || image_reader_seek_index(b, e))
        return -1;
    *result = (struct image_diff){0};
    result->description =
        a->xml_length != b->xml_length || memcmp(a->xml, b->xml, a->xml_length) != 0;
    result->states = states_differ(a, b);
    return compare_pages(a, b, teller, result, e);
}

int image_diff(const char *first, const char *second, image_diff_fn *visit, void *context,
               struct image_diff *result, struct pal_error *e)
{
    struct teller teller = {.visit = visit, .context = context};
    struct image_reader *a = image_reader_open(first, e);
    struct image_reader *b = a ? image_reader_open(second, e) : NULL;
    int rc = b ? compare_images(a, b, &teller, result, e) : -1;

    image_reader_free(a);
    image_reader_free(b);
    return rc;
}

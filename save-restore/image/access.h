/* SPDX-License-Identifier: MIT */
#ifndef IMAGE_ACCESS_H
#define IMAGE_ACCESS_H

#include "image/reader_state.h"

/*
 * After image_reader_seek_index(): a chunk's body, checked by itself and against the index. The input stands at
 * its data then, and r->record is its header.
 */
int access_chunk(struct image_reader *r, uint64_t number, struct chunk *chunk, struct pal_error *e);

#endif

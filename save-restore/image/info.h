/* SPDX-License-Identifier: MIT */
#ifndef IMAGE_INFO_H
#define IMAGE_INFO_H

#include "image/tools.h"

/* What a reader that has read its image, or its index, knows by itself. */
void image_info_front(const struct image_reader *r, struct image_info *info);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Random play on a small pool: three domains, a dozen frames and a table tree each. A round is up
 * to three operations, each OP_BYTES long, carried out at the same time by different vCPUs.
 */
#ifndef TESTS_HOST_MM_PLAY_H
#define TESTS_HOST_MM_PLAY_H

#include "../fake_env.h"

#define OP_BYTES    6
#define ROUND_OPS   3
#define ROUND_BYTES (2 + ROUND_OPS * OP_BYTES) /* seed of the switches, then the operations */

void play_start(void);
/* One round of ROUND_BYTES bytes; ends with nothing under way. */
void play_round(const uint8_t *bytes);
void play_end(void);

#endif

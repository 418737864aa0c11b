/* SPDX-License-Identifier: MIT */
/* libFuzzer target: sequences of memory operations by several vCPUs, audit after each round. */
#include "play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    play_start();
    for (; size >= ROUND_BYTES; data += ROUND_BYTES, size -= ROUND_BYTES) {
        play_round(data);
        fake_check();
    }
    play_end();
    return 0;
}

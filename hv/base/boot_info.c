/* SPDX-License-Identifier: MIT */
#include "base/boot_info.h"
#include "base/log.h"

struct boot_info boot_info;
struct boot_options boot_options = {.loglvl = LOG_INFO};

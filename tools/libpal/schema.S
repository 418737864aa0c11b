/* SPDX-License-Identifier: MIT */
/* The schema as data of the program. */
    .section .rodata
    .globl pal_schema, pal_schema_end
    .type pal_schema, @object
pal_schema:
    .incbin "tools/libpal/schema.rng"
pal_schema_end:
    .byte 0
    .size pal_schema, . - pal_schema
    .section .note.GNU-stack, "", @progbits

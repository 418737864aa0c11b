/* SPDX-License-Identifier: MIT */
/*
 * Writes every kind of instruction that the decoder accepts (prefixes x opcodes x operand bytes)
 * one behind the other to the file argv[1], and "offset length operation size" of each to standard
 * output, for check_decoder.py.
 */
#include <stdio.h>
#include <string.h>
#include "../../../hv/x86/decode.h"

static const char *const names[] = {
    [INSN_ADD] = "add",       [INSN_OR] = "or",           [INSN_ADC] = "adc",
    [INSN_SBB] = "sbb",       [INSN_AND] = "and",         [INSN_SUB] = "sub",
    [INSN_XOR] = "xor",       [INSN_XCHG] = "xchg",       [INSN_CMPXCHG] = "cmpxchg",
    [INSN_XADD] = "xadd",     [INSN_BTS] = "bts",         [INSN_BTR] = "btr",
    [INSN_BTC] = "btc",       [INSN_INC] = "inc",         [INSN_DEC] = "dec",
    [INSN_NOT] = "not",       [INSN_NEG] = "neg",         [INSN_CMPXCHG8B] = "cmpxchg8b",
    [INSN_MOV] = "mov",       [INSN_SGDT] = "sgdt",       [INSN_SIDT] = "sidt",
    [INSN_SLDT] = "sldt",     [INSN_STR] = "str",         [INSN_SMSW] = "smsw",
    [INSN_IN] = "in",         [INSN_OUT] = "out",         [INSN_INS] = "ins",
    [INSN_OUTS] = "outs",     [INSN_HLT] = "hlt",         [INSN_CLI] = "cli",
    [INSN_STI] = "sti",       [INSN_CLTS] = "clts",       [INSN_INVD] = "invd",
    [INSN_WBINVD] = "wbinvd", [INSN_INVLPG] = "invlpg",   [INSN_FROM_CR] = "from_cr",
    [INSN_TO_CR] = "to_cr",   [INSN_FROM_DR] = "from_dr", [INSN_TO_DR] = "to_dr",
    [INSN_RDMSR] = "rdmsr",   [INSN_WRMSR] = "wrmsr",     [INSN_RDTSC] = "rdtsc",
    [INSN_RDTSCP] = "rdtscp", [INSN_XSETBV] = "xsetbv",   [INSN_CPUID] = "cpuid",
};

static const char *const prefixes[] = {"",     "\x66", "\x48", "\x40",     "\x45",    "\xf0",
                                       "\xf3", "\x67", "\x64", "\xf0\x48", "\x66\x43"};
static const uint8_t sibs[] = {0x00, 0x24, 0x25, 0x65, 0xa4, 0xfd, 0x98};

/* Prefixes are given above; one in the place of an opcode only makes the text of objdump ambiguous.
 */
static bool is_prefix(unsigned b)
{
    return (b & 0xf0) == 0x40 || (b & 0xe7) == 0x26 || (b >= 0x64 && b <= 0x67) || b == 0xf0 ||
           b == 0xf2 || b == 0xf3;
}

static FILE *code;
static unsigned offset;

static void try(const char *prefix, bool two, unsigned opcode, unsigned modrm, uint8_t sib)
{
    uint8_t bytes[INSN_MAX_BYTES];
    struct insn insn;
    unsigned n = (unsigned)strlen(prefix);

    memcpy(bytes, prefix, n);
    if (!two && is_prefix(opcode))
        return;
    if (two)
        bytes[n++] = 0x0f;
    bytes[n++] = (uint8_t)opcode;
    bytes[n++] = (uint8_t)modrm;
    bytes[n++] = sib;
    while (n < sizeof(bytes))
        bytes[n++] = 0x11;
    if (insn_decode(bytes, sizeof(bytes), &insn) != INSN_OK)
        return;
    fwrite(bytes, 1, insn.length, code);
    printf("%x %u %s %u\n", offset, insn.length, names[insn.op], insn.size);
    offset += insn.length;
}

int main(int argc, char **argv)
{
    if (argc != 2 || !(code = fopen(argv[1], "wb")))
        return 2;
    for (unsigned p = 0; p < ARRAY_SIZE(prefixes); p++)
        for (unsigned opcode = 0; opcode < 512; opcode++)
            for (unsigned modrm = 0; modrm < 256; modrm++)
                try(prefixes[p], opcode >> 8, opcode & 255, modrm,
                    sibs[(p + opcode + modrm) % ARRAY_SIZE(sibs)]);
    return fclose(code) != 0;
}

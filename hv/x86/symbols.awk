# SPDX-License-Identifier: MIT
# Sorted output of nm (addresses in 16 digits, of functions only) to assembly: the table of symbols.h.
BEGIN {
    print "\t.section .symbols, \"a\"\n\t.balign 8\n\t.globl symbol_table, symbol_count, symbol_names"
    print "symbol_table:"
}
$2 ~ /^[tT]$/ && $3 !~ /^(image|text|init|init_text)_(start|end)$/ && substr($1, 1, 8) == "ffff82c0" {
    print "\t.long 0x" substr($1, 9) ", " size + 0
    size += length($3) + 1
    list[count++] = $3
}
END {
    print "\t.balign 8\nsymbol_count:\n\t.quad " count + 0 "\nsymbol_names:"
    for (i = 0; i < count; i++)
        print "\t.asciz \"" list[i] "\""
    print "\t.section .note.GNU-stack, \"\", @progbits"
}

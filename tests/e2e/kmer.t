#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# berth-kmer against an independent count.
# shellcheck disable=SC2154 # builddir is set by lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
kmer=$builddir/berth-kmer

count_again() { # K N: words of K letters as text, in awk
    awk -v k="$1" '
        function count_record(   i, word) {
            for (i = 1; i <= length(record) - k + 1; i++) {
                word = substr(record, i, k)
                if (word !~ /[^ACGT]/)
                    seen[word]++
            }
            record = ""
        }
        /^>/ { count_record(); next }
        { gsub(/[ \t\r]/, ""); record = record toupper($0) }
        END { count_record(); for (word in seen) print word "\t" seen[word] }' |
        LC_ALL=C sort -t $'\t' -k2,2nr -k1,1 | sed "$2q"
}

# A genome out of a fixed generator: both cases, unknown letters, gaps, several records and line lengths.
awk 'BEGIN {
    x = 42
    for (r = 1; r <= 5; r++) {
        print ">record " r
        for (l = 0; l < 200; l++) {
            line = ""
            for (i = 0; i < 20 + 10 * r; i++) {
                x = (x * 1103515245 + 12345) % 2147483648
                line = line substr("ACGTacgtACGTacgtACGTacgtACGTNn-*", int(x / 67108864) + 1, 1)
            }
            print line
        }
    }
}' >"$T/genome.fa"

for k in 1 2 3 8 12; do
    is "$("$kmer" $k 25 <"$T/genome.fa")" "$(count_again $k 25 <"$T/genome.fa")" "words of $k letters"
done
is "$("$kmer" <"$T/genome.fa")" "$(count_again 8 10 <"$T/genome.fa")" "8 letters, 10 words if nothing is said"
is "$(sed 's/$/\r/' "$T/genome.fa" | "$kmer" 3)" "$("$kmer" 3 <"$T/genome.fa")" "lines may end in CR LF"
is "$(printf '>a\nACG\n>b\nTAC' | "$kmer" 3 9)" $'ACG\t1\nTAC\t1' "words do not reach over records"
is "$(printf '>a\nAA\nAA\n' | "$kmer" 3 9)" $'AAA\t2' "words reach over lines"
is "$(printf '>a\nAC\n' | "$kmer" 3 9; echo $?)" "0" "a sequence shorter than a word has none"
is "$(printf '>only a header' | "$kmer" 2>&1; echo $?)" \
    $'berth-kmer: line 1: no sequence in the input\n1' "a header without a sequence"
is "$("$kmer" 2>&1 </dev/null; echo $?)" $'berth-kmer: line 1: no sequence in the input\n1' "an empty input"
like "$(printf 'ACGT\n' | "$kmer" 2>&1)" "line 1: .*must start with '>'" "no FASTA at all"
like "$(printf '>a\nAC\n@b\nAC\n' | "$kmer" 2>&1)" 'line 3: .*only letters' "what stands in no sequence"
for arguments in 0 13 x '' '8 0' '8 x' '8 10 1' '-1' '4294967304'; do
    # shellcheck disable=SC2086 # a list, or nothing
    if [ -z "$arguments" ]; then set -- ''; else set -- $arguments; fi
    "$kmer" "$@" <"$T/genome.fa" >"$T/out" 2>&1
    is "$?" 2 "usage error: berth-kmer '$arguments'"
done
if [ -e /dev/full ]; then
    ok '! "$kmer" <"$T/genome.fa" >/dev/full' "a result that cannot be written is a failure"
fi

lambda=$(dpkg -L bowtie2-examples 2>/dev/null | grep -E '/lambda_virus\.fa(\.gz)?$' | head -n 1)
if [ -s "$lambda" ]; then
    gzip -cdf "$lambda" >"$T/lambda.fa"
    is "$("$kmer" 8 10 <"$T/lambda.fa")" "$(count_again 8 10 <"$T/lambda.fa")" "the lambda phage"
else
    skip "package bowtie2-examples is not installed"
fi

done_testing

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * berth-kmer: counts the words of K letters in a genome. Reads FASTA from standard input and prints
 * the N commonest words with their counts, the commonest first, equal ones in order of the
 * alphabet. An executer like any other: input on fd 0, answer on fd 1, complaint on fd 2.
 *
 * A word is packed two bits a letter, in the order A C G T, so that numeric order is alphabetical
 * order; the packed word is the index into a table of all 4^K counters. K is at most 12: 128 MiB.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K_MAX 12
#define TOP_MAX 1000000

/* Words that lie across a letter other than ACGT (N: unknown) are not counted, nor are words across records. */
struct counter {
    unsigned k;
    uint64_t *counts;   /* 4^k */
    uint64_t letters;   /* of sequence, seen */
    uint32_t word;      /* the last letters, packed */
    unsigned fill;      /* how many letters of word count, up to k */
};

struct top {
    uint32_t word;
    uint64_t count;
};

static int usage(void)
{
    fprintf(stderr, "usage: berth-kmer [K [N]] < FASTA\n"
                    "K: letters of a word, 1 to %d, default 8; N: words to print, default 10\n", K_MAX);
    return 2;
}

/* A whole decimal number from 1 to max. */
static bool parse_number(const char *s, unsigned long max, unsigned *ret)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(s, &end, 10);
    if (!isdigit((unsigned char)*s) || *end || errno || n < 1 || n > max)
        return false;
    *ret = (unsigned)n;
    return true;
}

static int letter_code(int c)
{
    switch (c) {
    case 'A': case 'a': return 0;
    case 'C': case 'c': return 1;
    case 'G': case 'g': return 2;
    case 'T': case 't': return 3;
    default: return -1;
    }
}

static void count_letter(struct counter *c, int letter)
{
    int code = letter_code(letter);
    c->letters++;
    if (code < 0) {
        c->fill = 0;
        return;
    }
    c->word = (uint32_t)((c->word << 2 | (unsigned)code) & ((1ull << 2 * c->k) - 1));
    if (c->fill < c->k)
        c->fill++;
    if (c->fill == c->k)
        c->counts[c->word]++;
}

static int bad_input(unsigned long line, const char *what)
{
    fprintf(stderr, "berth-kmer: line %lu: %s\n", line, what);
    return 1;
}

/* Eats a header line. Returns its last character: a newline or EOF. */
static int skip_header(FILE *in)
{
    int ch;
    while ((ch = getc(in)) != EOF && ch != '\n')
        ;
    return ch;
}

/* Counts a whole FASTA file. Letters may be any of the alphabet (ambiguity codes) or a gap. */
static int count_file(struct counter *c, FILE *in)
{
    unsigned long line = 1;
    bool in_record = false, line_start = true;
    int ch;
    while ((ch = getc(in)) != EOF) {
        if (ch == '>' && line_start) {
            in_record = true;
            c->fill = 0;
            ch = skip_header(in);
        } else if (!isspace(ch)) {
            if (!in_record)
                return bad_input(line, "no FASTA: a record must start with '>'");
            if (!isalpha(ch) && ch != '-' && ch != '*')
                return bad_input(line, "no FASTA: only letters, '-' and '*' make a sequence");
            count_letter(c, ch);
        }
        line_start = ch == '\n';
        line += line_start;
    }
    if (ferror(in))
        return bad_input(line, strerror(errno));
    return c->letters ? 0 : bad_input(line, "no sequence in the input");
}

static int by_count(const void *a, const void *b)
{
    const struct top *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->word < y->word ? -1 : 1;
}

static void print_word(uint32_t word, unsigned k, uint64_t count)
{
    char text[K_MAX + 1];
    for (unsigned i = 0; i < k; i++)
        text[i] = "ACGT"[word >> 2 * (k - 1 - i) & 3];
    text[k] = '\0';
    printf("%s\t%llu\n", text, (unsigned long long)count);
}

static int print_top(const struct counter *c, unsigned n)
{
    size_t words = (size_t)1 << 2 * c->k, seen = 0;
    for (size_t w = 0; w < words; w++)
        seen += c->counts[w] > 0;
    struct top *top = calloc(seen ? seen : 1, sizeof(*top));
    if (!top) {
        fprintf(stderr, "berth-kmer: out of memory\n");
        return 1;
    }
    seen = 0;
    for (size_t w = 0; w < words; w++)
        if (c->counts[w])
            top[seen++] = (struct top){.word = (uint32_t)w, .count = c->counts[w]};
    qsort(top, seen, sizeof(*top), by_count);
    for (size_t i = 0; i < seen && i < n; i++)
        print_word(top[i].word, c->k, top[i].count);
    free(top);
    if (fflush(stdout) == 0)
        return 0;
    fprintf(stderr, "berth-kmer: writing the result: %s\n", strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    struct counter c = {.k = 8};
    unsigned n = 10;
    if (argc > 3 || (argc > 1 && !parse_number(argv[1], K_MAX, &c.k)) ||
        (argc > 2 && !parse_number(argv[2], TOP_MAX, &n)))
        return usage();
    c.counts = calloc((size_t)1 << 2 * c.k, sizeof(*c.counts));
    if (!c.counts) {
        fprintf(stderr, "berth-kmer: out of memory\n");
        return 1;
    }
    int status = count_file(&c, stdin);
    if (status == 0)
        status = print_top(&c, n);
    free(c.counts);
    return status;
}

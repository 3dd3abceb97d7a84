/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A first look at the config's text, because libconfig 1.5 (Debian 12)
 *   - reads 34359738368 as 0, and whatever else does not fit 32 bits as something else,
 *   - takes an unfinished comment for the end of the file, and a NUL byte too,
 *   - ends the whole process when an @include names a directory,
 *   - runs a string with a lost quote on into the lines that follow, and complains there,
 *   - does not say which key was given twice.
 * What is left for libconfig to refuse is the plain syntax error.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/str.h"
#include "config/tree.h"

#define SCAN_MAX_FILES 9 /* nested; libconfig stops at 10 */

struct scan_word {
    const char *s;
    size_t len;
    const char *file;
    int line;
    struct scan_word *next;
};

struct scan_level { /* an open bracket, or the whole file */
    char open;
    const char *file;
    int line;
    struct scan_word *names;
};

struct scan { /* what goes on from one file into those that it includes */
    struct arena *arena;
    const char *dir;
    struct berth_error *err;
    unsigned depth, files;
    struct scan_word
        pending; /* a bare word whose next token is not yet seen; s NULL: none */
    struct scan_level levels[TREE_MAX_DEPTH];
};

struct scan_file {
    struct scan *scan;
    const char *name;
    const char *line_start, *p, *end;
    int line;
};

static int scan_text(struct scan *s, const char *name, const char *text, size_t len);

#define scan_fail(f, ...) scan_fail_at((f)->scan, (f)->name, (f)->line, __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static int
scan_fail_at(struct scan *s, const char *file, int line, const char *format, ...)
{
    char text[sizeof s->err->text];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return berth_fail(s->err, EINVAL, "%s:%d: %s", file, line, text);
}

/* A name followed by '=': is it the group's first of that name? */
static int scan_name(struct scan *s, const struct scan_word *word)
{
    struct scan_level *level = &s->levels[s->depth];
    struct scan_word *copy;

    for (const struct scan_word *w = level->names; w; w = w->next)
        if (w->len == word->len && !memcmp(w->s, word->s, w->len))
            return scan_fail_at(s, word->file, word->line,
                                "key '%.*s' is given twice, first at %s:%d", (int)word->len,
                                word->s, w->file, w->line);
    copy = arena_alloc(s->arena, sizeof *copy);
    if (!copy)
        return berth_fail(s->err, ENOMEM, "out of memory");
    *copy = *word;
    copy->next = level->names;
    level->names = copy;
    return 0;
}

static bool scan_is_bool(const struct scan_word *w)
{
    return (w->len == 4 && !strncasecmp(w->s, "true", 4)) ||
           (w->len == 5 && !strncasecmp(w->s, "false", 5));
}

/* Settles the pending word, now that the next token is known to begin with c. */
static int scan_settle(struct scan *s, char c)
{
    struct scan_word word = s->pending;

    s->pending.s = NULL;
    if (!word.s || scan_is_bool(&word))
        return 0;
    if (c == '=' || c == ':')
        return scan_name(s, &word);
    return scan_fail_at(s, word.file, word.line,
                        "'%.*s' is neither a key (no '=' follows) nor a value (no quotes)",
                        (int)(word.len < 64 ? word.len : 64), word.s);
}

static void scan_newline(struct scan_file *f)
{
    f->line++;
    f->line_start = f->p + 1;
}

static int scan_comment(struct scan_file *f)
{
    int start = f->line;

    if (f->p[0] == '#' || (f->p[0] == '/' && f->p + 1 < f->end && f->p[1] == '/')) {
        while (f->p < f->end && *f->p != '\n')
            f->p++;
        return 0;
    }
    if (f->p + 1 >= f->end || f->p[1] != '*')
        return scan_fail(f, "unexpected '/'; a comment starts with '#', '//' or '/*'");
    for (f->p += 2; f->p < f->end; f->p++) {
        if (*f->p == '\n')
            scan_newline(f);
        if (f->p[0] == '*' && f->p + 1 < f->end && f->p[1] == '/') {
            f->p += 2;
            return 0;
        }
    }
    return scan_fail_at(f->scan, f->name, start, "this comment has no end ('*/')");
}

static int scan_string(struct scan_file *f)
{
    for (f->p++; f->p < f->end && *f->p != '\n'; f->p++) {
        if (*f->p == '"') {
            f->p++;
            return 0;
        }
        if (*f->p == '\\' && f->p + 1 < f->end && f->p[1] != '\n')
            f->p++;
    }
    return scan_fail(f, "a string is not closed on its line; a '\"' is missing");
}

/* Refuses an integer that libconfig would cut. What is no integer is left to it. */
static int scan_number(struct scan_file *f)
{
    const char *start = f->p, *digits = f->p + (*f->p == '-' || *f->p == '+');
    bool hex =
        digits + 1 < f->end && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    const char *stop = digits + (hex ? 2 : 0);
    unsigned long long n;
    unsigned long long max = (unsigned long long)INT32_MAX + (*start == '-');

    while (stop < f->end &&
           (hex ? isxdigit((unsigned char)*stop) : isdigit((unsigned char)*stop)))
        stop++;
    errno = 0;
    n = strtoull(digits, NULL, hex ? 16 : 10);
    for (f->p = stop; f->p < f->end && (isalnum((unsigned char)*f->p) || *f->p == '.');
         f->p++)
        if (!hex && (*f->p == 'e' || *f->p == 'E') && f->p + 1 < f->end &&
            (f->p[1] == '-' || f->p[1] == '+'))
            f->p++;
    if (stop < f->p && *stop == 'L')
        max = (unsigned long long)INT64_MAX + (*start == '-');
    else if (stop < f->p) /* a float, or nonsense */
        return 0;
    if (errno == ERANGE || n > (unsigned long long)INT64_MAX)
        return scan_fail(f, "the number %.*s is too large", (int)(stop - start), start);
    if (n > max)
        return scan_fail(
            f,
            "a number above 2147483647 needs an L behind it (%.*sL), or is written "
            "as a string with a unit, like \"32G\"",
            (int)(stop - start), start);
    return 0;
}

static int scan_word(struct scan_file *f)
{
    const char *start = f->p;

    while (f->p < f->end &&
           (isalnum((unsigned char)*f->p) || *f->p == '-' || *f->p == '_' || *f->p == '*'))
        f->p++;
    f->scan->pending = (struct scan_word){
        .s = start, .len = (size_t)(f->p - start), .file = f->name, .line = f->line};
    return 0;
}

static int scan_open(struct scan_file *f)
{
    struct scan *s = f->scan;

    if (s->depth + 1 >= TREE_MAX_DEPTH)
        return scan_fail(f, "brackets are nested deeper than %d", TREE_MAX_DEPTH - 1);
    s->levels[++s->depth] =
        (struct scan_level){.open = *f->p, .file = f->name, .line = f->line};
    f->p++;
    return 0;
}

static int scan_close(struct scan_file *f)
{
    struct scan *s = f->scan;
    const struct scan_level *level = &s->levels[s->depth];
    char want = level->open == '{' ? '}' : level->open == '[' ? ']' : ')';

    if (!s->depth)
        return scan_fail(f, "'%c' closes nothing", *f->p);
    if (*f->p != want)
        return scan_fail(f, "'%c' where '%c' should close the '%c' of %s:%d", *f->p, want,
                         level->open, level->file, level->line);
    s->depth--;
    f->p++;
    return 0;
}

static bool scan_only_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p == end;
}

/* Moves past `@include "path"` and gives the path, or NULL if that is not what stands there. */
static const char *scan_include_path(struct scan_file *f, struct arena *a)
{
    static const char word[] = "@include";
    const char *start, *stop, *eol = memchr(f->p, '\n', (size_t)(f->end - f->p));

    if (!eol)
        eol = f->end;
    if (!scan_only_blanks(f->line_start, f->p) || (size_t)(eol - f->p) < sizeof word ||
        memcmp(f->p, word, sizeof word - 1))
        return NULL;
    for (start = f->p + sizeof word - 1; start < eol && (*start == ' ' || *start == '\t');)
        start++;
    if (start == f->p + sizeof word - 1 || start == eol || *start++ != '"')
        return NULL;
    stop = memchr(start, '"', (size_t)(eol - start));
    if (!stop || stop == start || memchr(start, '\\', (size_t)(stop - start)))
        return NULL;
    f->p = stop + 1;
    for (const char *p = f->p; p < eol && *p != '#' && *p != '/' && *p != '\r'; p++)
        if (*p != ' ' && *p != '\t')
            return NULL;
    return arena_mem(a, start, (size_t)(stop - start));
}

static int scan_include(struct scan_file *f)
{
    struct scan *s = f->scan;
    const char *path = scan_include_path(f, s->arena), *full;
    char *text;
    size_t len;
    struct stat st;
    int r;

    if (!path)
        return scan_fail(f, "expected @include \"file\" on a line of its own");
    if (!s->dir)
        return scan_fail(f, "'@include' works only in a file");
    if (path[0] == '/')
        return scan_fail(
            f,
            "'@include' takes a path relative to the directory of the config, not "
            "'%s'",
            path);
    full = arena_fmt(s->arena, "%s/%s", s->dir, path);
    if (!full)
        return berth_fail(s->err, ENOMEM, "out of memory");
    if (s->files >= SCAN_MAX_FILES)
        return scan_fail(f, "'@include' is nested deeper than %d files", SCAN_MAX_FILES);
    if (!stat(full, &st) && !S_ISREG(st.st_mode))
        return scan_fail(f, "cannot include '%s': not a regular file", full);
    r = tree_read_text(full, &text, &len, s->err);
    if (r < 0)
        return berth_wrap(s->err, "%s:%d: cannot include it", f->name, f->line), r;
    const char *copy = arena_mem(s->arena, text, len);
    free(text);
    return copy ? scan_text(s, full, copy, len)
                : berth_fail(s->err, ENOMEM, "out of memory");
}

static int scan_token(struct scan_file *f)
{
    unsigned char c = (unsigned char)*f->p;
    int r = scan_settle(f->scan, (char)c);

    if (r < 0)
        return r;
    if (c == '"')
        return scan_string(f);
    if (c == '@')
        return scan_include(f);
    if (strchr("{[(", c))
        return scan_open(f);
    if (strchr("}])", c))
        return scan_close(f);
    if (isdigit(c) || c == '-' || c == '+' || c == '.')
        return scan_number(f);
    if (isalpha(c) || c == '*')
        return scan_word(f);
    if (strchr("=:;,", c))
        return f->p++, 0;
    if (c == '_')
        return scan_fail(f, "a name starts with a letter, not with '_'");
    return isprint(c) ? scan_fail(f, "unexpected character '%c'", c)
                      : scan_fail(f, "unexpected byte 0x%02x", c);
}

static int scan_text(struct scan *s, const char *name, const char *text, size_t len)
{
    struct scan_file f = {.scan = s,
                          .name = name,
                          .line_start = text,
                          .p = text,
                          .end = text + len,
                          .line = 1};
    int r = 0;

    s->files++;
    while (r >= 0 && f.p < f.end) {
        if (*f.p == '\n') {
            scan_newline(&f);
            f.p++;
        } else if (*f.p && strchr(" \t\r\f", *f.p)) {
            f.p++;
        } else if (!*f.p) {
            r = scan_fail(&f, "a NUL byte; is this a text file");
        } else if (*f.p == '#' || *f.p == '/') {
            r = scan_comment(&f);
        } else {
            r = scan_token(&f);
        }
    }
    s->files--;
    return r;
}

int tree_scan(struct arena *a, const char *file, const char *dir, const char *text,
              size_t len, struct berth_error *err)
{
    struct scan s = {.arena = a, .dir = dir, .err = err};
    struct berth_error own;
    int r;

    if (!err)
        s.err = &own;
    r = scan_text(&s, file, text, len);
    if (r >= 0)
        r = scan_settle(&s, '\0');
    if (r >= 0 && s.depth)
        r = scan_fail_at(&s, s.levels[s.depth].file, s.levels[s.depth].line,
                         "the '%c' of this line is not closed", s.levels[s.depth].open);
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Keys of a block against an option table. */
#include <errno.h>

#include "base/fail.h"
#include "plugin/loader.h"
#include "tap.h"

static const struct berth_option table[] = {
    {"listen", BERTH_OPTION_STRING, 0, "127.0.0.1", "address"},
    {"port", BERTH_OPTION_INT, 0, "2591", "number"},
    {"tls", BERTH_OPTION_BOOL, 0, "no", "whether"},
    {"factor", BERTH_OPTION_FLOAT, 0, "0.5", "ratio"},
    {"max_body", BERTH_OPTION_SIZE, 0, "8M", "bytes"},
    {"idle", BERTH_OPTION_DURATION, 0, "1.5s", "time"},
    {"roots", BERTH_OPTION_LIST, 0, "a, b b ,c", "list"},
    {"none", BERTH_OPTION_LIST, 0, "", "empty list"},
    {"unset", BERTH_OPTION_STRING, 0, NULL, "not set"},
    {"token", BERTH_OPTION_INT, BERTH_OPTION_SECRET, NULL, "secret"},
    {NULL, 0, 0, NULL, NULL},
};
static const struct berth_option needy[] = {
    {"url", BERTH_OPTION_STRING, BERTH_OPTION_REQUIRED, NULL, "where to"},
    {NULL, 0, 0, NULL, NULL},
};

static struct config_key key(const char *name, bool list, const char *const *values)
{
    return (struct config_key){
        .name = name, .values = values, .is_list = list, .file = "c.conf", .line = 4};
}

static void test_arguments(void)
{
    struct berth_error err = {0};
    struct options *o = NULL;
    is_int(options_resolve(table, NULL, NULL, &o, &err), -EINVAL, "no owner");
    is_int(options_resolve(table, NULL, "x", NULL, NULL), -EINVAL,
           "no result, no error struct");
    ok(!o, "the result is untouched");
    options_free(NULL);
    ok(!options_str(NULL, "x") && !options_int(NULL, "x") && !options_count(NULL, "x") &&
           !options_item(NULL, "x", 0) && options_float(NULL, "x") == 0,
       "readers take no options for empty ones");
    is_int(options_resolve(NULL, NULL, "x", &o, &err), 0, "no table and no keys are fine");
    ok(!options_str(o, "x") && !options_str(o, NULL), "and have nothing");
    options_free(o);
}

static void test_defaults(void)
{
    struct berth_error err = {0};
    struct options *o = NULL;
    is_int(options_resolve(table, NULL, "x", &o, &err), 0, "all defaults (%s)", err.text);
    is_str(options_str(o, "listen"), "127.0.0.1", "string");
    is_int(options_int(o, "port"), 2591, "int");
    is_int(options_int(o, "tls"), 0, "bool");
    ok(options_float(o, "factor") == 0.5, "float");
    is_int(options_int(o, "max_body"), 8 << 20, "size");
    is_int(options_int(o, "idle"), 1500, "duration");
    is_int(options_count(o, "roots"), 3, "list");
    is_str(options_item(o, "roots", 0), "a", "first of the list");
    is_str(options_item(o, "roots", 1), "b b", "blanks around an item go, within it stay");
    is_str(options_item(o, "roots", 2), "c", "last of the list");
    ok(!options_item(o, "roots", 3), "past the list");
    ok(!options_str(o, "roots"), "a list is no string");
    is_int(options_count(o, "none"), 0, "empty list");
    ok(!options_str(o, "unset") && !options_count(o, "unset"), "not set");
    ok(!options_str(o, "other"), "a name that is not in the table");
    options_free(o);
}

static void test_given(void)
{
    static const char *const yes[] = {"yes", NULL}, *const one[] = {"1G", NULL};
    static const char *const none[] = {NULL}, *const two[] = {"x", "y,z", NULL};
    struct config_key items[] = {key("tls", false, yes), key("max_body", false, one),
                                 key("roots", true, two), key("none", true, none)};
    const struct config_keys keys = {items, countof(items), NULL};
    struct berth_error err = {0};
    struct options *o = NULL;
    is_int(options_resolve(table, &keys, "x", &o, &err), 0, "given keys (%s)", err.text);
    is_int(options_int(o, "tls"), 1, "bool");
    is_int(options_int(o, "max_body"), 1 << 30, "size");
    ok(options_float(o, "max_body") == 1 << 30, "a number can be read as a float as well");
    is_int(options_count(o, "roots"), 2, "a given list takes the default's place");
    is_str(options_item(o, "roots", 1), "y,z", "its items are not split");
    is_int(options_count(o, "none"), 0, "a list may be empty");
    options_free(o);
}

static void refused(const struct berth_option *t, struct config_key item, const char *text,
                    const char *what)
{
    static const char *const own[] = {"capabilities", "groups", NULL};
    const struct config_keys keys = {&item, 1, own};
    struct berth_error err = {0};
    struct options *o = NULL;
    is_int(options_resolve(t, &keys, "transport 'http'", &o, &err), -EINVAL,
           "%s is refused", what);
    is_str(err.text, text, "%s: as told", what);
    ok(!o, "%s: the result is untouched", what);
    options_free(o);
}

static void test_refused(void)
{
    static const char *const x[] = {"x", NULL}, *const xy[] = {"x", "y", NULL};
    static const char *const none[] = {NULL}, *const huge[] = {"9999999999G", NULL};
#define AT "c.conf:4: transport 'http': "
    refused(table, key("lisen", false, x), AT "unknown key 'lisen', did you mean 'listen'?",
            "a typo");
    refused(table, key("capabilites", false, x),
            AT "unknown key 'capabilites', did you mean 'capabilities'?",
            "a typo of the core's key");
    refused(
        table, key("zzzzzz", false, x),
        AT
        "unknown key 'zzzzzz', its plugin has listen, port, tls, factor, max_body, idle, "
        "roots, none, unset, token",
        "a key like no other");
    refused(NULL, key("zzzzzz", false, x), AT "unknown key 'zzzzzz', its plugin has none",
            "any key where there is no table");
    refused(table, key("port", false, x), AT "key 'port' takes a whole number, not 'x'",
            "no int");
    refused(table, key("tls", false, x), AT "key 'tls' takes true or false, not 'x'",
            "no bool");
    refused(table, key("factor", false, x), AT "key 'factor' takes a number, not 'x'",
            "no float");
    refused(table, key("max_body", false, x),
            AT "key 'max_body' takes a size such as 512M, not 'x'", "no size");
    refused(table, key("max_body", false, huge),
            AT "key 'max_body' takes a size such as 512M, not '9999999999G'",
            "a size too large");
    refused(table, key("idle", false, x),
            AT "key 'idle' takes a duration such as 1.5s, not 'x'", "no duration");
    refused(table, key("roots", false, x),
            AT "key 'roots' takes a list such as [ \"a\", \"b\" ], not 'x'",
            "a scalar for a list");
    refused(table, key("listen", true, xy), AT "key 'listen' takes a string",
            "a list for a scalar");
    refused(table, key("listen", false, none), AT "key 'listen' takes a string",
            "no value");
    refused(table, key("listen", false, NULL), AT "key 'listen' takes a string",
            "no values");
    refused(table, key("token", false, x), AT "key 'token' takes a whole number",
            "a secret, not shown");
}

static void test_required(void)
{
    static const char *const x[] = {"x", NULL};
    struct config_key item = key("url", false, x);
    const struct config_keys keys = {&item, 1, NULL};
    struct berth_error err = {0};
    struct options *o = NULL;
    is_int(options_resolve(needy, NULL, "runtime 'r'", &o, &err), -EINVAL,
           "a required key is missing");
    is_str(err.text, "runtime 'r': key 'url' is missing (where to)", "as told");
    is_int(options_resolve(needy, &keys, "runtime 'r'", &o, &err), 0, "and is there");
    is_str(options_str(o, "url"), "x", "with its value");
    options_free(o);
}

int main(void)
{
    test_arguments();
    test_defaults();
    test_given();
    test_refused();
    test_required();
    return tap_done();
}

#include "harness.h"
#include "model/expression.h"
#include "model/functions.h"
#include "model/json.h"

/* What references lead to. Names that begin with "later" are known only when is_later is set. */
struct scope {
    const char *json; /* of a map "root.path" -> value */
    bool is_later;
};

static int look_up(void *argument, const struct reference *reference, struct value **ret_value,
                   struct error *err)
{
    const struct scope *scope = argument;
    CLEANUP(value_unrefp) struct value *map = NULL;
    CHECK(json_read(scope->json, strlen(scope->json), &map, NULL) == 0);
    CLEANUP(mem_freep)
    char *name =
        string_format("%s%s%s%s%s.%s", reference->type ? reference->type : "",
                      reference->type ? ":" : "", reference->root, reference->key ? "/" : "",
                      reference->key ? reference->key : "", reference->path);
    struct value *found = value_get(map, name);
    if (!found)
        return error_set(err, ERROR_NOT_FOUND, "no %s", name);
    bool is_unknown = strstr(name, "later") && !scope->is_later;
    *ret_value = !is_unknown                          ? value_ref(found)
                 : strstr(name, "typed")              ? value_unknown("integer", "")
                 : value_kind(found) == VALUE_UNKNOWN ? value_ref(found)
                                                      : NULL;
    return 0;
}

static const char *const world =
    "{\"var.name\": \"shop\", \"var.port\": 8080, \"var.list\": [\"b\", \"a\", \"b\"],"
    " \"var.map\": {\"x\": 1, \"y\": [2, 3]}, \"var.null\": null, \"var.half\": 0.5,"
    " \"var.three\": 3.0, \"var.yes\": true, \"var.dollar\": \"5$\", \"var.brace\": \"{x}\","
    " \"var.raw\": \"${x}\", \"var.net\": \"10.1.0.0/16\", \"var.secret\": {\"$secret\": \"d1\"},"
    " \"secret.db\": {\"$secret\": \"d2\", \"$origin\": \"${secret.db}\"},"
    " \"db.outputs.endpoint\": \"10.0.0.5\", \"opnsense:network:vlan:db.cidr[0]\": \"q\","
    " \"web/0.outputs.ip\": \"10.0.0.1\", \"web/\\\"a\\\".outputs.ip\": \"10.0.0.2\","
    " \"later.outputs.x\": \"X\", \"later.outputs.y\": \"$\", \"later.typed\": 7,"
    " \"later.list\": [\"p\", \"q\"], \"later.dollar\": \"{$\","
    " \"var.some\": [\"a\", {\"$unknown\": {\"type\": \"string\","
    "   \"origin\": \"pre-${later.outputs.x}\"}}],"
    " \"each.key\": \"k\", \"each.value\": {\"$unknown\": {\"type\": \"string\","
    "   \"origin\": \"v-${later.outputs.x}\"}}}";

/* The result as JSON, or "CODE@OFFSET: message". */
static char *outcome_of(const char *text, bool is_later)
{
    struct scope scope = {world, is_later};
    struct value *value = NULL;
    struct error err = {0};
    struct expression_fault fault = {0};
    char *outcome;
    if (expression_evaluate(text, look_up, &scope, &value, &fault, &err) < 0)
        outcome = string_format("%s@%zu: %s", diagnostic_code_to_string(fault.code), fault.offset,
                                error_message(&err));
    else
        outcome = json_text(value);
    value_unref(value);
    error_done(&err);
    return outcome;
}

struct row {
    const char *text;
    const char *want;
};

static void check_rows(const struct row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        CLEANUP(mem_freep) char *outcome = outcome_of(rows[i].text, false);
        if (strcmp(outcome, rows[i].want) != 0)
            printf("# of: %s\n", rows[i].text);
        CHECK_TEXT(outcome, rows[i].want);
    }
}

TEST(known_expressions_give_values_of_their_kind)
{
    static const struct row rows[] = {
        {"plain", "\"plain\""},
        {"", "\"\""},
        {"${var.name}", "\"shop\""},
        {"${ var.port }", "8080"},
        {"${var.list}", "[\"b\",\"a\",\"b\"]"},
        {"a-${var.name}-${var.port}", "\"a-shop-8080\""},
        {"${var.name}${var.name}", "\"shopshop\""},
        {"${var.half}/${var.three}/${var.yes}/${var.null}!", "\"0.5/3/true/!\""},
        {"$${x} $ $$ $x {y}", "\"${x} $ $$ $x {y}\""},
        {"$$${var.name}", "\"$${var.name}\""},
        {"${var.raw}!", "\"${x}!\""},
        {"${db.outputs.endpoint}", "\"10.0.0.5\""},
        {"${opnsense:network:vlan:db.cidr[0]}", "\"q\""},
        {"${web[0].outputs.ip} ${web[\"a\"].outputs.ip}", "\"10.0.0.1 10.0.0.2\""},
        {"${\"a}\\\"b\"}", "\"a}\\\"b\""},
        {"${-12}", "-12"},
        {"${1.50}", "1.5"},
        {"${[1, \"a\", null, [true]]}", "[1,\"a\",null,[true]]"},
        {"${{\"b\": 1, \"a\": {}}}", "{\"a\":{},\"b\":1}"},
        {"${var.secret}", "{\"$secret\":\"d1\"}"},
    };
    check_rows(rows, ARRAY_LENGTH(rows));
}

/* Results are those that the Terraform documentation gives for its functions. */
TEST(functions_do_what_terraform_says)
{
    static const struct row rows[] = {
        {"${cidrsubnet(\"172.16.0.0/12\", 4, 2)}", "\"172.18.0.0/16\""},
        {"${cidrsubnet(\"10.1.2.0/24\", 4, 15)}", "\"10.1.2.240/28\""},
        {"${cidrsubnet(\"fd00:fd12:3456:7890::/56\", 16, 162)}",
         "\"fd00:fd12:3456:7800:a200::/72\""},
        {"${cidrsubnet(var.net, 0, 0)}", "\"10.1.0.0/16\""},
        {"${cidrsubnet(\"::/0\", 128, 1)}", "\"::1/128\""},
        {"${cidrhost(\"10.12.112.0/20\", 16)}", "\"10.12.112.16\""},
        {"${cidrhost(\"10.12.112.0/20\", 268)}", "\"10.12.113.12\""},
        {"${cidrhost(\"fd00:fd12:3456:7890:00a2::/72\", 34)}", "\"fd00:fd12:3456:7890::22\""},
        {"${cidrhost(\"10.0.0.0/24\", -1)}", "\"10.0.0.255\""},
        {"${cidrnetmask(\"172.16.0.0/12\")}", "\"255.240.0.0\""},
        {"${cidrnetmask(\"0.0.0.0/0\")}", "\"0.0.0.0\""},
        {"${lower(\"HELLO\")} ${upper(\"hello\")} ${title(\"hello world-x it's\")}",
         "\"hello HELLO Hello World-X It'S\""},
        {"${format(\"Hello, %s!\", \"Ander\")}", "\"Hello, Ander!\""},
        {"${format(\"There are %d lights\", 4)}", "\"There are 4 lights\""},
        {"${format(\"%03d|%-5s|%5s|%+d|%x|%X|%o\", 7, \"ab\", \"cd\", 3, 255, 255, 8)}",
         "\"007|ab   |   cd|+3|ff|FF|10\""},
        {"${format(\"%.2f %5.1f %t %q %% %v %v\", 1.005, 2.25, true, \"a\\\"\", [1, \"x\"], 1.5)}",
         "\"1.00   2.2 true \\\"a\\\\\\\"\\\" % [1,\\\"x\\\"] 1.5\""},
        {"${join(\", \", [\"foo\", \"bar\", \"baz\"])}", "\"foo, bar, baz\""},
        {"${join(\"-\", [1, 2.5], [true])}", "\"1-2.5-true\""},
        {"${split(\",\", \"foo,bar,baz\")}", "[\"foo\",\"bar\",\"baz\"]"},
        {"${split(\",\", \"\")}", "[\"\"]"},
        {"${split(\"\", \"a\xc3\xa4\")}", "[\"a\",\"\xc3\xa4\"]"},
        {"${replace(\"1 + 2 + 3\", \"+\", \"-\")}", "\"1 - 2 - 3\""},
        {"${length([])} ${length([1, 2])} ${length(var.map)} ${length(\"h\xc3\xa4llo\")}",
         "\"0 2 2 5\""},
        {"${concat([\"a\", \"\"], [\"b\"], [])}", "[\"a\",\"\",\"b\"]"},
        {"${contains([\"a\", \"b\"], \"a\")}", "true"},
        {"${contains([\"a\", \"b\"], \"d\")}", "false"},
        {"${keys(var.map)}", "[\"x\",\"y\"]"},
        {"${values(var.map)}", "[1,[2,3]]"},
        {"${merge({\"a\": 1, \"b\": 2}, {\"b\": 3}, null)}", "{\"a\":1,\"b\":3}"},
        {"${lookup(var.map, \"x\", 5)}", "1"},
        {"${lookup(var.map, \"z\", 5)}", "5"},
        {"${element([\"a\", \"b\", \"c\"], 1)}", "\"b\""},
        {"${element([\"a\", \"b\", \"c\"], 3)}", "\"a\""},
        {"${element([\"a\", \"b\", \"c\"], -1)}", "\"c\""},
        {"${min(12, 54, 3)} ${max(12, 54, 3)} ${min(1, 0.5)}", "\"3 54 0.5\""},
        {"${tostring(8080)}", "\"8080\""},
        {"${tonumber(\"12\")}", "12"},
        {"${tonumber(\"1.5e1\")}", "15"},
        {"${tonumber(null)}", "null"},
        {"${jsonencode({\"hello\": \"world\", \"$n\": [1, null, true, 9007199254740993]})}",
         "\"{\\\"$n\\\":[1,null,true,9007199254740993],\\\"hello\\\":\\\"world\\\"}\""},
        {"${base64encode(\"Hello World\")}", "\"SGVsbG8gV29ybGQ=\""},
        {"${coalesce(\"\", null, \"b\")}", "\"b\""},
        {"${trimspace(\"  hello\\n\\n\")}", "\"hello\""},
        {"${substr(\"hello world\", 1, 4)}", "\"ello\""},
        {"${substr(\"hello world\", -5, -1)}", "\"world\""},
        {"${substr(\"h\xc3\xa4llo\", 1, 1)}", "\"\xc3\xa4\""},
        {"${substr(\"hello\", 9, 2)}", "\"\""},
        {"${flatten([[\"a\", \"b\"], [], [[\"c\"], \"d\"]])}", "[\"a\",\"b\",\"c\",\"d\"]"},
        {"${distinct([\"a\", \"b\", \"a\", \"c\", \"d\", \"b\"])}", "[\"a\",\"b\",\"c\",\"d\"]"},
        {"${sort([\"e\", \"d\", \"a\", \"x\"])}", "[\"a\",\"d\",\"e\",\"x\"]"},
        {"${range(3)}", "[0,1,2]"},
        {"${range(1, 4)}", "[1,2,3]"},
        {"${range(4, 1)}", "[4,3,2]"},
        {"${range(1, 8, 2)}", "[1,3,5,7]"},
        {"${range(5, 1, -2)}", "[5,3]"},
        {"${upper(join(\"/\", sort(distinct(var.list))))}", "\"A/B\""},
    };
    check_rows(rows, ARRAY_LENGTH(rows));
}

TEST(what_is_wrong_is_told_with_its_code_and_place)
{
    static const struct row rows[] = {
        {"a ${", "expression-syntax@4: a reference, a function or a literal is missing at the end"},
        {"a ${}", "expression-syntax@4: a reference, a function or a literal is missing before "
                  "\"}\""},
        {"${var.name", "expression-syntax@10: \"}\" is missing at the end"},
        {"${var.name + 1}", "expression-syntax@11: \"}\" is missing before \"+ 1}\""},
        {"${var.}", "expression-syntax@6: an attribute is missing before \"}\""},
        {"${web[x].y}", "expression-syntax@5: an index such as [0] or [\"a\"] is missing before "
                        "\"[x].y}\""},
        {"${:a.b}", "expression-syntax@2: a reference, a function or a literal is missing before "
                    "\":a.b}\""},
        {"${a:.b}", "expression-syntax@2: a name is missing before \"a:.b}\""},
        {"${\"a}", "expression-syntax@2: a well-formed string in double quotes is missing before "
                   "\"\"a}\""},
        {"${upper(\"a\" \"b\")}", "expression-syntax@12: \")\" is missing before \"\"b\")}\""},
        {"${{a: 1}}", "expression-syntax@3: a key in double quotes is missing before \"a: 1}}\""},
        {"${99999999999999999999}",
         "expression-syntax@2: a number that fits is missing before \"99999999999999999999}\""},
        {"x ${uper(\"a\")}", "unknown-function@4: there is no function uper()"},
        {"${frobnicate()}", "unknown-function@2: there is no function frobnicate()"},
        {"${var.missing}", "unknown-reference@2: no var.missing"},
        {"a ${var.list}", "function-failed@2: a value of kind list cannot be part of a text"},
        {"a ${var.secret}", "function-failed@2: a value of kind secret cannot be part of a text"},
        {"${upper(var.list)}",
         "function-failed@2: upper(): argument 1 must be a text; it is of kind list"},
        {"${upper()}", "function-failed@2: upper() needs at least 1 argument(s), it has 0"},
        {"${upper(\"a\", \"b\")}", "function-failed@2: upper() takes at most 1 argument(s), it has "
                                   "2"},
        {"${cidrsubnet(\"10.0.0.0/24\", 9, 0)}",
         "function-failed@2: cidrsubnet(): a /24 has no room for 9 more bits of prefix"},
        {"${cidrsubnet(\"10.0.0.0/24\", 2, 4)}",
         "function-failed@2: cidrsubnet(): 2 more bits have no network number 4"},
        {"${cidrhost(\"10.0.0.0/24\", 256)}",
         "function-failed@2: cidrhost(): a /24 has no host number 256"},
        {"${cidrhost(\"10.0.0.0\", 1)}",
         "function-failed@2: cidrhost(): \"10.0.0.0\" is no network such as 10.0.0.0/16"},
        {"${cidrnetmask(\"fd00::/8\")}",
         "function-failed@2: cidrnetmask(): only IPv4 networks have a netmask"},
        {"${element([], 0)}", "function-failed@2: element(): the list is empty"},
        {"${lookup(var.map, \"z\")}", "function-failed@2: lookup(): the map has no key \"z\""},
        {"${coalesce(null, \"\")}",
         "function-failed@2: coalesce(): every argument is null or empty"},
        {"${tonumber(\"12x\")}", "function-failed@2: tonumber(): \"12x\" is no number"},
        {"${format(\"%d\")}", "function-failed@2: format(): there is no argument for %d"},
        {"${format(\"a\", 1)}",
         "function-failed@2: format(): argument 2 is not used by the format"},
        {"${format(\"%99999d\", 1)}",
         "function-failed@2: format(): a width above 1024 or a precision above 100"},
        {"${range(1, 5, -1)}",
         "function-failed@2: range(): the step does not lead from start to limit"},
        {"${range(2000000)}", "function-failed@2: range(): the list has more than 1000000 items"},
        {"${replace(\"a\", \"/a/\", \"b\")}",
         "function-failed@2: replace(): regular expressions (/.../) are not supported"},
        {"${sort([1])}",
         "function-failed@2: sort(): item 0 is of kind integer; only texts are sorted"},
        {"${concat([], later.outputs.x, [var.secret])}",
         "function-failed@2: concat(): a secret that only its provider knows cannot be worked "
         "with"},
        {"${upper(var.secret)}",
         "function-failed@2: upper(): a secret that only its provider knows cannot be worked with"},
    };
    check_rows(rows, ARRAY_LENGTH(rows));
}

TEST(what_a_secret_is_part_of_is_a_secret_that_its_expression_makes)
{
    static const struct row rows[] = {
        {"${secret.db}", "{\"$origin\":\"${secret.db}\",\"$secret\":\"d2\"}"},
        {"app:${secret.db}@${var.name} $${x}",
         "{\"$origin\":\"app:${secret.db}@shop $${x}\",\"$secret\":\"\"}"},
        {"${base64encode(secret.db)}",
         "{\"$origin\":\"${base64encode(secret.db)}\",\"$secret\":\"\"}"},
        {"${join(\"-\", [var.name, secret.db])}",
         "{\"$origin\":\"${join(\\\"-\\\", [\\\"shop\\\", secret.db])}\",\"$secret\":\"\"}"},
        {"${jsonencode({\"p\": upper(secret.db)})}",
         "{\"$origin\":\"${jsonencode({\\\"p\\\": upper(secret.db)})}\",\"$secret\":\"\"}"},
        {"${length(secret.db)}", "{\"$origin\":\"${length(secret.db)}\",\"$secret\":\"\"}"},
        /* What does not look into its items gives them as they are. */
        {"${element([\"a\", secret.db], 1)}", "{\"$origin\":\"${secret.db}\",\"$secret\":\"d2\"}"},
        {"${length([secret.db])}", "1"},
        /* Not known is more than secret: both are made then. */
        {"${secret.db}@${later.outputs.x}",
         "{\"$unknown\":{\"origin\":\"${secret.db}@${later.outputs.x}\",\"type\":\"string\"}}"},
    };
    check_rows(rows, ARRAY_LENGTH(rows));
    CLEANUP(mem_freep) char *later = outcome_of("${secret.db}@${later.outputs.x}", true);
    CHECK_TEXT(later, "{\"$origin\":\"${secret.db}@X\",\"$secret\":\"\"}");
}

TEST(what_is_not_known_yet_keeps_its_expression_with_the_known_filled_in)
{
    static const struct row rows[] = {
        {"${later.outputs.x}", "{\"$unknown\":{\"origin\":\"${later.outputs.x}\","
                               "\"type\":\"any\"}}"},
        {"${ later.typed }", "{\"$unknown\":{\"origin\":\"${later.typed}\","
                             "\"type\":\"integer\"}}"},
        {"http://${later.outputs.x}:${var.port}/${var.raw}",
         "{\"$unknown\":{\"origin\":\"http://${later.outputs.x}:8080/$${x}\","
         "\"type\":\"string\"}}"},
        {"${upper( format( \"%s-%s\",var.name,later.outputs.x ) )}",
         "{\"$unknown\":{\"origin\":\"${upper(format(\\\"%s-%s\\\", \\\"shop\\\", "
         "later.outputs.x))}\",\"type\":\"any\"}}"},
        {"${join(\",\", concat(var.list, later.list))}",
         "{\"$unknown\":{\"origin\":\"${join(\\\",\\\", concat([\\\"b\\\", \\\"a\\\", \\\"b\\\"], "
         "later.list))}\",\"type\":\"any\"}}"},
        {"${upper(each.value)}",
         "{\"$unknown\":{\"origin\":\"${upper(join(\\\"\\\", [\\\"v-\\\", later.outputs.x]))}\","
         "\"type\":\"any\"}}"},
        {"${each.value}", "{\"$unknown\":{\"origin\":\"v-${later.outputs.x}\","
                          "\"type\":\"string\"}}"},
        {"<${each.value}>", "{\"$unknown\":{\"origin\":\"<v-${later.outputs.x}>\","
                            "\"type\":\"string\"}}"},
        {"${length(var.some)}", "2"},
        {"${element(var.some, 0)}", "\"a\""},
        {"${join(\"\", var.some)}",
         "{\"$unknown\":{\"origin\":\"${join(\\\"\\\", [\\\"a\\\", join(\\\"\\\", [\\\"pre-\\\", "
         "later.outputs.x])])}\",\"type\":\"any\"}}"},
        {"${[1, later.outputs.x]}",
         "[1,{\"$unknown\":{\"origin\":\"${later.outputs.x}\",\"type\":\"any\"}}]"},
        {"${max(var.three, later.typed)}",
         "{\"$unknown\":{\"origin\":\"${max(3, later.typed)}\",\"type\":\"any\"}}"},
    };
    check_rows(rows, ARRAY_LENGTH(rows));
}

static const char *const deferred[] = {
    "${later.outputs.x}",
    "a${later.outputs.x}b",
    "${upper(later.outputs.x)}",
    "${upper(each.value)}-${each.key}",
    "${var.dollar}${later.outputs.x}",
    "${var.dollar}${var.dollar}${later.outputs.x}",
    "${later.outputs.y}${var.brace} ${later.outputs.x}",
    "$${ ${later.outputs.y}{x} $$${ ${later.outputs.x}",
    "${var.dollar}{ ${later.outputs.x}",
    "${var.raw}${later.outputs.x}$",
    "${upper(\"$$ ${ \\\" } \")}${later.outputs.x}",
    "${format(\"%s$%s\", later.outputs.y, later.dollar)}",
    "${join(\"\", [var.dollar, later.dollar, \"{\", later.outputs.y, \"{z}\"])}",
    "${jsonencode({\"a\": later.list, \"b\": var.three, \"$c\": var.map})}",
    "${join(\"\", var.some)}${each.value}",
    "${lower(join(\"$\", [each.value, \"$\", \"{}\"]))}{",
    "${max(var.three, later.typed)}",
    "${concat(var.list, later.list, [null, true, -1.5e300])}",
    "${element(later.list, length(var.list))}",
    "${lookup({\"X\": \"$\"}, later.outputs.x)}${later.outputs.x}",
    "${range(later.typed)}",
    "\n\t${later.outputs.x}\\",
};

/* Once with all known; and first without, then its origin when all is known. */
TEST(evaluating_later_gives_the_same_as_at_once)
{
    for (size_t i = 0; i < ARRAY_LENGTH(deferred); i++) {
        struct error err = {0};
        struct scope now = {world, false};
        struct scope later = {world, true};
        CLEANUP(value_unrefp) struct value *waiting = NULL;
        CLEANUP(value_unrefp) struct value *resolved = NULL;
        CLEANUP(value_unrefp) struct value *direct = NULL;
        CLEANUP(value_unrefp) struct value *whole = NULL;
        int r = expression_evaluate(deferred[i], look_up, &now, &waiting, NULL, &err);
        if (r == 0)
            r = expression_resolve(waiting, look_up, &now, &resolved, &err);
        if (r == 0 && !value_equal(waiting, resolved))
            printf("# changes when nothing is new: %s\n", value_text(waiting));
        CHECK(r == 0 && value_equal(waiting, resolved));
        value_unref(take_ptr(resolved));
        if (r == 0)
            r = expression_resolve(waiting, look_up, &later, &resolved, &err);
        if (r == 0)
            r = expression_evaluate(deferred[i], look_up, &later, &direct, NULL, &err);
        /* An each.value that is an unknown in the scope itself needs one more turn. */
        if (r == 0)
            r = expression_resolve(direct, look_up, &later, &whole, &err);
        if (r < 0)
            printf("# %s: %s\n", deferred[i], error_message(&err));
        CHECK(r == 0);
        CHECK(value_has_unknown(waiting) && !value_has_unknown(resolved));
        CLEANUP(mem_freep) char *got = json_text(resolved);
        CLEANUP(mem_freep) char *want = json_text(whole);
        CHECK_TEXT(got, want);
    }
}

TEST(values_resolve_at_any_depth)
{
    const char *json = "{\"a\": [{\"$unknown\": {\"origin\": \"${later.typed}\", \"type\": "
                       "\"integer\"}}, \"${var.name}\"], \"b\": 1}";
    CLEANUP(value_unrefp) struct value *value = NULL;
    CLEANUP(value_unrefp) struct value *resolved = NULL;
    CHECK(json_read(json, strlen(json), &value, NULL) == 0);
    struct scope later = {world, true};
    CHECK(expression_resolve(value, look_up, &later, &resolved, NULL) == 0);
    CLEANUP(mem_freep) char *text = json_text(resolved);
    CHECK_TEXT(text, "{\"a\":[7,\"${var.name}\"],\"b\":1}");
    struct scope now = {world, false};
    CLEANUP(value_unrefp) struct value *same = NULL;
    CHECK(expression_resolve(value, look_up, &now, &same, NULL) == 0);
    CHECK(value_equal(same, value));
}

static int note_reference(void *argument, const struct reference *reference, struct error *err)
{
    (void)err;
    strbuf_addf(argument, "%s|%s|%s|%s;", reference->type ? reference->type : "", reference->root,
                reference->key ? reference->key : "", reference->path);
    return 0;
}

TEST(references_are_found_innermost_first)
{
    struct strbuf found = {0};
    const char *text = "a ${upper(x.outputs.y)} $${no.t} ${lookup(aws:ec2:vpc:v.ids, element([n["
                       "\"k\"].z], var.i))}${\"q.r\"}${s}";
    CHECK(expression_references(text, note_reference, &found, NULL, NULL) == 0);
    CHECK_TEXT(found.text, "|x||outputs.y;aws:ec2:vpc|v||ids;|n|\"k\"|z;|var||i;|s||;");
    strbuf_done(&found);
    CHECK(expression_references("${a.b", note_reference, &found, NULL, NULL) < 0);
    strbuf_done(&found);
}

TEST(an_escaped_text_evaluates_to_itself)
{
    static const char *const texts[] = {"", "$", "${", "$${", "$$${a}${b}$", "a${{$}", "$$"};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        CLEANUP(mem_freep) char *escaped = expression_escape(texts[i]);
        CLEANUP(value_unrefp) struct value *value = NULL;
        CHECK(expression_evaluate(escaped, look_up, NULL, &value, NULL, NULL) == 0);
        CHECK_TEXT(value_text(value), texts[i]);
        CHECK(expression_is_in(texts[i]) == (strstr(texts[i], "${") != NULL));
    }
}

TEST(nesting_and_growth_have_limits)
{
    struct strbuf text = {0};
    strbuf_add(&text, "${");
    strbuf_add_repeated(&text, '[', 100000);
    CLEANUP(mem_freep) char *deep = outcome_of(text.text, false);
    CHECK(strstr(deep, "too deep"));
    strbuf_clear(&text);
    strbuf_add(&text, "${replace(\"");
    strbuf_add_repeated(&text, 'a', 10000);
    strbuf_add(&text, "\", \"a\", \"");
    strbuf_add_repeated(&text, 'b', 10000);
    strbuf_add(&text, "\")}");
    CLEANUP(mem_freep) char *large = outcome_of(text.text, false);
    CHECK(strstr(large, "longer than 1048576 bytes"));
    strbuf_clear(&text);
    strbuf_add(&text, "${jsonencode([later.outputs.x, ");
    strbuf_add_repeated(&text, '[', 61);
    strbuf_add_repeated(&text, ']', 61);
    strbuf_add(&text, "])}");
    CLEANUP(mem_freep) char *fits = outcome_of(text.text, false);
    CHECK(strncmp(fits, "{\"$unknown\"", 11) == 0);
    strbuf_done(&text);
}

TEST(every_function_is_found_by_its_name_and_near_it)
{
    CHECK(function_find("cidrhost")->min_arguments == 2);
    CHECK(!function_find("cidrhos"));
    CHECK_TEXT(function_nearest("cidrhos"), "cidrhost");
    CHECK(!function_nearest("frobnicate"));
}

/*
 * Documents and what becomes of them. Each folder CASE beside this file has a deployment.yaml, an
 * expected.txt and, where it needs them, variables.json (given from outside). The result is all
 * faults as the user sees them, or the expanded resources. A document without faults is also
 * written out as `parley expand` does, read again, and must give the same resources.
 *
 * With PARLEY_ACCEPT=1 the expected texts are rewritten: read the difference. The last test holds
 * that every fault that documents can have occurs in a case.
 */
#include "document/document.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "pattern/pattern.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20 };

/* What plan/ and service/ tell, not document/, catalog/ or pattern/. */
static const enum diagnostic_code told_elsewhere[] = {
    DIAGNOSTIC_ADOPTION,       DIAGNOSTIC_REFERRED_TO,     DIAGNOSTIC_EXISTING_UNMATCHED,
    DIAGNOSTIC_PROTECTED,      DIAGNOSTIC_UNKNOWABLE,      DIAGNOSTIC_IN_USE,
    DIAGNOSTIC_CANNOT_SERVE,   DIAGNOSTIC_LEFT_TOO_LATE,   DIAGNOSTIC_UNKNOWN_REVISION,
    DIAGNOSTIC_MERGE_CONFLICT, DIAGNOSTIC_MERGED,          DIAGNOSTIC_NOT_RESTORED,
    DIAGNOSTIC_EXPIRED,        DIAGNOSTIC_STAND_IN,        DIAGNOSTIC_SECRET_SOURCE,
    DIAGNOSTIC_SECRET_KEPT,    DIAGNOSTIC_SECRET_UNLOCKED, DIAGNOSTIC_INTERRUPTS,
    DIAGNOSTIC_REAL,
};

static bool is_told[DIAGNOSTIC_CODE_COUNT];

/* A site with the default instance of each provider and one more, "aws.west". */
static int choose_instance(void *argument, const struct resource_type *type, const char *on,
                           const char **ret_instance, struct error *err)
{
    static const char *const instances[] = {"acme.default",    "aws.default",    "aws.west",
                                            "core.default",    "docker.default", "k8s.default",
                                            "opnsense.default"};
    (void)argument;
    CLEANUP(mem_freep)
    char *wanted = on ? string_copy(on) : string_format("%s.default", type->provider);
    for (size_t i = 0; i < ARRAY_LENGTH(instances); i++) {
        bool is_of_provider = text_starts_with(instances[i], type->provider);
        if (!text_equal(instances[i], wanted) || !is_of_provider)
            continue;
        *ret_instance = instances[i];
        return 0;
    }
    return error_set(err, ERROR_NOT_FOUND, "the site has no instance \"%s\" of provider %s", wanted,
                     type->provider);
}

/* As one who knows the texts; nobody could work with that of "odd". */
static int digest_secret(void *argument, const char *expression, char **ret_digest,
                         struct error *err)
{
    (void)argument;
    if (strstr(expression, "cidrhost(secret.odd"))
        return error_set(err, ERROR_INVALID, "the secret's text is not one that it can work with");
    *ret_digest = string_format("digest of %s", expression);
    return 0;
}

static void write_list(struct strbuf *text, const char *label, const struct string_list *list)
{
    for (size_t i = 0; i < list->n_items; i++)
        strbuf_addf(text, "%s%s", i == 0 ? label : ", ", list->items[i]);
    if (list->n_items > 0)
        strbuf_add_char(text, '\n');
}

static void write_json(struct strbuf *text, const char *label, const struct value *value)
{
    if (!value)
        return;
    strbuf_add(text, label);
    json_write(text, value);
    strbuf_add_char(text, '\n');
}

static void write_resource(struct strbuf *text, const struct resource *resource, bool has_origins)
{
    const struct lifecycle *lifecycle = &resource->lifecycle;
    strbuf_addf(text, "%s  %s  on %s%s\n", resource->address, resource->type, resource->instance,
                resource->existing ? "  existing" : "");
    write_json(text, "    spec ", resource->spec);
    write_json(text, "    match ", resource->match);
    write_list(text, "    depends on ", &resource->depends_on);
    write_list(text, "    formerly ", &resource->formerly);
    write_list(text, "    ignores ", &lifecycle->ignore_changes);
    if (lifecycle->protect || lifecycle->create_before_destroy || lifecycle->expires)
        strbuf_addf(text, "    lifecycle%s%s%s%s\n", lifecycle->protect ? " protect" : "",
                    lifecycle->create_before_destroy ? " createBeforeDestroy" : "",
                    lifecycle->expires ? " expires " : "",
                    lifecycle->expires ? lifecycle->expires : "");
    if (has_origins && !text_equal(resource->origin, "document"))
        strbuf_addf(text, "    origin %s\n", resource->origin);
    if (has_origins)
        write_json(text, "    filled ", resource->filled);
}

static void write_head(struct strbuf *text, const struct document *document)
{
    strbuf_addf(text, "%s in %s", document_name(document), document_environment(document));
    if (document_version(document))
        strbuf_addf(text, ", version %s", document_version(document));
    if (document_revision(document))
        strbuf_addf(text, ", revision %lld", (long long)document_revision(document));
    strbuf_add_char(text, '\n');
    write_json(text, "policies ", document_policies(document));
}

static void write_wanted(struct strbuf *text, const struct document *document,
                         const struct wanted *wanted, bool has_origins)
{
    write_head(text, document);
    for (size_t i = 0; i < wanted->n_items; i++)
        write_resource(text, &wanted->items[i], has_origins);
    write_json(text, "outputs ", wanted->outputs);
}

/* One pass from text to resources. */
struct outcome {
    struct document *document;
    struct wanted wanted;
    struct diagnostics diagnostics;
};

static void outcome_done(struct outcome *outcome)
{
    wanted_done(&outcome->wanted);
    document_free(outcome->document);
    diagnostics_done(&outcome->diagnostics);
}

static void expand(const struct catalog *catalog, const char *text, size_t size,
                   const struct value *variables, struct outcome *ret_outcome)
{
    struct outcome outcome = {0};
    struct document_context context = {
        .catalog = catalog, .choose_instance = choose_instance, .digest_secret = digest_secret};
    document_read("deployment.yaml", text, size, &outcome.document, &outcome.diagnostics);
    if (outcome.document && variables)
        document_set_variables(outcome.document, variables, &outcome.diagnostics);
    if (outcome.document) {
        (void)document_read_secrets(outcome.document, &outcome.diagnostics);
        pattern_apply(outcome.document, catalog, &outcome.diagnostics);
        document_expand(outcome.document, &context, &outcome.wanted, &outcome.diagnostics);
    }
    *ret_outcome = outcome;
}

static bool check_same(const char *what, const char *got, const char *want)
{
    if (text_equal(got, want))
        return true;
    size_t at = 0;
    unsigned int line = 1;
    while (got[at] && got[at] == want[at])
        line += got[at++] == '\n';
    while (at > 0 && got[at - 1] != '\n')
        at--;
    printf("# %s: line %u differs\n", what, line);
    printf("#   is   %.*s\n", (int)strcspn(got + at, "\n"), got + at);
    printf("#   want %.*s\n", (int)strcspn(want + at, "\n"), want + at);
    return false;
}

/* What `parley expand` writes must stand for the document. */
static bool check_expanded(const struct catalog *catalog, const struct outcome *outcome)
{
    struct outcome again = {0};
    struct strbuf want = {0};
    struct strbuf got = {0};
    CLEANUP(mem_freep) char *text = document_write_expanded(outcome->document);
    expand(catalog, text, strlen(text), NULL, &again);
    write_wanted(&want, outcome->document, &outcome->wanted, false);
    diagnostics_write(&again.diagnostics, "deployment.yaml", text, &got);
    if (again.document)
        write_wanted(&got, again.document, &again.wanted, false);
    bool is_same = check_same("expanded", strbuf_text(&got), strbuf_text(&want));
    strbuf_done(&want);
    strbuf_done(&got);
    outcome_done(&again);
    return is_same;
}

/* A file of the case, empty when it is not there. */
static char *read_case(const char *folder, const char *file, size_t *ret_size)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, file);
    char *text = NULL;
    *ret_size = 0;
    return world_read_file(path, MAX_BYTES, &text, ret_size, NULL) < 0 ? string_copy("") : text;
}

static bool accept_or_check(const char *folder, const char *got)
{
    size_t size;
    CLEANUP(mem_freep) char *want = read_case(folder, "expected.txt", &size);
    CLEANUP(mem_freep) char *path = string_format("%s/expected.txt", folder);
    if (getenv("PARLEY_ACCEPT"))
        return text_equal(got, want) ||
               world_write_file(path, got, strlen(got), 0644, false, NULL) == 0;
    return check_same("expected.txt", got, want);
}

static bool run_case(const struct catalog *catalog, const char *folder)
{
    size_t size;
    size_t variables_size;
    struct outcome outcome = {0};
    struct strbuf got = {0};
    CLEANUP(value_unrefp) struct value *variables = NULL;
    CLEANUP(mem_freep) char *text = read_case(folder, "deployment.yaml", &size);
    CLEANUP(mem_freep) char *json = read_case(folder, "variables.json", &variables_size);
    if (variables_size > 0 && json_read(json, variables_size, &variables, NULL) < 0)
        return false;
    expand(catalog, text, size, variables, &outcome);
    for (size_t i = 0; i < outcome.diagnostics.n_items; i++)
        is_told[outcome.diagnostics.items[i].code] = true;
    diagnostics_write(&outcome.diagnostics, "deployment.yaml", text, &got);
    bool is_good = !diagnostics_has_errors(&outcome.diagnostics);
    if (is_good)
        write_wanted(&got, outcome.document, &outcome.wanted, true);
    bool is_right = accept_or_check(folder, strbuf_text(&got));
    if (is_good)
        is_right = check_expanded(catalog, &outcome) && is_right;
    strbuf_done(&got);
    outcome_done(&outcome);
    return is_right;
}

static bool is_told_elsewhere(enum diagnostic_code code)
{
    for (size_t i = 0; i < ARRAY_LENGTH(told_elsewhere); i++)
        if (told_elsewhere[i] == code)
            return true;
    return false;
}

static bool check_codes(void)
{
    bool are_all = true;
    for (size_t i = 0; i < DIAGNOSTIC_CODE_COUNT; i++) {
        if (is_told[i] || is_told_elsewhere((enum diagnostic_code)i))
            continue;
        printf("# in no case: %s\n", diagnostic_code_to_string((enum diagnostic_code)i));
        are_all = false;
    }
    return are_all;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    struct catalog *catalog = NULL;
    struct diagnostics diagnostics = {0};
    CLEANUP(mem_freep) char *types = string_format("%s/catalog", argc > 1 ? argv[1] : ".");
    int n_entries = argc > 1 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    if (n_entries < 0 || catalog_open(types, &catalog, &diagnostics, NULL) < 0 || !catalog) {
        printf("Bail out! There are no cases, or the catalog cannot be read.\n");
        return 1;
    }
    int n = 0;
    int n_failed = 0;
    bool is_all = argc == 2;
    for (int i = 0; i < n_entries; i++) {
        const char *name = entries[i]->d_name;
        if (name[0] != '.' && strcmp(name, "catalog") != 0 && (is_all || strstr(name, argv[2]))) {
            CLEANUP(mem_freep) char *folder = string_format("%s/%s", argv[1], name);
            bool is_right = run_case(catalog, folder);
            n_failed += !is_right;
            printf("%sok %d - %s\n", is_right ? "" : "not ", ++n, name);
        }
        free(entries[i]);
    }
    free(entries);
    if (is_all) {
        bool is_right = check_codes();
        n_failed += !is_right;
        printf("%sok %d - every_code_occurs_in_a_case\n", is_right ? "" : "not ", ++n);
    }
    printf("1..%d\n", n);
    catalog_free(catalog);
    diagnostics_done(&diagnostics);
    return n_failed > 0;
}

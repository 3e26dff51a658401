/*
 * Patterns on documents. Each folder CASE beside this file has an expected.yaml; its document is
 * deployment.yaml, or examples/CASE.yaml where there is none. The result is all faults as the user
 * sees them, or the expanded document. An expanded document, read again without patterns, must want
 * the same; and patterns that are asked for twice change nothing the second time.
 *
 * With PARLEY_ACCEPT=1 the expected texts are rewritten: read the difference.
 */
#include "pattern/pattern.h"
#include "base/text.h"
#include "base/world.h"
#include "document/document.h"
#include "model/json.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20 };

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

static void expand(const struct catalog *catalog, const char *text, int rounds,
                   struct outcome *ret_outcome)
{
    struct outcome outcome = {0};
    struct document_context context = {.catalog = catalog};
    document_read("deployment.yaml", text, strlen(text), &outcome.document, &outcome.diagnostics);
    for (int i = 0; outcome.document && i < rounds; i++)
        pattern_apply(outcome.document, catalog, &outcome.diagnostics);
    if (outcome.document)
        document_expand(outcome.document, &context, &outcome.wanted, &outcome.diagnostics);
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

/* What is wanted, without where it comes from. */
static char *listed(const struct outcome *outcome)
{
    struct strbuf text = {0};
    diagnostics_write(&outcome->diagnostics, NULL, NULL, &text);
    for (size_t i = 0; i < outcome->wanted.n_items; i++) {
        const struct resource *resource = &outcome->wanted.items[i];
        CLEANUP(mem_freep) char *spec = json_text(resource->spec);
        strbuf_addf(&text, "%s %s %s\n", resource->address, resource->type, spec);
    }
    return strbuf_take(&text);
}

static bool check_again(const struct catalog *catalog, const char *what, const char *text,
                        int rounds, const struct outcome *outcome)
{
    struct outcome again = {0};
    expand(catalog, text, rounds, &again);
    CLEANUP(mem_freep) char *want = listed(outcome);
    CLEANUP(mem_freep) char *got = listed(&again);
    outcome_done(&again);
    return check_same(what, got, want);
}

/* A file of the case, or NULL. */
static char *read_case(const char *folder, const char *file)
{
    CLEANUP(mem_freep) char *path = string_format("%s/%s", folder, file);
    char *text = NULL;
    return world_read_file(path, MAX_BYTES, &text, NULL, NULL) < 0 ? NULL : text;
}

static bool accept_or_check(const char *folder, const char *got)
{
    CLEANUP(mem_freep) char *want = read_case(folder, "expected.yaml");
    CLEANUP(mem_freep) char *path = string_format("%s/expected.yaml", folder);
    if (getenv("PARLEY_ACCEPT"))
        return world_write_file(path, got, strlen(got), 0644, false, NULL) == 0;
    return check_same("expected.yaml", got, want ? want : "");
}

static bool run_case(const struct catalog *catalog, const char *folder, const char *name)
{
    struct outcome outcome = {0};
    struct strbuf got = {0};
    CLEANUP(mem_freep) char *example = string_format("../../../../examples/%s.yaml", name);
    CLEANUP(mem_freep) char *text = read_case(folder, "deployment.yaml");
    if (!text)
        text = read_case(folder, example);
    if (!text) {
        printf("# there is no document\n");
        return false;
    }
    expand(catalog, text, 1, &outcome);
    diagnostics_write(&outcome.diagnostics, "deployment.yaml", text, &got);
    bool is_good = !diagnostics_has_errors(&outcome.diagnostics);
    CLEANUP(mem_freep) char *expanded = document_write_expanded(outcome.document);
    if (is_good)
        strbuf_add(&got, expanded);
    bool is_right = accept_or_check(folder, strbuf_text(&got));
    if (is_good) {
        is_right = check_again(catalog, "read again", expanded, 0, &outcome) && is_right;
        is_right = check_again(catalog, "applied twice", text, 2, &outcome) && is_right;
    }
    strbuf_done(&got);
    outcome_done(&outcome);
    return is_right;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    struct catalog *catalog = NULL;
    struct diagnostics diagnostics = {0};
    int n_entries = argc > 1 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    if (n_entries < 0 || catalog_open(NULL, &catalog, &diagnostics, NULL) < 0 || !catalog) {
        printf("Bail out! There are no cases, or the catalog cannot be read.\n");
        return 1;
    }
    int n = 0;
    int n_failed = 0;
    for (int i = 0; i < n_entries; i++) {
        const char *name = entries[i]->d_name;
        if (name[0] != '.' && (argc == 2 || strstr(name, argv[2]))) {
            CLEANUP(mem_freep) char *folder = string_format("%s/%s", argv[1], name);
            bool is_right = run_case(catalog, folder, name);
            n_failed += !is_right;
            printf("%sok %d - %s\n", is_right ? "" : "not ", ++n, name);
        }
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", n);
    catalog_free(catalog);
    diagnostics_done(&diagnostics);
    return n_failed > 0;
}

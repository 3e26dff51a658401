/* The command drift: what is there and was not applied so. */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

enum { MAX_EDITS = 200 }; /* of each kind that are told one by one */

static void write_value(const struct value *value, struct strbuf *buffer)
{
    CLEANUP(mem_freep) char *text = value_is_null(value) ? NULL : render_text(value);
    strbuf_add(buffer, text ? text : "not set");
}

static void write_resource(const struct value *resource, struct strbuf *buffer)
{
    const struct value *differences = value_get(resource, "differences");
    bool is_gone = text_equal_or_null(value_get_text(resource, "state"), "gone");
    strbuf_addf(buffer, "  %c %s \"%s\"%s\n", is_gone ? '-' : '~', value_get_text(resource, "type"),
                value_get_text(resource, "address"), is_gone ? "  is gone" : "");
    for (size_t i = 0; i < value_count(differences); i++) {
        const struct value *difference = value_at(differences, i);
        strbuf_addf(buffer, "      %s: ", value_get_text(difference, "property"));
        write_value(value_get(difference, "live"), buffer);
        strbuf_add(buffer, ", applied was ");
        write_value(value_get(difference, "recorded"), buffer);
        strbuf_add(buffer, "\n");
    }
}

static const char *state_of(const struct value *resource)
{
    return value_get_text(resource, "state");
}

static const char *type_of(const struct value *resource)
{
    return value_get_text(resource, "type");
}

static bool is_well(const struct value *resource)
{
    (void)resource; /* what is as it was applied is not among them */
    return false;
}

static const struct row_view resource_view = {state_of, type_of, is_well, write_resource};

static void write_put_back(const struct value *put_back, struct strbuf *buffer)
{
    int64_t n_others = value_get_integer(put_back, "other_steps", 0);
    strbuf_addf(buffer, "\n  Put it back:\n    parley apply %.12s\n",
                value_get_text(put_back, "plan"));
    if (n_others > 0)
        strbuf_addf(buffer, "    (%lld step%s of it finish%s what an earlier run left)\n",
                    (long long)n_others, n_others == 1 ? "" : "s", n_others == 1 ? "es" : "");
}

static void write_adoption(const char *word, const struct value *adopt, struct strbuf *buffer)
{
    static const struct {
        const char *list;
        const char *what;
    } edits[] = {{"settings", "sets"},
                 {"unsets", "takes out"},
                 {"removals", "takes out"},
                 {"by_hand", "cannot follow:"}};
    strbuf_addf(buffer, "\n  Or let the document follow:\n    parley drift %s --adopt\n", word);
    for (size_t k = 0; k < ARRAY_LENGTH(edits); k++) {
        const struct value *words = value_get(adopt, edits[k].list);
        size_t n = value_count(words);
        for (size_t i = 0; i < n && i < MAX_EDITS; i++)
            strbuf_addf(buffer, "    (%s %s)\n", edits[k].what, value_text(value_at(words, i)));
        if (n > MAX_EDITS)
            strbuf_addf(buffer, "    (%s %zu more)\n", edits[k].what, n - MAX_EDITS);
    }
}

static void write_deployment(const struct value *deployment, struct strbuf *buffer)
{
    const struct value *resources = value_get(deployment, "resources");
    const char *problem = value_get_text(deployment, "problem");
    strbuf_addf(buffer, "%s@%s: ", value_get_text(deployment, "deployment"),
                value_get_text(deployment, "environment"));
    if (problem) {
        strbuf_addf(buffer, "cannot be told: %s\n", problem);
        return;
    }
    size_t n = value_count(resources);
    if (n == 0) {
        strbuf_addf(buffer, "as revision %lld was applied\n",
                    (long long)value_get_integer(deployment, "revision", 0));
        return;
    }
    strbuf_addf(buffer, "%zu resource%s not as revision %lld was applied\n", n,
                n == 1 ? " is" : "s are", (long long)value_get_integer(deployment, "revision", 0));
    render_row_list(&resource_view, resources, buffer);
    write_put_back(value_get(deployment, "put_back"), buffer);
    CLEANUP(mem_freep)
    char *word = string_format("%s@%s", value_get_text(deployment, "deployment"),
                               value_get_text(deployment, "environment"));
    write_adoption(word, value_get(deployment, "adopt"), buffer);
}

static void render_drift(const struct value *drift, struct strbuf *buffer)
{
    for (size_t i = 0; i < value_count(drift); i++)
        write_deployment(value_at(drift, i), buffer);
}

/* What cannot be told is worse than what differs. */
static int exit_code_of(const struct value *drift)
{
    int exit_code = EXIT_DONE;
    for (size_t i = 0; i < value_count(drift); i++) {
        if (value_get_text(value_at(drift, i), "problem"))
            return EXIT_ERROR;
        if (value_get_bool(value_at(drift, i), "drifted", false))
            exit_code = EXIT_CHANGES_PENDING;
    }
    return exit_code;
}

int command_drift(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, "deployment_drift", &answer);
    if (r == 0) {
        cli_print_answer(cli, answer.value, render_drift);
        r = exit_code_of(answer.value);
    }
    verb_answer_done(&answer);
    return r;
}

/* parley audit list|verify */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

#include <stdio.h>

/* What the entry is about, in the words of its kind. */
static void write_subject(const struct value *entry, struct strbuf *buffer)
{
    const char *kind = value_get_text(entry, "kind");
    const char *plan = value_get_text(entry, "plan");
    const char *run = value_get_text(entry, "run");
    const char *secret = value_get_text(entry, "secret");
    if (text_equal(kind, "run"))
        strbuf_addf(buffer, "  %.8s is %s", run ? run : "-", value_get_text(entry, "status"));
    else if (text_equal(kind, "revision") && run)
        strbuf_addf(buffer, "  by run %.8s", run);
    else if (text_equal(kind, "reveal"))
        strbuf_addf(buffer, "  %s %s", secret ? "secret" : "output",
                    secret ? secret : value_get_text(entry, "output"));
    else if (text_equal(kind, "refused"))
        strbuf_addf(buffer, "  %s", value_get_text(entry, "asked"));
    else if (plan)
        strbuf_addf(buffer, "  of plan %.12s", plan);
    if (text_equal(kind, "approval"))
        strbuf_addf(buffer, ", level %s%s", value_get_text(entry, "level"),
                    text_equal_or_null(value_get_text(entry, "level"), "none")
                        ? " (no proof of a person)"
                        : "");
}

void render_audit(const struct value *entries, struct strbuf *buffer)
{
    if (value_count(entries) == 0)
        strbuf_add(buffer, "No entries.\n");
    for (size_t i = 0; i < value_count(entries); i++) {
        const struct value *entry = value_at(entries, i);
        const char *principal = value_get_text(entry, "principal");
        const char *words = value_get_text(entry, "words");
        strbuf_addf(buffer, "%lld  %.12s  ", (long long)value_get_integer(entry, "number", 0),
                    value_get_text(entry, "digest"));
        render_time(entry, "time", buffer);
        strbuf_addf(buffer, "  %s", value_get_text(entry, "kind"));
        write_subject(entry, buffer);
        strbuf_addf(buffer, "  %s%s%s\n", principal ? principal : "-", words ? "  " : "",
                    words ? words : "");
    }
}

static void print_report(const struct value *report)
{
    const struct value *faults = value_get(report, "faults");
    const char *head = value_get_text(report, "head");
    long long n_unchained = (long long)value_get_integer(report, "unchained", 0);
    if (value_count(faults) > 0)
        printf("The audit chain does not hold:\n");
    else
        printf("The audit chain holds: %lld entries, %lld journal rows of %lld runs.\n",
               (long long)value_get_integer(report, "entries", 0),
               (long long)value_get_integer(report, "rows", 0),
               (long long)value_get_integer(report, "runs", 0));
    for (size_t i = 0; i < value_count(faults); i++)
        printf("  %s\n", value_text(value_at(faults, i)));
    if (n_unchained > 0)
        printf("%lld rows were written by an older program and are in no chain.\n", n_unchained);
    if (head)
        printf("Its newest digest is %s: note it elsewhere, and \"parley audit verify DIGEST\" "
               "tells later whether the chain was cut off or written anew.\n",
               head);
}

int command_audit_verify(struct cli *cli)
{
    struct verb_answer answer = {0};
    int r = cli_ask(cli, "audit_verify", &answer);
    if (r == 0 && cli->options.json)
        cli_print_json(answer.value);
    else if (r == 0)
        print_report(answer.value);
    if (r == 0 && value_count(value_get(answer.value, "faults")) > 0)
        r = EXIT_ERROR;
    verb_answer_done(&answer);
    return r;
}

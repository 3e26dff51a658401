/* parley audit list|verify */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

#include <stdio.h>

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

/* The records of a deployment: people get them a page at a time, programs all at once. */
#include "base/memory.h"
#include "cli/cli.h"
#include "render/render.h"

#include <stdio.h>

int command_show(struct cli *cli)
{
    struct verb_answer answer = {0};
    bool is_json = cli->options.json;
    if (!is_json && !value_get(cli->options.input, "page")) {
        struct value *first = value_with(cli->options.input, "page", value_string("1"));
        value_unref(cli->options.input);
        cli->options.input = first;
    }
    int r = cli_ask(cli, "resource_show", &answer);
    if (r == 0)
        cli_print_answer(cli, answer.value, render_value);
    /* There may be no more; a look whether there are would be for the next page, too. */
    if (r == 0 && !is_json && value_kind(answer.value) == VALUE_LIST &&
        value_count(answer.value) == SERVICE_PAGE_ROWS)
        printf("%d are a page: --page N shows the others, --json all of them.\n",
               SERVICE_PAGE_ROWS);
    verb_answer_done(&answer);
    return r;
}

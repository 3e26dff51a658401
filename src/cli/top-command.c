/* parley twin top and parley twin events. */
#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

#include <stdio.h>
#include <unistd.h>

static const char clear_screen[] = "\033[H\033[J";

/* "-" where a rate cannot be told. */
static void write_rate(const struct value *rate, double unit, const char *format,
                       struct strbuf *buffer)
{
    char text[32] = "-";
    if (!value_is_null(rate))
        snprintf(text, sizeof(text), "%.1f%s", value_to_decimal(rate) * unit, format);
    strbuf_addf(buffer, "  %8s", text);
}

static void render_top(const struct value *top, struct strbuf *buffer)
{
    const struct value *hosts = value_get(top, "hosts");
    int width = 8;
    for (size_t i = 0; i < value_count(hosts); i++) {
        int length = (int)value_text_length(value_get(value_at(hosts, i), "name"));
        width = length > width ? length : width;
    }
    strbuf_addf(buffer, "%-*s  %-8s  %8s  %9s  %9s  %8s  %8s\n", width, "INSTANCE", "ROLE", "CPU",
                "MEMORY", "PROCESSES", "RESTARTS", "REQ/S");
    for (size_t i = 0; i < value_count(hosts); i++) {
        const struct value *host = value_at(hosts, i);
        strbuf_addf(buffer, "%-*s  %-8s", width, value_get_text(host, "name"),
                    value_get_text(host, "role"));
        write_rate(value_get(host, "cpu"), 100, "%", buffer);
        strbuf_addf(buffer, "  %5.1f MiB  %9lld  %8lld",
                    (double)value_get_integer(host, "memory", 0) / (1 << 20),
                    (long long)value_get_integer(host, "processes", 0),
                    (long long)value_get_integer(host, "restarts", 0));
        write_rate(value_get(host, "requests"), 1, "", buffer);
        strbuf_add_char(buffer, '\n');
    }
}

/* On a terminal it goes on until somebody interrupts it; each look takes a second. */
int command_twin_top(struct cli *cli)
{
    bool repeats = !cli->options.json && isatty(STDOUT_FILENO);
    int r;
    do {
        struct verb_answer answer = {0};
        r = cli_ask(cli, "twin_top", &answer);
        if (r == 0 && repeats)
            fputs(clear_screen, stdout);
        if (r == 0)
            cli_print_answer(cli, verb_answer_value(&answer), render_top);
        fflush(stdout);
        verb_answer_done(&answer);
    } while (r == 0 && repeats && !ferror(stdout));
    return r;
}

void render_events(const struct value *events, struct strbuf *buffer)
{
    if (value_count(events) == 0)
        strbuf_add(buffer, "No program ended unasked.\n");
    for (size_t i = 0; i < value_count(events); i++) {
        const struct value *event = value_at(events, i);
        const char *message = value_get_text(event, "message");
        bool is_back = text_equal(value_get_text(event, "kind"), "resumed");
        const char *role = value_get_text(event, "role");
        strbuf_addf(buffer, "  %s  %s%s%s  ", value_get_text(event, "time"),
                    value_get_text(event, "program"), role ? ", " : "", role ? role : "");
        if (is_back)
            strbuf_addf(buffer, "runs again, started again %lld times\n",
                        (long long)value_get_integer(event, "restarts", 0));
        else
            strbuf_addf(buffer, "%s\n", message ? message : "ended unasked");
    }
}

/* The commands that open another door. */
#include "cli/cli.h"

int command_mcp(struct cli *cli)
{
    struct error err = {0};
    struct service_options options = {cli->options.home, cli->options.site, cli->line};
    int r = cli->doors->serve_stdio(cli->loop, &options, &err);
    return r < 0 ? cli_fail(cli, &err) : EXIT_DONE;
}

int command_serve(struct cli *cli)
{
    struct error err = {0};
    struct service_options options = {cli->options.home, cli->options.site, cli->line};
    int r = cli->doors->serve_web(cli->loop, &options, &cli->options.place, &err);
    return r < 0 ? cli_fail(cli, &err) : EXIT_DONE;
}

/* parley: the command line, and behind it the doors that it opens. */
#include "cli/cli.h"
#include "mcp/door.h"

static int serve_web(struct loop *loop, const struct service_options *options,
                     const struct cli_place *place, struct error *err)
{
    struct door_place where = {
        .listen = place->listen,
        .tokens = place->tokens,
        .certificate = place->certificate,
        .key = place->key,
        .host = place->host,
    };
    return door_serve_web(loop, options, &where, err);
}

int main(int argc, char **argv)
{
    static const struct cli_doors doors = {.serve_stdio = door_serve_stdio, .serve_web = serve_web};
    return cli_main(argc, argv, &doors);
}

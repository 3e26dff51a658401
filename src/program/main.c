/* parley: the command line, and behind it the doors that it opens. */
#include "cli/cli.h"
#include "mcp/door.h"

int main(int argc, char **argv)
{
    static const struct cli_doors doors = {.serve_stdio = door_serve_stdio};
    return cli_main(argc, argv, &doors);
}

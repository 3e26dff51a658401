#include "mcp/door.h"

#include "base/memory.h"
#include "base/world.h"
#include "mcp/stdio.h"
#include "mcp/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/*
 * Standard input and output are the client's alone: nothing that we start or link may write a word
 * to them. Where they were is /dev/null, and what is printed goes to standard error.
 */
static int take_stream(int number, int instead, struct error *err)
{
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || dup2(instead, number) < 0)
        return error_set_errno(err, errno, "take standard %s over", number ? "output" : "input");
    return fd;
}

static int take_streams(int *ret_input, int *ret_output, struct error *err)
{
    int null = -1;
    int r = world_open_file("/dev/null", &null, err);
    if (r < 0)
        return r;
    *ret_input = take_stream(STDIN_FILENO, null, err);
    *ret_output = *ret_input < 0 ? -1 : take_stream(STDOUT_FILENO, STDERR_FILENO, err);
    close(null);
    return *ret_output < 0 ? -ERROR_SYSTEM : 0;
}

static int serve(struct loop *loop, struct pool *pool, struct error *err)
{
    struct caller who = {0};
    int input, output;
    /* Reads the site: what is wrong with it is said before anything is promised. */
    int r = pool_find_owner(pool, &who, err);
    if (r < 0 || (r = take_streams(&input, &output, err)) < 0) {
        caller_done(&who);
        return r;
    }
    struct looks *looks = looks_new(loop, pool, &who);
    struct mcp_caller caller = {pool, looks, &who, .may_read_files = true};
    struct mcp_exchange like = {.principal = who.principal, .caller = &caller};
    struct mcp_server *server = mcp_server_new(loop, tools_offer(), NULL);
    r = mcp_serve_stdio(server, loop, &like, input, output, err);
    mcp_server_free(server);
    looks_end(looks);
    caller_done(&who);
    return r;
}

int door_serve_stdio(struct loop *loop, const struct service_options *options, struct error *err)
{
    struct pool *pool = pool_new(loop, options);
    int r = serve(loop, pool, err);
    pool_free(pool);
    return r;
}

/* parley-twin: the local twin's supervisor, and what it needs beside it. */
#include "base/memory.h"
#include "base/text.h"
#include "twin/cage-maker.h"
#include "twin/client.h"
#include "twin/copy-program.h"
#include "twin/image-program.h"
#include "twin/leftovers.h"
#include "twin/limiter-program.h"
#include "twin/supervise.h"
#include "twin/trial.h"
#include "twin/workload-program.h"

#include <stdio.h>

static const char usage[] =
    "usage: parley-twin supervise --state DIR --socket PATH [--identity UUID]\n"
    "       parley-twin request --socket PATH JSON\n"
    "       parley-twin exec --socket PATH [--as instance] HOST COMMAND [ARGUMENT ...]\n"
    "       parley-twin workload --listen ADDRESS:PORT --name NAME\n"
    "                            [--tier TEXT] [--health PATH] ...\n"
    "                            [--upstream ADDRESS:PORT]\n"
    "                            [--database FILE]\n"
    "       parley-twin limiter --socket PATH\n"
    "       parley-twin cages\n"
    "       parley-twin clear --state DIR\n"
    "       parley-twin image\n"
    "       parley-twin copy --source PATH --digest DIGEST --to FOLDER\n"
    "       parley-twin trial\n";

/* Takes "--name VALUE" pairs from the front of the arguments; returns how many arguments it took,
 * -1 for one that is unknown or incomplete. */
struct option {
    const char *name;
    const char **ret_value;
};

static int take_options(int argc, char **argv, const struct option *options, size_t n_options)
{
    int n = 0;
    while (n < argc && text_starts_with(argv[n], "--")) {
        size_t i = 0;
        while (i < n_options && !text_equal(options[i].name, argv[n]))
            i++;
        if (i == n_options || n + 1 >= argc)
            return -1;
        *options[i].ret_value = argv[n + 1];
        n += 2;
    }
    return n;
}

static int misuse(void)
{
    fputs(usage, stderr);
    return 2;
}

static int main_supervise(int argc, char **argv)
{
    const char *folder = NULL, *socket_path = NULL, *identity = NULL;
    const struct option options[] = {
        {"--state", &folder}, {"--socket", &socket_path}, {"--identity", &identity}};
    int n = take_options(argc, argv, options, ARRAY_LENGTH(options));
    if (n != argc || !folder || !socket_path)
        return misuse();
    return supervise(folder, socket_path, identity);
}

static int main_request(int argc, char **argv)
{
    const char *socket_path = NULL;
    const struct option options[] = {{"--socket", &socket_path}};
    int n = take_options(argc, argv, options, ARRAY_LENGTH(options));
    if (n < 0 || n + 1 != argc || !socket_path)
        return misuse();
    return client_request(socket_path, argv[n]);
}

static int main_exec(int argc, char **argv)
{
    const char *socket_path = NULL, *whose = NULL;
    const struct option options[] = {{"--socket", &socket_path}, {"--as", &whose}};
    int n = take_options(argc, argv, options, ARRAY_LENGTH(options));
    if (n < 0 || n + 2 > argc || !socket_path || (whose && !text_equal(whose, "instance")))
        return misuse();
    return client_execute(socket_path, argv[n], argv + n + 1, whose != NULL);
}

static int main_workload(int argc, char **argv)
{
    return workload_main(argc + 1, argv - 1);
}

static int main_limiter(int argc, char **argv)
{
    const char *socket_path = NULL;
    const struct option options[] = {{"--socket", &socket_path}};
    int n = take_options(argc, argv, options, ARRAY_LENGTH(options));
    if (n != argc || !socket_path)
        return misuse();
    return limiter_main(socket_path);
}

static int main_cages(int argc, char **argv)
{
    (void)argv;
    return argc == 0 ? cage_maker_main() : misuse();
}

static int main_clear(int argc, char **argv)
{
    const char *folder = NULL;
    const struct option options[] = {{"--state", &folder}};
    int n = take_options(argc, argv, options, ARRAY_LENGTH(options));
    if (n != argc || !folder)
        return misuse();
    return leftovers_main(folder);
}

static int main_image(int argc, char **argv)
{
    (void)argv;
    return argc == 0 ? image_main() : misuse();
}

static int main_copy(int argc, char **argv)
{
    const char *source = NULL, *digest = NULL, *folder = NULL;
    const struct option options[] = {
        {"--source", &source}, {"--digest", &digest}, {"--to", &folder}};
    int n = take_options(argc, argv, options, ARRAY_LENGTH(options));
    if (n != argc || !source || source[0] != '/' || !digest || !folder)
        return misuse();
    return copy_main(source, digest, folder);
}

static int main_trial(int argc, char **argv)
{
    (void)argv;
    return argc == 0 ? trial_main() : misuse();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"supervise", main_supervise}, {"request", main_request}, {"exec", main_exec},
        {"workload", main_workload},   {"limiter", main_limiter}, {"clear", main_clear},
        {"cages", main_cages},         {"trial", main_trial},     {"image", main_image},
        {"copy", main_copy},
    };
    for (size_t i = 0; argc > 1 && i < ARRAY_LENGTH(commands); i++) {
        if (text_equal(commands[i].name, argv[1]))
            return commands[i].run(argc - 2, argv + 2);
    }
    return misuse();
}

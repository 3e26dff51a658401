/*
 * Asks a server on its standard streams, so many requests in flight, for so many seconds:
 * mcp-stdio-load IN_FLIGHT SECONDS COMMAND... prints {"calls", "seconds", "server_cpu_us"}.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static pid_t start(char **command, int *ret_input, int *ret_output)
{
    int input[2], output[2];
    if (pipe(input) < 0 || pipe(output) < 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(input[0], 0);
        dup2(output[1], 1);
        for (int i = 0; i < 2; i++) {
            close(input[i]);
            close(output[i]);
        }
        execvp(command[0], command);
        _exit(127);
    }
    close(input[0]);
    close(output[1]);
    *ret_input = input[1];
    *ret_output = output[0];
    return pid;
}

static void ask(int fd, unsigned long id)
{
    char line[256];
    int n =
        snprintf(line, sizeof(line),
                 "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"method\":\"tools/call\",\"params\":{\"name\":"
                 "\"echo\",\"arguments\":{\"message\":\"hello\"}}}\n",
                 id);
    if (write(fd, line, (size_t)n) != n)
        exit(1);
}

/* How many lines have come; waits for at least one. */
static unsigned long take_lines(int fd)
{
    char part[65536];
    unsigned long n_lines = 0;
    while (n_lines == 0) {
        ssize_t n = read(fd, part, sizeof(part));
        if (n <= 0)
            exit(1);
        for (ssize_t i = 0; i < n; i++)
            n_lines += part[i] == '\n';
    }
    return n_lines;
}

static double cpu_of_children(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    static const char hello[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
        "\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"load\",\"version\":\"1\"}}}\n",
                      begun[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
    int input, output;
    if (argc < 4)
        return 1;
    unsigned long in_flight = strtoul(argv[1], NULL, 10), id = 0, n_done = 0;
    double seconds = strtod(argv[2], NULL);
    pid_t pid = start(argv + 3, &input, &output);
    if (write(input, hello, sizeof(hello) - 1) < 0)
        return 1;
    take_lines(output);
    if (write(input, begun, sizeof(begun) - 1) < 0)
        return 1;
    double began = now();
    while (id < in_flight)
        ask(input, ++id);
    while (n_done < id) {
        unsigned long n = take_lines(output);
        n_done += n;
        for (; n > 0 && now() - began < seconds; n--)
            ask(input, ++id);
    }
    double took = now() - began;
    close(input);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    printf("{\"calls\": %lu, \"seconds\": %.3f, \"server_cpu_us\": %.2f}\n", n_done, took,
           cpu_of_children() / (double)n_done);
    return 0;
}

/*
 * The least that a server can do: the same canned answer to every request, over HTTP in one thread
 * with epoll, or to every line of its standard input (--stdio). What bench/mcp/run.py compares
 * with: nothing can be faster over the same socket or pipe. Over HTTP it prints its port.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 65536, MOST_BYTES = 8192 };

static const char body[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":"
    "\"hello\"}],\"isError\":false}}";
static char answer[512];
static size_t answer_length;

struct connection {
    char bytes[MOST_BYTES];
    size_t n;
};
static struct connection *connections[MOST_CONNECTIONS];

/* The length of the whole request at the front, or 0 while it is not there. */
static size_t find_request(struct connection *connection)
{
    connection->bytes[connection->n] = '\0';
    const char *end = strstr(connection->bytes, "\r\n\r\n");
    const char *length = end ? strcasestr(connection->bytes, "\r\nContent-Length:") : NULL;
    if (!end)
        return 0;
    size_t whole =
        (size_t)(end - connection->bytes) + 4 + (length ? strtoul(length + 17, NULL, 10) : 0);
    return whole <= connection->n ? whole : 0;
}

static int serve(int fd)
{
    struct connection *connection = connections[fd];
    ssize_t n = read(fd, connection->bytes + connection->n, MOST_BYTES - 1 - connection->n);
    if (n <= 0)
        return -1;
    connection->n += (size_t)n;
    for (size_t whole; (whole = find_request(connection)) > 0;) {
        connection->n -= whole;
        memmove(connection->bytes, connection->bytes + whole, connection->n);
        if (write(fd, answer, answer_length) < 0)
            return -1;
    }
    return 0;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void take(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
    if (fd < 0 || fd >= MOST_CONNECTIONS)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    connections[fd] = calloc(1, sizeof(struct connection));
    watch(epoll, fd);
}

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0)
        return -1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

/* One answer for each line that has come, all of them in one write. */
static int answer_lines(void)
{
    static char lines[1 << 16], out[sizeof(lines) * sizeof(body)];
    ssize_t n;
    while ((n = read(STDIN_FILENO, lines, sizeof(lines))) > 0) {
        size_t length = 0;
        const char *line = lines;
        for (const char *end; (end = memchr(line, '\n', (size_t)(lines + n - line)));
             line = end + 1)
            if (memmem(line, (size_t)(end - line), "\"id\":", 5)) { /* a notification has none */
                memcpy(out + length, body, sizeof(body) - 1);
                length += sizeof(body) - 1;
                out[length++] = '\n';
            }
        if (length == 0)
            continue;
        if (write(STDOUT_FILENO, out, length) != (ssize_t)length)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--stdio") == 0)
        return answer_lines();
    struct epoll_event events[256];
    answer_length = (size_t)snprintf(answer, sizeof(answer),
                                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                     "Content-Length: %zu\r\n\r\n%s",
                                     sizeof(body) - 1, body);
    int listener = listen_on_loopback(), epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0)
        return 1;
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                take(epoll, listener);
            else if (serve(fd) < 0) {
                free(connections[fd]);
                close(fd);
            }
        }
    }
}

/* The socket that questions for names come in at, and the file that leads there. */
#include "twin/name-server.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "twin/converge.h"
#include "twin/names.h"
#include "twin/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESOLVER "/etc/resolv.conf"
#define OUR_RESOLVER SANDBOX_FOLDER "/resolv.conf"

/* As many questions in one turn of the loop; the others come in the next. */
enum { QUESTIONS_OF_TURN = 64 };

struct name_server {
    struct twin *twin;
    struct watch *watch;
    int fd;
    unsigned int turn;
};

/* Where a link leads into /run, which the twin has for itself, there is nothing yet: the file is
 * made. Elsewhere it would be this machine's own. */
static int make_target(struct error *err)
{
    char target[PATH_MAX];
    if (world_file_exists(RESOLVER))
        return 0;
    ssize_t length = readlink(RESOLVER, target, sizeof(target) - 1);
    target[length > 0 ? length : 0] = '\0';
    /* As Debian and systemd write it; the folders that lead there do not exist either. */
    const char *path = text_starts_with(target, "../run/") ? target + 2 : target;
    if (!text_starts_with(path, "/run/"))
        return error_set(err, ERROR_NOT_FOUND,
                         "names will not be found in the twin: this machine has no " RESOLVER
                         ", which it could cover");
    const char *slash = strrchr(path, '/');
    CLEANUP(mem_freep) char *folder = string_copy_n(path, (size_t)(slash - path));
    int r = world_make_folder(folder, 0755, err);
    return r < 0 ? r : world_write_file(path, "", 0, 0644, false, err);
}

int name_server_announce(struct error *err)
{
    struct machine_subnet outside;
    char address[MACHINE_ADDRESS_SIZE];
    machine_subnet_from_text(MACHINE_OUTSIDE_SUBNET, &outside);
    machine_address_to_text(outside.base + 1, address);
    CLEANUP(mem_freep)
    char *text =
        string_format("nameserver %s\nsearch " NAMES_DOMAIN "\noptions timeout:1\n", address);
    int r = world_write_file(OUR_RESOLVER, text, strlen(text), 0644, false, err);
    if (r == 0 && chmod(OUR_RESOLVER, 0644) < 0)
        r = error_set_errno(err, errno, "let programs read " OUR_RESOLVER);
    if (r == 0)
        r = make_target(err);
    if (r == 0 && mount(OUR_RESOLVER, RESOLVER, NULL, MS_BIND, NULL) < 0)
        r = error_set_errno(err, errno, "cover " RESOLVER);
    return r;
}

static void answer_questions(void *argument, int events)
{
    struct name_server *server = argument;
    uint8_t question[NAMES_MESSAGE], answer[NAMES_MESSAGE];
    (void)events;
    for (size_t i = 0; i < QUESTIONS_OF_TURN; i++) {
        struct sockaddr_in asking;
        socklen_t length = sizeof(asking);
        ssize_t size = recvfrom(server->fd, question, sizeof(question), MSG_DONTWAIT,
                                (struct sockaddr *)&asking, &length);
        if (size < 0)
            return;
        size_t answered = names_answer(converge_machine(server->twin->converge), question,
                                       (size_t)size, server->turn++, answer);
        /* Who does not take it asks again. */
        if (answered > 0)
            (void)sendto(server->fd, answer, answered, MSG_DONTWAIT,
                         (const struct sockaddr *)&asking, length);
    }
}

int name_server_new(struct twin *twin, struct name_server **ret_server, struct error *err)
{
    const struct machine_network *outside =
        machine_find_network(converge_machine(twin->converge), MACHINE_OUTSIDE);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(NAMES_PORT),
                                  .sin_addr.s_addr = htonl(outside->gateway)};
    CLEANUP(close_descriptorp)
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, errno, "open the socket for names");
    struct name_server *server = NEW(struct name_server);
    server->twin = twin;
    server->fd = take_descriptor(&fd);
    server->watch = loop_watch(twin->loop, server->fd, EPOLLIN, answer_questions, server);
    *ret_server = server;
    return 0;
}

void name_server_free(struct name_server *server)
{
    if (!server)
        return;
    loop_unwatch(server->watch);
    close_descriptor(server->fd);
    mem_free(server);
}

#include "twin/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int passing_send(int socket, const void *bytes, size_t size, int fd, int flags)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr envelope = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        envelope.msg_control = control.room;
        envelope.msg_controllen = sizeof(control.room);
        struct cmsghdr *attached = CMSG_FIRSTHDR(&envelope);
        attached->cmsg_level = SOL_SOCKET;
        attached->cmsg_type = SCM_RIGHTS;
        attached->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(attached), &fd, sizeof(fd));
    }
    return sendmsg(socket, &envelope, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int passing_receive(int socket, void *ret_bytes, size_t size, int *ret_fd, int flags)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = ret_bytes, .iov_len = size};
    struct msghdr envelope = {.msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room)};
    ssize_t received;
    do {
        received = recvmsg(socket, &envelope, flags | MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    *ret_fd = -1;
    if (received < 0)
        return -errno;
    struct cmsghdr *attached = CMSG_FIRSTHDR(&envelope);
    if (attached && attached->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(attached), sizeof(*ret_fd));
    return (size_t)received == size;
}

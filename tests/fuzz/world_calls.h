/* The calls that stand in place of the kernel's (ld's --wrap): reserved names, as the linker wants them. */
#ifndef FUZZ_WORLD_CALLS_H
#define FUZZ_WORLD_CALLS_H

#include <openssl/rand.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#pragma clang diagnostic ignored "-Wreserved-identifier"

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
int __wrap_shutdown(int fd, int how);
int __wrap_socket(int family, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_close(int fd);
int __real_close(int fd);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int __wrap_getsockname(int fd, struct sockaddr *to, socklen_t *size);
int __wrap_getpeername(int fd, struct sockaddr *to, socklen_t *size);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_poll(struct pollfd *list, nfds_t count, int timeout);
int __wrap_pipe2(int ends[2], int flags);
ssize_t __wrap_splice(int from, loff_t *at, int to, loff_t *to_at, size_t size, unsigned flags);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __real_write(int fd, const void *bytes, size_t size);
int __wrap_RAND_bytes(unsigned char *bytes, int size);

/* Between world.c and world_pipe.c. */
#define WORLD_FIRST_FD 100000
#define WORLD_WIRES 64
bool world_is_short(void); /* of descriptors: errno is set */
bool world_is_pipe(int fd);
void world_close_pipe(int fd);

/* world.c, for world_time.c: no socket is known any more. */
void world_clear_wires(void);

#endif

/* The probe for kernel TLS. */
#include "kerneltls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket that is not connected cannot take it, but a kernel that has none says so first. */
bool kerneltls_there(void)
{
	static const char name[] = "tls";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there = false;

	if (fd < 0)
		return false;
	there = setsockopt(fd, IPPROTO_TCP, TCP_ULP, name, sizeof(name)) == 0 || errno == ENOTCONN;
	close(fd);
	return there;
}

const char *kerneltls_words(void)
{
	return kerneltls_there() ? "in this kernel, not used" : "not in this kernel";
}

/* Scenarios of the PROXY protocol on the way out: the header that a service gets, decoded here a second time. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define V1 "PROXY TCP4 192.0.2.9 198.51.100.2 1024 1202\r\n"
#define V2 "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\x00\x02\x09\xc6\x33\x64\x02\x04\x00\x04\xb2"
#define BALANCER "127.0.0.2"

static const struct header {
	const char *bytes;
	size_t size;
} headers[] = {{V1, sizeof(V1) - 1}, {V2, sizeof(V2) - 1}};

static const char behind[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                             "[listener l]\naddress = 127.0.0.1:0\nservice = back\nproxy_from = 127.0.0.2\n"
                             "[listener raw]\naddress = 127.0.0.1:0\nservice = back\nunsecured_connections = only\n"
                             "exchange = none\nproxy_from = 127.0.0.2\n%s"
                             "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
                             "ca = @CERTS@/ca.pem\nclient_auth = request\n";

static int accept_one(int listening)
{
	int fd = peer_accept(listening);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void start_sending(struct gateway *gateway, int port, const char *version)
{
	char service[128];

	(void)snprintf(service, sizeof(service), "[service back]\naddress = 127.0.0.1:%d\nsend_proxy = %s\n", port,
	               version);
	gateway_start(gateway, "ccissl", behind, service);
}

START_TEST(a_service_gets_a_line_of_version_1)
{
	struct gateway gateway;
	char line[108] = "", wanted[108];
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	int port, listening = peer_listen(&port), fd, back;

	start_sending(&gateway, port, "v1");
	/* From a balancer: what its header said. */
	fd = peer_connect_from(BALANCER, gateway.ports[1]);
	ck_assert(peer_write(fd, NULL, headers[_i].bytes, headers[_i].size));
	back = accept_one(listening);
	ck_assert(peer_write(fd, NULL, "data", 4));
	ck_assert(peer_read(back, NULL, line, sizeof(V1) - 1 + 4));
	ck_assert_str_eq(line, V1 "data");
	close(fd);
	close(back);
	/* From anybody else: his address and ours. */
	fd = peer_connect_from("127.0.0.3", gateway.ports[1]);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &size), 0);
	(void)snprintf(wanted, sizeof(wanted), "PROXY TCP4 127.0.0.3 127.0.0.1 %d %d\r\n", ntohs(own.sin_port),
	               gateway.ports[1]);
	back = accept_one(listening);
	memset(line, 0, sizeof(line));
	ck_assert(peer_read(back, NULL, line, strlen(wanted)));
	ck_assert_str_eq(line, wanted);
	close(fd);
	close(back);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

struct tlvs {
	const uint8_t *at;
	size_t size;
};

/* The value of a TLV among `all`; size 0: none. */
static struct tlvs find(struct tlvs all, int type)
{
	size_t size;

	for (size_t at = 0; at + 3 <= all.size; at += 3 + size) {
		size = (size_t)all.at[at + 1] << 8 | all.at[at + 2];
		ck_assert_uint_le(at + 3 + size, all.size);
		if (all.at[at] == type)
			return (struct tlvs){all.at + at + 3, size};
	}
	return (struct tlvs){NULL, 0};
}

static void has_text(struct tlvs all, int type, const char *text)
{
	struct tlvs found = find(all, type);

	ck_assert_uint_eq(found.size, strlen(text));
	if (found.size > 0)
		ck_assert_mem_eq(found.at, text, found.size);
}

/* By the polynomial of Castagnoli, most significant bit first and then turned round: not as the programs do it. */
static uint32_t checksum(const uint8_t *bytes, size_t size)
{
	uint32_t sum = 0xffffffff, turned = 0;

	for (size_t bit = 0; bit < 8 * size; bit++) {
		uint32_t in = bytes[bit / 8] >> bit % 8 & 1;

		sum = sum >> 31 == in ? sum << 1 : sum << 1 ^ 0x1edc6f41;
	}
	for (int bit = 0; bit < 32; bit++)
		turned |= (sum >> bit & 1) << (31 - bit);
	return ~turned;
}

/* Read a header of version 2 from the service's side, check what all have; its TLVs point into `bytes`. */
static struct tlvs read_v2(int fd, uint8_t *bytes)
{
	uint8_t received[4];
	struct tlvs all, sum;
	size_t size;

	ck_assert(peer_read(fd, NULL, bytes, 16));
	ck_assert_mem_eq(bytes, "\r\n\r\n\0\r\nQUIT\n\x21\x11", 14);
	size = 16u + ((size_t)bytes[14] << 8 | bytes[15]);
	ck_assert_uint_lt(size, 4096);
	ck_assert(peer_read(fd, NULL, bytes + 16, size - 16));
	all = (struct tlvs){bytes + 28, size - 28};
	sum = find(all, 3);
	ck_assert_uint_eq(sum.size, 4);
	memcpy(received, sum.at, 4);
	memset(bytes + (sum.at - bytes), 0, 4);
	ck_assert_uint_eq(checksum(bytes, size), (uint32_t)received[0] << 24 | (uint32_t)received[1] << 16 |
	                                             (uint32_t)received[2] << 8 | received[3]);
	return all;
}

/* The connection id of an ACCEPT, which also stands in the record. */
static const uint8_t *connection_of(const uint8_t *answer, int size)
{
	for (int at = 16; at + 4 <= size; at += 4 + (answer[at + 2] << 8 | answer[at + 3]))
		if (answer[at] == 0 && answer[at + 1] == 8)
			return answer + at + 4;
	return NULL;
}

static const struct {
	bool direct;
	const char *certificate, *key;
} ways[] = {{false, NULL, NULL},
            {true, NULL, NULL},
            {false, "build/test-certs/client.pem", "build/test-certs/client.key"},
            {true, "build/test-certs/client.pem", "build/test-certs/client.key"}};

START_TEST(a_service_gets_the_facts_of_tls)
{
	bool direct = ways[_i].direct;
	struct peer_tls tls = {.alpn = direct ? "cci/1" : "cci-upgrade/1",
	                       .ca = "build/test-certs/ca.pem",
	                       .certificate = ways[_i].certificate,
	                       .key = ways[_i].key,
	                       .server_name = "host1.example"};
	struct gateway gateway;
	uint8_t bytes[4096], offer[4096], answer[4096];
	int port, listening = peer_listen(&port), fd, back, got;
	size_t size = peer_offer(offer, 1, direct ? 4 : 2, "PC1", "BACK");
	struct tlvs all, facts, inside, id;
	SSL *ssl = NULL;

	start_sending(&gateway, port, "v2");
	fd = peer_connect_from(BALANCER, gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, V1, sizeof(V1) - 1));
	if (direct)
		ck_assert_ptr_nonnull(ssl = peer_tls_client(fd, &tls));
	got = direct ? 0 : peer_exchange(fd, NULL, offer, size, answer);
	if (!direct) {
		ck_assert_ptr_nonnull(ssl = peer_tls_client(fd, &tls));
		ck_assert(peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	}
	if (direct)
		ck_assert(peer_write(fd, ssl, offer, size));
	back = accept_one(listening);
	if (direct)
		got = peer_receive(fd, ssl, answer);
	all = read_v2(back, bytes);
	ck_assert_mem_eq(bytes + 16, &V2[16], 12);
	has_text(all, 0x01, tls.alpn);
	has_text(all, 0x02, "host1.example");
	id = find(all, 0x05);
	ck_assert_uint_eq(id.size, 16);
	ck_assert_mem_eq(id.at, connection_of(answer, got), 16);
	facts = find(all, 0x20);
	ck_assert_uint_gt(facts.size, 5);
	ck_assert_int_eq(facts.at[0], tls.certificate != NULL ? 7 : 1);
	ck_assert_int_eq((facts.at[1] | facts.at[2] | facts.at[3] | facts.at[4]) == 0, tls.certificate != NULL);
	inside = (struct tlvs){facts.at + 5, facts.size - 5};
	has_text(inside, 0x21, "TLSv1.3");
	has_text(inside, 0x22, tls.certificate != NULL ? "client1.example" : "");
	has_text(inside, 0x23, SSL_get_cipher_name(ssl));
	ck_assert(peer_write(fd, ssl, "hello", 5) && peer_read(back, NULL, bytes, 5));
	ck_assert_mem_eq(bytes, "hello", 5);
	SSL_shutdown(ssl);
	peer_free(fd, ssl);
	close(back);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_clear_client_has_no_facts_of_tls)
{
	struct gateway gateway;
	uint8_t bytes[4096];
	int port, listening = peer_listen(&port), fd, back;
	struct tlvs all;

	start_sending(&gateway, port, "v2");
	fd = peer_connect_from(BALANCER, gateway.ports[1]);
	ck_assert(peer_write(fd, NULL, headers[_i].bytes, headers[_i].size));
	back = accept_one(listening);
	all = read_v2(back, bytes);
	ck_assert_mem_eq(bytes + 16, &V2[16], 12);
	ck_assert_uint_eq(find(all, 0x05).size, 16);
	ck_assert_uint_eq(find(all, 0x20).size + find(all, 0x01).size + find(all, 0x02).size, 0);
	close(fd);
	close(back);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("proxy header to services");
	TCase *tests = tcase_create("proxy_send");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_service_gets_a_line_of_version_1, 0, 2);
	tcase_add_loop_test(tests, a_service_gets_the_facts_of_tls, 0, (int)(sizeof(ways) / sizeof(ways[0])));
	tcase_add_loop_test(tests, a_clear_client_has_no_facts_of_tls, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}

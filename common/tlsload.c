/* Files into memory, and what OpenSSL says of them into errors. */
#include "tlsload.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "log.h"

#define FILE_SIZE_MOST (16u << 20)
#define FILE_SIZE_FIRST 8192u

static time_t shift_s;

const char *tls_what(const struct tls_place *place, const char *key, char *buffer)
{
	struct text text;

	text_init(&text, buffer, TLS_WHAT_SIZE);
	if (place->section != NULL)
		text_printf(&text, "[%s%s%s] ", place->section, place->name != NULL ? " " : "",
		            place->name != NULL ? place->name : "");
	text_puts(&text, key);
	return buffer;
}

/* Reads without a buffer of its own, which would keep a copy of a key; grown by hand, as realloc leaves one too. */
static int read_stream(FILE *stream, struct tls_bytes *bytes)
{
	size_t room = FILE_SIZE_FIRST, got;

	(void)setvbuf(stream, NULL, _IONBF, 0);
	bytes->at = malloc(room);
	while (bytes->at != NULL && (got = fread(bytes->at + bytes->size, 1, room - bytes->size, stream)) > 0) {
		uint8_t *more;

		bytes->size += got;
		if (bytes->size < room)
			continue;
		if (room >= FILE_SIZE_MOST) {
			errno = EFBIG;
			return -1;
		}
		more = malloc(room * 2);
		if (more != NULL)
			memcpy(more, bytes->at, bytes->size);
		OPENSSL_cleanse(bytes->at, bytes->size);
		free(bytes->at);
		bytes->at = more;
		room *= 2;
	}
	if (bytes->at == NULL)
		errno = ENOMEM;
	return bytes->at != NULL && !ferror(stream) ? 0 : -1;
}

static int read_file(const struct tls_place *place, const char *key, const char *path, struct tls_bytes *bytes,
                     struct error *error)
{
	char what[TLS_WHAT_SIZE];
	const char *why;
	FILE *stream = file_open(path, &why);
	int result, number;

	*bytes = (struct tls_bytes){0};
	if (stream == NULL)
		return error_set(error, "%s = %s cannot be opened: %s; correct the path or its permissions",
		                 tls_what(place, key, what), path, why);
	result = read_stream(stream, bytes);
	number = errno;
	(void)fclose(stream);
	if (result == 0)
		return 0;
	tls_wipe(bytes);
	return error_set(error, "%s = %s cannot be read: %s", tls_what(place, key, what), path, strerrordesc_np(number));
}

int tls_read(const struct tls_place *place, const char *key, const char *path, struct tls_bytes *bytes,
             struct error *error)
{
	if (read_file(place, key, path, bytes, error) != 0)
		return error_at(error, place->section, place->name, key);
	return 0;
}

/* A file of root's that a group may read was hardly made so by mistake. */
static bool is_exposed(const struct stat *status)
{
	return (status->st_mode & S_IROTH) != 0 || ((status->st_mode & S_IRGRP) != 0 && status->st_uid != 0);
}

/* Each worker reads the file, and so does each load: that others can read it is said once, until the file changes. */
static bool is_news(const struct stat *status)
{
	static _Thread_local struct stat said[16];
	static _Thread_local unsigned next;
	const unsigned most = sizeof(said) / sizeof(said[0]);

	for (unsigned i = 0; i < most; i++)
		if (said[i].st_ino == status->st_ino && said[i].st_dev == status->st_dev &&
		    said[i].st_ctim.tv_sec == status->st_ctim.tv_sec && said[i].st_ctim.tv_nsec == status->st_ctim.tv_nsec)
			return false;
	said[next++ % most] = *status;
	return true;
}

void tls_warn_exposed(const struct tls_place *place, const char *key, const char *path)
{
	char what[TLS_WHAT_SIZE];
	struct stat status;

	if (stat(path, &status) == 0 && is_exposed(&status) && is_news(&status))
		log_say(MESSAGE_CONFIG_WARNING,
		        "%s = %s can be read by others: chmod 600 it (or give it to root and the group of the service, and "
		        "chmod 640)",
		        tls_what(place, key, what), path);
}

int tls_read_secret(const struct tls_place *place, const char *key, const char *path, struct tls_bytes *bytes,
                    struct error *error)
{
	if (tls_read(place, key, path, bytes, error) != 0)
		return -1;
	tls_warn_exposed(place, key, path);
	return 0;
}

void tls_wipe(struct tls_bytes *bytes)
{
	if (bytes->at != NULL)
		OPENSSL_cleanse(bytes->at, bytes->size);
	free(bytes->at);
	*bytes = (struct tls_bytes){0};
}

bool tls_pem_is_over(void)
{
	unsigned long code = ERR_peek_last_error();

	if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

int tls_next_certificate(BIO *pem, OSSL_LIB_CTX *library, X509 **certificate)
{
	ERR_clear_error();
	*certificate = X509_new_ex(library, NULL);
	if (*certificate == NULL)
		return -1;
	if (PEM_read_bio_X509_AUX(pem, certificate, NULL, NULL) != NULL)
		return 1;
	X509_free(*certificate);
	*certificate = NULL;
	return tls_pem_is_over() ? 0 : -1;
}

int tls_fail(const struct tls_place *place, const char *key, struct error *error, const char *format, ...)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	char text[sizeof(error->text)];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	ERR_clear_error();
	error_set(error, "%.400s%s%s", text, reason != NULL ? ": " : "", reason != NULL ? reason : "");
	return error_at(error, place->section, place->name, key);
}

time_t tls_seconds_of(const ASN1_TIME *time)
{
	struct tm utc;

	return time != NULL && ASN1_TIME_to_tm(time, &utc) == 1 ? timegm(&utc) : 0;
}

time_t tls_now(void)
{
	return time(NULL) + shift_s;
}

void tls_now_shift(time_t seconds)
{
	shift_s = seconds;
}

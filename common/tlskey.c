/* A private key out of its file, and what is wrong with it in the words of the configuration. */
#include "tlskey.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "memwipe.h"

#define PASSPHRASE_SIZE 1024
#define DEEPEST (256u * 1024) /* that the library goes on the stack; it takes some 50 KiB */

/* Asked for where the key is encrypted; without an answer OpenSSL would ask on the terminal of a service. */
struct passphrase {
	bool asked, known;
	int length;
	char text[PASSPHRASE_SIZE];
};

static int give_passphrase(char *buffer, int size, int writing, void *context)
{
	struct passphrase *passphrase = context;

	(void)writing;
	passphrase->asked = true;
	if (!passphrase->known || passphrase->length > size)
		return -1;
	memcpy(buffer, passphrase->text, (size_t)passphrase->length);
	return passphrase->length;
}

static int load_passphrase(const struct tls_credential_files *files, struct passphrase *passphrase, struct error *error)
{
	char what[TLS_WHAT_SIZE];
	struct tls_bytes bytes;
	size_t length = 0;

	if (files->passphrase_file == NULL)
		return 0;
	if (tls_read(&files->place, "passphrase_file", files->passphrase_file, &bytes, error) != 0)
		return -1;
	while (length < bytes.size && bytes.at[length] != '\n' && bytes.at[length] != '\r')
		length++;
	passphrase->known = length > 0 && length <= sizeof(passphrase->text);
	passphrase->length = passphrase->known ? (int)length : 0;
	memcpy(passphrase->text, bytes.at, (size_t)passphrase->length);
	tls_wipe(&bytes);
	if (passphrase->known)
		return 0;
	ERR_clear_error();
	return tls_fail(&files->place, "passphrase_file", error, "%s = %s: its first line must hold 1 to %d characters",
	                tls_what(&files->place, "passphrase_file", what), files->passphrase_file, PASSPHRASE_SIZE);
}

static int key_error(const struct tls_credential_files *files, const struct passphrase *passphrase, struct error *error)
{
	char what[TLS_WHAT_SIZE];
	const char *key = "private_key";

	(void)tls_what(&files->place, key, what);
	if (passphrase->asked && passphrase->known)
		return tls_fail(&files->place, "passphrase_file", error, "%s = %s does not open with the passphrase in %s",
		                what, files->private_key, files->passphrase_file);
	if (passphrase->asked) {
		ERR_clear_error();
		return tls_fail(&files->place, key, error, "%s = %s has a passphrase: name its file in passphrase_file", what,
		                files->private_key);
	}
	return tls_fail(&files->place, key, error, "%s = %s is not a PEM key for %s", what, files->private_key,
	                files->certificate);
}

static EVP_PKEY *read_key(OSSL_LIB_CTX *library, const struct tls_credential_files *files,
                          struct passphrase *passphrase, struct error *error)
{
	EVP_PKEY *key = NULL;
	struct tls_bytes bytes;
	BIO *pem;

	if (tls_read(&files->place, "private_key", files->private_key, &bytes, error) != 0)
		return NULL;
	ERR_clear_error();
	memwipe_begin();
	pem = BIO_new_mem_buf(bytes.at, (int)bytes.size);
	if (pem != NULL)
		key = PEM_read_bio_PrivateKey_ex(pem, NULL, give_passphrase, passphrase, library, NULL);
	BIO_free(pem);
	memwipe_end();
	tls_wipe(&bytes);
	if (key == NULL)
		(void)key_error(files, passphrase, error);
	return key;
}

/* The library has the passphrase, and parts of keys, in frames of its own, and leaves them there. */
static __attribute__((noinline)) void wipe_below(void)
{
	uint8_t below[DEEPEST];

	OPENSSL_cleanse(below, sizeof(below));
}

EVP_PKEY *tls_key_load(OSSL_LIB_CTX *library, const struct tls_credential_files *files, bool *is_unneeded,
                       struct error *error)
{
	struct passphrase passphrase = {0};
	EVP_PKEY *key = NULL;

	if (load_passphrase(files, &passphrase, error) == 0)
		key = read_key(library, files, &passphrase, error);
	*is_unneeded = passphrase.known && !passphrase.asked;
	OPENSSL_cleanse(&passphrase, sizeof(passphrase));
	wipe_below();
	return key;
}

#!/bin/sh
# Makes development certificates in DIR: a CA of its own, server (and the same with an RSA key), gateway and client. With --test also broken ones, for
# the tests. What is there and valid for two more days is kept. Never use them outside of one machine.
set -eu

if [ $# -lt 1 ]; then
	echo "usage: certs/make-certs.sh DIR [--test]" >&2
	exit 2
fi
dir=$1
with_tests=${2:-}
umask 077
mkdir -p "$dir"
cd "$dir"

# What the tests take for a certificate with four days left still has them.
expires_soon() {
	openssl x509 -checkend 349200 -noout -in soon.pem >/dev/null 2>&1
}

if [ -e ca.pem ] && openssl x509 -checkend 172800 -noout -in ca.pem >/dev/null 2>&1 &&
	[ -e rsa.pem ] && { [ -z "$with_tests" ] || { [ -e made-for-tests ] && expires_soon; }; }; then
	exit 0
fi

new_key() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}

new_ca() { # name, common name
	new_key "$1.key"
	openssl req -x509 -new -key "$1.key" -sha256 -days 90 -subj "/CN=$2" -out "$1.pem" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

sign() { # name, ca, common name, alternative names, usage, days
	openssl req -new -key "$1.key" -subj "/CN=$3" -out "$1.csr"
	printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=CA:FALSE\n' "$4" "$5" >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -sha256 -days "$6" \
		-extfile "$1.ext" -out "$1.pem" 2>/dev/null
	rm -f "$1.csr" "$1.ext"
}

names=DNS:host1.example,DNS:localhost,IP:127.0.0.1,IP:::1
new_ca ca "CCI development CA"
for name in server gateway client; do new_key $name.key; done
openssl genrsa -out rsa.key 2048 2>/dev/null
sign server ca host1.example "$names" serverAuth 90
sign gateway ca gw1.example DNS:gw1.example,DNS:localhost,IP:127.0.0.1 serverAuth,clientAuth 90
sign client ca client1.example DNS:client1.example clientAuth 90
sign rsa ca host1.example "$names" serverAuth 90

[ -n "$with_tests" ] || exit 0
new_ca other-ca "another CA"
for name in other-server wrong-name expired other-client; do new_key $name.key; done
sign other-server other-ca host1.example "$names" serverAuth 90
sign wrong-name ca elsewhere.example DNS:elsewhere.example serverAuth 90
sign expired ca host1.example "$names" serverAuth -1 || true
sign other-client other-ca client1.example DNS:client1.example clientAuth 90

# Further names, an encrypted key with its passphrase, one that expires soon.
for name in second wild encrypted soon revoked revoked-server; do new_key $name.key; done
sign second ca second.example DNS:second.example serverAuth 90
sign wild ca wild.example "DNS:*.wild.example" serverAuth 90
openssl genrsa -out both.key 2048 2>/dev/null
sign both ca host1.example DNS:host1.example,DNS:third.example serverAuth 90
sign encrypted ca host1.example "$names" serverAuth 90
sign soon ca host1.example "$names" serverAuth 5
sign revoked-server ca host1.example "$names" serverAuth 90
sign revoked ca revoked.example DNS:revoked.example clientAuth 90
echo "a passphrase of the tests" >encrypted.pass
echo "another passphrase" >wrong.pass
openssl pkey -in encrypted.key -aes256 -passout file:encrypted.pass -out encrypted.tmp && mv encrypted.tmp encrypted.key

# What the CA says of its certificates: lists in which nobody or two are revoked, one that has expired, OCSP responses.
printf '[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 30\nunique_subject = no\n' >ca.cnf
: >index.txt
ca() { openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key "$@" 2>/dev/null; }
ocsp() { # name of the certificate
	openssl ocsp -index index.txt -CA ca.pem -rsigner ca.pem -rkey ca.key -issuer ca.pem -cert "$1.pem" -ndays 30 \
		-respout "$1.ocsp" >/dev/null 2>&1
}
for name in server second rsa; do ca -valid $name.pem; done
ca -gencrl -out crl.pem
ca -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out crl-expired.pem
for name in revoked revoked-server; do ca -revoke $name.pem; done
ca -gencrl -out crl-revoked.pem
for name in server second revoked; do ocsp $name; done
touch made-for-tests

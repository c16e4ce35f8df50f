#!/bin/sh
# Makes development certificates in DIR: a CA of its own, server, gateway and client. With --test also broken ones, for
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

if [ -e ca.pem ] && openssl x509 -checkend 172800 -noout -in ca.pem >/dev/null 2>&1 &&
	[ -e client.pem ] && { [ -z "$with_tests" ] || [ -e rsa.pem ]; }; then
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
sign server ca host1.example "$names" serverAuth 90
sign gateway ca gw1.example DNS:gw1.example,DNS:localhost,IP:127.0.0.1 serverAuth,clientAuth 90
sign client ca client1.example DNS:client1.example clientAuth 90

[ -n "$with_tests" ] || exit 0
new_ca other-ca "another CA"
for name in other-server wrong-name expired other-client; do new_key $name.key; done
sign other-server other-ca host1.example "$names" serverAuth 90
sign wrong-name ca elsewhere.example DNS:elsewhere.example serverAuth 90
sign expired ca host1.example "$names" serverAuth -1 || true
sign other-client other-ca client1.example DNS:client1.example clientAuth 90
openssl genrsa -out rsa.key 2048 2>/dev/null
sign rsa ca host1.example "$names" serverAuth 90

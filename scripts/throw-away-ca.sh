#!/usr/bin/env bash
# Makes a certificate for tries and tests, and the authority that signs it:
#
#   throw-away-ca.sh DIRECTORY NAME…      host names and IPv4 addresses
#
# Writes ca.pem, cert.pem and key.pem, unless they are there, for the same names, and valid for another day. The
# authority's key is deleted at once: who trusts ca.pem trusts this one certificate.

set -euo pipefail

directory=${1:?usage: throw-away-ca.sh DIRECTORY NAME…}
shift
: "${1:?usage: throw-away-ca.sh DIRECTORY NAME…}"

alternatives=''
for name in "$@"; do
    if [[ $name =~ ^[0-9.]+$ ]]; then kind=IP; else kind=DNS; fi
    alternatives+=${alternatives:+,}$kind:$name
done

mkdir -p "$directory"
cd "$directory"

is_good() {
    [ "$(cat names 2> /dev/null)" = "$alternatives" ] && openssl x509 -checkend 86400 -noout -in cert.pem > /dev/null 2>&1 \
        && openssl verify -CAfile ca.pem cert.pem > /dev/null 2>&1
}
! is_good || exit 0

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
umask 077
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=route_native throw-away CA' \
        -addext basicConstraints=critical,CA:true,pathlen:0 -addext keyUsage=critical,keyCertSign \
        -keyout "$made/ca.key" -out "$made/ca.pem"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -addext "subjectAltName=$alternatives" -addext extendedKeyUsage=serverAuth \
        -keyout "$made/key.pem" -out "$made/request.pem"
    openssl x509 -req -in "$made/request.pem" -CA "$made/ca.pem" -CAkey "$made/ca.key" -days 30 \
        -copy_extensions copy -out "$made/cert.pem"
} > "$made/log" 2>&1 || {
    tail -n 3 "$made/log" >&2
    echo "route_native: openssl could not make a certificate" >&2
    exit 1
}
echo "$alternatives" > "$made/names"
mv "$made"/{ca.pem,cert.pem,key.pem,names} .
chmod 644 ca.pem cert.pem

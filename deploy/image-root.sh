#!/bin/sh
# Lays out the file system of the container image: `image-root.sh PROGRAM FOLDER` puts the program there, with the
# shared libraries it is linked to, the machine's root certificates, and a /data that user 65532 may write.
set -eu
program=$1
root=$2

mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/data" "$root/tmp"
cp "$program" "$root/usr/bin/scim-bridge"
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
if [ -r /etc/ssl/certs/ca-certificates.crt ]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi
printf 'bridge:x:65532:65532::/data:/nonexistent\n' >"$root/etc/passwd"
chmod 1777 "$root/tmp"
chown 65532:65532 "$root/data"

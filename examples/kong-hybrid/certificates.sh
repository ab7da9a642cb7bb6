#!/usr/bin/env bash
# The certificate by which the planes know each other, in certificates/ beside this file: one for both, valid ten years.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v openssl >/dev/null || { echo "certificates: openssl is missing." >&2; exit 2; }
mkdir -p certificates
[ ! -e certificates/cluster.key ] || { echo "certificates: there is one already."; exit 0; }
openssl req -new -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -days 3650 \
  -subj "/CN=kong_clustering" -keyout certificates/cluster.key -out certificates/cluster.crt
# Kong in the containers is another user.
chmod 644 certificates/cluster.key certificates/cluster.crt

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Verifies a bundle with nothing of ours: verify.sh BUNDLE STATEMENT_KEY LOG_KEY
# Each key is a file with one block of keys.pem. Needs bash, jq, openssl, xxd, base64 and sha256sum.
# It looks at signatures and hashes only: whether the statement contradicts itself, and who has cosigned, it does not check.
set -euo pipefail
bundle=$1 d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
sed '/: /d; /^$/d' "$2" > "$d/statement.pem" # openssl does not know the headers Use, Name and Created
sed '/: /d; /^$/d' "$3" > "$d/log.pem"
sha() { sha256sum | cut -d' ' -f1; }
fail() { echo "REFUSED: $*"; exit 1; }

# 1. The statement key has signed the statement (DSSE).
type=$(jq -r .envelope.payloadType "$bundle")
jq -r .envelope.payload "$bundle" | base64 -d > "$d/statement"
jq -r '.envelope.signatures[0].sig' "$bundle" | base64 -d > "$d/signature"
{ printf 'DSSEv1 %d %s %d ' ${#type} "$type" "$(wc -c < "$d/statement")"; cat "$d/statement"; } > "$d/signed"
openssl pkeyutl -verify -rawin -pubin -inkey "$d/statement.pem" -in "$d/signed" -sigfile "$d/signature" > "$d/out" || fail "the statement's signature"

# 2. The entry is that of this statement and this signature.
jq -r .leaf "$bundle" | base64 -d > "$d/leaf"
[ "$(jq -r .statement "$d/leaf")" = "sha256:$(sha < "$d/statement")" ] || fail "the entry is of another statement"
[ "$(jq -r .signature "$d/leaf")" = "sha256:$(sha < "$d/signature")" ] || fail "the entry is of another signature"

# 3. The log key has signed the checkpoint: three lines, and after an empty one the signature, behind four bytes that name the key.
jq -j .proof "$bundle" > "$d/proof"
sed '1,/^$/d' "$d/proof" > "$d/checkpoint"
head -n 3 "$d/checkpoint" > "$d/tree"
origin=$(sed -n 1p "$d/tree") size=$(sed -n 2p "$d/tree") root=$(sed -n 3p "$d/tree" | base64 -d | xxd -p -c 32)
signed=no
while read -r _ _ sig; do
  base64 -d <<< "$sig" | tail -c +5 > "$d/logsig"
  openssl pkeyutl -verify -rawin -pubin -inkey "$d/log.pem" -in "$d/tree" -sigfile "$d/logsig" > "$d/out" 2>&1 && signed=yes
done < <(grep -F "— $origin " "$d/checkpoint")
[ $signed = yes ] || fail "the checkpoint's signature"

# 4. The hashes lead from the entry to the root (RFC 9162, 2.1.3.2).
index=$(sed -n 's/^index //p' "$d/proof") n=$index last=$((size - 1))
[ "$n" -le $last ] || fail "the index"
hash=$({ printf '\0'; cat "$d/leaf"; } | sha)
parent() { xxd -r -p <<< "01$1$2" | sha; }
while read -r line; do
  [ $last -gt 0 ] || fail "a hash too many"
  sibling=$(base64 -d <<< "$line" | xxd -p -c 32)
  if [ $((n % 2)) = 1 ] || [ "$n" = $last ]; then
    hash=$(parent "$sibling" "$hash")
    while [ $((n % 2)) = 0 ] && [ "$n" != 0 ]; do n=$((n / 2)) last=$((last / 2)); done
  else
    hash=$(parent "$hash" "$sibling")
  fi
  n=$((n / 2)) last=$((last / 2))
done < <(sed '1,2d; /^$/q' "$d/proof" | grep .)
[ $last = 0 ] && [ "$hash" = "$root" ] || fail "the proof of inclusion"

echo "VERIFIED: entry $index of $origin, which has $size entries"
jq -r '.predicate | "\(.kind) of \(.time): \(.level)"' "$d/statement"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# render.sh IMAGE prints config/default with the image set. It works on a copy, so that no file of the project changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

image=$1
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

cp -r config "$copy/"
kustomize=$(go tool -modfile=hack/tools/go.mod -n kustomize)
(cd "$copy/config/default" && "$kustomize" edit set image "controller=$image")
"$kustomize" build "$copy/config/default"

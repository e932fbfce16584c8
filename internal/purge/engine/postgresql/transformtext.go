// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

const (
	// A pseudonym is hmacPrefix and 64 hexadecimal digits, hmacLength characters in all.
	hmacPrefix = "hmac-sha256:"
	hmacLength = len(hmacPrefix) + 2*sha256.Size
	// minKey is the length in bytes below which a key could be guessed, maxKey a bound on what is read.
	minKey = 16
	maxKey = 64 << 10
)

// readKey reads the key of MethodHMAC, byte for byte. An *Error with SecretIncomplete names its file.
func readKey(dir, name string) ([]byte, error) {
	if !filepath.IsLocal(name) {
		return nil, engine.Fail(receipt.SecretIncomplete, name)
	}
	key, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || len(key) < minKey || len(key) > maxKey {
		return nil, engine.Fail(receipt.SecretIncomplete, name)
	}
	return key, nil
}

// hmacWith replaces a text by its pseudonym under key. It is computed here, so that the server never sees the key.
func hmacWith(key []byte) func(string) (string, bool) {
	mac := hmac.New(sha256.New, key)
	return func(value string) (string, bool) {
		mac.Reset()
		_, _ = mac.Write([]byte(value)) // a hash never fails
		return hmacPrefix + hex.EncodeToString(mac.Sum(nil)), true
	}
}

// truncatedIP is the form of what truncateIP returns, as a regular expression of PostgreSQL. A text of blanks alone tells
// nothing that could be cut.
const truncatedIP = `^(?:\s*` +
	`|(?:::ffff:)?` + octet + `\.` + octet + `\.` + octet + `\.0` +
	`|(?:[0-9a-f]{1,4}:){1,3}:|::)$`

const octet = `(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`

// truncateIP keeps 24 bits of an IPv4 address and 48 of an IPv6 address, and false of what is no address. An IPv4 address
// in IPv6's clothes keeps what an IPv4 address keeps. The zone of an IPv6 address, a name of an interface, goes.
func truncateIP(text string) (string, bool) {
	addr, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil {
		return "", false
	}
	addr = addr.WithZone("")
	bits := 48
	switch {
	case addr.Is4():
		bits = 24
	case addr.Is4In6():
		bits = 120
	}
	return netip.PrefixFrom(addr, bits).Masked().Addr().String(), true
}

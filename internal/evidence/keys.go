// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// What a public key is used for.
const (
	UseStatement = "statement" // signs statements
	UseLog       = "log"       // signs the ledger's checkpoints
	UseWitness   = "witness"   // cosigns them (C2SP cosignature/v1)
)

// MaxTrust is how many bytes a trust file may have.
const MaxTrust = 1 << 20

const (
	blockType     = "PUBLIC KEY"
	headerUse     = "Use"
	headerName    = "Name"
	headerCreated = "Created"
)

// PublicKey is one key of a trust file.
type PublicKey struct {
	// Use is UseStatement, UseLog or UseWitness.
	Use string
	// Name is the note key name of a log or witness key; of a log it is the origin too.
	Name string
	Key  ed25519.PublicKey
	// Created is when it was made; zero if unknown.
	Created time.Time
}

// Trust is whose signatures count. It has to come to the verifier by another way than what is verified.
type Trust struct {
	// Keys are all of them, in the order of the file.
	Keys []PublicKey
	// Statement are the keys that sign statements.
	Statement []ed25519.PublicKey
	// Log verify checkpoints, Witness their cosignatures.
	Log, Witness []note.Verifier
	// RequireWitness refuses checkpoints that no witness has cosigned. ParseTrust leaves it false.
	RequireWitness bool
}

// NewTrust returns the trust in keys. A key that is given twice counts once. Its errors are of type *Problem.
func NewTrust(keys []PublicKey) (*Trust, error) {
	t := &Trust{}
	for i, k := range keys {
		if err := t.add(k); err != nil {
			return nil, problem(CodeKeys, "key %d cannot be used: %v", i+1, err)
		}
	}
	return t, nil
}

func (t *Trust) add(k PublicKey) error {
	if len(k.Key) != ed25519.PublicKeySize {
		return errors.New("it is no Ed25519 key")
	}
	for _, other := range t.Keys {
		if other.Use == k.Use && other.Name == k.Name && other.Key.Equal(k.Key) {
			return nil
		}
	}
	switch k.Use {
	case UseStatement:
		if k.Name != "" {
			return errors.New("a statement key has no Name")
		}
		t.Statement = append(t.Statement, k.Key)
	case UseLog:
		v, err := LogVerifier(k.Name, k.Key)
		if err != nil {
			return err
		}
		t.Log = append(t.Log, v)
	case UseWitness:
		v, err := WitnessVerifier(k.Name, k.Key)
		if err != nil {
			return err
		}
		t.Witness = append(t.Witness, v)
	default:
		return fmt.Errorf("its Use is %q, which is neither %s nor %s nor %s", k.Use, UseStatement, UseLog, UseWitness)
	}
	t.Keys = append(t.Keys, k)
	return nil
}

// LogVerifier verifies the checkpoints that a log of that name (origin) has signed with the key.
func LogVerifier(name string, key ed25519.PublicKey) (note.Verifier, error) {
	vkey, err := verifierKey(name, key)
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("a log key named %q: %w", name, err)
	}
	return v, nil
}

// WitnessVerifier verifies the cosignatures that a witness of that name has made with the key.
func WitnessVerifier(name string, key ed25519.PublicKey) (note.Verifier, error) {
	vkey, err := verifierKey(name, key)
	if err != nil {
		return nil, err
	}
	v, err := cosignature.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("a witness key named %q: %w", name, err)
	}
	return v, nil
}

func verifierKey(name string, key ed25519.PublicKey) (string, error) {
	if name == "" || strings.ContainsFunc(name, unicode.IsSpace) || strings.Contains(name, "+") || len(name) > 253 {
		return "", fmt.Errorf("its Name %q is not that of a note key: it has 1 to 253 bytes, no space and no +", name)
	}
	if len(key) != ed25519.PublicKeySize {
		return "", errors.New("it is no Ed25519 key")
	}
	return note.NewEd25519VerifierKey(name, key)
}

// NoteKey returns the Ed25519 key and the name of a signer key as note.GenerateKey writes it.
func NoteKey(skey string) (name string, key ed25519.PrivateKey, err error) {
	if _, err := note.NewSigner(skey); err != nil {
		return "", nil, fmt.Errorf("reading a note key: %w", err)
	}
	fields := strings.SplitN(skey, "+", 5) // PRIVATE+KEY+name+hash+base64
	seed, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", nil, errors.New("reading a note key: it is no Ed25519 key")
	}
	return fields[2], ed25519.NewKeyFromSeed(seed[1:]), nil
}

// ParseTrust reads a trust file: PEM blocks PUBLIC KEY (PKIX, Ed25519) with the headers Use, for log and witness keys Name, and
// optionally Created (RFC 3339). A block without headers is a statement key. What stands between blocks is ignored, as PEM
// wants it, but a block that cannot be read is not. Its errors are of type *Problem and say which block, counted from 1.
func ParseTrust(file []byte) (*Trust, error) {
	if len(file) > MaxTrust {
		return nil, problem(CodeTooLarge, "the trusted keys have more than %d bytes", MaxTrust)
	}
	begun := strings.Count("\n"+string(file), "\n-----BEGIN ")
	t := &Trust{}
	n := 0
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		n++
		k, err := parseKey(block)
		if err == nil {
			err = t.add(k)
		}
		if err != nil {
			return nil, problem(CodeKeys, "block %d of the trusted keys cannot be used: %v", n, err)
		}
	}
	switch {
	case n != begun: // pem.Decode skips what it cannot read
		return nil, problem(CodeKeys, "the trusted keys have %d blocks, and only %d of them can be read as PEM", begun, n)
	case n == 0:
		return nil, problem(CodeKeys, "the trusted keys have no PEM block %s", blockType)
	}
	return t, nil
}

func parseKey(block *pem.Block) (PublicKey, error) {
	if block.Type != blockType {
		return PublicKey{}, fmt.Errorf("it is a %s, not a %s", block.Type, blockType)
	}
	k := PublicKey{Use: UseStatement}
	for name, value := range block.Headers {
		switch name {
		case headerUse:
			k.Use = value
		case headerName:
			k.Name = value
		case headerCreated:
			t, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return PublicKey{}, fmt.Errorf("its Created is no time: %w", err)
			}
			k.Created = t.UTC()
		default:
			return PublicKey{}, fmt.Errorf("it has an unknown header %q", name)
		}
	}
	if len(block.Headers) > 0 && block.Headers[headerUse] == "" {
		return PublicKey{}, errors.New("it has headers and no Use")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("it is no PKIX public key: %w", err)
	}
	key, ok := pub.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("it is a key of type %T, not Ed25519", pub)
	}
	k.Key = key
	return k, nil
}

// FormatTrust writes a trust file, with all keys in the order given.
func FormatTrust(keys []PublicKey) []byte {
	var file []byte
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		if err != nil { // Ed25519 can be encoded always
			continue
		}
		headers := map[string]string{headerUse: k.Use}
		if k.Name != "" {
			headers[headerName] = k.Name
		}
		if !k.Created.IsZero() {
			headers[headerCreated] = k.Created.UTC().Format(time.RFC3339)
		}
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: blockType, Headers: headers, Bytes: der})...)
	}
	return file
}

// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/evidence"
)

const (
	// KeysName is the Secret with the private keys of the manager, and the ConfigMap with all public ones. The Secret has the
	// statement keys as <Unix time of creation>.key (PEM, PKCS #8), the witness key as `witness` (a note signer key), and
	// under TrustKey all public keys that there ever were: what the operator itself trusts, whatever becomes of the ConfigMap.
	KeysName = "retention-evidence-keys"
	// TrustKey is the data key of the public keys: a trust file (evidence.ParseTrust).
	TrustKey = "keys.pem"
	// LedgerSecret has what the ledger's process needs: note signer keys in log.key, one a line and the current one first, and
	// in tls.crt and tls.key the certificate by which manager and ledger know each other.
	LedgerSecret = "retention-ledger"

	witnessKey = "witness"
	logKey     = "log.key"

	// annotationWitnessed on the Secret says that a checkpoint has been kept: from then on there must be one.
	annotationWitnessed = v1alpha1.Group + "/witnessed"

	originPrefix  = "dataretention.dev/ledger/"
	witnessPrefix = "dataretention.dev/witness/"

	// publishFirst is for how long a statement key is published before it signs: the ledger takes no other, and sees the
	// ConfigMap as the kubelet brings it. keepFormer is how long after that the former one stays, for a manager that has not
	// looked since. Then it is destroyed: nothing is ever signed with it again.
	publishFirst = 5 * time.Minute
	keepFormer   = 10 * time.Minute
)

// statementKey signs statements.
type statementKey = upkeep.Key[ed25519.PrivateKey]

// keys are what the two Secrets hold.
type keys struct {
	statements []statementKey // the latest first, one at least
	witness    note.Signer
	// trust has all public keys ever.
	trust     *evidence.Trust
	channel   *tls.Config
	witnessed bool
}

// parseKeys reads the Secrets. An error never quotes a key.
func parseKeys(secret, ledger *corev1.Secret) (*keys, error) {
	k := &keys{witnessed: secret.Annotations[annotationWitnessed] != ""}
	var err error
	if k.statements, err = parseStatementKeys(secret); err != nil {
		return nil, err
	}
	if len(k.statements) == 0 {
		return nil, fmt.Errorf("no statement key is in Secret %s", secret.Name)
	}
	if k.witness, err = cosignature.NewSignerForCosignatureV1(firstLine(secret.Data[witnessKey])); err != nil {
		return nil, unreadable(secret, witnessKey, "no note signer key")
	}
	if k.trust, err = evidence.ParseTrust(secret.Data[TrustKey]); err != nil {
		return nil, unreadable(secret, TrustKey, err.Error())
	}
	k.channel, err = parseChannel(ledger)
	return k, err
}

// signer is the key that signs at that time: the latest that has been published for long enough.
func (k *keys) signer(now time.Time) (current int) {
	for i, s := range k.statements {
		if now.Sub(s.Created) >= publishFirst {
			return i
		}
	}
	return len(k.statements) - 1
}

// former are the keys that nothing is signed with any more.
func (k *keys) former(now time.Time) []statementKey {
	current := k.signer(now)
	if now.Sub(k.statements[current].Created) < publishFirst+keepFormer {
		return nil
	}
	return k.statements[current+1:]
}

func parseStatementKeys(secret *corev1.Secret) ([]statementKey, error) {
	return upkeep.Parse(secret, func(value []byte) (ed25519.PrivateKey, error) {
		none := errors.New("no Ed25519 key in PEM (PKCS #8)")
		block, _ := pem.Decode(value)
		if block == nil {
			return nil, none
		}
		private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, none
		}
		key, ok := private.(ed25519.PrivateKey)
		if !ok {
			return nil, none
		}
		return key, nil
	})
}

// addStatementKey puts a new key into the Secret that becomes the latest.
func addStatementKey(secret *corev1.Secret, now time.Time) error {
	statements, err := parseStatementKeys(secret)
	if err != nil {
		return err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making a statement key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("making a statement key: %w", err)
	}
	upkeep.Add(secret, statements, now, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return nil
}

// addNoteKey puts a new note signer key into the Secret, as the first line.
func addNoteKey(secret *corev1.Secret, dataKey, name string) error {
	private, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return fmt.Errorf("making the key %s: %w", dataKey, err)
	}
	set(secret, dataKey, append([]byte(private+"\n"), secret.Data[dataKey]...))
	return nil
}

// fillKeys adds to the Secret what it lacks: keys, and public keys to those that are known. If it has lost its keys, or what
// it knew, it takes over what is published; lost says so.
func fillKeys(secret *corev1.Secret, cluster string, logs []evidence.PublicKey, published func() ([]evidence.PublicKey, error), now time.Time) (changed, lost bool, err error) {
	known, err := knownTo(secret)
	if err != nil {
		return false, false, err
	}
	statements, err := parseStatementKeys(secret)
	if err != nil {
		return false, false, err
	}
	before := len(known)
	if len(statements) == 0 || len(known) == 0 {
		more, err := published()
		if err != nil {
			return false, false, err
		}
		known = union(known, more)
	}
	if len(statements) == 0 {
		lost = slices.ContainsFunc(known, func(k evidence.PublicKey) bool { return k.Use == evidence.UseStatement })
		if err := addStatementKey(secret, now); err != nil {
			return false, false, err
		}
	}
	if len(secret.Data[witnessKey]) == 0 {
		if err := addNoteKey(secret, witnessKey, witnessPrefix+cluster); err != nil {
			return false, false, err
		}
	}
	own, err := publicOf(secret)
	if err != nil {
		return false, false, err
	}
	all := union(known, own, logs)
	if len(all) == before { // then no private key was made, either
		return false, false, nil
	}
	set(secret, TrustKey, evidence.FormatTrust(all))
	return true, lost, nil
}

// knownTo are the public keys that the Secret knows.
func knownTo(secret *corev1.Secret) ([]evidence.PublicKey, error) {
	text := secret.Data[TrustKey]
	if len(text) == 0 {
		return nil, nil
	}
	trust, err := evidence.ParseTrust(text)
	if err != nil {
		return nil, unreadable(secret, TrustKey, err.Error())
	}
	return trust.Keys, nil
}

// publicOf are the public keys of the private ones in the Secret of the manager.
func publicOf(secret *corev1.Secret) ([]evidence.PublicKey, error) {
	statements, err := parseStatementKeys(secret)
	if err != nil {
		return nil, err
	}
	var public []evidence.PublicKey
	for _, s := range slices.Backward(statements) {
		public = append(public, evidence.PublicKey{Use: evidence.UseStatement, Key: s.Private.Public().(ed25519.PublicKey), Created: s.Created})
	}
	witness, err := notePublic(secret, witnessKey, evidence.UseWitness)
	return append(public, witness...), err
}

// notePublic are the public keys of the note signer keys under the data key, the latest last.
func notePublic(secret *corev1.Secret, dataKey, use string) ([]evidence.PublicKey, error) {
	var public []evidence.PublicKey
	for line := range strings.Lines(string(secret.Data[dataKey])) {
		name, private, err := evidence.NoteKey(strings.TrimSpace(line))
		if err != nil {
			return nil, unreadable(secret, dataKey, "no note signer key")
		}
		public = append(public, evidence.PublicKey{Use: use, Name: name, Key: private.Public().(ed25519.PublicKey)})
	}
	slices.Reverse(public)
	return public, nil
}

// union has each key once, in the order of its first appearance.
func union(lists ...[]evidence.PublicKey) []evidence.PublicKey {
	var all []evidence.PublicKey
	for _, k := range slices.Concat(lists...) {
		if !slices.ContainsFunc(all, func(o evidence.PublicKey) bool {
			return o.Use == k.Use && o.Name == k.Name && bytes.Equal(o.Key, k.Key)
		}) {
			all = append(all, k)
		}
	}
	return all
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

func set(secret *corev1.Secret, key string, value []byte) {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[key] = value
}

func unreadable(secret *corev1.Secret, key, why string) error {
	return fmt.Errorf("%s of Secret %s cannot be used: %s; restore it from a backup, or remove it", key, secret.Name, why)
}

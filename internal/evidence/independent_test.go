// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// plain is a bundle as somebody reads it who has none of our code.
type plain struct {
	Envelope struct {
		PayloadType string
		Payload     []byte
		Signatures  []struct{ Sig []byte }
	}
	Leaf  []byte
	Proof string
}

// Other implementations agree on a genuine bundle, and refuse a changed one: openssl on the statement's signature,
// golang.org/x/mod on checkpoint and inclusion, and the script in the documentation on all. They have only the bundle's file.
func TestIndependent(t *testing.T) {
	var b plain
	if err := json.Unmarshal(bundleFile(t), &b); err != nil {
		t.Fatal(err)
	}
	t.Run("openssl", func(t *testing.T) {
		openssl, err := exec.LookPath("openssl")
		if err != nil {
			t.Skip("openssl is missing, so nobody but Go has checked the signature")
		}
		verify := func(payload []byte) error {
			dir := t.TempDir()
			der, err := x509.MarshalPKIXPublicKey(public(testKey("statement")))
			if err != nil {
				t.Fatal(err)
			}
			signed := "DSSEv1 " + strconv.Itoa(len(b.Envelope.PayloadType)) + " " + b.Envelope.PayloadType + " " +
				strconv.Itoa(len(payload)) + " " + string(payload)
			for name, data := range map[string][]byte{
				"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "signed": []byte(signed), "sig": b.Envelope.Signatures[0].Sig,
			} {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-in", "signed", "-sigfile", "sig")
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			return err
		}
		if err := verify(b.Envelope.Payload); err != nil {
			t.Errorf("openssl refuses a genuine statement: %v", err)
		}
		if err := verify([]byte(replaced(t, string(b.Envelope.Payload), "1200", "1300"))); err == nil {
			t.Error("openssl accepts a changed statement")
		}
	})
	t.Run("shell", func(t *testing.T) {
		for _, tool := range []string{"bash", "jq", "openssl", "xxd", "base64", "sha256sum"} {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("%s is missing, so docs/evidence/verify.sh was not tried", tool)
			}
		}
		dir := t.TempDir()
		put := func(name string, data []byte) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		statement, log := put("statement.pem", FormatTrust(testKeys()[:1])), put("log.pem", FormatTrust(testKeys()[1:2]))
		verify := func(b *Bundle) (string, error) {
			file, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "../../docs/evidence/verify.sh", put("bundle.json", file), statement, log).CombinedOutput()
			return string(out), err
		}
		l := story(t)
		for _, size := range []int64{1, 7, storySize} {
			if out, err := verify(l.bundle(size/2, size, later)); err != nil || !strings.Contains(out, "VERIFIED: entry "+strconv.FormatInt(size/2, 10)) {
				t.Errorf("the script refuses a genuine bundle of a ledger of %d entries: %v\n%s", size, err, out)
			}
		}
		for name, c := range map[string]struct {
			edit func(b *Bundle)
			says string
		}{
			"a count": {func(b *Bundle) {
				b.Envelope.Payload = base64.StdEncoding.EncodeToString([]byte(replaced(t, payloadOf(t, &b.Envelope), "1200", "1300")))
			}, "the statement's signature"},
			"the envelope":   {func(b *Bundle) { b.Envelope = *l.envelopes[aConclusion] }, "the entry is of another statement"},
			"the checkpoint": {func(b *Bundle) { b.Proof = replaced(t, b.Proof, "\n12\n", "\n13\n") }, "the checkpoint's signature"},
			"the index":      {func(b *Bundle) { b.Proof = replaced(t, b.Proof, "index 1\n", "index 2\n") }, "the proof of inclusion"},
			"a hash more": {func(b *Bundle) {
				editProof(b, func(l []string) []string { return append(l[:3:3], l[2:]...) })
			}, "REFUSED"},
		} {
			b := l.bundle(aResult, storySize, later)
			c.edit(b)
			if out, err := verify(b); err == nil || !strings.Contains(out, c.says) {
				t.Errorf("%s was changed, and the script says %v\n%swant: %s", name, err, out, c.says)
			}
		}
	})
	t.Run("x/mod", func(t *testing.T) {
		proof, checkpoint, _ := strings.Cut(b.Proof, "\n\n")
		vkey, err := note.NewEd25519VerifierKey(testOrigin, public(testKey("log")))
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		n, err := note.Open([]byte(checkpoint), note.VerifierList(verifier))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.SplitN(n.Text, "\n", 2)[1]))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(proof, "\n")
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		var hashes tlog.RecordProof
		for _, line := range lines[2:] {
			h, err := base64.StdEncoding.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, tlog.Hash(h))
		}
		if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(b.Leaf)); err != nil {
			t.Errorf("x/mod refuses a genuine proof: %v", err)
		}
		if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(append(b.Leaf, ' '))); err == nil {
			t.Error("x/mod accepts a changed entry")
		}
	})
}

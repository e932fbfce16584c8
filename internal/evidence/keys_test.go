// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

func TestTrustRoundTrip(t *testing.T) {
	keys := append(testKeys(), PublicKey{Use: UseStatement, Key: public(testKey("older"))})
	file := FormatTrust(keys)
	trust, err := ParseTrust(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(trust.Statement) != 2 || len(trust.Log) != 1 || len(trust.Witness) != 1 || trust.RequireWitness {
		t.Fatalf("%+v", trust)
	}
	if !bytes.Equal(FormatTrust(trust.Keys), file) {
		t.Errorf("written again it is\n%s\nnot\n%s", FormatTrust(trust.Keys), file)
	}
	if !trust.Keys[0].Created.Equal(start) || !trust.Keys[3].Created.IsZero() {
		t.Errorf("created %v and %v", trust.Keys[0].Created, trust.Keys[3].Created)
	}
	if trust.Log[0].Name() != testOrigin || trust.Witness[0].Name() != testWitness {
		t.Errorf("the log is %q, the witness %q", trust.Log[0].Name(), trust.Witness[0].Name())
	}
	// A person may put a title between blocks, and the same key twice.
	commented := "Keys of the cluster \"production\", given to us by letter.\n\n" + string(file) + "\n" + string(file)
	if trust, err = ParseTrust([]byte(commented)); err != nil || len(trust.Keys) != 4 {
		t.Errorf("with a title, and each key twice: %v, %+v", err, trust)
	}
	if _, err := Verify(bundleFile(t), trust); err != nil {
		t.Errorf("each key twice: %v", err)
	}
}

func bundleFile(t testing.TB) []byte {
	t.Helper()
	file, err := story(t).bundle(aResult, storySize, later).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Our verifiers take what the keys of the note package and of its cosignatures sign.
func TestNoteKeys(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	name, key, err := NoteKey(skey)
	if err != nil || name != testOrigin {
		t.Fatalf("%q, %v", name, err)
	}
	v, err := LogVerifier(name, public(key))
	if err != nil {
		t.Fatal(err)
	}
	want, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if v.KeyHash() != want.KeyHash() || v.Name() != want.Name() {
		t.Errorf("the key hash is %08x, want %08x", v.KeyHash(), want.KeyHash())
	}
	l := story(t)
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := cosignature.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: l.text(5)}, signer, witness)
	if err != nil {
		t.Fatal(err)
	}
	trust := trustOf(t, PublicKey{Use: UseLog, Name: name, Key: public(key)}, PublicKey{Use: UseWitness, Name: name, Key: public(key)})
	c, err := OpenCheckpoint(signed, trust)
	if err != nil {
		t.Fatal(err)
	}
	if c.Size != 5 || c.Origin != testOrigin || c.Root != l.root(5) || c.Witnessed == nil || time.Since(*c.Witnessed) > time.Minute || c.Witness != name {
		t.Errorf("%+v", c)
	}
	for _, bad := range []string{"", "PRIVATE+KEY", vkey, skey + "x"} {
		if _, _, err := NoteKey(bad); err == nil {
			t.Errorf("%q is a note key", bad)
		} else if len(bad) > 20 && strings.Contains(err.Error(), bad[len(bad)-20:]) {
			t.Errorf("the error has the key: %v", err)
		}
	}
}

func TestParseTrustFails(t *testing.T) {
	file := string(FormatTrust(testKeys()))
	blocks := strings.SplitAfter(file, "-----END PUBLIC KEY-----\n")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(typ string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	ed, err := x509.MarshalPKIXPublicKey(public(testKey("statement")))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ file, says string }{
		"empty":                     {"", "no PEM block PUBLIC KEY"},
		"no PEM":                    {"keys", "no PEM block PUBLIC KEY"},
		"another block":             {blocks[0] + encode("CERTIFICATE", ed), "block 2 of the trusted keys cannot be used: it is a CERTIFICATE, not a PUBLIC KEY"},
		"a private key":             {encode("PRIVATE KEY", ed), "block 1 of the trusted keys cannot be used: it is a PRIVATE KEY"},
		"another algorithm":         {blocks[0] + blocks[1] + encode("PUBLIC KEY", der), "block 3 of the trusted keys cannot be used: it is a key of type *ecdsa.PublicKey"},
		"no key":                    {encode("PUBLIC KEY", []byte("x")), "block 1 of the trusted keys cannot be used: it is no PKIX public key"},
		"cut off":                   {blocks[0] + blocks[1][:len(blocks[1])-10], "have 2 blocks, and only 1 of them can be read"},
		"the middle one unreadable": {blocks[0] + strings.Replace(blocks[1], "MCow", "????", 1) + blocks[2], "have 3 blocks, and only 2 of them can be read"},
		"an unknown use":            {strings.Replace(blocks[0], "Use: statement", "Use: everything", 1), `its Use is "everything"`},
		"no use":                    {strings.Replace(blocks[0], "Use: statement\n", "", 1), "it has headers and no Use"},
		"an unknown header":         {strings.Replace(blocks[0], "Use: ", "Used-By: x\nUse: ", 1), `an unknown header "Used-By"`},
		"a log without a name":      {strings.Replace(blocks[1], "Name: "+testOrigin+"\n", "", 1), "is not that of a note key"},
		"a log with a bad name":     {strings.Replace(blocks[1], testOrigin, "a+b", 1), "is not that of a note key"},
		"a witness without a name":  {strings.Replace(blocks[2], "Name: "+testWitness+"\n", "", 1), "is not that of a note key"},
		"a statement key with one":  {strings.Replace(blocks[0], "Use: ", "Name: x\nUse: ", 1), "a statement key has no Name"},
		"no time":                   {strings.Replace(blocks[0], "2026-03-01T02:00:00Z", "yesterday", 1), "its Created is no time"},
		"too large":                 {strings.Repeat("x", MaxTrust+1), "more than 1048576 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			trust, err := ParseTrust([]byte(c.file))
			var p *Problem
			if !errors.As(err, &p) || trust != nil || !strings.Contains(p.Sentence, c.says) {
				t.Errorf("%v, %v, want: %s", trust, err, c.says)
			}
		})
	}
	if _, err := NewTrust([]PublicKey{{Use: UseStatement, Key: []byte("x")}}); err == nil {
		t.Error("a key of one byte is trusted")
	}
	bare, err := ParseTrust([]byte(encode("PUBLIC KEY", ed)))
	if err != nil || len(bare.Statement) != 1 {
		t.Errorf("a block without headers is no statement key: %v, %+v", err, bare)
	}
}

func FuzzParseTrust(f *testing.F) {
	f.Add(FormatTrust(testKeys()))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nUse: log\n\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		trust, err := ParseTrust(file)
		if (trust == nil) == (err == nil) {
			t.Fatalf("%v, %v", trust, err)
		}
		if err != nil {
			return
		}
		again, err := ParseTrust(FormatTrust(trust.Keys))
		if err != nil || len(again.Keys) != len(trust.Keys) {
			t.Fatalf("written again it cannot be read: %v", err)
		}
	})
}

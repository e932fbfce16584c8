// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	ring := Ring{newKey(t), newKey(t)}
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		key := rapid.IntRange(0, 1).Draw(t, "key")
		text, err := Seal(ring[key].Recipient().String(), plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if len(plaintext) > 8 && strings.Contains(text, string(plaintext)) {
			t.Fatal("it can be read")
		}
		got, public, err := ring.Open(text)
		if err != nil || !bytes.Equal(got, plaintext) || public != ring[key].Recipient().String() {
			t.Fatalf("got %q, %s, %v", got, public, err)
		}
	})
}

// TestOtherClients opens what age's own API sealed, as any client does it, and has it open ours.
func TestOtherClients(t *testing.T) {
	key, other := newKey(t), newKey(t)
	const plaintext = "email=anna@example.com\n"
	for name, recipients := range map[string][]age.Recipient{
		"one recipient":      {key.Recipient()},
		"several recipients": {other.Recipient(), key.Recipient()},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			armored := armor.NewWriter(&out)
			w, err := age.Encrypt(armored, recipients...)
			must(t, err)
			_, err = io.WriteString(w, plaintext)
			must(t, err)
			must(t, w.Close())
			must(t, armored.Close())
			// A text in YAML has often lost or won some space at its ends, and its line breaks may be Windows'.
			for _, text := range []string{out.String(), "\n  " + out.String() + "\n\n", strings.ReplaceAll(out.String(), "\n", "\r\n")} {
				got, public, err := Ring{key}.Open(text)
				if err != nil || string(got) != plaintext || public != key.Recipient().String() {
					t.Errorf("got %q, %s, %v", got, public, err)
				}
			}
		})
	}
	text, err := Seal(key.Recipient().String(), []byte(plaintext))
	must(t, err)
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(text)), key)
	must(t, err)
	if got, err := io.ReadAll(r); err != nil || string(got) != plaintext {
		t.Errorf("age opens %q, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	key, other := newKey(t), newKey(t)
	text, err := Seal(key.Recipient().String(), []byte("email=anna@example.com"))
	must(t, err)
	passphrase, err := age.NewScryptRecipient("anna")
	must(t, err)
	passphrase.SetWorkFactor(10)
	var scrypt bytes.Buffer
	armored := armor.NewWriter(&scrypt)
	w, err := age.Encrypt(armored, passphrase)
	must(t, err)
	must(t, errors.Join(w.Close(), armored.Close()))
	large, err := Seal(key.Recipient().String(), make([]byte, MaxBytes+1))
	must(t, err)
	largest, err := Seal(key.Recipient().String(), make([]byte, MaxBytes))
	must(t, err)

	lines := strings.Split(text, "\n")
	flipped := strings.Replace(text, lines[3][10:20], strings.Repeat("A", 10), 1)
	for name, c := range map[string]struct {
		ring Ring
		text string
		want error
	}{
		"sealed to another key": {Ring{other}, text, ErrOtherKey},
		"no key at all":         {nil, text, ErrOtherKey},
		"a passphrase":          {Ring{key}, scrypt.String(), ErrOtherKey},
		"no age file":           {Ring{key}, "email=anna@example.com", ErrDamaged},
		"empty":                 {Ring{key}, "", ErrDamaged},
		"cut":                   {Ring{key}, strings.Join(append(lines[:len(lines)-3:len(lines)-3], lines[len(lines)-2:]...), "\n"), ErrDamaged},
		"changed":               {Ring{key}, flipped, ErrDamaged},
		"more after its end":    {Ring{key}, text + "x", ErrDamaged},
		"more than may be":      {Ring{key}, large, ErrDamaged},
		"far too long":          {Ring{key}, strings.Repeat("x", 2*MaxBytes+1), ErrDamaged},
		"as much as may be":     {Ring{other, key}, largest, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, public, err := c.ring.Open(c.text)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err != nil && (len(got) > 0 || public != "") {
				t.Errorf("an error with %d bytes for %q", len(got), public)
			}
			if err != nil && strings.Contains(err.Error(), "anna") {
				t.Errorf("the error quotes what was sealed: %v", err)
			}
		})
	}
}

func TestSealRefuses(t *testing.T) {
	key := newKey(t)
	for _, public := range []string{"", "age1", "anna@example.com", key.String(), "ssh-ed25519 AAAA"} {
		_, err := Seal(public, []byte("x"))
		if err == nil || (public != "" && public != "age1" && strings.Contains(err.Error(), public)) {
			t.Errorf("%q: %v", public, err)
		}
	}
}

func TestCurrent(t *testing.T) {
	ring := Ring{newKey(t), newKey(t)}
	if got := ring.Current(); got != ring[0].Recipient().String() {
		t.Errorf("got %s", got)
	}
	if got := (Ring{}).Current(); got != "" {
		t.Errorf("an empty ring has the key %s", got)
	}
}

// FuzzOpen sees that no text of a user brings the manager down.
func FuzzOpen(f *testing.F) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	text, err := Seal(key.Recipient().String(), []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, err := (Ring{key}).Open(text); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrOtherKey) {
			t.Errorf("got %v", err)
		}
	})
}

func newKey(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

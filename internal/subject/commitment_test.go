// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCommit(t *testing.T) {
	id := Identifier{"email", "anna@example.com"}
	c, err := Commit(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(c, "anna") {
		t.Errorf("it can be read: %s", c)
	}
	if !strings.HasPrefix(c, "email:$argon2id$v=19$m=19456,t=2,p=1$") || len(c) > 256 {
		t.Errorf("got %s", c)
	}
	if !Committed(c, id) || !Committed(" "+c+"\n", Identifier{"email", " anna@example.com "}) {
		t.Error("the identifier is not recognized")
	}
	for _, other := range []Identifier{{"email", "anna@example.org"}, {"phone", "anna@example.com"}, {"email", "Anna@example.com"}, {"email", ""}} {
		if Committed(c, other) {
			t.Errorf("%v is recognized", other)
		}
	}
	again, err := Commit(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	if again == c {
		t.Error("two commitments to one identifier are the same")
	}
}

// TestCommitIsArgon2id pins the format: commitments outlive the version that made them. The hash is that of the reference
// implementation: printf 'email\0anna@example.com' | argon2 0123456789abcdef -id -t 2 -k 19456 -p 1 -l 32
func TestCommitIsArgon2id(t *testing.T) {
	c, err := Commit(strings.NewReader("0123456789abcdef"), Identifier{"email", "anna@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	const want = "email:$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MKdPS+QL4Vwy5QAS5d9V2WSw6PaGCzYYbBoEsrIRuGE"
	if c != want {
		t.Errorf("got %s, want %s", c, want)
	}
}

// TestCommittedRefuses damages a commitment in every part.
func TestCommittedRefuses(t *testing.T) {
	id := Identifier{"email", "anna@example.com"}
	c, err := Commit(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(c, "$")
	for i, replacement := range map[int]string{
		0: "email", 1: "argon2i", 2: "v=16", 3: "m=8,t=1,p=1", 4: "AAAA", 5: base64.RawStdEncoding.EncodeToString(make([]byte, hashBytes)),
	} {
		damaged := append([]string{}, parts...)
		damaged[i] = replacement
		if Committed(strings.Join(damaged, "$"), id) {
			t.Errorf("%s in place %d is taken for the commitment", replacement, i)
		}
	}
	for _, none := range []string{"", "email:", "email:$$$$$", c + "$", strings.TrimSuffix(c, parts[5]), strings.TrimSuffix(c, parts[5]) + "!"} {
		if Committed(none, id) {
			t.Errorf("%q is taken for a commitment", none)
		}
	}
}

func TestCommitAll(t *testing.T) {
	ids := []Identifier{{"email", "a"}, {"phone", "b"}}
	got, err := CommitAll(rand.Reader, ids)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !Committed(got[0], ids[0]) || !Committed(got[1], ids[1]) {
		t.Errorf("got %v", got)
	}
	if got, err := CommitAll(rand.Reader, make([]Identifier, MaxCommitments+1)); err != nil || len(got) != MaxCommitments {
		t.Errorf("%d commitments, %v", len(got), err)
	}
	broken := errors.New("no randomness")
	if _, err := CommitAll(iotest.ErrReader(broken), ids); !errors.Is(err, broken) {
		t.Errorf("without a salt: %v", err)
	}
}

func BenchmarkCommit(b *testing.B) {
	for b.Loop() {
		if _, err := Commit(rand.Reader, Identifier{"email", "anna@example.com"}); err != nil {
			b.Fatal(err)
		}
	}
}

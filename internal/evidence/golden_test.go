// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew: what has been given to people has to verify for ever, so never without need")

const golden = "testdata/v1"

// The files of version 1 verify for ever: keys, bundles of every kind, and a whole ledger. A change that breaks this breaks
// evidence that people have kept.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	file, err := os.ReadFile(filepath.Join(golden, "keys.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := ParseTrust(file)
	if err != nil {
		t.Fatal(err)
	}
	trust.RequireWitness = true
	bundles, err := filepath.Glob(filepath.Join(golden, "bundles", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[Kind]bool{}
	for _, name := range bundles {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Verify(file, trust)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		kinds[v.Statement.Predicate.Kind] = true
		if again, err := v.Statement.Encode(); err != nil || !bytes.Equal(again, v.Payload) {
			t.Errorf("%s: the statement is written in another way now: %v", name, err)
		}
	}
	for kind := range rules {
		if !kinds[kind] {
			t.Errorf("there is no bundle of kind %s", kind)
		}
	}
	report, err := VerifyLog(os.DirFS(filepath.Join(golden, "ledger")), trust)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("%s: %s", p.Code, p.Sentence)
	}
	if report.Size != storySize+1 || len(report.Pruned) != 2 || len(report.Earlier) != 2 {
		t.Errorf("%+v", report)
	}
}

// writeGolden writes the story, with two statements pruned in the end.
func writeGolden(t *testing.T) {
	t.Helper()
	l := story(t)
	end := start.AddDate(7, 1, 0)
	l.add(prunedOf(end, anIntent, aResult))
	ledger := l.export(end, 5, storySize)
	delete(ledger, pathOf(t, l, anIntent))
	delete(ledger, pathOf(t, l, aResult))
	put := func(name string, data []byte) {
		path := filepath.Join(golden, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("keys.pem", FormatTrust(testKeys()))
	for name, f := range ledger {
		put("ledger/"+name, f.Data)
	}
	for i := range l.envelopes {
		file, err := l.bundle(int64(i), storySize+1, end).Encode()
		if err != nil {
			t.Fatal(err)
		}
		kind := strings.ToLower(string(mustLeaf(t, l.leaves[i]).Kind))
		put(fmt.Sprintf("bundles/%02d-%s.json", i, kind), file)
	}
}

func mustLeaf(t testing.TB, b []byte) *Leaf {
	t.Helper()
	leaf, err := DecodeLeaf(b)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// No golden file was changed by hand: the tree of files is what the story makes of it, so nobody has to believe a blob.
func TestGoldenIsTheStory(t *testing.T) {
	l := story(t)
	l.add(prunedOf(start.AddDate(7, 1, 0), anIntent, aResult))
	for name, f := range l.export(start.AddDate(7, 1, 0)) {
		got, err := fs.ReadFile(os.DirFS(filepath.Join(golden, "ledger")), name)
		if err != nil {
			if strings.HasPrefix(name, ExportStatements) {
				continue // pruned
			}
			t.Fatal(err)
		}
		if !bytes.Equal(got, f.Data) {
			t.Errorf("%s is not what the story makes of it", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	genuine := bundleFile(f)
	trust := trustOf(f, testKeys()...)
	v, err := Verify(genuine, trust)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(genuine)
	f.Add([]byte("{}"))
	var compact bytes.Buffer
	if err := json.Compact(&compact, genuine); err != nil {
		f.Fatal(err)
	}
	f.Add(compact.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := Verify(file, trust)
		if (got == nil) == (err == nil) {
			t.Fatalf("%v, %v", got, err)
		}
		// Whatever else it is that is accepted, it is this statement in this place: nobody but us has these keys.
		if got != nil && (got.Digest != v.Digest || got.Index != v.Index || got.Checkpoint.Root != v.Checkpoint.Root) {
			t.Fatalf("a forgery is accepted: %s", file)
		}
	})
}

// A bit that is flipped in any byte of a bundle is noticed, but for those that mean nothing: the key ID, and spaces.
func TestFlippedBits(t *testing.T) {
	trust := trustOf(t, testKeys()...)
	trust.RequireWitness = true
	genuine := bundleFile(t)
	id := bytes.Index(genuine, []byte(`"keyid": "`)) + len(`"keyid": "`)
	payload := bytes.Index(genuine, []byte(`"payload": "`)) + len(`"payload": "`)
	end := payload + bytes.IndexByte(genuine[payload:], '"')
	for i := range genuine {
		bits := []int{i % 8, 0, 1, 2} // the low ones are those that base64 may leave unused
		inside := i >= payload && i < end-4
		if inside {
			bits = bits[:1]
		}
		if i >= id && i < id+64 || inside && i%4 > 0 || testing.Short() && i%16 > 0 {
			continue
		}
		for _, bit := range bits {
			file := bytes.Clone(genuine)
			file[i] ^= 1 << bit
			if _, err := Verify(file, trust); err == nil && !space(genuine[i], file[i]) {
				t.Fatalf("bit %d of byte %d (%q of %q) was flipped, and nobody noticed", bit, i, genuine[i], genuine[max(0, i-20):min(len(genuine), i+20)])
			}
		}
	}
}

// space says whether one JSON space became another.
func space(a, b byte) bool {
	return strings.IndexByte(" \t\r\n", a) >= 0 && strings.IndexByte(" \t\r\n", b) >= 0
}

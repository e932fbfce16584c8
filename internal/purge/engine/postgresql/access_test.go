// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"math/rand/v2"
	"testing"

	"dataretention.dev/retention-operator/internal/receipt"
)

func TestSplitPath(t *testing.T) {
	tests := map[string]struct {
		path, schema, relation string
		ok                     bool
	}{
		"table":            {"invoice", "", "invoice", true},
		"schema":           {"sales.invoice", "sales", "invoice", true},
		"capitals":         {"Sales.Invoice", "Sales", "Invoice", true},
		"quoted":           {`"a.b"."c ""d"""`, "a.b", `c "d"`, true},
		"half quoted":      {`sales."a.b"`, "sales", "a.b", true},
		"three parts":      {"a.b.c", "", "", false},
		"nothing":          {"", "", "", false},
		"empty part":       {"a.", "", "", false},
		"empty schema":     {".a", "", "", false},
		"open quote":       {`"a`, "", "", false},
		"text after quote": {`"a"b`, "", "", false},
		"empty quotes":     {`""`, "", "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			schema, relation, ok := splitPath(test.path)
			if schema != test.schema || relation != test.relation || ok != test.ok {
				t.Errorf("got %q, %q, %v", schema, relation, ok)
			}
		})
	}
}

func TestChooseAccess(t *testing.T) {
	own := moment{column: column{name: "at"}}
	via := moment{column: column{name: "at"}, hops: []hop{{}}}
	indexed, plain := leaf{leading: map[string]bool{"at": true}}, leaf{leading: map[string]bool{"id": true}}
	tests := map[string]struct {
		rule             moment
		leaf             leaf
		matched, records int64
		want             access
	}{
		"few are due":            {own, indexed, 9, 100, byIndex},
		"many are due":           {own, indexed, 10, 100, byBlocks},
		"no index":               {own, plain, 1, 100, byBlocks},
		"the parent's timestamp": {via, indexed, 1, 100, byBlocks},
		"nobody counted":         {own, indexed, 0, 0, byBlocks},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := chooseAccess(test.rule, test.leaf, test.matched, test.records); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// However records are spread, the window reads everything once, stays within the target, and takes few batches.
func TestWindow(t *testing.T) {
	const slots = 292
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0)) // reproducible
		blocks, target := 1+rng.Int64N(3000), 1+rng.Int64N(6000)
		perBlock := make([]int64, blocks)
		var total int64
		density := int64(0)
		for i := range perBlock {
			if rng.IntN(200) == 0 || i == 0 {
				density = rng.Int64N(200)
			}
			perBlock[i] = density
			total += density
		}
		w := newWindow(target, slots, leaf{pages: blocks, records: float64(total)})
		var deleted int64
		tries := int64(0)
		var do func(from, to int64) int64
		do = func(from, to int64) int64 {
			tries++
			var n int64
			for p := from; p < to; p++ {
				if p%slots >= 1 && p%slots <= perBlock[p/slots] {
					n++
				}
			}
			if n <= target {
				deleted += n
				return n
			}
			for width := fewer(to-from, target, n, slots); from < to; from += width {
				do(from, min(from+width, to))
			}
			return n
		}
		for from := int64(0); from < blocks*slots; {
			to := min(from+w.width, blocks*slots)
			w.done(do(from, to))
			from = to
		}
		if deleted != total {
			t.Fatalf("seed %d: deleted %d of %d", seed, deleted, total)
		}
		if most := 20 + 60*total/target/10 + blocks/50; target > 500 && tries > most {
			t.Errorf("seed %d: %d blocks, target %d, %d records: %d batches, want at most %d", seed, blocks, target, total, tries, most)
		}
	}
}

func TestNarrower(t *testing.T) {
	tests := map[string]struct {
		reason receipt.Reason
		want   []int64
	}{
		"a lock":       {receipt.LockTimeout, []int64{292, 0}},
		"the time":     {receipt.StatementTimeout, []int64{4380, 292, 0}},
		"a constraint": {receipt.ConstraintViolated, []int64{4380, 292, 36, 4, 1, 0}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			width := int64(125 * 292)
			for _, want := range test.want {
				if width = narrower(width, 292, test.reason); width != want {
					t.Fatalf("got %d, want %d", width, want)
				}
			}
		})
	}
}

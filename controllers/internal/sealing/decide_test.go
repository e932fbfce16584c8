// SPDX-License-Identifier: Apache-2.0

package sealing

import (
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/controllers/internal/upkeep"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	made := func(ages ...time.Duration) []key {
		var out []key
		for _, a := range ages {
			identity, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, key{Created: now.Add(-a), Private: identity})
		}
		return out
	}
	none := func([]key) *uses { return &uses{} }
	sealedTo := func(i int) func([]key) *uses {
		return func(k []key) *uses { return &uses{sealed: map[string]string{publicOf(k[i]): "ErasureRequest a/b"}} }
	}
	runSince := func(a time.Duration) func([]key) *uses {
		return func([]key) *uses { return &uses{firstRun: now.Add(-a)} }
	}
	for name, c := range map[string]struct {
		keys               []key
		rotation           time.Duration
		requested, handled string
		uses               func([]key) *uses
		wantRotate         bool
		wantDestroy        []int
		wantReason         string
	}{
		"young":                                   {keys: made(day), rotation: 90 * day, uses: none, wantReason: "current"},
		"as old as it gets":                       {keys: made(90 * day), rotation: 90 * day, wantRotate: true, wantReason: "older than"},
		"never by age":                            {keys: made(9000 * day), uses: none, wantReason: "current"},
		"made by a clock that was ahead":          {keys: made(-5 * day), rotation: day, wantReason: "current"},
		"asked for":                               {keys: made(day), requested: "1", wantRotate: true, wantReason: "asked"},
		"asked for again":                         {keys: made(day), requested: "2", handled: "1", wantRotate: true, wantReason: "asked"},
		"asked for and done":                      {keys: made(day), requested: "1", handled: "1", wantReason: "current"},
		"the request was taken back":              {keys: made(day), handled: "1", wantReason: "current"},
		"former and not needed":                   {keys: made(2*day, 100*day), uses: none, wantDestroy: []int{1}, wantReason: "ended"},
		"former for a day at most":                {keys: made(day, 100*day), uses: none, wantReason: "needed"},
		"nobody has looked":                       {keys: made(2*day, 100*day), wantReason: "needed"},
		"something is sealed to it":               {keys: made(2*day, 100*day), uses: sealedTo(1), wantReason: "needed"},
		"something is sealed to the current one":  {keys: made(2*day, 100*day), uses: sealedTo(0), wantDestroy: []int{1}},
		"something is sealed to another":          {keys: made(2*day, 9*day, 100*day), uses: sealedTo(2), wantDestroy: []int{1}},
		"a run that began before it was former":   {keys: made(2*day, 100*day), uses: runSince(3 * day), wantReason: "needed"},
		"a run that began a little later":         {keys: made(2*day, 100*day), uses: runSince(2*day - time.Hour), wantReason: "needed"},
		"a run that began long after":             {keys: made(2*day, 100*day), uses: runSince(day), wantDestroy: []int{1}},
		"rotation comes first":                    {keys: made(100*day, 200*day), rotation: 90 * day, uses: none, wantRotate: true},
		"the clock went back behind the rotation": {keys: made(-2*day, 100*day), uses: none, wantReason: "needed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := situation{now: now, keys: c.keys, rotate: upkeep.Rotate{
				Now: now, Created: c.keys[0].Created, Rotation: c.rotation, Requested: c.requested, Handled: c.handled,
			}}
			if c.uses != nil {
				s.uses = c.uses(c.keys)
			}
			got := decide(s)
			want := []string(nil)
			for _, i := range c.wantDestroy {
				want = append(want, publicOf(c.keys[i]))
			}
			if got.rotate != c.wantRotate || !cmp.Equal(got.destroy, want) || !strings.Contains(got.reason, c.wantReason) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestSecretOfKeys(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	secret := &corev1.Secret{}
	// The second is made by a clock that went back, and becomes the current one all the same.
	for _, at := range []time.Time{now, now.Add(-time.Hour)} {
		if err := add(secret, at); err != nil {
			t.Fatal(err)
		}
	}
	secret.Data["readme"] = []byte("of no concern")
	keys, err := parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || !keys[0].Created.Equal(now.Add(time.Second)) || !keys[1].Created.Equal(now) {
		t.Fatalf("got %+v", keys)
	}
	want := map[string]string{"public-key": publicOf(keys[0]), "former-keys": publicOf(keys[1]) + "\n"}
	if diff := cmp.Diff(want, published(keys)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	remove(secret, keys, []string{publicOf(keys[1])})
	if left, err := parse(secret); err != nil || len(left) != 1 || publicOf(left[0]) != publicOf(keys[0]) || len(secret.Data) != 2 {
		t.Errorf("left are %+v, %v", left, err)
	}
	for name, text := range map[string]string{"1.key": "AGE-SECRET-KEY-DAMAGED", "yesterday.key": keys[0].Private.String()} {
		_, err := parse(&corev1.Secret{Data: map[string][]byte{name: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "AGE-SECRET-KEY") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

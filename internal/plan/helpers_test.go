// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"flag"
	"os"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/schedule"
)

// TestMain draws more examples than rapid does by default, unless the command line says how many.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "1000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func zone(name string) *time.Location {
	loc, err := schedule.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return loc
}

func policy(name string, rules ...Rule) Policy {
	return Policy{Ref: Ref{Namespace: "shop", Name: name}, Zone: time.UTC, Rules: rules}
}

// in returns the policy with its periods reckoned in another zone.
func in(zoneName string, p Policy) Policy {
	p.Zone = zone(zoneName)
	return p
}

func store(datasets ...Dataset) Datastore {
	return Datastore{Ref: Ref{Namespace: "shop", Name: "accounts"}, Engine: "postgresql", Identity: "7", Datasets: datasets}
}

// table is a dataset; parents are written child field, parent, key.
func table(name, timestampField string, parents ...[3]string) Dataset {
	d := Dataset{Name: name, TimestampField: timestampField}
	for _, p := range parents {
		d.References = append(d.References, Reference{Field: p[0], Dataset: p[1], Key: p[2]})
	}
	return d
}

func classed(class string, d Dataset) Dataset {
	d.DataClass = class
	return d
}

func names(s ...string) []string { return s }

var slot = at("2026-11-24T03:00:00Z")

func compile(own Policy, s Datastore, others ...Policy) Plan {
	return Compile(Input{Run: "run-1", Policy: own, Others: others, Datastore: s, Slot: slot})
}

// stepFor returns the only step of the action on the dataset.
func stepFor(t testing.TB, p Plan, dataset string, a Action) Step {
	t.Helper()
	var found []Step
	for _, s := range p.Steps {
		if s.Dataset == dataset && s.Action == a {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the plan has %d steps to %s %s, want 1:\n%s", len(found), a, dataset, render(p))
	}
	return found[0]
}

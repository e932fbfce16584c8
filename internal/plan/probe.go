// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
)

// CompileProbe returns the plan of a probe of the datastore: each dataset with the further fields that the policies,
// which are all that select the datastore, and erasures read or rewrite, and the actions that they take. The caller sets
// Run.
//
// A policy that simulates needs no right to change anything.
func CompileProbe(store Datastore, policies []Policy) Plan {
	data := newDataMap(store.filled())
	fields := make([][]string, len(data.datasets))
	rights := make([][]Action, len(data.datasets))
	for _, p := range policies {
		for _, r := range p.Rules {
			for i, d := range data.datasets {
				if r.match(d) == notAtAll {
					continue
				}
				data.datasets[i].Protected = data.datasets[i].Protected || r.RetainAtLeast != ""
				if start, t := data.start(i, r.StartingFrom); t == nil {
					owner := data.owner(i, start)
					fields[owner] = append(fields[owner], start.Field)
				}
				if r.DeleteAfter == "" {
					continue
				}
				if p.mode() != Simulate {
					rights[i] = append(rights[i], r.action())
				}
				for _, t := range r.Transforms {
					fields[i] = append(fields[i], t.Field)
				}
			}
		}
	}
	for i := range data.datasets {
		d := &data.datasets[i]
		on := store.OnErasure[d.Name]
		if on.Action == EraseDelete || on.Action == EraseAnonymize {
			rights[i] = append(rights[i], Action(on.Action))
		}
		for _, t := range on.Transforms {
			fields[i] = append(fields[i], t.Field)
		}
		d.Fields = sorted(append(fields[i], d.Fields...))
		d.Fields = slices.DeleteFunc(d.Fields, func(f string) bool { return f == d.TimestampField })
		d.Rights = sorted(append(rights[i], d.Rights...))
	}
	return Plan{Version: Version, Kind: Probe, Datastore: store.Ref, Engine: store.Engine, Identity: store.Identity,
		TimeZone: cmp.Or(store.TimeZone, "UTC"), Limits: DefaultLimits, Datasets: data.datasets}
}

// sorted returns the distinct values in their order.
func sorted[T cmp.Ordered](values []T) []T {
	slices.Sort(values)
	return slices.Compact(values)
}

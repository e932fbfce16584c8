// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"time"

	"pgregory.net/rapid"
)

var (
	someClasses = []string{"a", "b"}
	someFields  = []string{"created_at", "f", "g", "k"}
	somePeriods = []string{"P1D", "PT36H", "P30D", "P1M", "P2M", "P11M", "P1Y", "P365D", "P1Y1M1D"}
	someZones   = []string{"UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati", "America/St_Johns"}
	someDays    = []string{"2026-11-24", "2026-02-28", "2026-03-01", "2026-03-29", "2028-02-29", "2027-02-28", "2026-10-25", "2026-12-31"}
)

func datasetName(i int) string { return fmt.Sprintf("d%d", i) }

// someInput draws small data maps and policies, so that rules often meet.
func someInput(t *rapid.T) Input {
	in := Input{Run: "r", Policy: somePolicy(t, "own"), Slot: someSlot(t)}
	for i := range rapid.IntRange(0, 3).Draw(t, "others") {
		in.Others = append(in.Others, somePolicy(t, fmt.Sprintf("other%d", i)))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "holds") {
		in.Holds = append(in.Holds, someHold(t, fmt.Sprintf("hold%d", i)))
	}
	n := rapid.IntRange(1, 5).Draw(t, "datasets")
	for i := range n {
		d := Dataset{Name: datasetName(i), DataClass: rapid.SampledFrom(append(someClasses, "")).Draw(t, "class")}
		if rapid.IntRange(0, 3).Draw(t, "dated") > 0 {
			d.TimestampField = "created_at"
		}
		for range rapid.IntRange(0, 2).Draw(t, "references") {
			d.References = append(d.References, Reference{Field: rapid.SampledFrom([]string{"f", "g"}).Draw(t, "field"),
				Dataset: datasetName(rapid.IntRange(0, n).Draw(t, "parent")), Key: "k"})
		}
		in.Datastore.Datasets = append(in.Datastore.Datasets, d)
	}
	return in
}

func someHold(t *rapid.T, name string) HoldInput {
	h := HoldInput{Name: name, UID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "uid") + name}
	for i := range 6 {
		if rapid.IntRange(0, 5).Draw(t, "holds") == 0 {
			h.Datasets = append(h.Datasets, datasetName(i))
		}
	}
	if h.Datasets == nil && rapid.IntRange(0, 3).Draw(t, "everything") > 0 {
		h.DataClasses = []string{rapid.SampledFrom(append(someClasses, "gone")).Draw(t, "class")}
	}
	switch rapid.IntRange(0, 3).Draw(t, "single records") {
	case 0:
		h.Subject = true
	case 1:
		h.Condition = &Condition{Field: "f", Operator: OperatorExists}
	}
	return h
}

// someErasure draws an erasure with the same data map, policies and holds.
func someErasure(t *rapid.T) (ErasureInput, Input) {
	from := someInput(t)
	in := ErasureInput{Run: "r", SealTo: "age1", Slot: from.Slot, Policies: append(from.Others, from.Policy), Holds: from.Holds,
		Datastore: from.Datastore, Requests: []Request{{Ref: Ref{Namespace: "n", Name: "q"}}}}
	in.Datastore.OnErasure = map[string]OnErasure{}
	for i := range in.Datastore.Datasets {
		d := &in.Datastore.Datasets[i]
		for _, f := range someFields {
			if rapid.IntRange(0, 7).Draw(t, "identifies") == 0 {
				d.Identifiers = append(d.Identifiers, Identifier{Type: rapid.SampledFrom(someClasses).Draw(t, "type"), Field: f})
			}
		}
		on := OnErasure{Action: rapid.SampledFrom([]ErasureAction{"", EraseDelete, EraseDelete, EraseAnonymize, EraseRetain}).Draw(t, "on erasure")}
		if on.Action == EraseAnonymize {
			for _, f := range someFields {
				if rapid.IntRange(0, 2).Draw(t, "rewrites") == 0 {
					with := rapid.SampledFrom([]Method{MethodNull, MethodNull, MethodConstant}).Draw(t, "with")
					on.Transforms = append(on.Transforms, Transform{Field: f, With: with})
				}
			}
		}
		in.Datastore.OnErasure[d.Name] = on
	}
	return in, from
}

// someSlot is a full hour around the ends of months and changes of the clock.
func someSlot(t *rapid.T) time.Time {
	day := at(rapid.SampledFrom(someDays).Draw(t, "day") + "T00:00:00Z")
	return day.Add(time.Duration(rapid.IntRange(-12, 36).Draw(t, "hour")) * time.Hour)
}

func somePolicy(t *rapid.T, name string) Policy {
	p := Policy{Ref: Ref{Namespace: "n", Name: name}, Suspended: rapid.IntRange(0, 4).Draw(t, "suspended") == 0,
		Mode: rapid.SampledFrom([]Mode{"", Enforce, Simulate}).Draw(t, "mode")}
	if rapid.IntRange(0, 9).Draw(t, "known zone") > 0 {
		p.Zone = zone(rapid.SampledFrom(someZones).Draw(t, "zone"))
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
		p.Rules = append(p.Rules, someRule(t, fmt.Sprintf("rule%d", i)))
	}
	return p
}

func someRule(t *rapid.T, name string) Rule {
	r := Rule{Name: name}
	for i := range 5 {
		if rapid.IntRange(0, 4).Draw(t, "names") == 0 {
			r.Datasets = append(r.Datasets, datasetName(i))
		}
	}
	if len(r.Datasets) == 0 || rapid.Bool().Draw(t, "classes") {
		r.DataClasses = []string{rapid.SampledFrom(someClasses).Draw(t, "class")}
	}
	r.StartingFrom = rapid.SampledFrom([]string{"", "", "", "f", "d0.f", "d1.created_at", "d2.g", "d9.f", "d0."}).Draw(t, "startingFrom")
	what := rapid.IntRange(0, 9).Draw(t, "what")
	if what < 6 || what == 9 {
		r.DeleteAfter = somePeriod(t)
	}
	if what == 5 || what > 5 && what < 9 {
		r.RetainAtLeast = somePeriod(t)
	}
	if what >= 3 && what < 5 {
		r.Action = Anonymize
		for _, f := range someFields {
			if rapid.Bool().Draw(t, "rewrites") {
				r.Transforms = append(r.Transforms, Transform{Field: f, With: MethodNull})
			}
		}
		if r.Transforms == nil {
			r.Transforms = []Transform{{Field: "ip", With: MethodTruncateIP}}
		}
	}
	return r
}

func somePeriod(t *rapid.T) string {
	if rapid.IntRange(0, 19).Draw(t, "bad period") == 0 {
		return "soon"
	}
	return rapid.SampledFrom(somePeriods).Draw(t, "period")
}

// world holds one record of each dataset, which is the parent of the records that reference it.
type world map[string]time.Time // by dataset.field

// someWorld draws instants near those that matter, and now and then a missing or an impossible one.
func someWorld(t *rapid.T, in Input) world {
	w := world{}
	for _, d := range in.Datastore.Datasets {
		for _, f := range someFields {
			v := in.Slot
			switch rapid.IntRange(0, 9).Draw(t, "value") {
			case 0:
				v = time.Time{}
			case 1:
				v = rapid.SampledFrom([]time.Time{time.Unix(0, 0), at("9999-12-31T00:00:00Z"), EarliestPlausible}).Draw(t, "sentinel")
			default:
				days := rapid.SampledFrom([]int{0, -1, -2, -28, -30, -31, -32, -60, -62, -335, -365, -366, -367, -397, -900}).Draw(t, "days")
				v = v.AddDate(0, 0, days).Add(time.Duration(rapid.IntRange(-36*4, 36*4).Draw(t, "quarters")) * 15 * time.Minute)
				v = v.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "tick")) * time.Microsecond)
			}
			w[d.Name+"."+f] = v
		}
	}
	return w
}

// value is the world's value for a starting point of the dataset.
func (w world) value(dataset string, s Start) time.Time {
	for _, hop := range s.Via {
		dataset = hop.Dataset
	}
	return w[dataset+"."+s.Field]
}

// due tells whether the dataset's record is due for the step.
func (w world) due(s Step) bool {
	var starts []time.Time
	for _, o := range s.Obligations {
		starts = append(starts, w.value(s.Dataset, o.Start))
	}
	return s.Due(w.value(s.Dataset, s.Start), starts)
}

// changes is what a plan does to the world: "d1" for a deleted record, "d1.f" for a rewritten field.
func (w world) changes(p Plan) map[string]bool {
	out := map[string]bool{}
	for _, s := range p.Steps {
		if !w.due(s) {
			continue
		}
		if s.Action == Delete {
			out[s.Dataset] = true
		}
		for _, t := range s.Transforms {
			out[s.Dataset+"."+t.Field] = true
		}
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
)

// HoldInput is the specification of one hold. One without a subject and a condition keeps whole datasets; the others keep
// single records, with all that refers to them.
type HoldInput struct {
	Name, UID string
	// Datasets and DataClasses are what it covers. One that names neither covers every dataset.
	Datasets, DataClasses []string
	// Subject says that it keeps the records of a person.
	Subject bool
	// Condition says which records it keeps.
	Condition *Condition
}

// whole tells whether the hold keeps all records of what it covers.
func (h HoldInput) whole() bool {
	return !h.Subject && h.Condition == nil
}

// covers tells whether the hold covers the dataset.
func (h HoldInput) covers(d Dataset) bool {
	return len(h.Datasets)+len(h.DataClasses) == 0 ||
		slices.Contains(h.Datasets, d.Name) || d.DataClass != "" && slices.Contains(h.DataClasses, d.DataClass)
}

// Covered returns the names of the datasets that the hold covers, in their order.
func (h HoldInput) Covered(datasets []Dataset) []string {
	var out []string
	for _, d := range datasets {
		if h.covers(d) {
			out = append(out, d.Name)
		}
	}
	return out
}

// inOrderOfUID returns the holds in an order that does not depend on how they were listed.
func inOrderOfUID(holds []HoldInput) []HoldInput {
	return slices.SortedStableFunc(slices.Values(holds), func(a, b HoldInput) int { return cmp.Compare(a.UID, b.UID) })
}

// heldBy are the holds that keep the whole dataset at place i.
func (c *compiler) heldBy(i int) []string {
	var out []string
	for _, h := range c.holds {
		if h.whole() && h.covers(c.data.datasets[i]) {
			out = append(out, h.Name)
		}
	}
	return sorted(out)
}

// kept tells whether the hold may keep records of the dataset at place i: it covers the dataset, or keeps single records of
// one that references lead to.
func (m *dataMap) kept(h HoldInput, i int) bool {
	if h.covers(m.datasets[i]) {
		return true
	}
	for j, d := range m.datasets {
		if !h.whole() && m.reaches[i][j] && h.covers(d) {
			return true
		}
	}
	return false
}

// rowHolds are the holds on single records of datasets that the datastore has.
func (c *compiler) rowHolds() []Hold {
	var out []Hold
	for _, h := range c.holds {
		datasets := h.Covered(c.data.datasets)
		if h.whole() || datasets == nil {
			continue
		}
		out = append(out, Hold{Name: h.Name, UID: h.UID, Datasets: datasets, Subject: h.Subject, Condition: h.Condition})
	}
	return out
}

// CompileCountHeld returns the plan that counts what the holds on single records keep in the datastore. The caller sets
// Run.
func CompileCountHeld(store Datastore, holds []HoldInput) Plan {
	c := &compiler{data: newDataMap(store.filled()), holds: inOrderOfUID(holds)}
	return Plan{Version: Version, Kind: CountHeld, Datastore: store.Ref, Engine: store.Engine, Identity: store.Identity,
		TimeZone: cmp.Or(store.TimeZone, "UTC"), Limits: DefaultLimits, Datasets: c.data.datasets, Holds: c.rowHolds()}
}

// Touches tells whether a run that carries out the plan, which was compiled without the hold, has to stop for it. Only one
// that changes nothing need not, and for a hold that covers nothing of the datastore: two datasets may be one table under
// two names, or a table and its partition, and that only the engine can tell.
func Touches(p *Plan, now Datastore, h HoldInput) bool {
	return p.changes() && (h.Covered(now.Datasets) != nil || h.Covered(p.Datasets) != nil)
}

// changes tells whether any step changes records.
func (p *Plan) changes() bool {
	if p.Mode == Simulate {
		return false
	}
	return len(p.Steps) > 0 || p.Erasure != nil && slices.ContainsFunc(p.Erasure.Steps, func(s ErasureStep) bool { return s.Acts() })
}

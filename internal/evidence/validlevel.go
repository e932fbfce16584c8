// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"fmt"
	"slices"
)

// The modes of a Run.
const (
	ModeEnforce  = "Enforce"
	ModeSimulate = "Simulate"
)

// validLevels checks that no whole claims more than its parts do. A Conclusion may leave the datasets to the Results that it
// names; VerifyLog looks those up.
func validLevels(p *Predicate) error {
	if rankOf(p.Level) < 0 {
		return fmt.Errorf("%w: there is no level %q", errLevel, p.Level)
	}
	if r := rules[p.Kind]; r.none != (p.Level == LevelNone) {
		return fmt.Errorf("%w: that of %s is %s", errLevel, article(p.Kind), p.Level)
	}
	if p.Kind != Result && p.Kind != Conclusion {
		return nil
	}
	var parts []Level
	changed := false
	for i := range p.Datastores {
		d := &p.Datastores[i]
		if err := validDatastoreLevel(p, d); err != nil {
			return err
		}
		parts = append(parts, d.Level)
		changed = changed || d.changed()
	}
	for i := range p.NotCovered {
		if g := &p.NotCovered[i]; p.Kind == Conclusion && g.Kind == GapDatastore && !hasDatastore(p, g.Name) {
			parts = append(parts, LevelNotDone)
		}
	}
	if slices.ContainsFunc(p.Results, func(r Reference) bool { return r.Kind == Conclusion }) {
		parts = append(parts, p.Level) // other parts are in other namespaces, and have Conclusions of their own
	}
	if !bearable(p.Level, changed, parts...) && !(only(p, LevelNotDone) && !changed) {
		return fmt.Errorf("%w: the statement claims %s, and its Datastores bear out %s at best", errLevel, p.Level, Combine(parts...))
	}
	return nil
}

func validDatastoreLevel(p *Predicate, d *Datastore) error {
	if rankOf(d.Level) < 0 || d.Level == LevelNone {
		return fmt.Errorf("%w: Datastore %s has the level %q", errLevel, d.Name, d.Level)
	}
	if p.Kind == Conclusion && len(d.Datasets) == 0 && (len(p.Results) > 0 || !claims(p.Level)) {
		return nil
	}
	of := OfErasure
	if p.Policy != nil {
		of = OfRetention
	}
	var parts []Level
	for i := range d.Datasets {
		parts = append(parts, of(d.Datasets[i].Outcome, d.Datasets[i]))
	}
	if !bearable(d.Level, d.changed(), parts...) && !(only(p, d.Level) && !d.changed()) {
		return fmt.Errorf("%w: Datastore %s claims %s, and its datasets bear out %s at best", errLevel, d.Name, d.Level, Combine(parts...))
	}
	return nil
}

// only says whether the level is that of a run that only looked: whatever it found, or could not account for, it has done
// nothing.
func only(p *Predicate, l Level) bool {
	return l == LevelNotDone && p.Level == LevelNotDone && p.Run != nil && p.Run.Mode == ModeSimulate
}

// hasDatastore says whether a Datastore of that name, with or without its namespace, is among those of the statement.
func hasDatastore(p *Predicate, name string) bool {
	return slices.ContainsFunc(p.Datastores, func(d Datastore) bool { return name == d.Name || name == d.Namespace+"/"+d.Name })
}

func (d *Datastore) changed() bool {
	for i := range d.Datasets {
		if d.Datasets[i].changed() {
			return true
		}
	}
	return false
}
